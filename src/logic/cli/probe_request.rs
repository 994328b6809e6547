//! The request of `--probe`: to run a probe once.

use super::options::Options;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::time::Span;

/// A request to run a probe once.
#[derive(Debug)]
pub struct ProbeRequest {
    /// The probe, as it was written on the command line.
    pub text: StaticCStr,
    /// The time limit of the probe.
    pub timeout: Span,
}

impl ProbeRequest {
    /// The request of `--probe`; None without that option. It is refused with any other option than `--probe-timeout`.
    ///
    /// # Errors
    /// Wrong usage, in one line.
    pub fn from_options(options: &Options) -> Result<Option<Self>> {
        let Some(text) = options.probe else {
            return match options.probe_timeout {
                Some(_) => Err(Error::new(Problem::ProbeTimeoutNeeds)),
                None => Ok(None),
            };
        };
        let timed = usize::from(options.probe_timeout.is_some());
        if options.given_count > 1 + timed || !options.command.is_empty() {
            return Err(Error::new(Problem::ProbeAlone));
        }
        Ok(Some(Self { text, timeout: options.probe_timeout.unwrap_or(Span::secs(1)) }))
    }
}
