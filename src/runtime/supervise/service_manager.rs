//! Reports the state of the service to the service manager that started vsrun, with sd_notify(3).

use core::fmt::{self, Write};

use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::earliest;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::notify::Message;
use crate::sys::datagram::DatagramSender;
use crate::sys::process;
use crate::sys::{Errno, clock};

/// The largest number of bytes of the server's STATUS= that are passed on.
const MAX_STATUS_BYTES: usize = 240;
/// The time after which a message is sent again because the socket of the service manager was full.
const RETRY_TIME: Span = Span::millis(100);

/// The socket of the service manager, and what was last reported to it.
pub struct ServiceManager {
    sender: DatagramSender,
    /// The state that was reported last.
    reported_state: NotifyState,
    /// When the state is sent again, because the service manager's socket was full. None if nothing has to be sent
    /// again.
    retry_at: Option<Time>,
    /// The interval of the message WATCHDOG=1, and when the next one is due.
    watchdog_ping: Option<(Span, Time)>,
}

/// The states of the service that can be reported to the service manager.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NotifyState {
    Nothing,
    Ready,
    Reloading,
    Stopping,
}

impl ServiceManager {
    /// Opens a socket to the address in vsrun's own NOTIFY_SOCKET. `ping` is the interval of WATCHDOG=1. None: the
    /// address is not valid.
    pub fn new(address: &[u8], ping: Option<Span>) -> Option<Self> {
        let sender = DatagramSender::new(address).ok()?;
        Some(Self {
            sender,
            reported_state: NotifyState::Nothing,
            retry_at: None,
            watchdog_ping: ping.map(|span| (span, Time(0))),
        })
    }

    /// Reports that the server is ready for the first time.
    pub fn report_ready(&mut self) {
        self.report_state(NotifyState::Ready);
    }

    /// Reports that the server is ready again, if a reload has been reported: a requested restart, a replacement, or
    /// the server's own reload.
    pub fn report_ready_again(&mut self) {
        if self.reported_state == NotifyState::Reloading {
            self.report_state(NotifyState::Ready);
        }
    }

    /// Reports that the server is restarted or replaced on request. Does nothing before the server was ready for the
    /// first time, because the service manager still waits for READY=1.
    pub fn report_reloading(&mut self) {
        if matches!(self.reported_state, NotifyState::Ready | NotifyState::Reloading) {
            self.report_state(NotifyState::Reloading);
        }
    }

    /// Reports that the service stops, unless that was the last report.
    pub fn report_stopping(&mut self) {
        if self.reported_state != NotifyState::Stopping {
            self.report_state(NotifyState::Stopping);
        }
    }

    /// Passes on the parts of the server's message that are for the service manager. STOPPING=1 is not passed on,
    /// because vsrun may restart the server.
    #[inline(never)]
    pub fn forward_message(&mut self, message: &Message<'_>) {
        if let Some(status) = message.status {
            let status = Escaped(status.get(..MAX_STATUS_BYTES).unwrap_or(status));
            let _ = self.send(format_args!("STATUS={status}"));
        }
        if let Some(span) = message.extend_timeout {
            let micros = span.0.saturating_mul(1000);
            let _ = self.send(format_args!("EXTEND_TIMEOUT_USEC={micros}"));
        }
        if message.reloading && matches!(self.reported_state, NotifyState::Ready | NotifyState::Reloading) {
            self.reported_state = NotifyState::Reloading;
            self.send_state(message.reload_began_usec.unwrap_or_else(clock::monotonic_micros));
        }
    }

    /// Reports a human-readable status (STATUS=).
    pub fn report_status(&self, text: fmt::Arguments<'_>) {
        let _ = self.send(format_args!("STATUS={text}"));
    }

    /// When the next message is due. None if no message is.
    pub fn deadline(&self) -> Option<Time> {
        earliest(&[self.retry_at, self.watchdog_ping.map(|(_, next)| next)])
    }

    /// Sends what is due: WATCHDOG=1, and a state again for which the socket was full. The event loop calls this, so a
    /// loop that hangs sends no WATCHDOG=1.
    #[inline(never)]
    pub fn send_due_messages(&mut self, now: Time) {
        if self.retry_at.is_some_and(|retry_at| retry_at <= now) {
            self.report_state(self.reported_state);
        }
        if let Some((span, next)) = self.watchdog_ping
            && next <= now
        {
            self.watchdog_ping = Some((span, now.after(span)));
            let _ = self.send(format_args!("WATCHDOG=1"));
        }
    }

    fn report_state(&mut self, state: NotifyState) {
        self.reported_state = state;
        self.send_state(clock::monotonic_micros());
    }

    /// Sends the current state, with this monotonic time if it is RELOADING=1. If the socket is full, sends it again
    /// later.
    #[inline(never)]
    fn send_state(&mut self, monotonic_micros: u64) {
        let sent = match self.reported_state {
            NotifyState::Nothing => Ok(()),
            NotifyState::Ready => self.send(format_args!("READY=1\nMAINPID={}", process::own_pid())),
            NotifyState::Reloading => self.send(format_args!("RELOADING=1\nMONOTONIC_USEC={monotonic_micros}")),
            NotifyState::Stopping => self.send(format_args!("STOPPING=1")),
        };
        let full = matches!(sent, Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM));
        self.retry_at = full.then(|| Time(clock::monotonic_millis()).after(RETRY_TIME));
    }

    fn send(&self, text: fmt::Arguments<'_>) -> Result<(), Errno> {
        let mut message = ArrayText::<1024>::new();
        let _ = message.write_fmt(text);
        self.sender.send(message.as_bytes())
    }
}
