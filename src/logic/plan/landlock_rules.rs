//! The rules of Landlock: what may be done with files and ports. See landlock(7).

use crate::logic::base::cstr::StaticCStr;

/// A right to a file or directory.
pub mod right {
    /// Execute a file.
    pub const EXECUTE: u64 = 1;
    /// Read a file, list a directory.
    pub const READ: u64 = 1 << 2 | 1 << 3;
    /// List a directory.
    pub const READ_DIR: u64 = 1 << 3;
    /// Read a file.
    pub const READ_FILE: u64 = 1 << 2;
    /// All rights of Linux 6.2 (ABI 3): moves between directories (REFER) and truncation are among them.
    pub const ALL: u64 = (1 << 15) - 1;
    /// The ioctls of devices, since Linux 6.10 (ABI 5).
    pub const IOCTL_DEV: u64 = 1 << 15;
}

/// A direction of TCP, as a bit.
pub const BIND: u64 = 1;

/// connect(2), as a bit.
pub const CONNECT: u64 = 2;

/// One thing that a rule set allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Rights to a file, or to a directory and everything below it.
    Path(Reach, StaticCStr),
    /// A direction, and the port.
    Port(u64, u16),
}

/// What `--ro`, `--rox`, `--rw` and `--rwx` allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To read.
    Ro,
    /// To read and execute.
    Rox,
    /// Everything except execution.
    Rw,
    /// Everything.
    Rwx,
}

impl Reach {
    fn executes(self) -> bool {
        matches!(self, Self::Rox | Self::Rwx)
    }

    /// Its rights, of those that the rule set handles.
    pub fn rights(self, handled: u64) -> u64 {
        let wanted = if matches!(self, Self::Ro | Self::Rox) { right::READ | right::EXECUTE } else { u64::MAX };
        handled & wanted & if self.executes() { u64::MAX } else { !right::EXECUTE }
    }

    /// Its rights in the rehearsal of `--check`, which executes nothing: there the right to read a file represents the
    /// right to execute it, because opening the file tests it.
    pub fn rehearsed(self) -> u64 {
        right::READ_DIR | if self.executes() { right::READ_FILE } else { 0 }
    }
}

/// What a rule set handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Rights to files.
    pub files: u64,
    /// Directions of TCP.
    pub tcp: u64,
    /// Scopes.
    pub scope: u64,
}
