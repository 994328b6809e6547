//! The crash handler: a program that vsrun starts after an unexpected exit of the server. Its environment describes the
//! exit.

use core::ffi::CStr;
use core::fmt::{Display, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::exit_watch::ExitWatch;
use super::handler_output::HandlerOutput;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit::Exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::{ArrayText, split_byte};
use crate::logic::base::time::Span;
use crate::logic::formats::memory_events;
use crate::logic::plan::program::Program;
use crate::runtime::report::os_error::os_error_of;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::{ErrorText, StartOutcome};
use crate::runtime::start::spawn::spawn;
use crate::sys::process::{Pid, ResourceUsage};
use crate::sys::{self, access, dir};

/// An environment variable of the handler, as `NAME=VALUE`. The longest is `VSRUN_SERVER_EXPLAIN=dumped core with
/// signal 64`.
type EnvVariable = ArrayText<64>;
const VARIABLE_COUNT: usize = 12;

/// The crash handler, prepared when vsrun starts and spawned after each unexpected exit of the server.
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct CrashHandler {
    running_pid_and_report: Option<(Pid, OwnedFd)>,
    /// The file with the kernel's count of out-of-memory kills, and the count when this run of the server began.
    oom_file_and_start_count: Option<(OwnedFd, u64)>,
    /// Shows the exit of the running handler, even if a tracer hides it.
    pub exit_watch: ExitWatch,
    program: ExecImage,
    /// The pipe to which the running handler writes.
    pub output: HandlerOutput,
}

/// What the handler's environment says about an exit of the server.
#[derive(Clone, Copy)]
pub struct CrashReport {
    /// How the server exited.
    pub exit: Exit,
    /// The reason of the exit, such as `oom`, if the exit status does not show it.
    pub reason: Option<&'static str>,
    /// The server's pid.
    pub pid: Pid,
    /// How long the server ran.
    pub uptime: Span,
    /// The number of restarts before this exit.
    pub restarts: u64,
    /// The resources that the server used.
    pub usage: ResourceUsage,
}

impl CrashHandler {
    /// Prepares a handler. Checks now that its file can be executed: at the first crash an error would come too late.
    ///
    /// # Errors
    /// When the handler cannot be executed.
    #[inline(never)]
    pub fn new(program: Box<Program>) -> Result<Self> {
        if let Some(path) = program.exec_paths.first() {
            let fail = |why| os_error_of(Problem::ExecuteHandler, path.to_bytes(), why);
            if !dir::stat_path(path).map_err(fail)?.regular {
                return Err(Error::of(Problem::ExecuteHandler, path.to_bytes()).with_reason_arg(Reason::NotRegular));
            }
            access::may_execute(path).map_err(fail)?;
        }
        let program = ExecImage::with_slots(program, VARIABLE_COUNT, 64);
        let (exit_watch, output) = (ExitWatch::default(), HandlerOutput::default());
        Ok(Self {
            program,
            running_pid_and_report: None,
            exit_watch,
            output,
            oom_file_and_start_count: open_oom_kill_counter().map(|file| (file, 0)),
        })
    }

    /// Sets the file from which the count of out-of-memory kills is read: `memory.events` of the server's own control
    /// group.
    pub fn set_oom_kill_counter(&mut self, memory_events: OwnedFd) {
        self.oom_file_and_start_count = Some((memory_events, 0));
    }

    /// Called when a run of the server begins: stores the current count of out-of-memory kills.
    pub fn store_oom_kill_count(&mut self) {
        if let Some((file, before)) = &mut self.oom_file_and_start_count {
            *before = read_and_parse(file, memory_events::oom_kill_count).unwrap_or(u64::MAX);
        }
    }

    /// Starts the handler with `report` in its environment and `input` as its standard input.
    ///
    /// # Errors
    /// When the kernel refuses a pipe or a process.
    #[inline(never)]
    pub fn spawn(&mut self, mut report: CrashReport, input: Option<BorrowedFd<'_>>) -> sys::Result<()> {
        if let Some((file, before)) = &self.oom_file_and_start_count
            && read_and_parse(file, memory_events::oom_kill_count) > Some(*before)
        {
            report.reason = report.reason.or(Some("oom"));
        }
        for slot in 0..VARIABLE_COUNT {
            self.program.env.set_slot(slot, format_variable(slot, &report).as_bytes());
        }
        let pipe = self.output.open_pipe()?;
        let output = Some(pipe.as_fd());
        let launched = spawn(&self.program, &ChildIo { input, output, error: output, ..ChildIo::default() })?;
        self.exit_watch = ExitWatch::new(launched.pid);
        self.running_pid_and_report = Some((launched.pid, launched.report));
        Ok(())
    }

    /// The pid of the running handler. None if it does not run.
    pub fn pid(&self) -> Option<Pid> {
        self.running_pid_and_report.as_ref().map(|(pid, _)| *pid)
    }

    /// Called when the handler has been reaped. If its file could not be executed, appends the reason to the text, in
    /// parentheses.
    #[inline(never)]
    pub fn on_exit(&mut self, exec_error: &mut ErrorText) {
        let Some((_, report)) = self.running_pid_and_report.take() else { return };
        self.exit_watch = ExitWatch::default();
        if let StartOutcome::Failed(failure) = StartOutcome::await_end(&report) {
            let _ = exec_error.write_str(" (");
            let _ = failure.write(&self.program, exec_error);
            let _ = exec_error.write_str(")");
        }
    }
}

/// Opens the file with the count of out-of-memory kills in vsrun's own control group. None if it cannot be read.
fn open_oom_kill_counter() -> Option<OwnedFd> {
    let files = read_and_parse(&dir::open_readonly(c"/proc/self/cgroup").ok()?, |text| {
        Some(memory_events::oom_count_paths(text))
    })?;
    files.iter().find_map(|path| {
        let file = dir::open_readonly(CStr::from_bytes_with_nul(path).ok()?).ok()?;
        read_and_parse(&file, memory_events::oom_kill_count).map(|_| file)
    })
}

/// Reads the first 4096 bytes of a file, and parses them. None if that fails.
fn read_and_parse<T>(file: &OwnedFd, parse: fn(&[u8]) -> Option<T>) -> Option<T> {
    let mut buffer = [0; 4096];
    let count = dir::pread_start(file.as_fd(), &mut buffer).ok()?;
    parse(buffer.get(..count)?)
}

/// The names of the handler's environment variables, separated by commas, without their prefix `VSRUN_SERVER_`.
const VARIABLE_NAMES: &[u8] =
    b"UPTIME,EXITED,EXITSTATUS,TERMSIG,COREDUMP,EXPLAIN,PID,RESTARTS,SIGNAME,MAXRSS_KB,CPU_MS,REASON";

/// Returns the variable whose name has this index in `VARIABLE_NAMES`, as `NAME=VALUE`. Empty if the variable stays
/// unset.
#[inline(never)]
fn format_variable(index: usize, report: &CrashReport) -> EnvVariable {
    let mut text = EnvVariable::new();
    let exit = report.exit;
    // An exit sets neither TERMSIG (index 3) nor SIGNAME (8), and a signal does not set EXITSTATUS (2). `plain` is the
    // value of VSRUN_SERVER_REASON if no other reason is known.
    let (number, unset, core, plain) = match exit {
        Exit::Code(code) => (code, [3, 8], false, "exit"),
        Exit::Signal { signal, core } => (signal.number(), [2, 2], core, if core { "core" } else { "signal" }),
    };
    if unset.contains(&index) {
        return text;
    }
    let signal = exit.signal();
    let words: Option<&dyn Display> = match index {
        5 => Some(&exit),
        8 => signal.as_ref().map(|signal| signal as &dyn Display),
        11 => Some(report.reason.as_ref().unwrap_or(&plain)),
        _ => None,
    };
    let number: u64 = match index {
        0 => report.uptime.0 / 1000,
        1 => signal.is_none().into(),
        4 => core.into(),
        6 => u64::try_from(report.pid.number()).unwrap_or(0),
        7 => report.restarts,
        9 => report.usage.max_rss_kb,
        10 => report.usage.cpu_ms,
        _ => number.into(),
    };
    text.push(b"VSRUN_SERVER_");
    text.push(split_byte(VARIABLE_NAMES, b',').nth(index).unwrap_or_default());
    let _ = write!(text, "={}", words.unwrap_or(&number));
    text
}
