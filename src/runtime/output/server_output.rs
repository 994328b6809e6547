//! Where the server's output goes: to vsrun's own standard output and error, to files, or through a pipe to a logger.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::log_child::{LogChild, spawn_orphan};
use super::logdir::{InodeAndOffset, LogDir, NewRecordsFile};
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::Time;
use crate::logic::formats::log_name::{MAX_ROTATION_NUMBER, OUTPUT_FILE, VSRUN_LOG_FILE};
use crate::logic::plan::planner::Output;
use crate::logic::plan::program::Program;
use crate::runtime::report::log::{Log, LogTarget, Priority};
use crate::runtime::report::os_error::{os_error, os_error_of};
use crate::runtime::resources::walk::PathWalk;
use crate::sys::poll::Signals;
use crate::sys::process::Pid;
use crate::sys::{self, Errno, access, clock, dir, fd};

/// Where the server's output goes. If neither field is set, the server inherits vsrun's standard output and error.
#[derive(Default)]
pub struct ServerOutput {
    /// The log directory, if the output goes to files.
    logs: Option<Box<LogDir>>,
    /// The process that reads the output from a pipe: the logger, which also gets vsrun's own records, or the rotator
    /// of the files.
    child: Option<Box<LogChild>>,
}

/// Opens the files or the pipe for the server's output, and starts no process. Returns the output, and the log for
/// vsrun's own records.
///
/// # Errors
/// When the log directory cannot be opened, the logger's program cannot be executed, or no descriptor is available.
pub fn open(output: Output) -> Result<(ServerOutput, Log)> {
    let fail = |why| os_error(Problem::MakePipe, why);
    let mut destination = ServerOutput::default();
    let place = match output {
        Output::Inherit => LogTarget::Stderr,
        Output::Files { dir, absolute_dir, log_policy, rotator } => {
            let (mut logs, records) = LogDir::open_with_records_file(dir, absolute_dir, log_policy)?;
            destination.child = rotator.map(|program| logs.add_rotator(program)).transpose().map_err(fail)?;
            destination.logs = Some(logs);
            LogTarget::File(records)
        }
        Output::Logger(program, owner) => {
            verify_logger(&program)?;
            let (pipe, write) = fd::pipe().map_err(fail)?;
            // Give the pipe to the server's user, so that the server may open it as /dev/stdout. Nothing else needs
            // that, so errors are ignored.
            if let Some((uid, gid)) = owner {
                let _ = dir::fchown(write.as_fd(), uid, gid);
            }
            destination.child = Some(LogChild::new("logger", program, pipe, None));
            LogTarget::Pipe(write)
        }
    };
    Ok((destination, Log::new(place)))
}

/// Verifies that one of the paths of the logger's program is a file that vsrun may execute.
///
/// # Errors
/// When none of the paths is such a file.
pub fn verify_logger(program: &Program) -> Result<()> {
    let mut why = None;
    for path in &program.exec_paths {
        match access::may_execute(path) {
            Ok(()) => return Ok(()),
            Err(error) => why = Some(error),
        }
    }
    let name = program.argv.first().copied().unwrap_or_default().to_bytes();
    Err(match why {
        Some(why) if program.exec_paths.len() == 1 => os_error_of(Problem::UseLogger, name, why),
        _ => Error::of(Problem::FindLogger, name),
    })
}

impl ServerOutput {
    /// True if the server inherits vsrun's standard output and error.
    pub fn is_inherited(&self) -> bool {
        self.logs.is_none() && self.child.is_none()
    }

    /// The file or pipe for the server's standard output and error. None if they are inherited.
    pub fn server_fd<'a>(&'a self, log: &'a Log) -> Option<BorrowedFd<'a>> {
        let piped = || if self.is_inherited() { None } else { Some(log.fd()) };
        self.logs.as_deref().map(LogDir::output).or_else(piped)
    }

