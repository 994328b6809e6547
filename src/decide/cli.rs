//! The command line: from argv to a request. Each value is checked alone, and nothing is looked at or touched.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::Arg::{Long, Short, Value};

use super::account::Login;
use super::clash;
use super::environ::word;
use super::error::{Error, Result};
use super::exit::Success;
use super::options::{Managed, Options};
use super::policy::{Limit, Restart};
use super::signal::Signal;
use super::text::Clean;
use super::time::Span;

/// What the caller wants.
#[derive(Debug)]
pub enum Request {
    /// The options.
    Help,
    /// The options, for a program.
    Completion,
    /// Who we are.
    Version,
    /// Start a server.
    Run(Box<Options>),
}

/// Reads argv, the program's name first.
///
/// # Errors
/// Wrong usage, in one line that names the option.
pub fn parse(argv: Vec<OsString>) -> Result<Request> {
    // Everything after the first `--` is the command's own. No value of an option can be `--`, so the first one is it.
    let mut words = argv.into_iter().skip(1);
    let mut closed = false;
    let ours: Vec<OsString> = words
        .by_ref()
        .take_while(|word| {
            closed = word == "--";
            !closed
        })
        .collect();

    let mut options = Options::default();
    if let Some(request) = read(&mut options, &mut lexopt::Parser::from_args(ours))? {
        return Ok(request);
    }
    options.command = words.map(|word| text(word.as_bytes())).collect();
    if options.command.is_empty() {
        let missing = if closed { "no COMMAND after '--'" } else { "'-- COMMAND' is missing" };
        return Err(Error::usage(format!("{missing} (see vsrun --help)")));
    }
    clash::check(&options)?;
    Ok(Request::Run(Box::new(options)))
}

/// Reads the options up to their end, or up to the first that is a request of its own.
/// The arms stand in the order of the table of options.
fn read(options: &mut Options, parser: &mut lexopt::Parser) -> Result<Option<Request>> {
    while let Some(arg) = parser.next().map_err(wrong)? {
        match arg {
            Short('u') | Long("user") => {
                once(&mut options.user, parser, "user", Login::parse, "is not USER[:GROUP]")?;
            }
            Long("no-user-checks") => options.no_user_checks = true,
            Short('p') | Long("pidfile") => once(&mut options.pidfile, parser, "pidfile", path, EMPTY)?,
            Short('r') | Long("root") => once(&mut options.root, parser, "root", path, EMPTY)?,
            Short('w') | Long("work-dir") => once(&mut options.work_dir, parser, "work-dir", path, EMPTY)?,
            Short('b') | Long("background") => options.background = true,
            Short('f') | Long("foreground") => options.background = false,
            Short('s') | Long("syslog") => once(&mut options.syslog, parser, "syslog", path, EMPTY)?,
            Short('d') | Long("logdir") => {
                let dir = value(parser, "logdir", path, EMPTY)?;
                let keep = value(parser, "logdir", Span::parse_keep, "is not KEEP: an integer and h, d, w or m")?;
                store(&mut options.logdir, "logdir", (dir, keep))?;
            }
            Long("logger") => once(&mut options.logger, parser, "logger", words, EMPTY)?,
            Long("stdin") => options.stdin = true,
            Short('e') | Long("env") => options.env.push(value(parser, "env", assignment, "is not NAME=VALUE")?),
            Long("umask") => once(&mut options.umask, parser, "umask", octal, "is not an octal number of 0 to 777")?,
            Long("argv0") => once(&mut options.argv0, parser, "argv0", |value| Some(text(value)), EMPTY)?,
            Long("debug") => options.debug = true,
            Short('m') | Long("manager") => {
                let pidfile = value(parser, "manager", path_or_dash, EMPTY)?;
                let handler = value(parser, "manager", path_or_dash, EMPTY)?;
                store(&mut options.manager, "manager", Managed { pidfile, handler })?;
            }
            Long("restart") => once(&mut options.restart, parser, "restart", Restart::parse, WHEN)?,
            Long("success-exit") => {
                once(
                    &mut options.success_exit,
                    parser,
                    "success-exit",
                    Success::parse,
                    "is no list of statuses and signals",
                )?;
            }
            Long("restart-delay") => {
                once(
                    &mut options.restart_delay,
                    parser,
                    "restart-delay",
                    delay,
                    "is not MIN[:MAX] with MIN at most MAX",
                )?;
            }
            Long("restart-limit") => {
                once(
                    &mut options.restart_limit,
                    parser,
                    "restart-limit",
                    Limit::parse,
                    "is not N/DURATION with N of 1 to 65535",
                )?;
            }
            Long("handler-timeout") => {
                once(&mut options.handler_timeout, parser, "handler-timeout", Span::parse, DURATION)?;
            }
            Long("stop-signal") => {
                once(
                    &mut options.stop_signal,
                    parser,
                    "stop-signal",
                    stop_signal,
                    "is not a signal that ends a server",
                )?;
            }
            Long("stop-timeout") => once(&mut options.stop_timeout, parser, "stop-timeout", Span::parse, DURATION)?,
            Short('h') | Long("help") => return Ok(Some(Request::Help)),
            Long("help-completion") => return Ok(Some(Request::Completion)),
            Short('V') | Long("version") => return Ok(Some(Request::Version)),
            Value(word) => {
                let word = Clean(word.as_bytes());
                return Err(Error::usage(format!("unexpected argument '{word}': COMMAND stands after '--'")));
            }
            Short(_) | Long(_) => return Err(wrong(arg.unexpected())),
        }
    }
    Ok(None)
}

