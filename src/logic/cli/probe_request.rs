//! The request of `--probe`.

use super::options::Options;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::time::Span;

/// What `--probe` asks for.
#[derive(Debug)]
pub struct ProbeRequest {
    /// The probe as the caller wrote it.
    pub text: StaticCStr,
    /// How long it may take.
    pub timeout: Span,
}

impl ProbeRequest {
    /// Returns the request if `--probe` is given. The only option beside it may be `--probe-timeout`.
    ///
    /// # Errors
    /// Wrong usage, in one line.
    pub fn of(options: &Options) -> Result<Option<Self>> {
        let Some(text) = options.probe else {
            return match options.probe_timeout {
                Some(_) => Err(Error::usage(format_args!("option --probe-timeout needs --probe"))),
                None => Ok(None),
            };
        };
        let timed = usize::from(options.probe_timeout.is_some());
        if options.count > 1 + timed || !options.command.is_empty() {
            return Err(Error::usage(format_args!(
                "option --probe takes no COMMAND, and no option except --probe-timeout"
            )));
        }
        Ok(Some(Self { text, timeout: options.probe_timeout.unwrap_or(Span::secs(1)) }))
    }
}
