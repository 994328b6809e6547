//! The phase after the server's exit, in which the rest of its group and its other descendants are ended.

use super::{KILL_WAIT, decide_after_run};
use crate::logic::base::exit::Exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Action, Event, Recipient};
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::replacement::SecondProcess;
use crate::logic::supervisor::state::{AfterStop, ForcedStop, Phase, State};

/// The fields of `Phase::StoppingRemaining`, as a struct with methods.
#[derive(Clone, Copy)]
pub(super) struct StoppingRemaining {
    pub next: AfterStop,
    pub exit: Option<Exit>,
    pub until: Option<Time>,
    pub killed: bool,
}

/// Sends TERM to the processes that remain of the run. `exit` is None while the server is an unreaped zombie: it keeps
/// the number of its process group from being reused until the rest of the group has exited.
pub(super) fn stop_remaining(
    policy: &Policy,
    state: &mut State,
    next: AfterStop,
    exit: Option<Exit>,
    now: Time,
) -> Action {
    let until = policy.linger_timeout.map_or(policy.stop_deadline(now), |span| Some(now.after(span)));
    if policy.linger_timeout.is_some() && !state.second.is_unreaped() {
        // From now on, the signals to `Recipient::RemainingOfRun` also reach the processes that outlived the second
        // process.
        state.second = SecondProcess::None;
    }
    StoppingRemaining { next, exit, until, killed: false }.enter(state);
    Action::Send(Signal::TERM, Recipient::RemainingOfRun)
}

/// Sends TERM to the rest of the server's group after the server exited, unless vsrun has just sent it to the group.
pub(super) fn stop_rest_of_group(
    policy: &Policy,
    state: &mut State,
    (next, until): (AfterStop, Option<Time>),
    now: Time,
) -> Action {
    if next == AfterStop::HandleUnrequestedExit {
        state.record_run_end(policy, now);
    }
    let is_asked = next != AfterStop::HandleUnrequestedExit || state.forced == Some(ForcedStop::Health);
    if is_asked && policy.stop_signal == Signal::TERM && policy.linger_timeout.is_none() {
        // The whole group has received TERM. A second TERM makes some programs exit without their clean-up.
        StoppingRemaining { next, exit: None, until, killed: false }.enter(state);
        return Action::Wait;
    }
    stop_remaining(policy, state, next, None, now)
}

impl StoppingRemaining {
    /// Handles an event in `Phase::StoppingRemaining`.
    pub fn on_event(self, policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
        use Event::*;
        match event {
            Exited(exit) if self.exit.is_none() => self.on_server_reaped(policy, state, exit, now),
            DeadlinePassed => match self.exit {
                // A process that hangs in the kernel does not exit after KILL. It must not delay the restart for ever.
                Some(exit) if self.killed => decide_after_run(policy, state, self.next, exit, now),
                Some(_) | None => self.kill(state, now),
            },
            NoneLeft => match self.exit {
                Some(exit) => decide_after_run(policy, state, self.next, exit, now),
                None => Action::Wait,
            },
            Interrupt if self.next == AfterStop::Finish => self.kill(state, now),
            Stop | Interrupt => Self { next: AfterStop::Finish, ..self }.enter(state),
            Restart if self.next == AfterStop::HandleUnrequestedExit => {
                Self { next: AfterStop::Restart, ..self }.enter(state)
            }
            Forward(signal) => {
                if policy.forwarding_ends_service(signal) {
                    Self { next: AfterStop::Finish, ..self }.enter(state);
                }
                if self.exit.is_none() { Action::Forward(signal, policy.signal_scope) } else { Action::Wait }
            }
            Replace | OfSecondProcess(_) | Unkillable | Restart | Exited(_) | ExecFailed(_) | LeaderExited | Ready
            | NotReady | Heartbeat | Unhealthy | HandlerExited(_) | ForkFailed => Action::Wait,
        }
    }

    /// Handles the reaping of the server, whose group is gone. Descendants outside of the group may remain: a restart
    /// waits for them if `--linger` is given.
    fn on_server_reaped(self, policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
        let goes_on = match self.next {
            AfterStop::Restart => true,
            AfterStop::HandleUnrequestedExit => state.allows_restart_after(policy, exit),
            AfterStop::Finish | AfterStop::FailStart => false,
        };
        if goes_on && policy.linger_timeout.is_some() {
            return Self { exit: Some(exit), ..self }.enter(state);
        }
        decide_after_run(policy, state, self.next, exit, now)
    }

    fn kill(self, state: &mut State, now: Time) -> Action {
        Self { until: Some(now.after(KILL_WAIT)), killed: true, ..self }.enter(state);
        Action::Send(Signal::KILL, Recipient::RemainingOfRun)
    }

    fn enter(self, state: &mut State) -> Action {
        let Self { next, exit, until, killed } = self;
        state.phase = Phase::StoppingRemaining { next, exit, until, killed };
        Action::Wait
    }
}
