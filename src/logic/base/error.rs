//! What went wrong: the one line that a person reads, and the exit status that goes with it.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use super::exit;

/// A failure that ends vsrun. One word wide: nearly every function may answer one, and nearly none does.
#[derive(Debug)]
pub struct Error(Box<ErrorInner>);

/// What an error says. The text tells what we were doing, to what, and why not.
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
    /// With that exit status.
    #[inline(never)]
    pub fn new(code: u8, text: fmt::Arguments<'_>) -> Self {
        Self(Box::new(ErrorInner { code, text: alloc::fmt::format(text) }))
    }

    /// Wrong usage: the caller wrote something that cannot be meant. Nothing has been touched.
    pub fn usage(text: fmt::Arguments<'_>) -> Self {
        Self::new(exit::USAGE, text)
    }

    /// vsrun refuses, for a reason of its own.
    pub fn setup(text: fmt::Arguments<'_>) -> Self {
        Self::new(exit::SETUP, text)
    }

    /// The same error, with its place before it.
    pub fn at(self, place: &str) -> Self {
        if place.is_empty() { self } else { Self::new(self.code, format_args!("{place}{}", self.text)) }
    }
}

/// The result of what may end vsrun.
pub type Result<T> = core::result::Result<T, Error>;