const EMPTY: &str = "is empty";
const DURATION: &str = "is not a duration: an integer and ms, s, min, h, d or w";
const WHEN: &str = "is not no, on-failure, on-abort or always";

/// Reads a value from its bytes; None when it is malformed.
type Reader<T> = fn(&[u8]) -> Option<T>;

/// Stores the value of an option that may be given once.
fn once<T>(slot: &mut Option<T>, parser: &mut lexopt::Parser, name: &str, read: Reader<T>, not: &str) -> Result<()> {
    let value = value(parser, name, read, not)?;
    store(slot, name, value)
}

fn value<T>(parser: &mut lexopt::Parser, name: &str, read: Reader<T>, not: &str) -> Result<T> {
    let bytes = bytes(parser, name)?;
    match read(&bytes) {
        Some(value) => Ok(value),
        None => Err(malformed(name, &bytes, not)),
    }
}

fn store<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice(name)),
    }
}

// Apart from the above, so that they are in the program once and not once for each type of value.

#[inline(never)]
fn bytes(parser: &mut lexopt::Parser, name: &str) -> Result<Vec<u8>> {
    match parser.value() {
        Ok(value) => Ok(value.into_vec()),
        Err(_) => Err(Error::usage(format!("option --{name}: a value is missing"))),
    }
}

#[inline(never)]
fn malformed(name: &str, value: &[u8], not: &str) -> Error {
    Error::usage(format!("option --{name}: '{}' {not}", Clean(value)))
}

#[inline(never)]
fn twice(name: &str) -> Error {
    Error::usage(format!("option --{name} is given twice"))
}

/// What lexopt found, in one harmless line.
fn wrong(error: lexopt::Error) -> Error {
    use lexopt::Error::{MissingValue, UnexpectedOption, UnexpectedValue};
    let (what, option) = match error {
        UnexpectedOption(option) => ("unknown option", option),
        UnexpectedValue { option, .. } => ("a value for an option that takes none,", option),
        MissingValue { option } => ("a value is missing for", option.unwrap_or_default()),
        // What only the parser's helpers find, which are not called here.
        lexopt::Error::UnexpectedArgument(_)
        | lexopt::Error::ParsingFailed { .. }
        | lexopt::Error::NonUnicodeValue(_)
        | lexopt::Error::Custom(_) => ("unexpected argument", String::new()),
    };
    Error::usage(format!("{what} {} (see vsrun --help)", Clean(option.as_bytes())))
}

fn text(value: &[u8]) -> CString {
    word(value.to_vec())
}

fn path(value: &[u8]) -> Option<CString> {
    (!value.is_empty()).then(|| text(value))
}

/// A path, or `-` for none.
fn path_or_dash(value: &[u8]) -> Option<Option<CString>> {
    if value == b"-" { Some(None) } else { path(value).map(Some) }
}

fn words(value: &[u8]) -> Option<Vec<CString>> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<CString> = words.map(text).collect();
    (!words.is_empty()).then_some(words)
}

fn assignment(value: &[u8]) -> Option<CString> {
    value.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).map(|_| text(value))
}

fn octal(value: &[u8]) -> Option<u32> {
    if value.is_empty() || value.len() > 4 || !value.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    let mask = value.iter().fold(0, |mask, digit| mask << 3 | u32::from(digit - b'0'));
    (mask <= 0o777).then_some(mask)
}

fn delay(value: &[u8]) -> Option<(Span, Span)> {
    let mut halves = value.splitn(2, |byte| *byte == b':');
    let min = Span::parse(halves.next()?)?;
    let max = match halves.next() {
        Some(max) => Span::parse(max)?,
        None if min == Span::ZERO => Span::ZERO,
        None => Span::secs(30).max(min),
    };
    (min <= max).then_some((min, max))
}

fn stop_signal(value: &[u8]) -> Option<Signal> {
    Signal::parse(value).filter(|signal| ![Signal::STOP, Signal::CHLD, Signal::CONT].contains(signal))
}

#[cfg(test)]
mod tests;
