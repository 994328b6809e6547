//! `Phase::Starting` and `Phase::Running`: the server runs, and vsrun has not asked it to exit.

use super::clearing::{clear, clear_group};
use super::runs::fork_failed;
use super::{delay, finish, forward, on_exit, second, stop};
use crate::logic::base::exit::{Exit, SETUP};
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Action, Ending, Event};
use crate::logic::supervisor::policy::{Policy, Role};
use crate::logic::supervisor::replacement::Outcome;
use crate::logic::supervisor::state::{AfterStop, ForcedStop, ForkTask, Phase, State};

/// Handles an event in `Phase::Starting`. If the first server process exits before it is ready, vsrun exits with an
/// error.
pub(super) fn starting(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        Ready => {
            state.ready = true;
            state.phase = Phase::Running;
            state.arm_watchdog(now);
            Action::ReportReady
        }
        ExecFailed(code) => finish(state, Ending::Failed(code)),
        ForkFailed => finish(state, Ending::Failed(SETUP)),
        Exited(exit) => {
            let is_own = policy.role != Role::Manager && state.was_forwarded(exit);
            finish(state, if is_own { Ending::Server(exit) } else { Ending::Failed(SETUP) })
        }
        LeaderExited => clear(policy, state, AfterStop::FailStart, None, now),
        Tick | NotReady => stop(policy, state, AfterStop::FailStart, now),
        Stop | Interrupt => stop(policy, state, AfterStop::Finish, now),
        Restart => stop(policy, state, AfterStop::Restart, now),
        Forward(signal) => forward(policy, state, signal, now),
        Heartbeat | Unhealthy | HandlerExited(_) | NoneLeft | Unkillable | Replace | Second(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::Running`: a server process, this or an earlier one, has been ready.
pub(super) fn running(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        // The server is ready. From now on the watchdog applies to it, and no deadline for its readiness is left.
        Ready => {
            state.ready_deadline = None;
            state.arm_watchdog(now)
        }
        Tick | NotReady if state.ready_deadline.is_some() => {
            second::record_promoted_failure(state, if event == Tick { Outcome::Late } else { Outcome::NeverReady });
            stop(policy, state, AfterStop::HandleExit, now)
        }
        Tick => state.force_stop(policy, ForcedStop::Watchdog, now),
        Unhealthy => state.force_stop(policy, ForcedStop::Health, now),
        Heartbeat => state.extend_watchdog(now),
        Exited(exit) => on_exit(policy, state, exit, now),
        ExecFailed(code) => on_exit(policy, state, Exit::Code(code), now),
        LeaderExited => clear_group(policy, state, (AfterStop::HandleExit, None), now),
        ForkFailed => fork_failed(state, ForkTask::Launch, now),
        Replace => second::begin(policy, state, now),
        Stop | Interrupt => delay::request_stop(policy, state, now),
        Restart => stop(policy, state, AfterStop::Restart, now),
        Forward(signal) => forward(policy, state, signal, now),
        NotReady | HandlerExited(_) | NoneLeft | Unkillable | Second(_) => Action::Wait,
    }
}
