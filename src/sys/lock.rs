//! The open-file-description lock of fcntl(2).
//!
//! Unlike a classic record lock it lives with the open file: over fork and exec, until its last descriptor is closed,
//! and not until *any* descriptor of that file is closed. It conflicts with classic locks. Since Linux 3.15.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// How a file is locked.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Nobody else may lock it at all; needs a descriptor that may write.
    Exclusive,
    /// Others may share it; needs a descriptor that may read.
    Shared,
}

/// Locks the whole file, without waiting; or changes the kind of the lock that this open file has.
///
/// # Errors
/// EAGAIN or EACCES when somebody else holds it; EINVAL before Linux 3.15; ENOLCK where the file system has no locks.
pub fn lock(file: BorrowedFd<'_>, kind: Kind) -> io::Result<()> {
    // SAFETY: all zero is a valid struct flock: the whole file, and the pid that an OFD lock must leave at 0.
    let mut range: libc::flock = unsafe { core::mem::zeroed() };
    let kind = match kind {
        Kind::Exclusive => libc::F_WRLCK,
        Kind::Shared => libc::F_RDLCK,
    };
    range.l_type = kind.try_into().unwrap_or_default();
    // SAFETY: the descriptor is open, and the kernel only reads the structure.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) }).map(drop)
}
