//! How the server says that it has been started.

use alloc::boxed::Box;
use core::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::mailbox::Mail;
use crate::logic::base::error::Result;
use crate::logic::base::text::ArrayText;
use crate::logic::base::time::Time;
use crate::logic::plan::env::Env;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::readiness::{NOTIFY_SOCKET, Ready};
use crate::runtime::report::log::os_error;
use crate::sys::datagram::NotifySocket;
use crate::sys::process::Pid;
use crate::sys::{self, Errno, fd, pipe};

/// How the server's words are heard, over all its lives.
pub enum Readiness {
    /// The exec says it.
    Exec,
    /// A pipe in each life, to this descriptor.
    Newline(i32),
    /// A socket for all lives.
    Notify(Box<Mail>),
}

impl Readiness {
    /// Opens what is needed, and tells the server where. On the notify socket the server's user is trusted.
    ///
    /// # Errors
    /// When there is no socket available.
    #[inline(never)]
    pub fn open(ready: Ready, user: u32, env: &mut Env) -> Result<Self> {
        Ok(match ready {
            Ready::Exec => Self::Exec,
            Ready::Newline(number) => Self::Newline(number),
            Ready::Notify => {
                let (inbox, name) =
                    NotifySocket::open().map_err(|why| os_error(format_args!("cannot make a notify socket"), why))?;
                env.set(NOTIFY_SOCKET, &[b"@", &name[..]].concat());
                Self::Notify(Box::new(Mail::new(inbox, user)))
            }
        })
    }

    /// The value of `--ready`.
    pub fn name(&self) -> ArrayText<32> {
        let mut name = ArrayText::new();
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
    /// When there is no pipe available.
    pub fn pipe(&self) -> sys::Result<Option<(OwnedFd, OwnedFd, i32)>> {
        match self {
            Self::Newline(number) => pipe::to_us().map(|(read, write)| Some((read, write, *number))),
            Self::Exec | Self::Notify(_) => Ok(None),
        }
    }

    /// The descriptor to wait for beside a pipe, and the end of a pause in which it is not waited for.
    pub fn fd(&self, now: Time) -> (Option<BorrowedFd<'_>>, Option<Time>) {
        match self {
            Self::Notify(mail) => match mail.pause(now) {
                None => (Some(mail.inbox.as_fd()), None),
                pause => (None, pause),
            },
            Self::Exec | Self::Newline(_) => (None, None),
        }
    }

    /// A run of the server begins.
    pub fn begin(&mut self) {
        if let Self::Notify(mail) = self {
            mail.begin();
        }
    }

    /// A child of ours has been reaped.
    pub fn forget(&mut self, child: Pid) {
        if let Self::Notify(mail) = self {
            mail.forget(child);
        }
    }

    /// Reads what the server has written into its pipe, and closes it when it has said all.
    #[inline(never)]
    pub fn read_pipe(pipe: &mut Option<OwnedFd>) -> Option<Event> {
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
                return Some(Event::NotReady);
            }
        }
        None
    }
}
