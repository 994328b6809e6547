//! The descriptors of a child, and its state between fork and exec.

use crate::logic::formats::log_name::LogPolicy;
use crate::runtime::report::log::Log;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::start::outcome::ExecMode;
use crate::sys;
use crate::sys::exec::ExecArray;
use crate::sys::fd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// The descriptors and files that a child uses on its way to the exec.
#[derive(Clone, Copy, Default)]
#[repr(C)] // Small fields first: shorter instructions.
pub struct ChildIo<'a> {
    /// Whether this is the first start or a restart.
    pub start_kind: StartKind,
    /// True if the caller must not wait for the exec, not even for the second that vfork(2) may take.
    pub forbids_vfork: bool,
    /// The file that becomes standard input. None means `/dev/null`.
    pub input: Option<BorrowedFd<'a>>,
    /// The file that becomes standard output. None means no change.
    pub output: Option<BorrowedFd<'a>>,
    /// The file that becomes standard error. None means no change.
    pub error: Option<BorrowedFd<'a>>,
    /// The log directory, which the step LogDir makes the working directory.
    pub log_dir: Option<BorrowedFd<'a>>,
    /// The pipe in which the child reports which step failed, or that the exec is next. `spawn` sets it.
    pub report: Option<BorrowedFd<'a>>,
    /// The pipes to and from the cleanup helper, which undoes a failed start. They stay open until the exec.
    pub cleanup_helper_pipes: [Option<BorrowedFd<'a>>; 2],
    /// The pidfile into which the child writes its pid.
    pub pidfile: Option<&'a Pidfile>,
    /// The control group that the child enters.
    pub cgroup: Option<&'a Cgroup>,
    /// The pipe in which the program reports that it is ready, and the descriptor number that the program expects.
    pub ready_pipe_and_number: Option<(BorrowedFd<'a>, RawFd)>,
    /// The log in which each step is recorded.
    pub step_log: Option<&'a Log>,
    /// The function of the log rotator, which runs in this program without an exec. `Step::RunLogRotator` calls it.
    pub rotator_main: Option<fn(LogPolicy) -> !>,
    /// An environment in place of the program's own, and the number of variables at its beginning that this program
    /// does not get.
    pub env_and_skipped_vars: Option<(&'a ExecArray, usize)>,
    /// The function of a network probe, which does not return. `Step::RunNetworkProbe` calls it with the descriptor of
    /// `report`.
    pub network_probe: Option<&'a dyn Fn(BorrowedFd<'_>)>,
    /// Whether the program is executed, or only checked.
    pub mode: ExecMode,
}

impl ChildIo<'_> {
    /// The descriptors for the server of a supervisor: it inherits the supervisor's standard input, which is
    /// `/dev/null` or, with `--stdin`, that of vsrun's caller.
    pub fn inheriting_stdin() -> Self {
        Self { input: Some(fd::standard(0)), ..Self::default() }
    }
}

/// Whether a start is the first one or a restart. That decides whether it fails if the pidfile cannot be written.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum StartKind {
    /// The first start: it fails if the pidfile cannot be written.
    #[default]
    First,
    /// A restart: if the pidfile cannot be written, the program is executed without one.
    Later,
}

/// Duplicates one of our descriptors to a higher number, if its number is the one at which the program expects the
/// ready pipe.
pub fn move_off_ready_number(fd: BorrowedFd<'_>, io: &ChildIo<'_>) -> sys::Result<Option<OwnedFd>> {
    match io.ready_pipe_and_number {
        Some((_, number)) if fd.as_raw_fd() == number => fd::duplicate_from(fd, number + 1).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// State that one step of a start passes on to a later step.
#[derive(Default)]
pub struct ExecState {
    /// The descriptor of the locked pidfile, which the program inherits so that the lock remains.
    pub pidfile_lock_fd: Option<OwnedFd>,
    /// A spare descriptor, which shows whether all descriptors were closed or made close-on-exec. See
    /// `sys::close_check`.
    pub close_check_fd: Option<OwnedFd>,
    /// The Landlock rule set, to which steps add rules.
    pub landlock_ruleset: Option<OwnedFd>,
    /// The number of sockets that the program gets from descriptor 3 on.
    pub socket_count: u16,
    /// The byte that is sent to the parent before the exec.
    pub report_byte: u8,
    /// True if the path of the directory in which vsrun was called now leads to another directory, or cannot be
    /// followed.
    pub callers_dir_replaced: bool,
}
