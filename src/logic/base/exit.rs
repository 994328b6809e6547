//! How a process ended, and all exit statuses of vsrun.

use core::fmt;

use super::signal::Signal;

/// Success, for example: the server exited as expected, was stopped on request, or is ready in the background.
pub const OK: u8 = 0;
/// The command line is wrong; vsrun has changed nothing.
pub const USAGE: u8 = 2;
/// `--status`: the server is dead, and its pidfile still exists.
pub const DEAD_WITH_PIDFILE: u8 = 1;
/// `--probe`: the server is not healthy.
pub const UNHEALTHY: u8 = 1;
/// `--status`: the server is not running; `--signal` and `--replace`: there is no server to signal or to replace.
pub const NOT_RUNNING: u8 = 3;
/// `--rc`: the action failed.
pub const INIT_SCRIPT_FAILED: u8 = 1;
/// `--rc reload`: the server is not running.
pub const INIT_SCRIPT_NOT_RUNNING: u8 = 7;
/// vsrun was called by another tool's name, and the usage is wrong or the server could not be set up.
pub const EMULATION_FAILED: u8 = 1;
/// `--status`, `--stop`, `--replace`, `--signal`: the state of the server cannot be determined.
pub const STATE_UNKNOWN: u8 = 4;
/// vsrun itself failed: it could not set up the server, or could not stop or replace it.
pub const VSRUN_FAILED: u8 = 125;
/// The command exists, but could not be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const NOT_FOUND: u8 = 127;

/// Which set of exit statuses a failed start uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusSet {
    /// vsrun's own statuses for a failed start: [`VSRUN_FAILED`], [`NOT_EXECUTABLE`] and [`NOT_FOUND`].
    Own,
    /// The statuses of an LSB init script (`--rc`): every failed start has the status 1.
    InitScript,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Exit {
    /// The process exited with this status.
    Code(u8),
    /// The process was killed by a signal.
    Signal {
        /// The signal that killed the process.
        signal: Signal,
        /// True if the process left a core dump.
        core: bool,
    },
}

/// The exit of a process that was killed by SIGKILL, without a core dump.
pub const KILLED: Exit = Exit::Signal { signal: Signal::KILL, core: false };

impl Exit {
    /// The exit of a process that exited with status 0.
    pub const SUCCESS: Self = Self::Code(OK);

    /// Converts the status word of wait(2). A word that the kernel never returns counts as exit status 255.
    pub fn from_wait(word: i32) -> Self {
        let [low, high, ..] = word.to_le_bytes();
        match Signal::new(u64::from(low & 0x7f)) {
            None => Self::Code(high),
            Some(signal) if low & 0x7f != 0x7f => Self::Signal { signal, core: low & 0x80 != 0 },
            Some(_) => Self::Code(u8::MAX),
        }
    }

    /// The exit status that vsrun passes on: the process's own, or 128 plus the number of the signal.
    pub fn shell_status(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal { signal, .. } => 128 + signal.number(),
        }
    }

    /// The signal that killed the process; None if the process exited by itself.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Code(_) => None,
            Self::Signal { signal, .. } => Some(signal),
        }
    }
}

impl fmt::Display for Exit {
    /// The text of `VSRUN_SERVER_EXPLAIN`: `exited with status 1`, `killed by signal 9`, `dumped core with signal 11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal { signal, core: false } => write!(f, "killed by signal {}", signal.number()),
            Self::Signal { signal, core: true } => write!(f, "dumped core with signal {}", signal.number()),
        }
    }
}

/// Displays an exit as vsrun's own records show it: `was killed by SIGSEGV (11)`.
pub struct ExitDisplay(pub Exit);

impl fmt::Display for ExitDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exit::Code(_) => self.0.fmt(f),
            Exit::Signal { signal, core } => {
                let core = if core { ", core dumped" } else { "" };
                write!(f, "was killed by {signal} ({}){core}", signal.number())
            }
        }
    }
}

/// The exits that count as a success: status 0, and those that `--success-exit` lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct SuccessExits {
    codes: [u128; 2],
    signals: u64,
}

impl SuccessExits {
    /// Parses a list of exit statuses and signal names, separated by commas. None if it is malformed.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut success = Self::default();
        for word in text.split(|byte| *byte == b',') {
            match (super::time::parse_number(word), Signal::parse(word)) {
                (Some(number), _) => success.add(u8::try_from(number).ok()?),
                (None, signal) => success.signals |= signal?.bit(),
            }
        }
        Some(success)
    }

    /// True if this exit counts as a success.
    pub fn contains(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(OK) => true,
            Exit::Code(code) => {
                self.codes.get(usize::from(code / 128)).is_some_and(|half| half >> (code % 128) & 1 == 1)
            }
            Exit::Signal { signal, .. } => self.signals & signal.bit() != 0,
        }
    }

    /// Adds an exit status. A status from 129 on is also how a shell reports a signal: then the signal is added too.
    pub fn add_shell_status(&mut self, status: u8) {
        self.add(status);
        self.signals |= Signal::new(u64::from(status).saturating_sub(128)).map_or(0, Signal::bit);
    }

    /// Adds all exits of another list.
    pub fn merge(&mut self, other: &Self) {
        self.codes.iter_mut().zip(other.codes).for_each(|(own, other)| *own |= other);
        self.signals |= other.signals;
    }

    fn add(&mut self, code: u8) {
        if let Some(half) = self.codes.get_mut(usize::from(code / 128)) {
            *half |= 1 << (code % 128);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_words_are_read_as_the_kernel_writes_them() {
        for code in 0..=255u8 {
            assert_eq!(Exit::from_wait(i32::from(code) << 8), Exit::Code(code));
        }
        for number in 1..=64u8 {
            let signal = Signal::new(number.into()).unwrap();
            assert_eq!(Exit::from_wait(number.into()), Exit::Signal { signal, core: false });
            let core = Exit::from_wait(i32::from(number) | 0x80);
            assert_eq!(core, Exit::Signal { signal, core: true });
            assert_eq!(core.shell_status(), 128 + number);
            assert_eq!(core.to_string(), format!("dumped core with signal {number}"));
            assert_eq!(ExitDisplay(core).to_string(), format!("was killed by {signal} ({number}), core dumped"));
        }
    }

    #[test]
    fn listed_statuses_and_signals_count_as_success() {
        let mut success = SuccessExits::parse(b"3,200,SIGTERM").unwrap();
        success.merge(&SuccessExits::parse(b"usr1").unwrap());
        let signal = |name: &str| Exit::Signal { signal: Signal::parse(name.as_bytes()).unwrap(), core: false };
        for exit in [Exit::Code(0), Exit::Code(3), Exit::Code(200), signal("TERM"), signal("USR1")] {
            assert!(success.contains(exit), "{exit}");
        }
        for exit in [Exit::Code(1), Exit::Code(131), Exit::Code(72), signal("KILL")] {
            assert!(!success.contains(exit), "{exit}");
        }
        success.add_shell_status(137);
        assert!(success.contains(Exit::Code(137)) && success.contains(KILLED));
        for text in ["", "3,", "256", "-1", "FOO", "3;4"] {
            assert!(SuccessExits::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
