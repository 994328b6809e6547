//! The supervisor's events: signals, exits of children, messages, deadlines. The sleep between events is in
//! `sources.rs`.

use crate::logic::base::error::MessageArg;
use crate::logic::base::note::Note;
use crate::logic::base::time::earliest;

use super::config::SupervisorConfig;
use super::reap::{POLL_INTERVAL, Reaped};
use super::service_manager::ServiceManager;
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::signal_action::SignalAction;
use crate::logic::supervisor::transition::forward_in_same_phase;
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::sys::process;

/// The maximum number of children that are reaped before signals and deadlines are checked.
const REAPED_PER_TURN: usize = 64;
/// The maximum number of signals that are read before the deadlines are checked.
const SIGNALS_PER_TURN: usize = 64;

impl Supervisor<'_> {
    /// Sleeps until the next event, and returns it.
    ///
    /// Each turn handles a limited number of children, signals and processes and then checks the deadlines, so that a
    /// server which forks in a loop delays nothing else.
    #[inline(never)]
    pub fn next_event(&mut self) -> Event {
        let mut budget = REAPED_PER_TURN;
        loop {
            while self.exits_pending && budget > 0 {
                budget -= 1;
                match self.reap() {
                    Reaped::Event(event) => return event,
                    Reaped::CheckAgain => {}
                    Reaped::None => self.exits_pending = false,
                }
            }
            self.resume_suspended_server();
            let child_waiting = self.exits_pending;
            if let Some(event) = self.next_signal() {
                return event;
            }
            if self.exits_pending && !child_waiting && budget > 0 {
                continue;
            }
            budget = REAPED_PER_TURN;
            let time = now();
            if let Some(event) = self.search_remaining(time) {
                // No descendant of the server is left. Another process may have moved into its control group: kill that
                // process too.
                let slot = if event == Event::NoneLeft { ProcessSlot::Server } else { ProcessSlot::Second };
                self.kill_slot_in_cgroup(slot);
                return event;
            }
            if let Some(event) = self.check_deadlines(time) {
                return event;
            }
            if let Some(service) = &mut self.config.service_manager {
                service.send_due_messages(time);
            }
            self.config.output.run_due(time);
            if let Some(event) = self.sleep_and_read(time) {
                return event;
            }
        }
    }

    /// When a sleep that begins now has to end even if no descriptor becomes readable: at the earliest deadline, or at
    /// once if work is left. None without a deadline. Times of polling are not included.
    pub fn next_wake_time(&self, now: Time) -> Option<Time> {
        // A deadline that has passed but does not count yet, because a message may be delayed, is checked again soon.
        let late = self.state.deadline().is_some_and(|until| until <= now);
        let soon = (self.exits_pending || self.sweep.is_some()).then_some(now);
        earliest(&[
            self.next_deadline().filter(|_| !late),
            self.hidden_exit_deadline(),
            self.config.output.deadline(),
            late.then(|| now.after(POLL_INTERVAL)),
            soon,
            self.config.service_manager.as_ref().and_then(ServiceManager::deadline),
        ])
    }

    /// The earliest deadline of the state machine, of a command of `--before` at a restart, and of the probes.
    #[inline(never)]
    fn next_deadline(&self) -> Option<Time> {
        let probes = self.config.prober.as_ref().and_then(|prober| prober.deadline());
        earliest(&[self.state.deadline(), self.command_deadline(), probes])
    }

    /// Acts on the deadlines that have passed: of an exit that a tracer hides, of the probes, of a command of
    /// `--before`, and of the state machine. Returns the first event that follows.
    #[inline(never)]
    fn check_deadlines(&mut self, time: Time) -> Option<Event> {
        let is_due = self.next_deadline().is_some_and(|until| until <= time);
        self.due_deadline_postponed = is_due && !self.due_deadline_postponed;
        if self.due_deadline_postponed {
            // vsrun may have been suspended until now. What happened before the deadline counts, so the next turn reads
            // signals and exits first.
            self.exits_pending = true;
            return None;
        }
        if self.hidden_exit_deadline().is_some_and(|until| until <= time)
            && let Some(event) = self.act_on_tracer_hidden_exit()
        {
            return Some(event);
        }
        if let Some(event) = self.run_due_probe(time) {
            return Some(event);
        }
        if self.command_deadline().is_some_and(|until| until <= time) {
            self.on_command_timeout(time);
        }
        self.state.deadline().filter(|until| *until <= time)?;
        self.on_state_deadline(time)
    }

    /// Sends SIGCONT to a server in the foreground of the terminal if Ctrl-Z has stopped it, because no shell will
    /// resume it.
    fn resume_suspended_server(&self) {
        let living = self.server.as_ref().filter(|child| child.uptime.is_none());
        if let Some(child) = living.filter(|_| self.config.server_takes_foreground()) {
            process::continue_if_tstp_stopped(child.pid);
        }
    }

    /// Reads pending signals until one of them is an event, and returns that event. Some signals are handled at
    /// once and are no event: reopening log files, forwarding that does not change what the supervisor waits for,
    /// and SIGCHLD, which sets `exits_pending`. None if no event was found; more signals may be pending then.
    #[inline(never)]
    pub fn next_signal(&mut self) -> Option<Event> {
        // The number of signals is limited, so that a signal that is sent in a loop does not delay the deadlines. More
        // than one is read, because the kernel reports the lowest number first: otherwise the SIGCHLDs of a server that
        // forks in a loop would keep all signals with higher numbers from being read.
        for _ in 0..SIGNALS_PER_TURN {
            if !self.signals_pending {
                return None;
            }
            let Some(arrived) = self.config.signals.next() else {
                self.signals_pending = false;
                return None;
            };
            let Some(signal) = Signal::new(arrived.signal.into()) else { continue };
            // Our own writes cause SIGPIPE and SIGXFSZ (closed pipe, size limit): they are not requests.
            if [Signal::PIPE, Signal::XFSZ].contains(&signal) && process::own_pid().is_sender(arrived.sender_pid) {
                continue;
            }
            if signal == Signal::CHLD {
                if arrived.value.is_some()
                    && let Some(event) = self.on_replace_request(arrived.value)
                {
                    self.exits_pending = true;
                    return Some(event);
                }
                if self.exits_pending {
                    // There are more exited children than one turn reaps: read the other signals first.
                    continue;
                }
                self.exits_pending = true;
                return None;
            }
            let action = self.config.signal_table.on_signal(signal);
            self.suspends_after_signal =
                self.config.personality.suspends_itself && [Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal);
            // A forwarded signal is recorded when it is sent.
            if !matches!(action, SignalAction::Forward(_)) {
                self.note(Priority::Notice, Note::Received, &[MessageArg::Signal(signal)]);
            }
            match action {
                SignalAction::Stop | SignalAction::EndMachine(_) => {
                    self.stopped_by = signal;
                    return Some(if signal == Signal::INT { Event::Interrupt } else { Event::Stop });
                }
                SignalAction::Restart => return Some(Event::Restart),
                SignalAction::Replace => match self.on_replace_request(None) {
                    None => {}
                    event => return event,
                },
                SignalAction::Forward(other) => {
                    // Do not read another signal now. Usually there is none, so this saves a system call, and the next
                    // sleep reports whether there is one.
                    self.signals_pending = false;
                    if self.config.policy.requests_exit(other) {
                        self.stopped_by = other;
                    }
                    if !self.suspends_after_signal
                        && let Some(to) = forward_in_same_phase(&self.config.policy, &mut self.state, other)
                    {
                        self.forward(other, to);
                        return None;
                    }
                    return Some(Event::Forward(other));
                }
                SignalAction::ReopenLogs => self.config.output.reopen(&mut self.config.log),
                SignalAction::Ignore => self.suspend_self_if_required(),
            }
        }
        None
    }
}

impl SupervisorConfig {
    /// Whether a start makes the server's process group the foreground process group of the terminal.
    pub fn server_takes_foreground(&self) -> bool {
        self.program.steps().iter().any(|step| matches!(step, Step::TakeForeground))
    }
}
