//! How vsrun determines that the server is ready (`--ready`): by its exec, a pipe, a notify socket, a time or a probe.

use alloc::boxed::Box;
use core::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::notify_receiver::NotifyReceiver;
use super::slot::ProcessSlot;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::error::Result;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::{Span, Time};
use crate::logic::plan::env::Env;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::readiness::{NOTIFY_SOCKET, ReadyCondition};
use crate::runtime::report::os_error::os_error;
use crate::runtime::start::exec_image::NOTIFY_SLOT;
use crate::runtime::start::outcome::ErrorText;
use crate::sys::datagram::NotifySocket;
use crate::sys::exec::ExecArray;
use crate::sys::process::Pid;
use crate::sys::{self, Errno, fd, pipe};

/// How vsrun determines that the server is ready. It is the same in all runs.
pub enum Readiness {
    /// The server is ready when its exec has succeeded.
    Exec,
    /// The server is ready when it writes a newline to its descriptor with this number. That is a new pipe in each run.
    Newline(i32),
    /// The server is ready when it sends READY=1 to the notify socket.
    Notify(Box<NotifyReceiver>),
    /// The server is ready when it has run for this time.
    Alive(Span),
    /// The server is ready when the probe with this text succeeds.
    Probe(StaticCStr),
}

impl Readiness {
    /// For `--ready notify`, opens the notify socket, and removes NOTIFY_SOCKET from the environment: the variable is
    /// set before each run. Messages of users other than root and the server's user are ignored.
    ///
    /// # Errors
    /// When the kernel refuses a socket.
    #[inline(never)]
    pub fn open(ready: ReadyCondition, server_uid: u32, env: &mut Env) -> Result<Self> {
        Ok(match ready {
            ReadyCondition::Exec => Self::Exec,
            ReadyCondition::NewlineOnFd(number) => Self::Newline(number),
            ReadyCondition::Alive(span) => Self::Alive(span),
            ReadyCondition::Probe(text) => Self::Probe(text),
            ReadyCondition::Notify => {
                let notify_socket = NotifySocket::open().map_err(|why| os_error(Problem::NotifySocket, why))?;
                env.remove(&|name| name == NOTIFY_SOCKET);
                Self::Notify(Box::new(NotifyReceiver::new(notify_socket, server_uid)))
            }
        })
    }

    /// The value of `--ready`, for messages.
    pub fn option_value(&self) -> ErrorText {
        let mut name = ErrorText::new();
        let _ = match self {
            Self::Exec => name.write_str("exec"),
            Self::Newline(number) => write!(name, "fd:{number}"),
            Self::Notify(_) => name.write_str("notify"),
            Self::Alive(span) => write!(name, "alive:{}", SpanDisplay(*span)),
            Self::Probe(text) => write!(name, "probe:{}", Escaped(text.to_bytes())),
        };
        name
    }

    /// Creates the pipe of one run for `--ready fd:N`; None for other values. Returns vsrun's read end, the server's
    /// write end, and N.
    ///
    /// # Errors
    /// When the kernel refuses a pipe.
    pub fn create_ready_pipe(&self) -> sys::Result<Option<(OwnedFd, OwnedFd, i32)>> {
        match self {
            Self::Newline(number) => pipe::create_nonblocking_read().map(|(read, write)| Some((read, write, *number))),
            Self::Exec | Self::Notify(_) | Self::Alive(_) | Self::Probe(_) => Ok(None),
        }
    }

    /// The notify socket of the process in this slot. None without `--ready notify`, for an empty second slot, or
    /// during a pause (see [`Self::notify_read_pause_end`]).
    pub fn notify_socket_to_poll(&self, slot: ProcessSlot, now: Time) -> Option<BorrowedFd<'_>> {
        let Self::Notify(receiver) = self else { return None };
        if receiver.read_pause_end(now).is_some() { None } else { receiver.socket(slot).map(AsFd::as_fd) }
    }

    /// The end of the current pause in which no notify socket is read. None if there is no pause.
    pub fn notify_read_pause_end(&self, now: Time) -> Option<Time> {
        if let Self::Notify(receiver) = self { receiver.read_pause_end(now) } else { None }
    }

    /// With `--ready notify`, prepares the notify socket for a run of the process in this slot, which is a new one for
    /// a candidate, and sets NOTIFY_SOCKET in its environment.
    ///
    /// # Errors
    /// When the kernel refuses the new socket of a candidate.
    pub fn prepare_notify_socket(&mut self, slot: ProcessSlot, env: &mut ExecArray) -> sys::Result<()> {
        if let Self::Notify(receiver) = self {
            let mut word = ArrayText::<24>::new();
            [NOTIFY_SOCKET, b"=@", &receiver.prepare_run(slot)?.name].iter().for_each(|part| word.push(part));
            env.set_slot(NOTIFY_SLOT, word.as_bytes());
        }
        Ok(())
    }

    /// The receiver of notify messages. None without `--ready notify`.
    pub fn receiver(&mut self) -> Option<&mut NotifyReceiver> {
        if let Self::Notify(receiver) = self { Some(receiver) } else { None }
    }

    /// Forgets a reaped child that has closed descriptors, because its pid can be reused. Does nothing for another
    /// child.
    pub fn forget_message_fd_closer(&mut self, child: Pid) {
        if let Self::Notify(receiver) = self {
            receiver.forget_message_fd_closer(child);
        }
    }
}

/// The maximum number of bytes that are read from the pipe of one run without a newline.
const MAX_BYTES_BEFORE_NEWLINE: usize = 65_536;

/// The read end of the pipe in which a server process reports that it is ready (`--ready fd:N`).
pub struct ReadyPipe {
    read_end: OwnedFd,
    /// The number of bytes that the process may still write before its newline.
    allowed_bytes_left: usize,
}

impl ReadyPipe {
    /// Makes a `ReadyPipe` from the read end of a new pipe, which must not block.
    pub fn new(read_end: OwnedFd) -> Self {
        Self { read_end, allowed_bytes_left: MAX_BYTES_BEFORE_NEWLINE }
    }

    /// Reads what the server wrote. Closes the pipe and returns `Ready` after a newline. Closes it and returns
    /// `NotReady` at the end of file, and if the server writes too much without a newline: otherwise a server that
    /// writes in a loop would keep vsrun busy.
    pub fn read(pipe: &mut Option<Self>) -> Option<Event> {
        loop {
            let Self { read_end, allowed_bytes_left: bytes_left } = pipe.as_mut()?;
            let mut bytes = [0; 64];
            let count = match fd::read_some(read_end.as_fd(), &mut bytes) {
                // The pipe can be empty: a remaining process of the server may hold the write end, or may have read the
                // bytes before vsrun, through /proc.
                Err(Errno::AGAIN) => return None,
                result => result.unwrap_or(0),
            };
            *bytes_left = bytes_left.saturating_sub(count);
            let is_ready = bytes.get(..count).unwrap_or_default().contains(&b'\n');
            if is_ready || count == 0 || *bytes_left == 0 {
                *pipe = None;
                return Some(if is_ready { Event::Ready } else { Event::NotReady });
            }
        }
    }
}

impl AsFd for ReadyPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }
}
