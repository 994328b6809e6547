//! A replacement: the second server process beside the first, and how the replacement ends.
//!
//! "The server" is always the process that the pidfile names. The other one is the second process: first the candidate,
//! which is not ready yet, then the old server, which exits.

use super::event::Recipient;
use super::readiness::ReadyCondition;
use crate::logic::base::error::MessageArg;
use crate::logic::base::exit::Exit;
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};

/// How long a candidate may take to be ready. None: the server cannot be replaced, because this kind of `--ready` does
/// not show that the new process works.
pub fn candidate_ready_timeout(ready: Option<ReadyCondition>, timeout: Option<Span>) -> Option<Span> {
    let lives = match ready? {
        ReadyCondition::NewlineOnFd(_) | ReadyCondition::Notify => Span::ZERO,
        ReadyCondition::Alive(span) => span,
        // An `exec:` probe gets the pid of the candidate. A network probe could be answered by the old server.
        ReadyCondition::Probe(text) if text.to_bytes().starts_with(b"exec:") => Span::ZERO,
        ReadyCondition::Exec | ReadyCondition::Probe(_) => return None,
    };
    // The time limit of a candidate starts at fork(2), so it includes all steps before execve(2).
    Some(timeout.unwrap_or(Span(lives.0.saturating_add(DEFAULT_READY_TIMEOUT.0))))
}

/// How long a candidate may take to be ready without `--ready-timeout`. The time of `--ready alive:` is added to it.
const DEFAULT_READY_TIMEOUT: Span = Span::secs(60);

/// The second server process of a replacement: the candidate or, once that is the server, the old server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum SecondProcess {
    /// There is no second process.
    None,
    /// The candidate has been started and is not ready yet.
    Candidate {
        /// The deadline: if the candidate is not ready then, it is ended.
        until: Time,
        /// When the candidate was started.
        since: Time,
        /// The candidate's watchdog time, which applies once it is the server.
        watchdog: Option<Span>,
    },
    /// The second process is being ended: at `until` it is sent `next`, and after the stop timeout it is sent KILL.
    Exiting {
        /// When `next` is sent. None: never.
        until: Option<Time>,
        /// The signal that is sent at `until`.
        next: Signal,
        /// The recipient of `next`: the process or its group.
        to: Recipient,
        /// True if the process has been sent KILL.
        killed: bool,
    },
    /// The second process has exited, and processes that it started remain.
    DescendantsRemain {
        /// When the remaining processes are sent `next`, or are no longer waited for if `next` is None.
        until: Time,
        /// The signal that is sent at `until`. None: no further signal.
        next: Option<Signal>,
    },
}

/// How a replacement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Outcome {
    /// The new server is ready, and the old one has exited.
    Done,
    /// The new server exited.
    Exited(Exit),
    /// The new server exited. Its exit status is not known yet, because other processes of its group are alive.
    ExitedUnreaped,
    /// The new server could not be started. Holds vsrun's exit status for that error.
    ExecFailed(u8),
    /// The kernel refused to fork.
    ForkFailed,
    /// The new server was not ready in time.
    NotReadyInTime,
    /// The new server can no longer report that it is ready.
    NeverReady,
    /// A stop was requested during the replacement.
    StopRequested,
    /// A restart was requested during the replacement.
    RestartRequested,
    /// No replacement was begun.
    Refused(Refusal),
}

/// Why a replacement is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Refusal {
    /// Another replacement is under way.
    UnderWay,
    /// No server is running, or the server is being ended, or no server process has been ready yet.
    NotRunning,
    /// The server's kind of `--ready` does not show that a new process works.
    UnsuitableReadyCondition,
    /// The server has the terminal (`--stdin`), which two servers cannot share.
    ServerHasTerminal,
}

/// The number by which a manager acknowledges a request, before the outcome is known.
pub const ACCEPTED: u16 = 0;

/// The upper 12 bits of the value that is queued with SIGCHLD (sigqueue(3)) to request a replacement.
const REQUEST_MARK: u32 = 0x5ec0_0000;
/// The lower 20 bits of the value that requests a replacement: the token, which distinguishes requests.
const TOKEN_MASK: u32 = 0x000f_ffff;

/// The value that requests a replacement with this token. Only the lower 20 bits of the token are used.
pub fn encode_request(token: u32) -> u32 {
    REQUEST_MARK | (token & TOKEN_MASK)
}

/// The token of a request for a replacement. None if the value is no such request.
pub fn decode_request_token(value: u32) -> Option<u32> {
    (value & !TOKEN_MASK == REQUEST_MARK).then_some(value & TOKEN_MASK)
}

impl Outcome {
    /// A number for this outcome, greater than `ACCEPTED`. `from_number` turns it into the outcome again.
    pub fn number(self) -> u16 {
        let (kind, detail) = match self {
            Self::Done => (1, 0),
            Self::Exited(Exit::Code(code)) => (2, code),
            Self::Exited(Exit::Signal { signal, .. }) => (3, signal.number()),
            Self::ExecFailed(code) => (4, code),
            Self::ForkFailed => (5, 0),
            Self::NotReadyInTime => (6, 0),
            Self::NeverReady => (7, 0),
            Self::StopRequested => (8, 0),
            Self::RestartRequested => (9, 0),
            Self::Refused(Refusal::UnderWay) => (10, 0),
            Self::Refused(Refusal::NotRunning) => (11, 0),
            Self::Refused(Refusal::UnsuitableReadyCondition) => (12, 0),
            Self::Refused(Refusal::ServerHasTerminal) => (13, 0),
            Self::ExitedUnreaped => (14, 0),
        };
        kind << 8 | u16::from(detail)
    }

