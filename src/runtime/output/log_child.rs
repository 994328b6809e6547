//! The process that receives the server's output: a logger, or vsrun's own rotator.

use std::os::fd::{AsFd, OwnedFd};

use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::cli::options::LOG_CHILD_EXIT_TIMEOUT;
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::runtime::report::os_error::os_error_of;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::deliver;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::{EXEC_IS_NEXT, FORK_FAILED_INDEX, StartOutcome, StepFailure};
use crate::runtime::start::spawn::{report_and_exit, spawn};
use crate::sys::poll::Signals;
use crate::sys::process::{Forked, Pid};
use crate::sys::{self, clock, fd, poll, process};

/// The shortest and the longest pause before a log child that exited is started again.
const RETRY_DELAY_RANGE: (Span, Span) = (Span::millis(100), Span::secs(5));
/// How long a log child may take from its start to its exec.
const EXEC_TIMEOUT: Span = Span::secs(5);
/// A log child that ran for this long is considered working: the pause before its next restart is the shortest again.
const STABLE_UPTIME: Span = Span::secs(10);

/// The longest wait until the rotator has written everything in its pipe, before a rotation or the crash handler.
const ROTATOR_DRAIN_TIMEOUT: Span = Span::millis(500);

/// A logger, or vsrun's own rotator, that is restarted when it exits; and the read end of its pipe. While vsrun has
/// that end open, a process that writes to the pipe gets no SIGPIPE, and only lines that the logger had read before it
/// died can be lost.
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct LogChild {
    /// The name of the log child in records.
    name: &'static str,
    pipe: OwnedFd,
    /// The standard output of the log child; for a rotator, its directory. None: vsrun's standard output.
    child_stdout: Option<OwnedFd>,
    /// The standard error of the log child at its next start. A rotator gets the file that it writes there. None: the
    /// same as its standard output or, if that is None too, vsrun's standard error.
    child_stderr: Option<OwnedFd>,
    /// The process of the log child, if it runs.
    pub running: Option<Running>,
    retry_pause: Span,
    /// When the log child is started again. None if it has never exited, or is not vsrun's child.
    retry_at: Option<Time>,
    /// The program to run.
    pub program: ExecImage,
    /// All steps of a rotator. `program` omits those that change the user if the rotator runs with vsrun's own rights.
    all_rotator_steps: Vec<Step>,
}

/// A running logger or rotator.
pub struct Running {
    /// The pid of the process.
    pub pid: Pid,
    since: Time,
    /// The pipe that reports a failed start. None if the caller of `launch` reads it, and after the exec or a kill.
    report_pipe: Option<OwnedFd>,
}

/// The user that a rotator runs as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RotatorUser {
    /// The server's user, to whom the log directory belongs.
    OfServer,
    /// vsrun's own user.
    OfVsrun,
}

impl LogChild {
    /// Makes a log child, without starting it.
    pub fn new(name: &'static str, program: Box<Program>, pipe: OwnedFd, child_stdout: Option<OwnedFd>) -> Box<Self> {
        let program = ExecImage::new(program);
        let (child_stderr, steps, running, retry_pause, again) = (None, Vec::new(), None, RETRY_DELAY_RANGE.0, None);
        Box::new(Self {
            name,
            program,
            pipe,
            child_stdout,
            child_stderr,
            all_rotator_steps: steps,
            running,
            retry_pause,
            retry_at: again,
        })
    }

