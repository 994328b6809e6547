//! Makes errors from the errno of a failed system call.

use crate::logic::base::errno;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::problem::Problem;
use crate::sys::Errno;

/// Converts an errno to the type that displays its text.
pub fn errno_text(why: Errno) -> errno::Errno {
    errno::Errno(why.raw_os_error())
}

/// Makes an error that states this errno as its reason.
pub fn os_error(problem: Problem, why: Errno) -> Error {
    add_errno(Error::new(problem), why)
}

/// Makes an error about `name` (a path, an option or an argument) that states this errno as its reason.
pub fn os_error_of(problem: Problem, name: &[u8], why: Errno) -> Error {
    add_errno(Error::of(problem, name), why)
}

/// Adds an errno to an error whose text has a placeholder for it.
pub fn add_errno(error: Error, why: Errno) -> Error {
    error.with_arg(MessageArg::Errno(errno_text(why)))
}
