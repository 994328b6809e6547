//! The command line: from argv to a request. Each value is checked alone, and nothing is looked at or touched.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::Arg::Value;

use apply_flag::apply_flag;

use super::args_file::{Args, PendingArgsFile};
use super::conflicts;
use super::control::Control;
use super::flags::Id;
use super::help::{Help, Text};
use super::hints;
use super::lookup::FlagRow;
use super::options::Options;
use super::probe_request::ProbeRequest;
use super::probe_rules;
use super::rc::{self, Action};
use super::value::text;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::Escaped;
use crate::logic::supervisor::policy::AtExit;

/// What the caller wants.
#[derive(Debug)]
pub enum Request {
    /// A help text.
    Help(Help),
    /// The options, for a program.
    Completion,
    /// Our own ids.
    Version,
    /// The command line goes on in a file.
    ArgsFile(Box<PendingArgsFile>),
    /// Ask about a server, or order it about.
    Control(Control),
    /// Try a probe once.
    Probe(ProbeRequest),
    /// Start a server.
    Run,
    /// Do what the word after a service file says.
    Rc(Action),
    /// Another tool's text.
    Text(Text),
    /// Start nothing, and wait for a signal, as `catatonit -P` does. Those in the set have their default action.
    Pause(u64),
}

/// Reads the command line. `at_exit` is what is to be done at the end, also when that is an error of another option.
///
/// # Errors
/// Wrong usage, in one line that names the option, and the file and line where it is in one.
#[inline(never)]
pub fn parse(words: &Args, options: &mut Options, at_exit: &mut Option<AtExit>) -> Result<Request> {
    if words.list.is_empty() && !words.has_file() {
        return Ok(Request::Help(Help::Usage));
    }
    // Everything after the first `--` is the command's own. No value of an option can be `--`, so the first one is it.
    let end = words.list.iter().position(|word| *word == c"--");
    let ours = words.list.get(..end.unwrap_or(words.list.len())).unwrap_or_default();
    let (request, done) = read_all(ours, options, at_exit);
    let there = |error: Error| error.at(&words.location(done.saturating_sub(1)));
    let all = |error: Error| error.at(&words.location(words.list.len()));
    match request.map_err(there)? {
        Some(Found::Request(request)) => return Ok(request),
        Some(Found::File(_)) if words.has_file() => {
            return Err(there(Error::usage(format_args!("option --args within a file of --args"))));
        }
        Some(Found::File(_)) if options.has(Id::Rc) => return Err(rc::outside()),
        Some(Found::File(file)) => {
            return Ok(Request::ArgsFile(words.split_at_file(file, option_before(ours, done), done)));
        }
        None => {}
    }
    let command = end.map_or(&[][..], |end| words.list.get(end + 1..).unwrap_or_default());
    options.command = command.to_vec();
    request_from(options, end, words.after_file()).map_err(all)
}

/// Reads options up to the first that is a request of its own, or that is wrong. Also returns how many words have been
/// read: in the midst of a word, that word too.
pub(super) fn read_all(
    words: &[StaticCStr],
    options: &mut Options,
    at_exit: &mut Option<AtExit>,
) -> (Result<Option<Found>>, usize) {
    let mut parser = lexopt::Parser::from_args(words.iter().map(|word| OsStr::from_bytes(word.to_bytes())));
    let request = read_options(options, &mut parser);
    let done = words.len() - parser.try_raw_args().map_or(0, |rest| rest.as_slice().len());
    // PID 1 must not exit for a wrong word before this option either.
    while request.is_err() && read_options(options, &mut parser).is_err() {}
    *at_exit = options.at_exit.filter(|_| !options.has(Id::Check));
    (request, done)
}

