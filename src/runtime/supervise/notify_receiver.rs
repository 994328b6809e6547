//! The server's notify socket, and the children that close descriptors which arrive with messages.

use super::slot::ProcessSlot;
use crate::logic::base::time::Span;
use crate::logic::base::time::Time;
use crate::sys;
use crate::sys::clone;
use crate::sys::clone::ChildMemory;
use crate::sys::datagram::{Datagram, NotifySocket};
use crate::sys::process;
use crate::sys::process::Pid;

/// The maximum number of children that hang while they close descriptors. At this number, no messages are read.
pub const MAX_MESSAGE_FD_CLOSERS: usize = 8;

/// How long vsrun reads no messages when the maximum number of children hang, or when no child could be
/// started.
pub const READ_PAUSE: Span = Span::millis(100);

/// The notify sockets of the server and of the second process of a replacement. A restart keeps the server's socket.
pub struct NotifyReceiver {
    /// The server's socket.
    server_socket: NotifySocket,
    /// The socket of the second process of a replacement. Any process of the server's user may send messages for it, so
    /// on a shared socket a sender's pid would not show which of the two processes a message is about.
    second_socket: Option<NotifySocket>,
    /// The uid of the server.
    pub server_uid: u32,
    /// The children that close descriptors of messages and have not been reaped.
    message_fd_closers: [Option<Pid>; MAX_MESSAGE_FD_CLOSERS],
    /// The time before which no messages are read.
    pub paused_until: Time,
    /// True if the last turn of the event loop found messages of untrusted senders, or more messages than a turn reads.
    pub is_backlogged: bool,
    /// The reasons for which messages were ignored and that have been recorded in this run of the server, a bit for
    /// each.
    pub recorded_ignore_reasons: u8,
}

impl NotifyReceiver {
    /// Makes a receiver for the server's notify socket, which trusts messages of root and of the server's user.
    pub fn new(server_socket: NotifySocket, server_uid: u32) -> Self {
        Self {
            server_socket,
            second_socket: None,
            server_uid,
            message_fd_closers: [None; MAX_MESSAGE_FD_CLOSERS],
            paused_until: Time(0),
            is_backlogged: false,
            recorded_ignore_reasons: 0,
        }
    }

    /// Prepares for a run of the process in this slot: forgets which reasons were recorded, and opens a new socket for
    /// a second process. Returns the socket of the process.
    ///
    /// # Errors
    /// The errors of socket(2).
    pub fn prepare_run(&mut self, slot: ProcessSlot) -> sys::Result<&NotifySocket> {
        self.recorded_ignore_reasons = 0;
        match slot {
            ProcessSlot::Server => Ok(&self.server_socket),
            ProcessSlot::Second => NotifySocket::open().map(|socket| &*self.second_socket.insert(socket)),
        }
    }

    /// The notify socket of the process in this slot. None if there is no second process.
    pub fn socket(&self, slot: ProcessSlot) -> Option<&NotifySocket> {
        match slot {
            ProcessSlot::Server => Some(&self.server_socket),
            ProcessSlot::Second => self.second_socket.as_ref(),
        }
    }

    /// Exchanges the sockets, because the second process of a replacement is the server now.
    pub fn switch_over(&mut self) {
        if let Some(second) = &mut self.second_socket {
            core::mem::swap(second, &mut self.server_socket);
        }
    }

    /// Closes the notify socket of the second process, of which nothing is left.
    pub fn close_second_socket(&mut self) {
        self.second_socket = None;
    }

    /// The end of the current pause in which no messages are read. None if there is no pause now.
    pub fn read_pause_end(&self, now: Time) -> Option<Time> {
        Some(self.paused_until).filter(|until| *until > now)
    }

    /// Forgets a reaped child that has closed descriptors, because its pid can be reused. Does nothing for another
    /// child.
    pub fn forget_message_fd_closer(&mut self, child: Pid) {
        self.message_fd_closers.iter_mut().filter(|closer| **closer == Some(child)).for_each(|closer| *closer = None);
    }

    /// Removes this message, the first one in the queue of this slot's socket. If it has descriptors, a child does
    /// that. Returns false if that is not possible now.
    pub fn remove_message(&mut self, slot: ProcessSlot, message: &Datagram<'_>, now: Time) -> bool {
        let notify_socket = if slot == ProcessSlot::Second {
            self.second_socket.as_ref().unwrap_or(&self.server_socket)
        } else {
            &self.server_socket
        };
        if !message.has_descriptors {
            notify_socket.discard();
            return true;
        }
        // Reap the children that have closed their descriptors and exited.
        for closer in &mut self.message_fd_closers {
            if let Some(child) = closer.take_if(|child| process::has_exited(*child)) {
                let _ = process::reap(child);
            }
        }
        let started = match self.message_fd_closers.iter_mut().find(|closer| closer.is_none()) {
            Some(free) => {
                *free = spawn_message_fd_closer(notify_socket);
                free.is_some()
            }
            None => false,
        };
        if !started {
            self.paused_until = now.after(READ_PAUSE);
        }
        started
    }
}

/// Starts a child that receives the first message, with its descriptors, and exits. Returns its pid, or None if that
/// fails. Not inlined, because the child runs on the stack of this function.
#[inline(never)]
pub fn spawn_message_fd_closer(notify_socket: &NotifySocket) -> Option<Pid> {
    clone::start_with_exec_timeout(ChildMemory::Shared, &|| notify_socket.discard_message_and_exit()).ok().flatten()
}