    /// The descriptors for the next start of the log child.
    pub fn io(&self) -> ChildIo<'_> {
        let output = self.child_stdout.as_ref().map(AsFd::as_fd);
        let error = self.child_stderr.as_ref().map_or(output, |error| Some(error.as_fd()));
        let rotator: fn(_) -> ! = super::rotator::run;
        ChildIo { input: Some(self.pipe.as_fd()), output, error, rotator_main: Some(rotator), ..ChildIo::default() }
    }

    /// Sets where a rotator writes: a new file, and the directory of that file if it has changed. `user` is the user
    /// that it runs as.
    pub fn set_destination(&mut self, dir: Option<OwnedFd>, file: OwnedFd, user: RotatorUser) {
        self.child_stdout = dir.or(self.child_stdout.take());
        self.child_stderr = Some(file);
        if self.all_rotator_steps.is_empty() {
            self.all_rotator_steps.clone_from(&self.program.steps);
        }
        // `program.steps` has room for all steps, so refilling it does not allocate.
        let is_users = |step: &Step| {
            matches!(
                step,
                Step::Groups(_)
                    | Step::Gid(_)
                    | Step::Uid(..)
                    | Step::DropCapabilities(_)
                    | Step::VerifyCredentials { .. }
            )
        };
        self.program.steps.clear();
        self.program
            .steps
            .extend(self.all_rotator_steps.iter().filter(|step| user == RotatorUser::OfServer || !is_users(step)));
    }

    /// Kills a rotator, and starts another one on the same pipe. No byte is lost: bytes that the rotator has not yet
    /// written to its file are still in the pipe.
    pub fn replace(&mut self, now: Time) {
        if let Some(running) = self.running.take() {
            deliver::to_child(running.pid, Signal::KILL, &self.program);
        }
        self.retry_at = Some(now);
        self.run_due(now);
    }

    /// When the log child is started again, or must have reached its exec.
    pub fn deadline(&self) -> Option<Time> {
        match &self.running {
            None => self.retry_at,
            Some(running) => running.report_pipe.as_ref().map(|_| running.since.after(EXEC_TIMEOUT)),
        }
    }

    /// Starts the process again if its pause is over, and kills it if its exec is overdue.
    pub fn run_due(&mut self, now: Time) {
        if self.deadline().is_none_or(|until| until > now) {
            return;
        }
        if let Some(running) = &mut self.running {
            // The exec closes the child's end of the report pipe. A process that has not reached its exec, for example
            // because its user has stopped it, is killed.
            if let Some(report) = running.report_pipe.take()
                && !poll::wait_for_close(report.as_fd(), 0)
            {
                deliver::to_child(running.pid, Signal::KILL, &self.program);
            }
        } else {
            let launched = self.launch(now).map(|report| {
                if let Some(running) = &mut self.running {
                    running.report_pipe = Some(report);
                }
            });
            if launched.is_err() {
                self.schedule_retry(now);
            }
        }
    }

    /// Must be called for each reaped child. If that is the log child, schedules a restart and returns its name.
    pub fn on_exit(&mut self, pid: Pid, now: Time) -> Option<&'static str> {
        let running = self.running.take_if(|running| running.pid == pid)?;
        if now.since(running.since) >= STABLE_UPTIME {
            self.retry_pause = RETRY_DELAY_RANGE.0;
        }
        self.schedule_retry(now);
        Some(self.name)
    }

    /// Waits until the process has read everything and has exited, for at most `LOG_CHILD_EXIT_TIMEOUT`. All other
    /// descriptors of the pipe's write end must be closed before.
    #[inline(never)]
    pub fn await_exit(mut self, signals: &Signals) {
        let start = Time(clock::monotonic_millis());
        let until = start.after(LOG_CHILD_EXIT_TIMEOUT);
        if self.running.is_none() && self.retry_at.is_none() {
            return;
        }
        self.retry_at = Some(start);
        loop {
            let now = Time(clock::monotonic_millis());
            if now >= until || (self.running.is_none() && !fd::is_readable(self.pipe.as_fd())) {
                return;
            }
            self.run_due(now);
            let wake = self.deadline().unwrap_or(until).min(until);
            poll::poll_last_for_hangup(&[Some(signals.as_fd()), None], Some(wake.since(now).0));
            while signals.next().is_some() {}
            while let Some(pid) = process::exited_child() {
                let _ = process::reap(pid);
                self.on_exit(pid, Time(clock::monotonic_millis()));
            }
        }
    }

    /// Waits until a running rotator has written what is in its pipe, for at most `DRAIN_WAIT`.
    pub fn await_drained(&self) {
        let until = clock::monotonic_millis() + ROTATOR_DRAIN_TIMEOUT.0;
        while self.running.is_some() && fd::is_readable(self.pipe.as_fd()) && clock::monotonic_millis() < until {
            poll::sleep_ms(1);
        }
    }

    /// Makes the rotator reopen its file by name.
    pub fn reopen(&self) {
        if let Some(running) = &self.running {
            deliver::to_child(running.pid, Signal::HUP, &self.program);
        }
    }

    /// Starts the process as our child.
    ///
    /// # Errors
    /// When the kernel cannot create a process, or no descriptor is available.
    pub fn launch(&mut self, now: Time) -> sys::Result<OwnedFd> {
        let launched = spawn(&self.program, &self.io())?;
        self.running = Some(Running { pid: launched.pid, since: now, report_pipe: None });
        // The child has inherited this descriptor of its log file. If vsrun kept it open too, a deleted file would
        // still use disk space.
        self.child_stderr = None;
        Ok(launched.report)
    }

    fn schedule_retry(&mut self, now: Time) {
        self.retry_at = Some(now.after(self.retry_pause));
        self.retry_pause = self.retry_pause.doubled().min(RETRY_DELAY_RANGE.1);
    }

    /// Waits until the start of the log child has reached its exec or has failed.
    ///
    /// # Errors
    /// When a step of the start failed.
    pub fn await_exec(&self, report: sys::Result<OwnedFd>) -> Result<()> {
        let name = self.name.as_bytes();
        let report = report.map_err(|why| os_error_of(Problem::StartLogChild, name, why))?;
        let start = match &self.running {
            Some(running) => StartOutcome::await_end_or_kill(&report, running.pid, &self.program),
            None => StartOutcome::await_end(&report),
        };
        match start {
            StartOutcome::Done | StartOutcome::WithoutPidfile => Ok(()),
            StartOutcome::Failed(failure) => {
                Err(Error::of(Problem::LogChildFailed, name).with_arg(MessageArg::Cause(failure.error(&self.program))))
            }
            StartOutcome::Killed => Err(Error::of(Problem::LogChildKilled, name)),
        }
    }
}

/// Starts a program that is not our child: its parent exits as soon as its exec has succeeded or failed.
///
/// # Errors
/// When the kernel cannot create a process, or no descriptor is available.
#[inline(never)]
pub fn spawn_orphan(program: &ExecImage, io: &ChildIo<'_>) -> sys::Result<OwnedFd> {
    let (report, write) = fd::pipe()?;
    match process::fork()? {
        Forked::Child => {
            let failure = match spawn(program, io)
                .map(|child| StartOutcome::await_end_or_kill(&child.report, child.pid, program))
            {
                Ok(StartOutcome::Done | StartOutcome::WithoutPidfile) => {
                    let _ = fd::write_all(write.as_fd(), &[EXEC_IS_NEXT]);
                    process::exit(exit::OK)
                }
                Ok(StartOutcome::Failed(failure)) => failure,
                Ok(StartOutcome::Killed) => process::exit(exit::VSRUN_FAILED),
                Err(why) => StepFailure::new(usize::from(FORK_FAILED_INDEX), why),
            };
            report_and_exit(program, &failure, write.as_fd())
        }
        Forked::Parent(pid) => {
            drop(write);
            process::reap(pid).map(|_| report)
        }
    }
}