/// What these options want, `--` having stood there or not, and that many words after the file of `--args`.
fn request_from(options: &mut Options, end: Option<usize>, after: Option<usize>) -> Result<Request> {
    if let Some(control) = Control::from_options(options)? {
        return Ok(Request::Control(control));
    }
    if let Some(request) = ProbeRequest::of(options)? {
        return Ok(Request::Probe(request));
    }
    let action = if options.has(Id::Rc) { Some(rc::take_action(options, after)?) } else { None };
    if options.command.is_empty() {
        let missing = if end.is_some() { "no COMMAND after '--'" } else { "'-- COMMAND' is missing" };
        return Err(Error::usage(format_args!("{missing} (see vsrun --help)")));
    }
    options.join_sockets();
    conflicts::reject_conflicts(options)?;
    probe_rules::reject(options)?;
    Ok(action.map_or(Request::Run, Request::Rc))
}

/// Index of the option `--args` whose value ends before the word `done`: one word before it, or in the same word.
fn option_before(words: &[StaticCStr], done: usize) -> usize {
    let last = done.saturating_sub(1);
    let joined = words.get(last).is_some_and(|word| word.to_bytes().starts_with(b"--args="));
    if joined { last } else { last.saturating_sub(1) }
}

/// What ends the reading of options before their end.
pub(super) enum Found {
    /// A request of its own.
    Request(Request),
    /// `--args`, with its file.
    File(StaticCStr),
}

/// Reads the options up to their end, or to the first that is a request of its own.
#[inline(never)]
fn read_options(options: &mut Options, parser: &mut lexopt::Parser) -> Result<Option<Found>> {
    while let Some(arg) = parser.next().map_err(usage_error)? {
        options.count += 1;
        if let Value(word) = arg {
            let word = Escaped(word.as_bytes());
            let what = if options.control.is_empty() { "COMMAND goes after '--'" } else { hints::ONE_PIDFILE };
            return Err(Error::usage(format_args!("unexpected argument '{word}': {what}")));
        }
        let Some(row) = FlagRow::find(&arg) else { return Err(unknown(arg)) };
        let is_letter = matches!(arg, lexopt::Arg::Short(_));
        let mut values = [Vec::new(), Vec::new()];
        for (at, value) in values.iter_mut().enumerate().take(row.value_count()) {
            let Ok(given) = parser.value() else { return Err(row.usage_error(&hints::missing(&row, at))) };
            *value = given.into_vec();
            if value.is_empty() && row.id != Id::Argv0 {
                return Err(row.usage_error(b"'' is empty"));
            }
        }
        if options.given.insert(row.id) && !row.is_repeatable() {
            return Err(Error::usage(format_args!("option --{} is given twice", Escaped(row.name))));
        }
        let [value, second] = &values;
        let malformed = if row.id == Id::Logdir { second } else { value };
        if !apply_flag(options, &row, value, second) {
            let problem = match options.confine.wrong {
                "" => hints::value(&row, malformed),
                problem => [b"'", &malformed[..], b"' ", problem.as_bytes()].concat(),
            };
            return Err(row.usage_error(&problem));
        }
        if let Some(request) = request(row.id, is_letter, value) {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// What ends the reading, if this option does. Only `--help` cares whether its letter was given.
fn request(id: Id, is_letter: bool, value: &[u8]) -> Option<Found> {
    if id == Id::Args {
        return Some(Found::File(text(value)));
    }
    if id == Id::Help {
        return Some(Found::Request(Request::Help(if is_letter { Help::Short } else { Help::All })));
    }
    if id == Id::HelpCompletion {
        return Some(Found::Request(Request::Completion));
    }
    (id == Id::Version).then_some(Found::Request(Request::Version))
}

/// An option that does not exist.
fn unknown(arg: lexopt::Arg<'_>) -> Error {
    match arg {
        lexopt::Arg::Long(name) => Error::usage(format_args!("{}", Escaped(&hints::option(name.as_bytes())))),
        other @ (lexopt::Arg::Short(_) | Value(_)) => usage_error(other.unexpected()),
    }
}

/// What lexopt found, in one harmless line.
fn usage_error(error: lexopt::Error) -> Error {
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
    Error::usage(format_args!("{what} {} (see vsrun --help)", Escaped(option.as_bytes())))
}

mod apply_flag;
#[cfg(test)]
mod tests;
