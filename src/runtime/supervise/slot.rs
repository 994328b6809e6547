//! The two server processes of a replacement, and what belongs to each.

use crate::logic::formats::process_tree;
use crate::logic::supervisor::event::Event;

/// Selects one of the two server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessSlot {
    /// The server: the process that the pidfile names.
    Server,
    /// The second process of a replacement: the candidate or, after the candidate has become the server, the old
    /// server.
    Second,
}

impl ProcessSlot {
    /// Returns the event which means that `event` has happened to the process in this slot.
    pub fn event_of_process(self, event: Event) -> Event {
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
    pub current_token: Option<u32>,
    /// The tokens of the last requests and the numbers that answer them in the lock of the pidfiles. Older answers are
    /// removed.
    pub answers: [Option<(u32, u16)>; 8],
    /// The index of the oldest entry of `answers`, which the next new request overwrites.
    pub oldest_answer: usize,
}

/// Describes which children of vsrun certainly belong to one of two server processes.
#[derive(Clone, Copy)]
pub struct SweepScope {
    /// The id of the server process's session: children in it belong to the server process.
    pub session_id: i32,
    /// A start time in clock ticks since the boot, as in /proc: every child that started before it belongs to the
    /// server process. 0 if the start time shows nothing.
    pub started_before: u64,
}

impl SweepScope {
    /// True if a child with this /proc/PID/stat is in the scope.
    pub fn includes_child(self, stat: &[u8]) -> bool {
        process_tree::in_session_or_older(stat, self.session_id, self.started_before)
    }
}
