//! The loop around `manager::step`: acting and waiting in turn. Here the manager's words get their pids.
//!
//! Before the server lives we may fail; afterwards we may not. So nothing here returns an error: what fails is
//! recorded, and life goes on.

use crate::runtime::host::clock::now;
use crate::runtime::supervise::config::{AfterStart, SupervisorConfig};
use std::os::fd::{AsFd, OwnedFd};

use super::crash_handler::CrashReport;
use super::descendants::Sweep;
use super::lifeline::Lifeline;
use super::reread;
use crate::logic::base::duration::Duration;
use crate::logic::base::error::Error;
use crate::logic::base::exit::{self, Exit};
use crate::logic::base::text::Escaped;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Action, Ending, Event, LogFiles};
use crate::logic::supervisor::state::{Phase, State};
use crate::logic::supervisor::transition::next;
use crate::runtime::output::logdir::Mark;
use crate::runtime::report::log::Priority;
use crate::runtime::report::log::os_error;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::start::child_io::{Attempt, ChildIo};
use crate::runtime::start::deliver::Reach;
use crate::runtime::start::outcome::StepFailure;
use crate::runtime::start::spawn::{Spawned, spawn};
use crate::sys;
use crate::sys::Errno;
use crate::sys::credentials;
use crate::sys::heap;
use crate::sys::process::{self, Pid, Usage};

/// The server's life that goes on, or has just ended.
pub struct ServerProcess {
    /// Our child.
    pub pid: Pid,
    /// Tells of a failed step until the exec.
    pub report: Option<OwnedFd>,
    /// Shows its end even if a tracer hides it.
    pub line: Lifeline,
    /// Where it says that it is ready, until it has.
    pub ready: Option<OwnedFd>,
    /// Why it never came to run.
    pub failure: Option<StepFailure>,
    /// Where the server's file ended at its beginning.
    pub mark: Mark,
    /// What it took, once it has ended.
    pub usage: Usage,
    /// How long it lived, once it has ended.
    pub uptime: Option<Span>,
    /// Whether it has ended, and is not reaped because others of its group live: so the group keeps its number.
    pub left: bool,
}

/// The loop's own memory.
pub struct Supervisor<'a> {
    /// What the manager has.
    pub config: &'a mut SupervisorConfig,
    /// The server's pidfile.
    pub pidfile: Option<&'a Pidfile>,
    /// Where the manager is.
    pub state: State,
    /// The server's last life.
    pub server: Option<ServerProcess>,
    /// Whether children may have ended that were not looked at.
    pub unreaped: bool,
    /// The search for what is left of the server, while there is one.
    pub sweep: Option<Sweep>,
    /// When the next search begins.
    pub next_look: Time,
    /// Where in /proc, and when, dead children are looked for while the dead server itself is not to be reaped.
    pub others: (u64, Time),
    /// Whether a tracer has hidden the end of a child: it may be a child of ours still.
    pub hides: bool,
    /// Why the first start failed.
    pub error: Option<Error>,
    /// Whether signals reach the server.
    pub reach: Reach,
}

/// Starts the server and stays with it to the end. Returns how it ended, and why the first start failed, if it did.
#[inline(never)]
pub fn supervise(watch: &mut SupervisorConfig, pidfile: Option<&Pidfile>) -> (Ending, Option<Error>) {
    watch.log.record(Priority::Info, format_args!("starting: {}", Escaped(&watch.command)));
    let state = State::new(&watch.policy, now());
    // In the heap, so that the stack of a resting manager is short.
    let mut this = Box::new(Supervisor {
        config: watch,
        pidfile,
        state,
        server: None,
        unreaped: false,
        sweep: None,
        next_look: Time::default(),
        others: (0, Time::default()),
        hides: false,
        error: None,
        reach: Reach::Open,
    });
    let mut event = this.launch();
    loop {
        let Supervisor { config: watch, state, .. } = &mut *this;
        let action = next(&watch.policy, state, event, now());
        this.notify_service_manager(event);
        event = match action {
            Action::Finish(ending) => return (ending, this.error),
            Action::Launch(logs) => this.relaunch(logs),
            Action::RunHandler(exit) => this.run_handler(exit),
            Action::Send(signal, to) => {
                this.send(signal, to);
                this.after_sending(signal, to).unwrap_or_else(|| this.next_event())
            }
            Action::Forward(signal, to) => {
                this.forward(signal, to);
                this.next_event()
            }
            Action::Pause(span) => {
                let (span, restarts) = (Duration(span), this.state.restarts());
                this.record(Priority::Notice, format_args!("restarting in {span} (restart {restarts})"));
                this.next_event()
            }
            Action::ReportReady => {
                this.report_ready();
                this.next_event()
            }
            Action::Wait => this.next_event(),
        };
    }
}

