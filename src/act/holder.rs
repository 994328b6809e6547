//! Who has an address that cannot be had, as far as the file system and /proc tell.

use std::os::fd::AsFd;

use crate::decide::endpoint::{Listener, Traffic};
use crate::decide::holder::{Socket, find};
use crate::decide::text::Clean;
use crate::decide::word::word;
use crate::sys::contents::{self, Contents};
use crate::sys::dir::{self, Dir};
use crate::sys::{Errno, socket};

/// Who has it: ` (pid 7 has it)`; nothing where nobody can tell.
#[inline(never)]
pub fn of(listener: &Listener<'_>) -> String {
    let tables = if !listener.is_path() {
        match listener.traffic {
            Traffic::Connections => [c"/proc/net/tcp6", c"/proc/net/tcp"],
            Traffic::Packets => [c"/proc/net/udp6", c"/proc/net/udp"],
        }
    } else if dir::about_path(listener.path()).is_ok_and(|about| !about.socket) {
        return " (what is there is no socket)".into();
    } else if is_dead(listener) {
        return " (a dead server's socket is there, and only the lock of a pidfile lets vsrun remove it)".into();
    } else {
        [c"/proc/net/unix"; 2]
    };
    for table in tables {
        if let Ok(table) = Contents::read(table)
            && let Some(found) = find(&table, listener)
        {
            return process(&found);
        }
    }
    String::new()
}

/// Whether there is a socket at its path that nobody listens to.
pub fn is_dead(listener: &Listener<'_>) -> bool {
    // A call to anything that is no socket is refused with the same words.
    dir::about_path(listener.path()).is_ok_and(|about| about.socket)
        && socket::call(&listener.address).is_err_and(|why| why == Errno::CONNREFUSED)
}

/// The first process that has the socket open; its user, where no process can be found.
fn process(socket: &Socket<'_>) -> String {
    let target = [b"socket:[", socket.inode, b"]"].concat();
    let mut holder = None;
    if let Ok(proc) = Dir::open(c"/proc") {
        let _ = proc.each(&mut |pid| {
            if holder.is_none() && has(pid.to_bytes(), &target) {
                holder = Some(pid.to_bytes().to_vec());
            }
        });
    }
    let (what, number) = match &holder {
        Some(pid) => ("pid", &pid[..]),
        None if socket.uid.is_empty() => return String::new(),
        None => ("a process of user", socket.uid),
    };
    format!(" ({what} {} has it)", Clean(number))
}

/// Whether one of a process's descriptors leads there.
fn has(pid: &[u8], target: &[u8]) -> bool {
    let mut has = false;
    if pid.first().is_some_and(u8::is_ascii_digit)
        && let Ok(descriptors) = Dir::open(word([b"/proc/", pid, b"/fd"].concat()))
    {
        let _ = descriptors.each(&mut |name| {
            let mut buffer = [0; 64];
            let count = contents::link(descriptors.as_fd(), name, &mut buffer).unwrap_or(0);
            has |= buffer.get(..count) == Some(target);
        });
    }
    has
}
