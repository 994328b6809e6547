//! The command line: from argv to a request. Each value is checked alone, and nothing is looked at or touched.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::Arg::Value;

use super::account::Login;
use super::attributes::{self, Capabilities, are_rivals};
use super::control::{Control, Order};
use super::error::{Error, Result};
use super::flags::Id;
use super::hints;
use super::options::{Managed, Options, SyslogUsage};
use super::policy::{AtExit, Limit, Restart};
use super::probe::{self, Probe, ProbeRequest};
use super::signal::Signal;
use super::text::{Clean, parts};
use super::time::{Span, number};
use super::values::{assignment, delay, is_name, octal, path_or_dash, size, stop_signal, text, words as words_of};
use super::word::Word;
use super::words::{Unread, Words};
use super::{cgroup, clash, endpoint, exit::Success, mounts::Mounts, ready::Ready, traps};
use table::Row;

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
    /// Try a probe once.
    Probe(ProbeRequest),
    /// Start a server.
    Run,
}

/// Reads the command line. `at_exit` is what is to be done at the end, also when that is an error of another option.
///
/// # Errors
/// Wrong usage, in one line that names the option, and the file and line where it stands in one.
#[inline(never)]
pub fn parse(words: &Words, options: &mut Options, at_exit: &mut Option<AtExit>) -> Result<Request> {
    // Everything after the first `--` is the command's own. No value of an option can be `--`, so the first one is it.
    let end = words.list.iter().position(|word| *word == c"--");
    let ours = words.list.get(..end.unwrap_or(words.list.len())).unwrap_or_default();
    let mut parser = lexopt::Parser::from_args(ours.iter().map(|word| OsStr::from_bytes(word.to_bytes())));
    let request = read(options, &mut parser);
    // How many words have been read: in the midst of a word, that word too.
    let done = ours.len() - parser.try_raw_args().map_or(0, |rest| rest.as_slice().len());
    // PID 1 must not exit for a wrong word before this option either.
    while request.is_err() && read(options, &mut parser).is_err() {}
    *at_exit = options.at_exit.filter(|_| !options.has(Id::Check));
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
fn request_of(options: &mut Options, end: Option<usize>) -> Result<Request> {
    if let Some(control) = Control::of(options)? {
        return Ok(Request::Control(control));
    }
    if let Some(request) = ProbeRequest::of(options)? {
        return Ok(Request::Probe(request));
    }
    if options.command.is_empty() {
        let missing = if end.is_some() { "no COMMAND after '--'" } else { "'-- COMMAND' is missing" };
        return Err(Error::usage(format_args!("{missing} (see vsrun --help)")));
    }
    options.join_sockets();
    clash::check(options)?;
    Ok(Request::Run)
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

/// Reads the options up to their end, or to the first that is a request of its own.
#[inline(never)]
fn read(options: &mut Options, parser: &mut lexopt::Parser) -> Result<Option<Found>> {
    while let Some(arg) = parser.next().map_err(wrong)? {
        options.count += 1;
        if let Value(word) = arg {
            let word = Clean(word.as_bytes());
            let what = if options.control.is_empty() { "COMMAND stands after '--'" } else { hints::ONE_PIDFILE };
            return Err(Error::usage(format_args!("unexpected argument '{word}': {what}")));
        }
        let Some(row) = Row::find(&arg) else { return Err(unknown(arg)) };
        let mut values = [Vec::new(), Vec::new()];
        for (at, value) in values.iter_mut().enumerate().take(row.count()) {
            let Ok(given) = parser.value() else { return Err(row.wrong(&hints::missing(&row, at))) };
            *value = given.into_vec();
            if value.is_empty() && row.id != Id::Argv0 {
                return Err(row.wrong(b"'' is empty"));
            }
        }
        if options.given.add(row.id) && !row.repeatable {
            return Err(Error::usage(format_args!("option --{} is given twice", Clean(row.name))));
        }
        let [value, second] = &values;
        let malformed = if row.id == Id::Logdir { second } else { value };
        let not = take(options, &row, value, second);
        if not != FINE {
            return Err(row.wrong(&hints::value(&row, malformed, not)));
        }
        if let Some(request) = request(row.id, value) {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// What ends the reading, if this option does.
fn request(id: Id, value: &[u8]) -> Option<Found> {
    if id == Id::Args {
        return Some(Found::File(text(value)));
    }
    if id == Id::Help {
        return Some(Found::Request(Request::Help));
    }
    if id == Id::HelpCompletion {
        return Some(Found::Request(Request::Completion));
    }
    (id == Id::Version).then_some(Found::Request(Request::Version))
}

/// What is wrong with a value: nothing.
const FINE: &str = "";
/// It is none of the option's choices.
const CHOICE: &str = "?";

/// Takes the values of one option, and says what is wrong with them. The arms stand in the order of the table.
#[inline(never)]
fn take(options: &mut Options, row: &Row, value: &[u8], second: &[u8]) -> &'static str {
    let word = || Some(text(value));
    match row.id {
        Id::User => return put(&mut options.user, Login::parse(value), "is not USER[:GROUP]"),
        Id::Pidfile => options.pidfile = word(),
        Id::Root => options.root = word(),
        Id::WorkDir => options.work_dir = word(),
        Id::Quiet => options.quiet = Some(true),
        Id::NoQuiet => options.quiet = Some(false),
        Id::Background => options.background = true,
        Id::Foreground => options.background = false,
        Id::Syslog => options.syslog = word(),
        Id::Logdir => {
            let keep = Span::parse_keep(second).map(|keep| (text(value), keep));
            return put(&mut options.logdir, keep, "is not KEEP: an integer and h, d, w or m");
        }
        Id::LogSize => return put(&mut options.log_size, size(value), "is not a size: an integer and k, M or G"),
        Id::LogFiles => return put(&mut options.log_files, number(value), "is not a number"),
        Id::Logger => return put(&mut options.logger, words_of(value), "is empty"),
        Id::SyslogUsage => {
            const USAGES: [SyslogUsage; 3] = [SyslogUsage::No, SyslogUsage::Yes, SyslogUsage::Only];
            return put(&mut options.syslog_usage, row.choose(value, &USAGES), CHOICE);
        }
        Id::Port => return put(&mut options.port, endpoint::port(value), endpoint::PORT),
        Id::Bind => return put(&mut options.bind, endpoint::bind(value), endpoint::ADDRESS),
        Id::Listen => {
            options.joined_at += usize::from(options.port.is_none() && options.bind.is_none());
            return push(&mut options.listen, endpoint::listen(value), endpoint::LISTEN);
        }
        Id::Env => return push(&mut options.env, assignment(value), "is not NAME=VALUE"),
        Id::EnvDir => options.env_dir = word(),
        Id::EnvFile => options.env_files.extend(word()),
        Id::FileEnv => {
            for name in parts(value, b',') {
                if !is_name(name) || options.file_env.iter().any(|other| other.to_bytes() == name) {
                    return "is not NAME[,NAME]... of different names without '='";
                }
                options.file_env.push(text(name));
            }
        }
        Id::Umask => return put(&mut options.umask, octal(value), "is not an octal number of 0 to 777"),
        Id::Nice => return push(&mut options.attributes, attributes::nice(value), "is not an integer of -20 to 19"),
        Id::OomScoreAdj => {
            return push(&mut options.attributes, attributes::oom_score(value), "is not an integer of -1000 to 1000");
        }
        Id::Limit => {
            let limit = attributes::limit(value);
            if limit.is_some_and(|limit| options.attributes.iter().any(|other| are_rivals(other, &limit))) {
                return "is given twice";
            }
            return push(&mut options.attributes, limit, LIMIT);
        }
        Id::Caps => return put(&mut options.caps, Capabilities::parse(value), CAPS),
        Id::Ro | Id::Rox | Id::Rw | Id::Rwx | Id::BindTcp | Id::ConnectTcp | Id::Scope => {
            return options.confine.take(row.id, value);
        }
        Id::Cgroup => options.cgroup = word(),
        Id::CgroupSet => return push(&mut options.cgroup_set, cgroup::setting(value), "is not FILE=VALUE"),
        Id::Argv0 => options.argv0 = word(),
        Id::Manager => {
            options.manager = Some(Managed { pidfile: path_or_dash(value), handler: path_or_dash(second) });
        }
        Id::Restart => {
            const ENDS: [Restart; 4] = [Restart::No, Restart::OnFailure, Restart::OnAbort, Restart::Always];
            return put(&mut options.restart, row.choose(value, &ENDS), CHOICE);
        }
        Id::SuccessExit => {
            return put(&mut options.success_exit, Success::parse(value), "is no list of statuses and signals");
        }
        Id::RestartDelay => {
            return put(&mut options.restart_delay, delay(value), "is not MIN[:MAX] with MIN at most MAX");
        }
        Id::RestartLimit => {
            return put(&mut options.restart_limit, Limit::parse(value), "is not N/DURATION with N of 1 to 65535");
        }
        Id::HandlerTimeout => return put(&mut options.handler_timeout, Span::parse(value), DURATION),
        Id::StopSignal => {
            return put(&mut options.stop_signal, stop_signal(value), "is not a signal that ends a server");
        }
        Id::StopTimeout => return put(&mut options.stop_timeout, Span::parse(value), DURATION),
        Id::OnSignal => return push(&mut options.on_signal, traps::parse(value), TRAP),
        Id::Linger => return put(&mut options.linger, Span::parse(value), DURATION),
        Id::AtExit => {
            const ENDS: [AtExit; 3] = [AtExit::Poweroff, AtExit::Reboot, AtExit::Halt];
            return put(&mut options.at_exit, row.choose(value, &ENDS), CHOICE);
        }
        Id::Mount => return put(&mut options.mounts, Mounts::parse(value), MOUNTS),
        Id::Ready => return put(&mut options.ready, Ready::parse(value), READY),
        Id::ReadyTimeout => return put(&mut options.ready_timeout, Span::parse(value), DURATION),
        Id::Watchdog => return put(&mut options.watchdog, Span::parse_some(value), DURATION),
        Id::Status => options.control.push((Order::Status, text(value))),
        Id::Stop => options.control.push((Order::Stop, text(value))),
        Id::Signal => {
            let order = Signal::parse(value).map(|signal| (Order::Signal(signal), text(second)));
            return push(&mut options.control, order, "is not a signal");
        }
        Id::Probe => return put(&mut options.probe, Probe::parse(value).map(|_| text(value)), probe::MALFORMED),
        Id::ProbeTimeout => return put(&mut options.probe_timeout, Span::parse_some(value), DURATION),
        // That they were given is all there is to them.
        Id::NoUserChecks
        | Id::Stdin
        | Id::ClearEnv
        | Id::Expand
        | Id::NoNewPrivs
        | Id::Debug
        | Id::Check
        | Id::Init
        | Id::Group => {}
        // They end the reading.
        Id::Args | Id::Help | Id::HelpCompletion | Id::Version => {}
    }
    FINE
}

/// What is wrong with a malformed duration.
pub const DURATION: &str = "is not a duration: an integer and ms, s, min, h, d or w";
const LIMIT: &str = "is not NAME=SOFT[:HARD] with a name of prlimit(1) and SOFT at most HARD";
const CAPS: &str = "is not 'none' or a list of capabilities, without cap_";
const TRAP: &str = "is not SIGNAL=ACTION for a signal that can be trapped";
const MOUNTS: &str = "is not a list of proc, sys, dev, run, tmp and cgroup";
const READY: &str = "is not exec, notify or fd:N with N of 3 to 65535";

/// Stores a value that was read. None: it is malformed.
fn put<T>(slot: &mut Option<T>, value: Option<T>, not: &'static str) -> &'static str {
    let not = if value.is_some() { FINE } else { not };
    *slot = value;
    not
}

/// The same for an option that may be given again.
fn push<T>(list: &mut Vec<T>, value: Option<T>, not: &'static str) -> &'static str {
    let Some(value) = value else { return not };
    list.push(value);
    FINE
}

/// An option that does not exist.
fn unknown(arg: lexopt::Arg<'_>) -> Error {
    match arg {
        lexopt::Arg::Long(name) => Error::usage(format_args!("{}", Clean(&hints::option(name.as_bytes())))),
        other @ (lexopt::Arg::Short(_) | Value(_)) => wrong(other.unexpected()),
    }
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

pub mod table;

#[cfg(test)]
mod tests;
