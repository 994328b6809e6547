//! What is done to a process on its way to be the server: one step, one thing, in the order of the plan.

use core::fmt;

use super::attributes::{Capabilities, ResourceLimit};
use super::retention::Rules;
use super::text::Clean;
use super::word::Word;

/// One thing done to a process. A step that fails is told to the parent by its place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No signal blocked (all dispositions have been default since vsrun's own start).
    Signals,
    /// A session and process group of its own, without a terminal.
    Session,
    /// Give up the controlling terminal without a new session.
    Terminal,
    /// Write the pid into this file; keep only a shared lock on a read-only descriptor.
    Pidfile(Word),
    /// Write the pid into this file, which the one who stays keeps locked.
    Number(Word),
    /// A process group of its own in the foreground of the terminal on descriptor 0.
    Foreground,
    /// The nice value.
    Nice(i32),
    /// What is added to the score by which the kernel chooses when memory is out.
    OomScore(Word),
    /// A limit of a resource.
    Limit(ResourceLimit),
    /// Standard input.
    Input,
    /// Standard output and error.
    Output,
    /// So many sockets from descriptor 3 on, and `LISTEN_PID`.
    Sockets(u16),
    /// Who is watched: `WATCHDOG_PID`.
    Watchdog,
    /// Change the root directory.
    Root(Word),
    /// Change the working directory.
    Dir(Word),
    /// See that this working directory is inside of the root: a link to one of our own descriptors, which somebody may
    /// have planted in there, leads out of it (CVE-2024-21626).
    Inside(Word),
    /// Supplementary groups.
    Groups(&'static [u32]),
    /// Real, effective and saved group id.
    Gid(u32),
    /// Real, effective and saved user id.
    Uid(u32, Rights),
    /// No capabilities, neither in force nor inherited.
    Rights(Rights),
    /// Read all of it back, and fail to become root again.
    Proof {
        /// The only user id.
        uid: u32,
        /// The only group id.
        gid: u32,
        /// The supplementary groups, sorted.
        groups: &'static [u32],
    },
    /// Exactly these capabilities, in all five sets.
    Capabilities(Capabilities),
    /// No program gets more rights than it has.
    NoNewPrivileges,
    /// The file mode creation mask.
    Umask(u32),
    /// No descriptor above 2 but those that are meant for it.
    Descriptors,
    /// The end of a pipe, under the number where the program says that it is ready.
    Ready(i32),
    /// Become the writer of the server's output.
    Write(Rules),
    /// Become the program. The command is named for people: its path may still have to be found.
    Exec(Word),
}

/// What becomes of the capabilities when root becomes a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// All are gone.
    Gone,
    /// Those that could be had back stay, until some are chosen.
    Stay,
}

impl fmt::Display for Step {
    /// What the step does, to stand behind "cannot".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signals => f.write_str("unblock the signals"),
            Self::Session => f.write_str("start a session"),
            Self::Terminal => f.write_str("leave the terminal"),
            Self::Pidfile(path) | Self::Number(path) => write!(f, "write pidfile '{}'", Clean(path.to_bytes())),
            Self::Foreground => f.write_str("take the terminal's foreground"),
            Self::Nice(value) => write!(f, "set the nice value to {value}"),
            Self::OomScore(value) => {
                write!(f, "set --oom-score-adj to {} in /proc/self/oom_score_adj", Clean(value.to_bytes()))
            }
            Self::Limit(limit) => write!(f, "set --limit {}", Clean(limit.text.to_bytes())),
            Self::Input => f.write_str("redirect standard input"),
            Self::Output => f.write_str("redirect standard output and error"),
            Self::Sockets(count) => write!(f, "hand over the sockets ({count})"),
            Self::Watchdog => f.write_str("be watched"),
            Self::Root(dir) => write!(f, "change root to '{}'", Clean(dir.to_bytes())),
            Self::Dir(dir) => write!(f, "change directory to '{}'", Clean(dir.to_bytes())),
            Self::Inside(dir) => write!(f, "prove that '{}' is inside of the root", Clean(dir.to_bytes())),
            Self::Groups(groups) => write!(f, "set the supplementary groups ({})", groups.len()),
            Self::Gid(gid) => write!(f, "become group {gid}"),
            Self::Uid(uid, _) => write!(f, "become user {uid}"),
            Self::Rights(_) => f.write_str("give up the capabilities"),
            Self::Proof { uid, .. } => write!(f, "prove that it is user {uid} and nobody else"),
            Self::Capabilities(caps) => write!(f, "keep just --caps {}", Clean(caps.list.to_bytes())),
            Self::NoNewPrivileges => f.write_str("set --no-new-privs"),
            Self::Umask(mask) => write!(f, "set the umask to {mask:03o}"),
            Self::Descriptors => f.write_str("close the descriptors"),
            Self::Ready(number) => write!(f, "open descriptor {number} of --ready"),
            Self::Write(_) => f.write_str("write the log"),
            Self::Exec(command) => write!(f, "execute '{}'", Clean(command.to_bytes())),
        }
    }
}
