//! Sections of the manual page about jails without root, control groups and the PID 1 of a machine.

/// The section about Landlock.
pub const JAIL_WITHOUT_ROOT: &str = include_str!("man/jail-without-root.txt");
/// The section about control groups.
pub const CONTROL_GROUPS: &str = include_str!("man/control-groups.txt");
/// The section about the PID 1 of a machine.
pub const MACHINE: &str = include_str!("man/machine.txt");
