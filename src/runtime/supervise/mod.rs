//! The loop of a supervisor: events in, actions out.

pub(crate) mod before;
pub(crate) mod config;
pub(crate) mod crash_handler;
pub(crate) mod descendants;
pub(crate) mod events;
pub(crate) mod handler_output;
pub(crate) mod last_run;
pub(crate) mod launch;
pub(crate) mod lifeline;
pub(crate) mod mailbox;
pub(crate) mod network_probe;
pub(crate) mod notify;
pub(crate) mod prober;
pub(crate) mod probes;
pub(crate) mod readiness;
pub(crate) mod reap;
pub(crate) mod remaining;
pub(crate) mod reread;
pub(crate) mod revive;
pub(crate) mod second;
pub(crate) mod send;
pub(crate) mod service;
pub(crate) mod service_events;
pub mod setup;
pub(crate) mod slot;
pub(crate) mod supervisor;
