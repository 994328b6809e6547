//! The commands of `--before`. They run one after the other before each start of the server.
//!
//! The state machine treats a running command as a server that has not been executed yet. So stop requests, timeouts
//! and failures need no rules of their own. This file has what is different for a command.

use super::before_command::BeforeCommandState;
use super::readiness::Readiness;
use super::send_signals::SignalOrigin;
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::exit::{Exit, VSRUN_FAILED};
use crate::logic::base::note::Note;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Event, Recipient};
use crate::logic::supervisor::state::Phase;
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::start::before_commands::{before_error, stopped_by};
use crate::runtime::start::outcome::ErrorText;

impl Supervisor<'_> {
    /// The command of `--before` that runs in this slot, or was the last to run there. None if the slot is empty or has
    /// the server process.
    pub fn before_command(&self, slot: ProcessSlot) -> Option<BeforeCommandState> {
        let child = if slot == ProcessSlot::Second { &self.second } else { &self.server };
        child.as_ref().and_then(|child| child.before_command)
    }

    /// Prepares the start of the command with this number in this slot, records it, and returns its state. None: all
    /// commands have run, and the start of the server itself is prepared.
    pub fn prepare_command_or_server(&mut self, slot: ProcessSlot, command_index: usize) -> Option<BeforeCommandState> {
        let is_last = command_index == self.config.before_commands.list.len();
        if !self.config.before_commands.list.is_empty() {
            let program = &mut self.config.program;
            if is_last { program.reserve_pid_slots() } else { program.clear_env_slots() }
        }
        if is_last {
            if command_index > 0 && slot == ProcessSlot::Server {
                self.state.set_server_start_time(now());
                if matches!(self.config.readiness, Readiness::Exec) {
                    self.state.clear_start_deadline();
                }
            }
            return None;
        }
        let timeout = self.config.policy.ready_timeout.filter(|_| !self.is_first_start());
        let next_signal_at = match self.before_command(slot) {
            Some(last) if command_index > 0 => last.next_signal_at,
            _ => timeout.map(|span| now().after(span)),
        };
        if let Some(command) = self.config.before_commands.list.get(command_index) {
            self.note(Priority::Info, Note::RunningBefore, &[MessageArg::Name(command.text.to_bytes())]);
        }
        Some(BeforeCommandState { index: command_index, next_signal_at, timed_out: false })
    }

    /// Adapts a signal to a command of --before, if one runs in this slot; otherwise returns signal and recipient
    /// unchanged. The signal goes to the command and its children. --stop-signal is for the server only, so SIGTERM
    /// replaces it. None: the signal must not be sent, because it is only forwarded and does not ask for an exit.
    pub fn adapt_signal_to_command(
        &self,
        slot: ProcessSlot,
        signal: Signal,
        to: Recipient,
        origin: SignalOrigin,
    ) -> Option<(Signal, Recipient)> {
        if self.before_command(slot).is_none() || !matches!(to, Recipient::Server | Recipient::Group) {
            return Some((signal, to));
        }
        let signal = match (origin, signal) {
            (SignalOrigin::Forwarded, signal) => {
                Some(signal).filter(|signal| self.config.policy.requests_exit(*signal))?
            }
            (SignalOrigin::Own, Signal::KILL) => signal,
            (SignalOrigin::Own, _) => Signal::TERM,
        };
        Some((signal, Recipient::Group))
    }

    /// When the command of --before that runs at a restart is sent SIGTERM or, after that, SIGKILL. None if no command
    /// runs, it has no time limit, or the server is being stopped.
    pub fn command_deadline(&self) -> Option<Time> {
        self.before_command(ProcessSlot::Server)
            .filter(|_| matches!(self.state.phase, Phase::Running))
            .and_then(|command| command.next_signal_at)
    }

    /// Called when a command of --before at a restart exceeds its time limit: sends SIGTERM and, when called again
    /// after the stop timeout, SIGKILL.
    pub fn on_command_timeout(&mut self, now: Time) {
        let Some(last) = self.before_command(ProcessSlot::Server) else { return };
        self.send_exit_signal(if last.timed_out { Signal::KILL } else { Signal::TERM }, Recipient::Group);
        let next_signal_at = self.config.policy.stop_deadline(now);
        if let Some(child) = &mut self.server {
            child.before_command = Some(BeforeCommandState { timed_out: true, next_signal_at, ..last });
        }
    }

    /// The message that the command in the server's slot exceeded `--ready-timeout`. Does not check whether it did.
    /// None if no command of `--before` is in the slot.
    fn timeout_text_of_command(&self) -> Option<ErrorText> {
        let command = self.config.before_commands.list.get(self.before_command(ProcessSlot::Server)?.index)?;
        Some(command.timeout_text(self.config.policy.ready_timeout.unwrap_or_default()))
    }

    /// The error for a first start that exceeded `--ready-timeout`, as the caller has found, while a command of
    /// `--before` was running. None if none was.
    pub fn timeout_error_of_command(&self) -> Option<Error> {
        self.timeout_text_of_command().map(|words| before_error(&words))
    }

    /// Called when a command of --before has exited. Starts the next command or the server and returns None, or returns
    /// the event of a start that failed or was stopped.
    #[inline(never)]
    pub fn on_command_exit(&mut self, slot: ProcessSlot, command: BeforeCommandState, exit: Exit) -> Option<Event> {
        let child = if slot == ProcessSlot::Second { &self.second } else { &self.server };
        let failure = child.as_ref().and_then(|child| child.failure.as_ref());
        let listed = self.config.before_commands.list.get(command.index)?;
        let text = listed.exit_text(failure, exit);
        let (words, failed) = (text.as_str(), failure.is_some() || exit != Exit::SUCCESS);
        let (first, policy) = (self.is_first_start(), &self.config.policy);
        let stopped = match slot {
            ProcessSlot::Server => {
                !first && self.state.phase != Phase::Running || self.state.has_forwarded_exit_request(policy)
            }
            ProcessSlot::Second => !self.state.second.is_candidate(),
        };
        if stopped {
            self.record(Priority::Notice, format_args!("{words}"));
            if first || self.was_stopped_while_starting() {
                self.start_error = Some(stopped_by(self.stopped_by).with_raw_arg(words));
            }
            return Some(slot.event_of_process(Event::Exited(exit)));
        }
        if !failed && !command.timed_out {
            self.record(Priority::Info, format_args!("{words}"));
            return match self.start_process(slot, command.index + 1) {
                Ok(()) => None,
                Err(why) => Some(self.on_launch_failed(slot, why)),
            };
        }
        let late = self.timeout_text_of_command().filter(|_| command.timed_out);
        if first {
            self.start_error = Some(before_error(&text));
        } else {
            self.record(Priority::Err, format_args!("{}", late.as_ref().map_or(words, ErrorText::as_str)));
        }
        Some(slot.event_of_process(Event::ExecFailed(VSRUN_FAILED)))
    }
}
