//! Detects the exit of a child that a tracer hides from its parent.
//!
//! waitid(2) reports a traced child to its parent only after the tracer has detached. As its tracer, any process with
//! the same uid could prevent a restart or a stop. A pidfd becomes readable in spite of the tracer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::descendants;
use crate::logic::base::exit::Exit;
use crate::logic::base::time::{Span, Time};
use crate::sys::pidfd::Process;
use crate::sys::process::Pid;

/// How long a tracer may hide an exit before the supervisor acts on it. strace(1) and gdb(1) detach within
/// milliseconds.
const MAX_HIDDEN_BY_TRACER: Span = Span::secs(1);

/// Watches a child through its pidfd. Linux before 5.3 has no pidfd to poll, so an exit that a tracer hides is not
/// detected there.
#[derive(Default)]
pub struct ExitWatch {
    pidfd: Option<OwnedFd>,
    /// When the supervisor acts on the exit even if waitid(2) has not reported it. None until the pidfd is readable.
    accept_at: Option<Time>,
}

impl ExitWatch {
    /// Opens the pidfd of a child, which must not have been reaped.
    pub fn new(child: Pid) -> Self {
        Self { pidfd: Process::child_pidfd(child), accept_at: None }
    }

    /// The pidfd to poll. None if there is none, and after it has become readable.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().filter(|_| self.accept_at.is_none()).map(AsFd::as_fd)
    }

    /// Called when the pidfd has become readable. It stays readable, so it is not polled any more.
    pub fn on_readable(&mut self, now: Time) {
        self.accept_at = Some(now.after(MAX_HIDDEN_BY_TRACER));
    }

    /// When the supervisor acts on an exit that waitid(2) has not reported. None until the pidfd is readable.
    pub fn deadline(&self) -> Option<Time> {
        self.accept_at
    }
}

/// The exit of a child that a tracer hides: the status that /proc shows, otherwise 255. Status 0 also becomes 255,
/// because the kernel shows 0 in place of a status that vsrun may not see.
pub fn hidden_exit(child: Pid) -> Exit {
    descendants::zombie_status(child).map_or(Exit::Code(u8::MAX), Exit::from_wait)
}
