//! Checks whether a read or a write of a descriptor would block.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sys::Errno;

/// True if there are bytes to read now.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    poll_now(fd, PollFlags::IN).contains(PollFlags::IN)
}

/// True if a write would not block and the reader still exists.
pub fn is_writable(fd: BorrowedFd<'_>) -> bool {
    poll_now(fd, PollFlags::OUT) == PollFlags::OUT
}

/// Waits until a write would not block or the connection has failed, for at most `millis` milliseconds. Returns false
/// if the time has passed.
pub fn await_writable(fd: BorrowedFd<'_>, millis: u64) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    loop {
        match poll(&mut fds, Some(&crate::sys::clock::timespec(millis))) {
            Err(Errno::INTR) => {}
            result => return result.is_ok_and(|count| count > 0),
        }
    }
}

/// The events of a descriptor that poll(2) reports now, without waiting.
fn poll_now(fd: BorrowedFd<'_>, event: PollFlags) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(fd, event)];
    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let [fd] = fds;
    fd.revents()
}
