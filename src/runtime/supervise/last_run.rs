//! Facts about the server's last run, for the termination log after the supervision has ended.

use core::fmt;

use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::time::Span;
use crate::logic::supervisor::event::Ending;

/// What the termination log reports about the last run of the server.
#[derive(Clone, Copy)]
pub struct LastRun {
    /// How long the run lasted.
    pub uptime: Span,
    /// The number of restarts after unexpected exits, in all runs.
    pub total_restarts: u64,
}

impl LastRun {
    /// Returns a text that says why the supervision has ended.
    pub fn describe(self, ending: Ending) -> EndingDisplay {
        EndingDisplay(self, ending)
    }
}

/// Displays why the supervision has ended, such as `the server exited with status 1 after 0.3 s, restarts: 4`.
pub struct EndingDisplay(LastRun, Ending);

impl fmt::Display for EndingDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uptime, restarts) = (SpanDisplay(self.0.uptime), self.0.total_restarts);
        match self.1 {
            Ending::ServerExited(exit) | Ending::GaveUp(exit) => {
                if let Ending::GaveUp(_) = self.1 {
                    f.write_str("giving up after too many restarts: ")?;
                }
                write!(f, "the server {exit} after {uptime}, restarts: {restarts}")
            }
            // `Stopped` is not displayed: vsrun exits with 0 after a requested stop, and then writes no termination
            // log.
            Ending::Stopped | Ending::FirstStartFailed(_) => f.write_str("the server could not be started"),
        }
    }
}
