//! Words to people, and records to the log. A message that is lost is never a failure.

use core::fmt::{self, Write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::decide::error::Error;
use crate::decide::exit;
use crate::decide::text::Text;
use crate::decide::time::Stamp;
use crate::sys::{self, clock, fd, process};

/// A line is at most half of what a pipe takes at once; longer ones are cut.
type Line = Text<2048>;

/// How grave a record is, in syslog's words.
#[derive(Clone, Copy)]
pub enum Priority {
    /// One step more.
    Debug,
    /// As it should be.
    Info,
    /// Worth a look.
    Notice,
    /// Something is wrong, and life goes on.
    Warning,
    /// It ends here.
    Err,
}

impl Priority {
    fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Err => "err",
        }
    }
}

/// Where vsrun's own records go.
pub enum Voice {
    /// To standard error, as it is.
    Plain,
    /// To the pipe of the logger.
    Pipe(OwnedFd),
    /// To vsrun.log, each with its date.
    File(OwnedFd),
}

impl Voice {
    /// Writes a record if that can be done without waiting.
    pub fn say(&self, priority: Priority, words: fmt::Arguments<'_>) {
        let mut line = Line::new();
        let _ = match self {
            Self::File(_) => {
                let (seconds, millis) = clock::wall();
                let stamp = Stamp { seconds, millis };
                write!(line, "{stamp} vsrun[{}] {}: {words}", process::id(), priority.word())
            }
            Self::Plain | Self::Pipe(_) => match priority {
                Priority::Debug => write!(line, "vsrun: debug: {words}"),
                Priority::Info | Priority::Notice | Priority::Warning | Priority::Err => write!(line, "vsrun: {words}"),
            },
        };
        line.end_with(b'\n');
        fd::write_or_lose(self.fd(), line.as_bytes());
    }

    /// The descriptor that the words are written to.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain => fd::standard(2),
            Self::Pipe(fd) | Self::File(fd) => fd.as_fd(),
        }
    }
}

/// Tells the caller how it ended, on standard error, and answers the exit status.
pub fn outcome(outcome: Result<u8, Error>) -> u8 {
    match outcome {
        Ok(status) => status,
        Err(error) => complain(&error),
    }
}

/// Tells the caller an error, on standard error, and answers its exit status. This one may wait: nobody is served yet.
pub fn complain(error: &Error) -> u8 {
    let _ = fd::write_all(fd::standard(2), format!("vsrun: {}\n", error.text).as_bytes());
    error.code
}

/// Writes a text that was asked for to standard output.
///
/// # Errors
/// When it cannot be written: the caller wanted it.
pub fn out(text: &str) -> Result<u8, Error> {
    fd::write_all(fd::standard(1), text.as_bytes())
        .map_err(|why| failed(format_args!("cannot write to standard output"), &why))?;
    Ok(exit::OK)
}

/// An error of the kernel: what we were doing, and the system's own words.
pub fn failed(doing: fmt::Arguments<'_>, why: &io::Error) -> Error {
    Error::refused(format!("{doing}: {}", sys::words(why)))
}
