//! The command line: the table of options, its parser, and the checks for options that do not fit together.

// `flags` has to be the first module, because its macro `all_flags!` is known only to the modules after it.
#[macro_use]
pub mod flags;

pub mod args_file;
pub(crate) mod conflicts;
pub(crate) mod control;
pub mod emulated_tools;
pub mod help;
pub(crate) mod hints;
pub mod init_script_action;
pub mod lookup;
pub mod options;
pub mod parse;
pub(crate) mod probe_request;
pub(crate) mod probe_rules;
pub(crate) mod suggestions;
pub mod value;
