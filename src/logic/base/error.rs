//! The error type: what vsrun was doing, to what, and why it failed. The text is made here, from the [`Problem`].

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::{Deref, DerefMut};

use super::duration::SpanDisplay;
use super::errno::Errno;
use super::exit::{self, Exit, ExitDisplay, StatusSet};
use super::packed::Phrase;
use super::problem::Problem;
use super::reason::Reason;
use super::signal::Signal;
use super::text::Escaped;

/// A failure that ends vsrun. It is one machine word wide, because nearly every function can return one. The heap never
/// frees, so an error owns nothing that would have to be dropped.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Error(&'static mut ErrorInner);

/// The contents of an [`Error`].
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct ErrorInner {
    /// The exit status with which vsrun exits because of this error.
    pub exit_status: u8,
    /// What has failed.
    pub problem: Problem,
    /// The values for the `%` places in the problem's text, in their order. The array is filled up with `None`.
    pub message_args: [MessageArg<'static>; 4],
    /// The prefix of the text, such as `FILE:LINE: `: where the wrong argument comes from. Empty if the text needs
    /// none.
    pub location: &'static str,
}

/// A value that a message contains in place of a `%` of its text.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum MessageArg<'a> {
    /// No value: nothing is written in place of the `%`.
    None,
    /// A path, an option or a word of the command line. It is escaped in the text.
    Name(&'a [u8]),
    /// A text that is written as it is: it has already been escaped, or needs no escaping.
    Raw(&'a str),
    /// A pid, a user id, a descriptor or another number, perhaps a negative one.
    Number(i64),
    /// The number of times that something has happened, or another number that is never negative.
    Count(u64),
    /// The errno of a system call.
    Errno(Errno),
    /// The reason for a failure, as one of the texts of [`Reason`].
    Reason(Reason),
    /// The error that has caused this one.
    Cause(Error),
    /// Why a path is not trusted. It is written in parentheses, after the errno of the failed access to it.
    PathDistrustReason(Error),
    /// A signal, written by its name, such as `SIGTERM`.
    Signal(Signal),
    /// How a process ended.
    Exit(Exit),
    /// A length of time, written as `3 min 5 s`.
    Duration(SpanDisplay),
}

impl Deref for Error {
    type Target = ErrorInner;

    fn deref(&self) -> &ErrorInner {
        self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut ErrorInner {
        self.0
    }
}

// An error is built by a chain of short calls, whose few arguments are in registers. In the caller this takes less code
// than making the text, or than building an enum with data on the stack.
impl Error {
    /// Makes an error with no values in its text. The exit status follows from the problem.
    pub fn new(problem: Problem) -> Self {
        let message_args = [MessageArg::None, MessageArg::None, MessageArg::None, MessageArg::None];
        Self(Box::leak(Box::new(ErrorInner {
            exit_status: problem.exit_status(),
            problem,
            message_args,
            location: "",
        })))
    }

    /// Makes an error about this path, option or word.
    pub fn of(problem: Problem, name: &[u8]) -> Self {
        Self::new(problem).with_name_arg(name)
    }

    /// Adds a value, for the next `%` in the text. An error has at most four values.
    pub fn with_arg(self, arg: MessageArg<'static>) -> Self {
        if let Some(place) = self.0.message_args.iter_mut().find(|place| matches!(place, MessageArg::None)) {
            *place = arg;
        }
        self
    }

    /// Adds a path, an option or a word of the command line, for the next `%` in the text.
    pub fn with_name_arg(self, name: &[u8]) -> Self {
        self.with_arg(MessageArg::Name(name.to_vec().leak()))
    }

    /// Adds a text for the next `%`, which is written as it is, without escaping.
    pub fn with_raw_arg(self, text: &str) -> Self {
        self.with_arg(MessageArg::Raw(String::from(text).leak()))
    }

    /// Adds a number, for the next `%` in the text.
    pub fn with_number_arg(self, number: i64) -> Self {
        self.with_arg(MessageArg::Number(number))
    }

    /// Adds a reason, for the next `%` in the text.
    pub fn with_reason_arg(self, reason: Reason) -> Self {
        self.with_arg(MessageArg::Reason(reason))
    }

    /// The error as text, as its [`Display`](fmt::Display) writes it.
    pub fn text(&self) -> String {
        alloc::fmt::format(format_args!("{self}"))
    }

    /// Changes the exit status.
    pub fn with_status(mut self, status: u8) -> Self {
        self.exit_status = status;
        self
    }

    /// Converts the exit status to this set: for an init script, the statuses 125 to 127 become 1.
    pub fn convert_status_to(self, statuses: StatusSet) -> Self {
        if statuses == StatusSet::InitScript && self.exit_status >= exit::VSRUN_FAILED {
            self.with_status(exit::INIT_SCRIPT_FAILED)
        } else {
            self
        }
    }

    /// Puts the place of the mistake, such as a file name and a line number, before the text.
    pub fn with_location(mut self, place: &str) -> Self {
        if !place.is_empty() {
            self.location = String::from(place).leak();
        }
        self
    }
}

/// One line that says what vsrun was doing, to what, and why it failed. It has no `vsrun:` before it and no full stop.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.location)?;
        FilledPhrase(self.problem.phrase(), &self.message_args).fmt(f)
    }
}

/// Displays a phrase with a value in place of each `%`.
pub struct FilledPhrase<'a>(pub Phrase, pub &'a [MessageArg<'a>]);

impl fmt::Display for FilledPhrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut objects = self.1.iter();
        self.0.write(f, &mut |f| objects.next().map_or(Ok(()), |object| object.fmt(f)))
    }
}

