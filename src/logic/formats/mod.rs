//! Parsers for formats of the kernel and of other programs: tables of /proc, executables, names of log files,
//! `--env-file`.

mod cause;
pub(crate) mod cgroup;
pub(crate) mod env_file;
pub mod executable;
pub mod log_name;
pub(crate) mod memory_events;
pub(crate) mod mounts;
pub mod net_table;
pub(crate) mod proc;
pub(crate) mod tree;
