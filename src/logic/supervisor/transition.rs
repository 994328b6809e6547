//! The supervisor's decisions: one pure function, [`next`], from a state and an event to a state and an action.
//!
//! Time is an argument, and no pid enters, so the tests can walk through every short history. A launch that fails
//! counts as a very short run. `has_no_effect` in the tests lists the pairs of phase and event without an effect: it
//! does not compile if a new variant is missing there.

use super::transition::clearing::{Clearing, clear, clear_rest};
use super::transition::runs::{fork_failed, launch, recover, restart, retry_fork};

use super::event::{Action, Ending, Event, LogFiles, Recipient};
use super::policy::{Policy, Role};
use super::replacement::{Outcome, Second as SecondProcess};
use super::state::{AfterSecond, AfterStop, Forced, ForkTask, Pause, Phase, State};
use crate::logic::base::exit::{Exit, KILLED, SETUP};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};

/// How long to wait for processes after KILL: one that hangs in the kernel may never exit.
const KILL_WAIT: Span = Span::secs(5);

/// Applies an event to the state and returns what to do. No other function changes the phase of a running supervisor,
/// except `Message::apply`, which moves deadlines.
pub fn next(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    let lingers = matches!(state.phase, Phase::DrainingRemaining { .. } | Phase::KillingRemaining { .. });
    let linger = policy.linger.filter(|_| !lingers);
    let mut action = next_action(policy, state, event, now);
    if let Action::Finish(ending) = action {
        action = last(state, state.judge(policy, ending), linger.map(|span| now.after(span)));
    }
    state.settle();
    action
}

/// There is no further run of the server; other processes may remain, which have until `linger`.
fn last(state: &mut State, ending: Ending, linger: Option<Time>) -> Action {
    if state.second.is_process() {
        state.phase = Phase::AwaitingSecond { then: AfterSecond::Finish(ending) };
        return Action::Wait;
    }
    state.second = SecondProcess::None;
    match linger {
        Some(until) => {
            state.phase = Phase::DrainingRemaining { ending, until };
            Action::Send(Signal::TERM, Recipient::All)
        }
        None => Action::Finish(ending),
    }
}

