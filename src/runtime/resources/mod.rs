//! The resources that a start acquires and a failed start releases (pidfiles, sockets, the control group), and the safe
//! resolution of their paths.

pub(crate) mod cgroup;
pub(crate) mod cleanup;
pub(crate) mod missing_capabilities;
pub(crate) mod pidfile;
pub(crate) mod pidfile_lock_holder;
pub(crate) mod ports;
pub(crate) mod private_dir;
pub(crate) mod socket_file;
pub(crate) mod socket_owner;
pub(crate) mod sockets;
pub(crate) mod start_resources;
pub(crate) mod termination_log;
pub(crate) mod walk;
pub(crate) mod walk_error;
pub(crate) mod walk_file;
