//! The words between the manager and the world: what happens to it, and what it has done.

use crate::logic::base::exit::{self, Exit};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;

/// What happens to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Only the deadline has passed.
    Tick,
    /// The server counts as started.
    Ready,
    /// The server will never report that it is ready.
    NotReady,
    /// The server reports that it is alive.
    Heartbeat,
    /// The server has ended.
    Exited(Exit),
    /// The server has ended, and others of its group have not: its end will be told when they have.
    LeaderExited,
    /// The server was never executed: vsrun's exit status for that.
    ExecFailed(u8),
    /// The handler has ended.
    HandlerExited(Exit),
    /// No process is left.
    NoneLeft,
    /// KILL may not be sent to the server, and the kernel will end it if vsrun, as PID 1, exits.
    Unkillable,
    /// fork(2) failed for the last action.
    ForkFailed,
    /// A request to stop.
    Stop,
    /// A request to stop, and to kill if it is the second.
    Interrupt,
    /// A request to restart the server.
    Restart,
    /// A signal for the server.
    Forward(Signal),
}

/// What the manager does next. Waiting follows each of them but a launch, which may fail at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Start the server.
    Launch(LogFiles),
    /// Start the handler, because of this end of the server.
    RunHandler(Exit),
    /// Send a signal that ends its recipient. CONT follows, because a stopped process would not see it.
    Send(Signal, Recipient),
    /// Forward a signal to the server, once and alone.
    Forward(Signal, Recipient),
    /// Nothing for so long; then the server is restarted.
    Pause(Span),
    /// Say that the server has been started.
    ReportReady,
    /// End.
    Finish(Ending),
}

/// What happens to the log files between two lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFiles {
    /// The same files are continued.
    Keep,
    /// They are rotated.
    Rotate,
}

/// The recipient of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The server.
    Server,
    /// The server's whole process group.
    Group,
    /// The handler's process group.
    Handler,
    /// What is left of a server that has ended: its process group, its tree, or both.
    Remains,
    /// Every remaining process.
    All,
}

/// How the manager exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As the server did.
    Server(Exit),
    /// As the server did, after too many restarts.
    GaveUp(Exit),
    /// On request.
    Stopped,
    /// The first start failed with this status.
    Failed(u8),
}

impl Ending {
    /// The manager's exit status.
    pub fn status(self) -> u8 {
        match self {
            Self::Server(exit) | Self::GaveUp(exit) => exit.status(),
            Self::Stopped => exit::OK,
            Self::Failed(code) => code,
        }
    }
}
