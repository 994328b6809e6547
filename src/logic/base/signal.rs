//! Signals: their numbers and their names.

use core::fmt;

use super::text::{Escaped, index_in_comma_list, split_byte};
use super::time::parse_number;

/// A signal number, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(Hash))]
pub struct Signal(u8);

/// The names of the signals 1 to 31, without `SIG`, as on every Linux except alpha, mips, parisc and sparc, for which
/// vsrun is not built.
pub const NAMES: &[u8] =
    b"HUP,INT,QUIT,ILL,TRAP,ABRT,BUS,FPE,KILL,USR1,SEGV,USR2,PIPE,ALRM,TERM,STKFLT,CHLD,CONT,STOP,\
TSTP,TTIN,TTOU,URG,XCPU,XFSZ,VTALRM,PROF,WINCH,IO,PWR,SYS";

/// Other names of some signals. `ALIAS_NUMBERS` has the numbers of these signals, in the same order.
const NAME_ALIASES: &[u8] = b"IOT,CLD,POLL,UNUSED";
const ALIAS_NUMBERS: [u8; 4] = [6, 17, 29, 31];

/// The number that glibc and `kill` call `RTMIN`. The kernel's own first real-time signal is 32; glibc uses 32 and 33
/// itself.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// Sent when a terminal hangs up, and to ask a manager for a restart.
    pub const HUP: Self = Self(1);
    /// Sent by the terminal's interrupt key, Ctrl-C.
    pub const INT: Self = Self(2);
    /// Sent by the terminal's quit key, Ctrl-\.
    pub const QUIT: Self = Self(3);
    /// Sent by abort(3): the process dumps core.
    pub const ABRT: Self = Self(6);
    /// Kills the process; cannot be caught.
    pub const KILL: Self = Self(9);
    /// Sent to a process that writes to a pipe without a reader.
    pub const PIPE: Self = Self(13);
    /// Sent by alarm(2) and timers.
    pub const ALRM: Self = Self(14);
    /// Asks a process to exit.
    pub const TERM: Self = Self(15);
    /// Sent to the parent when a child has exited, stopped or continued.
    pub const CHLD: Self = Self(17);
    /// Continues a stopped process.
    pub const CONT: Self = Self(18);
    /// Stops a process; cannot be caught.
    pub const STOP: Self = Self(19);
    /// Sent by the terminal's suspend key, Ctrl-Z.
    pub const TSTP: Self = Self(20);
    /// Sent to a background process that reads from the terminal.
    pub const TTIN: Self = Self(21);
    /// Sent to a background process that writes to the terminal.
    pub const TTOU: Self = Self(22);
    /// Sent to a process that writes beyond its file size limit.
    pub const XFSZ: Self = Self(25);

    /// Reports a power failure; LXC sends it to ask a container's PID 1 to shut down.
    pub const PWR: Self = Self(30);
    /// Asks PID 1 to halt the machine; the number is that of systemd.
    pub const RTMIN_3: Self = Self(RTMIN + 3);
    /// Asks PID 1 to power the machine off; the number is that of systemd.
    pub const RTMIN_4: Self = Self(RTMIN + 4);
    /// Asks PID 1 to reboot the machine; the number is that of systemd.
    pub const RTMIN_5: Self = Self(RTMIN + 5);

    /// The signal with this number; None if the number is not 1 to 64.
    pub fn new(number: u64) -> Option<Self> {
        match u8::try_from(number) {
            Ok(number @ 1..=RTMAX) => Some(Self(number)),
            _ => None,
        }
    }

    /// The number of the signal.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The bit of the signal in the kernel's signal sets (sigset_t).
    pub fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// Parses a signal: its number, its name (with or without `SIG`, in upper or lower case), `RTMIN+n` or `RTMAX-n`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(number) = parse_number(text) {
            return Self::new(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix(b"SIG").unwrap_or(&upper);
        if let Some(rest) = name.strip_prefix(b"RTMIN") {
            return Self::new_realtime(u64::from(RTMIN).checked_add(parse_offset(rest, b"+")?)?);
        }
        if let Some(rest) = name.strip_prefix(b"RTMAX") {
            return Self::new_realtime(u64::from(RTMAX).checked_sub(parse_offset(rest, b"-")?)?);
        }
        if let Some(index) = index_in_comma_list(NAME_ALIASES, name) {
            return ALIAS_NUMBERS.get(index).copied().map(Self);
        }
        Self::named(name)
    }

    /// The signal from 1 to 31 with this name, which is in capital letters and has no `SIG`. None if there is none.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::new(index_in_comma_list(NAMES, name)? as u64 + 1)
    }

    fn new_realtime(number: u64) -> Option<Self> {
        Self::new(number).filter(|signal| signal.0 >= RTMIN)
    }
}

/// Parses the text after `RTMIN` or `RTMAX`: nothing (0), or this sign and a number.
fn parse_offset(text: &[u8], sign: &[u8]) -> Option<u64> {
    if text.is_empty() { Some(0) } else { parse_number(text.strip_prefix(sign)?) }
}

impl fmt::Display for Signal {
    /// The name of the signal, such as `SIGTERM` or `SIGRTMIN+3`. The signals 32 and 33 have no name, and are `SIG32`
    /// and `SIG33`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (split_byte(NAMES, b',').nth(usize::from(self.0) - 1), self.0.checked_sub(RTMIN)) {
            (Some(name), _) => write!(f, "SIG{}", Escaped(name)),
            (None, Some(0)) => f.write_str("SIGRTMIN"),
            (None, Some(offset)) => write!(f, "SIGRTMIN+{offset}"),
            (None, None) => write!(f, "SIG{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_parsed_from_names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("SigInt", 2),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmin+30", 64),
            ("RTMAX-1", 63),
            ("poll", 29),
        ] {
            assert_eq!(Signal::parse(text.as_bytes()), Some(Signal(number)), "{text}");
        }
        for text in [
            "",
            "SIG",
            "0",
            "65",
            "-1",
            "TERMX",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX-31",
            "RTMIN+",
            "RTMIN+99999999999999999999",
        ] {
            assert_eq!(Signal::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_named_signal_is_read_back() {
        for number in (1..=31).chain(34..=64) {
            let name = Signal(number).to_string();
            assert_eq!(Signal::parse(name.as_bytes()), Some(Signal(number)), "{name}");
        }
    }
}
