//! Words to people, and records to the log. A message that is lost is never a failure.

use core::fmt::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Error;
use crate::logic::base::exit;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::Timestamp;
use crate::logic::cli::options::SyslogUsage;
use crate::logic::plan::planner::{StepTrace, SyslogOptions};
use crate::sys::datagram::DatagramSender;
use crate::sys::{self, Errno, clock, fd, process, terminal};

/// A line is at most half of what a pipe takes at once; longer ones are cut.
type RecordBuf = ArrayText<2048>;

/// How grave a record is, in syslog's words and numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// It ends here.
    Err = 3,
    /// Something is wrong, and life goes on.
    Warning = 4,
    /// Worth a look.
    Notice = 5,
    /// As it should be.
    Info = 6,
    /// One step more.
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

/// The place of vsrun's own records.
pub enum LogTarget {
    /// Standard error, as it is.
    Plain,
    /// The pipe of the logger.
    Pipe(OwnedFd),
    /// vsrun.log, each with its date.
    File(OwnedFd),
}

/// Which records are wanted on standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// All.
    All,
    /// Errors and steps: of a vsrun that becomes the server.
    Errors,
}

/// Where vsrun's own records go.
pub struct Log {
    /// Their place.
    pub target: LogTarget,
    /// Which of them, where that is standard error.
    pub verbosity: Verbosity,
    /// Whether notice and info are left out, wherever the place is.
    pub quiet: bool,
    /// The system logger, beside the place or instead of it.
    syslog: Option<Syslog>,
    /// Standard error as it was, where steps are told there and all else is elsewhere.
    trace: Option<OwnedFd>,
    /// Standard error once more, where that is a terminal: writing to this description never blocks.
    terminal: Option<OwnedFd>,
}

/// The system logger: syslog(3), without its library.
struct Syslog {
    post: DatagramSender,
    tag: StaticCStr,
    usage: SyslogUsage,
}

impl Syslog {
    #[inline(never)]
    fn send(&self, priority: Priority, words: fmt::Arguments<'_>) {
        const DAEMON: u8 = 3;
        let mut line = RecordBuf::new();
        let (number, tag) = (DAEMON * 8 + priority as u8, Escaped(self.tag.to_bytes()));
        let _ = write!(line, "<{number}>{tag}[{}]: {words}", process::id());
        // A record is lost rather than waited for.
        let _ = self.post.send(line.as_bytes());
    }
}

/// Where the system logger listens.
const LOG: &[u8] = b"/dev/log";

impl Log {
    /// Records in that place.
    pub fn new(place: LogTarget) -> Self {
        Self { target: place, verbosity: Verbosity::All, quiet: false, syslog: None, trace: None, terminal: None }
    }

    /// Records go to the system logger as well, or only.
    ///
    /// # Errors
    /// When there is no socket available.
    pub fn add_syslog(&mut self, syslog: Option<SyslogOptions>) -> Result<(), Error> {
        if let Some(SyslogOptions { tag, usage }) = syslog {
            let post = DatagramSender::new(LOG)
                .map_err(|why| os_error(format_args!("cannot make a socket for syslog"), why))?;
            self.syslog = Some(Syslog { post, tag, usage });
        }
        Ok(())
    }

    /// Steps are told on what is standard error now, if that is where they belong.
    ///
    /// # Errors
    /// When there is no descriptor available.
    pub fn separate_trace(&mut self, debug: StepTrace) -> Result<(), Error> {
        if debug == StepTrace::Separate {
            self.trace = Some(stderr()?);
        }
        Ok(())
    }

    /// Opens standard error once more where it is a terminal. The server can stop the output of a terminal that it
    /// shares, and then write(2) sleeps: there RWF_NOWAIT has no effect, and O_NONBLOCK belongs to the open file, which
    /// others use too. Where it cannot be opened, records are written only while that does not block, as far as poll(2)
    /// can know.
    pub fn reopen_terminal(&mut self) {
        if let LogTarget::Plain = self.target {
            self.terminal = terminal::reopen(fd::standard(2));
        }
    }

