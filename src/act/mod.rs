//! The room that acts: every effect has its line here, in the order a person would tell the story.

#![forbid(unsafe_code)]

pub mod check;
pub mod claims;
pub mod control;
pub mod detach;
pub mod env_dir;
pub mod env_files;
pub mod explain;
pub mod facts;
pub mod handler;
pub mod holder;
pub mod janitor;
pub mod launch;
pub mod listen;
pub mod logger;
pub mod logs;
pub mod pidfile;
pub mod prepared;
pub mod probe;
pub mod ready;
pub mod remains;
pub mod report;
pub mod run;
pub mod say;
pub mod sink;
pub mod sockets;
pub mod stay;
pub mod watch;
pub mod writer;
