//! Sockets survive their servers: what a run has done to a shared socket does not make the next run deaf.
//!
//! The server has the very sockets that vsrun keeps. shutdown(2), or connect(2) with AF_UNSPEC, stops a TCP socket that
//! listens; connect(2) lets a UDP socket hear one peer only. Both are undone before each later run. O_NONBLOCK, the
//! backlog and other options stay as the server has set them: another process of the old run may still use them, and the
//! next run of the same program sets them again.

use std::os::fd::RawFd;

use super::supervisor::Supervisor;
use crate::logic::plan::step::Step;
use crate::sys::{Errno, fd, socket};

impl Supervisor<'_> {
    /// Lets the sockets listen again. What cannot be undone is recorded.
    #[inline(never)]
    pub fn revive_sockets(&self) {
        let steps = self.config.program.steps().iter();
        let mut counts = steps.filter_map(|step| if let Step::PassSockets(count) = step { Some(*count) } else { None });
        for number in fd::FIRST..fd::FIRST + RawFd::from(counts.next().unwrap_or(0)) {
            match socket::revive(number) {
                // A connection, or no socket at all: what vsrun's parent has handed over.
                Ok(()) | Err(Errno::INVAL | Errno::NOTSOCK) => {}
                Err(why) => self.warn(format_args!("cannot listen again on descriptor {number}"), why),
            }
        }
    }
}
