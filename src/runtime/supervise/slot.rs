//! The two server processes of a replacement, and what belongs to each.

use crate::logic::supervisor::event::Event;

/// Selects one of the two server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The server: the process that the pidfile names.
    Server,
    /// The second process of a replacement: the candidate or, after the candidate has become the server, the old
    /// server.
    Second,
}

impl Slot {
    /// Returns the event which means that `event` has happened to the process in this slot.
    pub fn event(self, event: Event) -> Event {
        match self {
            Self::Server => event,
            Self::Second => event.for_second_process(),
        }
    }
}

/// The requests of `--replace` that have been answered.
#[derive(Default)]
pub struct ReplaceRequests {
    /// The token of the request whose replacement is under way.
    pub current: Option<u32>,
    /// The tokens of the last requests and the numbers that answer them in the lock of the pidfiles. Older answers are
    /// removed.
    pub answers: [Option<(u32, u16)>; 8],
    /// The index of the oldest entry of `answers`, which the next new request overwrites.
    pub oldest: usize,
}

/// Describes which children of vsrun certainly belong to one of two server processes.
#[derive(Clone, Copy)]
pub struct SweepScope {
    /// The id of the server process's session: children in it belong to the server process.
    pub session: i32,
    /// A start time in clock ticks since the boot, as in /proc: every child that started before it belongs to the
    /// server process. 0 if the start time shows nothing.
    pub started_before: u64,
}
