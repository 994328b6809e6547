//! The parser of the command line: from argv to a request. It checks each value alone, and neither looks at the system
//! nor changes it.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::Arg::Value;

use apply_flag::apply_flag;

use super::args_file::{Args, PendingArgsFile};
use super::conflicts;
use super::control::ControlRequest;
use super::flags::Id;
use super::help::{Help, ToolText};
use super::hints;
use super::init_script_action::{self, Action};
use super::lookup::FlagRow;
use super::options::Options;
use super::probe_request::ProbeRequest;
use super::probe_rules;
use super::value::leak_copy;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::supervisor::policy::AtExit;

/// What the command line requests.
#[derive(Debug)]
pub enum Request {
    /// Print a help text.
    Help(Help),
    /// Print the list of options for completion programs.
    Completion,
    /// Print the version.
    Version,
    /// Read the file of `--args`, and parse again with its lines inserted.
    ArgsFile(Box<PendingArgsFile>),
    /// Run a control command: report the status of a server, or stop, replace or signal it.
    Control(ControlRequest),
    /// Run a probe once.
    Probe(ProbeRequest),
    /// Start a server.
    Run,
    /// Run an action of `--rc`, which the argument after a service file names.
    InitScript(Action),
    /// Print a text under another tool's name.
    Text(ToolText),
    /// Start nothing, and wait for a signal, as `catatonit -P` does. The signals in this set keep their default action.
    WaitForSignal(u64),
}

/// Parses the command line. `at_exit` is set even if another option is wrong, because PID 1 then has to shut the
/// machine down. With `--check` it is None.
///
/// # Errors
/// Wrong usage, in one line, with the name of the file of `--args`, and with its line if the mistake is in one line.
pub fn parse(words: &Args, options: &mut Options, at_exit: &mut Option<AtExit>) -> Result<Request> {
    if words.list.is_empty() && !words.has_file() {
        return Ok(Request::Help(Help::Usage));
    }
    // The first `--` ends the options: no option accepts `--` as its value, and everything after it belongs to COMMAND.
    let end = words.list.iter().position(|word| *word == c"--");
    let ours = words.list.get(..end.unwrap_or(words.list.len())).unwrap_or_default();
    let (request, done) = read_options_and_count_args(ours, options, at_exit);
    let there = |error: Error| error.with_location(&words.location(done.saturating_sub(1)));
    let all = |error: Error| error.with_location(&words.location(words.list.len()));
    match request.map_err(there)? {
        Some(DecidingOption::Request(request)) => return Ok(request),
        Some(DecidingOption::ArgsFile(_)) if words.has_file() => {
            return Err(there(Error::new(Problem::NestedArgs)));
        }
        Some(DecidingOption::ArgsFile(_)) if options.has(Id::Rc) => {
            return Err(init_script_action::misplaced_rc_option_error());
        }
        Some(DecidingOption::ArgsFile(file)) => {
            return Ok(Request::ArgsFile(words.split_at_file(file, args_file_option_index(ours, done), done)));
        }
        None => {}
    }
    let command = end.map_or(&[][..], |end| words.list.get(end + 1..).unwrap_or_default());
    options.command = command.to_vec();
    decide_request(options, end, words.count_after_file()).map_err(all)
}

/// Reads options until one of them decides the request, or is wrong. Also returns the number of arguments that have
/// been read, including one of which only a part has been read. Sets `at_exit` as [`parse`] does.
pub(super) fn read_options_and_count_args(
    words: &[StaticCStr],
    options: &mut Options,
    at_exit: &mut Option<AtExit>,
) -> (Result<Option<DecidingOption>>, usize) {
    let mut parser = lexopt::Parser::from_args(words.iter().map(|word| OsStr::from_bytes(word.to_bytes())));
    let request = read_options(options, &mut parser);
    let done = words.len() - parser.try_raw_args().map_or(0, |rest| rest.as_slice().len());
    // After an error, a later `--at-exit` still counts: PID 1 must shut the machine down instead of exiting.
    while request.is_err() && read_options(options, &mut parser).is_err() {}
    *at_exit = options.at_exit.filter(|_| !options.has(Id::Check));
    (request, done)
}

/// Decides what these options request, and refuses options that cannot be used together. The other parameters are the
/// index of `--`, and the number of arguments after the file of `--args`.
fn decide_request(
    options: &mut Options,
    double_dash_index: Option<usize>,
    count_after_file: Option<usize>,
) -> Result<Request> {
    if let Some(control) = ControlRequest::from_options(options)? {
        return Ok(Request::Control(control));
    }
    if let Some(request) = ProbeRequest::from_options(options)? {
        return Ok(Request::Probe(request));
    }
    let action =
        if options.has(Id::Rc) { Some(init_script_action::extract_action(options, count_after_file)?) } else { None };
    if options.command.is_empty() {
        return Err(Error::new(if double_dash_index.is_some() { Problem::NoCommand } else { Problem::NoCommandPart }));
    }
    options.insert_port_socket();
    conflicts::reject_conflicts(options)?;
    probe_rules::reject_infallible_probes(options)?;
    Ok(action.map_or(Request::Run, Request::InitScript))
}

