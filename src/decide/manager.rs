//! The manager: what to do next when something happens to the server. One pure function, [`step`].
//!
//! One event in, one state and one action out; time is an argument, and no pid enters. A launch that fails is a very
//! short life. No `_` stands for a phase or an event here, so the compiler lists every pair that a new one brings.

use super::event::{Action, Ending, Event, Logs, To};
use super::exit::{Exit, SETUP};
use super::policy::{Handling, Policy, Restart};
use super::signal::Signal;
use super::state::{Next, Pause, Phase, State, Task};
use super::time::{Span, Time};

/// A life of this length, or of the longest pause where that is shorter, ends a row of falls.
const SOUND_LIFE: Span = Span::secs(10);
/// The pauses before a fork that the kernel refused is tried again.
const SHORTAGE: (Span, Span) = (Span::millis(100), Span::secs(5));

/// What follows from an event. The only way on.
pub fn step(policy: &Policy, mut state: State, event: Event, now: Time) -> (State, Action) {
    let action = advance(policy, &mut state, event, now);
    (state, action)
}

fn advance(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    let due = state.deadline().is_some_and(|until| until <= now);
    match (state.phase, event) {
        (Phase::Starting { .. }, Ready) => {
            state.ready = true;
            state.phase = Phase::Up;
            Action::Announce
        }
        (Phase::Starting { .. }, Failed(code)) => finish(state, Ending::Failed(code)),
        (Phase::Starting { .. }, NoFork) => finish(state, Ending::Failed(SETUP)),
        (Phase::Up, Failed(code)) => fall(policy, state, Exit::Code(code), now),
        (Phase::Up, NoFork) => shortage(state, Task::Launch, now),
        (Phase::Starting { .. }, Fell(_)) => finish(state, Ending::Failed(SETUP)),
        (Phase::Starting { .. }, Unready) => ask(policy, state, Next::Fail, now),
        (Phase::Starting { .. }, Tick) if due => ask(policy, state, Next::Fail, now),
        (Phase::Up, Fell(exit)) => fall(policy, state, exit, now),
        (Phase::Starting { .. } | Phase::Up, Stop | Interrupt) => ask(policy, state, Next::End, now),
        (Phase::Starting { .. } | Phase::Up, Restart) => ask(policy, state, Next::Again, now),
        (Phase::Starting { .. } | Phase::Up | Phase::Stopping { .. }, Pass(signal)) => {
            state.passed |= signal.bit();
            Action::Send(signal, To::Server)
        }

        (Phase::Stopping { next, .. }, Tick) if due => {
            state.phase = Phase::Stopping { next, until: grace(policy, now) };
            Action::Send(Signal::KILL, To::Group)
        }
        (Phase::Stopping { next: Next::End, .. }, Interrupt) => {
            state.phase = Phase::Stopping { next: Next::End, until: grace(policy, now) };
            Action::Send(Signal::KILL, To::Group)
        }
        (Phase::Stopping { until, .. }, Stop | Interrupt) => {
            state.phase = Phase::Stopping { next: Next::End, until };
            Action::Wait
        }
        (Phase::Stopping { next: Next::End, .. }, Fell(_) | Failed(_)) => finish(state, Ending::Stopped),
        (Phase::Stopping { next: Next::Again, .. }, Fell(_) | Failed(_)) => launch(policy, state, Logs::Rotate, now),
        (Phase::Stopping { next: Next::Fail, .. }, Fell(_) | Failed(_)) => finish(state, Ending::Failed(SETUP)),

        (Phase::Handling { exit, pause, .. }, Handled(Exit::SUCCESS)) => restart(policy, state, exit, pause, now),
        (Phase::Handling { exit, .. } | Phase::Refusing { exit, .. }, Handled(_)) => {
            finish(state, Ending::Server(exit))
        }
        (Phase::Handling { exit, .. }, Tick) if due => {
            state.phase = Phase::Refusing { exit, until: grace(policy, now) };
            Action::Send(Signal::TERM, To::Handler)
        }
        (Phase::Handling { .. }, Stop | Interrupt) => {
            state.phase = Phase::Quitting { until: grace(policy, now) };
            Action::Send(Signal::TERM, To::Handler)
        }
        (Phase::Handling { exit, until, .. }, Restart) => {
            state.phase = Phase::Handling { exit, until, pause: Pause::None };
            Action::Wait
        }
        (Phase::Handling { exit, pause, .. }, NoFork) => shortage(state, Task::Handle { exit, pause }, now),

        (Phase::Refusing { exit, .. }, Tick) if due => {
            state.phase = Phase::Refusing { exit, until: grace(policy, now) };
            Action::Send(Signal::KILL, To::Handler)
        }
        (Phase::Refusing { until, .. }, Stop | Interrupt) => {
            state.phase = Phase::Quitting { until };
            Action::Wait
        }

        (Phase::Quitting { .. }, Tick) if due => kill_handler(policy, state, now),
        (Phase::Quitting { .. }, Interrupt) => kill_handler(policy, state, now),
        (Phase::Quitting { .. }, Handled(_)) => finish(state, Ending::Stopped),

        (Phase::Resting { .. }, Tick) if due => launch(policy, state, Logs::Same, now),
        (Phase::Resting { .. }, Restart) => launch(policy, state, Logs::Rotate, now),
        (Phase::Resting { .. } | Phase::Short { .. }, Stop | Interrupt) => finish(state, Ending::Stopped),

        (Phase::Short { task, .. }, Tick) if due => retry(policy, state, task, now),
        (Phase::Short { task: Task::Launch, .. }, Restart) => launch(policy, state, Logs::Rotate, now),
        (Phase::Short { task: Task::Handle { exit, .. }, until }, Restart) => {
            state.phase = Phase::Short { task: Task::Handle { exit, pause: Pause::None }, until };
            Action::Wait
        }

        // Not yet, or once more.
        (Phase::Starting { .. } | Phase::Up, Tick) => Action::Wait,
        (Phase::Stopping { .. }, Tick | Restart | Ready | Unready) => Action::Wait,
        (Phase::Handling { .. } | Phase::Resting { .. } | Phase::Short { .. }, Tick) => Action::Wait,
        (Phase::Refusing { .. }, Tick | Restart) => Action::Wait,
        (Phase::Quitting { .. }, Tick | Stop | Restart) => Action::Wait,
        // A server is ready once, and later ones need not be.
        (Phase::Up, Ready | Unready) => Action::Wait,
        // No handler is there to end.
        (
            Phase::Starting { .. } | Phase::Up | Phase::Stopping { .. } | Phase::Resting { .. } | Phase::Short { .. },
            Handled(_),
        ) => Action::Wait,
        // No server is there to end, or to hear a signal.
        (
            Phase::Handling { .. } | Phase::Refusing { .. } | Phase::Quitting { .. },
            Ready | Unready | Fell(_) | Failed(_) | Pass(_),
        ) => Action::Wait,
        (Phase::Resting { .. } | Phase::Short { .. }, Ready | Unready | Fell(_) | Failed(_) | Pass(_)) => Action::Wait,
        // Nothing has been launched.
        (Phase::Stopping { .. } | Phase::Refusing { .. } | Phase::Quitting { .. }, NoFork) => Action::Wait,
        (Phase::Resting { .. } | Phase::Short { .. }, NoFork) => Action::Wait,
        (
            Phase::Done,
            Tick | Ready | Unready | Fell(_) | Failed(_) | Handled(_) | NoFork | Stop | Interrupt | Restart | Pass(_),
        ) => Action::Wait,
    }
}

