//! `Phase::Starting` and `Phase::Running`: the server runs, and vsrun has not asked it to exit.

use super::next_run::on_fork_failed;
use super::stopping_remaining::{stop_remaining, stop_rest_of_group};
use super::{finish, forward_or_begin_stop_delay, on_unrequested_exit, second_process, stop, stop_delay};
use crate::logic::base::exit::{Exit, VSRUN_FAILED};
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
        ForkFailed => finish(state, Ending::FirstStartFailed(VSRUN_FAILED)),
        Exited(exit) => {
            let is_own = policy.role != Role::Manager && state.killed_by_forwarded_signal(exit);
            finish(state, if is_own { Ending::ServerExited(exit) } else { Ending::FirstStartFailed(VSRUN_FAILED) })
        }
        LeaderExited => stop_remaining(policy, state, AfterStop::FailStart, None, now),
        DeadlinePassed | NotReady => stop(policy, state, AfterStop::FailStart, now),
        Stop | Interrupt => stop(policy, state, AfterStop::Finish, now),
        Restart => stop(policy, state, AfterStop::Restart, now),
        Forward(signal) => forward_or_begin_stop_delay(policy, state, signal, now),
        Heartbeat | Unhealthy | HandlerExited(_) | NoneLeft | Unkillable | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::Running`: a server process, this or an earlier one, has been ready.
pub(super) fn on_event_while_running(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        // The server is ready. From now on the watchdog applies to it, and no deadline for its readiness is left.
        Ready => {
            state.promoted_ready_deadline = None;
            state.arm_watchdog(now)
        }
        DeadlinePassed | NotReady if state.promoted_ready_deadline.is_some() => {
            second_process::record_promoted_failure(
                state,
                if event == DeadlinePassed { Outcome::NotReadyInTime } else { Outcome::NeverReady },
            );
            stop(policy, state, AfterStop::HandleUnrequestedExit, now)
        }
        DeadlinePassed => state.force_stop(policy, ForcedStop::Watchdog, now),
        Unhealthy => state.force_stop(policy, ForcedStop::Health, now),
        Heartbeat => state.extend_watchdog(now),
        Exited(exit) => on_unrequested_exit(policy, state, exit, now),
        ExecFailed(code) => on_unrequested_exit(policy, state, Exit::Code(code), now),
        LeaderExited => stop_rest_of_group(policy, state, (AfterStop::HandleUnrequestedExit, None), now),
        ForkFailed => on_fork_failed(state, ForkTask::StartServer, now),
        Replace => second_process::begin_replacement(policy, state, now),
        Stop | Interrupt => stop_delay::on_stop_request(policy, state, now),
        Restart => stop(policy, state, AfterStop::Restart, now),
        Forward(signal) => forward_or_begin_stop_delay(policy, state, signal, now),
        NotReady | HandlerExited(_) | NoneLeft | Unkillable | OfSecondProcess(_) => Action::Wait,
    }
}
