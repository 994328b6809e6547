//! How the server says that it has been started, and how vsrun says the same to a service manager above it.

use core::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::act::say::failed;
use crate::decide::environ::Environ;
use crate::decide::error::Result;
use crate::decide::event::Event;
use crate::decide::ready::{NOTIFY_SOCKET, Ready, news};
use crate::decide::text::Text;
use crate::sys::datagram::{Inbox, Post};
use crate::sys::process::{self, Pid};
use crate::sys::{self, Errno, clock, fd, pipe};

/// How the server's words are heard, over all its lives.
pub enum Ear {
    /// The exec says it.
    Exec,
    /// A pipe in each life, to this descriptor.
    Newline(i32),
    /// A socket for all lives.
    Notify(Inbox),
}

impl Ear {
    /// Opens what is needed, and tells the server where.
    ///
    /// # Errors
    /// When there is no socket to be had.
    #[inline(never)]
    pub fn open(ready: Ready, env: &mut Environ) -> Result<Self> {
        Ok(match ready {
            Ready::Exec => Self::Exec,
            Ready::Newline(number) => Self::Newline(number),
            Ready::Notify => {
                let (inbox, name) =
                    Inbox::open().map_err(|why| failed(format_args!("cannot make a notify socket"), why))?;
                env.set(NOTIFY_SOCKET, &[b"@", &name[..]].concat());
                Self::Notify(inbox)
            }
        })
    }

    /// The value of `--ready`.
    pub fn name(&self) -> Text<16> {
        let mut name = Text::new();
        let _ = match self {
            Self::Exec => name.write_str("exec"),
            Self::Newline(number) => write!(name, "fd:{number}"),
            Self::Notify(_) => name.write_str("notify"),
        };
        name
    }

    /// For one life: what is heard here, and what the server writes to under which number.
    ///
    /// # Errors
    /// When there is no pipe to be had.
    pub fn pipe(&self) -> sys::Result<Option<(OwnedFd, OwnedFd, i32)>> {
        match self {
            Self::Newline(number) => pipe::to_us().map(|(read, write)| Some((read, write, *number))),
            Self::Exec | Self::Notify(_) => Ok(None),
        }
    }

    /// The descriptor to wait for beside a pipe.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Notify(inbox) => Some(inbox.as_fd()),
            Self::Exec | Self::Newline(_) => None,
        }
    }

    /// Reads what the server has written into its pipe, and closes it when it has said all.
    #[inline(never)]
    pub fn hear_pipe(pipe: &mut Option<OwnedFd>) -> Option<Event> {
        // All that a pipe may hold, and not more: there are others to listen to.
        for _ in 0..1024 {
            // A child of a server that has ended may hold the other end, and say nothing.
            let end = pipe.as_ref().filter(|end| fd::has_news(end.as_fd()))?;
            let mut words = [0; 64];
            let count = match fd::read_some(end.as_fd(), &mut words) {
                // The server has opened this end too, and was faster.
                Err(Errno::AGAIN) => return None,
                result => result.unwrap_or(0),
            };
            let words = words.get(..count).unwrap_or_default();
            if words.contains(&b'\n') {
                *pipe = None;
                return Some(Event::Ready);
            }
            if words.is_empty() {
                *pipe = None;
                return Some(Event::Unready);
            }
        }
        None
    }

    /// Reads the messages that have come. One counts only when it comes from the server itself.
    #[inline(never)]
    pub fn hear_message(&self, server: Option<Pid>) -> Option<Event> {
        let Self::Notify(inbox) = self else { return None };
        let mut buffer = [0; 1024];
        for _ in 0..1024 {
            let (message, sender) = inbox.next(&mut buffer)?;
            let known = sender.is_some() && sender == server;
            if let Some(event) = news(message).filter(|_| known) {
                return Some(event);
            }
        }
        None
    }
}

/// The service manager above vsrun: sd_notify(3).
pub struct Service {
    post: Post,
    /// What it was told last.
    told: Told,
}

/// What a service manager was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Ready,
    Reloading,
    Stopping,
}

impl Service {
    /// The one behind the NOTIFY_SOCKET that vsrun was given. An address that cannot be one is nobody's.
    pub fn new(address: &[u8]) -> Option<Self> {
        Post::new(address).ok().map(|post| Self { post, told: Told::Nothing })
    }

    /// The server has been started, or started again on request.
    pub fn ready(&mut self) {
        self.told = Told::Ready;
        let mut message = Text::<64>::new();
        let _ = write!(message, "READY=1\nMAINPID={}", process::id());
        self.post.send(message.as_bytes());
    }

    /// The same, when it was told to wait for it.
    pub fn ready_again(&mut self) {
        if self.told == Told::Reloading {
            self.ready();
        }
    }

    /// The server is restarted on request, which is news only where it was ready.
    #[inline(never)]
    pub fn reloading(&mut self) {
        if self.told != Told::Ready {
            return;
        }
        self.told = Told::Reloading;
        let mut message = Text::<64>::new();
        let _ = write!(message, "RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_micros());
        self.post.send(message.as_bytes());
    }

    /// It ends.
    pub fn stopping(&mut self) {
        if self.told != Told::Stopping {
            self.told = Told::Stopping;
            self.post.send(b"STOPPING=1");
        }
    }
}
