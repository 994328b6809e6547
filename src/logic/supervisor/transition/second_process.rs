//! Replacement: a candidate is started beside the server. If it becomes ready, it becomes the server and the old server
//! is ended; otherwise the candidate is ended.
//!
//! The state machine returns only one action for an event, and that may be one for the server. So if an event also has
//! to end the second process, it only sets a deadline for that, and the `DeadlinePassed` that follows sends the signal.

use super::{KILL_WAIT, finish, launch};
use crate::logic::base::exit::{Exit, KILLED};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Ending, Event, LogFilesAtStart, Recipient, SecondProcessEvent};
use crate::logic::supervisor::policy::{Policy, Role};
use crate::logic::supervisor::replacement::{Outcome, SecondProcess};
use crate::logic::supervisor::state::{AfterSecondProcess, ForcedStop, Phase, State};

/// Applies an event to the replacement. Returns the action if the event has no other effect, and None if the function
/// of the phase must handle the event too.
///
/// A `DeadlinePassed` before the deadline has no effect. Only this function checks that, so no arm of a phase for that
/// event needs a guard.
#[inline(never)]
pub(super) fn apply_to_replacement(policy: &Policy, state: &mut State, event: Event, now: Time) -> Option<Action> {
    use Event::*;
    let is_due = |until: Option<Time>| until.is_some_and(|until| until <= now);
    match event {
        DeadlinePassed if is_due(state.second.deadline()) => return Some(on_second_deadline(policy, state, now)),
        DeadlinePassed if !is_due(state.phase_deadline()) => return Some(Action::Wait),
        Exited(_) | ExecFailed(_) | LeaderExited if state.second.is_candidate() => {
            return Some(promote_candidate(policy, state, event, now));
        }
        // If PID 1 exited now, the kernel would kill the candidate together with the old server.
        Unkillable if state.second.is_candidate() => return Some(Action::Wait),
        Unkillable if matches!(state.phase, Phase::Stopping { .. }) => {
            record_promoted_failure(state, Outcome::Exited(KILLED))
        }
        Exited(exit) => record_promoted_failure(state, Outcome::Exited(exit)),
        LeaderExited => record_promoted_failure(state, Outcome::ExitedUnreaped),
        ExecFailed(code) => record_promoted_failure(state, Outcome::ExecFailed(code)),
        OfSecondProcess(event) => return Some(on_event(policy, state, event, now)),
        DeadlinePassed | Ready | NotReady | Heartbeat | HandlerExited(_) | NoneLeft | Unkillable | ForkFailed
        | Unhealthy | Stop | Interrupt | Restart | Forward(_) | Replace => {
            cancel_replacement_if_asked(policy, state, event, now)
        }
    }
    None
}

/// Begins a replacement if none of the reasons of `State::replacement_refusal` prevents it.
pub(super) fn begin_replacement(policy: &Policy, state: &mut State, now: Time) -> Action {
    if state.replacement_refusal(policy).is_some() {
        return Action::Wait;
    }
    let until = now.after(policy.candidate_ready_timeout.unwrap_or_default());
    state.second = SecondProcess::Candidate { until, since: now, watchdog: policy.watchdog };
    (state.outcome_so_far, state.unreported_outcome) = (Some(Outcome::Done), None);
    Action::StartCandidate
}