/// The server has ended by itself.
fn fall(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    state.shortage = Span::ZERO;
    if now.since(state.since) >= SOUND_LIFE.min(policy.delay.1) {
        state.row = 0;
    }
    if !unexpected(policy, state, exit) {
        return finish(state, Ending::Server(exit));
    }
    match policy.handler {
        Handling::Absent => restart(policy, state, exit, Pause::Usual, now),
        Handling::Patient | Handling::Within(_) => handle(policy, state, exit, Pause::Usual, now),
    }
}

/// Whether an end of the server leads to a restart. Death by a signal that was passed on to it is what somebody
/// asked for, and not unexpected.
fn unexpected(policy: &Policy, state: &State, exit: Exit) -> bool {
    let passed = exit.signal().is_some_and(|signal| state.passed & signal.bit() != 0);
    match policy.restart {
        Restart::Always => true,
        Restart::No => false,
        Restart::OnFailure => !passed && !policy.success.contains(exit),
        Restart::OnAbort => !passed && !policy.success.contains(exit) && exit.signal().is_some(),
    }
}

fn handle(policy: &Policy, state: &mut State, exit: Exit, pause: Pause, now: Time) -> Action {
    let until = match policy.handler {
        Handling::Within(span) => Some(now.after(span)),
        Handling::Absent | Handling::Patient => None,
    };
    state.phase = Phase::Handling { exit, until, pause };
    Action::Handle(exit)
}

/// A restart after an unexpected end, now or after a pause; or the end, when there have been too many.
fn restart(policy: &Policy, state: &mut State, exit: Exit, pause: Pause, now: Time) -> Action {
    state.shortage = Span::ZERO;
    let rest = match pause {
        Pause::Usual => pause_after(policy, state.row),
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
            Action::Wait
        }
    }
}

/// The first end restarts at once, the next ones after MIN, 2 MIN, 4 MIN, ... MAX.
fn pause_after(policy: &Policy, row: u32) -> Span {
    let (min, max) = policy.delay;
    match row.checked_sub(1) {
        None => Span::ZERO,
        Some(doublings) => Span(min.0.saturating_mul(1u64.checked_shl(doublings).unwrap_or(u64::MAX))).min(max),
    }
}

fn launch(policy: &Policy, state: &mut State, logs: Logs, now: Time) -> Action {
    let until = policy.ready_timeout.map(|span| now.after(span));
    state.phase = if state.ready { Phase::Up } else { Phase::Starting { until } };
    state.since = now;
    state.passed = 0;
    Action::Launch(logs)
}

fn ask(policy: &Policy, state: &mut State, next: Next, now: Time) -> Action {
    state.phase = Phase::Stopping { next, until: grace(policy, now) };
    Action::Send(policy.stop_signal, To::Server)
}

fn kill_handler(policy: &Policy, state: &mut State, now: Time) -> Action {
    state.phase = Phase::Quitting { until: grace(policy, now) };
    Action::Send(Signal::KILL, To::Handler)
}

fn shortage(state: &mut State, task: Task, now: Time) -> Action {
    state.shortage = state.shortage.doubled().clamp(SHORTAGE.0, SHORTAGE.1);
    state.phase = Phase::Short { task, until: now.after(state.shortage) };
    Action::Wait
}

fn retry(policy: &Policy, state: &mut State, task: Task, now: Time) -> Action {
    match task {
        Task::Launch => launch(policy, state, Logs::Same, now),
        Task::Handle { exit, pause } => handle(policy, state, exit, pause, now),
    }
}

fn finish(state: &mut State, ending: Ending) -> Action {
    state.phase = Phase::Done;
    Action::Finish(ending)
}

/// When what was asked to end is killed, and killed again.
fn grace(policy: &Policy, now: Time) -> Option<Time> {
    policy.stop_timeout.map(|span| now.after(span))
}

#[cfg(test)]
mod tests;
