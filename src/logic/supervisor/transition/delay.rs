//! The time between a request to stop and the stop signal (`--stop-delay`): the server goes on, so that load balancers
//! can take it out first. Its watchdog and its health probes are off meanwhile.

use super::clearing::clear;
use super::{after_stop, forward_now, stop};
use crate::logic::base::exit::Exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Event};
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::state::{AfterStop, Phase, State};

/// Handles a request to stop while the server runs.
pub(super) fn request_stop(policy: &Policy, state: &mut State, now: Time) -> Action {
    match policy.stop_delay {
        Some(span) => begin(state, None, span, now),
        None => stop(policy, state, AfterStop::Finish, now),
    }
}

/// How long a forwarded signal is delayed. None: not at all, because it is not the first request to stop, or there is
/// no `--stop-delay`.
pub(super) fn forward_delay(policy: &Policy, state: &State, signal: Signal) -> Option<Span> {
    let is_first = state.forwarded & (Signal::TERM.bit() | Signal::INT.bit() | policy.stop_signal.bit()) == 0;
    let delays = is_first && policy.is_forwarded_stop(signal) && state.phase == Phase::Running;
    policy.stop_delay.filter(|_| delays)
}

/// Begins the wait, after which the server gets this forwarded signal, or the stop signal if it is None.
pub(super) fn begin(state: &mut State, signal: Option<Signal>, span: Span, now: Time) -> Action {
    state.phase = Phase::Delaying { signal, until: now.after(span) };
    Action::Delay(span)
}

/// Handles an event in `Phase::Delaying`.
pub(super) fn on_event(policy: &Policy, state: &mut State, signal: Option<Signal>, event: Event, now: Time) -> Action {
    match event {
        Event::Tick => end(policy, state, signal, now),
        // Not `end`, which only forwards the delayed signal: the server could handle that one without exiting.
        Event::Stop | Event::Interrupt => stop(policy, state, AfterStop::Finish, now),
        Event::Forward(other) if policy.is_forwarded_stop(other) => end(policy, state, signal, now),
        Event::Forward(other) => forward_now(policy, state, other, now),
        Event::Exited(exit) => after_stop(policy, state, AfterStop::Finish, exit, now),
        Event::ExecFailed(code) => after_stop(policy, state, AfterStop::Finish, Exit::Code(code), now),
        // Not `clear_group`: the rest of the group has not been sent the stop signal yet, and so needs TERM.
        Event::LeaderExited => clear(policy, state, AfterStop::Finish, None, now),
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
        | Event::Second(_) => Action::Wait,
    }
}

/// Ends the wait: the server gets its signal.
fn end(policy: &Policy, state: &mut State, signal: Option<Signal>, now: Time) -> Action {
    let Some(signal) = signal else { return stop(policy, state, AfterStop::Finish, now) };
    state.phase = Phase::Running;
    // Heartbeats during the wait had no effect, so the watchdog time starts again.
    state.extend_watchdog(now);
    forward_now(policy, state, signal, now)
}
