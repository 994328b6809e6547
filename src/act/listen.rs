//! What happens to a manager: signals, ends of children, words of a process on its way. The manager's only sleep.

use std::os::fd::AsFd;

use crate::act::ready::Ear;
use crate::act::reap::{LOOK, Reaped};
use crate::act::report::Start;
use crate::act::say::Priority;
use crate::act::service::Service;
use crate::act::watch::{Loop, Watch, now};
use crate::decide::error::Error;
use crate::decide::event::Event;
use crate::decide::signal::Signal;
use crate::decide::step::Step;
use crate::decide::time::Time;
use crate::decide::traps::Trap;
use crate::sys::process;
use crate::sys::wait;

/// The most children that are reaped before signals and deadlines are looked at.
const REAPED_PER_TURN: usize = 64;
/// The most signals that are read before the deadlines are looked at.
const SIGNALS_PER_TURN: usize = 64;

/// The first of these points in time, if there is one.
#[inline(never)]
pub fn earliest(times: &[Option<Time>]) -> Option<Time> {
    let mut first = None;
    for time in times.iter().flatten() {
        first = Some(first.unwrap_or(*time).min(*time));
    }
    first
}

impl Loop<'_> {
    /// Sleeps until something happens.
    ///
    /// In each turn a limited number of children, signals and processes is handled, and then the deadlines are looked
    /// at: children that are forked in a loop keep nothing else waiting.
    #[inline(never)]
    pub fn wait(&mut self) -> Event {
        let mut room = REAPED_PER_TURN;
        loop {
            while self.unreaped && room > 0 {
                room -= 1;
                match self.reap() {
                    Reaped::Event(event) => return event,
                    Reaped::Stranger => {}
                    Reaped::Nobody => self.unreaped = false,
                }
            }
            self.resume_suspended();
            let told = self.unreaped;
            if let Some(event) = self.hear_signal() {
                return event;
            }
            if self.unreaped && !told && room > 0 {
                continue;
            }
            room = REAPED_PER_TURN;
            let time = now();
            if self.search(time) {
                // A process of another parent's may be in it.
                self.watch.kill_cgroup();
                return Event::Alone;
            }
            if let Some(event) = self.meet_deadlines(time) {
                return event;
            }
            if let Some(service) = &mut self.watch.service {
                service.tend(time);
            }
            self.watch.sink.tend(time);
            if let Some(event) = self.sleep(time) {
                return event;
            }
        }
    }

    /// Sleeps, and hears those who woke us.
    #[inline(never)]
    fn sleep(&mut self, time: Time) -> Option<Event> {
        // The ends of some are not reported: they leave a group, or are children of other processes.
        let looks = self.clears() || self.is_left();
        let look = looks.then(|| time.after(LOOK));
        let soon = (self.unreaped || self.sweep.is_some()).then_some(time);
        // A deadline that has passed and was excused is looked at again soon.
        let late = self.state.deadline().is_some_and(|until| until <= time);
        let look = look.or(late.then(|| time.after(LOOK)));
        let (inbox, pause) = self.watch.ear.fd(time);
        let above = self.watch.service.as_ref().and_then(Service::deadline);
        let own = self.state.deadline().filter(|_| !late);
        let wake = earliest(&[own, self.hidden_end(), self.watch.sink.deadline(), look, soon, pause, above]);
        let (life, handler) = (self.life.as_ref(), self.watch.handler.as_ref());
        let report = life.and_then(|life| life.report.as_ref());
        let ready = life.and_then(|life| life.ready.as_ref());
        let lines = [life.and_then(|life| life.line.fd()), handler.and_then(|handler| handler.line.fd())];
        let words = handler.and_then(|handler| handler.output.fd());
        let fds = [
            Some(self.watch.signals.as_fd()),
            ready.map(AsFd::as_fd),
            inbox,
            lines[0],
            lines[1],
            words,
            report.map(AsFd::as_fd),
        ];
        let [told, wrote, sent, ended, handled, spoke, reported] = wait::next(fds, wake.map(|wake| wake.since(time).0));
        // Usually SIGCHLD has come too, and is read next.
        self.unreaped |= looks || (!told && (ended || handled));
        if let Some(life) = self.life.as_mut().filter(|_| ended) {
            life.line.note_end(time);
        }
        if let Some(handler) = &mut self.watch.handler {
            if handled {
                handler.line.note_end(time);
            }
            if spoke {
                handler.output.read(&self.watch.voice);
            }
        }
        if reported && let Some(event) = self.hear_report() {
            return Some(event);
        }
        if wrote && let Some(event) = self.hear_pipe() {
            return Some(event);
        }
        if sent { self.hear_message() } else { None }
    }

    /// What is due: the state's own deadline, or an end that is hidden from us.
    #[inline(never)]
    fn meet_deadlines(&mut self, time: Time) -> Option<Event> {
        if self.hidden_end().is_some_and(|until| until <= time)
            && let Some(event) = self.accept_hidden_end()
        {
            return Some(event);
        }
        self.state.deadline().filter(|until| *until <= time)?;
        self.hear_deadline(time)
    }

    /// The terminal's suspend key has stopped the server, and no shell will resume it.
    fn resume_suspended(&self) {
        let living = self.life.as_ref().filter(|life| life.uptime.is_none());
        if let Some(life) = living.filter(|_| self.watch.has_foreground()) {
            process::resume(life.pid);
        }
    }

    /// The next signal that is of any consequence.
    #[inline(never)]
    fn hear_signal(&mut self) -> Option<Event> {
        // A signal that is sent without a break does not keep the deadlines waiting.
        for _ in 0..SIGNALS_PER_TURN {
            let arrived = self.watch.signals.next()?;
            let Some(signal) = Signal::new(arrived.signal.into()) else { continue };
            // A write of our own to a pipe that nobody reads, or beyond a limit, is nobody's request.
            let own = [Signal::PIPE, Signal::XFSZ].contains(&signal) && process::id().is_sender(arrived.sender);
            if own {
                continue;
            }
            if signal == Signal::CHLD {
                if self.unreaped {
                    // More children than a turn reaps. Other signals are not kept waiting.
                    continue;
                }
                self.unreaped = true;
                return None;
            }
            let trap = self.watch.traps.take(signal);
            // Of one that is passed on the sending is told, once it is done.
            if !matches!(trap, Trap::Forward(_)) {
                self.say(Priority::Notice, format_args!("received {signal}"));
            }
            match trap {
                Trap::Stop | Trap::End(_) if signal == Signal::INT => return Some(Event::Interrupt),
                Trap::Stop | Trap::End(_) => return Some(Event::Stop),
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
        let unready = matches!(event, Event::Unready);
        if unready && (life.failure.is_some() || life.report.is_some()) {
            return None;
        }
        if unready && self.is_first() {
            let words = "the server closed its ready descriptor without a newline";
            self.error = Some(Error::refused(format_args!("{words}")));
        }
        Some(event)
    }

    /// What a server that has ended left to be read.
    pub fn hear_last_words(&mut self) -> Option<Event> {
        self.hear_report().or_else(|| self.hear_pipe()).or_else(|| self.hear_message())
    }
}

impl Watch {
    /// Whether the server has the terminal's foreground.
    pub fn has_foreground(&self) -> bool {
        self.program.steps().iter().any(|step| matches!(step, Step::Foreground))
    }
}
