//! The command line: from argv to a request. Each value is checked alone, and nothing is looked at or touched.

use alloc::boxed::Box;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use lexopt::Arg::{Long, Short, Value};

use super::account::Login;
use super::attributes::{self, Capabilities};
use super::clash;
use super::control::{self, Control, Order};
use super::endpoint;
use super::error::{Error, Result};
use super::exit::Success;
use super::options::{Managed, Options, SyslogUsage};
use super::policy::{AtExit, Limit, Restart};
use super::ready::Ready;
use super::signal::Signal;
use super::text::Clean;
use super::time::{Span, number};
use super::traps;
use super::values::{assignment, delay, octal, path, path_or_dash, size, stop_signal, text, words as words_of};
use super::word::Word;
use super::words::{Unread, Words};
use value::{attribute, once, store, value};

/// What the caller wants.
#[derive(Debug)]
pub enum Request {
    /// The options.
    Help,
    /// The options, for a program.
    Completion,
    /// Who we are.
    Version,
    /// The command line goes on in a file.
    Unread(Unread),
    /// Ask about a server, or order it about.
    Control(Control),
    /// Start a server.
    Run(Box<Options>),
}

/// Reads the command line. `at_exit` is what is to be done at the end, also when that is an error of another option.
///
/// # Errors
/// Wrong usage, in one line that names the option, and the file and line where it stands in one.
pub fn parse(words: &Words, at_exit: &mut Option<AtExit>) -> Result<Request> {
    // Everything after the first `--` is the command's own. No value of an option can be `--`, so the first one is it.
    let end = words.list.iter().position(|word| *word == c"--");
    let ours = words.list.get(..end.unwrap_or(words.list.len())).unwrap_or_default();
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(ours.iter().map(|word| OsStr::from_bytes(word.to_bytes())));
    let request = read(&mut options, &mut parser);
    *at_exit = options.at_exit;
    // How many words have been read: in the midst of a word, that word too.
    let done = ours.len() - parser.try_raw_args().map_or(0, Iterator::count);
    let there = |error: Error| error.at(&words.place(done.saturating_sub(1)));
    let all = |error: Error| error.at(&words.place(words.list.len()));
    match request.map_err(there)? {
        Some(Found::Request(request)) => return Ok(request),
        Some(Found::File(_)) if words.has_file() => {
            return Err(there(Error::usage(format_args!("option --args within a file of --args"))));
        }
        Some(Found::File(file)) => return Ok(Request::Unread(words.unread(file, option_before(ours, done), done))),
        None => {}
    }
    let command = end.map_or(&[][..], |end| words.list.get(end + 1..).unwrap_or_default());
    options.command = command.to_vec();
    request_of(options, end).map_err(all)
}

/// What these options want, `--` having stood there or not.
fn request_of(mut options: Options, end: Option<usize>) -> Result<Request> {
    if let Some(control) = Control::of(&mut options)? {
        return Ok(Request::Control(control));
    }
    if options.command.is_empty() {
        let missing = if end.is_some() { "no COMMAND after '--'" } else { "'-- COMMAND' is missing" };
        return Err(Error::usage(format_args!("{missing} (see vsrun --help)")));
    }
    options.join_sockets();
    clash::check(&options)?;
    Ok(Request::Run(Box::new(options)))
}

/// Where the option `--args` stands whose value ends before the word `done`: one word before it, or in the same.
fn option_before(words: &[Word], done: usize) -> usize {
    let last = done.saturating_sub(1);
    let joined = words.get(last).is_some_and(|word| word.to_bytes().starts_with(b"--args="));
    if joined { last } else { last.saturating_sub(1) }
}

/// What ends the reading of options before their end.
enum Found {
    /// A request of its own.
    Request(Request),
    /// `--args`, with its file.
    File(Word),
}

