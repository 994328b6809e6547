//! Checks what this process may do with a path, without doing it. access(2) checks the real ids, which in vsrun are
//! always the same as the effective ones. faccessat2(2) can check the effective ones, but seccomp filters of containers
//! may refuse this newer call.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};

use super::Result;

/// Checks that a program exists and we may execute it, or that a directory exists and we may search it.
///
/// # Errors
/// The errors of access(2).
pub fn may_execute(path: &CStr) -> Result<()> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty())
}

/// Checks that the permissions of a file or directory allow us to read it. Landlock may still refuse it: access(2)
/// ignores Landlock.
///
/// # Errors
/// The errors of access(2).
pub fn may_read(path: &CStr) -> Result<()> {
    accessat(CWD, path, Access::READ_OK, AtFlags::empty())
}

/// Checks that we may write to a file in a directory. With the name ".", checks that we may create and remove names in
/// the directory itself: looking up "." also needs the right to search it.
///
/// # Errors
/// The errors of access(2).
pub fn may_write(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    accessat(dir, name, Access::WRITE_OK, AtFlags::empty())
}

/// True if the file system of a path is mounted noexec.
pub fn is_noexec(path: &CStr) -> bool {
    statvfs(path).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// True if the file at a path is a symbolic link.
pub fn is_symlink(path: &CStr) -> bool {
    super::file_contents::read_link(CWD, path, &mut [0]).is_ok()
}