    /// The descriptor of the log directory, if there is one.
    pub fn dir(&self) -> Option<BorrowedFd<'_>> {
        self.logs.as_deref().map(LogDir::dir)
    }

    /// Waits until the rotator has written all output so far, for half a second at most. Returns the current end of the
    /// server's log file, or zeros if there is no such file.
    pub fn drain_and_mark_end(&self) -> InodeAndOffset {
        self.drain();
        self.logs.as_deref().map_or((0, 0), LogDir::output_end_position)
    }

    /// Waits for the rotator, and opens the server's log file to read it from `mark` on. If that position is one in
    /// another file, the file is read from its beginning. None if the file cannot be opened.
    pub fn open_log_from(&self, mark: InodeAndOffset) -> Option<OwnedFd> {
        self.drain();
        self.logs.as_ref()?.open_output_at(mark).ok()
    }

    /// Waits until the rotator has written what the server has written so far, for half a second at most.
    fn drain(&self) {
        if let (Some(_), Some(writer)) = (&self.logs, &self.child) {
            writer.await_drained();
        }
    }

    /// Renames the log files and creates new ones, if the output goes to files.
    pub fn rotate(&mut self, log: &mut Log) {
        self.drain();
        self.warn_if_logs_renumbered(log);
        let Some(logs) = &mut self.logs else { return };
        let mut walk = PathWalk::new();
        let result = logs.rotate(self.child.as_deref_mut(), &mut walk);
        self.switch_log_and_record_result("rotate", result, &walk, log);
    }

    /// Reopens the log files by their names, if the output goes to files.
    pub fn reopen(&mut self, log: &mut Log) {
        self.warn_if_logs_renumbered(log);
        let Some(logs) = &mut self.logs else { return };
        let mut walk = PathWalk::new();
        let result = logs.reopen(log.fd(), self.child.as_deref_mut(), &mut walk);
        self.switch_log_and_record_result("reopen", result, &walk, log);
    }

    /// Records a warning if another program renames the log files too, with the number 1 for the newest, as logrotate
    /// does. Then vsrun, which deletes the files with the lowest numbers first, may delete the newest ones.
    fn warn_if_logs_renumbered(&self, log: &Log) {
        let Some(logs) = &self.logs else { return };
        for (of, file) in [(VSRUN_LOG_FILE, log.fd()), (OUTPUT_FILE, logs.output())] {
            if logs.is_renumbered_by_others(of, file) {
                let name = || MessageArg::Name(of.to_bytes());
                log.note(Priority::Warning, Note::ForeignNumbers, &[name(), name()]);
            }
        }
    }

    /// Records the result of a rotation or reopening, and continues vsrun's own records in the new file, if there is
    /// one. `doing` is "rotate" or "reopen".
    fn switch_log_and_record_result(
        &self,
        doing: &str,
        result: sys::Result<NewRecordsFile>,
        walk: &PathWalk,
        log: &mut Log,
    ) {
        let path = self.logs.as_deref().map_or(c"", LogDir::path).to_bytes();
        match result {
            Ok(NewRecordsFile::SameDir(None)) => {}
            Ok(NewRecordsFile::SameDir(Some(records))) => {
                if doing == "rotate" {
                    log.note(Priority::Info, Note::Renamed, &[]);
                }
                log.target = LogTarget::File(records);
            }
            Ok(NewRecordsFile::NewDir(records)) => {
                // Record the path of the new log directory in both the old and the new file. The old file may have been
                // deleted already.
                let mut new = Some(LogTarget::File(records));
                loop {
                    log.note(Priority::Notice, Note::OtherLogdir, &[MessageArg::Name(path)]);
                    match new.take() {
                        Some(new) => log.target = new,
                        None => break,
                    }
                }
            }
            Err(Errno::OVERFLOW) => {
                let number = MessageArg::Count(MAX_ROTATION_NUMBER.into());
                return log.note(Priority::Warning, Note::NumberTaken, &[number]);
            }
            Err(why) => {
                let (path, why) = (Escaped(path), walk.error_text(why));
                let message =
                    format_args!("cannot {doing} the log files in '{path}': {why}; the present files stay in use");
                return log.record_and_print_warning(message);
            }
        }
        match doing {
            "rotate" => log.note(Priority::Info, Note::Rotated, &[]),
            _ => log.note(Priority::Info, Note::Reopened, &[]),
        }
    }

    /// Starts the logger or rotator, if there is one, as a child of the supervisor.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start_log_child(&mut self) -> Result<()> {
        let Some(logger) = &mut self.child else { return Ok(()) };
        let report = logger.launch(Time(clock::monotonic_millis()));
        logger.await_exec(report)
    }

    /// Starts the logger or rotator, if there is one, when vsrun itself becomes the server. The process is an orphan,
    /// so that the server has no child that it did not start.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start_orphan_log_child(&self) -> Result<()> {
        let Some(logger) = &self.child else { return Ok(()) };
        logger.await_exec(spawn_orphan(&logger.program, &logger.io()))
    }

    /// The pid of the running logger or rotator. That process must outlive every process that writes to its pipe.
    pub fn log_child_pid(&self) -> Option<Pid> {
        Some(self.child.as_ref()?.running.as_ref()?.pid)
    }

    /// The time at which `run_due` has to be called next. None if nothing is due.
    pub fn deadline(&self) -> Option<Time> {
        let sweep = self.logs.as_deref().map(LogDir::next_sweep_time);
        let again = self.child.as_ref().and_then(|logger| logger.deadline());
        if sweep.is_none() || again.is_some_and(|again| sweep > Some(again)) { again } else { sweep }
    }

    /// Starts or continues the removal of old log files, and restarts the logger or rotator, if that is due.
    pub fn run_due(&mut self, now: Time) {
        if let Some(logs) = &mut self.logs
            && logs.next_sweep_time() <= now
        {
            logs.sweep(now);
        }
        if let Some(logger) = &mut self.child {
            logger.run_due(now);
        }
    }

    /// Must be called for each reaped child. If that is the logger or rotator, schedules a restart and returns its
    /// name.
    pub fn on_exit(&mut self, pid: Pid, now: Time) -> Option<&'static str> {
        self.child.as_mut()?.on_exit(pid, now)
    }

    /// Waits until the logger or rotator has read everything and has exited, for five seconds at most. All other
    /// descriptors of the pipe's write end must be closed before.
    pub fn close_and_await_exit(self, log: Log, signals: &Signals) {
        drop(log);
        // Dropping `logs` also closes vsrun's descriptor of the end of the pipe that the server writes to.
        drop(self.logs);
        if let Some(logger) = self.child {
            logger.await_exit(signals);
        }
    }
}
