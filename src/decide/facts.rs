//! How the world is, for the plan: what act/facts.rs found out.

use alloc::vec::Vec;

use super::endpoint::Handed;
use super::environ::Environ;
use super::word::Word;

/// How the world is, read once.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    /// The effective user id.
    pub euid: u32,
    /// The effective group id.
    pub egid: u32,
    /// Whether the kernel lets this process change its ids at all.
    pub ids: Ids,
    /// Whether descriptor 0 is the terminal that controls this process; asked only where the plan needs it.
    pub terminal: Terminal,
    /// The current directory, where the plan needs it and the kernel can tell it.
    pub cwd: Option<Vec<u8>>,
    /// The bytes of /etc/passwd, empty where there is none.
    pub passwd: &'a [u8],
    /// The bytes of /etc/group, empty where there is none.
    pub group: &'a [u8],
    /// vsrun's own environment, without what tells of sockets.
    pub env: Environ,
    /// What the files of `--env-dir` say: `NAME=VALUE`, or `NAME` for one that is to be unset.
    pub env_dir: Vec<Word>,
    /// The entries of all `--env-file`, in order: `NAME=VALUE`.
    pub env_files: Vec<Word>,
    /// The entries of `--file-env`: `NAME=` and the contents of the file.
    pub file_env: Vec<Word>,
    /// The sockets that vsrun was given.
    pub handed: Handed,
}

/// Whether a process may change its user and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// It has the capabilities for it.
    #[default]
    Free,
    /// It has not, though it may be uid 0.
    Fixed,
}

/// Whose terminal standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminal {
    /// The one that controls this process.
    Ours,
    /// None, or somebody else's.
    #[default]
    Other,
}
