//! What a child reports to its parent before the exec: which step failed, or that the exec is next.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::deliver;
use super::diagnose::CausePath;
use super::exec_image::ExecImage;
use crate::logic::base::error::Error;
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::formats::executable::{ExecFailure, ExecFailureDisplay};
use crate::logic::plan::personality::{FailureStatuses, StartFailureKind};
use crate::logic::plan::step::Step;
use crate::runtime::report::os_error::errno_text;
use crate::sys::process::Pid;
use crate::sys::{Errno, fd, limits, poll};

/// The byte that the child sends when all steps before the exec have succeeded. A child that exits without sending it
/// or [`EXEC_WITHOUT_PIDFILE`] never became the program.
pub const EXEC_IS_NEXT: u8 = b'>';
/// The byte that the child sends in place of [`EXEC_IS_NEXT`] if the pidfile could not be written.
pub const EXEC_WITHOUT_PIDFILE: u8 = b'?';

/// The outcome of starting a program, as the parent reads it from the child's report.
#[expect(clippy::large_enum_variant, reason = "one at a time, and a box would allocate")]
pub enum StartOutcome {
    /// The exec has succeeded: the program runs, or has already exited.
    Done,
    /// The exec has succeeded, but the pidfile could not be written.
    WithoutPidfile,
    /// A step failed, or the fork.
    Failed(StepFailure),
    /// The process was killed before the exec.
    Killed,
}

/// The text about a failure. It has room for two long paths.
pub type ErrorText = ArrayText<1024>;

/// Why a process did not become the program.
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct StepFailure {
    /// The index of the failed step in the program's list.
    step_index: u8,
    why: Errno,
    /// The cause, as far as the file system shows it.
    pub cause: ExecFailure,
    /// The path that the cause is about.
    pub cause_path: CausePath,
}

/// The step index that means a failed fork, which is not a step.
pub const FORK_FAILED_INDEX: u8 = u8::MAX;

/// Why the steps are applied.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum ExecMode {
    /// To execute the program.
    #[default]
    Exec,
    /// To check whether the program could be executed, and exit.
    DryRun {
        /// The indices of the steps to skip.
        skipped_steps: StepSet,
    },
}

/// A set of indices of steps: a bit for each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct StepSet([u64; 4]);

impl StepSet {
    /// True if this index is in the set.
    pub fn contains(&self, step_index: usize) -> bool {
        self.0.get(step_index / 64).is_some_and(|bits| bits >> (step_index % 64) & 1 == 1)
    }
}

impl StepFailure {
    /// Makes the failure of the step with this index. No cause is known yet.
    #[inline(never)]
    pub fn new(step_index: usize, why: Errno) -> Self {
        let step_index = u8::try_from(step_index).unwrap_or(FORK_FAILED_INDEX);
        Self { step_index, why, cause: ExecFailure::Plain, cause_path: CausePath::new() }
    }

