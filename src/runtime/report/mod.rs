//! vsrun's own log records, and its error messages.

pub(crate) mod error_pipe;
pub mod log;
pub mod os_error;
