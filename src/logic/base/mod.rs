//! What every other folder of `logic` uses: C strings, signals, exit statuses, errors, text and time.

pub mod cstr;
pub(crate) mod duration;
pub mod error;
pub mod exit;
pub mod signal;
pub mod text;
pub mod time;
