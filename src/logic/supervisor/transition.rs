//! The supervisor's decisions: one pure function, [`next`], from a state and an event to a state and an action.
//!
//! The time is an argument, and pids are not used, so the tests can explore every state. A launch that fails counts as
//! a very short run. Each phase has a function of its own, whose `match` names every event, so a new event does not
//! compile without a decision in each phase.

use super::event::{Action, Ending, Event, LogFilesAtStart, Recipient};
use super::policy::{Policy, Role};
use super::replacement::SecondProcess;
use super::state::{AfterSecondProcess, AfterStop, Phase, State};
use crate::logic::base::exit::{Exit, VSRUN_FAILED};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use next_run::{launch, on_unexpected_exit};
use stopping_remaining::{StoppingRemaining, stop_remaining};

/// How long to wait for processes after KILL: one that hangs in the kernel may never exit.
const KILL_WAIT: Span = Span::secs(5);

/// Applies an event to the state and returns what to do. No other function enters another phase. Outside of it, only
/// `Message::apply_from_server`, `Message::apply_from_second_process` and `State::clear_start_deadline` change
/// deadlines.
pub fn next(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    let lingers = matches!(state.phase, Phase::DrainingRemaining { .. } | Phase::KillingRemaining { .. });
    let linger = policy.linger_timeout.filter(|_| !lingers);
    let mut action = dispatch_by_phase(policy, state, event, now);
    if let Action::Finish(ending) = action {
        action = finish_or_linger(state, state.apply_success_exit(policy, ending), linger.map(|span| now.after(span)));
    }
    state.finish_replacement_if_over();
    action
}

/// Finishes at once, or waits first: for the exit of the second process of a replacement or, without one, until
/// `linger_until` for the exit of the remaining processes, to which it sends TERM.
#[inline(never)]
fn finish_or_linger(state: &mut State, ending: Ending, linger_until: Option<Time>) -> Action {
    if state.second.is_unreaped() {
        state.phase = Phase::AwaitingSecondProcessExit { then: AfterSecondProcess::Finish(ending) };
        return Action::Wait;
    }
    state.second = SecondProcess::None;
    match linger_until {
        Some(until) => {
            state.phase = Phase::DrainingRemaining { ending, until };
            Action::Send(Signal::TERM, Recipient::AllProcesses)
        }
        None => Action::Finish(ending),
    }
}

/// Calls the function that handles events in the present phase.
#[inline(never)]
fn dispatch_by_phase(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    if let Some(action) = second_process::apply_to_replacement(policy, state, event, now) {
        return action;
    }
    match state.phase {
        Phase::Starting { .. } => starting_or_running::on_event_while_starting(policy, state, event, now),
        Phase::Running => starting_or_running::on_event_while_running(policy, state, event, now),
        Phase::DelayingStop { signal, .. } => stop_delay::on_event(policy, state, signal, event, now),
        Phase::Stopping { next, until } => stopping::on_event(policy, state, (next, until), event, now),
        Phase::StoppingRemaining { next, exit, until, killed } => {
            StoppingRemaining { next, exit, until, killed }.on_event(policy, state, event, now)
        }
        Phase::HandlerRunning { exit, until, pause } => {
            crash_handler::on_event_while_running(policy, state, (exit, until, pause), event, now)
        }
        Phase::HandlerTimedOut { exit, until } => {
            crash_handler::on_event_after_timeout(policy, state, (exit, until), event, now)
        }
        Phase::HandlerStopping { .. } => crash_handler::on_event_while_stopping(policy, state, event, now),
        Phase::AwaitingSecondProcessExit { then } => {
            second_process::on_event_awaiting_second(policy, state, then, event)
        }
        Phase::Backoff { .. } => next_run::on_event_in_backoff(policy, state, event, now),
        Phase::ForkRetry { task, until } => next_run::on_event_in_fork_retry(policy, state, (task, until), event, now),
        Phase::DrainingRemaining { ending, .. } => linger::on_event_while_draining(state, ending, event, now),
        Phase::KillingRemaining { ending, .. } => linger::on_event_while_killing(state, ending, event),
        Phase::Done => Action::Wait,
    }
}

/// Handles an exit of the server that no stop or restart request caused.
fn on_unrequested_exit(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    state.record_run_end(policy, now);
    if policy.linger_timeout.is_some() && state.allows_restart_after(policy, exit) {
        return stop_remaining(policy, state, AfterStop::HandleUnrequestedExit, Some(exit), now);
    }
    decide_after_run(policy, state, AfterStop::HandleUnrequestedExit, exit, now)
}