#[inline(never)]
fn next_action(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    use Phase::{
        AwaitingSecond, Backoff, DrainingRemaining, ForkRetry, HandlerRunning, HandlerStopping, HandlerTimedOut,
        KillingRemaining, Running, Starting, Stopping,
    };
    if let Some(action) = second::first(policy, state, event, now) {
        return action;
    }
    let grace = policy.stop_deadline(now);
    match (state.phase, event) {
        (Starting { .. }, Ready) => {
            state.ready = true;
            state.phase = Running;
            state.arm_watchdog(now);
            Action::ReportReady
        }
        (Starting { .. }, ExecFailed(code)) => finish(state, Ending::Failed(code)),
        (Starting { .. }, ForkFailed) => finish(state, Ending::Failed(SETUP)),
        (Running, ExecFailed(code)) => on_exit(policy, state, Exit::Code(code), now),
        (Running, ForkFailed) => fork_failed(state, ForkTask::Launch, now),
        (Starting { .. }, Exited(exit)) => {
            let is_own = policy.role != Role::Manager && state.was_forwarded(exit);
            finish(state, if is_own { Ending::Server(exit) } else { Ending::Failed(SETUP) })
        }
        (Starting { .. }, LeaderExited) => clear(policy, state, AfterStop::FailStart, None, now),
        (Starting { .. }, NotReady) => stop(policy, state, AfterStop::FailStart, now),
        (Starting { .. }, Tick) => stop(policy, state, AfterStop::FailStart, now),
        (Running, Exited(exit)) => on_exit(policy, state, exit, now),
        (Running, LeaderExited) => clear_rest(policy, state, (AfterStop::HandleExit, None), now),
        (Running, Tick | NotReady) if state.unproven.is_some() => {
            second::give_up(state, if event == Tick { Outcome::Late } else { Outcome::NeverReady });
            stop(policy, state, AfterStop::HandleExit, now)
        }
        (Running, Tick) => state.force(policy, Forced::Watchdog, now),
        (Running, Unhealthy) => state.force(policy, Forced::Health, now),
        // Only the first server process has a ready timeout. The watchdog of a later one starts when it is ready.
        (Running, Ready) => {
            state.unproven = None;
            state.arm_watchdog(now)
        }
        (Running, Replace) => second::begin(policy, state, now),
        (Running, Heartbeat) => state.heed_again(now),
        (Running, Stop | Interrupt) => delay::request_stop(policy, state, now),
        (Starting { .. }, Stop | Interrupt) => stop(policy, state, AfterStop::Finish, now),
        (Starting { .. } | Running, Restart) => stop(policy, state, AfterStop::Restart, now),
        (Starting { .. } | Running | Stopping { .. }, Forward(signal)) => forward(policy, state, signal, now),

        (Phase::Delaying { signal, .. }, event) => delay::advance(policy, state, signal, event, now),

        (Stopping { next, .. }, Tick) => {
            state.phase = Stopping { next, until: grace };
            Action::Send(Signal::KILL, Recipient::Group)
        }
        // The kernel kills the server as soon as PID 1 exits, so no other server can follow.
        (Stopping { next: AfterStop::Restart | AfterStop::HandleExit, .. }, Unkillable) => {
            finish(state, Ending::Server(KILLED))
        }
        (Stopping { next, .. }, Unkillable) => after_stop(policy, state, next, KILLED, now),
        (Stopping { next: AfterStop::Finish, .. }, Interrupt) => {
            state.phase = Stopping { next: AfterStop::Finish, until: grace };
            Action::Send(Signal::KILL, Recipient::Group)
        }
        (Stopping { until, .. }, Stop | Interrupt) => {
            state.phase = Stopping { next: AfterStop::Finish, until };
            Action::Wait
        }
        (Stopping { next: AfterStop::HandleExit, until }, Restart) => {
            state.phase = Stopping { next: AfterStop::Restart, until };
            Action::Wait
        }
        (Stopping { next, .. }, Exited(exit)) => after_stop(policy, state, next, exit, now),
        (Stopping { next, .. }, ExecFailed(code)) => after_stop(policy, state, next, Exit::Code(code), now),
        (Stopping { next, until }, LeaderExited) => clear_rest(policy, state, (next, until), now),

        (Phase::Clearing { next, exit, until, killed }, event) => {
            Clearing { next, exit, until, killed }.advance(policy, state, event, now)
        }

        (HandlerRunning { exit, pause, .. }, HandlerExited(Exit::SUCCESS)) => restart(policy, state, exit, pause, now),
        (HandlerRunning { exit, .. } | HandlerTimedOut { exit, .. }, HandlerExited(_)) => {
            finish(state, Ending::Server(exit))
        }
        (HandlerRunning { exit, .. }, Tick) => {
            state.phase = HandlerTimedOut { exit, until: grace };
            Action::Send(Signal::TERM, Recipient::Handler)
        }
        (HandlerRunning { .. }, Stop | Interrupt) => {
            state.phase = HandlerStopping { until: grace };
            Action::Send(Signal::TERM, Recipient::Handler)
        }
        (HandlerRunning { exit, until, .. }, Restart) => {
            state.phase = HandlerRunning { exit, until, pause: Pause::None };
            Action::Wait
        }
        (HandlerRunning { exit, pause, .. }, ForkFailed) => {
            fork_failed(state, ForkTask::RunHandler { exit, pause }, now)
        }

        (HandlerTimedOut { exit, .. }, Tick) => {
            state.phase = HandlerTimedOut { exit, until: grace };
            Action::Send(Signal::KILL, Recipient::Handler)
        }
        (HandlerTimedOut { until, .. }, Stop | Interrupt) => {
            state.phase = HandlerStopping { until };
            Action::Wait
        }

        (HandlerStopping { .. }, Tick) => kill_handler(policy, state, now),
        (HandlerStopping { .. }, Interrupt) => kill_handler(policy, state, now),
        (HandlerStopping { .. }, HandlerExited(_)) => finish(state, Ending::Stopped),

        (AwaitingSecond { then: AfterSecond::Launch }, Stop | Interrupt) => {
            state.phase = AwaitingSecond { then: AfterSecond::Finish(Ending::Stopped) };
            Action::Wait
        }
        (AwaitingSecond { then: AfterSecond::Launch }, Forward(signal)) if policy.ends_service(signal) => {
            state.phase = AwaitingSecond { then: AfterSecond::Finish(Ending::Stopped) };
            Action::Wait
        }

        (Backoff { .. }, Tick) => launch(policy, state, LogFiles::Keep, now),
        (Backoff { .. }, Restart) => launch(policy, state, LogFiles::Rotate, now),
        (Backoff { .. } | ForkRetry { .. }, Stop | Interrupt) => finish(state, Ending::Stopped),
        (ForkRetry { .. }, Forward(signal)) => {
            if policy.ends_service(signal) {
                finish(state, Ending::Stopped)
            } else {
                Action::Wait
            }
        }

        (ForkRetry { task, .. }, Tick) => retry_fork(policy, state, task, now),
        (ForkRetry { task: ForkTask::Launch, .. }, Restart) => launch(policy, state, LogFiles::Rotate, now),
        (ForkRetry { task: ForkTask::RunHandler { exit, .. }, until }, Restart) => {
            state.phase = ForkRetry { task: ForkTask::RunHandler { exit, pause: Pause::None }, until };
            Action::Wait
        }

        (DrainingRemaining { ending, .. }, Tick) => kill_all(state, ending, now),
        (DrainingRemaining { ending, .. }, Interrupt) => kill_all(state, ending, now),
        (DrainingRemaining { ending, .. } | KillingRemaining { ending, .. }, NoneLeft) => finish(state, ending),
        (KillingRemaining { ending, .. }, Tick) => finish(state, ending),

        // `has_no_effect` in the tests lists these pairs.
        _ => Action::Wait,
    }
}

