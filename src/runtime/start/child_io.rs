//! What a child is connected to, and its state between fork and exec.

use crate::logic::formats::log_name::LogPolicy;
use crate::runtime::report::log::Log;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::start::outcome::Mode;
use crate::sys;
use crate::sys::exec::ExecArray;
use crate::sys::fd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// The descriptors and files that a child uses on its way to the exec.
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
    /// Where the program reports that it is ready, and the descriptor number that it has there.
    pub ready: Option<(BorrowedFd<'a>, RawFd)>,
    /// An environment other than the program's own, and how many words at its beginning are not for this program.
    pub env: Option<(&'a ExecArray, usize)>,
    /// Where each step is recorded.
    pub debug: Option<&'a Log>,
    /// Where the child reports that the exec is next, or which step failed. `spawn` sets it.
    pub report: Option<BorrowedFd<'a>>,
    /// The body of the log rotator, which runs in this program without an exec: `Step::RunLogRotator` calls it.
    pub rotator: Option<fn(LogPolicy) -> !>,
    /// The body of a probe, which does not return: `Step::RunProbe` calls it with the descriptor of `report`.
    pub probe: Option<&'a dyn Fn(BorrowedFd<'_>)>,
    /// True if the caller must not wait for the exec, not even for the second that vfork(2) may take.
    pub never_waits: bool,
}

impl ChildIo<'_> {
    /// The descriptors for children of a supervisor: standard input is `/dev/null`, because its own may be the server's
    /// (`--stdin`).
    pub fn none() -> Self {
        Self { input: Some(fd::standard(0)), ..Self::default() }
    }
}

/// Whether a failure of the pidfile fails the start.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Attempt {
    /// The first start, which may fail.
    #[default]
    First,
    /// A restart: it goes on without the pidfile.
    Later,
}

/// Copies a descriptor of ours to a higher number if its own is the one that the program expects for another.
pub fn move_off_fd(fd: BorrowedFd<'_>, io: &ChildIo<'_>) -> sys::Result<Option<OwnedFd>> {
    match io.ready {
        Some((_, number)) if fd.as_raw_fd() == number => fd::duplicate_from(fd, number + 1).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// State that one step leaves for a later one.
#[derive(Default)]
pub struct ExecState {
    /// The descriptor that the program keeps after the exec.
    pub kept: Option<OwnedFd>,
    /// A descriptor opened only to check that descriptors of its kind get closed.
    pub cloexec_probe: Option<OwnedFd>,
    /// The Landlock rule set under construction.
    pub ruleset: Option<OwnedFd>,
    /// How many sockets the program gets from descriptor 3 on.
    pub sockets: u16,
    /// The byte that is sent to the parent before the exec.
    pub marker: u8,
    /// True if another directory has the path of the caller's directory now.
    pub replaced: bool,
}
