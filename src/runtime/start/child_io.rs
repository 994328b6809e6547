//! What a child that becomes a program is connected to, and how far it is.

use crate::logic::formats::log_name::LogPolicy;
use crate::runtime::report::log::Log;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::start::outcome::Mode;
use crate::sys;
use crate::sys::fd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// What a process is connected to.
#[derive(Clone, Copy, Default)]
pub struct ChildIo<'a> {
    /// Standard input. None: `/dev/null`.
    pub input: Option<BorrowedFd<'a>>,
    /// Standard output. None: as it is.
    pub output: Option<BorrowedFd<'a>>,
    /// Standard error. None: as it is.
    pub error: Option<BorrowedFd<'a>>,
    /// The logdir.
    pub dir: Option<BorrowedFd<'a>>,
    /// Pipes of our own that stay open until the exec.
    pub pipes: [Option<BorrowedFd<'a>>; 2],
    /// The pidfile that the process writes.
    pub pidfile: Option<&'a Pidfile>,
    /// The control group that the process enters.
    pub cgroup: Option<&'a Cgroup>,
    /// Whether the program is to be executed, or only checked.
    pub mode: Mode,
    /// Whether a pidfile that cannot be written ends the start.
    pub attempt: Attempt,
    /// Where the program says that it is ready, and under which number it has that.
    pub ready: Option<(BorrowedFd<'a>, RawFd)>,
    /// Where each step is recorded.
    pub debug: Option<&'a Log>,
    /// Where the child reports that the exec is next, or which step failed; `spawn` fills it in.
    pub report: Option<BorrowedFd<'a>>,
    /// The body of the log rotator, which is this program and not another: `Step::RunLogRotator` calls it.
    pub rotator: Option<fn(LogPolicy) -> !>,
}

impl ChildIo<'_> {
    /// For a supervisor: its own standard input is `/dev/null`, or the server's by `--stdin`.
    pub fn none() -> Self {
        Self { input: Some(fd::standard(0)), ..Self::default() }
    }
}

/// Which start of the server it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Attempt {
    /// The first one, which may fail.
    #[default]
    First,
    /// A restart, which nothing that can be done without holds up.
    Later,
}

/// A descriptor of ours that has the number which the program is to have, moved above it.
pub fn move_off_fd(fd: BorrowedFd<'_>, io: &ChildIo<'_>) -> sys::Result<Option<OwnedFd>> {
    match io.ready {
        Some((_, number)) if fd.as_raw_fd() == number => fd::duplicate_from(fd, number + 1).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// What one step leaves for a later one.
#[derive(Default)]
pub struct ExecState {
    /// The descriptor that the program is to keep.
    pub kept: Option<OwnedFd>,
    /// A descriptor that is open in vain, to see whether such are closed.
    pub cloexec_probe: Option<OwnedFd>,
    /// The rule set of Landlock that is being made.
    pub ruleset: Option<OwnedFd>,
    /// How many sockets it is to find from descriptor 3 on.
    pub sockets: u16,
    /// What the parent is told before the exec.
    pub marker: u8,
    /// Whether the caller's directory is not the one that has its path.
    pub replaced: bool,
}
