//! What the manager remembers from one event to the next.

use alloc::vec::Vec;

use super::event::{Action, Ending};
use super::policy::{Policy, Restart};
use crate::logic::base::exit::Exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};

/// A run of this length, or of the longest pause where that is shorter, ends a series of consecutive failures.
const STABLE_UPTIME: Span = Span::secs(10);

/// Everything that the manager remembers.
#[derive(Clone, Debug)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// Whether the first start has been a success.
    pub(super) ready: bool,
    /// When this life of the server began.
    pub(super) started_at: Time,
    /// Unexpected exits in a row without a stable run in between.
    pub(super) consecutive_failures: u32,
    /// Restarts after unexpected ends.
    pub(super) restarts: u64,
    /// When the last restarts were, as many as the limit asks for; its memory is there from the start.
    pub(super) history: Vec<Time>,
    /// The signals sent on to the server in this life, on request.
    pub(super) forwarded: u64,
    /// How long to wait when the kernel refuses to fork.
    pub(super) fork_backoff: Span,
    /// When the watchdog fires, if one is armed.
    pub(super) watchdog_deadline: Option<Time>,
    /// The watchdog time of this run: that of `--watchdog`, until the server sets another.
    pub(super) watchdog: Option<Span>,
    /// Whether the watchdog has fired for this server process.
    pub watchdog_fired: bool,
}

/// Where the manager is. `until` is when it goes on by itself; `exit` is the end of the server that it is all about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first server has been launched and does not count as started yet.
    Starting { until: Option<Time> },
    /// The server runs.
    Running,
    /// The server has been asked to end; what then.
    Stopping { next: AfterStop, until: Option<Time> },
    /// The server has ended. What is left of its group or of its tree has been asked to exit, or has been killed. The
    /// server's own end is known once the rest of its group has ended.
    Clearing { next: AfterStop, exit: Option<Exit>, until: Option<Time>, killed: bool },
    /// The handler runs.
    HandlerRunning { exit: Exit, until: Option<Time>, pause: Pause },
    /// The handler took too long and has been asked to end.
    HandlerTimedOut { exit: Exit, until: Option<Time> },
    /// The handler has been asked to end, and the manager ends with it.
    HandlerStopping { until: Option<Time> },
    /// A pause before a restart.
    Backoff { until: Time },
    /// The kernel refused to fork; once more then.
    ForkRetry { task: ForkTask, until: Time },
    /// The server will not be restarted; its remaining processes have been asked to exit.
    DrainingRemaining { ending: Ending, until: Time },
    /// They have been killed.
    KillingRemaining { ending: Ending, until: Time },
    /// Over.
    Done,
}

/// What follows the server's end on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterStop {
    /// The manager's own.
    Finish,
    /// A restart.
    Restart,
    /// The end of a first start that failed.
    FailStart,
    /// What follows its end by itself, once the rest of its group has ended too.
    HandleExit,
}

/// Whether a restart may be put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// As the row of falls says.
    Backoff,
    /// A restart was requested meanwhile.
    None,
}

/// What could not be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkTask {
    /// The server.
    Launch,
    /// The handler.
    RunHandler {
        /// The end of the server that it is about.
        exit: Exit,
        /// Whether the restart may be put off.
        pause: Pause,
    },
}

impl State {
    /// Before the first launch, which is the caller's: as if it had just been done.
    pub fn new(policy: &Policy, now: Time) -> Self {
        let room = policy.limit.map_or(0, |limit| usize::from(limit.restarts));
        Self {
            phase: Phase::Starting { until: policy.ready_timeout.map(|span| now.after(span)) },
            ready: false,
            started_at: now,
            consecutive_failures: 0,
            restarts: 0,
            history: Vec::with_capacity(room),
            forwarded: 0,
            fork_backoff: Span::ZERO,
            watchdog_deadline: None,
            watchdog: policy.watchdog,
            watchdog_fired: false,
        }
    }

