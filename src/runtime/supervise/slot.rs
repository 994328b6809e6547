//! The two server processes of a replacement, and what belongs to each.

use crate::logic::supervisor::event::Event;

/// Which of the two server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The server: the process that the pidfile names.
    Server,
    /// The second process of a replacement.
    Second,
}

impl Slot {
    /// The event, if it happened to this process.
    pub fn event(self, event: Event) -> Event {
        match self {
            Self::Server => event,
            Self::Second => event.for_second(),
        }
    }
}

/// The requests of `--replace` that have been answered.
#[derive(Default)]
pub struct Requests {
    /// The request whose replacement is under way.
    pub current: Option<u32>,
    /// The tokens of the last requests with their answers, which are still in the lock. Older answers are removed.
    pub answers: [Option<(u32, u16)>; 8],
    /// The index in `answers` for the next request.
    pub oldest: usize,
}

/// The children of vsrun that belong to one of two server processes.
#[derive(Clone, Copy)]
pub struct SweepScope {
    /// The session of the server process.
    pub session: i32,
    /// A start time in clock ticks since the boot, as in /proc: every child that started before belongs to the process.
    pub before: u64,
}
