//! Errors that one process sends to another through a pipe.

use std::os::fd::{AsFd, OwnedFd};

use crate::logic::base::error::Error;
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::sys::fd;

/// The maximum size of a message, in bytes. A longer error is cut off.
pub const MAX_MESSAGE: usize = 8192;

/// Sends an error to the process that prints it: its exit status and its text. [`parse_error`] reads it.
pub fn send_error(error: &Error, pipe: &OwnedFd) {
    let mut message = vec![error.exit_status];
    message.extend_from_slice(error.text().as_bytes());
    message.truncate(MAX_MESSAGE);
    let _ = fd::write_all(pipe.as_fd(), &message);
}

/// Reads an error that [`send_error`] has sent. None if the message is empty, or its exit status is 0.
pub fn parse_error(message: &[u8]) -> Option<Error> {
    let (code, text) = message.split_first().filter(|(code, _)| **code != exit::OK)?;
    Some(Error::new(Problem::Reported).with_raw_arg(&String::from_utf8_lossy(text)).with_status(*code))
}
