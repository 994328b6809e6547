//! A command of `--before` in the place of a server process.

use crate::logic::base::time::Time;

/// A command that runs in the server's place.
#[derive(Clone, Copy)]
pub struct Preparing {
    /// Its place among the commands.
    pub stage: usize,
    /// When it is ended because it takes too long. At the first start, the state machine does that.
    pub until: Option<Time>,
    /// Whether it has been asked to end for that reason.
    pub late: bool,
}
