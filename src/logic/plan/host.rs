//! The state of the system that the plan depends on. `runtime::host::system` reads it.

use alloc::vec::Vec;

use super::env::Env;
use super::landlock::LandlockSupport;
use super::socket_activation::InheritedSockets;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::time::Span;

/// The state of the system, read once at the start.
#[derive(Debug, Default)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct Host<'a> {
    /// vsrun's effective user id.
    pub euid: u32,
    /// vsrun's effective group id.
    pub egid: u32,
    /// Whether vsrun may change its user and groups.
    pub can_change_ids: CanChangeIds,
    /// Whether descriptor 0 is the controlling terminal. Read only if the plan depends on it.
    pub terminal: StdinTerminal,
    /// True if SIGHUP was ignored when vsrun was called, as by nohup(1). False with `--background` and under another
    /// tool's name, because the plan does not depend on it then.
    pub hangup_ignored: bool,
    /// True if vsrun was called as catatonit and the variable `LISTEN_PID` has vsrun's pid. The server's process then
    /// sets `LISTEN_PID` to its own pid, as catatonit does.
    pub must_update_listen_pid: bool,
    /// The kernel's support for Landlock, if an option needs it.
    pub landlock: LandlockSupport,
    /// vsrun's own environment, without the variables by which its parent announced the sockets in `inherited`.
    pub env: Env,
    /// The current directory. None if the plan does not depend on it, or the kernel does not report it.
    pub cwd: Option<Vec<u8>>,
    /// The device and inode of the current directory. Zeros if the plan does not depend on it.
    pub cwd_dev_and_inode: (u64, u64),
    /// vsrun's supplementary groups. None if its real, effective and saved ids differ, or if they were not read because
    /// `--user` was not given.
    pub own_groups: Option<Vec<u32>>,
    /// The contents of /etc/passwd; empty if the file does not exist or is not needed.
    pub passwd_file: &'a [u8],
    /// The contents of /etc/group; empty if the file does not exist or is not needed.
    pub group_file: &'a [u8],
    /// The entries of `--env-file`, `--env-dir` and `--file-env`, each name once: `NAME=VALUE`, or `NAME` to remove the
    /// variable.
    pub env_entries_from_files: Vec<StaticCStr>,
    /// The sockets that vsrun's parent has passed to it.
    pub inherited: InheritedSockets,
    /// How often vsrun must send keep-alive messages to the service manager that started it.
    pub watchdog_interval: Option<Span>,
}

/// Whether vsrun may change its user and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanChangeIds {
    /// vsrun has CAP_SETUID and CAP_SETGID, or the plan does not depend on them.
    #[default]
    Yes,
    /// vsrun's effective user id is 0, but it does not have CAP_SETUID and CAP_SETGID, for example in a
    /// container. Determined only if the user of `--user` may be root too: then there may be nothing to change.
    No,
}

/// Whether standard input is the controlling terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StdinTerminal {
    /// Standard input is the controlling terminal, and vsrun's process group is in its foreground.
    Foreground,
    /// Standard input is the controlling terminal, and another process group is in its foreground.
    Background,
    /// Standard input is no terminal, or not the controlling one.
    #[default]
    NotControlling,
}
