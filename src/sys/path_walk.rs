//! Opens directories and files one path component at a time, so that the caller decides whether to follow a symbolic
//! link.

use crate::sys::dir::move_noreplace;
use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};

use super::Result;
use super::dir::Dir;

/// The directory in which a name is looked up; None means the working directory.
fn dir_or_cwd(dir: Option<&OwnedFd>) -> BorrowedFd<'_> {
    dir.map_or(CWD, AsFd::as_fd)
}

/// Opens a subdirectory, but no symbolic link. O_DIRECTORY makes an automounter mount it, which O_PATH alone does not
/// do.
///
/// # Errors
/// The errors of open(2); ENOTDIR for a symbolic link.
pub fn open_dir_nofollow(dir: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd> {
    openat(dir_or_cwd(dir), name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a subdirectory, and follows symbolic links.
///
/// # Errors
/// The errors of open(2).
pub fn open_dir_follow(dir: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd> {
    openat(dir_or_cwd(dir), name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens any file with O_PATH. If the name is that of a symbolic link, opens the link itself.
///
/// # Errors
/// The errors of open(2).
pub fn open_path_fd(dir: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd> {
    openat(dir_or_cwd(dir), name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// How a file is opened for reading. O_NONBLOCK: never wait for the other end of a FIFO.
const READ_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens a file for reading, also through a symbolic link.
///
/// # Errors
/// The errors of open(2).
pub fn open_file_follow(dir: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd> {
    openat(dir_or_cwd(dir), name, READ_FLAGS, Mode::empty())
}

/// Opens a file for reading, but not through a symbolic link.
///
/// # Errors
/// The errors of open(2); ELOOP for a symbolic link.
pub fn open_file_nofollow(dir: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd> {
    openat(dir_or_cwd(dir), name, READ_FLAGS.union(OFlags::NOFOLLOW), Mode::empty())
}

/// Opens a directory a second time, so that a listing has its own offset.
///
/// # Errors
/// The errors of open(2).
pub fn open_for_listing(dir: BorrowedFd<'_>) -> Result<Dir> {
    Ok(Dir(openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
}

/// Creates a directory that only its owner may enter.
///
/// # Errors
/// The errors of mkdir(2).
pub fn make_dir(dir: Option<&OwnedFd>, name: &CStr) -> Result<()> {
    mkdirat(dir_or_cwd(dir), name, Mode::RWXU)
}

/// Removes an empty directory.
///
/// # Errors
/// The errors of rmdir(2).
pub fn remove_dir(dir: Option<&OwnedFd>, name: &CStr) -> Result<()> {
    unlinkat(dir_or_cwd(dir), name, AtFlags::REMOVEDIR)
}

/// Removes a file.
///
/// # Errors
/// The errors of unlink(2).
pub fn unlink(path: &CStr) -> Result<()> {
    unlinkat(CWD, path, AtFlags::empty())
}

/// Moves a file from the working directory into another directory. Never replaces a file.
///
/// # Errors
/// EEXIST when the new name exists.
pub fn move_into_noreplace(old: &CStr, dir: &Dir, new: &CStr) -> Result<()> {
    move_noreplace(CWD, old, dir, new)
}

/// True if an open file is on a proc(5) file system. Elsewhere, a user may have created a file that only looks like one
/// of procfs.
///
/// # Errors
/// The errors of fstatfs(2).
pub fn is_procfs(file: BorrowedFd<'_>) -> Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}
