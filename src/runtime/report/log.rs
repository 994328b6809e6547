//! vsrun's own log records, and its messages on standard error. A record that cannot be written is dropped, without an
//! error.

use core::fmt::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, FilledPhrase, MessageArg};
use crate::logic::base::exit;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::Timestamp;
use crate::logic::cli::emulated_tools::ToolName;
use crate::logic::cli::options::SyslogUsage;
use crate::logic::plan::planner::{StepTrace, SyslogOptions};
use crate::runtime::report::os_error::os_error;
use crate::sys::datagram::DatagramSender;
use crate::sys::{clock, fd, process, terminal};

/// A buffer for one log record. It is smaller than PIPE_BUF bytes, so that a write to a pipe is atomic; a longer record
/// is cut off.
type RecordBuf = ArrayText<2048>;

/// The severity of a record, with syslog's names and numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// An error because of which vsrun or the server exits.
    Err = 3,
    /// A problem despite which vsrun continues.
    Warning = 4,
    /// A normal but significant event.
    Notice = 5,
    /// A message about normal operation.
    Info = 6,
    /// A step before an exec, recorded with `--debug`.
    Debug = 7,
}

impl Priority {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Err => "err",
        }
    }
}

/// The main place to which vsrun's own records are written.
pub enum LogTarget {
    /// Standard error.
    Stderr,
    /// The pipe to the logger.
    Pipe(OwnedFd),
    /// The file vsrun.log, where each record has a date.
    File(OwnedFd),
}

/// Which records are written to standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StderrVerbosity {
    /// All records.
    All,
    /// Only errors and steps. This is used if no supervisor stays after the start, and for some emulated tools.
    ErrorsAndSteps,
}

/// The writer of vsrun's own log records.
pub struct Log {
    /// The main place to which records are written.
    pub target: LogTarget,
    /// Which records are written if `target` is standard error.
    pub stderr_verbosity: StderrVerbosity,
    /// True if records of the priorities notice and info are dropped, whatever `target` is.
    pub quiet: bool,
    /// The connection to syslog, in addition to `target` or instead of it.
    syslog: Option<Syslog>,
    /// A duplicate of the original standard error for the records of steps, if vsrun's other records go to syslog.
    stderr_for_steps: Option<OwnedFd>,
    /// Standard error opened a second time, if it is a terminal. Writing to this open file description never blocks.
    terminal: Option<OwnedFd>,
}

/// A connection to the socket of syslog, without syslog(3) of the C library.
struct Syslog {
    sender: DatagramSender,
    tag: StaticCStr,
    usage: SyslogUsage,
}

impl Syslog {
    fn send(&self, priority: Priority, message: fmt::Arguments<'_>) {
        const FACILITY_DAEMON: u8 = 3;
        let mut line = RecordBuf::new();
        let (number, tag) = (FACILITY_DAEMON * 8 + priority as u8, Escaped(self.tag.to_bytes()));
        let _ = write!(line, "<{number}>{tag}[{}]: {message}", process::own_pid());
        // A record that syslog does not accept at once is lost. That is better than waiting.
        let _ = self.sender.send(line.as_bytes());
    }
}

/// The path of syslog's socket.
const SYSLOG_SOCKET: &[u8] = b"/dev/log";

impl Log {
    /// Makes a log that writes to this target.
    pub fn new(place: LogTarget) -> Self {
        Self {
            target: place,
            stderr_verbosity: StderrVerbosity::All,
            quiet: false,
            syslog: None,
            stderr_for_steps: None,
            terminal: None,
        }
    }

    /// Connects the log to syslog, in addition to the target or instead of it, if options for syslog are given.
    ///
    /// # Errors
    /// When no socket is available.
    pub fn add_syslog(&mut self, syslog: Option<SyslogOptions>) -> Result<(), Error> {
        if let Some(SyslogOptions { tag, usage }) = syslog {
            let sender = DatagramSender::new(SYSLOG_SOCKET).map_err(|why| os_error(Problem::SyslogSocket, why))?;
            self.syslog = Some(Syslog { sender, tag, usage });
        }
        Ok(())
    }

    /// Duplicates the current standard error for the records of steps, if `debug` requests that.
    ///
    /// # Errors
    /// When no descriptor is available.
    pub fn keep_stderr_for_steps(&mut self, debug: StepTrace) -> Result<(), Error> {
        if debug == StepTrace::ToStderr {
            self.stderr_for_steps = Some(duplicate_stderr()?);
        }
        Ok(())
    }

    /// Opens standard error a second time if it is a terminal. The server can stop the output of a terminal that it
    /// shares, and then write(2) blocks: RWF_NOWAIT has no effect on a terminal, and O_NONBLOCK belongs to the open
    /// file description, which other processes share. If the terminal cannot be opened, records are written only while
    /// poll(2) reports that they do not block.
    pub fn reopen_terminal(&mut self) {
        if let LogTarget::Stderr = self.target {
            self.terminal = terminal::reopen_nonblocking(fd::standard(2));
        }
    }

