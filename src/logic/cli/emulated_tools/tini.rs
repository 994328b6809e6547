//! The values of tini's options, and the environment variables that it reads.

use super::ToolCommandLine;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{parse_number, split_number};
use crate::logic::plan::personality::FailureStatuses;

/// Parses the value of tini's option `-p`: the name of a signal with `SIG`, in capital letters, and not a number.
pub(super) fn parse_signal(value: &[u8]) -> Result<Signal> {
    let name = value.strip_prefix(b"SIG").unwrap_or_default();
    Signal::named(name).ok_or_else(|| Error::of(Problem::ToolSignal, value))
}

/// Parses the value of tini's option `-e`, an exit status.
pub(super) fn parse_status(value: &[u8]) -> Result<u8> {
    parse_number(value)
        .and_then(|number| u8::try_from(number).ok())
        .ok_or_else(|| Error::of(Problem::ToolStatus, value))
}

/// The terminal's signals to background processes, which tini ignores.
pub(super) const BACKGROUND_SIGNALS: [Signal; 2] = [Signal::TTIN, Signal::TTOU];

/// Applies tini's environment variables, and its rules for the exit status.
pub(super) fn apply_env_variables(line: &mut ToolCommandLine<'_>) {
    let ToolCommandLine { caller, personality, options, verbosity, .. } = line;
    personality.failure_statuses = FailureStatuses::Tini(options.success_exit.unwrap_or_default());
    personality.forwards_to_group |= caller.env.get(b"TINI_KILL_PROCESS_GROUP").is_some();
    if let Some(level) = caller.env.get(b"TINI_VERBOSITY") {
        // `TINI_VERBOSITY` is parsed as by atoi(3), which ignores what follows the digits.
        *verbosity = split_number(level).map_or(0, |(level, _)| u8::try_from(level).unwrap_or(u8::MAX));
    }
    if *verbosity == 0 {
        (personality.records_orphans, personality.records_only_errors) = (false, true);
    }
}
