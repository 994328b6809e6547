//! What this process may do with a path; asked, not tried. By the real ids: vsrun never has others, and to ask by the
//! effective ones takes a younger call that filters of containers may refuse.

use core::ffi::CStr;

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};

use super::Result;

/// Whether a program is there and we may execute it, or a directory and we may search it.
///
/// # Errors
/// Those of access(2).
pub fn may_execute(path: &CStr) -> Result<()> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty())
}

/// Whether the owner and mode of a file or directory let us read it. Landlock is not asked.
///
/// # Errors
/// Those of access(2).
pub fn may_read(path: &CStr) -> Result<()> {
    accessat(CWD, path, Access::READ_OK, AtFlags::empty())
}

/// Whether we may make and remove names in a directory.
///
/// # Errors
/// Those of access(2).
pub fn may_write(dir: &CStr) -> Result<()> {
    accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())
}

/// Whether the file system of a path lets no program be executed.
pub fn is_noexec(path: &CStr) -> bool {
    statvfs(path).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Whether a path names a symbolic link.
pub fn is_link(path: &CStr) -> bool {
    super::file_contents::read_link(CWD, path, &mut [0]).is_ok()
}
