//! The event loop around the state machine: performs an action, then waits for an event.
//!
//! Once the server runs, the supervisor must not fail. So no function here returns an error: a failure is recorded,
//! and the loop continues.

use std::os::fd::{AsFd, OwnedFd};

use super::before_command::BeforeCommandState;
use super::crash_handler::CrashReport;
use super::descendants::ProcessSweep;
use super::exit_watch::ExitWatch;
use super::last_run::LastRun;
use super::readiness::ReadyPipe;
use super::slot::{ProcessSlot, ReplaceRequests};
use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::exit::{self, Exit};
use crate::logic::base::note::Note;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Ending, Event};
use crate::logic::supervisor::state::{ForcedStop, Phase, State};
use crate::logic::supervisor::transition::next;
use crate::runtime::host::clock::now;
use crate::runtime::output::logdir::InodeAndOffset;
use crate::runtime::report::log::Priority;
use crate::runtime::report::os_error::errno_text;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::resources::sockets::SocketFiles;
use crate::runtime::resources::start_resources::StartResources;
use crate::runtime::start::deliver::Delivery;
use crate::runtime::start::outcome::StepFailure;
use crate::runtime::supervise::config::{AfterStart, SupervisorConfig};
use crate::sys::process::{self, Pid, ResourceUsage};
use crate::sys::{Errno, credentials, heap};

/// A server process, or the command of `--before` in its place: of the current run, or of the last one if it is over.
#[repr(C)] // Small and frequent fields first, as in `Supervisor`.
pub struct ServerProcess {
    /// The pid of the process, which is a child of vsrun.
    pub pid: Pid,
    /// Shows the process's exit even if a tracer hides it.
    pub exit_watch: ExitWatch,
    /// The pipe in which the process reports a failed step, until it is closed by the exec.
    pub exec_pipe: Option<OwnedFd>,
    /// The pipe in which the server reports that it is ready (`--ready fd:N`). None after that.
    pub ready_pipe: Option<ReadyPipe>,
    /// True if the process is kept as a zombie, because other processes of its group are alive: the number of the group
    /// must not be reused.
    pub is_kept_zombie: bool,
    /// The end of the log file when this run began, for the handler to read from.
    pub log_start: InodeAndOffset,
    /// When the process was started.
    pub started: Time,
    /// How long the process ran. None until its exit.
    pub uptime: Option<Span>,
    /// The kernel's start time of the process, in clock ticks since the boot. 0 unless the process was started as a
    /// candidate.
    pub candidate_start_ticks: u64,
    /// The command of `--before` that this process runs in place of the server. None for the server itself.
    pub before_command: Option<BeforeCommandState>,
    /// The step that failed, if the program could not be executed.
    pub failure: Option<StepFailure>,
    /// The resources that the process used. Set when it has been reaped.
    pub usage: ResourceUsage,
}

/// The data of the event loop.
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct Supervisor<'a> {
    /// The options, descriptors and programs.
    pub config: &'a mut SupervisorConfig,
    /// The pidfiles of the server and of vsrun itself, the manager.
    pub pidfiles: &'a [Option<Pidfile>; 2],
    /// The sockets that vsrun has made for the server.
    pub sockets: &'a mut SocketFiles,
    /// The error of a failed or stopped start, for vsrun's caller.
    pub start_error: Option<Error>,
    /// Whether there may be children that have exited and have not been reaped.
    pub exits_pending: bool,
    /// Whether signals may be pending: a sleep has shown some, and they have not all been read.
    pub signals_pending: bool,
    /// Whether the last turn found that a deadline has passed, and left it to this turn to act on it.
    pub due_deadline_postponed: bool,
    /// Whether a tracer has hidden an exit: the exited process may still be a child of vsrun.
    pub exit_hidden_by_tracer: bool,
    /// Whether the kernel accepted the last signal that was sent to a server process, a group or the handler.
    pub last_delivery: Delivery,
    /// Whether vsrun stops itself after the signal that is being handled.
    pub suspends_after_signal: bool,
    /// The last signal that asked the server or vsrun to exit, for the message of a start that is stopped.
    pub stopped_by: Signal,
    /// When the next search in /proc for remaining processes may begin.
    pub next_sweep_at: Time,
    /// The state of the state machine.
    pub state: State,
    /// While a server process is kept as a zombie: the offset in /proc and the time of the next search for other
    /// children that have exited.
    pub orphan_search_offset_and_time: (u64, Time),
    /// The search in /proc for remaining processes, if one is running.
    pub sweep: Option<ProcessSweep>,
    /// The requests of `--replace` and their answers.
    pub replace_requests: ReplaceRequests,
    /// The server process of the current or last run.
    pub server: Option<ServerProcess>,
    /// The second process of a replacement (the candidate or, once that is the server, the old server), until none of
    /// its processes is left.
    pub second: Option<ServerProcess>,
}