    /// The outcome for which `number` returns this number. None if there is none. The number does not show whether a
    /// server that was killed by a signal has dumped core.
    pub fn from_number(number: u16) -> Option<Self> {
        let [kind, detail] = number.to_be_bytes();
        Some(match kind {
            1 => Self::Done,
            2 => Self::Exited(Exit::Code(detail)),
            3 => Self::Exited(Exit::Signal { signal: Signal::new(detail.into())?, core: false }),
            4 => Self::ExecFailed(detail),
            5 => Self::ForkFailed,
            6 => Self::NotReadyInTime,
            7 => Self::NeverReady,
            8 => Self::StopRequested,
            9 => Self::RestartRequested,
            10 => Self::Refused(Refusal::UnderWay),
            11 => Self::Refused(Refusal::NotRunning),
            12 => Self::Refused(Refusal::UnsuitableReadyCondition),
            13 => Self::Refused(Refusal::ServerHasTerminal),
            14 => Self::ExitedUnreaped,
            _ => return None,
        })
    }

    /// The outcome in words: two objects of a message, to be written one after the other.
    pub fn describe(self) -> [MessageArg<'static>; 2] {
        let reason = match self {
            Self::Done => Reason::NewServes,
            Self::Exited(exit) => return [MessageArg::Reason(Reason::NewServer), MessageArg::Exit(exit)],
            Self::ExecFailed(_) => Reason::NewNotStarted,
            Self::ForkFailed => Reason::NoProcess,
            Self::ExitedUnreaped => Reason::NewExited,
            Self::NotReadyInTime => Reason::NewLate,
            Self::NeverReady => Reason::NewNeverReady,
            Self::StopRequested => Reason::StopMeanwhile,
            Self::RestartRequested => Reason::RestartMeanwhile,
            Self::Refused(Refusal::UnderWay) => Reason::ReplacementUnderWay,
            Self::Refused(Refusal::NotRunning) => Reason::NoReadyServer,
            Self::Refused(Refusal::UnsuitableReadyCondition) => Reason::ReplaceNeeds,
            Self::Refused(Refusal::ServerHasTerminal) => Reason::HasTerminal,
        };
        [MessageArg::Reason(reason), MessageArg::None]
    }
}

impl SecondProcess {
    /// When the supervisor next acts on the second process: sends a signal, or stops waiting for it.
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Self::None => None,
            Self::Candidate { until, .. } | Self::DescendantsRemain { until, .. } => Some(until),
            Self::Exiting { until, .. } => until,
        }
    }

    /// True if the second process is the candidate.
    pub fn is_candidate(self) -> bool {
        matches!(self, Self::Candidate { .. })
    }

    /// None if no processes remain after the second process. Otherwise, true if they have been sent KILL.
    pub fn descendants_were_sent_kill(self) -> Option<bool> {
        if let Self::DescendantsRemain { next, .. } = self { Some(next.is_none()) } else { None }
    }

    /// True if there is a second process that has not been reaped.
    pub(super) fn is_unreaped(self) -> bool {
        matches!(self, Self::Candidate { .. } | Self::Exiting { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(outcome: Outcome) -> String {
        outcome.describe().iter().map(MessageArg::to_string).collect()
    }

    #[test]
    fn outcomes_survive_the_way_through_their_numbers() {
        for number in (0..=u16::MAX).step_by(if cfg!(miri) { 251 } else { 1 }) {
            if let Some(outcome) = Outcome::from_number(number) {
                assert!(number > ACCEPTED && !text(outcome).is_empty());
                assert_eq!(Outcome::from_number(outcome.number()), Some(outcome));
            }
        }
        let killed = Outcome::Exited(Exit::Signal { signal: Signal::KILL, core: false });
        assert_eq!(Outcome::from_number(killed.number()), Some(killed));
        assert_eq!(text(killed), "the new server was killed by SIGKILL (9)");
    }

    #[test]
    fn only_a_readiness_of_the_process_itself_can_replace() {
        let minute = Some(Span::secs(60));
        for (ready, without) in [
            (None, None),
            (Some(ReadyCondition::Exec), None),
            (Some(ReadyCondition::Notify), minute),
            (Some(ReadyCondition::NewlineOnFd(3)), minute),
            (Some(ReadyCondition::Alive(Span::secs(90))), Some(Span::secs(150))),
            (Some(ReadyCondition::Alive(Span(u64::MAX))), Some(Span(u64::MAX))),
            (Some(ReadyCondition::Probe(c"exec:/bin/true")), minute),
            (Some(ReadyCondition::Probe(c"8080/")), None),
            (Some(ReadyCondition::Probe(c"/run/exec:/true")), None),
        ] {
            assert_eq!(candidate_ready_timeout(ready, None), without, "{ready:?}");
            let given = Some(Span::secs(5));
            assert_eq!(candidate_ready_timeout(ready, given), without.and(given), "{ready:?}");
        }
    }
}
