//! Closes every descriptor that a program must not have, and verifies it.
//!
//! Close-on-exec is too late: execve(2) looks its path up first, and a path in a jail may lead through /proc/self/fd.

use core::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::fd::{FIRST_AFTER_STDIO, borrow, for_each_fd_above_stdio};
use super::{Errno, Result, cvt, cvt_long, dir, ensure};

/// The range that contains only this descriptor.
pub fn single_fd_range(fd: BorrowedFd<'_>) -> Range<RawFd> {
    fd.as_raw_fd()..fd.as_raw_fd() + 1
}

/// Closes all descriptors above 2 except those in the ranges `spared`, which may be empty and may overlap.
///
/// Must be called only in a process that uses no other descriptor afterwards, including any `OwnedFd` that is dropped
/// later.
///
/// # Errors
/// When the descriptors cannot be listed; EPERM when one of the first 64 above 2 is still open.
#[inline(never)]
pub fn close_above_stdio_verified(spared: &[Range<RawFd>]) -> Result<()> {
    let is_spared = |number: RawFd| spared.iter().any(|range| range.contains(&number));
    let (mut first, mut result) = (FIRST_AFTER_STDIO, Ok(0));
    while first < RawFd::MAX && result.is_ok() {
        if is_spared(first) {
            first += 1;
            continue;
        }
        let starts = spared.iter().filter(|range| !range.is_empty() && range.start > first).map(|range| range.start);
        let next = starts.min().unwrap_or(RawFd::MAX);
        let last = if next == RawFd::MAX { libc::c_uint::MAX } else { (next - 1).unsigned_abs() };
        // SAFETY: closes descriptors that nothing in this process uses any more.
        result = cvt_long(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) });
        first = next;
    }
    if result.is_err() {
        // close_range(2) is missing before Linux 5.9, and in a container whose seccomp filter does not know it.
        for_each_fd_above_stdio(&|number| {
            if !is_spared(number) {
                // SAFETY: closes a descriptor that nothing in this process uses any more.
                let _ = unsafe { libc::close(number) };
            }
        })?;
    }
    verify_closed(&is_spared)
}

/// The number of descriptors whose closing is verified. A manager's descriptors have low numbers.
const CHECKED_FD_COUNT: usize = 64;

/// Verifies with one poll(2) that the first [`CHECKED_FD_COUNT`] descriptors above 2 are closed, except those for which
/// `is_spared` returns true. poll(2) reports open and closed descriptors differently, so a skipped call is detected.
#[inline(never)]
fn verify_closed(is_spared: &dyn Fn(RawFd) -> bool) -> Result<()> {
    let mut number = FIRST_AFTER_STDIO;
    let mut fds: [PollFd<'_>; CHECKED_FD_COUNT] = core::array::from_fn(|_| {
        number += 1;
        PollFd::from_borrowed_fd(borrow(number - 1), PollFlags::empty())
    });
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => {
            let open =
                |(fd, number): (&PollFd<'_>, RawFd)| !fd.revents().contains(PollFlags::NVAL) && !is_spared(number);
            ensure(!fds.iter().zip(FIRST_AFTER_STDIO..).any(open))
        }
        // poll(2) refuses more descriptors than RLIMIT_NOFILE. The cloexec probe still detects that the closing was
        // skipped.
        Err(Errno::INVAL) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Closes one descriptor that must not be used any more.
///
/// # Errors
/// The errors of close(2).
pub fn close(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the caller never uses it again.
    cvt(unsafe { libc::close(fd.as_raw_fd()) }).map(drop)
}

/// Verifies that none of the descriptors 0 to 2, and none of the given number of descriptors after them, is a
/// directory, which would be a way out of a jail.
///
/// # Errors
/// EISDIR when one is.
pub fn verify_no_directory_fd(count_above_stdio: u16) -> Result<()> {
    let is_directory = |number| dir::fstat(borrow(number)).is_ok_and(|about| about.directory);
    if (0..FIRST_AFTER_STDIO + RawFd::from(count_above_stdio)).any(is_directory) { Err(Errno::ISDIR) } else { Ok(()) }
}
