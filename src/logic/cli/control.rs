//! The requests about a running server: `--status`, `--stop`, `--replace`, `--signal`.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Error;
use crate::logic::base::error::Result;
use crate::logic::base::time::Span;
use crate::logic::cli::options::Options;
use crate::logic::cli::options::Order;

/// What is wanted of the server of a pidfile.
#[derive(Debug)]
pub struct Control {
    /// The question or order.
    pub order: Order,
    /// PIDFILE.
    pub pidfile: StaticCStr,
    /// `--stop-timeout`.
    pub timeout: Span,
    /// `--stop-delay`, that of the manager.
    pub delay: Span,
}

/// The options that are one, as an error names them.
pub const NAMES: &str = "status, --stop, --replace or --signal";

impl Control {
    /// The control request of these options, if there is one. It allows no other options.
    ///
    /// # Errors
    /// Wrong usage, in one line.
    pub fn from_options(options: &Options) -> Result<Option<Self>> {
        let (order, pidfile) = match options.control[..] {
            [] => return Ok(None),
            [one] => one,
            _ => return Err(Error::usage(format_args!("option --{NAMES} is given twice"))),
        };
        let given = [options.stop_timeout, options.stop_delay].iter().flatten().count();
        let timed = if order == Order::Stop { given } else { 0 };
        if options.count > 1 + timed || !options.command.is_empty() {
            return Err(Error::usage(format_args!(
                "option --{NAMES} is used alone: no COMMAND, no options but --stop-timeout and --stop-delay"
            )));
        }
        let timeout = options.stop_timeout.unwrap_or(Span::secs(30));
        Ok(Some(Self { order, pidfile, timeout, delay: options.stop_delay.unwrap_or_default() }))
    }
}
