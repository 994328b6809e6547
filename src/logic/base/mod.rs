//! The basic types that all other folders of `logic` use: C strings, signals, exit statuses, errors, text and time.

#[macro_use]
mod phrases;

pub mod cstr;
pub(crate) mod duration;
pub mod errno;
#[cfg(test)]
mod errno_text;
pub mod error;
pub mod exit;
pub mod note;
pub mod packed;
pub mod problem;
pub mod reason;
pub mod signal;
pub mod text;
pub mod time;
