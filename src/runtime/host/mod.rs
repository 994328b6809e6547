//! Reads the system once: account files, the environment, and the files that set variables.

pub(crate) mod clock;
pub(crate) mod env_dir;
pub(crate) mod env_files;
pub mod system;
