//! The room that chooses: bytes and values in, values out. No file, no clock, no pid, no environment.

#![forbid(unsafe_code)]

pub mod account;
pub mod attributes;
pub mod clash;
pub mod cli;
pub mod control;
pub mod duration;
pub mod endpoint;
pub mod env_file;
pub mod environ;
pub mod error;
pub mod event;
pub mod exit;
pub mod expand;
pub mod facts;
pub mod flags;
pub mod hints;
pub mod holder;
pub mod image;
pub mod manager;
pub mod near;
pub mod notify;
pub mod oom;
pub mod options;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod ready;
pub mod retention;
pub mod rights;
pub mod server_env;
pub mod signal;
pub mod state;
pub mod step;
pub mod steps;
pub mod text;
pub mod time;
pub mod traps;
pub mod tree;
pub mod trust;
pub mod values;
pub mod word;
pub mod words;
