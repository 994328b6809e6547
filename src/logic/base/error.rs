//! Errors: the one line that the user reads, and the exit status.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use super::exit::{self, Statuses};

/// A failure that ends vsrun. It is one machine word wide, because nearly every function can return one.
#[derive(Debug)]
pub struct Error(Box<ErrorInner>);

/// The contents of an error. The text says what vsrun was doing, to what, and why it failed.
#[derive(Debug)]
pub struct ErrorInner {
    /// The exit status, one of those in [`exit`].
    pub code: u8,
    /// One line, without `vsrun:` before it and without a full stop.
    pub text: String,
}

impl Deref for Error {
    type Target = ErrorInner;

    fn deref(&self) -> &ErrorInner {
        &self.0
    }
}

impl Error {
    /// An error with that exit status.
    #[inline(never)]
    pub fn new(code: u8, text: fmt::Arguments<'_>) -> Self {
        Self(Box::new(ErrorInner { code, text: alloc::fmt::format(text) }))
    }

    /// Wrong usage: the command line is invalid. Nothing has been touched.
    pub fn usage(text: fmt::Arguments<'_>) -> Self {
        Self::new(exit::USAGE, text)
    }

    /// vsrun refuses the start, without an error of the kernel.
    pub fn setup(text: fmt::Arguments<'_>) -> Self {
        Self::new(exit::SETUP, text)
    }

    /// The error with the status that it has among these.
    pub fn among(mut self, statuses: Statuses) -> Self {
        if statuses == Statuses::Script && self.code >= exit::SETUP {
            self.0.code = exit::FAILED;
        }
        self
    }

    /// Puts a place, such as a file name and line, before the text.
    pub fn at(self, place: &str) -> Self {
        if place.is_empty() { self } else { Self::new(self.code, format_args!("{place}{}", self.text)) }
    }
}

/// The result of a function whose error ends vsrun.
pub type Result<T> = core::result::Result<T, Error>;
