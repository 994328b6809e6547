//! A spare descriptor, the check descriptor, which shows whether all descriptors were really closed or made
//! close-on-exec: a seccomp filter or a tracer can skip that system call and report success. If the call was
//! made, the check descriptor was closed or made close-on-exec too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_getfd};

use super::{Errno, Result, ensure, fd};

/// Makes `/dev/null` standard input, and returns a second descriptor of it, the check descriptor, which is
/// not close-on-exec. Without that device, standard input is an empty pipe.
///
/// # Errors
/// The errors of dup2(2); those of pipe2(2) if `/dev/null` cannot be opened.
pub fn redirect_stdin_to_null() -> Result<OwnedFd> {
    let opened = open(c"/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).or_else(|_| fd::open_null())?;
    fd::dup_onto(opened.as_fd(), 0)?;
    Ok(opened)
}

/// Makes an open file standard input, and returns a second descriptor of it, the check descriptor, which
/// is not close-on-exec.
///
/// # Errors
/// The errors of dup2(2).
pub fn redirect_stdin(input: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd::dup_onto(input, 0)?;
    rustix::io::dup(input)
}

/// Verifies that the call that closes all descriptors except those of the program has closed the check
/// descriptor.
///
/// # Errors
/// EPERM when the check descriptor is still open.
pub fn verify_check_fd_closed(check_fd: OwnedFd) -> Result<()> {
    let found = fcntl_getfd(&check_fd);
    core::mem::forget(check_fd);
    ensure(found == Err(Errno::BADF))
}

/// Verifies that the call that makes all descriptors close-on-exec has done so with the check descriptor.
/// That stays open until the exec.
///
/// # Errors
/// EPERM when the check descriptor would survive the exec.
pub fn verify_check_fd_cloexec(check_fd: OwnedFd) -> Result<()> {
    let flags = fcntl_getfd(&check_fd)?;
    core::mem::forget(check_fd);
    ensure(flags.contains(FdFlags::CLOEXEC))
}
