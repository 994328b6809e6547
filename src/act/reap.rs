//! Children that have ended: the server, the handler, helpers, orphans.

use crate::act::deliver;
use crate::act::descendants::{self, Found};
use crate::act::lifeline::{Lifeline, hidden_exit};
use crate::act::report::Line;
use crate::act::say::Priority;
use crate::act::watch::{Loop, now};
use crate::decide::duration::Duration;
use crate::decide::error::Error;
use crate::decide::event::{Event, To};
use crate::decide::exit::{Exit, Named};
use crate::decide::state::{Next, Phase};
use crate::decide::time::{Span, Time};
use crate::sys::process::{self, Pid};

/// How often processes are looked for whose end sends us no signal.
pub const LOOK: Span = Span::millis(100);
/// The most events that a server which has ended may have left: other processes can send in its name for ever.
const LAST_WORDS: usize = 64;
/// A server that puts itself into the background does so within this time.
const DAEMONIZES: Span = Span::secs(10);
const DAEMON: &str = "it has most likely put itself into the background; COMMAND must stay in the foreground";

impl Loop<'_> {
    /// Looks at one child that has ended.
    #[inline(never)]
    pub fn reap(&mut self) -> Reaped {
        let Some(pid) = process::peek() else { return Reaped::Nobody };
        if self.life.as_ref().is_some_and(|life| life.pid == pid) {
            // What it said before its end comes before its end.
            if self.hears_ready() {
                return Reaped::Event(Event::Ready);
            }
            if !self.is_survived(pid) {
                return self.reap_server(pid);
            }
            if !self.is_left() {
                self.mourn();
                return Reaped::Event(Event::Left);
            }
            return self.reap_others(pid);
        }
        self.reap_one(pid)
    }

    /// Reads what a server that has ended has left. Returns whether it became ready.
    fn hears_ready(&mut self) -> bool {
        for _ in 0..LAST_WORDS {
            match self.hear_last_words() {
                Some(Event::Ready) => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// While the dead server keeps the number of its group, it is the first child that the kernel names, and the others
    /// have to be found in /proc. A group that forks in a loop would have them looked for without a break; so that is
    /// done some times a second, and each time for a limited number.
    fn reap_others(&mut self, server: Pid) -> Reaped {
        let (from, due) = self.others;
        let time = now();
        if time < due {
            return Reaped::Nobody;
        }
        let mut pids = [0; 64];
        let (count, next) = descendants::ended_children(server, from, &mut pids);
        for pid in pids.iter().take(count) {
            // The handler does not run now, so none of them is an event.
            self.reap_one(Pid::new(*pid));
        }
        self.others = (next.unwrap_or(0), if next.is_some() { time } else { time.after(LOOK) });
        if next.is_some() { Reaped::Stranger } else { Reaped::Nobody }
    }

    fn reap_one(&mut self, pid: Pid) -> Reaped {
        let Ok((word, _)) = process::reap(pid) else { return Reaped::Nobody };
        let exit = Exit::from_wait(word);
        self.watch.ear.forget(pid);
        if self.watch.handler.as_ref().is_some_and(|handler| handler.pid() == Some(pid)) {
            return self.handled(exit);
        }
        if let Some(name) = self.watch.sink.fell(pid, now()) {
            self.say(Priority::Warning, format_args!("the {name} {}, and will be started again", Named(exit)));
        }
        Reaped::Stranger
    }

    /// The handler has ended.
    fn handled(&mut self, exit: Exit) -> Reaped {
        let mut why = Line::new();
        if let Some(handler) = &mut self.watch.handler {
            handler.output.read_rest(&self.watch.voice);
            handler.ended(&mut why);
        }
        let (verdict, why) = (if exit == Exit::SUCCESS { "agrees" } else { "refuses" }, why.as_str());
        self.say(Priority::Notice, format_args!("the handler {verdict}: {}{why}", Named(exit)));
        Reaped::Event(Event::Handled(exit))
    }

    /// When an end counts that the kernel does not report.
    pub fn hidden_end(&self) -> Option<Time> {
        let server = self.life.as_ref().and_then(|life| life.line.deadline());
        server.or_else(|| self.watch.handler.as_ref().and_then(|handler| handler.line.deadline()))
    }

    /// An end that the kernel does not report, because a tracer keeps the process. It is reaped when the tracer has let
    /// go; until then its number remains its own.
    #[inline(never)]
    pub fn accept_hidden_end(&mut self) -> Option<Event> {
        let time = now();
        let due = |line: &Lifeline| line.deadline().is_some_and(|deadline| deadline <= time);
        if let Some(pid) =
            self.watch.handler.as_ref().filter(|handler| due(&handler.line)).and_then(|handler| handler.pid())
        {
            self.say(Priority::Warning, format_args!("the handler has ended, which a process that traces it hides"));
            return match self.handled(hidden_exit(pid)) {
                Reaped::Event(event) => Some(event),
                Reaped::Stranger | Reaped::Nobody => None,
            };
        }
        let life = self.life.as_mut().filter(|life| due(&life.line))?;
        let pid = life.pid;
        if process::has_ended(pid) {
            // The tracer has let go of it just now.
            (life.line, self.unreaped) = (Lifeline::default(), true);
            return None;
        }
        let words = "has ended, which a process that traces it hides; its exit status may be unknown";
        self.say(Priority::Warning, format_args!("the server (pid {pid}) {words}"));
        if self.hears_ready() {
            return Some(Event::Ready);
        }
        self.mourn();
        self.hides = true;
        if self.watch.policy.whom == To::Group {
            // It cannot be seen whether others of the group live. The number is the group's until the server is reaped.
            deliver::kill_group(pid, &self.watch.program);
        }
        Some(self.conclude(pid, hidden_exit(pid)))
    }

    /// Whether the server has ended, and waits for the rest of its group to be reaped.
    pub fn is_left(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.left)
    }

    /// Whether others of the server's group live who have to end with it.
    fn is_survived(&self, pid: Pid) -> bool {
        let ran = self.life.as_ref().is_some_and(|life| life.failure.is_none());
        // A process that hangs in the kernel, or that a tracer keeps, is not awaited for ever.
        let given_up =
            matches!(self.state.phase, Phase::Clearing { killed: true, until: Some(until), .. } if until <= now());
        ran && !given_up && self.watch.policy.whom == To::Group && process::any_child_lives(Some(pid))
    }

    /// The server has ended, and is not reaped yet. The number in the pidfile must be gone before the pid can be
    /// somebody else's.
    fn mourn(&mut self) {
        let uptime = self.state.uptime(now());
        if let Some(life) = &mut self.life {
            (life.uptime, life.left, life.line) = (Some(uptime), true, Lifeline::default());
        }
        if let Some(file) = self.pidfile
            && let Err(why) = file.empty()
            // Of a start that fails only the reason is told; and then the file goes.
            && !self.is_first()
        {
            self.warn(format_args!("cannot empty pidfile '{}'", file.path()), why);
        }
    }

    /// The server has ended, and nobody has to end with it any more.
    #[inline(never)]
    fn reap_server(&mut self, pid: Pid) -> Reaped {
        if !self.is_left() {
            self.mourn();
        }
        if self.watch.policy.whom == To::Group {
            // Those who are nobody's orphans, as their parents have left the group alive, are not seen from here.
            deliver::kill_group(pid, &self.watch.program);
        }
        let Ok((word, usage)) = process::reap(pid) else { return Reaped::Nobody };
        if let Some(life) = &mut self.life {
            life.usage = usage;
        }
        Reaped::Event(self.conclude(pid, Exit::from_wait(word)))
    }

    /// The server's run is over: what is recorded of it, and what it means.
    fn conclude(&mut self, pid: Pid, exit: Exit) -> Event {
        if self.watch.policy.linger.is_none() {
            self.watch.kill_cgroup();
        }
        let Some(life) = &mut self.life else { return Event::Fell(exit) };
        life.left = false;
        let Some(life) = &self.life else { return Event::Fell(exit) };
        let uptime = life.uptime.unwrap_or_default();
        let Some(failure) = &life.failure else {
            let (named, lived) = (Named(exit), Duration(uptime));
            let fails = self.is_first()
                || matches!(
                    self.state.phase,
                    Phase::Stopping { next: Next::Fail, .. } | Phase::Clearing { next: Next::Fail, .. }
                );
            self.say(Priority::Notice, format_args!("the server (pid {pid}) {named} after {lived}"));
            // A server that puts itself into the background seems to end at once and well, and goes on without a manager.
            let by_itself = matches!(self.state.phase, Phase::Starting { .. } | Phase::Up);
            let mut found = Found::default();
            if by_itself && exit == Exit::SUCCESS && uptime < DAEMONIZES {
                found = descendants::survey(self.watch.sink.helper());
            }
            let daemon = found.count > 0;
            if daemon {
                self.say(Priority::Warning, format_args!("the server has left {found} running: {DAEMON}"));
            }
            if fails && self.error.is_none() {
                let (colon, hint) = if daemon { (": ", DAEMON) } else { ("", "") };
                self.error = Some(Error::refused(format_args!("the server {named} before it was ready{colon}{hint}")));
            }
            return Event::Fell(exit);
        };
        let code = failure.code(&self.watch.program);
        if self.is_first() {
            // The caller is told, and in the log it stands at the end.
            self.error = Some(failure.error(&self.watch.program));
        } else {
            let mut text = Line::new();
            let _ = failure.write(&self.watch.program, &mut text);
            self.say(Priority::Err, format_args!("{}", text.as_str()));
        }
        Event::Failed(code)
    }
}

/// What became of a look at the children.
pub enum Reaped {
    /// The server or the handler has ended.
    Event(Event),
    /// Somebody else has.
    Stranger,
    /// None has.
    Nobody,
}
