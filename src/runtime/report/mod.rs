//! vsrun's own records and errors.

pub(crate) mod error_message;
pub mod log;