    /// Writes a record with the text of `note`, in which `objects` replace the placeholders. Drops the record if
    /// writing would block.
    pub fn note(&self, priority: Priority, note: Note, objects: &[MessageArg<'_>]) {
        self.record(priority, format_args!("{}", FilledPhrase(note.phrase(), objects)));
    }

    /// Writes a record, unless its priority is excluded. Drops it if writing would block.
    pub fn record(&self, priority: Priority, message: fmt::Arguments<'_>) {
        if self.quiet && matches!(priority, Priority::Notice | Priority::Info) {
            return;
        }
        let mut line = RecordBuf::new();
        // Records of steps do not go to syslog: they are for the user who requested them with `--debug`.
        if let Some(syslog) = self.syslog.as_ref().filter(|_| priority != Priority::Debug) {
            syslog.send(priority, message);
            if syslog.usage == SyslogUsage::Only {
                return;
            }
        }
        let error = matches!(priority, Priority::Err | Priority::Debug);
        let apart = self.stderr_for_steps.as_ref().filter(|_| priority == Priority::Debug);
        let _ = match &self.target {
            LogTarget::Stderr if self.stderr_verbosity == StderrVerbosity::ErrorsAndSteps && !error => return,
            LogTarget::File(_) => {
                let (seconds, millis) = clock::wall_secs_and_millis();
                let stamp = Timestamp { seconds, millis };
                write!(line, "{stamp} vsrun[{}] {}: {message}", process::own_pid(), priority.name())
            }
            LogTarget::Stderr | LogTarget::Pipe(_) => {
                let debug = if priority == Priority::Debug { "debug: " } else { "" };
                write!(line, "vsrun: {debug}{message}")
            }
        };
        line.end_with(b'\n');
        let fd = apart.map_or(self.fd(), |fd| fd.as_fd());
        // Debug records are written in the child that becomes the server. SIGPIPE has its default action there, so a
        // write to a closed pipe would kill the child.
        if priority != Priority::Debug || fd::is_writable(fd) {
            fd::write_or_drop(fd, line.as_bytes());
        }
    }

    /// Records a warning. If vsrun's records go to a file, also prints the warning to standard error, because it may be
    /// about that file.
    pub fn record_and_print_warning(&self, message: fmt::Arguments<'_>) {
        self.record(Priority::Warning, message);
        if let LogTarget::File(_) = self.target {
            let mut line = RecordBuf::new();
            let _ = write!(line, "vsrun: {message}");
            line.end_with(b'\n');
            fd::write_or_drop(fd::standard(2), line.as_bytes());
        }
    }

    /// True if the records of steps go where the server's standard error goes. Then the process that becomes
    /// the server can write them to its standard error after it has closed the descriptors of the log.
    pub fn traces_to_server_stderr(&self) -> bool {
        self.stderr_for_steps.is_none() && !matches!(self.target, LogTarget::File(_))
    }

    /// Records why a start failed. Writes nothing to standard error, where the error is printed in any case.
    pub fn record_failure(&self, error: &Error) {
        let plain = matches!(self.target, LogTarget::Stderr);
        if !plain {
            self.record(Priority::Err, format_args!("{}", error));
        } else if let Some(syslog) = &self.syslog {
            syslog.send(Priority::Err, format_args!("{}", error));
        }
    }

    /// The descriptor of `target`, to which records are written.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.target {
            LogTarget::Stderr => self.terminal.as_ref().map_or(fd::standard(2), |fd| fd.as_fd()),
            LogTarget::Pipe(fd) | LogTarget::File(fd) => fd.as_fd(),
        }
    }
}

/// Duplicates standard error, for use after descriptor 2 has become the server's output.
///
/// # Errors
/// When no descriptor is available.
pub fn duplicate_stderr() -> Result<OwnedFd, Error> {
    fd::duplicate(fd::standard(2)).map_err(|why| os_error(Problem::KeepStderr, why))
}

/// Returns vsrun's exit status for this outcome, after printing the error to standard error if the outcome is an error.
/// `called` is the other tool by whose name vsrun was called.
pub fn report_result(outcome: Result<u8, Error>, called: Option<ToolName>) -> u8 {
    match (outcome, called) {
        (Ok(status), _) => status,
        (Err(error), None) => print_error(&error),
        (Err(error), Some(called)) => called.convert_status(print_error_of(called.name, &error)),
    }
}

/// Prints an error to standard error, and returns its exit status. The write may block, which is harmless while no
/// server is running.
pub fn print_error(error: &Error) -> u8 {
    print_error_of(b"vsrun", error)
}

fn print_error_of(program_name: &[u8], error: &Error) -> u8 {
    let _ = fd::write_all(fd::standard(2), format!("{}: {error}\n", Escaped(program_name)).as_bytes());
    error.exit_status
}

/// Writes to standard output, for an option like `--help`. Returns exit status 0.
///
/// # Errors
/// When the text cannot be written completely.
pub fn print_to_stdout(text: &[u8]) -> Result<u8, Error> {
    fd::write_all(fd::standard(1), text).map_err(|why| os_error(Problem::WriteStdout, why))?;
    Ok(exit::OK)
}
