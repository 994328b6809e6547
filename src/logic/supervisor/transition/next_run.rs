//! How the next run begins: the crash handler, the restart with its pause and limit, the launch, and the retry of a
//! failed fork(2).

use super::finish;
use crate::logic::base::exit::Exit;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Ending, Event, LogFiles};
use crate::logic::supervisor::policy::{CrashHandlerPolicy, Policy};
use crate::logic::supervisor::replacement::SecondProcess;
use crate::logic::supervisor::state::{AfterSecondProcess, ForkTask, Pause, Phase, State};

/// The shortest and the longest pause before fork(2) is tried again.
const FORK_BACKOFF: (Span, Span) = (Span::millis(100), Span::secs(5));

/// Handles an unexpected exit: runs the crash handler, or restarts the server if there is no handler.
pub(super) fn on_unexpected_exit(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    match policy.handler {
        CrashHandlerPolicy::Absent => restart(policy, state, exit, Pause::Backoff, now),
        CrashHandlerPolicy::NoTimeout | CrashHandlerPolicy::Within(_) => {
            run_handler(policy, state, exit, Pause::Backoff, now)
        }
    }
}

pub(super) fn run_handler(policy: &Policy, state: &mut State, exit: Exit, pause: Pause, now: Time) -> Action {
    let until = match policy.handler {
        CrashHandlerPolicy::Within(span) => Some(now.after(span)),
        CrashHandlerPolicy::Absent | CrashHandlerPolicy::NoTimeout => None,
    };
    state.phase = Phase::HandlerRunning { exit, until, pause };
    Action::RunHandler(exit)
}

/// Restarts the server after an unexpected exit, at once or after a pause. Finishes if that would exceed
/// `--restart-limit`.
pub(super) fn restart(policy: &Policy, state: &mut State, exit: Exit, pause: Pause, now: Time) -> Action {
    state.fork_backoff = Span::ZERO;
    let delay = match pause {
        Pause::Backoff => policy.pause_after(state.consecutive_failures),
        Pause::None => Span::ZERO,
    };
    let at = now.after(delay);
    if let Some(limit) = policy.limit {
        let full = state.restart_times.len() >= usize::from(limit.restarts);
        if full && state.restart_times.first().is_some_and(|oldest| at.since(*oldest) < limit.within) {
            return finish(state, Ending::GaveUp(exit));
        }
    }
    state.count_restart(policy, at);
    match pause {
        Pause::None => launch(policy, state, LogFiles::Rotate, now),
        Pause::Backoff if delay == Span::ZERO => launch(policy, state, LogFiles::Keep, now),
        Pause::Backoff => {
            state.phase = Phase::Backoff { until: at };
            Action::RecordRestartDelay(delay)
        }
    }
}

pub(super) fn launch(policy: &Policy, state: &mut State, logs: LogFiles, now: Time) -> Action {
    if logs == LogFiles::Rotate && state.second != SecondProcess::None {
        // A requested restart waits until the second process has exited too.
        state.phase = Phase::AwaitingSecondProcess { then: AfterSecondProcess::Launch };
        return Action::Wait;
    }
    let until = policy.ready_timeout.map(|span| now.after(span));
    state.phase = if state.has_been_ready { Phase::Running } else { Phase::Starting { until } };
    state.reset_for_run(now, policy.watchdog);
    Action::Launch(logs)
}

pub(super) fn fork_failed(state: &mut State, task: ForkTask, now: Time) -> Action {
    state.fork_backoff = state.fork_backoff.doubled().clamp(FORK_BACKOFF.0, FORK_BACKOFF.1);
    state.phase = Phase::ForkRetry { task, until: now.after(state.fork_backoff) };
    Action::Wait
}

/// Handles an event in `Phase::Backoff`: the pause before a restart.
pub(super) fn on_event_in_backoff(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        DeadlinePassed => launch(policy, state, LogFiles::Keep, now),
        Restart => launch(policy, state, LogFiles::Rotate, now),
        Stop | Interrupt => finish(state, Ending::Stopped),
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | HandlerExited(_)
        | NoneLeft | Unkillable | ForkFailed | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::ForkRetry`: the pause after a failed fork(2).
pub(super) fn on_event_in_fork_retry(
    policy: &Policy,
    state: &mut State,
    (task, until): (ForkTask, Time),
    event: Event,
    now: Time,
) -> Action {
    use Event::*;
    match event {
        DeadlinePassed => retry_fork(policy, state, task, now),
        Stop | Interrupt => finish(state, Ending::Stopped),
        Forward(signal) if policy.ends_service(signal) => finish(state, Ending::Stopped),
        Restart => match task {
            ForkTask::Launch => launch(policy, state, LogFiles::Rotate, now),
            ForkTask::RunHandler { exit, .. } => {
                state.phase = Phase::ForkRetry { task: ForkTask::RunHandler { exit, pause: Pause::None }, until };
                Action::Wait
            }
        },
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | HandlerExited(_)
        | NoneLeft | Unkillable | ForkFailed | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

fn retry_fork(policy: &Policy, state: &mut State, task: ForkTask, now: Time) -> Action {
    match task {
        ForkTask::Launch => launch(policy, state, LogFiles::Keep, now),
        ForkTask::RunHandler { exit, pause } => run_handler(policy, state, exit, pause, now),
    }
}

impl State {
    /// Counts a restart after an unexpected exit. Allocates nothing.
    pub(super) fn count_restart(&mut self, policy: &Policy, at: Time) {
        if let Some(limit) = policy.limit {
            if self.restart_times.len() >= usize::from(limit.restarts) {
                self.restart_times.remove(0);
            }
            self.restart_times.push(at);
        }
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
    }
}
