//! The manager: what to do next when something happens to the server. One pure function, [`step`].
//!
//! One event in, the next state and one action out; time is an argument, and no pid enters. A launch that fails is a very
//! short life. The pairs of state and event that have no effect are listed in the tests: a new one does not compile there.

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
pub fn step(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    let lingers = matches!(state.phase, Phase::Lingering { .. } | Phase::Killing { .. });
    let linger = policy.linger.filter(|_| !lingers);
    let action = advance(policy, state, event, now);
    let Action::Finish(ending) = action else { return action };
    let ending = state.judge(policy, ending);
    match linger {
        // There is no further run of the server; other processes may remain.
        Some(span) => {
            state.phase = Phase::Lingering { ending, until: now.after(span) };
            Action::Send(Signal::TERM, To::All)
        }
        None => Action::Finish(ending),
    }
}

#[inline(never)]
fn advance(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    // Before its deadline, a state knows no tick. So no arm has that as a condition, which would keep the others apart.
    if matches!(event, Tick) && state.deadline().is_none_or(|until| until > now) {
        return Action::Wait;
    }
    let grace = policy.grace(now);
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
        (Phase::Starting { .. }, Fell(exit)) => {
            let is_own = policy.role != Role::Manager && state.was_forwarded(exit);
            finish(state, if is_own { Ending::Server(exit) } else { Ending::Failed(SETUP) })
        }
        (Phase::Starting { .. }, Left) => clear(policy, state, Next::Fail, None, now),
        (Phase::Starting { .. }, Unready) => ask(policy, state, Next::Fail, now),
        (Phase::Starting { .. }, Tick) => ask(policy, state, Next::Fail, now),
        (Phase::Up, Fell(exit)) => fall(policy, state, exit, now),
        (Phase::Up, Left) => clear_rest(policy, state, (Next::Fall, None), now),
        (Phase::Up, Tick) => state.bite(policy, now),
        // A server is ready once, and later ones need not be; but from then on they must not be silent.
        (Phase::Up, Ready) => state.heed(now),
        (Phase::Up, Alive) => state.heed_again(now),
        (Phase::Starting { .. } | Phase::Up, Stop | Interrupt) => ask(policy, state, Next::End, now),
        (Phase::Starting { .. } | Phase::Up, Restart) => ask(policy, state, Next::Again, now),
        (Phase::Starting { .. } | Phase::Up | Phase::Stopping { .. }, Pass(signal)) => pass(policy, state, signal, now),

        (Phase::Stopping { next, .. }, Tick) => {
            state.phase = Phase::Stopping { next, until: grace };
            Action::Send(Signal::KILL, To::Group)
        }
        // The kernel does it, as soon as a PID 1 has left; so no other server follows.
        (Phase::Stopping { next: Next::Again | Next::Fall, .. }, Unkillable) => finish(state, Ending::Server(KILLED)),
        (Phase::Stopping { next, .. }, Unkillable) => ended(policy, state, next, KILLED, now),
        (Phase::Stopping { next: Next::End, .. }, Interrupt) => {
            state.phase = Phase::Stopping { next: Next::End, until: grace };
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
        (Phase::Handling { exit, .. }, Tick) => {
            state.phase = Phase::Refusing { exit, until: grace };
            Action::Send(Signal::TERM, To::Handler)
        }
        (Phase::Handling { .. }, Stop | Interrupt) => {
            state.phase = Phase::Quitting { until: grace };
            Action::Send(Signal::TERM, To::Handler)
        }
        (Phase::Handling { exit, until, .. }, Restart) => {
            state.phase = Phase::Handling { exit, until, pause: Pause::None };
            Action::Wait
        }
        (Phase::Handling { exit, pause, .. }, NoFork) => shortage(state, Task::Handle { exit, pause }, now),

        (Phase::Refusing { exit, .. }, Tick) => {
            state.phase = Phase::Refusing { exit, until: grace };
            Action::Send(Signal::KILL, To::Handler)
        }
        (Phase::Refusing { until, .. }, Stop | Interrupt) => {
            state.phase = Phase::Quitting { until };
            Action::Wait
        }

        (Phase::Quitting { .. }, Tick) => kill_handler(policy, state, now),
        (Phase::Quitting { .. }, Interrupt) => kill_handler(policy, state, now),
        (Phase::Quitting { .. }, Handled(_)) => finish(state, Ending::Stopped),

        (Phase::Resting { .. }, Tick) => launch(policy, state, Logs::Same, now),
        (Phase::Resting { .. }, Restart) => launch(policy, state, Logs::Rotate, now),
        (Phase::Resting { .. } | Phase::Short { .. }, Stop | Interrupt) => finish(state, Ending::Stopped),
        (Phase::Short { .. }, Pass(signal)) => {
            if policy.is_last(signal) {
                finish(state, Ending::Stopped)
            } else {
                Action::Wait
            }
        }

        (Phase::Short { task, .. }, Tick) => retry(policy, state, task, now),
        (Phase::Short { task: Task::Launch, .. }, Restart) => launch(policy, state, Logs::Rotate, now),
        (Phase::Short { task: Task::Handle { exit, .. }, until }, Restart) => {
            state.phase = Phase::Short { task: Task::Handle { exit, pause: Pause::None }, until };
            Action::Wait
        }

        (Phase::Lingering { ending, .. }, Tick) => kill_all(state, ending, now),
        (Phase::Lingering { ending, .. }, Interrupt) => kill_all(state, ending, now),
        (Phase::Lingering { ending, .. } | Phase::Killing { ending, .. }, Alone) => finish(state, ending),
        (Phase::Killing { ending, .. }, Tick) => finish(state, ending),

        // The tests list them.
        _ => Action::Wait,
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
