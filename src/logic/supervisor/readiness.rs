//! When a server counts as started, and what it says about itself.

use crate::logic::base::text::place_of;
use crate::logic::base::time::number;

/// Where a server, or vsrun itself, finds the one that it reports to: sd_notify(3).
pub const NOTIFY_SOCKET: &[u8] = b"NOTIFY_SOCKET";

/// When a server counts as started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Its exec has succeeded.
    Exec,
    /// It wrote a newline to this descriptor: s6's protocol.
    Newline(i32),
    /// It sent `READY=1` to `$NOTIFY_SOCKET`: sd_notify(3).
    Notify,
}

impl Ready {
    /// Reads `exec`, `fd:N` or `notify`. 0 to 2 are what they are for every program.
    #[inline(never)]
    pub fn parse(text: &[u8]) -> Option<Self> {
        match place_of(b"exec,notify", text) {
            Some(0) => Some(Self::Exec),
            Some(_) => Some(Self::Notify),
            None => {
                let number = number(text.strip_prefix(b"fd:")?)?;
                i32::try_from(number).ok().filter(|number| (3..=65_535).contains(number)).map(Self::Newline)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_be_ready() {
        for (text, ready) in [
            ("exec", Ready::Exec),
            ("notify", Ready::Notify),
            ("fd:3", Ready::Newline(3)),
            ("fd:65535", Ready::Newline(65_535)),
        ] {
            assert_eq!(Ready::parse(text.as_bytes()), Some(ready));
        }
        for text in ["", "fd", "fd:", "fd:0", "fd:2", "fd:-1", "fd:65536", "fd:99999999999999999999", "fd:x", "EXEC"] {
            assert_eq!(Ready::parse(text.as_bytes()), None, "{text}");
        }
    }
}
