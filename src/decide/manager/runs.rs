//! How the next run begins: the handler, the restart with its pause and limit, the launch, and a launch that the kernel
//! refused.

use super::finish;
use crate::decide::event::{Action, Ending, Logs};
use crate::decide::exit::Exit;
use crate::decide::policy::{Handling, Policy};
use crate::decide::state::{Pause, Phase, State, Task};
use crate::decide::time::{Span, Time};

/// The pauses before a fork that the kernel refused is tried again.
const SHORTAGE: (Span, Span) = (Span::millis(100), Span::secs(5));
/// After an unexpected end: the handler, or the restart.
pub(super) fn recover(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    match policy.handler {
        Handling::Absent => restart(policy, state, exit, Pause::Usual, now),
        Handling::Patient | Handling::Within(_) => handle(policy, state, exit, Pause::Usual, now),
    }
}

pub(super) fn handle(policy: &Policy, state: &mut State, exit: Exit, pause: Pause, now: Time) -> Action {
    let until = match policy.handler {
        Handling::Within(span) => Some(now.after(span)),
        Handling::Absent | Handling::Patient => None,
    };
    state.phase = Phase::Handling { exit, until, pause };
    Action::Handle(exit)
}

/// A restart after an unexpected end, now or after a pause; or the end, when there have been too many.
#[inline(never)]
pub(super) fn restart(policy: &Policy, state: &mut State, exit: Exit, pause: Pause, now: Time) -> Action {
    state.shortage = Span::ZERO;
    let rest = match pause {
        Pause::Usual => policy.pause_after(state.row),
        Pause::None => Span::ZERO,
    };
    let at = now.after(rest);
    if let Some(limit) = policy.limit {
        let full = state.history.len() >= usize::from(limit.restarts);
        if full && state.history.first().is_some_and(|oldest| at.since(*oldest) < limit.within) {
            return finish(state, Ending::GaveUp(exit));
        }
        if full {
            state.history.remove(0);
        }
        state.history.push(at);
    }
    state.row = state.row.saturating_add(1);
    state.restarts = state.restarts.saturating_add(1);
    match pause {
        Pause::None => launch(policy, state, Logs::Rotate, now),
        Pause::Usual if rest == Span::ZERO => launch(policy, state, Logs::Same, now),
        Pause::Usual => {
            state.phase = Phase::Resting { until: at };
            Action::Pause(rest)
        }
    }
}

pub(super) fn launch(policy: &Policy, state: &mut State, logs: Logs, now: Time) -> Action {
    let until = policy.ready_timeout.map(|span| now.after(span));
    state.phase = if state.ready { Phase::Up } else { Phase::Starting { until } };
    state.since = now;
    state.passed = 0;
    (state.silence, state.watchdog, state.bitten) = (None, policy.watchdog, false);
    Action::Launch(logs)
}

pub(super) fn shortage(state: &mut State, task: Task, now: Time) -> Action {
    state.shortage = state.shortage.doubled().clamp(SHORTAGE.0, SHORTAGE.1);
    state.phase = Phase::Short { task, until: now.after(state.shortage) };
    Action::Wait
}

pub(super) fn retry(policy: &Policy, state: &mut State, task: Task, now: Time) -> Action {
    match task {
        Task::Launch => launch(policy, state, Logs::Same, now),
        Task::Handle { exit, pause } => handle(policy, state, exit, pause, now),
    }
}
