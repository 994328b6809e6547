//! The server's notify socket, and the children that close descriptors which arrive with messages.

use crate::logic::base::time::Span;
use crate::logic::base::time::Time;
use crate::sys::clone;
use crate::sys::clone::Memory;
use crate::sys::datagram::NotifySocket;
use crate::sys::process;
use crate::sys::process::Pid;

/// How many children may hang while they close descriptors. At this number, the socket is no longer read.
pub const CLOSERS: usize = 8;

/// How long the socket is not read then, or after the kernel refused to fork.
pub const PAUSE: Span = Span::millis(100);

/// The notify socket, over all runs of the server.
pub struct Mail {
    /// The socket.
    pub inbox: NotifySocket,
    /// The server's user.
    pub user: u32,
    /// The children that close descriptors and have not been reaped.
    closers: [Option<Pid>; CLOSERS],
    /// The socket is not read before this time.
    pub paused: Time,
    /// True if the last read found messages of untrusted senders, or more messages than one turn may read.
    pub crowded: bool,
    /// The reasons that have been recorded in this run of the server, as bits.
    pub recorded: u8,
}

impl Mail {
    /// A socket without messages.
    pub fn new(inbox: NotifySocket, user: u32) -> Self {
        Self { inbox, user, closers: [None; CLOSERS], paused: Time(0), crowded: false, recorded: 0 }
    }

    /// A run of the server begins: reasons may be recorded again.
    pub fn begin(&mut self) {
        self.recorded = 0;
    }

    /// The end of the pause, if there is one.
    pub fn pause(&self, now: Time) -> Option<Time> {
        Some(self.paused).filter(|until| *until > now)
    }

    /// A child has been reaped: its pid can be reused, so it is no longer one of the closers.
    pub fn forget(&mut self, child: Pid) {
        self.closers.iter_mut().filter(|closer| **closer == Some(child)).for_each(|closer| *closer = None);
    }

    /// Removes the first message from the queue. Returns false if that is not possible now.
    pub fn remove(&mut self, carries: bool, now: Time) -> bool {
        if !carries {
            self.inbox.discard();
            return true;
        }
        // Most closers have exited by now.
        for closer in &mut self.closers {
            if let Some(child) = closer.take_if(|child| process::has_exited(*child)) {
                let _ = process::reap(child);
            }
        }
        let started = match self.closers.iter_mut().find(|closer| closer.is_none()) {
            Some(free) => {
                *free = close(&self.inbox);
                free.is_some()
            }
            None => false,
        };
        if !started {
            self.paused = now.after(PAUSE);
        }
        started
    }
}

/// Starts a child that receives the first message and exits. In a function of its own, because the child uses our
/// stack.
#[inline(never)]
pub fn close(inbox: &NotifySocket) -> Option<Pid> {
    clone::start(Memory::Shared, &|| inbox.swallow()).ok().flatten()
}
