//! Why a walk to a directory (`walk::PathWalk`) has failed, for error messages and log records.

use core::fmt;

use super::missing_capabilities::missing_capability;
use super::walk::PathWalk;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::problem::Problem;
use crate::runtime::report::os_error::{errno_text, os_error_of};
use crate::sys::Errno;

impl PathWalk {
    /// Makes the error of a failed walk to this path.
    pub fn error(&self, problem: Problem, path: &[u8], why: Errno) -> Error {
        let error = os_error_of(problem, path, why);
        match (&self.refusal, missing_capability(why)) {
            (Some(refusal), _) => error.with_arg(MessageArg::PathDistrustReason(refusal.error())),
            (None, Some(reason)) => error.with_reason_arg(reason),
            (None, None) => error,
        }
    }

    /// The reason why a walk has failed, for log records.
    pub fn error_text(&self, why: Errno) -> WalkError<'_> {
        WalkError(self, why)
    }
}

/// Displays why a walk has failed.
pub struct WalkError<'a>(&'a PathWalk, Errno);

impl fmt::Display for WalkError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        errno_text(self.1).fmt(f)?;
        match (&self.0.refusal, missing_capability(self.1)) {
            (Some(refusal), _) => write!(f, " ({refusal})"),
            (None, Some(reason)) => reason.fmt(f),
            (None, None) => Ok(()),
        }
    }
}
