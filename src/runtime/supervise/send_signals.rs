//! Sends signals to the server, its group and the crash handler, or starts the search for remaining processes.

use super::crash_handler::CrashHandler;
use super::descendants::{FromOutside, ProcessSweep};
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::error::MessageArg;
use crate::logic::base::note::Note;
use crate::logic::base::signal::Signal;
use crate::logic::supervisor::event::{Event, Recipient};
use crate::runtime::report::log::Priority;
use crate::runtime::report::os_error::errno_text;
use crate::runtime::start::deliver::{Delivery, deliver, needed_capability, program_uid};
use crate::sys::process::{Pid, SignalTarget};
use crate::sys::{Errno, process};

/// Why a signal is sent to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SignalOrigin {
    /// vsrun has received it, and forwards it.
    Forwarded,
    /// vsrun makes the server exit.
    Own,
}

/// Whether SIGCONT follows a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// It follows, so that a stopped process handles the signal. SIGKILL does not need it.
    IfStopped,
    /// It does not follow.
    Never,
}

impl Supervisor<'_> {
    /// Sends a signal that makes its recipient exit, then CONT: a stopped process handles no signal except CONT and
    /// KILL.
    pub fn send_exit_signal(&mut self, signal: Signal, to: Recipient) {
        if let Recipient::AllProcesses | Recipient::RemainingOfRun = to {
            return self.signal_remaining(signal, to);
        }
        if let Some((signal, to)) = self.adapt_signal_to_command(ProcessSlot::Server, signal, to, SignalOrigin::Own) {
            self.send_to(signal, to, Resume::IfStopped);
        }
    }

    /// Sends a signal to the second process of a replacement, or to what remains of it.
    #[inline(never)]
    pub fn send_to_second_process(&mut self, signal: Signal, to: Recipient) {
        if to == Recipient::RemainingOfRun {
            self.sweep =
                ProcessSweep::begin(Some(signal), FromOutside::Excluded, self.sweep_scope(ProcessSlot::Second));
            return;
        }
        let Some((signal, to)) = self.adapt_signal_to_command(ProcessSlot::Second, signal, to, SignalOrigin::Own)
        else {
            return;
        };
        if let Some(target) = self.second_target(to)
            && self.deliver(signal, target, Resume::IfStopped) == Delivery::NotRefused
        {
            let (SignalTarget::Process(pid) | SignalTarget::Group(pid)) = target;
            self.record_sending(signal, Note::Sending, Some(pid));
        }
    }

    /// Sends a last signal to what is left of the server's group after its exit, if vsrun is called by the name of a
    /// tool that does so.
    pub fn signal_group_after_exit(&mut self, group_leader: Pid) {
        if let Some(signal) = self.config.personality.signal_to_remaining
            && self.deliver(signal, SignalTarget::Group(group_leader), Resume::Never) == Delivery::NotRefused
        {
            self.record_sending(signal, Note::SendingToGroup, Some(group_leader));
        }
    }

    /// Forwards a signal that vsrun has received to the server. Sends no CONT after it.
    pub fn forward(&mut self, signal: Signal, to: Recipient) {
        if let Some((signal, to)) =
            self.adapt_signal_to_command(ProcessSlot::Server, signal, to, SignalOrigin::Forwarded)
        {
            self.send_to(signal, to, Resume::Never);
        }
    }

    /// Stops vsrun itself after a terminal stop signal that was forwarded or ignored, if vsrun is called by the name of
    /// a tool that does so.
    pub fn suspend_self_if_required(&mut self) {
        if core::mem::take(&mut self.suspends_after_signal) {
            process::stop_self();
        }
    }

    fn send_to(&mut self, signal: Signal, to: Recipient, resume: Resume) {
        let (pid, target): (_, fn(Pid) -> SignalTarget) = match to {
            Recipient::Server => (self.server.as_ref().map(|child| child.pid), SignalTarget::Process),
            Recipient::Group => (self.server.as_ref().map(|child| child.pid), SignalTarget::Group),
            Recipient::CrashHandlerGroup => {
                (self.config.crash_handler.as_deref().and_then(CrashHandler::pid), SignalTarget::Group)
            }
            Recipient::AllProcesses | Recipient::RemainingOfRun => return,
        };
        let Some(pid) = pid else { return };
        let note = if to == Recipient::Group { Note::SendingToGroup } else { Note::Sending };
        // The signal is recorded after it is sent, because the log may be slow.
        if self.deliver(signal, target(pid), resume) == Delivery::NotRefused {
            self.record_sending(signal, note, Some(pid));
        }
    }

    /// Records that a signal is sent. `note` is the text for one process, for a group or for all processes.
    #[inline(never)]
    pub fn record_sending(&self, signal: Signal, note: Note, pid: Option<Pid>) {
        let to = pid.map_or(MessageArg::None, |pid| MessageArg::Number(pid.number().into()));
        self.note(Priority::Notice, note, &[MessageArg::Signal(signal), to]);
    }
}

impl Supervisor<'_> {
    /// Sends a signal to a server process, its group or the handler, then SIGCONT if `resume` requires it. Records why
    /// the kernel refuses it, unless the previous signal was refused too.
    #[inline(never)]
    pub fn deliver(&mut self, signal: Signal, target: SignalTarget, resume: Resume) -> Delivery {
        let (SignalTarget::Process(pid) | SignalTarget::Group(pid)) = target;
        let user = program_uid(&self.config.program);
        let sent = deliver(pid.number(), user, &|| {
            process::send(signal.number(), target)?;
            // A stopped process handles no signal except CONT and KILL.
            let resumes = resume == Resume::IfStopped && signal != Signal::KILL;
            if resumes { process::send(Signal::CONT.number(), target) } else { Ok(()) }
        });
        match sent {
            Ok(()) | Err(Errno::SRCH) => self.last_delivery = Delivery::NotRefused,
            Err(why) => {
                if self.last_delivery == Delivery::NotRefused {
                    let pid = MessageArg::Number(pid.number().into());
                    let objects =
                        [MessageArg::Signal(signal), pid, MessageArg::Errno(errno_text(why)), needed_capability(why)];
                    self.note(Priority::Warning, Note::CannotSend, &objects);
                }
                self.last_delivery = Delivery::Refused;
            }
        }
        self.last_delivery
    }

    /// Returns the event `Unkillable` if KILL could not be sent and vsrun is PID 1. The exit of PID 1 makes the kernel
    /// kill the server.
    pub fn unkillable_event(&mut self, signal: Signal, to: Recipient) -> Option<Event> {
        let kill_refused =
            signal == Signal::KILL && to != Recipient::CrashHandlerGroup && self.last_delivery == Delivery::Refused;
        (kill_refused && process::is_pid1()).then_some(Event::Unkillable)
    }
}
