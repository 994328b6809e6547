//! `Phase::Starting` and `Phase::Running`: the server runs, and vsrun has not asked it to exit.

use super::next_run::fork_failed;
use super::stopping_remaining::{stop_remaining, stop_rest_of_group};
use super::{delay, finish, forward, on_exit, second_process, stop};
use crate::logic::base::exit::{Exit, SETUP};
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Action, Ending, Event};
use crate::logic::supervisor::policy::{Policy, Role};
use crate::logic::supervisor::replacement::Outcome;
use crate::logic::supervisor::state::{AfterStop, ForcedStop, ForkTask, Phase, State};

/// Handles an event in `Phase::Starting`. If the first server process exits before it is ready, vsrun exits with an
/// error.
pub(super) fn on_event_while_starting(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        Ready => {
            state.has_been_ready = true;
            state.phase = Phase::Running;
            state.arm_watchdog(now);
            Action::ReportReady
        }
        ExecFailed(code) => finish(state, Ending::FirstStartFailed(code)),
        ForkFailed => finish(state, Ending::FirstStartFailed(SETUP)),
        Exited(exit) => {
            let is_own = policy.role != Role::Manager && state.is_by_forwarded_signal(exit);
            finish(state, if is_own { Ending::Server(exit) } else { Ending::FirstStartFailed(SETUP) })
        }
        LeaderExited => stop_remaining(policy, state, AfterStop::FailStart, None, now),
        DeadlinePassed | NotReady => stop(policy, state, AfterStop::FailStart, now),
        Stop | Interrupt => stop(policy, state, AfterStop::Finish, now),
        Restart => stop(policy, state, AfterStop::Restart, now),
        Forward(signal) => forward(policy, state, signal, now),
        Heartbeat | Unhealthy | HandlerExited(_) | NoneLeft | Unkillable | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::Running`: a server process, this or an earlier one, has been ready.
pub(super) fn on_event_while_running(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        // The server is ready. From now on the watchdog applies to it, and no deadline for its readiness is left.
        Ready => {
            state.ready_deadline = None;
            state.arm_watchdog(now)
        }
        DeadlinePassed | NotReady if state.ready_deadline.is_some() => {
            second_process::record_promoted_failure(
                state,
                if event == DeadlinePassed { Outcome::NotReadyInTime } else { Outcome::NeverReady },
            );
            stop(policy, state, AfterStop::HandleExit, now)
        }
        DeadlinePassed => state.force_stop(policy, ForcedStop::Watchdog, now),
        Unhealthy => state.force_stop(policy, ForcedStop::Health, now),
        Heartbeat => state.extend_watchdog(now),
        Exited(exit) => on_exit(policy, state, exit, now),
        ExecFailed(code) => on_exit(policy, state, Exit::Code(code), now),
        LeaderExited => stop_rest_of_group(policy, state, (AfterStop::HandleExit, None), now),
        ForkFailed => fork_failed(state, ForkTask::Launch, now),
        Replace => second_process::begin_replacement(policy, state, now),
        Stop | Interrupt => delay::on_stop_request(policy, state, now),
        Restart => stop(policy, state, AfterStop::Restart, now),
        Forward(signal) => forward(policy, state, signal, now),
        NotReady | HandlerExited(_) | NoneLeft | Unkillable | OfSecondProcess(_) => Action::Wait,
    }
}
