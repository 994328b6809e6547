//! The room that acts: every effect has its line here, in the order a person would tell the story.

#![forbid(unsafe_code)]

pub mod check;
pub mod claims;
pub mod confine;
pub mod control;
pub mod deliver;
pub mod descendants;
pub mod detach;
pub mod env_dir;
pub mod explain;
pub mod facts;
pub mod handler;
pub mod handler_output;
pub mod holder;
pub mod janitor;
pub mod launch;
pub mod lifeline;
pub mod listen;
pub mod logfiles;
pub mod logger;
pub mod logs;
pub mod lookup;
pub mod notify;
pub mod ownership;
pub mod pidfile;
pub mod ports;
pub mod prepared;
pub mod private;
pub mod ready;
pub mod reap;
pub mod remains;
pub mod report;
pub mod reread;
pub mod revive;
pub mod run;
pub mod say;
pub mod send;
pub mod service;
pub mod service_file;
pub mod sink;
pub mod sockets;
pub mod stay;
pub mod walk;
pub mod watch;
pub mod writer;