    /// Writes a record if that can be done without waiting.
    #[inline(never)]
    pub fn record(&self, priority: Priority, words: fmt::Arguments<'_>) {
        if self.quiet && matches!(priority, Priority::Notice | Priority::Info) {
            return;
        }
        let mut line = RecordBuf::new();
        // Steps are for the user that asked for them.
        if let Some(journal) = self.syslog.as_ref().filter(|_| priority != Priority::Debug) {
            journal.send(priority, words);
            if journal.usage == SyslogUsage::Only {
                return;
            }
        }
        let error = matches!(priority, Priority::Err | Priority::Debug);
        let apart = self.trace.as_ref().filter(|_| priority == Priority::Debug);
        let _ = match &self.target {
            LogTarget::Plain if self.verbosity == Verbosity::Errors && !error => return,
            LogTarget::File(_) => {
                let (seconds, millis) = clock::wall();
                let stamp = Timestamp { seconds, millis };
                write!(line, "{stamp} vsrun[{}] {}: {words}", process::id(), priority.name())
            }
            LogTarget::Plain | LogTarget::Pipe(_) => {
                let debug = if priority == Priority::Debug { "debug: " } else { "" };
                write!(line, "vsrun: {debug}{words}")
            }
        };
        line.end_with(b'\n');
        let fd = apart.map_or(self.fd(), |fd| fd.as_fd());
        // A process on its way to the server has SIGPIPE at its default.
        if priority != Priority::Debug || fd::is_writable(fd) {
            fd::write_or_drop(fd, line.as_bytes());
        }
    }

    /// Records a warning in the place of the records, and on standard error where that is another: the place may be the
    /// trouble.
    pub fn record_twice(&self, words: fmt::Arguments<'_>) {
        self.record(Priority::Warning, words);
        if let LogTarget::File(_) = self.target {
            let mut line = RecordBuf::new();
            let _ = write!(line, "vsrun: {words}");
            line.end_with(b'\n');
            fd::write_or_drop(fd::standard(2), line.as_bytes());
        }
    }

    /// Whether steps are told where the server has its standard error: there they can be told to the end.
    pub fn is_standard_error(&self) -> bool {
        self.trace.is_none() && !matches!(self.target, LogTarget::File(_))
    }

    /// Records why a start failed, unless the caller is told in the same place.
    pub fn record_failure(&self, error: &Error) {
        let told = matches!(self.target, LogTarget::Plain);
        if !told {
            self.record(Priority::Err, format_args!("{}", error.text));
        } else if let Some(journal) = &self.syslog {
            journal.send(Priority::Err, format_args!("{}", error.text));
        }
    }

    /// The descriptor that the words are written to.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.target {
            LogTarget::Plain => self.terminal.as_ref().map_or(fd::standard(2), |fd| fd.as_fd()),
            LogTarget::Pipe(fd) | LogTarget::File(fd) => fd.as_fd(),
        }
    }
}

/// Standard error as it is now, for when it will be something else.
///
/// # Errors
/// When there is no descriptor available.
pub fn stderr() -> Result<OwnedFd, Error> {
    fd::duplicate(fd::standard(2)).map_err(|why| os_error(format_args!("cannot keep standard error"), why))
}

/// Tells the caller how it ended, on standard error, and returns the exit status.
pub fn exit_status(outcome: Result<u8, Error>) -> u8 {
    match outcome {
        Ok(status) => status,
        Err(error) => print_error(&error),
    }
}

/// Prints an error to standard error and returns its exit status. May block: no server runs yet.
pub fn print_error(error: &Error) -> u8 {
    let _ = fd::write_all(fd::standard(2), format!("vsrun: {}\n", error.text).as_bytes());
    error.code
}

/// Writes a text that was asked for to standard output.
///
/// # Errors
/// When it cannot be written: the caller wanted it.
pub fn print(text: &[u8]) -> Result<u8, Error> {
    fd::write_all(fd::standard(1), text)
        .map_err(|why| os_error(format_args!("cannot write to standard output"), why))?;
    Ok(exit::OK)
}

/// An error of the kernel with its reason in parentheses, if that is known.
#[inline(never)]
pub fn because(doing: fmt::Arguments<'_>, why: Errno, reason: &str) -> Error {
    let why = sys::errno_text(why);
    if reason.is_empty() {
        return Error::setup(format_args!("{doing}: {why}"));
    }
    Error::setup(format_args!("{doing}: {why} ({reason})"))
}

/// An error of the kernel: what we were doing, and the system's own words.
pub fn os_error(doing: fmt::Arguments<'_>, why: Errno) -> Error {
    Error::setup(format_args!("{doing}: {}", sys::errno_text(why)))
}