/// Starts the server and supervises it until the last run is over. Returns how the supervision ended, the error of a
/// failed or stopped start, and facts about the last run.
#[inline(never)]
pub fn supervise(config: &mut SupervisorConfig, resources: &mut StartResources) -> (Ending, Option<Error>, LastRun) {
    config.log.note(Priority::Info, Note::Starting, &[MessageArg::Name(&config.quoted_command_line)]);
    let mut this = Supervisor::new(config, resources);
    let mut event = this.launch(ProcessSlot::Server);
    loop {
        let Supervisor { config, state, .. } = &mut *this;
        let time = now();
        let action = next(&config.policy, state, event, time);
        this.notify_service_manager(event);
        if action == Action::SwitchToCandidate {
            this.switch_over(time);
        }
        this.begin_or_end_probes(event, time);
        this.close_and_report_replacement();
        event = match action {
            Action::Finish(ending) => {
                let uptime = this.server.as_ref().and_then(|child| child.uptime).unwrap_or_default();
                let last = LastRun { uptime, total_restarts: this.state.unexpected_restarts() };
                return (ending, this.start_error, last);
            }
            Action::StartServer(logs) => this.relaunch(logs),
            Action::RunCrashHandler(exit) => this.run_handler(exit),
            Action::Send(signal, to) => {
                this.send_exit_signal(signal, to);
                this.unkillable_event(signal, to).unwrap_or_else(|| this.next_event())
            }
            Action::Forward(signal, to) => {
                this.forward(signal, to);
                this.suspend_self_if_required();
                this.next_event()
            }
            Action::RecordRestartDelay(span) => {
                let restarts = MessageArg::Count(this.state.unexpected_restarts());
                this.note(Priority::Notice, Note::RestartingIn, &[MessageArg::Duration(SpanDisplay(span)), restarts]);
                this.next_event()
            }
            Action::RecordStopDelay(span) => {
                this.note(Priority::Notice, Note::Delayed, &[MessageArg::Duration(SpanDisplay(span))]);
                this.next_event()
            }
            Action::ReportReady => {
                this.on_server_ready();
                this.next_event()
            }
            Action::Wait | Action::SwitchToCandidate => this.next_event(),
            Action::StartCandidate => this.launch_candidate(),
            Action::SendToSecondProcess(signal, to) => {
                this.send_to_second_process(signal, to);
                let refused = this.unkillable_event(signal, to).map(Event::for_second_process);
                refused.unwrap_or_else(|| this.next_event())
            }
        };
    }
}

impl<'a> Supervisor<'a> {
    /// Makes the supervisor before the first start of the server. The result is on the heap, and this function is not
    /// inlined, so that a sleeping supervisor uses little stack.
    #[inline(never)]
    fn new(config: &'a mut SupervisorConfig, resources: &'a mut StartResources) -> Box<Self> {
        Box::new(Self {
            state: State::new(&config.policy, now()),
            config,
            pidfiles: &resources.pidfiles,
            sockets: &mut resources.sockets,
            server: None,
            second: None,
            replace_requests: ReplaceRequests::default(),
            exits_pending: false,
            signals_pending: false,
            sweep: None,
            next_sweep_at: Time::default(),
            orphan_search_offset_and_time: (0, Time::default()),
            exit_hidden_by_tracer: false,
            due_deadline_postponed: false,
            start_error: None,
            last_delivery: Delivery::NotRefused,
            suspends_after_signal: false,
            stopped_by: Signal::TERM,
        })
    }
}

