//! A spare descriptor that shows whether a call that closes descriptors, or makes them close-on-exec, was skipped: if
//! the call was made, the spare descriptor was affected too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_getfd};

use super::{Errno, Result, ensure, fd};

/// Makes `/dev/null` standard input, and returns a second descriptor of it, the probe, which is not close-on-exec.
/// Without that device, standard input is an empty pipe.
///
/// # Errors
/// When a pipe cannot be created either.
pub fn install_null() -> Result<OwnedFd> {
    let opened = open(c"/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).or_else(|_| fd::open_null())?;
    fd::dup_onto(opened.as_fd(), 0)?;
    Ok(opened)
}

/// Makes an open file standard input, and returns a second descriptor of it, the probe, which is not close-on-exec.
///
/// # Errors
/// The errors of dup2(2).
pub fn install(input: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd::dup_onto(input, 0)?;
    rustix::io::dup(input)
}

/// Verifies that the probe was closed by the call that closes all descriptors except those of the program.
///
/// # Errors
/// EPERM when it is still open.
pub fn verify(probe: OwnedFd) -> Result<()> {
    let found = fcntl_getfd(&probe);
    core::mem::forget(probe);
    ensure(found == Err(Errno::BADF))
}

/// Verifies that the probe was made close-on-exec by the call that does so with all descriptors. It stays open until
/// the exec.
///
/// # Errors
/// EPERM when it would survive the exec.
pub fn verify_cloexec(probe: OwnedFd) -> Result<()> {
    let flags = fcntl_getfd(&probe)?;
    core::mem::forget(probe);
    ensure(flags.contains(FdFlags::CLOEXEC))
}
