//! An error on its way from one process to another, through a pipe.

use crate::logic::base::error::Error;
use crate::logic::base::exit;
use crate::sys::fd;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

/// More than any message has; a longer one is cut.
pub const MESSAGE: usize = 8192;

/// Sends an error to the process that tells it, as `unpack` reads it: its status and its text.
#[inline(never)]
pub fn pack(error: &Error, pipe: &OwnedFd) {
    let mut message = vec![error.code];
    message.extend_from_slice(error.text.as_bytes());
    message.truncate(MESSAGE);
    let _ = fd::write_all(pipe.as_fd(), &message);
}

/// The error in a message. None: there is none.
#[inline(never)]
pub fn unpack(message: &[u8]) -> Option<Error> {
    let (code, text) = message.split_first().filter(|(code, _)| **code != exit::OK)?;
    Some(Error::new(*code, format_args!("{}", String::from_utf8_lossy(text))))
}