impl Supervisor<'_> {
    /// Called when the server is ready: reports that to the waiting parent and the service manager, leaves the
    /// directory if required, and releases memory that only the start needed. Exits if vsrun does not supervise the
    /// server.
    #[inline(never)]
    fn on_server_ready(&mut self) {
        if let Some(caller) = self.config.waiting_parent.take() {
            caller.report_started();
        }
        if self.config.after_start == AfterStart::ExitWhenReady {
            process::exit(exit::OK);
        }
        if let Some(service) = &mut self.config.service_manager {
            service.report_ready();
        }
        // Leave the caller's directory, because a file system cannot be unmounted while a process has its working
        // directory there.
        self.config.leaves_cwd.then(credentials::chdir_to_root);
        heap::release_stack();
    }

    /// Writes a pid to the server's pidfile, because the process could not do so itself, or because another process has
    /// become the server.
    pub fn write_pidfile(&self, pid: Pid) {
        let [Some(file), _] = self.pidfiles else { return };
        if let Err(why) = file.write(pid) {
            self.warn(Note::CannotWritePidfile, file.path(), why);
        }
    }

    /// Starts the crash handler for this exit of the server, and returns the next event.
    #[inline(never)]
    fn run_handler(&mut self, exit: Exit) -> Event {
        let config = &mut *self.config;
        let (Some(child), Some(handler)) = (&self.server, &mut config.crash_handler) else {
            return Event::HandlerExited(Exit::SUCCESS);
        };
        let not_executed = child.failure.is_some() || child.before_command.is_some();
        let reason = not_executed.then_some("exec").or(self.state.forced.map(ForcedStop::server_reason_env_value));
        let (pid, usage, uptime) = (child.pid, child.usage, child.uptime.unwrap_or_default());
        let report = CrashReport { exit, reason, pid, uptime, restarts: self.state.unexpected_restarts(), usage };
        let input = config.output.open_log_from(child.log_start);
        match handler.spawn(report, input.as_ref().map(AsFd::as_fd)) {
            Ok(()) => self.next_event(),
            Err(why) => {
                self.warn(Note::CannotStartHandler, MessageArg::None, why);
                Event::ForkFailed
            }
        }
    }

    /// True if a stop has been requested while a parent still waits for the outcome of the start, which is then an
    /// error.
    pub fn was_stopped_while_starting(&self) -> bool {
        self.config.waiting_parent.is_some() && self.state.is_finishing()
    }

    /// True during the first start, whose failure is an error.
    pub fn is_first_start(&self) -> bool {
        matches!(self.state.phase, Phase::Starting { .. })
    }

    /// Logs a warning about an object, with the text of the errno `why`.
    pub fn warn(&self, note: Note, object: MessageArg<'_>, why: Errno) {
        self.note(Priority::Warning, note, &[object, MessageArg::Errno(errno_text(why))]);
    }

    /// Logs a note about the process with this pid.
    pub fn note_process(&self, priority: Priority, note: Note, pid: Pid) {
        self.note(priority, note, &[MessageArg::Number(pid.number().into())]);
    }

    /// Logs the text of a note, filled in with the objects that it mentions.
    pub fn note(&self, priority: Priority, note: Note, objects: &[MessageArg<'_>]) {
        self.config.log.note(priority, note, objects);
    }

    /// Logs a formatted message.
    pub fn record(&self, priority: Priority, message: core::fmt::Arguments<'_>) {
        self.config.log.record(priority, message);
    }
}
