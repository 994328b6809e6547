//! The manager: what to do next when something happens to the server. One pure function, [`step`].
//!
//! One event in, one state and one action out; time is an argument, and no pid enters. A launch that fails is a very
//! short life. No `_` stands for a phase or an event here, so the compiler lists every pair that a new one brings.

use clearing::{Clearing, clear, clear_rest};
use runs::{launch, recover, restart, retry, shortage};

use super::event::{Action, Ending, Event, Logs, To};
use super::exit::{Exit, KILLED, SETUP};
use super::policy::{Policy, Role};
use super::signal::Signal;
use super::state::{Next, Pause, Phase, State, Task};
use super::time::{Span, Time};

/// How long those are awaited who were killed at the very end.
const LAST: Span = Span::secs(5);

/// What follows from an event. The only way on.
pub fn step(policy: &Policy, mut state: State, event: Event, now: Time) -> (State, Action) {
    let lingers = matches!(state.phase, Phase::Lingering { .. } | Phase::Killing { .. });
    let action = advance(policy, &mut state, event, now);
    let Action::Finish(ending) = action else { return (state, action) };
    let ending = state.judge(policy, ending);
    match policy.linger {
        // There is no further run of the server; other processes may remain.
        Some(span) if !lingers => {
            state.phase = Phase::Lingering { ending, until: now.after(span) };
            (state, Action::Send(Signal::TERM, To::All))
        }
        Some(_) | None => (state, Action::Finish(ending)),
    }
}

