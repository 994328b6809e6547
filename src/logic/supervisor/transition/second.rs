//! Replacement: a candidate beside the server, the switch-over or the rollback, and the end of the other process.
//!
//! A second process that has to exit gets every signal by a `Tick`, with its own deadline. So whatever else an event
//! does, ending the second process is only a deadline that is due.

use super::{KILL_WAIT, finish, launch};
use crate::logic::base::exit::{Exit, KILLED};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Ending, Event, LogFiles, Recipient, SecondEvent};
use crate::logic::supervisor::policy::{Policy, Role};
use crate::logic::supervisor::replacement::{Outcome, Second};
use crate::logic::supervisor::state::{AfterSecond, ForcedStop, Phase, State};

/// What an event means for the second process. Returns the action if the event means nothing else.
///
/// A tick before the deadline has no effect. That is checked once, here, so that no `Tick` arm of a phase needs a guard.
#[inline(never)]
pub(super) fn handle_second(policy: &Policy, state: &mut State, event: Event, now: Time) -> Option<Action> {
    use Event::*;
    let is_due = |until: Option<Time>| until.is_some_and(|until| until <= now);
    match event {
        Tick if is_due(state.second.deadline()) => return Some(tick(policy, state, now)),
        Tick if !is_due(state.main_deadline()) => return Some(Action::Wait),
        Exited(_) | ExecFailed(_) | LeaderExited if state.second.is_candidate() => {
            return Some(promote_candidate(policy, state, event, now));
        }
        // PID 1 waits for the candidate: it would end it with the old server.
        Unkillable if state.second.is_candidate() => return Some(Action::Wait),
        Unkillable if matches!(state.phase, Phase::Stopping { .. }) => give_up(state, Outcome::Exited(KILLED)),
        Exited(exit) => give_up(state, Outcome::Exited(exit)),
        LeaderExited => give_up(state, Outcome::Ended),
        ExecFailed(code) => give_up(state, Outcome::ExecFailed(code)),
        Second(event) => return Some(advance(policy, state, event, now)),
        Tick | Ready | NotReady | Heartbeat | HandlerExited(_) | NoneLeft | Unkillable | ForkFailed | Unhealthy
        | Stop | Interrupt | Restart | Forward(_) | Replace => cancel_replacement(policy, state, event, now),
    }
    None
}

/// A replacement was requested.
pub(super) fn begin(policy: &Policy, state: &mut State, now: Time) -> Action {
    if state.refusal(policy).is_some() {
        return Action::Wait;
    }
    let until = now.after(policy.candidate_timeout.unwrap_or_default());
    state.second = Second::Candidate { until, since: now, watchdog: policy.watchdog };
    (state.replacement, state.finished) = (Some(Outcome::Done), None);
    Action::LaunchCandidate
}

