//! How the next run begins: the crash handler, the restart with its pause and limit, the launch, and the retry of a
//! failed fork(2).

use super::finish;
use crate::logic::base::exit::Exit;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Ending, Event, LogFilesAtStart};
use crate::logic::supervisor::policy::{CrashHandlerPolicy, Policy};
use crate::logic::supervisor::replacement::SecondProcess;
use crate::logic::supervisor::state::{AfterSecondProcess, ForkTask, Phase, RestartPause, State};

/// The shortest and the longest pause before fork(2) is tried again.
const FORK_BACKOFF_RANGE: (Span, Span) = (Span::millis(100), Span::secs(5));

/// Handles an unexpected exit: runs the crash handler, or restarts the server if there is no handler.
pub(super) fn on_unexpected_exit(policy: &Policy, state: &mut State, exit: Exit, now: Time) -> Action {
    match policy.handler {
        CrashHandlerPolicy::Absent => restart(policy, state, exit, RestartPause::Backoff, now),
        CrashHandlerPolicy::NoTimeout | CrashHandlerPolicy::MustExitWithin(_) => {
            run_handler(policy, state, exit, RestartPause::Backoff, now)
        }
    }
}

pub(super) fn run_handler(policy: &Policy, state: &mut State, exit: Exit, pause: RestartPause, now: Time) -> Action {
    let until = match policy.handler {
        CrashHandlerPolicy::MustExitWithin(span) => Some(now.after(span)),
        CrashHandlerPolicy::Absent | CrashHandlerPolicy::NoTimeout => None,
    };
    state.phase = Phase::HandlerRunning { exit, until, pause };
    Action::RunCrashHandler(exit)
}

/// Restarts the server after an unexpected exit, at once or after a pause. Finishes if that would exceed
/// `--restart-limit`.
pub(super) fn restart(policy: &Policy, state: &mut State, exit: Exit, pause: RestartPause, now: Time) -> Action {
    state.fork_backoff = Span::ZERO;
    let delay = match pause {
        RestartPause::Backoff => policy.restart_pause_after(state.consecutive_failures),
        RestartPause::None => Span::ZERO,
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
        RestartPause::None => launch(policy, state, LogFilesAtStart::Rotate, now),
        RestartPause::Backoff if delay == Span::ZERO => launch(policy, state, LogFilesAtStart::Keep, now),
        RestartPause::Backoff => {
            state.phase = Phase::Backoff { until: at };
            Action::RecordRestartDelay(delay)
        }
    }
}

pub(super) fn launch(policy: &Policy, state: &mut State, logs: LogFilesAtStart, now: Time) -> Action {
    if logs == LogFilesAtStart::Rotate && state.second != SecondProcess::None {
        // A requested restart waits until the second process has exited too.
        state.phase = Phase::AwaitingSecondProcessExit { then: AfterSecondProcess::StartServer };
        return Action::Wait;
    }
    let until = policy.ready_timeout.map(|span| now.after(span));
    state.phase = if state.has_been_ready { Phase::Running } else { Phase::Starting { until } };
    state.reset_for_run(now, policy.watchdog);
    Action::StartServer(logs)
}

pub(super) fn on_fork_failed(state: &mut State, task: ForkTask, now: Time) -> Action {
    state.fork_backoff = state.fork_backoff.doubled().clamp(FORK_BACKOFF_RANGE.0, FORK_BACKOFF_RANGE.1);
    state.phase = Phase::ForkRetry { task, until: now.after(state.fork_backoff) };
    Action::Wait
}

/// Handles an event in `Phase::Backoff`: the pause before a restart.
pub(super) fn on_event_in_backoff(policy: &Policy, state: &mut State, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        DeadlinePassed => launch(policy, state, LogFilesAtStart::Keep, now),
        Restart => launch(policy, state, LogFilesAtStart::Rotate, now),
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
        Forward(signal) if policy.forwarding_ends_service(signal) => finish(state, Ending::Stopped),
        Restart => match task {
            ForkTask::StartServer => launch(policy, state, LogFilesAtStart::Rotate, now),
            ForkTask::RunHandler { exit, .. } => {
                state.phase =
                    Phase::ForkRetry { task: ForkTask::RunHandler { exit, pause: RestartPause::None }, until };
                Action::Wait
            }
        },
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | HandlerExited(_)
        | NoneLeft | Unkillable | ForkFailed | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

fn retry_fork(policy: &Policy, state: &mut State, task: ForkTask, now: Time) -> Action {
    match task {
        ForkTask::StartServer => launch(policy, state, LogFilesAtStart::Keep, now),
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
        self.unexpected_restarts = self.unexpected_restarts.saturating_add(1);
    }
}