impl fmt::Display for MessageArg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Name(name) => Escaped(name).fmt(f),
            Self::Raw(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Count(count) => count.fmt(f),
            Self::Errno(errno) => errno.fmt(f),
            Self::Reason(reason) => reason.fmt(f),
            Self::Cause(error) => error.fmt(f),
            Self::PathDistrustReason(error) => write!(f, " ({error})"),
            Self::Signal(signal) => signal.fmt(f),
            Self::Exit(exit) => ExitDisplay(*exit).fmt(f),
            Self::Duration(length) => length.fmt(f),
        }
    }
}

/// The result of a function whose error ends vsrun.
pub type Result<T> = core::result::Result<T, Error>;

/// The exit statuses of ranges of problems. A range begins with the problem named in its entry, and ends before the one
/// in the next entry, in the order of the enum.
const STATUS_RANGES: [(Problem, u8); 6] = [
    (Problem::UnknownOption, exit::USAGE),
    (Problem::ToolSignal, exit::EMULATION_FAILED),
    (Problem::BlockSignals, exit::VSRUN_FAILED),
    (Problem::Restarting, exit::OK),
    (Problem::NotRunning, exit::NOT_RUNNING),
    (Problem::Unknown, exit::STATE_UNKNOWN),
];

impl Problem {
    /// vsrun's exit status for this problem.
    pub fn exit_status(self) -> u8 {
        let groups = STATUS_RANGES.iter().take_while(|(first, _)| *first as u8 <= self as u8);
        groups.last().map_or(exit::VSRUN_FAILED, |(_, status)| *status)
    }

    /// True if a start has failed because another process has locked a pidfile.
    pub fn is_pidfile_locked(self) -> bool {
        use Problem::{LockedBy, LockedByOther, LockedNotBy, LockedUnreadable, LockedWithoutPid};
        matches!(self, LockedBy | LockedByOther | LockedNotBy | LockedUnreadable | LockedWithoutPid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_every_problem_is_that_of_its_row() {
        for (problem, text) in Problem::ALL.iter().zip(Problem::TEXTS.lines()) {
            assert_eq!(Error::new(*problem).to_string(), text.replace('%', ""), "{problem:?}");
            assert!(text.matches('%').count() <= Error::new(*problem).message_args.len(), "{problem:?}");
        }
        for (reason, text) in Reason::ALL.iter().zip(Reason::TEXTS.lines()) {
            assert_eq!(reason.to_string(), text, "{reason:?}");
        }
    }

    #[test]
    fn objects_take_the_places_in_order_and_only_names_are_escaped() {
        let error = Error::of(Problem::LockedByOther, b"/a\n").with_number_arg(7).with_number_arg(8);
        assert_eq!(
            error.message_args,
            [MessageArg::Name(b"/a\n"), MessageArg::Number(7), MessageArg::Number(8), MessageArg::None]
        );
        let text = "already running: /a\\x0a is locked by pid 7, not by pid 8, which it names";
        assert_eq!(error.to_string(), text);
        let outer =
            Error::of(Problem::LogChildFailed, b"logger").with_arg(MessageArg::Cause(error)).with_location("f:3: ");
        assert_eq!(outer.to_string(), format!("f:3: logger: {text}"));
        let stopped = Error::new(Problem::StoppedBy).with_arg(MessageArg::Signal(Signal::TERM)).with_raw_arg("a\\b");
        assert_eq!(stopped.to_string(), "the start was stopped by SIGTERM: a\\b");
    }

    #[test]
    fn the_exit_status_is_that_of_the_group() {
        for (problem, status) in [
            (Problem::UnknownOption, exit::USAGE),
            (Problem::AmbiguousOption, exit::EMULATION_FAILED),
            (Problem::ToolSignal, exit::EMULATION_FAILED),
            (Problem::NamesNoPidfile, exit::USAGE),
            (Problem::Dead, exit::DEAD_WITH_PIDFILE),
            (Problem::ProbeFailed, exit::UNHEALTHY),
            (Problem::BlockSignals, exit::VSRUN_FAILED),
            (Problem::Reported, exit::VSRUN_FAILED),
            (Problem::Restarting, exit::OK),
            (Problem::PortUnchecked, exit::OK),
            (Problem::NotRunning, exit::NOT_RUNNING),
            (Problem::Unknown, exit::STATE_UNKNOWN),
        ] {
            assert_eq!(Error::new(problem).exit_status, status, "{problem:?}");
            let script = if status == exit::VSRUN_FAILED { exit::INIT_SCRIPT_FAILED } else { status };
            assert_eq!(Error::new(problem).convert_status_to(StatusSet::InitScript).exit_status, script, "{problem:?}");
        }
    }
}
