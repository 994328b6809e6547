//! The loop around `manager::step`: acting and waiting in turn. Here the manager's words get their pids.
//!
//! Before the server lives we may fail; afterwards we may not. So nothing here returns an error: what fails is
//! recorded, and life goes on.

use std::os::fd::{AsFd, OwnedFd};

use crate::act::cgroup::Cgroup;
use crate::act::deliver::Reach;
use crate::act::descendants::Sweep;
use crate::act::detach::Caller;
use crate::act::handler::{Handler, Report};
use crate::act::launch::{Attempt, Launched, Wires, spawn};
use crate::act::lifeline::Lifeline;
use crate::act::logs::Mark;
use crate::act::pidfile::Pidfile;
use crate::act::prepared::Prepared;
use crate::act::ready::Ear;
use crate::act::report::Failure;
use crate::act::reread;
use crate::act::say::{Priority, Voice, failed};
use crate::act::service::Service;
use crate::act::sink::Sink;
use crate::decide::duration::Duration;
use crate::decide::error::Error;
use crate::decide::event::{Action, Ending, Event, Logs};
use crate::decide::exit::{self, Exit};
use crate::decide::manager::step;
use crate::decide::policy::Policy;
use crate::decide::state::{Phase, State};
use crate::decide::text::Clean;
use crate::decide::time::{Span, Time};
use crate::decide::traps::Traps;
use crate::sys::process::{self, Pid, Usage};
use crate::sys::wait::Signals;
use crate::sys::{self, Errno, clock, heap, identity};

/// Everything that a manager has.
pub struct Watch {
    /// The rules.
    pub policy: Policy,
    /// The server, ready to be started.
    pub program: Prepared,
    /// The command as a shell would read it.
    pub command: Vec<u8>,
    /// Who is asked after an unexpected end.
    pub handler: Option<Box<Handler>>,
    /// Where the server's words go.
    pub sink: Sink,
    /// Where vsrun's own words go.
    pub voice: Voice,
    /// Whether each step is told.
    pub debug: bool,
    /// The server's control group.
    pub cgroup: Option<Cgroup>,
    /// The signals that have come.
    pub signals: Signals,
    /// What each of them does.
    pub traps: Traps,
    /// How the server says that it has been started.
    pub ear: Ear,
    /// The service manager above us.
    pub service: Option<Service>,
    /// The one who waits for the server to be started.
    pub caller: Option<Caller>,
    /// What becomes of us then.
    pub afterwards: Afterwards,
    /// Whether it leaves the directory that it was called in.
    pub moves: bool,
}

/// What becomes of vsrun once the server has been started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It stays.
    Stay,
    /// It leaves the server alone, with status 0.
    Leave,
}

