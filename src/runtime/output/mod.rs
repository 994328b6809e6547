//! Where the output of server and handler goes: log directory, rotator, log child.

pub(crate) mod log_child;
pub(crate) mod logdir;
pub(crate) mod logfiles;
pub(crate) mod rotator;
pub(crate) mod server_output;
