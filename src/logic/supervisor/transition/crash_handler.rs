//! The phases in which the crash handler runs, which decides whether the server is restarted.

use super::finish;
use super::next_run::{on_fork_failed, restart};
use crate::logic::base::exit::Exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Action, Ending, Event, Recipient};
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::state::{ForkTask, Phase, RestartPause, State};

/// Handles an event in `Phase::HandlerRunning`: the handler has not exceeded its timeout.
pub(super) fn on_event_while_running(
    policy: &Policy,
    state: &mut State,
    (exit, until, pause): (Exit, Option<Time>, RestartPause),
    event: Event,
    now: Time,
) -> Action {
    use Event::*;
    let grace = policy.stop_deadline(now);
    match event {
        HandlerExited(Exit::SUCCESS) => restart(policy, state, exit, pause, now),
        HandlerExited(_) => finish(state, Ending::ServerExited(exit)),
        DeadlinePassed => enter_and_signal_handler(state, Phase::HandlerTimedOut { exit, until: grace }, Signal::TERM),
        Stop | Interrupt => enter_and_signal_handler(state, Phase::HandlerStopping { until: grace }, Signal::TERM),
        Restart => {
            state.phase = Phase::HandlerRunning { exit, until, pause: RestartPause::None };
            Action::Wait
        }
        ForkFailed => on_fork_failed(state, ForkTask::RunHandler { exit, pause }, now),
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | NoneLeft | Unkillable
        | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::HandlerTimedOut`. No restart follows, even if the handler exits with 0.
pub(super) fn on_event_after_timeout(
    policy: &Policy,
    state: &mut State,
    (exit, until): (Exit, Option<Time>),
    event: Event,
    now: Time,
) -> Action {
    use Event::*;
    match event {
        HandlerExited(_) => finish(state, Ending::ServerExited(exit)),
        DeadlinePassed => enter_and_signal_handler(
            state,
            Phase::HandlerTimedOut { exit, until: policy.stop_deadline(now) },
            Signal::KILL,
        ),
        Stop | Interrupt => {
            state.phase = Phase::HandlerStopping { until };
            Action::Wait
        }
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | NoneLeft | Unkillable
        | ForkFailed | Restart | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::HandlerStopping`: a stop was requested while the handler ran.
pub(super) fn on_event_while_stopping(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        HandlerExited(_) => finish(state, Ending::Stopped),
        DeadlinePassed | Interrupt => {
            enter_and_signal_handler(state, Phase::HandlerStopping { until: policy.stop_deadline(now) }, Signal::KILL)
        }
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | NoneLeft | Unkillable
        | ForkFailed | Stop | Restart | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Enters a phase and sends the crash handler this signal.
fn enter_and_signal_handler(state: &mut State, phase: Phase, signal: Signal) -> Action {
    state.phase = phase;
    Action::Send(signal, Recipient::CrashHandlerGroup)
}
