//! What the state shows about a run and a replacement: whether one can begin, whether one is under way, and when it is
//! over.

use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::policy::{EXIT_REQUEST_SIGNALS, Policy, Role};
use crate::logic::supervisor::replacement::{Outcome, Refusal, SecondProcess};
use crate::logic::supervisor::state::{AfterSecondProcess, AfterStop, ForcedStop, Phase, State};

impl State {
    /// True if the server, or after its exit the second process, is being ended and no other server is started.
    pub fn is_finishing(&self) -> bool {
        matches!(
            self.phase,
            Phase::Stopping { next: AfterStop::Finish, .. }
                | Phase::StoppingRemaining { next: AfterStop::Finish, .. }
                | Phase::AwaitingSecondProcessExit { then: AfterSecondProcess::Finish(_) }
        )
    }

    /// Why no replacement can begin now. None if one can begin.
    pub fn replacement_refusal(&self, policy: &Policy) -> Option<Refusal> {
        if policy.candidate_ready_timeout.is_none() {
            Some(Refusal::UnsuitableReadyCondition)
        } else if self.second != SecondProcess::None || self.outcome_so_far.is_some() {
            Some(Refusal::UnderWay)
        } else if self.phase != Phase::Running || self.has_forwarded_stop_request(policy) {
            Some(Refusal::NotRunning)
        } else {
            None
        }
    }

    /// True if the replacement under way has not failed. An exiting second process is then the old server, not the
    /// candidate.
    pub(in crate::logic::supervisor) fn replacement_has_not_failed(&self) -> bool {
        self.outcome_so_far == Some(Outcome::Done)
    }

    /// True if the second process was sent KILL and the wait for its group has ended without an exit: one of its
    /// processes hangs in the kernel or is held by a tracer.
    pub fn gave_up_on_second_process(&self, now: Time) -> bool {
        matches!(self.second, SecondProcess::Exiting { killed: true, until: Some(until), .. } if until <= now)
    }

    /// True if an init has forwarded a signal that asks the server and vsrun to exit, so that no replacement may begin.
    fn has_forwarded_stop_request(&self, policy: &Policy) -> bool {
        let asks = Signal::TERM.bit() | Signal::INT.bit() | policy.stop_signal.bit();
        policy.role != Role::Manager && self.forwarded_signal_bits & asks != 0
    }

    /// True if a signal was forwarded in the current run that asks for an exit, even if the server has ignored it.
    pub fn has_forwarded_exit_request(&self, policy: &Policy) -> bool {
        EXIT_REQUEST_SIGNALS
            .iter()
            .chain([&policy.stop_signal])
            .any(|signal| self.forwarded_signal_bits & signal.bit() != 0)
    }

    /// Sets the start time of the run. To be called when the commands of `--before` have succeeded.
    pub fn set_server_start_time(&mut self, now: Time) {
        self.run_started_at = now;
    }

    /// Removes the deadline of the first start. To be called when the commands of `--before` have succeeded and the
    /// server itself is ready with its exec: the deadline was for the commands alone.
    pub fn clear_start_deadline(&mut self) {
        if let Phase::Starting { until } = &mut self.phase {
            *until = None;
        }
    }

    /// False if the server took the place of one that exited, and still has to become ready.
    pub fn has_no_promoted_ready_deadline(&self) -> bool {
        self.promoted_ready_deadline.is_none()
    }

    /// True while a replacement is under way.
    pub fn is_replacing(&self) -> bool {
        self.outcome_so_far.is_some()
    }

    /// Ends the replacement if there is no second process any more and the server is ready.
    pub(in crate::logic::supervisor) fn finish_replacement_if_over(&mut self) {
        // If the new server did not become ready and is being stopped, the replacement ends after its exit.
        let fails = self.forced == Some(ForcedStop::Unready) && matches!(self.phase, Phase::Stopping { .. });
        if self.second == SecondProcess::None && self.promoted_ready_deadline.is_none() && !fails {
            self.unreported_outcome = self.outcome_so_far.take().or(self.unreported_outcome);
        }
    }

    /// Prepares the state for a run that begins, or for the second process that becomes the server.
    pub(in crate::logic::supervisor) fn reset_for_run(&mut self, since: Time, watchdog: Option<Span>) {
        (self.run_started_at, self.forwarded_signal_bits) = (since, 0);
        (self.watchdog_deadline, self.watchdog, self.forced) = (None, watchdog, None);
        self.promoted_ready_deadline = None;
    }

    /// The deadline of the watchdog, if it has passed and is the reason for the next `Event::DeadlinePassed`.
    pub fn watchdog_due(&self, now: Time) -> Option<Time> {
        let is_due = |until: &Time| *until <= now;
        let is_next = self.phase == Phase::Running && self.promoted_ready_deadline.is_none();
        self.watchdog_deadline
            .filter(|until| is_next && is_due(until) && !self.second.deadline().is_some_and(|until| is_due(&until)))
    }
}
