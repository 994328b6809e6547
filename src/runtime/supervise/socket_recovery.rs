//! Makes listening sockets usable again before a restart.
//!
//! The server shares its sockets with vsrun. shutdown(2), or connect(2) with AF_UNSPEC, stops a listening TCP socket;
//! connect(2) makes a UDP socket receive from one peer only. Both are undone before each later run; connect(2) only if
//! no other server process uses the sockets, and not for a TCP socket of vsrun's parent. A Unix socket cannot listen
//! again after shutdown(2), so it is replaced by a new one at the same path. It is also replaced if the server has
//! removed the file, as some servers do when they exit. O_NONBLOCK, the backlog and other options stay as the server
//! set them: another process of the old run may still use them, and the next run of the same program sets them again.

use std::os::fd::RawFd;

use super::supervisor::Supervisor;
use crate::logic::base::error::MessageArg;
use crate::logic::base::note::Note;
use crate::logic::plan::step::Step;
use crate::sys::socket::{self, DisconnectableSockets};
use crate::sys::{Errno, fd};

/// Which server processes use the sockets when vsrun restores them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SocketUse {
    /// No server process uses them: a run is about to begin.
    BetweenRuns,
    /// One server process uses them, and another one is about to be started beside it.
    ByOtherProcess,
    /// The server uses them and continues to run. A Unix socket that was shut down is not replaced: the server would
    /// accept no connections from the new one, so clients would wait in a queue that no process reads, instead of being
    /// refused.
    ByServer,
}

impl Supervisor<'_> {
    /// Makes the server's sockets usable again. Records the sockets for which that is not possible.
    #[inline(never)]
    pub fn restore_sockets(&mut self, usage: SocketUse) {
        let steps = self.config.program.steps().iter();
        let mut counts = steps.filter_map(|step| if let Step::PassSockets(count) = step { Some(*count) } else { None });
        for number in fd::FIRST_AFTER_STDIO..fd::FIRST_AFTER_STDIO + RawFd::from(counts.next().unwrap_or(0)) {
            let disconnect = match usage {
                SocketUse::BetweenRuns if number >= self.sockets.first_own_fd => {
                    DisconnectableSockets::StreamAndDatagram
                }
                SocketUse::BetweenRuns => DisconnectableSockets::Datagram,
                SocketUse::ByOtherProcess | SocketUse::ByServer => DisconnectableSockets::None,
            };
            let mut restored = socket::restore_receiving(number, disconnect);
            let is_lost = restored == Err(Errno::SHUTDOWN) || restored.is_ok() && self.sockets.is_file_missing(number);
            if is_lost && usage != SocketUse::ByServer {
                restored = self.sockets.renew(number);
            }
            match restored {
                // Not an error: vsrun's parent passed a connection, a socket that never listens, or no socket.
                Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTSOCK) => {}
                Err(why) => self.warn(Note::CannotListen, MessageArg::Number(number.into()), why),
            }
        }
    }
}
