//! A spare descriptor, the probe, which detects that a seccomp filter or a tracer has skipped the call that closes all
//! descriptors or makes them close-on-exec: if the call was made, the probe was affected too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_getfd};

use super::{Errno, Result, ensure, fd};

/// Makes `/dev/null` standard input, and returns a second descriptor of it, the probe, which is not close-on-exec.
/// Without that device, standard input is an empty pipe.
///
/// # Errors
/// The errors of dup2(2); those of pipe2(2) if `/dev/null` cannot be opened.
pub fn redirect_stdin_to_null() -> Result<OwnedFd> {
    let opened = open(c"/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).or_else(|_| fd::open_null())?;
    fd::dup_onto(opened.as_fd(), 0)?;
    Ok(opened)
}

/// Makes an open file standard input, and returns a second descriptor of it, the probe, which is not close-on-exec.
///
/// # Errors
/// The errors of dup2(2).
pub fn redirect_stdin(input: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd::dup_onto(input, 0)?;
    rustix::io::dup(input)
}

/// Verifies that the probe was closed by the call that closes all descriptors except those of the program.
///
/// # Errors
/// EPERM when the probe is still open.
pub fn verify_probe_closed(probe: OwnedFd) -> Result<()> {
    let found = fcntl_getfd(&probe);
    core::mem::forget(probe);
    ensure(found == Err(Errno::BADF))
}

/// Verifies that the probe was made close-on-exec by the call that makes all descriptors close-on-exec. The probe stays
/// open until the exec.
///
/// # Errors
/// EPERM when the probe would survive the exec.
pub fn verify_probe_cloexec(probe: OwnedFd) -> Result<()> {
    let flags = fcntl_getfd(&probe)?;
    core::mem::forget(probe);
    ensure(flags.contains(FdFlags::CLOEXEC))
}
