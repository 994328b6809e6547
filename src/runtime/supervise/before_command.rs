//! The state of a command of `--before`, which runs before the server is started.

use crate::logic::base::time::Time;

/// A command of `--before` that runs before the server is started.
#[derive(Clone, Copy)]
pub struct BeforeCommand {
    /// The number of the command among those of `--before`, from 0.
    pub stage: usize,
    /// The time at which the command is sent SIGTERM or, if `timed_out` is true, SIGKILL. None without a time limit, and at
    /// the first start, whose time limit belongs to the state machine.
    pub until: Option<Time>,
    /// True if the command has exceeded its time limit and has been sent SIGTERM.
    pub timed_out: bool,
}
