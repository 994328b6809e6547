//! The time between a request to stop and the stop signal (`--stop-delay`): the server goes on, so that load balancers
//! can first stop sending requests to it. Its watchdog and its health probes are off during that time.

use super::stopping_remaining::stop_remaining;
use super::{forward_now, on_exit_after_stop, stop};
use crate::logic::base::exit::Exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Event};
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::state::{AfterStop, Phase, State};

/// Handles a request to stop while the server runs.
pub(super) fn on_stop_request(policy: &Policy, state: &mut State, now: Time) -> Action {
    match policy.stop_delay {
        Some(span) => begin_stop_delay(state, None, span, now),
        None => stop(policy, state, AfterStop::Finish, now),
    }
}

/// How long a forwarded signal is delayed. None: not at all, because it is not the first request to stop, or there is
/// no `--stop-delay`.
pub(super) fn forward_delay(policy: &Policy, state: &State, signal: Signal) -> Option<Span> {
    let is_first =
        state.forwarded_signal_bits & (Signal::TERM.bit() | Signal::INT.bit() | policy.stop_signal.bit()) == 0;
    let delays = is_first && policy.is_forwarded_stop_request(signal) && state.phase == Phase::Running;
    policy.stop_delay.filter(|_| delays)
}

/// Begins the stop delay. After it the server is sent `signal`, which is to be forwarded, or the stop signal if it is
/// None.
pub(super) fn begin_stop_delay(state: &mut State, signal: Option<Signal>, span: Span, now: Time) -> Action {
    state.phase = Phase::DelayingStop { signal, until: now.after(span) };
    Action::RecordStopDelay(span)
}

/// Handles an event in `Phase::DelayingStop`.
pub(super) fn on_event(policy: &Policy, state: &mut State, signal: Option<Signal>, event: Event, now: Time) -> Action {
    match event {
        Event::DeadlinePassed => end_stop_delay(policy, state, signal, now),
        // A request to stop sends the stop signal. `end_stop_delay` would only forward the delayed signal, which the
        // server could handle without exiting.
        Event::Stop | Event::Interrupt => stop(policy, state, AfterStop::Finish, now),
        Event::Forward(other) if policy.is_forwarded_stop_request(other) => end_stop_delay(policy, state, signal, now),
        Event::Forward(other) => forward_now(policy, state, other, now),
        Event::Exited(exit) => on_exit_after_stop(policy, state, AfterStop::Finish, exit, now),
        Event::ExecFailed(code) => on_exit_after_stop(policy, state, AfterStop::Finish, Exit::Code(code), now),
        // The rest of the group needs TERM, because it has not been sent the stop signal yet. `stop_rest_of_group`
        // could omit TERM.
        Event::LeaderExited => stop_remaining(policy, state, AfterStop::Finish, None, now),
        // A requested restart is ignored: the stop takes precedence.
        Event::Restart
        | Event::Ready
        | Event::NotReady
        | Event::Heartbeat
        | Event::Unhealthy
        | Event::HandlerExited(_)
        | Event::NoneLeft
        | Event::Unkillable
        | Event::ForkFailed
        | Event::Replace
        | Event::OfSecondProcess(_) => Action::Wait,
    }
}

/// Ends the stop delay: the server is sent `signal`, which is to be forwarded, or the stop signal if it is None.
fn end_stop_delay(policy: &Policy, state: &mut State, signal: Option<Signal>, now: Time) -> Action {
    let Some(signal) = signal else { return stop(policy, state, AfterStop::Finish, now) };
    state.phase = Phase::Running;
    // Heartbeats during the stop delay had no effect, so the watchdog time starts again.
    state.extend_watchdog(now);
    forward_now(policy, state, signal, now)
}
