//! The supervisor's events: signals, exits of children, messages, deadlines. This is the only place where it sleeps.

use crate::logic::base::time::earliest;
use std::os::fd::AsFd;

use super::config::SupervisorConfig;
use super::readiness::Readiness;
use super::reap::{POLL_INTERVAL, Reaped};
use super::service::ServiceManager;
use super::slot::Slot;
use super::supervisor::Supervisor;
use crate::logic::base::error::Error;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::signal_action::SignalAction;
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::start::outcome::StartOutcome;
use crate::sys::poll;
use crate::sys::process;

/// The most children that are reaped before signals and deadlines are checked.
const REAPED_PER_TURN: usize = 64;
/// The most signals that are read before the deadlines are checked.
const SIGNALS_PER_TURN: usize = 64;

impl Supervisor<'_> {
    /// Sleeps until the next event, and returns it.
    ///
    /// Each turn handles a limited number of children, signals and processes and then checks the deadlines, so that a
    /// server which forks in a loop delays nothing else.
    #[inline(never)]
    pub fn next_event(&mut self) -> Event {
        let mut room = REAPED_PER_TURN;
        loop {
            while self.unreaped && room > 0 {
                room -= 1;
                match self.reap() {
                    Reaped::Event(event) => return event,
                    Reaped::Other => {}
                    Reaped::None => self.unreaped = false,
                }
            }
            self.resume_suspended();
            let child_waiting = self.unreaped;
            if let Some(event) = self.next_signal() {
                return event;
            }
            if self.unreaped && !child_waiting && room > 0 {
                continue;
            }
            room = REAPED_PER_TURN;
            let time = now();
            if let Some(event) = self.search(time) {
                // A process that is not our descendant may have moved into the control group.
                let slot = if event == Event::NoneLeft { Slot::Server } else { Slot::Second };
                self.kill_cgroup(slot);
                return event;
            }
            if let Some(event) = self.meet_deadlines(time) {
                return event;
            }
            if let Some(service) = &mut self.config.service_manager {
                service.run_due(time);
            }
            self.config.output.run_due(time);
            if let Some(event) = self.sleep(time) {
                return event;
            }
        }
    }

    /// The next deadline of anything that has one. `looks`: some exits are polled for.
    fn next_wake(&self, time: Time, looks: bool) -> Option<Time> {
        // A deadline that passed, and was excused (`is_excused`), is checked again soon.
        let late = self.state.deadline().is_some_and(|until| until <= time);
        let soon = (self.unreaped || self.sweep.is_some()).then_some(time);
        earliest(&[
            self.state.deadline().filter(|_| !late),
            self.command_deadline(),
            self.hidden_end(),
            self.config.output.deadline(),
            (looks || late).then(|| time.after(POLL_INTERVAL)),
            soon,
            self.config.service_manager.as_ref().and_then(ServiceManager::deadline),
            self.config.prober.as_ref().and_then(|prober| prober.deadline()),
        ])
    }

    /// Sleeps, and reads from the descriptors that became readable.
    #[inline(never)]
    fn sleep(&mut self, time: Time) -> Option<Event> {
        // Some exits send us no SIGCHLD, for example those of other processes' children. They are polled for.
        let looks = self.clears() || self.any_left() || self.state.second.remains().is_some();
        let (inbox, pause) = self.config.readiness.fd(Slot::Server, time);
        let (second_inbox, _) = self.config.readiness.fd(Slot::Second, time);
        let wake = earliest(&[pause, self.next_wake(time, looks)]);
        let handler = self.config.handler.as_ref();
        let [report, second_report] = [&self.server, &self.second].map(|life| life.as_ref()?.report.as_ref());
        let [ready, second_ready] = [&self.server, &self.second].map(|life| life.as_ref()?.ready.as_ref());
        let [line, second_line] = [&self.server, &self.second].map(|life| life.as_ref()?.line.fd());
        let words = handler.and_then(|handler| handler.output.fd());
        let fds = [
            Some(self.config.signals.as_fd()),
            ready.map(AsFd::as_fd),
            inbox,
            line,
            handler.and_then(|handler| handler.line.fd()),
            words,
            second_ready.map(AsFd::as_fd),
            second_inbox,
            second_line,
            report.map(AsFd::as_fd),
            second_report.map(AsFd::as_fd),
        ];
        let [child_waiting, wrote, sent, ended, handled, spoke, more @ .., reported, second_reported] =
            poll::wait(fds, wake.map(|wake| wake.since(time).0));
        let [second_wrote, second_sent, second_ended] = more;
        // Usually SIGCHLD is pending too, and is read next.
        self.unreaped |= looks || (!child_waiting && (ended || handled || second_ended));
        if let Some(life) = self.second.as_mut().filter(|_| second_ended) {
            life.line.note_end(time);
        }
        if let Some(life) = self.server.as_mut().filter(|_| ended) {
            life.line.note_end(time);
        }
        if let Some(handler) = &mut self.config.handler {
            if handled {
                handler.line.note_end(time);
            }
            if spoke {
                handler.output.read(&self.config.log);
            }
        }
        for (slot, reported, wrote, sent) in
            [(Slot::Server, reported, wrote, sent), (Slot::Second, second_reported, second_wrote, second_sent)]
        {
            if reported && let Some(event) = self.read_start_outcome(slot) {
                return Some(event);
            }
            if wrote && let Some(event) = self.read_ready_pipe(slot) {
                return Some(event);
            }
            if sent && let Some(event) = self.read_notify(slot) {
                return Some(event);
            }
        }
        None
    }

    /// Returns the event of a deadline that has passed: that of the phase, or that of an exit which a tracer hides.
    #[inline(never)]
    fn meet_deadlines(&mut self, time: Time) -> Option<Event> {
        if self.hidden_end().is_some_and(|until| until <= time)
            && let Some(event) = self.accept_hidden_end()
        {
            return Some(event);
        }
        if let Some(event) = self.run_probes(time) {
            return Some(event);
        }
        if self.command_deadline().is_some_and(|until| until <= time) {
            self.end_command(time);
        }
        self.state.deadline().filter(|until| *until <= time)?;
        self.on_deadline(time)
    }

    /// Ctrl-Z stopped the server and no shell will resume it: sends SIGCONT.
    fn resume_suspended(&self) {
        let living = self.server.as_ref().filter(|life| life.uptime.is_none());
        if let Some(life) = living.filter(|_| self.config.has_foreground()) {
            process::continue_stopped(life.pid);
        }
    }

    /// Reads pending signals up to one that is an event. `Reopen` is done at once.
    #[inline(never)]
    fn next_signal(&mut self) -> Option<Event> {
        // Limited, so that a signal that is sent in a loop does not delay the deadlines.
        for _ in 0..SIGNALS_PER_TURN {
            let arrived = self.config.signals.next()?;
            let Some(signal) = Signal::new(arrived.signal.into()) else { continue };
            // Our own writes cause SIGPIPE and SIGXFSZ (closed pipe, size limit): they are not requests.
            let own = [Signal::PIPE, Signal::XFSZ].contains(&signal) && process::id().is_sender(arrived.sender);
            if own {
                continue;
            }
            if signal == Signal::CHLD {
                if arrived.value.is_some()
                    && let Some(event) = self.on_replace_request(arrived.value)
                {
                    self.unreaped = true;
                    return Some(event);
                }
                if self.unreaped {
                    // There are more children than one turn reaps: read the other signals first.
                    continue;
                }
                self.unreaped = true;
                return None;
            }
            let action = self.config.signal_table.take(signal);
            self.suspends =
                self.config.personality.suspends && [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal);
            // For a forwarded signal, the sending is recorded.
            if !matches!(action, SignalAction::Forward(_)) {
                self.record(Priority::Notice, format_args!("received {signal}"));
            }
            match action {
                SignalAction::Stop | SignalAction::End(_) if signal == Signal::INT => return Some(Event::Interrupt),
                SignalAction::Stop | SignalAction::End(_) => return Some(Event::Stop),
                SignalAction::Restart => return Some(Event::Restart),
                SignalAction::Replace => {
                    let event = self.on_replace_request(None);
                    if event.is_some() {
                        return event;
                    }
                }
                SignalAction::Forward(other) => return Some(Event::Forward(other)),
                SignalAction::Reopen => self.config.output.reopen(&mut self.config.log),
                SignalAction::Ignore => self.suspend(),
            }
        }
        None
    }

    /// Reads the pipe of the process that becomes the server: a failed step, or its close by a successful exec.
    #[inline(never)]
    fn read_start_outcome(&mut self, slot: Slot) -> Option<Event> {
        let life = self.process(slot).as_mut()?;
        let pid = life.pid;
        match StartOutcome::await_end(&life.report.take()?) {
            start @ (StartOutcome::Done | StartOutcome::WithoutPidfile) => {
                if life.preparing.is_some() {
                    return None;
                }
                if matches!(start, StartOutcome::WithoutPidfile) && slot == Slot::Server {
                    self.write_pidfile(pid);
                }
                self.record(Priority::Info, format_args!("started: pid {pid}"));
                // A stop may have been requested before the exec.
                if let Some(prober) =
                    self.config.prober.as_mut().filter(|_| slot == Slot::Server && self.state.phase.is_up())
                {
                    prober.begin(now());
                }
                matches!(self.config.readiness, Readiness::Exec).then_some(Event::Ready)
            }
            // The event follows when that process has exited.
            StartOutcome::Failed(failure) => {
                life.failure = Some(failure);
                None
            }
            StartOutcome::Killed => None,
        }
    }

    /// Reads what the server wrote to its ready descriptor.
    fn read_ready_pipe(&mut self, slot: Slot) -> Option<Event> {
        let life = self.process(slot).as_mut()?;
        let event = Readiness::read_pipe(&mut life.ready)?;
        // If the exec has not succeeded, the failed step is the better explanation.
        let unready = matches!(event, Event::NotReady);
        if unready && (life.failure.is_some() || life.report.is_some()) {
            return None;
        }
        if unready && self.is_first_start() {
            let words = "the server closed its ready descriptor without a newline";
            self.error = Some(Error::setup(format_args!("{words}")));
        }
        Some(slot.event(event))
    }

    /// Reads one event that a server process wrote before its exit.
    pub fn drain_before_exit(&mut self, slot: Slot) -> Option<Event> {
        self.read_start_outcome(slot).or_else(|| self.read_ready_pipe(slot)).or_else(|| self.read_notify(slot))
    }
}

impl SupervisorConfig {
    /// Whether the server has the terminal's foreground.
    pub fn has_foreground(&self) -> bool {
        self.program.steps().iter().any(|step| matches!(step, Step::TakeForeground))
    }
}
