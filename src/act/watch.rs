//! The loop around `manager::step`: acting and waiting in turn. Here the manager's words get their pids.
//!
//! Before the server lives we may fail; afterwards we may not. So nothing here returns an error: what fails is
//! recorded, and life goes on.

use std::os::fd::{AsFd, OwnedFd};

use crate::act::detach::Caller;
use crate::act::handler::{Handler, Report};
use crate::act::launch::{Attempt, Failure, Launched, Prepared, Start, Wires, spawn};
use crate::act::pidfile::Pidfile;
use crate::act::say::{Priority, Voice};
use crate::act::sink::Sink;
use crate::decide::error::Error;
use crate::decide::event::{Action, Ending, Event, Logs, To};
use crate::decide::exit::{self, Exit};
use crate::decide::manager::{Phase, State, step};
use crate::decide::policy::Policy;
use crate::decide::signal::Signal;
use crate::decide::text::{Clean, Text};
use crate::decide::time::{Span, Time};
use crate::sys::process::{self, Pid, Target, Usage};
use crate::sys::wait::{self, Signals};
use crate::sys::{self, clock};

/// Everything that a manager has.
pub struct Watch {
    /// The rules.
    pub policy: Policy,
    /// The server, ready to be started.
    pub program: Prepared,
    /// The command as a shell would read it.
    pub command: Vec<u8>,
    /// Who is asked after an unexpected end.
    pub handler: Option<Handler>,
    /// Where the server's words go.
    pub sink: Sink,
    /// Where vsrun's own words go.
    pub voice: Voice,
    /// Whether each step is told.
    pub debug: bool,
    /// The server's pidfile.
    pub pidfile: Option<Pidfile>,
    /// The signals that have come.
    pub signals: Signals,
    /// The one who waits for the server to be started.
    pub caller: Option<Caller>,
}

/// The server's life that goes on, or has just ended.
struct Life {
    pid: Pid,
    /// Tells of a failed step until the exec.
    report: Option<OwnedFd>,
    /// Why it never came to run.
    failure: Option<Failure>,
    /// How long the server's file was at its beginning.
    mark: u64,
    usage: Usage,
    uptime: Span,
}

/// The loop's own memory.
struct Loop<'a> {
    watch: &'a mut Watch,
    state: State,
    life: Option<Life>,
    /// Whether children may have ended that were not looked at.
    unreaped: bool,
    /// Why the first start failed.
    error: Option<Error>,
}

/// Starts the server and stays with it to the end. Answers how it ended, and why the first start failed, if it did.
pub fn watch(watch: &mut Watch) -> (Ending, Option<Error>) {
    let command = Clean(&watch.command);
    watch.voice.say(Priority::Info, format_args!("starting: {command}"));
    let state = State::new(&watch.policy, now());
    let mut this = Loop { watch, state, life: None, unreaped: false, error: None };
    let mut event = this.launch();
    loop {
        let time = now();
        let (next, action) = step(&this.watch.policy, this.state, event, time);
        this.state = next;
        event = match action {
            Action::Finish(ending) => return (ending, this.error),
            Action::Launch(logs) => this.relaunch(logs),
            Action::Handle(exit) => this.ask(exit),
            Action::Send(signal, to) => {
                this.send(signal, to);
                this.wait()
            }
            Action::Announce => {
                if let Some(caller) = this.watch.caller.take() {
                    caller.ready();
                }
                this.wait()
            }
            Action::Wait => this.wait(),
        };
    }
}

fn now() -> Time {
    Time(clock::monotonic())
}

