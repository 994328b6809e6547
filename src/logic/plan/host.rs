//! The state of the system that the plan needs, as runtime/host/system.rs has read it.

use alloc::vec::Vec;

use super::env::Env;
use super::landlock::Kernel;
use super::socket_activation::InheritedSockets;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::time::Span;

/// The state of the system, read once.
#[derive(Debug, Default)]
pub struct Host<'a> {
    /// The effective user id.
    pub euid: u32,
    /// The effective group id.
    pub egid: u32,
    /// Whether the kernel lets this process change its ids at all.
    pub can_change_ids: CanChangeIds,
    /// Whether descriptor 0 is the controlling terminal; read only if the plan needs it.
    pub terminal: Terminal,
    /// The current directory, if the plan needs it and the kernel reports it.
    pub cwd: Option<Vec<u8>>,
    /// Which directory that is: its device and inode.
    pub cwd_identity: (u64, u64),
    /// Whether SIGHUP was ignored when vsrun was called, as nohup(1) does.
    pub hangup_ignored: bool,
    /// The supplementary groups, if real, effective and saved ids are the same; read only with `--user`.
    pub groups: Option<Vec<u32>>,
    /// The bytes of /etc/passwd, empty if it does not exist.
    pub passwd: &'a [u8],
    /// The bytes of /etc/group, empty if it does not exist.
    pub group: &'a [u8],
    /// vsrun's own environment, without the variables of passed sockets.
    pub env: Env,
    /// The entries from `--env-file`, `--env-dir` and `--file-env`, each name once: `NAME=VALUE`, or `NAME` to unset
    /// it.
    pub env_entries: Vec<StaticCStr>,
    /// The kernel's support for Landlock, if an option needs it.
    pub landlock: Kernel,
    /// The sockets that were passed to vsrun.
    pub inherited: InheritedSockets,
    /// Whether the server's process sets the `LISTEN_PID` that named vsrun, because another tool would.
    pub renames_listen_pid: bool,
    /// How often vsrun must send keep-alive messages to its own service manager.
    pub ping: Option<Span>,
}

/// Whether a process may change its user and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanChangeIds {
    /// It has the capabilities for it.
    #[default]
    Yes,
    /// It does not have them, although it may be uid 0.
    No,
}

/// Whether standard input is the controlling terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminal {
    /// The controlling terminal; this process's group is in the foreground.
    Controlling,
    /// The controlling terminal; another group is in the foreground.
    Background,
    /// No terminal, or not the controlling one.
    #[default]
    NotControlling,
}