impl Supervisor<'_> {
    /// The server has been started: reports it to the parent that waits.
    fn report_ready(&mut self) {
        if let Some(caller) = self.config.waiting_parent.take() {
            caller.ready();
        }
        if self.config.after_start == AfterStart::Leave {
            process::exit(exit::OK);
        }
        if let Some(service) = &mut self.config.service_manager {
            service.ready();
        }
        // Else the file system that it was called in could not be unmounted.
        self.config.moves.then(credentials::leave_dir);
        heap::release_stack();
    }

    fn relaunch(&mut self, logs: LogFiles) -> Event {
        if logs == LogFiles::Keep {
            let restarts = self.state.restarts();
            self.record(Priority::Notice, format_args!("restarting the server (restart {restarts})"));
        } else {
            self.config.output.rotate(&mut self.config.log);
            reread::reread(self.config);
            self.record(Priority::Notice, format_args!("restarting the server on request"));
        }
        self.launch()
    }

    /// Starts the server.
    #[inline(never)]
    fn launch(&mut self) -> Event {
        let attempt = if self.is_first_start() { Attempt::First } else { Attempt::Later };
        if attempt == Attempt::Later {
            self.revive_sockets();
        }
        let watch = &mut *self.config;
        watch.readiness.begin();
        let output = watch.output.server(&watch.log);
        let debug = watch.debug.then_some(&watch.log);
        let (dir, pidfile, cgroup) = (watch.output.dir(), self.pidfile, watch.cgroup.as_ref());
        let (readiness, log) = match watch.readiness.pipe() {
            Ok(Some((read, write, number))) => (Some(read), Some((write, number))),
            Ok(None) => (None, None),
            Err(why) => return self.cannot_launch(why),
        };
        let ready = log.as_ref().map(|(write, number)| (write.as_fd(), *number));
        let io = ChildIo { output, error: output, dir, pidfile, cgroup, ready, attempt, debug, ..ChildIo::none() };
        let mark = watch.output.mark();
        if let Some(handler) = &mut watch.handler {
            handler.begin();
        }
        match spawn(&watch.program, &io) {
            Ok(Spawned { pid, report }) => {
                let usage = Usage::default();
                let (report, ready, uptime) = (Some(report), readiness, None);
                let line = Lifeline::new(pid);
                self.server =
                    Some(ServerProcess { pid, report, line, ready, failure: None, mark, usage, uptime, left: false });
                drop(log);
                self.next_event()
            }
            Err(why) => self.cannot_launch(why),
        }
    }

    fn cannot_launch(&mut self, why: Errno) -> Event {
        if self.is_first_start() {
            self.error = Some(os_error(format_args!("cannot start a process"), why));
        } else {
            self.warn(format_args!("cannot start a process now"), why);
        }
        Event::ForkFailed
    }

    /// Tries once more what the server's process could not do, and says why not.
    pub fn write_pidfile(&self, pid: Pid) {
        let Some(file) = self.pidfile else { return };
        if let Err(why) = file.write(pid) {
            self.warn(format_args!("cannot write pidfile '{}'", file.path()), why);
        }
    }

    /// Starts the handler.
    fn run_handler(&mut self, exit: Exit) -> Event {
        let watch = &mut *self.config;
        let (Some(life), Some(handler)) = (&self.server, &mut watch.handler) else {
            return Event::HandlerExited(Exit::SUCCESS);
        };
        let reason = life.failure.is_some().then_some("exec").or(self.state.watchdog_fired.then_some("watchdog"));
        let (pid, usage, uptime) = (life.pid, life.usage, life.uptime.unwrap_or_default());
        let report = CrashReport { exit, reason, pid, uptime, restarts: self.state.restarts(), usage };
        let input = watch.output.read_from(life.mark);
        match handler.spawn(report, input.as_ref().map(AsFd::as_fd)) {
            Ok(()) => self.next_event(),
            Err(why) => {
                self.warn(format_args!("cannot start the handler now"), why);
                Event::ForkFailed
            }
        }
    }

    /// Whether this is the first start, which may fail.
    pub fn is_first_start(&self) -> bool {
        matches!(self.state.phase, Phase::Starting { .. })
    }

    /// Records what could not be done, and the system's own words.
    #[inline(never)]
    pub fn warn(&self, doing: core::fmt::Arguments<'_>, why: Errno) {
        self.record(Priority::Warning, format_args!("{doing}: {}", sys::errno_text(why)));
    }

    /// Records it.
    pub fn record(&self, priority: Priority, words: core::fmt::Arguments<'_>) {
        self.config.log.record(priority, words);
    }
}