/// The server's life that goes on, or has just ended.
pub struct Life {
    /// Our child.
    pub pid: Pid,
    /// Tells of a failed step until the exec.
    pub report: Option<OwnedFd>,
    /// Shows its end even if a tracer hides it.
    pub line: Lifeline,
    /// Where it says that it is ready, until it has.
    pub ready: Option<OwnedFd>,
    /// Why it never came to run.
    pub failure: Option<Failure>,
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
pub struct Loop<'a> {
    /// What the manager has.
    pub watch: &'a mut Watch,
    /// The server's pidfile.
    pub pidfile: Option<&'a Pidfile>,
    /// Where the manager is.
    pub state: State,
    /// The server's last life.
    pub life: Option<Life>,
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

/// Starts the server and stays with it to the end. Answers how it ended, and why the first start failed, if it did.
#[inline(never)]
pub fn watch(watch: &mut Watch, pidfile: Option<&Pidfile>) -> (Ending, Option<Error>) {
    watch.voice.say(Priority::Info, format_args!("starting: {}", Clean(&watch.command)));
    let state = State::new(&watch.policy, now());
    // In the heap, so that the stack of a resting manager is short.
    let mut this = Box::new(Loop {
        watch,
        pidfile,
        state,
        life: None,
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
        let Loop { watch, state, .. } = &mut *this;
        let action = step(&watch.policy, state, event, now());
        this.tell_service(event);
        event = match action {
            Action::Finish(ending) => return (ending, this.error),
            Action::Launch(logs) => this.relaunch(logs),
            Action::Handle(exit) => this.ask(exit),
            Action::Send(signal, to) => {
                this.send(signal, to);
                this.after_sending(signal, to).unwrap_or_else(|| this.wait())
            }
            Action::Forward(signal, to) => {
                this.forward(signal, to);
                this.wait()
            }
            Action::Pause(span) => {
                let (span, restarts) = (Duration(span), this.state.restarts());
                this.say(Priority::Notice, format_args!("restarting in {span} (restart {restarts})"));
                this.wait()
            }
            Action::Announce => {
                this.announce();
                this.wait()
            }
            Action::Wait => this.wait(),
        };
    }
}

/// The monotonic clock.
pub fn now() -> Time {
    Time(clock::monotonic())
}

impl Loop<'_> {
    /// The server has been started: whoever waited for it is told.
    fn announce(&mut self) {
        if let Some(caller) = self.watch.caller.take() {
            caller.ready();
        }
        if self.watch.afterwards == Afterwards::Leave {
            process::leave(exit::OK);
        }
        if let Some(service) = &mut self.watch.service {
            service.ready();
        }
        // Else the file system that it was called in could not be unmounted.
        self.watch.moves.then(identity::leave_dir);
        heap::release_stack();
    }

    fn relaunch(&mut self, logs: Logs) -> Event {
        if logs == Logs::Same {
            let restarts = self.state.restarts();
            self.say(Priority::Notice, format_args!("restarting the server (restart {restarts})"));
        } else {
            self.watch.sink.rotate(&mut self.watch.voice);
            reread::reread(self.watch);
            self.say(Priority::Notice, format_args!("restarting the server on request"));
        }
        self.launch()
    }

    /// Starts the server.
    #[inline(never)]
    fn launch(&mut self) -> Event {
        let attempt = if self.is_first() { Attempt::First } else { Attempt::Later };
        if attempt == Attempt::Later {
            self.revive_sockets();
        }
        let watch = &mut *self.watch;
        watch.ear.begin();
        let output = watch.sink.server(&watch.voice);
        let debug = watch.debug.then_some(&watch.voice);
        let (dir, pidfile, cgroup) = (watch.sink.dir(), self.pidfile, watch.cgroup.as_ref());
        let (ear, voice) = match watch.ear.pipe() {
            Ok(Some((read, write, number))) => (Some(read), Some((write, number))),
            Ok(None) => (None, None),
            Err(why) => return self.cannot_launch(why),
        };
        let ready = voice.as_ref().map(|(write, number)| (write.as_fd(), *number));
        let wires = Wires { output, error: output, dir, pidfile, cgroup, ready, attempt, debug, ..Wires::resting() };
        let mark = watch.sink.mark();
        if let Some(handler) = &mut watch.handler {
            handler.begin();
        }
        match spawn(&watch.program, &wires) {
            Ok(Launched { pid, report }) => {
                let usage = Usage::default();
                let (report, ready, uptime) = (Some(report), ear, None);
                let line = Lifeline::new(pid);
                self.life = Some(Life { pid, report, line, ready, failure: None, mark, usage, uptime, left: false });
                drop(voice);
                self.wait()
            }
            Err(why) => self.cannot_launch(why),
        }
    }

    fn cannot_launch(&mut self, why: Errno) -> Event {
        if self.is_first() {
            self.error = Some(failed(format_args!("cannot start a process"), why));
        } else {
            self.warn(format_args!("cannot start a process now"), why);
        }
        Event::NoFork
    }

    /// Tries once more what the server's process could not do, and says why not.
    pub fn write_pidfile(&self, pid: Pid) {
        let Some(file) = self.pidfile else { return };
        if let Err(why) = file.write(pid) {
            self.warn(format_args!("cannot write pidfile '{}'", file.path()), why);
        }
    }

    /// Starts the handler.
    fn ask(&mut self, exit: Exit) -> Event {
        let watch = &mut *self.watch;
        let (Some(life), Some(handler)) = (&self.life, &mut watch.handler) else {
            return Event::Handled(Exit::SUCCESS);
        };
        let reason = life.failure.is_some().then_some("exec").or(self.state.bitten.then_some("watchdog"));
        let (pid, usage, uptime) = (life.pid, life.usage, life.uptime.unwrap_or_default());
        let report = Report { exit, reason, pid, uptime, restarts: self.state.restarts(), usage };
        let input = watch.sink.read_from(life.mark);
        match handler.ask(report, input.as_ref().map(AsFd::as_fd)) {
            Ok(()) => self.wait(),
            Err(why) => {
                self.warn(format_args!("cannot start the handler now"), why);
                Event::NoFork
            }
        }
    }

    /// Whether this is the first start, which may fail.
    pub fn is_first(&self) -> bool {
        matches!(self.state.phase, Phase::Starting { .. })
    }

    /// Records what could not be done, and the system's own words.
    #[inline(never)]
    pub fn warn(&self, doing: core::fmt::Arguments<'_>, why: Errno) {
        self.say(Priority::Warning, format_args!("{doing}: {}", sys::words(why)));
    }

    /// Records it.
    pub fn say(&self, priority: Priority, words: core::fmt::Arguments<'_>) {
        self.watch.voice.say(priority, words);
    }
}