/// Reads the options up to their end, or to the first that is a request of its own; the arms in the table's order.
fn read(options: &mut Options, parser: &mut lexopt::Parser) -> Result<Option<Found>> {
    while let Some(arg) = parser.next().map_err(wrong)? {
        options.count += 1;
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
            Long("log-size") => once(&mut options.log_size, parser, "log-size", size, SIZE)?,
            Long("log-files") => once(&mut options.log_files, parser, "log-files", number, "is not a number")?,
            Long("logger") => once(&mut options.logger, parser, "logger", words_of, EMPTY)?,
            Long("syslog-usage") => {
                once(&mut options.syslog_usage, parser, "syslog-usage", SyslogUsage::parse, "is not no, yes or only")?;
            }
            Long("stdin") => options.stdin = true,
            Long("port") => once(&mut options.port, parser, "port", endpoint::port, endpoint::PORT)?,
            Long("bind") => once(&mut options.bind, parser, "bind", endpoint::bind, endpoint::ADDRESS)?,
            Long("listen") => {
                options.joined_at += usize::from(options.port.is_none() && options.bind.is_none());
                options.listen.push(value(parser, "listen", endpoint::listen, endpoint::LISTEN)?);
            }
            Short('e') | Long("env") => options.env.push(value(parser, "env", assignment, "is not NAME=VALUE")?),
            Long("env-dir") => once(&mut options.env_dir, parser, "env-dir", path, EMPTY)?,
            Long("clear-env") => options.clear_env = true,
            Long("umask") => once(&mut options.umask, parser, "umask", octal, "is not an octal number of 0 to 777")?,
            Long("nice") => attribute(&mut options.attributes, parser, "nice", attributes::nice, NICE)?,
            Long("oom-score-adj") => {
                attribute(&mut options.attributes, parser, "oom-score-adj", attributes::oom_score, OOM_SCORE)?;
            }
            Long("limit") => attribute(&mut options.attributes, parser, "limit", attributes::limit, LIMIT)?,
            Long("no-new-privs") => options.no_new_privs = true,
            Long("caps") => once(&mut options.caps, parser, "caps", Capabilities::parse, CAPS)?,
            Long("argv0") => once(&mut options.argv0, parser, "argv0", |value| Some(text(value)), EMPTY)?,
            Long("debug") => options.debug = true,
            Long("check") => options.check = true,
            Short('m') | Long("manager") => {
                let pidfile = value(parser, "manager", path_or_dash, EMPTY)?;
                let handler = value(parser, "manager", path_or_dash, EMPTY)?;
                store(&mut options.manager, "manager", Managed { pidfile, handler })?;
            }
            Long("init") => options.init = true,
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
            Long("restart-delay") => once(&mut options.restart_delay, parser, "restart-delay", delay, DELAY)?,
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
            Long("on-signal") => {
                options.on_signal.push(value(
                    parser,
                    "on-signal",
                    traps::parse,
                    "is not SIGNAL=ACTION for a signal that can be trapped",
                )?);
            }
            Long("group") => options.group = true,
            Long("linger") => once(&mut options.linger, parser, "linger", Span::parse, DURATION)?,
            Long("at-exit") => {
                once(&mut options.at_exit, parser, "at-exit", AtExit::parse, "is not poweroff, reboot or halt")?;
            }
            Long("ready") => {
                once(
                    &mut options.ready,
                    parser,
                    "ready",
                    Ready::parse,
                    "is not exec, notify or fd:N with N of 3 to 65535",
                )?;
            }
            Long("ready-timeout") => {
                once(&mut options.ready_timeout, parser, "ready-timeout", Span::parse, DURATION)?;
            }
            Long("watchdog") => once(&mut options.watchdog, parser, "watchdog", Span::parse_some, DURATION)?,
            Long("args") => {
                let file = value(parser, "args", path, EMPTY)?;
                return Ok(Some(Found::File(file)));
            }
            Long("status") => control(options, parser, "status", Order::Status)?,
            Long("stop") => control(options, parser, "stop", Order::Stop)?,
            Long("signal") => {
                let signal = value(parser, "signal", Signal::parse, "is not a signal")?;
                control(options, parser, "signal", Order::Signal(signal))?;
            }
            Short('h') | Long("help") => return Ok(Some(Found::Request(Request::Help))),
            Long("help-completion") => return Ok(Some(Found::Request(Request::Completion))),
            Short('V') | Long("version") => return Ok(Some(Found::Request(Request::Version))),
            Value(word) => {
                let word = Clean(word.as_bytes());
                return Err(Error::usage(format_args!("unexpected argument '{word}': COMMAND stands after '--'")));
            }
            Short(_) | Long(_) => return Err(wrong(arg.unexpected())),
        }
    }
    Ok(None)
}

const EMPTY: &str = "is empty";
const SIZE: &str = "is not a size: an integer and k, M or G";
const DELAY: &str = "is not MIN[:MAX] with MIN at most MAX";
const DURATION: &str = "is not a duration: an integer and ms, s, min, h, d or w";
const NICE: &str = "is not an integer of -20 to 19";
const OOM_SCORE: &str = "is not an integer of -1000 to 1000";
const LIMIT: &str = "is not NAME=SOFT[:HARD] with a name of prlimit(1) and SOFT at most HARD";
const CAPS: &str = "is not 'none' or a list of capabilities, without cap_";
const WHEN: &str = "is not no, on-failure, on-abort or always";

/// Reads the value that is common to the questions and orders.
fn control(options: &mut Options, parser: &mut lexopt::Parser, name: &str, order: Order) -> Result<()> {
    let pidfile = value(parser, name, path, EMPTY)?;
    store(&mut options.control, control::NAMES, (order, pidfile))
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
    Error::usage(format_args!("{what} {} (see vsrun --help)", Clean(option.as_bytes())))
}

mod value;

#[cfg(test)]
mod tests;
