//! Requests about a running server: `--status`, `--stop`, `--replace` and `--signal`.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::time::Span;
use crate::logic::cli::options::{ControlCommand, Options};

/// A request about the server whose pidfile is given.
#[derive(Debug)]
pub struct ControlRequest {
    /// The control command: report the status, stop, replace or signal.
    pub command: ControlCommand,
    /// The path of the pidfile.
    pub pidfile: StaticCStr,
    /// The value of `--stop-timeout`; None if it was not given, which means the default.
    pub stop_timeout: Option<Span>,
    /// How much longer than the timeout the stop of a manager may take: the value of `--stop-delay`, or more (see
    /// `Options::stop_overhead`).
    pub stop_overhead: Span,
}

impl ControlRequest {
    /// The control request that the options contain; None if they contain none. Other options are refused, except
    /// `--stop-timeout` and `--stop-delay` with `--stop`.
    ///
    /// # Errors
    /// Wrong usage, in one line.
    pub fn from_options(options: &Options) -> Result<Option<Self>> {
        let (command, pidfile) = match options.control[..] {
            [] => return Ok(None),
            [one] => one,
            _ => return Err(Error::new(Problem::ControlGivenTwice)),
        };
        let given = [options.stop_timeout, options.stop_delay].iter().flatten().count();
        let timed = if command == ControlCommand::Stop { given } else { 0 };
        if options.given_count > 1 + timed || !options.command.is_empty() {
            return Err(Error::new(Problem::ControlAlone));
        }
        let (stop_timeout, stop_overhead) = (options.stop_timeout, options.stop_delay.unwrap_or_default());
        Ok(Some(Self { command, pidfile, stop_timeout, stop_overhead }))
    }
}
