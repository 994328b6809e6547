//! An unused descriptor: if it is closed, the call that should close the others was not skipped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_getfd};

use super::{Errno, Result, ensure, fd};

/// Makes standard input `/dev/null`, and returns the descriptor that it was opened as, which is not close-on-exec.
/// Without that device, standard input is an empty pipe.
///
/// # Errors
/// When a pipe cannot be created either.
pub fn install_null() -> Result<OwnedFd> {
    let opened = open(c"/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).or_else(|_| fd::open_null())?;
    fd::dup_onto(opened.as_fd(), 0)?;
    Ok(opened)
}

/// Makes an open file standard input, and returns another descriptor for it, which is not close-on-exec.
///
/// # Errors
/// Those of dup2(2).
pub fn install(input: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd::dup_onto(input, 0)?;
    rustix::io::dup(input)
}

/// Checks the probe after all descriptors except those of the program should be closed.
///
/// # Errors
/// EPERM when it is still open.
pub fn verify(canary: OwnedFd) -> Result<()> {
    let found = fcntl_getfd(&canary);
    core::mem::forget(canary);
    ensure(found == Err(Errno::BADF))
}

/// Checks the probe after all descriptors should be close-on-exec, and leaves it open until the exec.
///
/// # Errors
/// EPERM when it would survive the exec.
pub fn look_for_end(canary: OwnedFd) -> Result<()> {
    let flags = fcntl_getfd(&canary)?;
    core::mem::forget(canary);
    ensure(flags.contains(FdFlags::CLOEXEC))
}
