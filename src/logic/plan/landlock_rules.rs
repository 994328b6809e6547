//! The rules of Landlock: which files and ports the server may access. See landlock(7).

use crate::logic::base::cstr::StaticCStr;

/// The kernel's bits for rights to a file or directory.
pub mod file_right {
    /// The right to execute files.
    pub const EXECUTE: u64 = 1;
    /// The rights to read files and to list directories.
    pub const READ_FILE_AND_DIR: u64 = 1 << 2 | 1 << 3;
    /// The right to list directories.
    pub const READ_DIR: u64 = 1 << 3;
    /// The right to read files.
    pub const READ_FILE: u64 = 1 << 2;
    /// All rights of Linux 6.2 (ABI 3), which include moves between directories (REFER) and truncation.
    pub const ALL_UP_TO_ABI_3: u64 = (1 << 15) - 1;
    /// The right to use ioctl(2) on device files, since Linux 6.10 (ABI 5).
    pub const IOCTL_DEV: u64 = 1 << 15;
}

/// The bit for bind(2) of TCP sockets.
pub const BIND_TCP: u64 = 1;

/// The bit for connect(2) of TCP sockets.
pub const CONNECT_TCP: u64 = 2;

/// A rule of a Landlock rule set: something that the rule set allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Allows this kind of access to a file, or to a directory and everything below it.
    Path(PathAccess, StaticCStr),
    /// Allows TCP sockets to bind or connect ([`BIND_TCP`] or [`CONNECT_TCP`]) to this port.
    Port(u64, u16),
}

/// The access that `--ro`, `--rox`, `--rw` and `--rwx` allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAccess {
    /// `--ro`: only reading.
    Ro,
    /// `--rox`: reading and execution.
    Rox,
    /// `--rw`: everything except execution.
    Rw,
    /// `--rwx`: everything.
    Rwx,
}

impl PathAccess {
    fn allows_execution(self) -> bool {
        matches!(self, Self::Rox | Self::Rwx)
    }

    /// The kernel's bits for this access, without the rights that are not `handled`, because the kernel refuses a rule
    /// with such a right.
    pub fn rights(self, handled: u64) -> u64 {
        let wanted = if matches!(self, Self::Ro | Self::Rox) {
            file_right::READ_FILE_AND_DIR | file_right::EXECUTE
        } else {
            u64::MAX
        };
        handled & wanted & if self.allows_execution() { u64::MAX } else { !file_right::EXECUTE }
    }

    /// The kernel's bits for this access when `--check` tries the rules. `--check` only lists directories and tests
    /// whether files could be executed. For that test it opens a file, so the right to read a file replaces the right
    /// to execute it, and is missing if the access does not allow execution.
    pub fn rights_in_check_mode(self) -> u64 {
        file_right::READ_DIR | if self.allows_execution() { file_right::READ_FILE } else { 0 }
    }
}

/// The rights and scopes that a rule set handles. The rule set restricts nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandledRights {
    /// The bits of the handled rights to files.
    pub file_rights: u64,
    /// The bits of the handled TCP directions.
    pub tcp_rights: u64,
    /// The bits of the handled scopes.
    pub scope: u64,
}
