//! The messages of sd_notify(3), from the server to vsrun and from vsrun to the service manager above it.

use super::event::Event;
use super::policy::Policy;
use super::replacement::SecondProcess;
use super::state::{AfterStop, Phase, State};
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::{index_in_comma_list, split_byte};
use crate::logic::base::time::{Span, Time, parse_number};

/// The uid that the kernel reports for a user that has no uid in the receiver's user namespace (overflowuid).
const OVERFLOW_UID: u32 = 65_534;

/// True if a message from this process is accepted as one from the server, whose user id is `server_uid`.
///
/// The user id is compared and not the pid, because a child of the server often sends `READY=1` (systemd-notify, a
/// shell wrapper). A process outside of vsrun's pid namespace has pid 0. All users outside of its user namespace have
/// the same uid, the overflow uid, and the server's may be that one too.
pub fn is_trusted_sender(pid: i32, uid: u32, server_uid: u32) -> bool {
    uid == 0 || uid == server_uid && (pid > 0 || uid != OVERFLOW_UID)
}

/// The contents of one message. All assignments in a message count; of two values for one name, the last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// The message has `READY=1`: the server is ready.
    pub ready: bool,
    /// The message has `WATCHDOG=1`: the server is alive.
    pub alive: bool,
    /// `WATCHDOG=trigger`: the server asks to be treated as if its watchdog time had passed.
    pub watchdog_trigger: bool,
    /// `STOPPING=1`: the server exits by itself, and need not send `WATCHDOG=1` meanwhile.
    pub stopping: bool,
    /// `RELOADING=1`: the server reads its configuration again, until the next `READY=1`.
    pub reloading: bool,
    /// `MONOTONIC_USEC=`: when the reload began, in microseconds of CLOCK_MONOTONIC.
    pub reload_began_usec: Option<u64>,
    /// `WATCHDOG_USEC=`: the new watchdog time. Zero turns the watchdog off.
    pub watchdog: Option<Span>,
    /// `EXTEND_TIMEOUT_USEC=`: how long from now the server may still take to be ready or to stop.
    pub extend_timeout: Option<Span>,
    /// `STATUS=`: a line that describes the server's state for people.
    pub status: Option<&'a [u8]>,
    /// Why the message, or a part of it, is ignored.
    pub ignored: Option<IgnoreReason>,
}

/// Why a message is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// The sender is neither the server's user nor root.
    OtherUser,
    /// The message holds a name that vsrun does not support.
    Unsupported,
    /// The message holds a value that cannot be read.
    Malformed,
    /// The message has descriptors, and vsrun cannot close them now: the child that closes the descriptors of earlier
    /// messages hangs.
    CannotCloseDescriptors,
}

impl IgnoreReason {
    /// The reason as a text for vsrun's own records.
    pub fn reason(self) -> Reason {
        match self {
            Self::OtherUser => Reason::NotServersUser,
            Self::Unsupported => Reason::UnsupportedMessage,
            Self::Malformed => Reason::NotMicroseconds,
            Self::CannotCloseDescriptors => Reason::DescriptorsHang,
        }
    }

    /// The reason's bit in a set of reasons.
    pub fn bit_mask(self) -> u8 {
        1 << self as u8
    }
}

/// The names of variables in a message that vsrun knows. `Message::set_field_from_line` uses their indexes. (A match on
/// byte strings would be compiled to a comparison for each byte.)
const KNOWN_VARIABLE_NAMES: &[u8] =
    b"READY,WATCHDOG,STOPPING,RELOADING,STATUS,MONOTONIC_USEC,WATCHDOG_USEC,EXTEND_TIMEOUT_USEC,FDSTORE,MAINPID";

/// Parses a message: lines of `NAME=VALUE`. Unknown names are skipped: they are for other service managers.
pub fn parse(text: &[u8]) -> Message<'_> {
    let mut message = Message::default();
    for line in split_byte(text, b'\n') {
        message.set_field_from_line(line);
    }
    message
}

impl<'a> Message<'a> {
    #[inline(never)]
    fn set_field_from_line(&mut self, line: &'a [u8]) {
        let mut halves = split_byte(line, b'=');
        let (Some(name), Some(value)) = (halves.next(), halves.rest) else { return };
        let is_one = value == b"1";
        match index_in_comma_list(KNOWN_VARIABLE_NAMES, name) {
            Some(0) => self.ready |= is_one,
            Some(1) => {
                self.alive |= is_one;
                self.watchdog_trigger |= value == b"trigger";
            }
            Some(2) => self.stopping |= is_one,
            Some(3) => self.reloading |= is_one,
            Some(4) => self.status = Some(value),
            Some(5) => self.reload_began_usec = parse_number(value).or(self.reload_began_usec),
            Some(6) => self.watchdog = self.parse_micros(value).or(self.watchdog),
            Some(7) => self.extend_timeout = self.parse_micros(value).or(self.extend_timeout),
            Some(8) if !is_one => {}
            Some(_) => self.ignored = Some(IgnoreReason::Unsupported),
            None => {}
        }
    }

