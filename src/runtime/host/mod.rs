//! Reads the system: the clock, and once at the start account files, the environment, and the files that set variables.

pub(crate) mod clock;
pub(crate) mod env_dir;
pub(crate) mod env_files;
pub mod system;
