//! The state that the supervisor keeps from one event to the next.

use alloc::vec::Vec;

use super::event::{Action, Ending};
use super::policy::{Policy, Restart};
use super::replacement::{Outcome, SecondProcess};
use crate::logic::base::exit::{Exit, VSRUN_FAILED};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time, earliest};

/// A run of this length, or of the longest restart pause if that is shorter, resets the count of consecutive failures.
const STABLE_UPTIME: Span = Span::secs(10);

/// Everything that the state machine remembers.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Hash, PartialEq, Eq))]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct State {
    /// What the supervisor is doing or waiting for.
    pub phase: Phase,
    /// Whether a server process has been ready: from then on a failed start leads to a restart, not to an error.
    pub(super) has_been_ready: bool,
    /// Why vsrun ends the current server process without having been asked to.
    pub forced: Option<ForcedStop>,
    /// Unexpected exits in a row without a stable run in between.
    pub(super) consecutive_failures: u32,
    /// When the current run of the server began.
    pub(super) run_started_at: Time,
    /// The second process of a replacement.
    pub second: SecondProcess,
    /// The number of restarts after unexpected exits, for records and the crash handler.
    pub(super) unexpected_restarts: u64,
    /// The times of the last restarts, as many as `--restart-limit` needs. Allocated at the start, because a running
    /// supervisor must not allocate.
    pub(super) restart_times: Vec<Time>,
    /// The signals forwarded to the server in the current run, as bits.
    pub(super) forwarded_signal_bits: u64,
    /// The pause after the last fork(2) that failed; zero after a run.
    pub(super) fork_backoff: Span,
    /// When the watchdog fires, if one is armed.
    pub(super) watchdog_deadline: Option<Time>,
    /// The watchdog time of the current run: `--watchdog`, until the server sends `WATCHDOG_USEC=`.
    pub(super) watchdog: Option<Span>,
    /// When the server has to be ready, if it is a candidate that became the server because the old one exited.
    pub(super) promoted_ready_deadline: Option<Time>,
    /// The outcome of the replacement under way: `Done` from its start on, until it fails.
    pub(super) outcome_so_far: Option<Outcome>,
    /// The outcome of the last replacement, until it has been reported.
    pub unreported_outcome: Option<Outcome>,
}

/// What the supervisor is doing or waiting for. `until` is the deadline of the phase; `exit` is how the last run
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Phase {
    /// The first server process has been launched and is not ready yet.
    Starting { until: Option<Time> },
    /// The server runs and a server process has been ready once.
    Running,
    /// A stop was requested. At `until` (`--stop-delay`) the server gets `signal`, or the stop signal if it is None.
    DelayingStop { signal: Option<Signal>, until: Time },
    /// The server has been sent a signal to end it. At `until` it is sent KILL. `next` follows its exit.
    Stopping { next: AfterStop, until: Option<Time> },
    /// The server exited. What is left of its group or its descendants has been sent TERM, or KILL if `killed`. `exit`
    /// is None until the rest of the group is gone and the server can be reaped.
    StoppingRemaining { next: AfterStop, exit: Option<Exit>, until: Option<Time>, killed: bool },
    /// The crash handler runs.
    HandlerRunning { exit: Exit, until: Option<Time>, pause: RestartPause },
    /// The crash handler exceeded `--handler-timeout` and has been sent TERM. At `until` it is sent KILL.
    HandlerTimedOut { exit: Exit, until: Option<Time> },
    /// A stop was requested while the handler ran. It has been sent TERM, and the supervisor exits after it.
    HandlerStopping { until: Option<Time> },
    /// The server is gone. The second process, or what it has left behind, is being ended. `then` follows.
    AwaitingSecondProcessExit { then: AfterSecondProcess },
    /// A pause before a restart.
    Backoff { until: Time },
    /// fork(2) failed. `task` is tried again at `until`.
    ForkRetry { task: ForkTask, until: Time },
    /// No restart follows. Because of `--linger`, the remaining processes have been sent TERM.
    DrainingRemaining { ending: Ending, until: Time },
    /// The remaining processes have been sent KILL.
    KillingRemaining { ending: Ending, until: Time },
    /// The supervisor exits.
    Done,
}