impl Loop<'_> {
    fn relaunch(&mut self, logs: Logs) -> Event {
        if logs == Logs::Rotate {
            self.watch.sink.rotate(&mut self.watch.voice);
        }
        let restarts = self.state.restarts();
        match logs {
            Logs::Rotate => self.say(Priority::Notice, format_args!("restarting the server on request")),
            Logs::Same => self.say(Priority::Notice, format_args!("restarting the server (restart {restarts})")),
        }
        self.launch()
    }

    /// Starts the server.
    fn launch(&mut self) -> Event {
        let watch = &mut *self.watch;
        let output = watch.sink.server(&watch.voice);
        let debug = watch.debug.then_some(&watch.voice);
        let attempt = if self.state.phase == Phase::Starting { Attempt::First } else { Attempt::Later };
        let pidfile = watch.pidfile.as_ref();
        let wires = Wires { output, error: output, pidfile, attempt, debug, ..Wires::default() };
        let mark = if let Sink::Files(logs) = &watch.sink { logs.length() } else { 0 };
        match spawn(&watch.program, &wires) {
            Ok(Launched { pid, report }) => {
                let (usage, uptime) = (Usage::default(), Span::ZERO);
                self.life = Some(Life { pid, report: Some(report), failure: None, mark, usage, uptime });
                self.wait()
            }
            Err(why) => {
                let why = sys::words(&why);
                if self.is_first() {
                    self.error = Some(Error::refused(format!("cannot start a process: {why}")));
                } else {
                    self.say(Priority::Warning, format_args!("cannot start a process now: {why}"));
                }
                Event::NoFork
            }
        }
    }

    /// Tries once more what the server's process could not do, and says why not.
    fn write_pidfile(&self, pid: Pid) {
        let Some(file) = &self.watch.pidfile else { return };
        if let Err(why) = file.write(pid) {
            let (path, why) = (file.path(), sys::words(&why));
            self.say(Priority::Warning, format_args!("cannot write pidfile '{path}': {why}"));
        }
    }

    /// Starts the handler.
    fn ask(&mut self, exit: Exit) -> Event {
        let watch = &mut *self.watch;
        let (Some(life), Some(handler)) = (&self.life, &mut watch.handler) else {
            return Event::Handled(Exit::SUCCESS);
        };
        let report = Report {
            exit,
            failed: life.failure.is_some(),
            pid: life.pid,
            uptime: life.uptime,
            restarts: self.state.restarts(),
            usage: life.usage,
        };
        let input = if let Sink::Files(logs) = &watch.sink { logs.read_from(life.mark) } else { None };
        match handler.ask(&report, input, watch.sink.handler(&watch.voice)) {
            Ok(()) => self.wait(),
            Err(why) => {
                self.say(Priority::Warning, format_args!("cannot start the handler now: {}", sys::words(&why)));
                Event::NoFork
            }
        }
    }

    fn send(&mut self, signal: Signal, to: To) {
        let (pid, target): (_, fn(Pid) -> Target) = match to {
            To::Server => (self.life.as_ref().map(|life| life.pid), Target::Process),
            To::Group => (self.life.as_ref().map(|life| life.pid), Target::Group),
            To::Handler => (self.watch.handler.as_ref().and_then(Handler::pid), Target::Group),
        };
        let Some(pid) = pid else { return };
        self.say(Priority::Notice, format_args!("sending {signal} to pid {pid}"));
        process::send(signal.number(), target(pid));
        if signal == self.watch.policy.stop_signal || signal == Signal::TERM {
            // A stopped process gets no signal but this one and KILL.
            process::send(Signal::CONT.number(), target(pid));
        }
    }

    /// Sleeps until something happens.
    fn wait(&mut self) -> Event {
        loop {
            if self.unreaped {
                match self.reap() {
                    Reaped::Event(event) => return event,
                    Reaped::Stranger => continue,
                    Reaped::Nobody => self.unreaped = false,
                }
            }
            if let Some(event) = self.hear_signal() {
                return event;
            }
            if self.unreaped {
                continue;
            }
            let time = now();
            if self.state.deadline().is_some_and(|until| until <= time) {
                return Event::Tick;
            }
            self.watch.sink.tend(time);
            let wake = self.state.deadline().into_iter().chain(self.watch.sink.deadline()).min();
            let report = self.life.as_ref().and_then(|life| life.report.as_ref());
            let fds = [Some(self.watch.signals.as_fd()), report.map(AsFd::as_fd)];
            let [_, told] = wait::next(fds, wake.map(|wake| wake.since(time).0));
            if told && let Some(event) = self.hear_report() {
                return event;
            }
        }
    }

    /// The next signal that is of any consequence.
    fn hear_signal(&mut self) -> Option<Event> {
        while let Some(arrived) = self.watch.signals.next() {
            let Some(signal) = Signal::new(arrived.signal.into()) else { continue };
            // A write of our own to a pipe that nobody reads, or beyond a limit, is nobody's request.
            let own = [Signal::PIPE, Signal::XFSZ].contains(&signal) && process::id().is_sender(arrived.sender);
            if own {
                continue;
            }
            if signal == Signal::CHLD {
                self.unreaped = true;
                return None;
            }
            self.say(Priority::Notice, format_args!("received {signal}"));
            return Some(match signal {
                Signal::TERM => Event::Stop,
                Signal::INT => Event::Interrupt,
                Signal::HUP => Event::Restart,
                signal => Event::Pass(signal),
            });
        }
        None
    }

    /// What the server's process tells before it is the server: a failed step; or nothing, and then it is.
    fn hear_report(&mut self) -> Option<Event> {
        let life = self.life.as_mut()?;
        let pid = life.pid;
        match Start::await_end(&life.report.take()?) {
            start @ (Start::Done | Start::WithoutPidfile) => {
                if let Start::WithoutPidfile = start {
                    self.write_pidfile(pid);
                }
                self.say(Priority::Info, format_args!("started: pid {pid}"));
                Some(Event::Ready)
            }
            // Its end will tell.
            Start::Failed(failure) => {
                life.failure = Some(failure);
                None
            }
            Start::Killed => None,
        }
    }

    /// Looks at one child that has ended.
    fn reap(&mut self) -> Reaped {
        let Some(pid) = process::peek() else { return Reaped::Nobody };
        if self.life.as_ref().is_some_and(|life| life.pid == pid) {
            if let Some(event) = self.hear_report() {
                return Reaped::Event(event);
            }
            return self.reap_server(pid);
        }
        let Ok((word, _)) = process::reap(pid) else { return Reaped::Nobody };
        let exit = Exit::from_wait(word);
        if let Some(handler) = self.watch.handler.as_mut().filter(|handler| handler.pid() == Some(pid)) {
            let mut why = Text::<512>::new();
            handler.ended(&mut why);
            let why = core::str::from_utf8(why.as_bytes()).unwrap_or_default();
            let verdict = if exit == Exit::SUCCESS { "agrees" } else { "refuses" };
            self.say(Priority::Notice, format_args!("the handler {verdict}: it {exit}{why}"));
            return Reaped::Event(Event::Handled(exit));
        }
        if self.watch.sink.fell(pid, now()) {
            self.say(Priority::Warning, format_args!("the logger {exit}, and will be started again"));
        }
        Reaped::Stranger
    }

    /// The server has ended. The number in the pidfile must be gone before the pid can be somebody else's.
    fn reap_server(&mut self, pid: Pid) -> Reaped {
        if let Some(file) = &self.watch.pidfile
            && let Err(why) = file.empty()
        {
            let (path, why) = (file.path(), sys::words(&why));
            self.say(Priority::Warning, format_args!("cannot empty pidfile '{path}': {why}"));
        }
        let Ok((word, usage)) = process::reap(pid) else { return Reaped::Nobody };
        let exit = Exit::from_wait(word);
        let uptime = self.state.uptime(now());
        if let Some(life) = &mut self.life {
            (life.usage, life.uptime) = (usage, uptime);
        }
        let Some(life) = &self.life else { return Reaped::Stranger };
        let Some(failure) = &life.failure else {
            self.say(Priority::Notice, format_args!("the server (pid {pid}) {exit} after {} s", uptime.0 / 1000));
            return Reaped::Event(Event::Fell(exit));
        };
        let code = failure.code(&self.watch.program);
        if self.is_first() {
            // The caller is told, and in the log it stands at the end.
            self.error = Some(failure.error(&self.watch.program));
        } else {
            let mut text = Text::<512>::new();
            let _ = failure.write(&self.watch.program, &mut text);
            let text = core::str::from_utf8(text.as_bytes()).unwrap_or_default();
            self.say(Priority::Err, format_args!("{text}"));
        }
        Reaped::Event(Event::Failed(code))
    }

    /// Whether this is the first start, which may fail.
    fn is_first(&self) -> bool {
        self.state.phase == Phase::Starting
    }

    fn say(&self, priority: Priority, words: core::fmt::Arguments<'_>) {
        self.watch.voice.say(priority, words);
    }
}

/// What became of a look at the children.
enum Reaped {
    /// The server or the handler has ended.
    Event(Event),
    /// Somebody else has.
    Stranger,
    /// None has.
    Nobody,
}

impl Watch {
    /// The words at the end.
    pub fn say_ending(&self, ending: Ending) {
        let status = ending.status();
        let why = match ending {
            Ending::Server(_) => "with the server",
            Ending::GaveUp(_) => "after too many restarts",
            Ending::Stopped => "on request",
            // On standard error, the error itself says it all.
            Ending::Failed(_) if matches!(self.voice, Voice::Plain) => return,
            Ending::Failed(_) => "without a server",
        };
        let priority = if status == exit::OK { Priority::Info } else { Priority::Err };
        self.voice.say(priority, format_args!("shutdown: {why}, status {status}"));
    }
}
