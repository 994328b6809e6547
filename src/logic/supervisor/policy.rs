//! What the manager is told at its start: when to restart, how to ask for an end, and how long that may take.

use super::event::Recipient;
use crate::logic::base::exit::Success;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{Span, Time, number};

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
        let mut halves = split_byte(text, b'/');
        let restarts = u16::try_from(number(halves.next()?)?).ok()?;
        let within = Span::parse(halves.rest?)?;
        (restarts > 0 && within > Span::ZERO).then_some(Self { restarts, within })
    }
}

/// What vsrun is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its manager: a request to end is vsrun's business, and so is the status then.
    Manager,
    /// Its init: signals are the server's, and so is the status, whatever the end.
    Init,
    /// The same, but a TERM that is forwarded has no more than the stop timeout to work.
    InitWithTimeout,
}

/// What PID 1 does instead of exiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtExit {
    /// Switches the machine off.
    Poweroff,
    /// Reboots it.
    Reboot,
    /// Stops it.
    Halt,
}

/// What the manager was told at its start.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What it is to the server.
    pub role: Role,
    /// The recipient of the server's signals: it alone, or its group, of which nothing outlives it then.
    pub signal_scope: Recipient,
    /// How long those have to end that outlive the last server. None: they are left alone.
    pub linger: Option<Span>,
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
    /// How long a server that was ready may say nothing. None: for ever.
    pub watchdog: Option<Span>,
    /// Whether a handler is asked.
    pub handler: Handling,
    /// What asks the server to end.
    pub stop_signal: Signal,
    /// How long it may take. None: for ever.
    pub stop_timeout: Option<Span>,
}

impl Policy {
    /// The first end restarts at once, the next ones after MIN, 2 MIN, 4 MIN, ... MAX.
    pub fn pause_after(&self, row: u32) -> Span {
        let (min, max) = self.delay;
        match row.checked_sub(1) {
            None => Span::ZERO,
            Some(doublings) => Span(min.0.saturating_mul(1u64.checked_shl(doublings).unwrap_or(u64::MAX))).min(max),
        }
    }

    /// Whether a signal that is sent on to the server asks for the end of it all: an init is not asked itself.
    pub fn ends_service(&self, signal: Signal) -> bool {
        self.role != Role::Manager && [Signal::TERM, self.stop_signal].contains(&signal)
    }

    /// When what was asked to end is killed, and killed again.
    pub fn stop_deadline(&self, now: Time) -> Option<Time> {
        self.stop_timeout.map(|span| now.after(span))
    }
}

/// Whether there is a handler, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// None: as if it had exited with 0.
    Absent,
    /// Without a limit.
    NoTimeout,
    /// At most this long.
    Within(Span),
}
