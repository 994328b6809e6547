//! The pure layer: bytes and values in, values out. No file, no clock, no pid, no environment.

#![forbid(unsafe_code)]

#[macro_use]
pub mod base;

pub mod cli;
pub(crate) mod control;
pub mod formats;
pub mod plan;
pub mod supervisor;
