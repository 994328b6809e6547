//! The interface of the state machine: events in, actions out.

use crate::logic::base::exit::{self, Exit};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;

/// Something that happened to the supervisor or its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline of the phase, or of the second process of a replacement, has passed.
    Tick,
    /// The server is ready, as `--ready` defines it.
    Ready,
    /// The server will never report that it is ready.
    NotReady,
    /// The server reports that it is alive.
    Heartbeat,
    /// The health probe of a ready server failed too often in a row.
    Unhealthy,
    /// The server exited. If signals go to its process group, no other process of the group is left.
    Exited(Exit),
    /// The server exited and other processes of its group are alive. `Exited` follows when they are gone.
    LeaderExited,
    /// The child could not become the server: a step or execve(2) failed. Holds vsrun's exit status for that error.
    ExecFailed(u8),
    /// The crash handler exited.
    HandlerExited(Exit),
    /// No descendant of vsrun is left.
    NoneLeft,
    /// vsrun is PID 1 and may not send KILL to the server. The kernel kills the server when vsrun exits.
    Unkillable,
    /// fork(2) failed for the last action.
    ForkFailed,
    /// A request to stop.
    Stop,
    /// A request to stop by SIGINT. A second SIGINT kills the server.
    Interrupt,
    /// A request to restart the server.
    Restart,
    /// A signal to forward to the server.
    Forward(Signal),
    /// A request to replace the server without a gap.
    Replace,
    /// Something happened to the second process of a replacement.
    Second(SecondEvent),
}

impl Event {
    /// Converts an event about the server into the same event about the second process of a replacement.
    pub fn for_second(self) -> Self {
        Self::Second(match self {
            Self::Ready => SecondEvent::Ready,
            Self::NotReady => SecondEvent::NotReady,
            Self::Exited(exit) => SecondEvent::Exited(exit),
            Self::LeaderExited => SecondEvent::LeaderExited,
            Self::ExecFailed(code) => SecondEvent::ExecFailed(code),
            Self::ForkFailed => SecondEvent::ForkFailed,
            Self::NoneLeft => SecondEvent::NoneLeft,
            Self::Unkillable => SecondEvent::Unkillable,
            // These events are not about one process, or happen only to the server.
            Self::Tick
            | Self::Unhealthy
            | Self::Heartbeat
            | Self::HandlerExited(_)
            | Self::Stop
            | Self::Interrupt
            | Self::Restart
            | Self::Forward(_)
            | Self::Replace
            | Self::Second(_) => return self,
        })
    }
}

/// What happened to the second process of a replacement: the candidate or, once that is the server, the old server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondEvent {
    /// fork(2) failed for the candidate.
    ForkFailed,
    /// The candidate is ready.
    Ready,
    /// The candidate will never report that it is ready.
    NotReady,
    /// The second process exited, and so have all other processes of its group, if signals go to the group.
    Exited(Exit),
    /// The second process exited and other processes of its group are alive.
    LeaderExited,
    /// The child could not become the candidate. Holds vsrun's exit status for that error.
    ExecFailed(u8),
    /// The processes that outlived the second process are gone.
    NoneLeft,
    /// vsrun is PID 1 and may not send KILL to the second process.
    Unkillable,
}

/// What the supervisor does next. It then waits for the next event, except after a launch, which may fail at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only wait for the next event.
    Wait,
    /// Start the server.
    Launch(LogFiles),
    /// Start the handler for this exit of the server.
    RunHandler(Exit),
    /// Send a signal that makes its recipient exit. CONT follows, because a stopped process does not handle signals.
    Send(Signal, Recipient),
    /// Forward a signal, without the CONT that `Send` adds.
    Forward(Signal, Recipient),
    /// Record that the server is restarted after this pause, and wait for the next event.
    Pause(Span),
    /// Record that the server gets the stop signal after this time (`--stop-delay`), and wait for the next event.
    Delay(Span),
    /// Report that the server is ready to the waiting parent and the service manager.
    ReportReady,
    /// Start a candidate beside the server.
    LaunchCandidate,
    /// Exchange the server and the second process.
    SwitchOver,
    /// Send a signal to the second process, to its group or to what remains of it. CONT follows.
    SendSecond(Signal, Recipient),
    /// Exit with the status of this ending.
    Finish(Ending),
}

/// What happens to the log files between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFiles {
    /// The new run appends to the same files.
    Keep,
    /// The files are rotated, because the restart was requested.
    Rotate,
}

/// The recipient of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Recipient {
    /// The server.
    Server,
    /// The server's whole process group.
    Group,
    /// The handler's process group.
    Handler,
    /// What is left of a run whose server exited: its process group, its descendants, or both.
    Remains,
    /// Every remaining process.
    All,
}

/// How the supervisor exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Ending {
    /// With the status of the server's exit.
    Server(Exit),
    /// With the status of the server's last exit, because `--restart-limit` is reached.
    GaveUp(Exit),
    /// With status 0, because a stop was requested.
    Stopped,
    /// The first start failed with this status.
    Failed(u8),
}

impl Ending {
    /// vsrun's exit status.
    pub fn status(self) -> u8 {
        match self {
            Self::Server(exit) | Self::GaveUp(exit) => exit.status(),
            Self::Stopped => exit::OK,
            Self::Failed(code) => code,
        }
    }
}
