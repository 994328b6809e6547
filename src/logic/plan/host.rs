//! How the world is, for the plan: what runtime/host/system.rs found out.

use alloc::vec::Vec;

use super::env::Env;
use super::landlock::Kernel;
use super::socket_activation::InheritedSockets;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::time::Span;

/// How the world is, read once.
#[derive(Debug, Default)]
pub struct Host<'a> {
    /// The effective user id.
    pub euid: u32,
    /// The effective group id.
    pub egid: u32,
    /// Whether the kernel lets this process change its ids at all.
    pub can_change_ids: CanChangeIds,
    /// Whether descriptor 0 is the terminal that controls this process; asked only where the plan needs it.
    pub terminal: Terminal,
    /// The current directory, where the plan needs it and the kernel can tell it.
    pub cwd: Option<Vec<u8>>,
    /// Which directory that is: its device and inode.
    pub cwd_identity: (u64, u64),
    /// Whether SIGHUP was ignored when vsrun was called, as nohup(1) does.
    pub hangup_ignored: bool,
    /// The supplementary groups, where real, effective and saved ids are the same; asked only with `--user`.
    pub groups: Option<Vec<u32>>,
    /// The bytes of /etc/passwd, empty where there is none.
    pub passwd: &'a [u8],
    /// The bytes of /etc/group, empty where there is none.
    pub group: &'a [u8],
    /// vsrun's own environment, without what reports sockets.
    pub env: Env,
    /// What the files of `--env-file`, `--env-dir` and `--file-env` say, a name once: `NAME=VALUE`, or `NAME` for one
    /// that is to be unset.
    pub env_entries: Vec<StaticCStr>,
    /// What the kernel offers of Landlock, where an option needs it.
    pub landlock: Kernel,
    /// The sockets that vsrun was given.
    pub inherited: InheritedSockets,
    /// How often the service manager above wants to hear that this process works.
    pub ping: Option<Span>,
}

/// Whether a process may change its user and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanChangeIds {
    /// It has the capabilities for it.
    #[default]
    Yes,
    /// It has not, though it may be uid 0.
    No,
}

/// Whether standard input is the controlling terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminal {
    /// The one that controls this process, whose group has the foreground.
    Controlling,
    /// The one that controls this process, and another group has the foreground.
    Background,
    /// No terminal, or not the controlling one.
    #[default]
    NotControlling,
}
