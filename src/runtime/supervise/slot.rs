//! The two server processes of a replacement, and what belongs to each.

use crate::logic::supervisor::event::Event;

/// Selects one of the two server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The server: the process that the pidfile names.
    Server,
    /// The second process of a replacement.
    Second,
}

impl Slot {
    /// Returns the event that means: `event` has happened to the process in this slot.
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
    /// The token of the request whose replacement is under way.
    pub current: Option<u32>,
    /// The tokens of the last requests with their answers, which are still in the lock. Older answers are removed.
    pub answers: [Option<(u32, u16)>; 8],
    /// The index of the oldest entry of `answers`, which the next request overwrites.
    pub oldest: usize,
}

/// Describes which children of vsrun certainly belong to one of two server processes.
#[derive(Clone, Copy)]
pub struct SweepScope {
    /// The id of the server process's session.
    pub session: i32,
    /// A start time in clock ticks since the boot, as in /proc: every child that started before it belongs to the
    /// server process. If it is 0, the start time shows nothing.
    pub started_before: u64,
}
