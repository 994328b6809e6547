//! The layer that acts: it lets `logic` decide what to do, and does it with the system calls of `sys`.

#![forbid(unsafe_code)]

pub mod catatonit_pause;
pub mod check;
pub mod control;
pub mod host;
pub mod init_script;
pub(crate) mod output;
pub mod pid1;
pub mod probe;
pub mod report;
pub(crate) mod resources;
pub mod run;
pub mod service_file;
pub(crate) mod start;
pub mod supervise;
