//! A command of `--before` in the place of a server process.

use crate::logic::base::time::Time;

/// A command that runs in the server's place.
#[derive(Clone, Copy)]
pub struct BeforeCommand {
    /// The number of the command among those of `--before`, from 0.
    pub stage: usize,
    /// The time at which the command is ended if it still runs. None if it has no time limit, and at the first start,
    /// whose timeout is a deadline of the state machine.
    pub until: Option<Time>,
    /// Whether the command has been asked to end because it takes too long.
    pub late: bool,
}
