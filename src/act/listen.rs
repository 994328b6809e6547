//! What happens to a manager: signals, ends of children, words of a process on its way. The manager's only sleep.

use std::os::fd::AsFd;

use crate::act::deliver;
use crate::act::ready::Ear;
use crate::act::remains;
use crate::act::report::{Line, Start};
use crate::act::say::Priority;
use crate::act::service::Service;
use crate::act::watch::{Loop, Watch, now};
use crate::decide::error::Error;
use crate::decide::event::Event;
use crate::decide::event::To;
use crate::decide::exit::Exit;
use crate::decide::signal::Signal;
use crate::decide::state::{Next, Phase};
use crate::decide::step::Step;
use crate::decide::time::Span;
use crate::decide::traps::Trap;
use crate::sys::process::{self, Pid};
use crate::sys::{self, wait};

/// How often those are looked at whose end no signal tells.
const LOOK: Span = Span::millis(100);
/// How many events a server that has ended may have left: others can send in its name for ever.
const LAST_WORDS: usize = 64;

impl Loop<'_> {
    /// Sleeps until something happens.
    #[inline(never)]
    pub fn wait(&mut self) -> Event {
        loop {
            if self.unreaped {
                match self.reap() {
                    Reaped::Event(event) => return event,
                    Reaped::Stranger => continue,
                    Reaped::Nobody => self.unreaped = false,
                }
                // In a session of its own the key would be nothing to it; and here is nobody who would let it go on.
                let living = self.life.as_ref().filter(|life| life.uptime.is_none());
                if let Some(life) = living.filter(|_| self.watch.has_foreground()) {
                    process::resume(life.pid);
                }
            }
            if let Some(event) = self.hear_signal() {
                return event;
            }
            if self.unreaped {
                continue;
            }
            let lingers = matches!(self.state.phase, Phase::Lingering { .. } | Phase::Killing { .. });
            if lingers && !remains::is_anybody(self.watch.sink.helper()) {
                return Event::Alone;
            }
            let time = now();
            let late = self.state.deadline().is_some_and(|until| until <= time);
            if late && let Some(event) = self.hear_deadline(time) {
                return event;
            }
            if let Some(service) = &mut self.watch.service {
                service.tend(time);
            }
            self.watch.sink.tend(time);
            // Those have not: they leave a group, or end as somebody else's children.
            let looks = lingers || self.is_left();
            let look = (looks || late).then(|| time.after(LOOK));
            let (inbox, pause) = self.watch.ear.fd(time);
            let above = self.watch.service.as_ref().and_then(Service::deadline);
            let due = self.state.deadline().filter(|_| !late).into_iter().chain(self.watch.sink.deadline());
            let wake = due.chain(look).chain(pause).chain(above).min();
            let report = self.life.as_ref().and_then(|life| life.report.as_ref());
            let ready = self.life.as_ref().and_then(|life| life.ready.as_ref());
            let fds = [Some(self.watch.signals.as_fd()), ready.map(AsFd::as_fd), inbox, report.map(AsFd::as_fd)];
            let [_, wrote, sent, reported] = wait::next(fds, wake.map(|wake| wake.since(time).0));
            self.unreaped |= looks;
            if reported && let Some(event) = self.hear_report() {
                return event;
            }
            if wrote && let Some(event) = self.hear_pipe() {
                return event;
            }
            if sent && let Some(event) = self.hear_message() {
                return event;
            }
        }
    }

    /// The next signal that is of any consequence.
    #[inline(never)]
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
            let trap = self.watch.traps.get(signal);
            // Of one that is passed on the sending is told, once it is done.
            if !matches!(trap, Trap::Forward(_)) {
                self.say(Priority::Notice, format_args!("received {signal}"));
            }
            match trap {
                Trap::Stop if signal == Signal::INT => return Some(Event::Interrupt),
                Trap::Stop => return Some(Event::Stop),
                Trap::Restart => return Some(Event::Restart),
                Trap::Forward(other) => return Some(Event::Pass(other)),
                Trap::Reopen => self.watch.sink.reopen(&mut self.watch.voice),
                Trap::Ignore => {}
            }
        }
        None
    }

    /// What the server's process tells before it is the server: a failed step; or nothing, and then it is.
    #[inline(never)]
    fn hear_report(&mut self) -> Option<Event> {
        let life = self.life.as_mut()?;
        let pid = life.pid;
        match Start::await_end(&life.report.take()?) {
            start @ (Start::Done | Start::WithoutPidfile) => {
                if let Start::WithoutPidfile = start {
                    self.write_pidfile(pid);
                }
                self.say(Priority::Info, format_args!("started: pid {pid}"));
                matches!(self.watch.ear, Ear::Exec).then_some(Event::Ready)
            }
            // Its end will tell.
            Start::Failed(failure) => {
                life.failure = Some(failure);
                None
            }
            Start::Killed => None,
        }
    }

    /// What the server writes to its ready descriptor.
    fn hear_pipe(&mut self) -> Option<Event> {
        let life = self.life.as_mut()?;
        let event = Ear::hear_pipe(&mut life.ready)?;
        // Of a process that never came to be the server, the failed step tells more.
        if event == Event::Unready && (life.failure.is_some() || life.report.is_some()) {
            return None;
        }
        if event == Event::Unready && self.is_first() {
            let words = "the server closed its ready descriptor without a newline";
            self.error = Some(Error::refused(format_args!("{words}")));
        }
        Some(event)
    }

    /// Looks at one child that has ended.
    #[inline(never)]
    fn reap(&mut self) -> Reaped {
        let Some(mut pid) = process::peek() else { return Reaped::Nobody };
        if self.life.as_ref().is_some_and(|life| life.pid == pid) {
            // What it said before its end comes before its end.
            for _ in 0..LAST_WORDS {
                match self.hear_last_words() {
                    Some(Event::Ready) => return Reaped::Event(Event::Ready),
                    Some(_) => {}
                    None => break,
                }
            }
            if !self.is_survived(pid) {
                return self.reap_server(pid);
            }
            if !self.is_left() {
                self.mourn();
                return Reaped::Event(Event::Left);
            }
            // It stays unreaped, and is named first again and again.
            match remains::peek_behind(pid) {
                Some(other) => pid = other,
                None => return Reaped::Nobody,
            }
        }
        let Ok((word, _)) = process::reap(pid) else { return Reaped::Nobody };
        let exit = Exit::from_wait(word);
        self.watch.ear.forget(pid);
        if let Some(handler) = self.watch.handler.as_mut().filter(|handler| handler.pid() == Some(pid)) {
            let mut why = Line::new();
            handler.ended(&mut why);
            let why = why.as_str();
            let verdict = if exit == Exit::SUCCESS { "agrees" } else { "refuses" };
            self.say(Priority::Notice, format_args!("the handler {verdict}: {exit}{why}"));
            return Reaped::Event(Event::Handled(exit));
        }
        if let Some(name) = self.watch.sink.fell(pid, now()) {
            self.say(Priority::Warning, format_args!("the {name} {exit}, and will be started again"));
        }
        Reaped::Stranger
    }

    /// What a server that has ended left to be read.
    fn hear_last_words(&mut self) -> Option<Event> {
        self.hear_report().or_else(|| self.hear_pipe()).or_else(|| self.hear_message())
    }

    /// Whether the server has ended, and waits for the rest of its group to be reaped.
    fn is_left(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.left)
    }

    /// Whether others of the server's group live who have to end with it.
    fn is_survived(&self, pid: Pid) -> bool {
        let ran = self.life.as_ref().is_some_and(|life| life.failure.is_none());
        ran && self.watch.policy.whom == To::Group && process::any_child_lives(Some(pid))
    }

    /// The server has ended, and is not reaped yet. The number in the pidfile must be gone before the pid can be
    /// somebody else's.
    fn mourn(&mut self) {
        let uptime = self.state.uptime(now());
        if let Some(life) = &mut self.life {
            (life.uptime, life.left) = (Some(uptime), true);
        }
        if let Some(file) = &self.watch.pidfile
            && let Err(why) = file.empty()
            // Of a start that fails only the reason is told; and then the file goes.
            && !self.is_first()
        {
            let (path, why) = (file.path(), sys::words(why));
            self.say(Priority::Warning, format_args!("cannot empty pidfile '{path}': {why}"));
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
        let exit = Exit::from_wait(word);
        if let Some(life) = &mut self.life {
            (life.usage, life.left) = (usage, false);
        }
        let Some(life) = &self.life else { return Reaped::Stranger };
        let uptime = life.uptime.unwrap_or_default();
        let Some(failure) = &life.failure else {
            let fails = self.is_first() || matches!(self.state.phase, Phase::Stopping { next: Next::Fail, .. });
            if fails && self.error.is_none() {
                self.error = Some(Error::refused(format_args!("the server {exit} before it was ready")));
            }
            self.say(Priority::Notice, format_args!("the server (pid {pid}) {exit} after {} s", uptime.0 / 1000));
            return Reaped::Event(Event::Fell(exit));
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
        Reaped::Event(Event::Failed(code))
    }
}

impl Watch {
    /// Whether the server has the terminal's foreground.
    pub fn has_foreground(&self) -> bool {
        matches!(self.program.steps().first(), Some(Step::Foreground))
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