impl Phase {
    /// True if the server runs and vsrun is not about to stop it, so that it is probed.
    pub fn is_starting_or_running(self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Running)
    }
}

/// Why vsrun stops a server although no stop or restart was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum ForcedStop {
    /// The watchdog time passed without a `WATCHDOG=1` from the server.
    Watchdog,
    /// The health probe failed too often in a row.
    Health,
    /// A candidate became the server because the old one exited, and then failed to become ready.
    Unready,
}

impl ForcedStop {
    /// The value of the crash handler's variable `VSRUN_SERVER_REASON`.
    pub fn server_reason_env_value(self) -> &'static str {
        match self {
            Self::Watchdog => "watchdog",
            Self::Health => "health",
            Self::Unready => "unready",
        }
    }

    /// The signal that the server is sent: ABRT for the watchdog, so that it can dump core.
    fn signal(self, policy: &Policy) -> Signal {
        match self {
            Self::Watchdog => Signal::ABRT,
            Self::Health | Self::Unready => policy.stop_signal,
        }
    }
}

/// What follows the exit of a server that vsrun stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum AfterStop {
    /// The supervisor exits.
    Finish,
    /// The server is started again, because a restart was requested.
    Restart,
    /// The first start failed: the supervisor exits with an error.
    FailStart,
    /// The exit is handled as one that was not requested: after a `ForcedStop`, or after an exit of the server by
    /// itself, while its remaining processes are being ended.
    HandleUnrequestedExit,
}

/// What follows the exit of the second process, when the server is gone already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum AfterSecondProcess {
    /// The supervisor exits.
    Finish(Ending),
    /// The server is started, because a restart was requested.
    StartServer,
}

/// The pause before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum RestartPause {
    /// As long as the number of consecutive failures requires.
    Backoff,
    /// No pause, because a restart was requested while the crash handler ran.
    None,
}

/// What to start when fork(2) is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum ForkTask {
    /// Start the server.
    StartServer,
    /// Start the crash handler.
    RunHandler {
        /// The exit of the server that the handler decides about.
        exit: Exit,
        /// Whether the restart after the handler waits for the pause.
        pause: RestartPause,
    },
}

impl State {
    /// The state just after the first launch. The caller must start the server itself.
    pub fn new(policy: &Policy, now: Time) -> Self {
        let room = policy.limit.map_or(0, |limit| usize::from(limit.restarts));
        Self {
            phase: Phase::Starting { until: policy.ready_timeout.map(|span| now.after(span)) },
            has_been_ready: false,
            run_started_at: now,
            consecutive_failures: 0,
            unexpected_restarts: 0,
            restart_times: Vec::with_capacity(room),
            forwarded_signal_bits: 0,
            fork_backoff: Span::ZERO,
            watchdog_deadline: None,
            watchdog: policy.watchdog,
            forced: None,
            promoted_ready_deadline: None,
            second: SecondProcess::None,
            outcome_so_far: None,
            unreported_outcome: None,
        }
    }

    /// When the supervisor must pass `Event::DeadlinePassed` to the state machine.
    pub fn deadline(&self) -> Option<Time> {
        earliest(&[self.phase_deadline(), self.second.deadline()])
    }