    /// Parses a time in microseconds, and rounds it up to milliseconds, so that a short time does not become zero. If
    /// it is no number, returns None and sets `ignored`.
    fn parse_micros(&mut self, value: &[u8]) -> Option<Span> {
        let micros = parse_number(value);
        if micros.is_none() {
            self.ignored = Some(IgnoreReason::Malformed);
        }
        micros.map(|micros| Span(micros.div_ceil(1000)))
    }

    /// Applies a message of the server to the state. Deadlines and the watchdog time change at once; `READY=1` and
    /// `WATCHDOG=1` are returned as an event for `transition::next`.
    ///
    /// `EXTEND_TIMEOUT_USEC=` moves a deadline only to a later time, and not while vsrun stops a server because of its
    /// watchdog, its health probe or its ready timeout.
    #[inline(never)]
    pub fn apply_from_server(&self, policy: &Policy, state: &mut State, now: Time) -> Option<Event> {
        if let Some(span) = self.extend_timeout
            && let Phase::Starting { until: Some(until) }
            | Phase::Stopping { next: AfterStop::Finish | AfterStop::Restart, until: Some(until) } = &mut state.phase
        {
            *until = (*until).max(now.after(span));
        }
        if let (Some(span), Some(until)) = (self.extend_timeout, &mut state.promoted_ready_deadline) {
            *until = (*until).max(now.after(span));
        }
        if policy.watchdog.is_some()
            && let Some(span) = self.watchdog
        {
            state.watchdog = Some(span).filter(|span| *span > Span::ZERO);
            // A new watchdog time begins now if the watchdog is armed.
            state.watchdog_deadline = state.watchdog_deadline.and(state.watchdog).map(|span| now.after(span));
        }
        if self.watchdog_trigger {
            state.watchdog_deadline = state.watchdog_deadline.map(|_| now);
        }
        if self.stopping {
            state.watchdog_deadline = None;
        }
        match self {
            Self { ready: true, .. } => Some(Event::Ready),
            Self { alive: true, watchdog_trigger: false, .. } => Some(Event::Heartbeat),
            Self { .. } => None,
        }
    }
}

impl Message<'_> {
    /// Applies a message of the candidate or of the old server in a replacement. The candidate may report that it is
    /// ready, set the watchdog time that applies once it is ready, and ask for more time to become ready. The old
    /// server may ask for more time to stop.
    #[inline(never)]
    pub fn apply_from_second_process(&self, policy: &Policy, state: &mut State, now: Time) -> Option<Event> {
        let later = |until: Time| self.extend_timeout.map_or(until, |span| until.max(now.after(span)));
        let is_old = state.replacement_has_not_failed();
        match &mut state.second {
            SecondProcess::Candidate { until, watchdog, .. } => {
                *until = later(*until);
                if let Some(span) = self.watchdog
                    && policy.watchdog.is_some()
                {
                    *watchdog = Some(span).filter(|span| *span > Span::ZERO);
                }
            }
            SecondProcess::Exiting { until: Some(until), next: Signal::KILL, killed: false, .. } if is_old => {
                *until = later(*until);
            }
            SecondProcess::None | SecondProcess::Exiting { .. } | SecondProcess::DescendantsRemain { .. } => {}
        }
        self.ready.then(|| Event::Ready.for_second_process())
    }
}

/// True for a variable by which the service manager configures vsrun. A supervisor removes these from the environment
/// of its children: a server would otherwise report to vsrun's service manager, with the watchdog time meant for
/// vsrun.
pub fn is_service_manager_var(name: &[u8]) -> bool {
    [super::readiness::NOTIFY_SOCKET, b"WATCHDOG_USEC", b"WATCHDOG_PID"].contains(&name)
}

/// The interval at which vsrun sends `WATCHDOG=1` to its service manager: half of `WATCHDOG_USEC`, and at least a
/// millisecond. None if vsrun need not send it: `WATCHDOG_PID` has another pid, or `WATCHDOG_USEC` no positive number.
pub fn heartbeat_interval(watchdog_usec: &[u8], watchdog_pid: Option<&[u8]>, own_pid: i32) -> Option<Span> {
    let is_ours = watchdog_pid.is_none_or(|pid| parse_number(pid) == u64::try_from(own_pid).ok());
    let micros = parse_number(watchdog_usec).filter(|micros| is_ours && *micros > 0)?;
    Some(Span((micros / 2000).max(1)))
}

#[cfg(test)]
mod tests;
