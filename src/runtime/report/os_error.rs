//! Errors from an errno.

use crate::logic::base::errno;
use crate::logic::base::error::{Error, Object};
use crate::logic::base::problem::Problem;
use crate::sys::Errno;

/// Converts an errno to the type that displays its text.
pub fn errno_text(why: Errno) -> errno::Errno {
    errno::Errno(why.raw_os_error())
}

/// Makes an error whose last object is this errno.
pub fn os_error(problem: Problem, why: Errno) -> Error {
    add_errno(Error::new(problem), why)
}

/// Makes an error about a path, an option or a word of the command line. Its last object is this errno.
pub fn os_error_of(problem: Problem, name: &[u8], why: Errno) -> Error {
    add_errno(Error::of(problem, name), why)
}

/// Adds an errno to the objects of an error.
pub fn add_errno(error: Error, why: Errno) -> Error {
    error.with(Object::Errno(errno_text(why)))
}
