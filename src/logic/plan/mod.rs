//! Makes the plan of a start from the options and the state of the system: the steps, in order.

pub mod account;
pub mod before_commands;
pub(crate) mod command_path;
pub(crate) mod companion_programs;
pub mod env;
pub mod expand;
pub(crate) mod file_env;
pub(crate) mod helpers_without_exec;
pub mod host;
pub(crate) mod landlock;
pub(crate) mod landlock_rules;
pub mod limits;
pub(crate) mod path_trust;
pub mod personality;
pub mod planner;
pub(crate) mod probes;
pub mod program;
pub mod socket_activation;
pub mod socket_address;
pub mod step;
pub(crate) mod step_requirements;
mod step_text;
