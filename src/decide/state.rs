//! What the manager remembers from one event to the next.

use alloc::vec::Vec;

use super::event::{Action, Ending};
use super::exit::Exit;
use super::policy::{Policy, Restart};
use super::signal::Signal;
use super::time::{Span, Time};

/// A run of this length, or of the longest pause where that is shorter, ends a series of consecutive failures.
const SOUND_LIFE: Span = Span::secs(10);

/// All that the manager remembers.
#[derive(Clone, Debug)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// Whether the first start has been a success.
    pub(super) ready: bool,
    /// When this life of the server began.
    pub(super) since: Time,
    /// How many ends in a row there were without a sound life in between.
    pub(super) row: u32,
    /// Restarts after unexpected ends.
    pub(super) restarts: u64,
    /// When the last restarts were, as many as the limit asks for; its memory is there from the start.
    pub(super) history: Vec<Time>,
    /// The signals sent on to the server in this life, on request.
    pub(super) passed: u64,
    /// How long to wait when the kernel refuses to fork.
    pub(super) shortage: Span,
    /// Until when the server has to say that it lives, where that matters.
    pub(super) silence: Option<Time>,
    /// The watchdog time of this run: that of `--watchdog`, until the server sets another.
    pub(super) watchdog: Option<Span>,
    /// Whether it has not, in this life.
    pub bitten: bool,
}

/// Where the manager is. `until` is when it goes on by itself; `exit` is the end of the server that it is all about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names mean the same in each phase")]
pub enum Phase {
    /// The first server has been launched and does not count as started yet.
    Starting { until: Option<Time> },
    /// The server runs.
    Up,
    /// The server has been asked to end; what then.
    Stopping { next: Next, until: Option<Time> },
    /// The server has ended. What is left of its group or of its tree has been asked to exit, or has been killed. The
    /// server's own end is known once the rest of its group has ended.
    Clearing { next: Next, exit: Option<Exit>, until: Option<Time>, killed: bool },
    /// The handler runs.
    Handling { exit: Exit, until: Option<Time>, pause: Pause },
    /// The handler took too long and has been asked to end.
    Refusing { exit: Exit, until: Option<Time> },
    /// The handler has been asked to end, and the manager ends with it.
    Quitting { until: Option<Time> },
    /// A pause before a restart.
    Resting { until: Time },
    /// The kernel refused to fork; once more then.
    Short { task: Task, until: Time },
    /// The server will not live again; who is left of it has been asked to end.
    Lingering { ending: Ending, until: Time },
    /// They have been killed.
    Killing { ending: Ending, until: Time },
    /// Over.
    Done,
}

/// What follows the server's end on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The manager's own.
    End,
    /// A restart.
    Again,
    /// The end of a first start that failed.
    Fail,
    /// What follows its end by itself, once the rest of its group has ended too.
    Fall,
}

/// Whether a restart may be put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// As the row of falls says.
    Usual,
    /// Somebody asked for a restart meanwhile.
    None,
}

/// What could not be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The server.
    Launch,
    /// The handler.
    Handle {
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
            since: now,
            row: 0,
            restarts: 0,
            history: Vec::with_capacity(room),
            passed: 0,
            shortage: Span::ZERO,
            silence: None,
            watchdog: policy.watchdog,
            bitten: false,
        }
    }

    /// When the state changes by itself.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Up => self.silence,
            Phase::Done => None,
            Phase::Starting { until }
            | Phase::Stopping { until, .. }
            | Phase::Clearing { until, .. }
            | Phase::Handling { until, .. }
            | Phase::Refusing { until, .. }
            | Phase::Quitting { until } => until,
            Phase::Resting { until }
            | Phase::Short { until, .. }
            | Phase::Lingering { until, .. }
            | Phase::Killing { until, .. } => Some(until),
        }
    }

    /// Whether a signal ended the server that was forwarded to it in this run.
    pub fn was_forwarded(&self, exit: Exit) -> bool {
        exit.signal().is_some_and(|signal| self.passed & signal.bit() != 0)
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
        self.shortage = Span::ZERO;
        if now.since(self.since) >= SOUND_LIFE.min(policy.delay.1) {
            self.row = 0;
        }
    }

    /// The end as the exit status shows it: a listed one is a success, unless the watchdog forced it.
    pub(super) fn judge(&self, policy: &Policy, ending: Ending) -> Ending {
        let judge = |exit| {
            if !policy.success.contains(exit) {
                exit
            } else if self.bitten {
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

    /// Whether an end of the server leads to a restart. What somebody asked for is not unexpected.
    pub(super) fn is_unexpected(&self, policy: &Policy, exit: Exit) -> bool {
        let passed = self.was_requested(policy, exit);
        match policy.restart {
            Restart::Always => true,
            Restart::No => false,
            // However it took it.
            Restart::OnFailure | Restart::OnAbort if self.bitten => true,
            Restart::OnFailure => !passed && !policy.success.contains(exit),
            Restart::OnAbort => !passed && !policy.success.contains(exit) && exit.signal().is_some(),
        }
    }

    /// The server has said that it lives, and has to say so again in time.
    pub(super) fn heed(&mut self, now: Time) -> Action {
        self.silence = self.watchdog.map(|span| now.after(span));
        Action::Wait
    }

    /// The same, where that matters.
    pub(super) fn heed_again(&mut self, now: Time) -> Action {
        if self.silence.is_some() { self.heed(now) } else { Action::Wait }
    }

    /// The server has been silent for too long.
    pub(super) fn bite(&mut self, policy: &Policy, now: Time) -> Action {
        self.bitten = true;
        self.phase = Phase::Stopping { next: Next::Fall, until: policy.grace(now) };
        Action::Send(Signal::ABRT, policy.whom)
    }

    /// Restarts after unexpected ends so far.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// How long this life of the server has lasted.
    pub fn uptime(&self, now: Time) -> Span {
        now.since(self.since)
    }
}
