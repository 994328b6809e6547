//! `Phase::Stopping`: the server has been asked to exit.

use super::stopping_remaining::stop_rest_of_group;
use super::{finish, forward_or_begin_stop_delay, on_exit_after_stop};
use crate::logic::base::exit::{Exit, KILLED};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Action, Ending, Event, Recipient};
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::state::{AfterStop, Phase, State};

/// Handles an event in `Phase::Stopping`.
pub(super) fn on_event(
    policy: &Policy,
    state: &mut State,
    (next, until): (AfterStop, Option<Time>),
    event: Event,
    now: Time,
) -> Action {
    use Event::*;
    match event {
        DeadlinePassed => kill_group(policy, state, next, now),
        Interrupt if next == AfterStop::Finish => kill_group(policy, state, next, now),
        Stop | Interrupt => set_next(state, AfterStop::Finish, until),
        Restart if next == AfterStop::HandleUnrequestedExit => set_next(state, AfterStop::Restart, until),
        Forward(signal) => forward_or_begin_stop_delay(policy, state, signal, now),
        Exited(exit) => on_exit_after_stop(policy, state, next, exit, now),
        ExecFailed(code) => on_exit_after_stop(policy, state, next, Exit::Code(code), now),
        LeaderExited => stop_rest_of_group(policy, state, (next, until), now),
        // vsrun is PID 1 and cannot end this server, so it does not start another. The kernel ends all processes when
        // vsrun exits.
        Unkillable if matches!(next, AfterStop::Restart | AfterStop::HandleUnrequestedExit) => {
            finish(state, Ending::ServerExited(KILLED))
        }
        Unkillable => on_exit_after_stop(policy, state, next, KILLED, now),
        Restart | Ready | NotReady | Heartbeat | Unhealthy | HandlerExited(_) | NoneLeft | ForkFailed | Replace
        | OfSecondProcess(_) => Action::Wait,
    }
}

/// Sends KILL, because the server exceeded the stop timeout or SIGINT was received again.
fn kill_group(policy: &Policy, state: &mut State, next: AfterStop, now: Time) -> Action {
    state.phase = Phase::Stopping { next, until: policy.stop_deadline(now) };
    Action::Send(Signal::KILL, Recipient::Group)
}

/// Changes what follows the server's exit. The deadline stays the same.
fn set_next(state: &mut State, next: AfterStop, until: Option<Time>) -> Action {
    state.phase = Phase::Stopping { next, until };
    Action::Wait
}
