//! Makes the plan of a start from the options and the state of the system: the steps, in order.

pub mod account;
pub mod before_commands;
pub(crate) mod command_path;
pub(crate) mod companion_programs;
pub mod env;
pub mod expand;
pub(crate) mod helpers_without_exec;
pub mod host;
pub(crate) mod landlock;
pub(crate) mod landlock_rules;
pub mod limits;
pub mod personality;
pub mod planner;
pub(crate) mod probes;
pub mod program;
pub(crate) mod rights;
pub(crate) mod server_env;
pub mod socket_activation;
pub mod socket_address;
pub mod step;
mod step_text;
pub(crate) mod trust;
