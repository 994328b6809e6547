//! The output of the server and the crash handler: log directory, rotator, logger.

pub(crate) mod log_child;
pub(crate) mod logdir;
pub(crate) mod logfiles;
pub(crate) mod rotator;
pub(crate) mod server_output;
