//! When the server is probed (`--ready alive:` and `probe:`, `--health`), and what the results mean.
//!
//! This module has no effects: it turns times and results into `Event::Ready` and `Event::Unhealthy`.

use super::event::Event;
use super::readiness::ReadyCondition;
use crate::logic::base::time::{Span, Time};

/// The pause before the first attempt of a readiness probe. It doubles after each attempt.
const FIRST_READY_PROBE_PAUSE: Span = Span::millis(20);
/// The longest pause between two attempts of a readiness probe.
const LONGEST_READY_PROBE_PAUSE: Span = Span::secs(1);
/// The shortest and the longest time limit of an attempt of a readiness probe. The limit doubles after each attempt
/// that exceeded it, so a server that hangs once is soon tried again, and a server that always answers slowly becomes
/// ready.
const READY_ATTEMPT_TIMEOUT_RANGE: (Span, Span) = (Span::secs(1), Span::secs(16));
/// The pause before the next attempt if a probe could not be started. That does not count as a failed attempt.
const PROBE_START_RETRY_PAUSE: Span = Span::secs(1);

/// The values of `--health-interval`, `--health-timeout` and `--health-retries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// The time from one probe to the next.
    pub interval: Span,
    /// How long a probe may take.
    pub timeout: Span,
    /// The server is stopped after this number of failures in a row.
    pub failure_threshold: u64,
}

/// The option that a probe belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A probe of `--ready probe:`, or the wait of `--ready alive:`.
    Ready,
    /// A probe of `--health`.
    Health,
}

/// What the caller of `Schedule::due` has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Report that the server is ready: it has run for the time of `--ready alive:`.
    ReportReady,
    /// Start an attempt of this probe, with this time limit.
    Attempt(ProbeKind, Span),
}

/// The result of an attempt to probe the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The probe succeeded.
    Healthy,
    /// The probe failed.
    Failed,
    /// The probe exceeded its time limit.
    TimedOut,
    /// The probe could not be started.
    StartFailed,
}

/// The schedule of the probes of one server process.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    ready: ReadyCondition,
    health: Option<HealthSettings>,
    stage: Option<ProbeKind>,
    /// When the next attempt is due. None while a readiness probe runs, or if nothing is scheduled.
    next: Option<Time>,
    ready_probe_pause: Span,
    ready_attempt_timeout: Span,
    health_failures: u64,
}

impl Schedule {
    /// Makes a schedule in which nothing is due until `begin` or `on_ready` is called.
    pub fn new(ready: ReadyCondition, health: Option<HealthSettings>) -> Self {
        let (ready_probe_pause, ready_attempt_timeout) = (FIRST_READY_PROBE_PAUSE, READY_ATTEMPT_TIMEOUT_RANGE.0);
        Self { ready, health, stage: None, next: None, ready_probe_pause, ready_attempt_timeout, health_failures: 0 }
    }

    /// Schedules what `--ready` needs; does nothing if that is neither an attempt nor a wait. To be called when the
    /// server has been executed.
    pub fn begin(&mut self, now: Time) {
        let first = match self.ready {
            ReadyCondition::Exec | ReadyCondition::NewlineOnFd(_) | ReadyCondition::Notify => return,
            ReadyCondition::Alive(span) => span,
            ReadyCondition::Probe(_) => FIRST_READY_PROBE_PAUSE,
        };
        *self =
            Self { stage: Some(ProbeKind::Ready), next: Some(now.after(first)), ..Self::new(self.ready, self.health) };
    }

    /// Begins the health probes. To be called when the server is ready. A server may report that again after each
    /// reload; only the first call has an effect.
    pub fn on_ready(&mut self, now: Time) {
        if self.stage == Some(ProbeKind::Health) {
            return;
        }
        self.stage = self.health.map(|_| ProbeKind::Health);
        self.next = self.health.map(|health| now.after(health.interval));
        self.health_failures = 0;
    }

    /// Ends the schedule. To be called when the server has exited or has been asked to exit.
    pub fn end(&mut self) {
        (self.stage, self.next) = (None, None);
    }

    /// When `due` will return something. None if nothing is scheduled.
    pub fn deadline(&self) -> Option<Time> {
        self.next
    }

    /// Returns what is due. The caller must start a returned attempt, and pass its result to `on_result`.
    pub fn due(&mut self, now: Time) -> Option<Due> {
        self.next.filter(|next| *next <= now)?;
        let which = self.stage?;
        self.next = None;
        Some(match (which, self.ready, self.health) {
            (ProbeKind::Ready, ReadyCondition::Alive(_), _) => Due::ReportReady,
            (ProbeKind::Health, _, Some(health)) => {
                // The interval is measured between the starts of two probes, so a slow probe does not delay the next
                // one.
                self.next = Some(now.after(health.interval));
                Due::Attempt(which, health.timeout)
            }
            (ProbeKind::Ready | ProbeKind::Health, ..) => Due::Attempt(which, self.ready_attempt_timeout),
        })
    }

