//! The state of a command of `--before`, which runs before the server is started.

use crate::logic::base::time::Time;

/// A command of `--before` that runs before the server is started.
#[derive(Clone, Copy)]
pub struct BeforeCommandState {
    /// The number of the command among those of `--before`, from 0.
    pub index: usize,
    /// When the command is sent SIGTERM or, if `timed_out` is true, SIGKILL. Used only at a restart: the time limits of
    /// a first start and of a candidate belong to the state machine. None without a time limit.
    pub next_signal_at: Option<Time>,
    /// True if the command has exceeded its time limit and has been sent SIGTERM.
    pub timed_out: bool,
}
