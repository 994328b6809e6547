//! Whether a child has ended whose end the kernel does not report, because a tracer keeps it.
//!
//! waitid(2) reports a traced child to its parent only after the tracer has let go of it. A process with the same uid
//! could so keep a dead server from being restarted, and a stop from ending. A pidfd is readable all the same.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::descendants;
use crate::logic::base::exit::Exit;
use crate::logic::base::time::{Span, Time};
use crate::sys::pidfd::Process;
use crate::sys::process::Pid;

/// How long a tracer may take to let go of a process that has ended: strace(1) and gdb(1) take some milliseconds.
const PATIENCE: Span = Span::secs(1);

/// A child's pidfd, until the child has ended. Before Linux 5.3 there is none, and such an end remains hidden.
#[derive(Default)]
pub struct Lifeline {
    pidfd: Option<OwnedFd>,
    /// When an end counts that has not been reported.
    counts_at: Option<Time>,
}

impl Lifeline {
    /// Of a child that has not been reaped.
    pub fn new(child: Pid) -> Self {
        Self { pidfd: Process::watch(child), counts_at: None }
    }

    /// What to wait for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().filter(|_| self.counts_at.is_none()).map(AsFd::as_fd)
    }

    /// The pidfd was readable. It would be so again and again, so it is no longer waited for.
    pub fn note_end(&mut self, now: Time) {
        self.counts_at = Some(now.after(PATIENCE));
    }

    /// When the end counts.
    pub fn deadline(&self) -> Option<Time> {
        self.counts_at
    }
}

/// How a child ended that cannot be reaped. An end that /proc does not show counts as status 255.
pub fn hidden_exit(child: Pid) -> Exit {
    descendants::exit_word(child).map_or(Exit::Code(u8::MAX), Exit::from_wait)
}
