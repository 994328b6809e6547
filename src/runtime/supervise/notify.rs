//! The notify socket: messages of the server take effect, and messages of any other sender do no harm.
//!
//! An abstract socket has no owner: every local user can send any number of messages and descriptors to it. So each
//! turn of the event loop reads a limited number of messages, and handles signals and deadlines in between. The
//! supervisor never holds or closes a descriptor that arrived with a message, because the last close of a file can
//! sleep for ever (SO_LINGER). It only peeks at the message. If the message has descriptors, a child receives it and
//! exits (see `NotifySocket`).
//!
//! The child shares the supervisor's memory (vfork), so nothing is copied. It takes 50 to 100 us, less than the sender
//! needed. The alternatives are worse. A permanent receiver process uses memory in each idle supervisor, needs two more
//! wake-ups for each message, and can be blocked by a descriptor too. SO_PASSRIGHTS (Linux 6.16) can refuse messages
//! with descriptors. But systemd-notify(1) sends a descriptor and waits until it is closed, as a proof that its
//! messages have been handled. With the child this proof is valid: a message is removed only after the messages before
//! it were handled.

use super::readiness::Readiness;
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::notify::{IgnoreReason, Message, is_trusted_sender, parse};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::sys::datagram::SenderCredentials;

/// The maximum number of messages that are read in one turn of the event loop. By default, the kernel queues up to 10
/// (net.unix.max_dgram_qlen).
const MESSAGES_PER_TURN: usize = 64;
/// The maximum size of a message in bytes. Of a longer message, only the complete lines up to this size are read.
const MAX_MESSAGE_BYTES: usize = 2048;
impl Supervisor<'_> {
    /// Reads pending messages of the process in this slot, until one of them is an event, and returns that event.
    #[inline(never)]
    pub fn read_notify_messages(&mut self, slot: ProcessSlot) -> Option<Event> {
        let time = now();
        let Readiness::Notify(receiver) = &mut self.config.readiness else { return None };
        receiver.is_backlogged = false;
        if receiver.read_pause_end(time).is_some() {
            return None;
        }
        for _ in 0..MESSAGES_PER_TURN {
            if let Some(event) = self.read_one_message(slot, time)? {
                return Some(event);
            }
        }
        if let Readiness::Notify(receiver) = &mut self.config.readiness {
            receiver.is_backlogged = true;
        }
        None
    }

    /// Reads one message, and applies it if its sender is trusted. None: there is no message, or it cannot be removed
    /// from the queue now. Some(None): the message is no event.
    fn read_one_message(&mut self, slot: ProcessSlot, time: Time) -> Option<Option<Event>> {
        let Readiness::Notify(receiver) = &mut self.config.readiness else { return None };
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let datagram = receiver.socket(slot)?.peek(&mut buffer)?;
        let sender = datagram.sender;
        if !receiver.remove_message(slot, &datagram, time) {
            self.record_ignored_message(sender, IgnoreReason::CannotCloseDescriptors);
            return None;
        }
        if !is_trusted_sender(sender.pid, sender.uid, receiver.server_uid) {
            receiver.is_backlogged = true;
            self.record_ignored_message(sender, IgnoreReason::OtherUser);
            return Some(None);
        }
        let message: Message<'_> = parse(datagram.text);
        // A command of `--before` cannot report that the server is ready or alive.
        let is_server = self.process_mut(slot).as_ref().is_none_or(|child| child.before_command.is_none());
        if let Some(service) = self.config.service_manager.as_mut().filter(|_| slot == ProcessSlot::Server) {
            service.forward_message(&message);
        }
        let event = match slot {
            _ if !is_server => None,
            ProcessSlot::Server => message.apply_from_server(&self.config.policy, &mut self.state, time),
            ProcessSlot::Second => message.apply_from_second_process(&self.config.policy, &mut self.state, time),
        };
        if let Some(why) = message.ignored {
            self.record_ignored_message(sender, why);
        }
        Some(event)
    }

    /// Records that a message is ignored: each reason once in a run, so that no sender can fill the log.
    #[inline(never)]
    fn record_ignored_message(&mut self, SenderCredentials { pid, uid }: SenderCredentials, why: IgnoreReason) {
        if let Readiness::Notify(receiver) = &mut self.config.readiness
            && receiver.recorded_ignore_reasons & why.bit_mask() == 0
        {
            receiver.recorded_ignore_reasons |= why.bit_mask();
            let (pid, uid) = (MessageArg::Number(pid.into()), MessageArg::Number(uid.into()));
            self.note(Priority::Warning, Note::WrongSender, &[pid, uid, MessageArg::Reason(why.reason())]);
        }
    }

    /// Called when a deadline of the state machine has passed. Returns the event that a server process has reported in
    /// time or, without one, `DeadlinePassed`. None if a message has moved the deadline, or if other senders may have
    /// delayed one.
    #[inline(never)]
    pub fn on_state_deadline(&mut self, time: Time) -> Option<Event> {
        // What the server reported in time counts, even if it is read late: vsrun may have been suspended.
        let sent =
            self.read_pending_event(ProcessSlot::Server).or_else(|| self.read_pending_event(ProcessSlot::Second));
        if sent.is_some() {
            return sent;
        }
        self.state.deadline().filter(|until| *until <= time)?;
        if self.is_first_start() {
            let (how, within) =
                (self.config.readiness.option_value(), self.config.policy.ready_timeout.unwrap_or_default());
            let why = self.config.prober.as_ref().map_or("", |prober| prober.server.last_failure_reason.as_str());
            let problem = if why.is_empty() { Problem::NotReady } else { Problem::NotReadyBecause };
            let late = || {
                let error = Error::new(problem).with_raw_arg(how.as_str());
                error.with_arg(MessageArg::Duration(SpanDisplay(within))).with_raw_arg(why)
            };
            self.start_error = Some(self.timeout_error_of_command().unwrap_or_else(late));
        }
        if let Some(until) = self.state.watchdog_due(time) {
            if self.message_may_be_delayed(until, time) {
                return None;
            }
            self.note(Priority::Warning, Note::Silent, &[]);
        }
        Some(Event::DeadlinePassed)
    }

    /// True if other senders may have delayed a message that the server sent in time. While they fill the queue, the
    /// server's watchdog time is doubled, because the kernel wakes waiting senders one after the other. While they keep
    /// vsrun from reading, the state of the server is unknown: the server is not stopped, and its watchdog time starts
    /// when vsrun reads again.
    fn message_may_be_delayed(&self, deadline: Time, now: Time) -> bool {
        let Readiness::Notify(receiver) = &self.config.readiness else { return false };
        let more = self.config.policy.watchdog.unwrap_or_default();
        (receiver.is_backlogged || receiver.paused_until > deadline)
            && now < deadline.max(receiver.paused_until).after(more)
    }
}