    /// When the state changes by itself.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Running => self.watchdog_deadline,
            Phase::Done => None,
            Phase::Starting { until }
            | Phase::Stopping { until, .. }
            | Phase::Clearing { until, .. }
            | Phase::HandlerRunning { until, .. }
            | Phase::HandlerTimedOut { until, .. }
            | Phase::HandlerStopping { until } => until,
            Phase::Backoff { until }
            | Phase::ForkRetry { until, .. }
            | Phase::DrainingRemaining { until, .. }
            | Phase::KillingRemaining { until, .. } => Some(until),
        }
    }

    /// Whether a signal ended the server that was forwarded to it in this run.
    pub fn was_forwarded(&self, exit: Exit) -> bool {
        exit.signal().is_some_and(|signal| self.forwarded & signal.bit() != 0)
    }

    /// Whether a forwarded signal asked for this end. A signal that tells a server something else (USR1, a real-time
    /// signal) and ends it nevertheless has found a server that did not handle it: that is a crash.
    fn was_requested(&self, policy: &Policy, exit: Exit) -> bool {
        const REQUESTS: [Signal; 5] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::KILL];
        self.was_forwarded(exit)
            && exit.signal().is_some_and(|signal| signal == policy.stop_signal || REQUESTS.contains(&signal))
    }

    /// The server's run is over. One that was long enough interrupts the series of consecutive failures.
    pub(super) fn end_run(&mut self, policy: &Policy, now: Time) {
        self.fork_backoff = Span::ZERO;
        if now.since(self.started_at) >= STABLE_UPTIME.min(policy.delay.1) {
            self.consecutive_failures = 0;
        }
    }

    /// The end as the exit status shows it: a listed one is a success, unless the watchdog forced it.
    pub(super) fn judge(&self, policy: &Policy, ending: Ending) -> Ending {
        let judge = |exit| {
            if !policy.success.contains(exit) {
                exit
            } else if self.watchdog_fired {
                Exit::Signal { signal: Signal::ABRT, core: false }
            } else {
                Exit::SUCCESS
            }
        };
        match ending {
            Ending::Server(exit) => Ending::Server(judge(exit)),
            Ending::GaveUp(exit) => Ending::GaveUp(judge(exit)),
            Ending::Stopped | Ending::Failed(_) => ending,
        }
    }

    /// Whether an exit of the server leads to a restart. A requested end is not unexpected.
    pub(super) fn is_unexpected(&self, policy: &Policy, exit: Exit) -> bool {
        let passed = self.was_requested(policy, exit);
        match policy.restart {
            Restart::Always => true,
            Restart::No => false,
            // However it took it.
            Restart::OnFailure | Restart::OnAbort if self.watchdog_fired => true,
            Restart::OnFailure => !passed && !policy.success.contains(exit),
            Restart::OnAbort => !passed && !policy.success.contains(exit) && exit.signal().is_some(),
        }
    }

    /// The server has said that it lives, and has to say so again in time.
    pub(super) fn arm_watchdog(&mut self, now: Time) -> Action {
        self.watchdog_deadline = self.watchdog.map(|span| now.after(span));
        Action::Wait
    }

    /// The same, where that matters.
    pub(super) fn heed_again(&mut self, now: Time) -> Action {
        if self.watchdog_deadline.is_some() { self.arm_watchdog(now) } else { Action::Wait }
    }

    /// The server has been silent for too long.
    pub(super) fn on_watchdog(&mut self, policy: &Policy, now: Time) -> Action {
        self.watchdog_fired = true;
        self.phase = Phase::Stopping { next: AfterStop::HandleExit, until: policy.stop_deadline(now) };
        Action::Send(Signal::ABRT, policy.signal_scope)
    }

    /// Restarts after unexpected ends so far.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// How long this life of the server has lasted.
    pub fn uptime(&self, now: Time) -> Span {
        now.since(self.started_at)
    }
}
