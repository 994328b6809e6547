//! Which of the two server processes of a replacement, and what belongs to it.

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
            Self::Second => event.of_second(),
        }
    }
}

/// The requests that have been answered.
#[derive(Default)]
pub struct Requests {
    /// The request whose replacement is under way.
    pub current: Option<u32>,
    /// The last tokens, so that the gaps in the lock stay few.
    pub tokens: [u32; 8],
    /// The place of the next one.
    pub oldest: usize,
}

/// The children of vsrun that belong to one of two server processes.
#[derive(Clone, Copy)]
pub struct Part {
    /// The session of that process.
    pub session: i32,
    /// All that started before this belong to it: in clock ticks since the boot, as in /proc.
    pub before: u64,
}
