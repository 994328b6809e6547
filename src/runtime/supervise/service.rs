//! The service manager above vsrun, to which it reports: sd_notify(3).

use core::fmt::{self, Write};

use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::earliest;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::notify::Message;
use crate::sys::datagram::DatagramSender;
use crate::sys::process;
use crate::sys::{Errno, clock};

/// How much of the server's STATUS= is passed on, in bytes.
const STATUS: usize = 240;
/// After how long a message is sent again for which the service manager had no room.
const AGAIN: Span = Span::millis(100);

/// The service manager above vsrun.
pub struct ServiceManager {
    sender: DatagramSender,
    /// What it was told last.
    state: NotifyState,
    /// When that is sent again, because there was no room for it.
    again: Option<Time>,
    /// How often it wants a WATCHDOG=1, and when the next one is due.
    ping: Option<(Span, Time)>,
}

/// What a service manager was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NotifyState {
    Nothing,
    Ready,
    Reloading,
    Stopping,
}

impl ServiceManager {
    /// The one at the NOTIFY_SOCKET that vsrun was given, which wants a WATCHDOG=1 so often. None: the address cannot
    /// be one.
    pub fn new(address: &[u8], ping: Option<Span>) -> Option<Self> {
        let post = DatagramSender::new(address).ok()?;
        Some(Self { sender: post, state: NotifyState::Nothing, again: None, ping: ping.map(|span| (span, Time(0))) })
    }

    /// The server has been started.
    pub fn ready(&mut self) {
        self.report(NotifyState::Ready);
    }

    /// The server is ready again: that ends a restart by request, or its own reload.
    pub fn ready_again(&mut self) {
        if self.state == NotifyState::Reloading {
            self.report(NotifyState::Ready);
        }
    }

    /// The server is restarted on request. Before it was ready that is no news.
    pub fn reloading(&mut self) {
        if matches!(self.state, NotifyState::Ready | NotifyState::Reloading) {
            self.report(NotifyState::Reloading);
        }
    }

    /// It ends.
    pub fn stopping(&mut self) {
        if self.state != NotifyState::Stopping {
            self.report(NotifyState::Stopping);
        }
    }

    /// Passes on what concerns the service manager in a message of the server. Its STOPPING=1 does not: vsrun may
    /// restart it.
    #[inline(never)]
    pub fn pass_on(&mut self, message: &Message<'_>) {
        if let Some(status) = message.status {
            let status = Escaped(status.get(..STATUS).unwrap_or(status));
            let _ = self.send(format_args!("STATUS={status}"));
        }
        if let Some(span) = message.extend {
            let micros = span.0.saturating_mul(1000);
            let _ = self.send(format_args!("EXTEND_TIMEOUT_USEC={micros}"));
        }
        if message.reloading && matches!(self.state, NotifyState::Ready | NotifyState::Reloading) {
            self.state = NotifyState::Reloading;
            self.report_at(message.began.unwrap_or_else(clock::monotonic_micros));
        }
    }

    /// When something is to be sent.
    pub fn deadline(&self) -> Option<Time> {
        earliest(&[self.again, self.ping.map(|(_, next)| next)])
    }

    /// Sends what is due: a message for which there was no room, and WATCHDOG=1, as long as the loop turns.
    #[inline(never)]
    pub fn run_due(&mut self, now: Time) {
        if self.again.is_some_and(|again| again <= now) {
            self.report(self.state);
        }
        if let Some((span, next)) = self.ping
            && next <= now
        {
            self.ping = Some((span, now.after(span)));
            let _ = self.send(format_args!("WATCHDOG=1"));
        }
    }

    fn report(&mut self, told: NotifyState) {
        self.state = told;
        self.report_at(clock::monotonic_micros());
    }

    /// Sends what it learns now. A service manager whose queue is full for the moment gets it later.
    #[inline(never)]
    fn report_at(&mut self, micros: u64) {
        let sent = match self.state {
            NotifyState::Nothing => Ok(()),
            NotifyState::Ready => self.send(format_args!("READY=1\nMAINPID={}", process::id())),
            NotifyState::Reloading => self.send(format_args!("RELOADING=1\nMONOTONIC_USEC={micros}")),
            NotifyState::Stopping => self.send(format_args!("STOPPING=1")),
        };
        let full = matches!(sent, Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM));
        self.again = full.then(|| Time(clock::monotonic()).after(AGAIN));
    }

    fn send(&self, words: fmt::Arguments<'_>) -> Result<(), Errno> {
        let mut message = ArrayText::<1024>::new();
        let _ = message.write_fmt(words);
        self.sender.send(message.as_bytes())
    }
}
