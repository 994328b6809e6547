//! The state machine of a supervisor: one event in, one action out.

pub(crate) mod event;
pub mod notify;
pub mod policy;
pub(crate) mod probe;
pub(crate) mod probe_schedule;
pub mod readiness;
pub mod replacement;
pub mod signal_action;
pub(crate) mod state;
pub(crate) mod transition;