/// The index of the argument `--args=FILE`, or of `--args` with FILE in the next argument. FILE is the last argument
/// that the parser has read.
fn args_file_option_index(words: &[StaticCStr], read_count: usize) -> usize {
    let last = read_count.saturating_sub(1);
    let joined = words.get(last).is_some_and(|word| word.to_bytes().starts_with(b"--args="));
    if joined { last } else { last.saturating_sub(1) }
}

/// An option at which the parser stops: the options after it are ignored, or parsed again with the file of `--args`.
pub(super) enum DecidingOption {
    /// An option that is a request itself, such as `--help`.
    Request(Request),
    /// `--args`, with the path of its file.
    ArgsFile(StaticCStr),
}

/// Reads the options up to the first one that decides the request. None if no option does.
fn read_options(options: &mut Options, parser: &mut lexopt::Parser) -> Result<Option<DecidingOption>> {
    while let Some(arg) = parser.next().map_err(usage_error)? {
        options.given_count += 1;
        if let Value(word) = arg {
            let why = if options.control.is_empty() { Reason::CommandAfterDashes } else { Reason::OnePidfile };
            return Err(Error::of(Problem::UnexpectedArgument, word.as_bytes()).with_reason_arg(why));
        }
        let Some(row) = FlagRow::find(&arg) else { return Err(unknown_option(arg)) };
        let help = if matches!(arg, lexopt::Arg::Short(_)) { Help::Short } else { Help::All };
        let mut values = [Vec::new(), Vec::new()];
        for (at, value) in values.iter_mut().enumerate().take(row.value_count()) {
            let Ok(given) = parser.value() else { return Err(row.usage_error(hints::missing_value(&row, at))) };
            *value = given.into_vec();
            if value.is_empty() && row.id != Id::Argv0 {
                return Err(row.usage_error(MessageArg::Reason(Reason::EmptyValue)));
            }
        }
        if options.given.test_and_set(row.id) && !row.is_repeatable() {
            return Err(Error::of(Problem::GivenTwice, row.name));
        }
        let [value, second] = &values;
        let malformed = if row.id == Id::Logdir { second } else { value };
        if !apply_flag(options, &row, value, second) {
            let cause = match options.confine.refusal {
                None => hints::malformed_value(&row, malformed),
                Some(why) => Error::of(Problem::RefusedValue, malformed).with_reason_arg(why),
            };
            return Err(row.usage_error(MessageArg::Cause(cause)));
        }
        if let Some(request) = deciding_option(row.id, help, value) {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// The request, if this is an option that decides it. `help` is the text that the option requests if it is `-h` or
/// `--help`.
fn deciding_option(id: Id, help: Help, value: &[u8]) -> Option<DecidingOption> {
    if id == Id::Args {
        return Some(DecidingOption::ArgsFile(leak_copy(value)));
    }
    if id == Id::Help {
        return Some(DecidingOption::Request(Request::Help(help)));
    }
    if id == Id::HelpCompletion {
        return Some(DecidingOption::Request(Request::Completion));
    }
    (id == Id::Version).then_some(DecidingOption::Request(Request::Version))
}

/// Makes the error for an unknown option.
fn unknown_option(arg: lexopt::Arg<'_>) -> Error {
    match arg {
        lexopt::Arg::Long(name) => hints::unknown_option(name.as_bytes()),
        other @ (lexopt::Arg::Short(_) | Value(_)) => usage_error(other.unexpected()),
    }
}

/// Turns an error of lexopt into one line, in which untrusted bytes are escaped.
fn usage_error(error: lexopt::Error) -> Error {
    use lexopt::Error::{MissingValue, UnexpectedOption, UnexpectedValue};
    let (problem, option) = match error {
        UnexpectedOption(option) => (Problem::UnknownLetter, option),
        UnexpectedValue { option, .. } => (Problem::UnexpectedValue, option),
        MissingValue { option } => (Problem::MissingValue, option.unwrap_or_default()),
        // lexopt reports errors of other kinds only from functions that vsrun does not call.
        lexopt::Error::UnexpectedArgument(_)
        | lexopt::Error::ParsingFailed { .. }
        | lexopt::Error::NonUnicodeValue(_)
        | lexopt::Error::Custom(_) => (Problem::MissingValue, String::new()),
    };
    Error::of(problem, option.as_bytes())
}

mod apply_flag;
#[cfg(test)]
mod tests;
