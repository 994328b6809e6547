//! What went wrong: the one line that a person reads, and the exit status that goes with it.

use alloc::string::String;

use super::exit;

/// A failure that ends vsrun. The text says what we were doing, to what, and why not.
#[derive(Debug)]
pub struct Error {
    /// The exit status, one of those in [`exit`].
    pub code: u8,
    /// One line, without `vsrun:` before it and without a full stop.
    pub text: String,
}

impl Error {
    /// Wrong usage: the caller wrote something that cannot be meant. Nothing has been touched.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: exit::USAGE, text: text.into() }
    }

    /// vsrun refuses, for a reason of its own.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { code: exit::SETUP, text: text.into() }
    }
}

/// The result of what may end vsrun.
pub type Result<T> = core::result::Result<T, Error>;
