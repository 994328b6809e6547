//! Errors from an errno.

use crate::logic::base::errno;
use crate::logic::base::error::{Error, Object};
use crate::logic::base::problem::Problem;
use crate::sys::Errno;

/// The text of an errno.
pub fn errno_text(why: Errno) -> errno::Errno {
    errno::Errno(why.raw_os_error())
}

/// Makes an error whose last object is this errno.
pub fn os_error(problem: Problem, why: Errno) -> Error {
    add_errno(Error::new(problem), why)
}

/// Makes an error about this path or word, whose last object is this errno.
pub fn os_error_of(problem: Problem, name: &[u8], why: Errno) -> Error {
    add_errno(Error::of(problem, name), why)
}

/// Adds an errno to an error.
pub fn add_errno(error: Error, why: Errno) -> Error {
    error.with(Object::Errno(errno_text(why)))
}