/// Handles the exit of a server that vsrun was stopping. No other process of its group is left if signals go to the
/// group.
fn on_exit_after_stop(policy: &Policy, state: &mut State, next: AfterStop, exit: Exit, now: Time) -> Action {
    match next {
        AfterStop::HandleUnrequestedExit => on_unrequested_exit(policy, state, exit, now),
        AfterStop::Restart if policy.linger_timeout.is_some() => stop_remaining(policy, state, next, Some(exit), now),
        AfterStop::Restart | AfterStop::Finish | AfterStop::FailStart => {
            decide_after_run(policy, state, next, exit, now)
        }
    }
}

/// Decides what follows a run of which no process is left, or only processes that have had their time to exit.
fn decide_after_run(policy: &Policy, state: &mut State, next: AfterStop, exit: Exit, now: Time) -> Action {
    let ending = match (next, policy.role) {
        (AfterStop::Finish, Role::Manager) => Ending::Stopped,
        (AfterStop::Finish, Role::Init | Role::InitWithTimeout) => Ending::ServerExited(exit),
        (AfterStop::FailStart, _) => Ending::FirstStartFailed(VSRUN_FAILED),
        (AfterStop::Restart, _) => return launch(policy, state, LogFilesAtStart::Rotate, now),
        (AfterStop::HandleUnrequestedExit, _) if state.allows_restart_after(policy, exit) => {
            return on_unexpected_exit(policy, state, exit, now);
        }
        (AfterStop::HandleUnrequestedExit, _) => Ending::ServerExited(exit),
    };
    finish(state, ending)
}

/// Forwards a signal to the server, after `--stop-delay` if it is a request to stop.
fn forward_or_begin_stop_delay(policy: &Policy, state: &mut State, signal: Signal, now: Time) -> Action {
    match stop_delay::forward_delay(policy, state, signal) {
        Some(span) => stop_delay::begin_stop_delay(state, Some(signal), span, now),
        None => forward_now(policy, state, signal, now),
    }
}

/// A faster path than [`next`] for a signal that is forwarded without any other effect: no stop delay and no stop
/// timeout begins, and no replacement is under way. Returns the recipient. Returns None if the caller must call `next`
/// instead.
pub fn forward_in_same_phase(policy: &Policy, state: &mut State, signal: Signal) -> Option<Recipient> {
    let begins = policy.role == Role::InitWithTimeout || policy.stop_delay.is_some();
    let plain = state.phase == Phase::Running && state.second == SecondProcess::None;
    if !plain || begins && policy.is_forwarded_stop_request(signal) {
        return None;
    }
    state.forwarded_signal_bits |= signal.bit();
    Some(policy.forward_scope())
}

/// Forwards a signal to the server. If the signal asks it to exit, no restart follows, and an init with a stop timeout
/// starts that timeout.
fn forward_now(policy: &Policy, state: &mut State, signal: Signal, now: Time) -> Action {
    state.forwarded_signal_bits |= signal.bit();
    if let Phase::Stopping { next: AfterStop::Restart, until } = state.phase
        && policy.forwarding_ends_service(signal)
    {
        state.phase = Phase::Stopping { next: AfterStop::Finish, until };
    }
    let stops = policy.role == Role::InitWithTimeout && policy.forwarding_ends_service(signal);
    if stops && matches!(state.phase, Phase::Starting { .. } | Phase::Running) {
        state.phase = Phase::Stopping { next: AfterStop::Finish, until: policy.stop_deadline(now) };
        return Action::Send(signal, policy.forward_scope());
    }
    Action::Forward(signal, policy.forward_scope())
}

fn stop(policy: &Policy, state: &mut State, next: AfterStop, now: Time) -> Action {
    state.phase = Phase::Stopping { next, until: policy.stop_deadline(now) };
    Action::Send(policy.stop_signal, policy.signal_scope)
}

fn finish(state: &mut State, ending: Ending) -> Action {
    state.phase = Phase::Done;
    Action::Finish(ending)
}

mod crash_handler;
#[cfg(test)]
#[path = "transition/explore/tests.rs"]
mod explore;
mod linger;
mod next_run;
mod run_and_replacement;
mod second_process;
mod starting_or_running;
mod stop_delay;
mod stopping;
mod stopping_remaining;
#[cfg(test)]
mod tests;
