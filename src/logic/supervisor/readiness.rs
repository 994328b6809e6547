//! The values of `--ready`: when a server counts as started.

use super::probe::Probe;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::text::index_in_comma_list;
use crate::logic::base::time::{Span, parse_number};

/// The environment variable with the path of the socket for sd_notify(3): vsrun reads it, and sets it for the server.
pub const NOTIFY_SOCKET: &[u8] = b"NOTIFY_SOCKET";

/// When a server counts as started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyCondition {
    /// execve(2) of the server succeeded.
    Exec,
    /// The server writes a newline to this descriptor, as in the protocol of s6.
    NewlineOnFd(i32),
    /// The server sends `READY=1` to `$NOTIFY_SOCKET` (sd_notify(3)).
    Notify,
    /// The server has run for this time.
    Alive(Span),
    /// This probe succeeds.
    Probe(StaticCStr),
}

impl ReadyCondition {
    /// Reads `exec`, `notify`, `fd:N`, `alive:DURATION` or `probe:PROBE`. N is at least 3, because 0 to 2 are standard
    /// input, output and error.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match index_in_comma_list(b"exec,notify", text) {
            Some(0) => Some(Self::Exec),
            Some(_) => Some(Self::Notify),
            None => {
                if let Some(probe) = text.strip_prefix(b"probe:") {
                    return Probe::parse(probe).map(|_| Self::Probe(leak_cstr(probe.into())));
                }
                if let Some(span) = text.strip_prefix(b"alive:") {
                    return Span::parse_nonzero(span).map(Self::Alive);
                }
                let number = parse_number(text.strip_prefix(b"fd:")?)?;
                i32::try_from(number).ok().filter(|number| (3..=65_535).contains(number)).map(Self::NewlineOnFd)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_conditions_are_parsed() {
        for (text, ready) in [
            ("exec", ReadyCondition::Exec),
            ("notify", ReadyCondition::Notify),
            ("fd:3", ReadyCondition::NewlineOnFd(3)),
            ("fd:65535", ReadyCondition::NewlineOnFd(65_535)),
            ("alive:5", ReadyCondition::Alive(Span::secs(5))),
            ("alive:200ms", ReadyCondition::Alive(Span::millis(200))),
            ("probe:8080/health", ReadyCondition::Probe(c"8080/health")),
            ("probe:exec:/bin/true x", ReadyCondition::Probe(c"exec:/bin/true x")),
        ] {
            assert_eq!(ReadyCondition::parse(text.as_bytes()), Some(ready));
        }
        for text in [
            "",
            "fd",
            "fd:",
            "fd:0",
            "fd:2",
            "fd:-1",
            "fd:65536",
            "fd:99999999999999999999",
            "fd:x",
            "EXEC",
            "alive",
            "alive:",
            "alive:0",
            "alive:5m",
            "probe:",
            "probe:x",
            "probe",
            "8080",
        ] {
            assert_eq!(ReadyCondition::parse(text.as_bytes()), None, "{text}");
        }
    }
}
