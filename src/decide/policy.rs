//! What the manager is told at its start: when to restart, how to ask for an end, and how long that may take.

use super::exit::Success;
use super::signal::Signal;
use super::text::parts;
use super::time::{Span, number};

/// Which ends of the server lead to a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// None.
    No,
    /// Unexpected ones.
    OnFailure,
    /// Death by a signal.
    OnAbort,
    /// All.
    Always,
}

impl Restart {
    /// Reads the value of `--restart`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"no" => Some(Self::No),
            b"on-failure" => Some(Self::OnFailure),
            b"on-abort" => Some(Self::OnAbort),
            b"always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// No more than so many restarts within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// N, at least 1.
    pub restarts: u16,
    /// DURATION, at least a millisecond.
    pub within: Span,
}

impl Limit {
    /// Reads `N/DURATION`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut halves = parts(text, b'/');
        let restarts = u16::try_from(number(halves.next()?)?).ok()?;
        let within = Span::parse(halves.rest?)?;
        (restarts > 0 && within > Span::ZERO).then_some(Self { restarts, within })
    }
}

/// What the manager was told at its start.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which ends lead to a restart.
    pub restart: Restart,
    /// Which ends are voluntary.
    pub success: Success,
    /// The shortest and the longest pause before restarts in a row.
    pub delay: (Span, Span),
    /// When to give up.
    pub limit: Option<Limit>,
    /// How long the first server may take until it counts as started. None: for ever.
    pub ready_timeout: Option<Span>,
    /// Whether a handler is asked.
    pub handler: Handling,
    /// What asks the server to end.
    pub stop_signal: Signal,
    /// How long it may take. None: for ever.
    pub stop_timeout: Option<Span>,
}

/// Whether there is a handler, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// None: as if it had exited with 0.
    Absent,
    /// As long as it takes.
    Patient,
    /// So long.
    Within(Span),
}
