//! vsrun's messages on standard error, and its own records. A record that cannot be written is never a failure.

use core::fmt::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, FilledPhrase, Object};
use crate::logic::base::exit;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::Timestamp;
use crate::logic::cli::names::ToolName;
use crate::logic::cli::options::SyslogUsage;
use crate::logic::plan::planner::{StepTrace, SyslogOptions};
use crate::runtime::report::os_error::os_error;
use crate::sys::datagram::DatagramSender;
use crate::sys::{clock, fd, process, terminal};

/// A record. It has at most half of PIPE_BUF bytes, so that a pipe takes it in one piece; a longer one is cut off.
type RecordBuf = ArrayText<2048>;

/// The severity of a record, with syslog's names and numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// vsrun or the server ends because of this.
    Err = 3,
    /// Something is wrong, and vsrun continues.
    Warning = 4,
    /// Normal, but significant.
    Notice = 5,
    /// Normal operation.
    Info = 6,
    /// A step of a start.
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
    Plain,
    /// The pipe to the logger.
    Pipe(OwnedFd),
    /// The file vsrun.log, where each record has a date.
    File(OwnedFd),
}

/// Which records are written to standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// All records.
    All,
    /// Errors and steps only: for a vsrun that becomes the server.
    Errors,
}

/// The writer of vsrun's own records.
pub struct Log {
    /// The main place for records.
    pub target: LogTarget,
    /// Which records are written if `target` is standard error.
    pub verbosity: Verbosity,
    /// True if records of the priorities notice and info are dropped, whatever `target` is.
    pub quiet: bool,
    /// The connection to syslog, in addition to `target` or instead of it.
    syslog: Option<Syslog>,
    /// The original standard error, if steps are recorded there and all other records go elsewhere.
    trace: Option<OwnedFd>,
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
        // A record that cannot be sent at once is lost. That is better than waiting.
        let _ = self.sender.send(line.as_bytes());
    }
}

/// The path of syslog's socket.
const SYSLOG_SOCKET: &[u8] = b"/dev/log";

impl Log {
    /// Makes a log that writes to this target.
    pub fn new(place: LogTarget) -> Self {
        Self { target: place, verbosity: Verbosity::All, quiet: false, syslog: None, trace: None, terminal: None }
    }

    /// Connects the log to syslog, in addition to the target or instead of it.
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

    /// Keeps the current standard error for records of steps, if `debug` requests that.
    ///
    /// # Errors
    /// When no descriptor is available.
    pub fn separate_trace(&mut self, debug: StepTrace) -> Result<(), Error> {
        if debug == StepTrace::Separate {
            self.trace = Some(stderr()?);
        }
        Ok(())
    }

    /// Opens standard error again if it is a terminal. The server can stop the output of a terminal that it shares, and
    /// then write(2) blocks: RWF_NOWAIT has no effect on a terminal, and O_NONBLOCK belongs to the open file
    /// description, which other processes share. If it cannot be opened, records are written only while poll(2) reports
    /// that they do not block.
    pub fn reopen_terminal(&mut self) {
        if let LogTarget::Plain = self.target {
            self.terminal = terminal::reopen(fd::standard(2));
        }
    }

    /// Writes a record with the text of `note`, whose placeholders `objects` fill, if that is possible without
    /// blocking.
    pub fn note(&self, priority: Priority, note: Note, objects: &[Object<'_>]) {
        self.record(priority, format_args!("{}", FilledPhrase(note.phrase(), objects)));
    }

    /// Writes a record, if that is possible without blocking.
    pub fn record(&self, priority: Priority, message: fmt::Arguments<'_>) {
        if self.quiet && matches!(priority, Priority::Notice | Priority::Info) {
            return;
        }
        let mut line = RecordBuf::new();
        // Records of steps are for the user who requested them, and not for the system's log.
        if let Some(syslog) = self.syslog.as_ref().filter(|_| priority != Priority::Debug) {
            syslog.send(priority, message);
            if syslog.usage == SyslogUsage::Only {
                return;
            }
        }
        let error = matches!(priority, Priority::Err | Priority::Debug);
        let apart = self.trace.as_ref().filter(|_| priority == Priority::Debug);
        let _ = match &self.target {
            LogTarget::Plain if self.verbosity == Verbosity::Errors && !error => return,
            LogTarget::File(_) => {
                let (seconds, millis) = clock::wall_time();
                let stamp = Timestamp { seconds, millis };
                write!(line, "{stamp} vsrun[{}] {}: {message}", process::own_pid(), priority.name())
            }
            LogTarget::Plain | LogTarget::Pipe(_) => {
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

    /// Records a warning in the target, and also on standard error if that is another file: the warning may be about
    /// the target itself.
    pub fn record_and_print(&self, message: fmt::Arguments<'_>) {
        self.record(Priority::Warning, message);
        if let LogTarget::File(_) = self.target {
            let mut line = RecordBuf::new();
            let _ = write!(line, "vsrun: {message}");
            line.end_with(b'\n');
            fd::write_or_drop(fd::standard(2), line.as_bytes());
        }
    }

    /// True if steps are recorded on the server's own standard error, which stays open until the exec.
    pub fn traces_to_stderr(&self) -> bool {
        self.trace.is_none() && !matches!(self.target, LogTarget::File(_))
    }

    /// Records why a start failed, unless the caller gets the error through the same descriptor.
    pub fn record_failure(&self, error: &Error) {
        let plain = matches!(self.target, LogTarget::Plain);
        if !plain {
            self.record(Priority::Err, format_args!("{}", error));
        } else if let Some(syslog) = &self.syslog {
            syslog.send(Priority::Err, format_args!("{}", error));
        }
    }

    /// The descriptor to which records are written.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.target {
            LogTarget::Plain => self.terminal.as_ref().map_or(fd::standard(2), |fd| fd.as_fd()),
            LogTarget::Pipe(fd) | LogTarget::File(fd) => fd.as_fd(),
        }
    }
}

/// Duplicates standard error, for use after descriptor 2 has become the server's output.
///
/// # Errors
/// When no descriptor is available.
pub fn stderr() -> Result<OwnedFd, Error> {
    fd::duplicate(fd::standard(2)).map_err(|why| os_error(Problem::KeepStderr, why))
}

/// Prints an error to standard error, if there is one, and returns vsrun's exit status.
pub fn report_result(outcome: Result<u8, Error>, called: Option<ToolName>) -> u8 {
    match (outcome, called) {
        (Ok(status), _) => status,
        (Err(error), None) => print_error(&error),
        (Err(error), Some(called)) => called.status(print_error_of(called.name, &error)),
    }
}

/// Prints an error to standard error, and returns its exit status. May block, because no server is running yet.
pub fn print_error(error: &Error) -> u8 {
    print_error_of(b"vsrun", error)
}

fn print_error_of(name: &[u8], error: &Error) -> u8 {
    let _ = fd::write_all(fd::standard(2), format!("{}: {error}\n", Escaped(name)).as_bytes());
    error.exit_status
}

/// Writes a text that the user has requested to standard output.
///
/// # Errors
/// When the text cannot be written completely.
pub fn print(text: &[u8]) -> Result<u8, Error> {
    fd::write_all(fd::standard(1), text).map_err(|why| os_error(Problem::WriteStdout, why))?;
    Ok(exit::OK)
}