    /// The deadline of the phase; in `Phase::Running`, of a promoted candidate to be ready, or of the watchdog.
    pub fn phase_deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Running => self.promoted_ready_deadline.or(self.watchdog_deadline),
            Phase::AwaitingSecondProcessExit { .. } | Phase::Done => None,
            Phase::Starting { until }
            | Phase::Stopping { until, .. }
            | Phase::StoppingRemaining { until, .. }
            | Phase::HandlerRunning { until, .. }
            | Phase::HandlerTimedOut { until, .. }
            | Phase::HandlerStopping { until } => until,
            Phase::DelayingStop { until, .. }
            | Phase::Backoff { until }
            | Phase::ForkRetry { until, .. }
            | Phase::DrainingRemaining { until, .. }
            | Phase::KillingRemaining { until, .. } => Some(until),
        }
    }

    /// True if the server was killed by a signal that was forwarded to it in the current run.
    pub fn killed_by_forwarded_signal(&self, exit: Exit) -> bool {
        exit.signal().is_some_and(|signal| self.forwarded_signal_bits & signal.bit() != 0)
    }

    /// True if a forwarded signal asked for this exit. A signal with another meaning (USR1, a real-time signal) kills
    /// only a server that does not handle it: that is a crash.
    fn was_requested_by_signal(&self, policy: &Policy, exit: Exit) -> bool {
        self.killed_by_forwarded_signal(exit) && exit.signal().is_some_and(|signal| policy.requests_exit(signal))
    }

    /// Ends the run. If it was long enough, the count of consecutive failures starts again at zero.
    pub(super) fn record_run_end(&mut self, policy: &Policy, now: Time) {
        self.fork_backoff = Span::ZERO;
        if now.since(self.run_started_at) >= STABLE_UPTIME.min(policy.restart_delay_range.1) {
            self.consecutive_failures = 0;
        }
    }

    /// Changes how vsrun exits: an exit of the server that `--success-exit` lists becomes a success, but if vsrun has
    /// stopped the server because of a failure ([`ForcedStop`]), it becomes a failure.
    pub(super) fn apply_success_exit(&self, policy: &Policy, ending: Ending) -> Ending {
        let apply_success_exit = |exit| match self.forced {
            _ if !policy.success.contains(exit) => exit,
            Some(ForcedStop::Unready) => Exit::Code(VSRUN_FAILED),
            Some(forced) => Exit::Signal { signal: forced.signal(policy), core: false },
            None => Exit::SUCCESS,
        };
        match ending {
            Ending::ServerExited(exit) => Ending::ServerExited(apply_success_exit(exit)),
            Ending::GaveUp(exit) => Ending::GaveUp(apply_success_exit(exit)),
            Ending::Stopped | Ending::FirstStartFailed(_) => ending,
        }
    }

    /// True if an exit of the server leads to a restart, by the rules of `--restart`.
    pub(super) fn allows_restart_after(&self, policy: &Policy, exit: Exit) -> bool {
        let passed = self.was_requested_by_signal(policy, exit);
        match policy.restart {
            Restart::No => false,
            // A forced stop leads to a restart, even if the server handled the signal and exited with 0.
            Restart::Always | Restart::OnFailure | Restart::OnAbort if self.forced.is_some() => true,
            Restart::Always => !passed,
            Restart::OnFailure => !passed && !policy.success.contains(exit),
            Restart::OnAbort => !passed && !policy.success.contains(exit) && exit.signal().is_some(),
        }
    }

    /// Sets the deadline of the watchdog to now plus the watchdog time.
    pub(super) fn arm_watchdog(&mut self, now: Time) -> Action {
        self.watchdog_deadline = self.watchdog.map(|span| now.after(span));
        Action::Wait
    }

    /// Handles `WATCHDOG=1`: extends the deadline if the watchdog is armed, which it is when the server is ready.
    pub(super) fn extend_watchdog(&mut self, now: Time) -> Action {
        if self.watchdog_deadline.is_some() { self.arm_watchdog(now) } else { Action::Wait }
    }

    /// Stops a server that is silent or not healthy. Its exit counts as unexpected.
    pub(super) fn force_stop(&mut self, policy: &Policy, forced: ForcedStop, now: Time) -> Action {
        self.forced = Some(forced);
        self.phase = Phase::Stopping { next: AfterStop::HandleUnrequestedExit, until: policy.stop_deadline(now) };
        Action::Send(forced.signal(policy), policy.signal_scope)
    }

    /// The number of restarts after unexpected exits so far.
    pub fn unexpected_restarts(&self) -> u64 {
        self.unexpected_restarts
    }

    /// How long the current run has lasted.
    pub fn uptime(&self, now: Time) -> Span {
        now.since(self.run_started_at)
    }
}
