//! Makes sure that standard input, output and error are open.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};

use super::Result;
use super::fd::{dup_onto, open_null, set_cloexec};

const STDIO_FDS: [RawFd; 3] = [0, 1, 2];

/// How long descriptors stay open that `ensure_open` has opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OpenUntil {
    /// The program that is executed finds them closed, as vsrun did.
    Exec,
    /// The program that is executed inherits them.
    Exit,
}

/// Opens those of the descriptors 0, 1 and 2 that are closed, so that no file that is opened later gets such a number
/// and is used as standard error. They stay open until the process exits, or only until its exec.
///
/// # Errors
/// When neither `/dev/null` can be opened nor a pipe be created; the errors of poll(2), dup2(2) and fcntl(2).
#[inline(never)]
pub fn ensure_open(until: OpenUntil) -> Result<()> {
    let mut closed = [true; 3];
    {
        let mut fds = STDIO_FDS.map(|number| {
            // SAFETY: only poll(2) uses the number, which reports POLLNVAL for a closed one.
            PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(number) }, PollFlags::empty())
        });
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        for (closed, fd) in closed.iter_mut().zip(&fds) {
            *closed = fd.revents().contains(PollFlags::NVAL);
        }
    }
    for (number, closed) in STDIO_FDS.into_iter().zip(closed) {
        if closed {
            // open(2) and pipe2(2) return the lowest free number, which is `number`. If a filter or tracer has skipped
            // the call, the descriptor may be another one.
            let fd = open_null()?;
            if fd.as_raw_fd() == number {
                fcntl_setfd(&fd, FdFlags::empty())?;
                core::mem::forget(fd);
            } else {
                dup_onto(fd.as_fd(), number)?;
            }
            if until == OpenUntil::Exec {
                set_cloexec(number)?;
            }
        }
    }
    Ok(())
}