/// The server exited without a request from vsrun.
fn on_exit(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    state.end_run(policy, now);
    if policy.linger.is_some() && state.is_unexpected(policy, exit) {
        return clear(policy, state, AfterStop::HandleExit, Some(exit), now);
    }
    cleared(policy, state, AfterStop::HandleExit, exit, now)
}

/// The server exited because vsrun stopped it, and the rest of its group is gone too.
fn after_stop(policy: &Policy, state: &mut State, next: AfterStop, exit: Exit, now: Time) -> Action {
    match next {
        AfterStop::HandleExit => on_exit(policy, state, exit, now),
        AfterStop::Restart if policy.linger.is_some() => clear(policy, state, next, Some(exit), now),
        AfterStop::Restart | AfterStop::Finish | AfterStop::FailStart => cleared(policy, state, next, exit, now),
    }
}

/// Nothing is left of the run, or only processes that have had their time to exit: decides what follows.
fn cleared(policy: &Policy, state: &mut State, next: AfterStop, exit: Exit, now: Time) -> Action {
    let ending = match (next, policy.role) {
        (AfterStop::Finish, Role::Manager) => Ending::Stopped,
        (AfterStop::Finish, Role::Init | Role::InitWithTimeout) => Ending::Server(exit),
        (AfterStop::FailStart, _) => Ending::Failed(SETUP),
        (AfterStop::Restart, _) => return launch(policy, state, LogFiles::Rotate, now),
        (AfterStop::HandleExit, _) if state.is_unexpected(policy, exit) => return recover(policy, state, exit, now),
        (AfterStop::HandleExit, _) => Ending::Server(exit),
    };
    finish(state, ending)
}

/// Forwards a signal to the server, after `--stop-delay` if it is a request to stop.
fn forward(policy: &Policy, state: &mut State, signal: Signal, now: Time) -> Action {
    match delay::of_forwarded(policy, state, signal) {
        Some(span) => delay::begin(state, Some(signal), span, now),
        None => forward_now(policy, state, signal, now),
    }
}

/// Forwards a signal to the server. If the signal asks it to exit, no restart follows, and an init with a stop timeout
/// starts that timeout.
fn forward_now(policy: &Policy, state: &mut State, signal: Signal, now: Time) -> Action {
    state.forwarded |= signal.bit();
    if let Phase::Stopping { next: AfterStop::Restart, until } = state.phase
        && policy.ends_service(signal)
    {
        state.phase = Phase::Stopping { next: AfterStop::Finish, until };
    }
    let stops = policy.role == Role::InitWithTimeout && policy.ends_service(signal);
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

fn kill_handler(policy: &Policy, state: &mut State, now: Time) -> Action {
    state.phase = Phase::HandlerStopping { until: policy.stop_deadline(now) };
    Action::Send(Signal::KILL, Recipient::Handler)
}

fn kill_all(state: &mut State, ending: Ending, now: Time) -> Action {
    state.phase = Phase::KillingRemaining { ending, until: now.after(KILL_WAIT) };
    Action::Send(Signal::KILL, Recipient::All)
}

fn finish(state: &mut State, ending: Ending) -> Action {
    state.phase = Phase::Done;
    Action::Finish(ending)
}

mod clearing;
mod delay;
#[cfg(test)]
#[path = "transition/explore/tests.rs"]
mod explore;
mod outcome;
mod runs;
mod second;
#[cfg(test)]
mod tests;
