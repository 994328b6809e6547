//! Signals to the server, its group and the handler.

use crate::runtime::start::deliver::Reach;
use super::crash_handler::Handler;
use crate::runtime::report::log::Priority;
use super::supervisor::Supervisor;
use crate::logic::supervisor::event::Recipient;
use crate::logic::base::signal::Signal;
use crate::sys::process::{Pid, Target};

impl Supervisor<'_> {
    /// Sends a signal that ends its recipient, and CONT: a stopped process gets no other signal but KILL.
    pub fn send(&mut self, signal: Signal, to: Recipient) {
        if let Recipient::All | Recipient::Remains = to {
            return self.send_remains(signal, to);
        }
        self.send_to(signal, to, signal != Signal::KILL);
    }

    /// Sends a signal once and alone.
    pub fn forward(&mut self, signal: Signal, to: Recipient) {
        self.send_to(signal, to, false);
    }

    fn send_to(&mut self, signal: Signal, to: Recipient, resume: bool) {
        let (pid, target): (_, fn(Pid) -> Target) = match to {
            Recipient::Server => (self.server.as_ref().map(|life| life.pid), Target::Process),
            Recipient::Group => (self.server.as_ref().map(|life| life.pid), Target::Group),
            Recipient::Handler => (self.config.handler.as_deref().and_then(Handler::pid), Target::Group),
            Recipient::All | Recipient::Remains => return,
        };
        let Some(pid) = pid else { return };
        let whom = if to == Recipient::Group { "the process group of " } else { "" };
        // It is on its way before a record of it is.
        if self.deliver(signal, target(pid), resume) == Reach::Open {
            self.say_sending(signal, format_args!("{whom}pid {pid}"));
        }
    }

    /// Records that a signal is sent.
    #[inline(never)]
    pub fn say_sending(&self, signal: Signal, to: core::fmt::Arguments<'_>) {
        self.record(Priority::Notice, format_args!("sending {signal} to {to}"));
    }
}