/// Handles an event of the second process.
pub(super) fn on_event(policy: &Policy, state: &mut State, event: SecondProcessEvent, now: Time) -> Action {
    use SecondProcessEvent::{ExecFailed, Exited, ForkFailed, LeaderExited, NoneLeft, NotReady, Ready, Unkillable};
    match (state.second, event) {
        (SecondProcess::Candidate { since, watchdog, .. }, Ready) => {
            state.second = if let Phase::Stopping { until, .. } = state.phase {
                // vsrun is already stopping the old server, for example after a missed watchdog: only KILL is left to
                // be sent, at the deadline of that stop.
                exiting(until, Signal::KILL, Recipient::Group)
            } else {
                exiting_now(policy, now)
            };
            record_promotion(state, since, watchdog);
            state.arm_watchdog(now);
            Action::SwitchToCandidate
        }
        (SecondProcess::Candidate { .. }, NotReady) => {
            fail_candidate(policy, state, Outcome::NeverReady, now);
            // A server that closes its ready descriptor is usually exiting: wait 100 ms for its exit status, which is
            // the better outcome to report.
            if let SecondProcess::Exiting { until, .. } = &mut state.second {
                *until = Some(now.after(Span::millis(100)));
            }
            Action::Wait
        }
        (SecondProcess::Candidate { .. }, ForkFailed) => {
            state.outcome_so_far = Some(Outcome::ForkFailed);
            forget_second_process(policy, state, now)
        }
        (SecondProcess::Candidate { .. }, ExecFailed(code)) => {
            state.outcome_so_far = Some(Outcome::ExecFailed(code));
            on_second_reaped(policy, state, now)
        }
        (SecondProcess::Candidate { .. }, Exited(exit)) => {
            state.outcome_so_far = Some(Outcome::Exited(exit));
            on_second_reaped(policy, state, now)
        }
        (SecondProcess::Candidate { .. }, LeaderExited) => {
            state.outcome_so_far = Some(Outcome::ExitedUnreaped);
            state.second = exiting(Some(now), Signal::TERM, Recipient::Group);
            Action::Wait
        }
        (SecondProcess::Exiting { until, next, .. }, LeaderExited) if next != Signal::KILL => {
            state.second = exiting(until, Signal::TERM, Recipient::Group);
            Action::Wait
        }
        // The rest of the second process's group is sent TERM, unless TERM is the stop signal, which it has just been
        // sent.
        (SecondProcess::Exiting { .. }, LeaderExited) if policy.stop_signal == Signal::TERM => Action::Wait,
        (SecondProcess::Exiting { .. }, LeaderExited) => Action::SendToSecondProcess(Signal::TERM, Recipient::Group),
        (SecondProcess::Exiting { next, .. }, Exited(exit)) => {
            if state.outcome_so_far == Some(Outcome::NeverReady) && next != Signal::KILL {
                state.outcome_so_far = Some(Outcome::Exited(exit));
            }
            on_second_reaped(policy, state, now)
        }
        (SecondProcess::Exiting { .. }, ExecFailed(_)) => on_second_reaped(policy, state, now),
        // The second process can be killed only by an exit of PID 1, so no restart is possible.
        (SecondProcess::Exiting { .. }, Unkillable) => {
            let Phase::AwaitingSecondProcessExit { then } = state.phase else { return Action::Wait };
            state.second = SecondProcess::None;
            let forced = Ending::ServerExited(KILLED);
            finish(state, if let AfterSecondProcess::Finish(ending) = then { ending } else { forced })
        }
        (SecondProcess::DescendantsRemain { .. }, NoneLeft) => forget_second_process(policy, state, now),
        (SecondProcess::None | SecondProcess::Candidate { .. }, _) => Action::Wait,
        (SecondProcess::Exiting { .. } | SecondProcess::DescendantsRemain { .. }, _) => Action::Wait,
    }
}

/// Handles an event in `Phase::AwaitingSecondProcessExit`: the server is gone, and the second process or what it has
/// left behind is being ended. After a stop, no restart follows.
pub(super) fn on_event_awaiting_second(
    policy: &Policy,
    state: &mut State,
    then: AfterSecondProcess,
    event: Event,
) -> Action {
    use Event::*;
    let stops = match event {
        Stop | Interrupt => true,
        Forward(signal) => policy.forwarding_ends_service(signal),
        DeadlinePassed | Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited
        | HandlerExited(_) | NoneLeft | Unkillable | ForkFailed | Restart | Replace | OfSecondProcess(_) => false,
    };
    if stops && then == AfterSecondProcess::StartServer {
        state.phase = Phase::AwaitingSecondProcessExit { then: AfterSecondProcess::Finish(Ending::Stopped) };
    }
    Action::Wait
}

/// Acts on a deadline of the second process that has passed.
#[inline(never)]
pub(super) fn on_second_deadline(policy: &Policy, state: &mut State, now: Time) -> Action {
    match state.second {
        SecondProcess::None => Action::Wait,
        SecondProcess::Candidate { .. } => fail_candidate(policy, state, Outcome::NotReadyInTime, now),
        SecondProcess::Exiting { next, to, .. } => {
            let killed = next == Signal::KILL;
            // KILL is repeated, because processes of the group that were forked just before it may have missed it.
            let until = if killed { Some(now.after(KILL_WAIT)) } else { policy.stop_deadline(now) };
            state.second = SecondProcess::Exiting { until, next: Signal::KILL, to: Recipient::Group, killed };
            Action::SendToSecondProcess(next, to)
        }
        SecondProcess::DescendantsRemain { next: Some(signal), .. } => {
            state.second = if signal == Signal::KILL {
                SecondProcess::DescendantsRemain { until: now.after(KILL_WAIT), next: None }
            } else {
                let until = now.after(policy.linger_timeout.unwrap_or_default());
                SecondProcess::DescendantsRemain { until, next: Some(Signal::KILL) }
            };
            Action::SendToSecondProcess(signal, Recipient::RemainingOfRun)
        }
        // A process that hangs in the kernel does not exit after KILL: stop waiting.
        SecondProcess::DescendantsRemain { next: None, .. } => forget_second_process(policy, state, now),
    }
}

/// Makes the candidate the server, because the server exited while the candidate was starting.
pub(super) fn promote_candidate(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    let SecondProcess::Candidate { until, since, watchdog } = state.second else { return Action::Wait };
    let exit = if let Event::Exited(exit) = event {
        Some(exit)
    } else if let Event::ExecFailed(code) = event {
        Some(Exit::Code(code))
    } else {
        None
    };
    state.record_run_end(policy, now);
    if exit.is_none_or(|exit| state.allows_restart_after(policy, exit)) {
        state.count_restart(policy, now);
    }
    state.second = match exit {
        None => exiting(Some(now), Signal::TERM, Recipient::Group),
        Some(_) if policy.linger_timeout.is_some() => {
            SecondProcess::DescendantsRemain { until: now, next: Some(Signal::TERM) }
        }
        Some(_) => SecondProcess::None,
    };
    record_promotion(state, since, watchdog);
    state.promoted_ready_deadline = Some(until);
    Action::SwitchToCandidate
}

