//! The notify socket: what the server says there is heard, and what anyone else sends there does no harm.
//!
//! An abstract socket has no owner: every local user can send to it, as often as he likes, and with descriptors. So
//! each turn of the loop reads a limited number of messages, and signals and deadlines come in between; and this process
//! never holds or closes a descriptor that came with a message, because the last close of a file can sleep for ever. It
//! looks at the message, and a child takes it out of the queue and exits (`Inbox::swallow`).
//!
//! That child has our memory (vfork), so it costs no copy, and less than sending the message did: 50 to 100 us. The
//! alternatives are worse. A process that receives for us for good costs memory in each manager at rest, two more
//! wake-ups for each message, and can be hung all the same. SO_PASSRIGHTS (Linux 6.16) refuses descriptors, and with
//! them systemd-notify, which waits until the one that it has sent is closed: that is the proof that the messages before
//! it have been handled, and so they have been here, since the next message is looked at only after the last one.

use super::readiness::Readiness;
use super::supervisor::Supervisor;
use crate::logic::base::duration::Duration;
use crate::logic::base::error::Error;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::notify::{Ignored, Message, is_trusted, parse};
use crate::logic::supervisor::state::Phase;
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::sys::datagram::Sender;

/// How many messages are read in one turn of the loop. The kernel queues 10 (net.unix.max_dgram_qlen).
const TURN: usize = 64;
/// The longest message that is read whole.
const LONGEST: usize = 2048;
impl Supervisor<'_> {
    /// Reads the messages that have come, up to one that is an event.
    #[inline(never)]
    pub fn read_notify(&mut self) -> Option<Event> {
        let time = now();
        let Readiness::Notify(mail) = &mut self.config.readiness else { return None };
        mail.crowded = false;
        if mail.pause(time).is_some() {
            return None;
        }
        for _ in 0..TURN {
            if let Some(event) = self.read_one(time)? {
                return Some(event);
            }
        }
        if let Readiness::Notify(mail) = &mut self.config.readiness {
            mail.crowded = true;
        }
        None
    }

    /// Reads one message, and does what it says. None: there is none, or it cannot be taken now.
    fn read_one(&mut self, time: Time) -> Option<Option<Event>> {
        let Readiness::Notify(mail) = &mut self.config.readiness else { return None };
        let mut buffer = [0; LONGEST];
        let letter = mail.inbox.peek(&mut buffer)?;
        let sender = letter.sender;
        if !mail.remove(letter.carries, time) {
            self.record_ignored(sender, Ignored::Hanging);
            return None;
        }
        if !is_trusted(sender.pid, sender.uid, mail.user) {
            mail.crowded = true;
            self.record_ignored(sender, Ignored::Stranger);
            return Some(None);
        }
        let message: Message<'_> = parse(letter.text);
        if let Some(service) = &mut self.config.service_manager {
            service.pass_on(&message);
        }
        let event = message.apply(&self.config.policy, &mut self.state, time);
        if let Some(why) = message.ignored {
            self.record_ignored(sender, why);
        }
        Some(event)
    }

    /// Records that a message has no effect: each reason once in a run, so that no sender can fill the log.
    #[inline(never)]
    fn record_ignored(&mut self, Sender { pid, uid }: Sender, why: Ignored) {
        if let Readiness::Notify(mail) = &mut self.config.readiness
            && mail.recorded & why.bit() == 0
        {
            mail.recorded |= why.bit();
            let why = why.words();
            self.record(Priority::Warning, format_args!("ignored a notify message from pid {pid} (uid {uid}): {why}"));
        }
    }

    /// A deadline has passed. Returns what follows; None if it has been moved, or holds no longer.
    #[inline(never)]
    pub fn on_deadline(&mut self, time: Time) -> Option<Event> {
        // What the server has said in time counts, however late we are.
        if let Some(event) = self.read_notify() {
            return Some(event);
        }
        let until = self.state.deadline().filter(|until| *until <= time)?;
        if self.is_first_start() {
            let (how, within) =
                (self.config.readiness.name(), Duration(self.config.policy.ready_timeout.unwrap_or_default()));
            let how = how.as_str();
            let words = "the server was not ready in time";
            self.error = Some(Error::setup(format_args!("{words}: --ready {how}, --ready-timeout {within}")));
        }
        if self.state.phase == Phase::Running {
            if self.is_excused(until, time) {
                return None;
            }
            self.record(Priority::Warning, format_args!("the server has been silent for too long"));
        }
        Some(Event::Tick)
    }

    /// True if the server may have spoken in time, in a message that others keep from us. While they fill the queue, it
    /// has the watchdog time once more: a sender that waits for room gets it in turn. While they keep us from reading,
    /// nothing is known of the server, so it is not ended; and it has that time from the moment when we read again.
    fn is_excused(&self, until: Time, time: Time) -> bool {
        let Readiness::Notify(mail) = &self.config.readiness else { return false };
        let more = self.config.policy.watchdog.unwrap_or_default();
        (mail.crowded || mail.paused > until) && time < until.max(mail.paused).after(more)
    }
}
