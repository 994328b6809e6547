//! Parsers for formats of the kernel and of other programs: tables of /proc, executables, names of log files,
//! `--env-file`.

pub(crate) mod cgroup;
pub(crate) mod env_file;
mod exec_failure;
pub mod executable;
pub mod log_name;
pub(crate) mod memory_events;
pub mod net_table;
pub(crate) mod pid1_mounts;
pub(crate) mod proc;
pub(crate) mod process_tree;