/// Records in the state that the second process is the server. `since` is the start of its run, `watchdog` its watchdog
/// time.
fn record_promotion(state: &mut State, since: Time, watchdog: Option<Span>) {
    state.phase = Phase::Running;
    state.reset_for_run(since, watchdog);
}

/// Records why the new server of a replacement failed. If it had taken the place of a server that exited, and was not
/// ready yet, its exit counts as unexpected.
pub(super) fn record_promoted_failure(state: &mut State, why: Outcome) {
    if state.promoted_ready_deadline.take().is_some() {
        state.forced = Some(ForcedStop::Unready);
    }
    // The first failure of a replacement is kept. But a server that closes its ready descriptor is often exiting, and
    // its exit status is the better outcome to report.
    let says_more = matches!(why, Outcome::Exited(Exit::Code(_))) && state.outcome_so_far == Some(Outcome::NeverReady);
    if says_more || state.outcome_so_far == Some(Outcome::Done) {
        state.outcome_so_far = Some(why);
    }
}

/// Ends the candidate because it failed. The old server keeps running.
fn fail_candidate(policy: &Policy, state: &mut State, why: Outcome, now: Time) -> Action {
    state.outcome_so_far = Some(why);
    state.second = exiting_now(policy, now);
    Action::Wait
}

/// The state of a second process that is sent the stop signal at the next `DeadlinePassed`, which is due now.
fn exiting_now(policy: &Policy, now: Time) -> SecondProcess {
    exiting(Some(now), policy.stop_signal, policy.signal_scope)
}

/// The state of a second process that is sent this signal at `until`.
fn exiting(until: Option<Time>, next: Signal, to: Recipient) -> SecondProcess {
    SecondProcess::Exiting { until, next, to, killed: false }
}

/// Cancels the replacement and ends the candidate, if the event is a stop, a restart or a forwarded signal that ends
/// the service.
pub(super) fn cancel_replacement_if_asked(policy: &Policy, state: &mut State, event: Event, now: Time) {
    let ends =
        matches!(event, Event::Forward(signal) if state.second.is_candidate() && cancels_candidate(policy, signal));
    let why = if ends || matches!(event, Event::Stop | Event::Interrupt) {
        Outcome::StopRequested
    } else if event == Event::Restart {
        Outcome::RestartRequested
    } else {
        return;
    };
    if event == Event::Interrupt
        && let SecondProcess::Exiting { .. } = state.second
        && state.is_finishing()
    {
        state.second = exiting(Some(now), Signal::KILL, Recipient::Group);
    }
    if state.second.is_candidate() {
        state.second = exiting_now(policy, now);
    }
    if state.outcome_so_far.take().is_some() {
        (state.unreported_outcome, state.promoted_ready_deadline) = (Some(why), None);
    }
}

/// True if an init forwards this signal and the server should then exit, so that no candidate may take its place.
fn cancels_candidate(policy: &Policy, signal: Signal) -> bool {
    policy.forwarding_ends_service(signal)
        || (policy.role != Role::Manager && [Signal::INT, Signal::QUIT].contains(&signal))
}

/// Handles the end of the second process after it was reaped. Processes that it started may remain.
fn on_second_reaped(policy: &Policy, state: &mut State, now: Time) -> Action {
    if policy.linger_timeout.is_none() {
        return forget_second_process(policy, state, now);
    }
    if let Phase::AwaitingSecondProcessExit { then: AfterSecondProcess::Finish(_) } = state.phase {
        // The supervisor is about to finish, and then sends TERM to all remaining processes.
        return forget_second_process(policy, state, now);
    }
    if let Phase::StoppingRemaining { killed, .. } = state.phase {
        // The remaining processes of the server are being ended. The remaining processes of the second process get the
        // same signals.
        state.second = SecondProcess::None;
        return Action::Send(if killed { Signal::KILL } else { Signal::TERM }, Recipient::RemainingOfRun);
    }
    state.second = SecondProcess::DescendantsRemain { until: now, next: Some(Signal::TERM) };
    Action::Wait
}

/// Forgets the second process. Its remaining processes are gone, or are no longer waited for.
fn forget_second_process(policy: &Policy, state: &mut State, now: Time) -> Action {
    state.second = SecondProcess::None;
    let Phase::AwaitingSecondProcessExit { then } = state.phase else { return Action::Wait };
    match then {
        AfterSecondProcess::Finish(ending) => finish(state, ending),
        AfterSecondProcess::StartServer => launch(policy, state, LogFilesAtStart::Rotate, now),
    }
}