    /// The step that failed. None if the fork failed.
    pub fn step<'a>(&self, program: &'a ExecImage) -> Option<&'a Step> {
        program.steps().get(usize::from(self.step_index))
    }

    /// Adds the index of the failed step to a set.
    pub fn add_to(&self, indices: &mut StepSet) {
        if let Some(bits) = indices.0.get_mut(usize::from(self.step_index / 64)) {
            *bits |= 1 << (self.step_index % 64);
        }
    }

    /// vsrun's exit status for this failure.
    pub fn exit_status(&self, program: &ExecImage) -> u8 {
        let is_exec = matches!(self.step(program), Some(Step::Exec(_)));
        let (missing, forbidden) = (self.why == Errno::NOENT, self.why == Errno::ACCESS);
        program.personality.failure_statuses.status(match () {
            () if !is_exec => StartFailureKind::Setup,
            () if missing => StartFailureKind::NotFound,
            () if forbidden => StartFailureKind::Forbidden,
            () => StartFailureKind::NotExecutable,
        })
    }

    /// Makes the error for this failure.
    pub fn error(&self, program: &ExecImage) -> Error {
        let mut text = ErrorText::new();
        let _ = self.write(program, &mut text);
        Error::new(Problem::Step).with_raw_arg(text.as_str()).with_status(self.exit_status(program))
    }

    /// Appends the text of the error to `text`, without allocation.
    ///
    /// # Errors
    /// Never: text that does not fit is cut off.
    pub fn write(&self, program: &ExecImage, text: &mut ErrorText) -> core::fmt::Result {
        use core::fmt::Write;
        let why = errno_text(self.why);
        match self.step(program) {
            Some(step) => {
                let (cause, path, host) = (self.cause, self.cause_path.as_bytes(), self.host_path(program));
                let cause_text = ExecFailureDisplay { cause, path, path_on_host: host.as_bytes() };
                // Scripts that call dumb-init may search its errors for this text, so vsrun prints the same.
                if let (Step::Exec(command), FailureStatuses::DumbInit) = (step, program.personality.failure_statuses) {
                    write!(text, "[dumb-init] {}: {why}{cause_text}", Escaped(command.to_bytes()))?;
                } else {
                    write!(text, "cannot {step}: {why}{cause_text}")?;
                }
                let refused = matches!(self.why, Errno::PERM | Errno::ACCESS) && cause == ExecFailure::Plain;
                match (step.needed_capability().filter(|_| refused), step) {
                    (None, _) => Ok(()),
                    (Some(needed), Step::Limit(limit)) => {
                        let most = limits::hard_limit(limit.resource);
                        write!(text, " (the hard limit is {most}: more needs {needed})")
                    }
                    (Some(needed), _) => write!(text, " (needs {needed})"),
                }
            }
            None => write!(text, "cannot start a process: {why}"),
        }
    }

    /// The path of the cause as it is seen outside the chroot; empty if the process has not changed its root.
    #[inline(never)]
    fn host_path(&self, program: &ExecImage) -> ErrorText {
        let (mut root, mut dir, path) = (&b""[..], &b""[..], self.cause_path.as_bytes());
        for step in program.steps().iter().take(usize::from(self.step_index)) {
            if let Step::Chroot(outer) = step {
                root = outer.to_bytes();
            } else if let Step::Chdir(inner) = step {
                dir = inner.to_bytes();
            }
        }
        if path.starts_with(b"/") {
            dir = b"";
        }
        let mut host = ErrorText::new();
        if root.is_empty() || path.is_empty() {
            return host;
        }
        for part in [root, b"/", dir, b"/", path].iter() {
            for byte in *part {
                // Merge repeated slashes of the path.
                if *byte != b'/' || host.as_bytes().last() != Some(byte) {
                    host.push(&[*byte]);
                }
            }
        }
        host
    }

    /// Writes the failure to the pipe: step index, errno, cause, and path of the cause. These are fewer bytes
    /// than PIPE_BUF, so they arrive together.
    pub fn send(&self, pipe: BorrowedFd<'_>) {
        let mut message = ArrayText::<300>::new();
        message.push(&[self.step_index]);
        message.push(&self.why.raw_os_error().to_le_bytes());
        message.push(&[self.cause.number()]);
        message.push(self.cause_path.as_bytes());
        let _ = fd::write_all(pipe, message.as_bytes());
    }

    fn read(message: &[u8]) -> Option<Self> {
        let [step_index, a, b, c, d, cause, detail @ ..] = message else { return None };
        let why = Errno::from_raw_os_error(i32::from_le_bytes([*a, *b, *c, *d]));
        let mut failure = Self {
            step_index: *step_index,
            why,
            cause: ExecFailure::from_number(*cause),
            cause_path: CausePath::new(),
        };
        failure.cause_path.push(detail);
        Some(failure)
    }
}

/// The time limit for reaching the exec, in milliseconds, for callers that block until then. A process that its user
/// has stopped never reaches it.
const EXEC_TIMEOUT_MS: u64 = 5000;

impl StartOutcome {
    /// Reads the child's report to the end of the pipe, for five seconds at most. A child that takes longer is killed;
    /// the caller still has to reap it.
    pub fn await_end_or_kill(report: &OwnedFd, child: Pid, program: &ExecImage) -> Self {
        if poll::wait_for_close(report.as_fd(), EXEC_TIMEOUT_MS) {
            return Self::await_end(report);
        }
        deliver::to_child(child, Signal::KILL, program);
        Self::Killed
    }

    /// Reads the child's report to the end of the pipe, which comes with the exec or the exit of the child.
    pub fn await_end(report: &OwnedFd) -> Self {
        let mut message = [0; 300];
        let count = fd::read_full(report.as_fd(), &mut message).unwrap_or(0);
        match message.get(..count) {
            Some([EXEC_IS_NEXT]) => Self::Done,
            Some([EXEC_WITHOUT_PIDFILE]) => Self::WithoutPidfile,
            Some([EXEC_IS_NEXT | EXEC_WITHOUT_PIDFILE, rest @ ..] | rest) => {
                StepFailure::read(rest).map_or(Self::Killed, Self::Failed)
            }
            None => Self::Killed,
        }
    }
}