#[inline(never)]
fn advance(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    let due = state.deadline().is_some_and(|until| until <= now);
    match (state.phase, event) {
        (Phase::Starting { .. }, Ready) => {
            state.ready = true;
            state.phase = Phase::Up;
            state.heed(now);
            Action::Announce
        }
        (Phase::Starting { .. }, Failed(code)) => finish(state, Ending::Failed(code)),
        (Phase::Starting { .. }, NoFork) => finish(state, Ending::Failed(SETUP)),
        (Phase::Up, Failed(code)) => fall(policy, state, Exit::Code(code), now),
        (Phase::Up, NoFork) => shortage(state, Task::Launch, now),
        (Phase::Starting { .. }, Fell(exit)) if policy.role != Role::Manager && state.was_forwarded(exit) => {
            finish(state, Ending::Server(exit))
        }
        (Phase::Starting { .. }, Fell(_)) => finish(state, Ending::Failed(SETUP)),
        (Phase::Starting { .. }, Left) => clear(policy, state, Next::Fail, None, now),
        (Phase::Starting { .. }, Unready) => ask(policy, state, Next::Fail, now),
        (Phase::Starting { .. }, Tick) if due => ask(policy, state, Next::Fail, now),
        (Phase::Up, Fell(exit)) => fall(policy, state, exit, now),
        (Phase::Up, Left) => clear_rest(policy, state, (Next::Fall, None), now),
        (Phase::Up, Tick) if due => state.bite(policy, now),
        // A server is ready once, and later ones need not be; but from then on they must not be silent.
        (Phase::Up, Ready) => state.heed(now),
        (Phase::Up, Alive) if state.silence.is_some() => state.heed(now),
        (Phase::Starting { .. } | Phase::Up, Stop | Interrupt) => ask(policy, state, Next::End, now),
        (Phase::Starting { .. } | Phase::Up, Restart) => ask(policy, state, Next::Again, now),
        (Phase::Starting { .. } | Phase::Up | Phase::Stopping { .. }, Pass(signal)) => pass(policy, state, signal, now),

        (Phase::Stopping { next, .. }, Tick) if due => {
            state.phase = Phase::Stopping { next, until: policy.grace(now) };
            Action::Send(Signal::KILL, To::Group)
        }
        // The kernel does it, as soon as a PID 1 has left; so no other server follows.
        (Phase::Stopping { next: Next::Again | Next::Fall, .. }, Unkillable) => finish(state, Ending::Server(KILLED)),
        (Phase::Stopping { next, .. }, Unkillable) => ended(policy, state, next, KILLED, now),
        (Phase::Stopping { next: Next::End, .. }, Interrupt) => {
            state.phase = Phase::Stopping { next: Next::End, until: policy.grace(now) };
            Action::Send(Signal::KILL, To::Group)
        }
        (Phase::Stopping { until, .. }, Stop | Interrupt) => {
            state.phase = Phase::Stopping { next: Next::End, until };
            Action::Wait
        }
        (Phase::Stopping { next: Next::Fall, until }, Restart) => {
            state.phase = Phase::Stopping { next: Next::Again, until };
            Action::Wait
        }
        (Phase::Stopping { next, .. }, Fell(exit)) => ended(policy, state, next, exit, now),
        (Phase::Stopping { next, .. }, Failed(code)) => ended(policy, state, next, Exit::Code(code), now),
        (Phase::Stopping { next, until }, Left) => clear_rest(policy, state, (next, until), now),

        (Phase::Clearing { next, exit, until, killed }, event) => {
            Clearing { next, exit, until, killed }.advance(policy, state, event, now)
        }

        (Phase::Handling { exit, pause, .. }, Handled(Exit::SUCCESS)) => restart(policy, state, exit, pause, now),
        (Phase::Handling { exit, .. } | Phase::Refusing { exit, .. }, Handled(_)) => {
            finish(state, Ending::Server(exit))
        }
        (Phase::Handling { exit, .. }, Tick) if due => {
            state.phase = Phase::Refusing { exit, until: policy.grace(now) };
            Action::Send(Signal::TERM, To::Handler)
        }
        (Phase::Handling { .. }, Stop | Interrupt) => {
            state.phase = Phase::Quitting { until: policy.grace(now) };
            Action::Send(Signal::TERM, To::Handler)
        }
        (Phase::Handling { exit, until, .. }, Restart) => {
            state.phase = Phase::Handling { exit, until, pause: Pause::None };
            Action::Wait
        }
        (Phase::Handling { exit, pause, .. }, NoFork) => shortage(state, Task::Handle { exit, pause }, now),

        (Phase::Refusing { exit, .. }, Tick) if due => {
            state.phase = Phase::Refusing { exit, until: policy.grace(now) };
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
        (Phase::Short { .. }, Pass(signal)) if policy.is_last(signal) => finish(state, Ending::Stopped),

        (Phase::Short { task, .. }, Tick) if due => retry(policy, state, task, now),
        (Phase::Short { task: Task::Launch, .. }, Restart) => launch(policy, state, Logs::Rotate, now),
        (Phase::Short { task: Task::Handle { exit, .. }, until }, Restart) => {
            state.phase = Phase::Short { task: Task::Handle { exit, pause: Pause::None }, until };
            Action::Wait
        }

        (Phase::Lingering { ending, .. }, Tick) if due => kill_all(state, ending, now),
        (Phase::Lingering { ending, .. }, Interrupt) => kill_all(state, ending, now),
        (Phase::Lingering { ending, .. } | Phase::Killing { ending, .. }, Alone) => finish(state, ending),
        (Phase::Killing { ending, .. }, Tick) if due => finish(state, ending),

        // Not yet, or once more.
        (Phase::Starting { .. } | Phase::Up, Tick | Alive | Unkillable) => Action::Wait,
        (Phase::Stopping { .. }, Tick | Restart | Ready | Unready | Alive) => Action::Wait,
        (Phase::Handling { .. } | Phase::Resting { .. } | Phase::Short { .. }, Tick | Unkillable) => Action::Wait,
        (Phase::Refusing { .. }, Tick | Restart | Unkillable) => Action::Wait,
        (Phase::Quitting { .. }, Tick | Stop | Restart | Unkillable) => Action::Wait,
        (Phase::Lingering { .. }, Tick | Stop | Restart | Unkillable) => Action::Wait,
        (Phase::Killing { .. }, Tick | Stop | Interrupt | Restart | Unkillable) => Action::Wait,
        (Phase::Up, Unready) => Action::Wait,
        // No handler is there to end.
        (
            Phase::Starting { .. } | Phase::Up | Phase::Stopping { .. } | Phase::Resting { .. } | Phase::Short { .. },
            Handled(_) | Alone,
        ) => Action::Wait,
        // No server is there to end, or to hear a signal.
        (
            Phase::Handling { .. } | Phase::Refusing { .. } | Phase::Quitting { .. },
            Ready | Unready | Alive | Fell(_) | Failed(_) | Left | Alone | Pass(_),
        ) => Action::Wait,
        (
            Phase::Resting { .. } | Phase::Short { .. },
            Ready | Unready | Alive | Fell(_) | Failed(_) | Left | Pass(_),
        ) => Action::Wait,
        (
            Phase::Lingering { .. } | Phase::Killing { .. },
            Ready | Unready | Alive | Fell(_) | Failed(_) | Left | Handled(_) | Pass(_) | NoFork,
        ) => Action::Wait,
        // Nothing has been launched.
        (Phase::Stopping { .. } | Phase::Refusing { .. } | Phase::Quitting { .. }, NoFork) => Action::Wait,
        (Phase::Resting { .. } | Phase::Short { .. }, NoFork) => Action::Wait,
        (
            Phase::Done,
            Tick | Ready | Unready | Alive | Fell(_) | Left | Failed(_) | Handled(_) | Alone | NoFork | Stop
            | Interrupt | Restart | Pass(_) | Unkillable,
        ) => Action::Wait,
    }
}

/// The server has ended by itself.
fn fall(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    state.end_run(policy, now);
    if policy.linger.is_some() && state.is_unexpected(policy, exit) {
        return clear(policy, state, Next::Fall, Some(exit), now);
    }
    cleared(policy, state, Next::Fall, exit, now)
}

/// The server has ended on request, and so has the rest of its group.
fn ended(policy: &Policy, state: &mut State, next: Next, exit: Exit, now: Time) -> Action {
    match next {
        Next::Fall => fall(policy, state, exit, now),
        Next::Again if policy.linger.is_some() => clear(policy, state, next, Some(exit), now),
        Next::Again | Next::End | Next::Fail => cleared(policy, state, next, exit, now),
    }
}

/// Nothing is left of the server, or nothing that may hold up what follows.
fn cleared(policy: &Policy, state: &mut State, next: Next, exit: Exit, now: Time) -> Action {
    let ending = match (next, policy.role) {
        (Next::End, Role::Manager) => Ending::Stopped,
        (Next::End, Role::Init | Role::Guard) => Ending::Server(exit),
        (Next::Fail, _) => Ending::Failed(SETUP),
        (Next::Again, _) => return launch(policy, state, Logs::Rotate, now),
        (Next::Fall, _) if state.is_unexpected(policy, exit) => return recover(policy, state, exit, now),
        (Next::Fall, _) => Ending::Server(exit),
    };
    finish(state, ending)
}

/// A signal for the server. One that asks it to end may start the clock, and no other server follows.
fn pass(policy: &Policy, state: &mut State, signal: Signal, now: Time) -> Action {
    state.passed |= signal.bit();
    if let Phase::Stopping { next: Next::Again, until } = state.phase
        && policy.is_last(signal)
    {
        state.phase = Phase::Stopping { next: Next::End, until };
    }
    let stops = policy.role == Role::Guard && policy.is_last(signal);
    if stops && matches!(state.phase, Phase::Starting { .. } | Phase::Up) {
        state.phase = Phase::Stopping { next: Next::End, until: policy.grace(now) };
        return Action::Send(signal, policy.whom);
    }
    Action::Forward(signal, policy.whom)
}

fn ask(policy: &Policy, state: &mut State, next: Next, now: Time) -> Action {
    state.phase = Phase::Stopping { next, until: policy.grace(now) };
    Action::Send(policy.stop_signal, policy.whom)
}

fn kill_handler(policy: &Policy, state: &mut State, now: Time) -> Action {
    state.phase = Phase::Quitting { until: policy.grace(now) };
    Action::Send(Signal::KILL, To::Handler)
}

fn kill_all(state: &mut State, ending: Ending, now: Time) -> Action {
    state.phase = Phase::Killing { ending, until: now.after(LAST) };
    Action::Send(Signal::KILL, To::All)
}

fn finish(state: &mut State, ending: Ending) -> Action {
    state.phase = Phase::Done;
    Action::Finish(ending)
}

mod clearing;
mod runs;
#[cfg(test)]
mod tests;
