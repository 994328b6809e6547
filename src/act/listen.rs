//! What happens to a manager: signals, ends of children, words of a process on its way. The manager's only sleep.

use std::os::fd::AsFd;

use crate::act::report::Start;
use crate::act::say::Priority;
use crate::act::watch::{Loop, now};
use crate::decide::event::Event;
use crate::decide::exit::Exit;
use crate::decide::signal::Signal;
use crate::decide::text::Text;
use crate::sys::process::{self, Pid};
use crate::sys::{self, wait};

impl Loop<'_> {
    /// Sleeps until something happens.
    pub fn wait(&mut self) -> Event {
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
