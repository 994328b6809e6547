//! The error type: one line for the user, and vsrun's exit status.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use super::exit::{self, Statuses};

/// A failure that ends vsrun. It is one machine word wide, because nearly every function can return one.
#[derive(Debug)]
pub struct Error(Box<ErrorInner>);

/// The contents of an [`Error`].
#[derive(Debug)]
pub struct ErrorInner {
    /// vsrun's exit status, one of the constants in [`exit`].
    pub code: u8,
    /// One line that says what vsrun was doing, to what, and why it failed. It has no `vsrun:` before it and no full
    /// stop.
    pub text: String,
}

impl Deref for Error {
    type Target = ErrorInner;

    fn deref(&self) -> &ErrorInner {
        &self.0
    }
}

impl Error {
    /// Makes an error with this exit status.
    pub fn new(code: u8, text: fmt::Arguments<'_>) -> Self {
        Self(Box::new(ErrorInner { code, text: alloc::fmt::format(text) }))
    }

    /// Makes an error about the command line, which is wrong. vsrun has changed nothing yet.
    pub fn usage(text: fmt::Arguments<'_>) -> Self {
        Self::new(exit::USAGE, text)
    }

    /// Makes an error for a start that vsrun itself refuses, without an errno.
    pub fn setup(text: fmt::Arguments<'_>) -> Self {
        Self::new(exit::SETUP, text)
    }

    /// Changes the exit status to the one that a failed start has in this set of statuses.
    pub fn with_statuses(mut self, statuses: Statuses) -> Self {
        if statuses == Statuses::Script && self.code >= exit::SETUP {
            self.0.code = exit::RC_FAILED;
        }
        self
    }

    /// Puts a place, such as a file name and a line number, before the text.
    pub fn at(self, place: &str) -> Self {
        if place.is_empty() { self } else { Self::new(self.code, format_args!("{place}{}", self.text)) }
    }
}

/// The result of a function whose error ends vsrun.
pub type Result<T> = core::result::Result<T, Error>;
