//! Reaps children that have exited: the server, the handler, helpers, orphans.

use super::descendants::{self, Found};
use super::lifeline::{Lifeline, hidden_exit};
use super::supervisor::Supervisor;
use crate::logic::base::duration::Duration;
use crate::logic::base::error::Error;
use crate::logic::base::exit::{Exit, Named};
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::event::{Event, Recipient};
use crate::logic::supervisor::state::{AfterStop, Phase};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::start::deliver;
use crate::runtime::start::outcome::ErrorText;
use crate::sys::process::{self, Pid};

/// Poll interval for processes whose exit sends us no SIGCHLD.
pub const POLL_INTERVAL: Span = Span::millis(100);
/// The most events that are read after the server exited: other processes of its user could send them without end.
const LAST_WORDS: usize = 64;
/// A server that puts itself into the background does so within this time.
const DAEMONIZES: Span = Span::secs(10);
const DAEMON: &str = "it has most likely put itself into the background; COMMAND must stay in the foreground";

impl Supervisor<'_> {
    /// Handles one child that has exited.
    #[inline(never)]
    pub fn reap(&mut self) -> Reaped {
        let Some(pid) = process::any_exited() else { return Reaped::None };
        if self.server.as_ref().is_some_and(|life| life.pid == pid) {
            // Messages that the server sent before its exit are handled before its exit.
            if self.read_ready_at_exit() {
                return Reaped::Event(Event::Ready);
            }
            if !self.has_survivors(pid) {
                return self.reap_server(pid);
            }
            if !self.any_left() {
                self.on_server_exit();
                return Reaped::Event(Event::LeaderExited);
            }
            return self.reap_others(pid);
        }
        self.reap_one(pid)
    }

    /// Reads what the server wrote before its exit. Returns true if it became ready.
    fn read_ready_at_exit(&mut self) -> bool {
        for _ in 0..LAST_WORDS {
            match self.drain_before_exit() {
                Some(Event::Ready) => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// Reaps children except the server, whose zombie keeps the number of its group from being reused. waitid(2)
    /// always reports that zombie first, so the others are looked for in /proc: at intervals and in limited numbers,
    /// because a group that forks in a loop would otherwise keep us busy.
    fn reap_others(&mut self, server: Pid) -> Reaped {
        let (from, due) = self.others;
        let time = now();
        if time < due {
            return Reaped::None;
        }
        let mut pids = [0; 64];
        let (count, next) = descendants::ended_children(server, from, &mut pids);
        for pid in pids.iter().take(count) {
            // The handler does not run now, so no exit among these is an event.
            self.reap_one(Pid::new(*pid));
        }
        self.others = (next.unwrap_or(0), if next.is_some() { time } else { time.after(POLL_INTERVAL) });
        if next.is_some() { Reaped::Other } else { Reaped::None }
    }

    fn reap_one(&mut self, pid: Pid) -> Reaped {
        self.kill_rest_of_probe(pid);
        let Ok((word, _)) = process::reap(pid) else { return Reaped::None };
        let exit = Exit::from_wait(word);
        self.config.readiness.forget(pid);
        if let Some(event) = self.on_probe_exit(pid, exit) {
            return Reaped::Event(event);
        }
        if self.config.handler.as_ref().is_some_and(|handler| handler.pid() == Some(pid)) {
            return self.handled(exit);
        }
        if let Some(name) = self.config.output.on_exit(pid, now()) {
            self.record(Priority::Warning, format_args!("the {name} {}, and will be started again", Named(exit)));
        } else if self.config.personality.reports_orphans {
            self.record(Priority::Warning, format_args!("Reaped zombie process with pid={pid}"));
        }
        Reaped::Other
    }

    /// The handler exited: records its verdict.
    fn handled(&mut self, exit: Exit) -> Reaped {
        let mut why = ErrorText::new();
        if let Some(handler) = &mut self.config.handler {
            handler.output.read_rest(&self.config.log);
            handler.on_exit(&mut why);
        }
        let (verdict, why) = (if exit == Exit::SUCCESS { "agrees" } else { "refuses" }, why.as_str());
        self.record(Priority::Notice, format_args!("the handler {verdict}: {}{why}", Named(exit)));
        Reaped::Event(Event::HandlerExited(exit))
    }

    /// When an exit counts that a tracer hides.
    pub fn hidden_end(&self) -> Option<Time> {
        let server = self.server.as_ref().and_then(|life| life.line.deadline());
        server.or_else(|| self.config.handler.as_ref().and_then(|handler| handler.line.deadline()))
    }

    /// Handles an exit that a tracer hides. The process is reaped when the tracer detaches; until then its pid cannot
    /// be reused.
    #[inline(never)]
    pub fn accept_hidden_end(&mut self) -> Option<Event> {
        let time = now();
        let due = |line: &Lifeline| line.deadline().is_some_and(|deadline| deadline <= time);
        if let Some(pid) =
            self.config.handler.as_ref().filter(|handler| due(&handler.line)).and_then(|handler| handler.pid())
        {
            self.record(Priority::Warning, format_args!("the handler has ended, which a process that traces it hides"));
            return match self.handled(hidden_exit(pid)) {
                Reaped::Event(event) => Some(event),
                Reaped::Other | Reaped::None => None,
            };
        }
        let life = self.server.as_mut().filter(|life| due(&life.line))?;
        let pid = life.pid;
        if process::has_exited(pid) {
            // The tracer has just detached.
            (life.line, self.unreaped) = (Lifeline::default(), true);
            return None;
        }
        let words = "has ended, which a process that traces it hides; its exit status may be unknown";
        self.record(Priority::Warning, format_args!("the server (pid {pid}) {words}"));
        if self.read_ready_at_exit() {
            return Some(Event::Ready);
        }
        self.on_server_exit();
        self.hides = true;
        if self.config.policy.signal_scope == Recipient::Group || self.preparing().is_some() {
            // waitid(2) cannot show whether others of the group are alive. The number of the group is not reused yet.
            deliver::kill_group(pid, &self.config.program);
        }
        self.conclude(pid, hidden_exit(pid))
    }

    /// True if the server is a zombie that is kept until the rest of its group has exited.
    pub fn any_left(&self) -> bool {
        self.server.as_ref().is_some_and(|life| life.left)
    }

    /// True if other processes of the server's group are alive and have to exit before anything follows.
    fn has_survivors(&self, pid: Pid) -> bool {
        let ran = self.server.as_ref().is_some_and(|life| life.failure.is_none() && life.preparing.is_none());
        // The wait for a process that hangs in the kernel, or that a tracer keeps, has an end.
        let given_up =
            matches!(self.state.phase, Phase::Clearing { killed: true, until: Some(until), .. } if until <= now());
        ran && !given_up && self.config.policy.signal_scope == Recipient::Group && process::any_child_lives(Some(pid))
    }

    /// The server exited and is not reaped yet. The pidfile is emptied before the reaping, because after it another
    /// process can get the pid.
    fn on_server_exit(&mut self) {
        let uptime = self.state.uptime(now());
        if let Some(life) = &mut self.server {
            (life.uptime, life.left, life.line) = (Some(uptime), true, Lifeline::default());
        }
        if let Some(file) = self.pidfile
            && let Err(why) = file.empty()
            // A failed first start reports only its own reason, and removes the file.
            && !self.is_first_start()
        {
            self.warn(format_args!("cannot empty pidfile '{}'", file.path()), why);
        }
    }

    /// Reaps the server after the rest of its group has exited, if it had to.
    #[inline(never)]
    fn reap_server(&mut self, pid: Pid) -> Reaped {
        if !self.any_left() {
            self.on_server_exit();
        }
        if self.config.policy.signal_scope == Recipient::Group || self.preparing().is_some() {
            // Kills processes of the group that are not our children, because a parent outside of the group is alive.
            deliver::kill_group(pid, &self.config.program);
        } else if let Some(signal) = self.config.personality.farewell {
            // Before the number of the group can be reused.
            self.forward(signal, Recipient::Group);
        }
        let Ok((word, usage)) = process::reap(pid) else { return Reaped::None };
        if let Some(life) = &mut self.server {
            life.usage = usage;
        }
        self.conclude(pid, Exit::from_wait(word)).map_or(Reaped::Other, Reaped::Event)
    }

    /// The run is over: records it and returns its event.
    fn conclude(&mut self, pid: Pid, exit: Exit) -> Option<Event> {
        let command = self.preparing();
        if self.config.policy.linger.is_none() || command.is_some() {
            self.config.kill_cgroup();
        }
        let Some(life) = &mut self.server else { return Some(Event::Exited(exit)) };
        life.left = false;
        if let Some(command) = command {
            return self.conclude_command(command, exit);
        }
        let Some(life) = &self.server else { return Some(Event::Exited(exit)) };
        let uptime = life.uptime.unwrap_or_default();
        let Some(failure) = &life.failure else {
            let (named, lived) = (Named(exit), Duration(uptime));
            let fails = self.is_first_start()
                || matches!(
                    self.state.phase,
                    Phase::Stopping { next: AfterStop::FailStart, .. }
                        | Phase::Clearing { next: AfterStop::FailStart, .. }
                );
            self.record(Priority::Notice, format_args!("the server (pid {pid}) {named} after {lived}"));
            // A server that puts itself into the background seems to exit at once with 0, and continues unsupervised.
            let by_itself = matches!(self.state.phase, Phase::Starting { .. } | Phase::Running);
            let mut found = Found::default();
            if by_itself && exit == Exit::SUCCESS && uptime < DAEMONIZES {
                found = descendants::survey(self.config.helpers());
            }
            let daemon = found.count > 0;
            if daemon {
                self.record(Priority::Warning, format_args!("the server has left {found} running: {DAEMON}"));
            }
            if fails && self.error.is_none() {
                let (colon, hint) = if daemon { (": ", DAEMON) } else { ("", "") };
                self.error = Some(Error::setup(format_args!("the server {named} before it was ready{colon}{hint}")));
            }
            return Some(Event::Exited(exit));
        };
        let code = failure.code(&self.config.program);
        if self.is_first_start() {
            // The caller gets the error, and the log gets it at vsrun's exit.
            self.error = Some(failure.error(&self.config.program));
        } else {
            let mut text = ErrorText::new();
            let _ = failure.write(&self.config.program, &mut text);
            self.record(Priority::Err, format_args!("{}", text.as_str()));
        }
        Some(Event::ExecFailed(code))
    }
}

/// The result of `reap`.
pub enum Reaped {
    /// The server or the handler exited.
    Event(Event),
    /// Another child exited.
    Other,
    /// No child has exited.
    None,
}
