//! The supervisor's rules, fixed at its start: when to restart, how to stop the server, and how long that may take.

use super::event::Recipient;
use crate::logic::base::exit::SuccessExits;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{Span, Time, parse_number};

/// Which exits of the server lead to a restart (`--restart`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// No exit leads to a restart.
    No,
    /// Unexpected exits lead to a restart: those with a status or by a signal that is neither a success nor requested.
    OnFailure,
    /// Only unexpected exits by a signal lead to a restart.
    OnAbort,
    /// Every exit that was not requested leads to a restart.
    Always,
}

/// `--restart-limit N/DURATION`: at most N restarts within the duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// The largest number of restarts, at least 1.
    pub restarts: u16,
    /// The duration in which restarts are counted, at least a millisecond.
    pub within: Span,
}

impl RestartLimit {
    /// Reads `N/DURATION`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut halves = split_byte(text, b'/');
        let restarts = u16::try_from(parse_number(halves.next()?)?).ok()?;
        let within = Span::parse(halves.rest?)?;
        (restarts > 0 && within > Span::ZERO).then_some(Self { restarts, within })
    }
}

/// How vsrun treats requests to exit and the server's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A manager stops the server on request and then exits with 0.
    Manager,
    /// An init forwards signals to the server and exits with the server's status.
    Init,
    /// An init with `--stop-timeout`: if the server does not exit in time after a forwarded TERM or stop signal, it is
    /// killed.
    InitWithTimeout,
}

/// What vsrun as PID 1 does to the machine instead of exiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtExit {
    /// Switches the machine off.
    Poweroff,
    /// Reboots the machine.
    Reboot,
    /// Halts the machine.
    Halt,
}

/// The supervisor's rules, made from the options.
#[derive(Clone, Debug)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct Policy {
    /// Whether vsrun is a manager or an init.
    pub role: Role,
    /// The recipient of signals for the server: the process alone, or its group. If it is the group, vsrun handles the
    /// server's exit only after the rest of the group has exited.
    pub signal_scope: Recipient,
    /// Whether forwarded signals go to the process group even if `signal_scope` is the process alone.
    pub forwards_to_group: bool,
    /// Which exits lead to a restart.
    pub restart: Restart,
    /// Whether a crash handler decides about restarts, and how long it may take.
    pub handler: CrashHandlerPolicy,
    /// The signal that asks the server to exit.
    pub stop_signal: Signal,
    /// How long processes that outlive the server have to exit before they are killed. None: they are left alone.
    pub linger_timeout: Option<Span>,
    /// Which exits are a success (`--success-exit`).
    pub success: SuccessExits,
    /// The shortest and the longest pause between consecutive restarts.
    pub restart_delay_range: (Span, Span),
    /// How many restarts in which duration are allowed before the supervisor gives up. None: any number.
    pub limit: Option<RestartLimit>,
    /// How long the first server process may take until it is ready. None: for ever.
    pub ready_timeout: Option<Span>,
    /// How long the new server of a replacement may take until it is ready. None: the server cannot be replaced,
    /// because its kind of `--ready` does not show that the new process works.
    pub candidate_ready_timeout: Option<Span>,
    /// How long a ready server may send no `WATCHDOG=1`. None: for ever.
    pub watchdog: Option<Span>,
    /// How long a ready server goes on after a request to stop, before it is sent the stop signal. None: not at all.
    pub stop_delay: Option<Span>,
    /// How long the server may take to exit after the stop signal. None: for ever.
    pub stop_timeout: Option<Span>,
}

/// Signals that ask a process to exit, in addition to the stop signal.
pub const EXIT_REQUEST_SIGNALS: [Signal; 5] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::KILL];

impl Policy {
    /// True if the signal asks a process to exit.
    pub fn requests_exit(&self, signal: Signal) -> bool {
        signal == self.stop_signal || EXIT_REQUEST_SIGNALS.contains(&signal)
    }

    /// The pause before a restart: none if `failures` is 0, then the shortest pause, doubled by each further failure up
    /// to the longest pause.
    pub fn restart_pause_after(&self, failures: u32) -> Span {
        let (min, max) = self.restart_delay_range;
        match failures.checked_sub(1) {
            None => Span::ZERO,
            Some(doublings) => Span(min.0.saturating_mul(1u64.checked_shl(doublings).unwrap_or(u64::MAX))).min(max),
        }
    }

    /// The recipient of forwarded signals.
    pub fn forward_scope(&self) -> Recipient {
        if self.forwards_to_group { Recipient::Group } else { self.signal_scope }
    }

    /// True if a forwarded signal asks the server and vsrun to exit. Always false for a manager, which exits only on
    /// its own stop requests.
    pub fn forwarding_ends_service(&self, signal: Signal) -> bool {
        self.role != Role::Manager && [Signal::TERM, self.stop_signal].contains(&signal)
    }

    /// True if an init treats a forwarded signal as a request to stop, to which `--stop-delay` applies: SIGTERM, SIGINT
    /// or the stop signal. Always false for a manager.
    pub fn is_forwarded_stop_request(&self, signal: Signal) -> bool {
        self.forwarding_ends_service(signal) || self.role != Role::Manager && signal == Signal::INT
    }

    /// If a process is sent the stop signal or KILL now: the time at which it is sent KILL, or KILL again. None: never.
    pub fn stop_deadline(&self, now: Time) -> Option<Time> {
        self.stop_timeout.map(|span| now.after(span))
    }
}

/// Whether there is a crash handler, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashHandlerPolicy {
    /// There is no crash handler: the server is restarted as if a handler had exited with 0.
    Absent,
    /// The handler may take any time.
    NoTimeout,
    /// The handler is sent TERM after this time.
    MustExitWithin(Span),
}