/// Applies an event of the second process.
pub(super) fn advance(policy: &Policy, state: &mut State, event: SecondEvent, now: Time) -> Action {
    use SecondEvent::{ExecFailed, Exited, ForkFailed, LeaderExited, NoneLeft, NotReady, Ready, Unkillable};
    match (state.second, event) {
        (Second::Candidate { since, watchdog, .. }, Ready) => {
            state.second = if let Phase::Stopping { until, .. } = state.phase {
                // The watchdog has fired: the old server has got its signal, and KILL has its time.
                exiting(until, Signal::KILL, Recipient::Group)
            } else {
                stop_second(policy, now)
            };
            promote(state, since, watchdog);
            state.arm_watchdog(now);
            Action::SwitchOver
        }
        (Second::Candidate { .. }, NotReady) => {
            fail(policy, state, Outcome::NeverReady, now);
            // Most servers that close the descriptor are just exiting: their status says more.
            if let Second::Exiting { until, .. } = &mut state.second {
                *until = Some(now.after(Span::millis(100)));
            }
            Action::Wait
        }
        (Second::Candidate { .. }, ForkFailed) => {
            state.replacement = Some(Outcome::NoFork);
            on_second_cleared(policy, state, now)
        }
        (Second::Candidate { .. }, ExecFailed(code)) => {
            state.replacement = Some(Outcome::ExecFailed(code));
            on_second_reaped(policy, state, now)
        }
        (Second::Candidate { .. }, Exited(exit)) => {
            state.replacement = Some(Outcome::Exited(exit));
            on_second_reaped(policy, state, now)
        }
        (Second::Candidate { .. }, LeaderExited) => {
            state.replacement = Some(Outcome::Ended);
            state.second = exiting(Some(now), Signal::TERM, Recipient::Group);
            Action::Wait
        }
        (Second::Exiting { until, next, .. }, LeaderExited) if next != Signal::KILL => {
            state.second = exiting(until, Signal::TERM, Recipient::Group);
            Action::Wait
        }
        // As for the server: the rest of the group gets TERM, unless it has just got it.
        (Second::Exiting { .. }, LeaderExited) if policy.stop_signal == Signal::TERM => Action::Wait,
        (Second::Exiting { .. }, LeaderExited) => Action::SendSecond(Signal::TERM, Recipient::Group),
        (Second::Exiting { next, .. }, Exited(exit)) => {
            if state.replacement == Some(Outcome::NeverReady) && next != Signal::KILL {
                state.replacement = Some(Outcome::Exited(exit));
            }
            on_second_reaped(policy, state, now)
        }
        (Second::Exiting { .. }, ExecFailed(_)) => on_second_reaped(policy, state, now),
        // The kernel kills it as soon as PID 1 exits, so no server can follow.
        (Second::Exiting { .. }, Unkillable) => {
            let Phase::AwaitingSecond { then } = state.phase else { return Action::Wait };
            state.second = Second::None;
            finish(state, if let AfterSecond::Finish(ending) = then { ending } else { Ending::Server(KILLED) })
        }
        (Second::Remains { .. }, NoneLeft) => on_second_cleared(policy, state, now),
        (Second::None | Second::Candidate { .. } | Second::Exiting { .. } | Second::Remains { .. }, _) => Action::Wait,
    }
}

/// The server is gone, and the second process has been asked to exit: applies another event.
pub(super) fn awaiting(policy: &Policy, state: &mut State, then: AfterSecond, event: Event) -> Action {
    use Event::*;
    let stops = match event {
        Stop | Interrupt => true,
        Forward(signal) => policy.ends_service(signal),
        Tick | Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited
        | HandlerExited(_) | NoneLeft | Unkillable | ForkFailed | Restart | Replace | Second(_) => false,
    };
    if stops && then == AfterSecond::Launch {
        state.phase = Phase::AwaitingSecond { then: AfterSecond::Finish(Ending::Stopped) };
    }
    Action::Wait
}

/// A deadline of the second process has passed.
#[inline(never)]
pub(super) fn tick(policy: &Policy, state: &mut State, now: Time) -> Action {
    match state.second {
        Second::None => Action::Wait,
        Second::Candidate { .. } => fail(policy, state, Outcome::Late, now),
        Second::Exiting { next, to, .. } => {
            let killed = next == Signal::KILL;
            // Repeated, for processes that were forked just before it.
            let until = if killed { Some(now.after(KILL_WAIT)) } else { policy.stop_deadline(now) };
            state.second = Second::Exiting { until, next: Signal::KILL, to: Recipient::Group, killed };
            Action::SendSecond(next, to)
        }
        Second::Remains { next: Some(signal), .. } => {
            state.second = if signal == Signal::KILL {
                Second::Remains { until: now.after(KILL_WAIT), next: None }
            } else {
                let until = now.after(policy.linger.unwrap_or_default());
                Second::Remains { until, next: Some(Signal::KILL) }
            };
            Action::SendSecond(signal, Recipient::Remains)
        }
        // A process that hangs in the kernel survives KILL.
        Second::Remains { next: None, .. } => on_second_cleared(policy, state, now),
    }
}

/// The server exited while a candidate starts: the candidate becomes the server.
pub(super) fn promote_candidate(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    let Second::Candidate { until, since, watchdog } = state.second else { return Action::Wait };
    let exit = if let Event::Exited(exit) = event {
        Some(exit)
    } else if let Event::ExecFailed(code) = event {
        Some(Exit::Code(code))
    } else {
        None
    };
    state.end_run(policy, now);
    if exit.is_none_or(|exit| state.is_unexpected(policy, exit)) {
        state.count_restart(policy, now);
    }
    state.second = match exit {
        None => exiting(Some(now), Signal::TERM, Recipient::Group),
        Some(_) if policy.linger.is_some() => Second::Remains { until: now, next: Some(Signal::TERM) },
        Some(_) => Second::None,
    };
    promote(state, since, watchdog);
    state.ready_deadline = Some(until);
    Action::SwitchOver
}

