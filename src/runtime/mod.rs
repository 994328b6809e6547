//! The layer that acts: it lets `logic` decide what to do, and does it with the system calls of `sys`.

#![forbid(unsafe_code)]

pub mod check;
pub mod control;
pub mod host;
pub mod machine;
pub(crate) mod output;
pub mod pause_process;
pub mod probe;
pub mod rc;
pub mod report;
pub(crate) mod resources;
pub mod run;
pub mod service_file;
pub(crate) mod start;
pub mod supervise;