    /// Applies the result of an attempt. Returns the event that follows from it, if there is one.
    pub fn on_result(&mut self, tried: AttemptResult, now: Time) -> Option<Event> {
        let is_ready = self.stage? == ProbeKind::Health;
        match tried {
            AttemptResult::Healthy if is_ready => self.health_failures = 0,
            AttemptResult::Healthy => return Some(Event::Ready),
            AttemptResult::StartFailed => self.next = Some(now.after(PROBE_START_RETRY_PAUSE)),
            AttemptResult::Failed | AttemptResult::TimedOut if is_ready => {
                self.health_failures = self.health_failures.saturating_add(1);
                if self.health.is_some_and(|health| self.health_failures >= health.failure_threshold) {
                    return Some(Event::Unhealthy);
                }
            }
            AttemptResult::Failed | AttemptResult::TimedOut => {
                self.ready_probe_pause = self.ready_probe_pause.doubled().min(LONGEST_READY_PROBE_PAUSE);
                if tried == AttemptResult::TimedOut {
                    self.ready_attempt_timeout =
                        self.ready_attempt_timeout.doubled().min(READY_ATTEMPT_TIMEOUT_RANGE.1);
                }
                self.next = Some(now.after(self.ready_probe_pause));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTH: HealthSettings =
        HealthSettings { interval: Span::secs(10), timeout: Span::secs(2), failure_threshold: 3 };

    fn at(schedule: &mut Schedule, expected: u64) -> Option<Due> {
        let next = schedule.deadline()?;
        assert_eq!(next, Time(expected));
        assert_eq!(schedule.due(Time(expected - 1)), None, "before its time");
        schedule.due(next)
    }

    #[test]
    fn a_readiness_probe_is_tried_early_and_then_less_often() {
        let mut schedule = Schedule::new(ReadyCondition::Probe(c"80/"), None);
        assert_eq!((schedule.deadline(), schedule.due(Time(5))), (None, None));
        for _ in 0..2 {
            let mut now = 1000;
            schedule.begin(Time(now));
            for pause in [20, 40, 80, 160, 320, 640, 1000, 1000] {
                now += pause;
                assert_eq!(at(&mut schedule, now), Some(Due::Attempt(ProbeKind::Ready, Span::secs(1))));
                assert_eq!(schedule.deadline(), None, "one try at a time");
                assert_eq!(schedule.on_result(AttemptResult::Failed, Time(now)), None);
            }
            assert_eq!(schedule.due(Time(now + 1000)), Some(Due::Attempt(ProbeKind::Ready, Span::secs(1))));
            assert_eq!(schedule.on_result(AttemptResult::Healthy, Time(now + 1001)), Some(Event::Ready));
            schedule.on_ready(Time(now + 1001));
            assert_eq!(schedule.deadline(), None, "there is no health probe");
        }
    }

    #[test]
    fn a_slow_answer_gets_more_time_at_the_next_try() {
        let mut schedule = Schedule::new(ReadyCondition::Probe(c"80/"), None);
        schedule.begin(Time(0));
        for limit in [1, 2, 4, 8, 16, 16] {
            let now = schedule.deadline().unwrap();
            assert_eq!(schedule.due(now), Some(Due::Attempt(ProbeKind::Ready, Span::secs(limit))));
            assert_eq!(schedule.on_result(AttemptResult::TimedOut, now.after(Span::secs(limit))), None);
        }
    }

    #[test]
    fn a_server_is_ready_after_it_has_lived_that_long() {
        let mut schedule = Schedule::new(ReadyCondition::Alive(Span::secs(5)), None);
        schedule.begin(Time(7));
        assert_eq!(at(&mut schedule, 5007), Some(Due::ReportReady));
        schedule.on_ready(Time(5007));
        assert_eq!(schedule.deadline(), None);
    }

    #[test]
    fn some_failures_in_a_row_end_the_server() {
        for ready in [ReadyCondition::Exec, ReadyCondition::Notify, ReadyCondition::NewlineOnFd(3)] {
            let mut schedule = Schedule::new(ready, Some(HEALTH));
            schedule.begin(Time(0));
            assert_eq!(schedule.deadline(), None, "not before it is ready");
            schedule.on_ready(Time(500));
            // A READY=1 after a reload changes nothing.
            schedule.on_ready(Time(600));
            let mut now = 500;
            let results = [
                AttemptResult::Failed,
                AttemptResult::TimedOut,
                AttemptResult::Healthy,
                AttemptResult::Failed,
                AttemptResult::TimedOut,
            ];
            for tried in results {
                now += 10_000;
                assert_eq!(at(&mut schedule, now), Some(Due::Attempt(ProbeKind::Health, Span::secs(2))));
                assert_eq!(schedule.on_result(tried, Time(now + 1999)), None, "{tried:?}");
            }
            assert_eq!(at(&mut schedule, now + 10_000), Some(Due::Attempt(ProbeKind::Health, Span::secs(2))));
            assert_eq!(schedule.on_result(AttemptResult::Failed, Time(now + 10_001)), Some(Event::Unhealthy));
            schedule.end();
            assert_eq!((schedule.deadline(), schedule.on_result(AttemptResult::Failed, Time(now))), (None, None));
        }
    }

    #[test]
    fn a_refused_fork_is_no_failure_of_the_server() {
        let mut schedule = Schedule::new(ReadyCondition::Exec, Some(HealthSettings { failure_threshold: 1, ..HEALTH }));
        schedule.on_ready(Time(0));
        for now in [10_000, 11_000, 12_000] {
            assert_eq!(at(&mut schedule, now), Some(Due::Attempt(ProbeKind::Health, Span::secs(2))));
            assert_eq!(schedule.on_result(AttemptResult::StartFailed, Time(now)), None);
        }
        assert_eq!(schedule.due(Time(13_000)), Some(Due::Attempt(ProbeKind::Health, Span::secs(2))));
        assert_eq!(schedule.on_result(AttemptResult::Failed, Time(13_000)), Some(Event::Unhealthy));
    }
}
