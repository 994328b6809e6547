//! The values of tini's options, and its variables.

use super::{Line, usage_error};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::signal::{NAMES, Signal};
use crate::logic::base::time::{number, number_and_unit};
use crate::logic::plan::personality::Failures;

/// Parses the value of `-p`: the name of a signal with `SIG`, in capital letters, and not a number.
pub(super) fn signal(value: &[u8]) -> Result<Signal> {
    let name = value.strip_prefix(b"SIG").unwrap_or_default();
    let found = NAMES.iter().zip(1..).find(|(known, _)| known.as_bytes() == name);
    found.and_then(|(_, number)| Signal::new(number)).ok_or_else(|| not("option -p: ", value))
}

/// Parses the value of `-e`, an exit status.
pub(super) fn status(value: &[u8]) -> Result<u8> {
    number(value).and_then(|number| u8::try_from(number).ok()).ok_or_else(|| not("option -e: ", value))
}

/// The terminal's signals to background processes, which tini ignores.
pub(super) const STOPS: [Signal; 2] = [Signal::TTIN, Signal::TTOU];

/// Applies tini's variables, and its rules for the exit status.
pub(super) fn finish(line: &mut Line<'_>) {
    let Line { caller, personality, options, verbosity, .. } = line;
    personality.failures = Failures::Tini(options.success_exit.unwrap_or_default());
    personality.forwards_to_group |= caller.env.get(b"TINI_KILL_PROCESS_GROUP").is_some();
    if let Some(level) = caller.env.get(b"TINI_VERBOSITY") {
        // Parsed like atoi(3), which ignores what follows the digits.
        *verbosity = number_and_unit(level).map_or(0, |(level, _)| u8::try_from(level).unwrap_or(u8::MAX));
    }
    if *verbosity == 0 {
        (personality.reports_orphans, personality.is_silent) = (false, true);
    }
}

fn not(option: &str, value: &[u8]) -> Error {
    usage_error(option, value, " is not valid")
}
