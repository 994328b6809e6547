//! A descriptor that is open in vain: whether it has been closed shows whether the others have been.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_getfd};

use super::{Errno, Result, ensure, fd};

/// Makes standard input `/dev/null`, and returns the descriptor that it was opened as, which stays open over exec.
/// Where there is no such device, standard input is an empty pipe, and nothing is told by it.
///
/// # Errors
/// When not even a pipe can be made.
pub fn install_null() -> Result<OwnedFd> {
    let opened = open(c"/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).or_else(|_| fd::open_null())?;
    fd::dup_onto(opened.as_fd(), 0)?;
    Ok(opened)
}

/// Makes an open file standard input, and answers another descriptor for it, which stays open over exec.
///
/// # Errors
/// Those of dup2(2).
pub fn install(input: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd::dup_onto(input, 0)?;
    rustix::io::dup(input)
}

/// Looks at it after all descriptors but those of the program were to be closed.
///
/// # Errors
/// EPERM when it is still open.
pub fn verify(canary: OwnedFd) -> Result<()> {
    let found = fcntl_getfd(&canary);
    core::mem::forget(canary);
    ensure(found == Err(Errno::BADF))
}

/// Looks at it after all descriptors were to end at exec, and leaves it to that.
///
/// # Errors
/// EPERM when it would live on.
pub fn look_for_end(canary: OwnedFd) -> Result<()> {
    let flags = fcntl_getfd(&canary)?;
    core::mem::forget(canary);
    ensure(flags.contains(FdFlags::CLOEXEC))
}
