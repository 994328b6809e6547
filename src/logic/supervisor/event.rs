//! The interface of the state machine: events in, actions out.

use crate::logic::base::exit::{self, Exit};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;

/// Something that happened to the supervisor or its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline of the current phase, or of the candidate or the old server in a replacement, has passed.
    DeadlinePassed,
    /// The server is ready, as `--ready` defines it.
    Ready,
    /// The server will never report that it is ready.
    NotReady,
    /// The server reports that it is alive (`WATCHDOG=1`).
    Heartbeat,
    /// The health probe of a ready server failed too often in a row.
    Unhealthy,
    /// The server exited. If signals go to its process group, no other process of the group is left.
    Exited(Exit),
    /// The server exited and other processes of its group are alive. `Exited` follows when they are gone.
    LeaderExited,
    /// The server could not be started: a command of `--before`, a step or execve(2) failed. Holds vsrun's exit status
    /// for that error.
    ExecFailed(u8),
    /// The crash handler exited.
    HandlerExited(Exit),
    /// None of the processes for which the supervisor waits is left: those that outlived the server, or all descendants
    /// of vsrun.
    NoneLeft,
    /// vsrun is PID 1 and may not send KILL to the server. The kernel kills the server when vsrun exits.
    Unkillable,
    /// fork(2) failed for the process that the last action was to start.
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
    /// Something happened to the candidate, or to the old server that it has replaced.
    OfSecondProcess(SecondProcessEvent),
}

impl Event {
    /// Converts an event about the server into the same event about the candidate or the old server of a replacement.
    /// Returns any other event unchanged.
    pub fn for_second_process(self) -> Self {
        Self::OfSecondProcess(match self {
            Self::Ready => SecondProcessEvent::Ready,
            Self::NotReady => SecondProcessEvent::NotReady,
            Self::Exited(exit) => SecondProcessEvent::Exited(exit),
            Self::LeaderExited => SecondProcessEvent::LeaderExited,
            Self::ExecFailed(code) => SecondProcessEvent::ExecFailed(code),
            Self::ForkFailed => SecondProcessEvent::ForkFailed,
            Self::NoneLeft => SecondProcessEvent::NoneLeft,
            Self::Unkillable => SecondProcessEvent::Unkillable,
            // An event that is not about one process, or that happens only to the server, stays as it is.
            Self::DeadlinePassed
            | Self::Unhealthy
            | Self::Heartbeat
            | Self::HandlerExited(_)
            | Self::Stop
            | Self::Interrupt
            | Self::Restart
            | Self::Forward(_)
            | Self::Replace
            | Self::OfSecondProcess(_) => return self,
        })
    }
}

/// What happened to the second process of a replacement: the candidate or, once that is the server, the old server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondProcessEvent {
    /// fork(2) failed for the candidate.
    ForkFailed,
    /// The candidate is ready.
    Ready,
    /// The candidate will never report that it is ready.
    NotReady,
    /// The candidate or the old server exited, and so have all other processes of its group, if signals go to the
    /// group.
    Exited(Exit),
    /// The candidate or the old server exited and other processes of its group are alive.
    LeaderExited,
    /// The candidate could not be started: a command of `--before`, a step or execve(2) failed. Holds vsrun's exit
    /// status for that error.
    ExecFailed(u8),
    /// The processes that outlived the candidate or the old server are gone.
    NoneLeft,
    /// vsrun is PID 1 and may not send KILL to the candidate or the old server.
    Unkillable,
}

/// What the supervisor does next. It then waits for the next event, unless it exits, or a process that it starts fails
/// at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only wait for the next event.
    Wait,
    /// Start the server.
    StartServer(LogFilesAtStart),
    /// Start the crash handler for this exit of the server.
    RunCrashHandler(Exit),
    /// Send a signal that makes its recipient exit. SIGCONT follows, because a stopped process does not handle signals.
    Send(Signal, Recipient),
    /// Forward a signal that vsrun received. Unlike with `Send`, no SIGCONT follows.
    Forward(Signal, Recipient),
    /// Record that the server is restarted after this pause, and wait for the next event.
    RecordRestartDelay(Span),
    /// Record that the server gets the stop signal after this time (`--stop-delay`), and wait for the next event.
    RecordStopDelay(Span),
    /// Report that the server is ready: to the parent process that waits for the start, and to the service manager.
    ReportReady,
    /// Start a candidate beside the server, to replace it when the candidate is ready.
    StartCandidate,
    /// Make the candidate the server, and the server the old server.
    SwitchToCandidate,
    /// Send a signal to the candidate or the old server, to its group, or to the processes that outlived it. SIGCONT
    /// follows.
    SendToSecondProcess(Signal, Recipient),
    /// Exit for this reason, with the status that belongs to it.
    Finish(Ending),
}

/// What happens to the log files between two runs of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFilesAtStart {
    /// The new run appends to the same files.
    Keep,
    /// The files are rotated, because the restart was requested.
    Rotate,
}

/// The process or processes to which the supervisor sends a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Recipient {
    /// The server.
    Server,
    /// The server's whole process group.
    Group,
    /// The crash handler's process group.
    CrashHandlerGroup,
    /// What is left of a run whose server exited: its process group, its descendants, or both.
    RemainingOfRun,
    /// Every descendant of vsrun and, if vsrun is the PID 1 of a container, every other process in it.
    AllProcesses,
}

/// Why the supervisor exits, and with which status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Ending {
    /// The server exited and is not restarted: vsrun exits with the status of the server's exit.
    ServerExited(Exit),
    /// `--restart-limit` is reached: vsrun exits with the status of the server's last exit.
    GaveUp(Exit),
    /// A stop was requested: vsrun exits with status 0.
    Stopped,
    /// The first start failed: vsrun exits with this status.
    FirstStartFailed(u8),
}

impl Ending {
    /// vsrun's exit status for this ending.
    pub fn status(self) -> u8 {
        match self {
            Self::ServerExited(exit) | Self::GaveUp(exit) => exit.shell_status(),
            Self::Stopped => exit::OK,
            Self::FirstStartFailed(code) => code,
        }
    }
}