/// The second process becomes the server.
fn promote(state: &mut State, since: Time, watchdog: Option<Span>) {
    state.phase = Phase::Running;
    state.begin_run(since, watchdog);
}

/// The server took the place of one that exited, and has failed to become ready: its exit will be unexpected.
pub(super) fn give_up(state: &mut State, why: Outcome) {
    if state.ready_deadline.take().is_some() {
        state.forced = Some(ForcedStop::Unready);
    }
    // Otherwise the replacement has already failed. A server that closes its ready descriptor is often just exiting.
    let says_more = matches!(why, Outcome::Exited(Exit::Code(_))) && state.replacement == Some(Outcome::NeverReady);
    if says_more || state.replacement == Some(Outcome::Done) {
        state.replacement = Some(why);
    }
}

/// The candidate failed: the old server goes on, and the candidate is ended.
fn fail(policy: &Policy, state: &mut State, why: Outcome, now: Time) -> Action {
    state.replacement = Some(why);
    state.second = stop_second(policy, now);
    Action::Wait
}

/// The second process is to be sent the stop signal now.
fn stop_second(policy: &Policy, now: Time) -> Second {
    exiting(Some(now), policy.stop_signal, policy.signal_scope)
}

/// The second process is to be sent this signal at `until`.
fn exiting(until: Option<Time>, next: Signal, to: Recipient) -> Second {
    Second::Exiting { until, next, to, killed: false }
}

/// A request ends the replacement: both processes exit, or the old server alone goes on.
pub(super) fn cancel_replacement(policy: &Policy, state: &mut State, event: Event, now: Time) {
    let ends =
        matches!(event, Event::Forward(signal) if state.second.is_candidate() && cancels_candidate(policy, signal));
    let why = if ends || matches!(event, Event::Stop | Event::Interrupt) {
        Outcome::Stopped
    } else if event == Event::Restart {
        Outcome::Restarted
    } else {
        return;
    };
    if event == Event::Interrupt
        && let Second::Exiting { .. } = state.second
        && state.is_finishing()
    {
        state.second = exiting(Some(now), Signal::KILL, Recipient::Group);
    }
    if state.second.is_candidate() {
        state.second = stop_second(policy, now);
    }
    if state.replacement.take().is_some() {
        (state.finished, state.ready_deadline) = (Some(why), None);
    }
}

/// True if an init forwards this signal in order to end the whole service, so that no candidate may take the server's
/// place.
fn cancels_candidate(policy: &Policy, signal: Signal) -> bool {
    policy.ends_service(signal) || (policy.role != Role::Manager && [Signal::INT, Signal::QUIT].contains(&signal))
}

/// The second process has been reaped. Its remaining processes may be left.
fn on_second_reaped(policy: &Policy, state: &mut State, now: Time) -> Action {
    if policy.linger.is_none() {
        return on_second_cleared(policy, state, now);
    }
    if let Phase::AwaitingSecond { then: AfterSecond::Finish(_) } = state.phase {
        // All remaining processes are sent TERM after this.
        return on_second_cleared(policy, state, now);
    }
    if let Phase::Clearing { killed, .. } = state.phase {
        // What is left of the server is being ended, and this with it.
        state.second = Second::None;
        return Action::Send(if killed { Signal::KILL } else { Signal::TERM }, Recipient::Remains);
    }
    state.second = Second::Remains { until: now, next: Some(Signal::TERM) };
    Action::Wait
}

/// Nothing is left of the second process.
fn on_second_cleared(policy: &Policy, state: &mut State, now: Time) -> Action {
    state.second = Second::None;
    let Phase::AwaitingSecond { then } = state.phase else { return Action::Wait };
    match then {
        AfterSecond::Finish(ending) => finish(state, ending),
        AfterSecond::Launch => launch(policy, state, LogFiles::Rotate, now),
    }
}
