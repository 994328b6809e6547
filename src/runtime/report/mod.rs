//! vsrun's own records and errors.

pub mod log;
