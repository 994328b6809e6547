//! Reading the system once: account files, environment, files of `--env-dir`.

pub(crate) mod clock;
pub(crate) mod env_dir;
pub(crate) mod env_files;
pub mod system;
