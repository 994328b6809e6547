//! Finds the process that occupies an address, as far as the kernel and /proc show it.

use std::os::fd::AsFd;

use super::pidfile_lock_holder::read_proc;
use crate::logic::base::cstr::leak_cstr;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::formats::net_table::{Socket, TcpStates, find_conflicting_socket};
use crate::logic::formats::proc::parent_pid;
use crate::logic::plan::socket_address::{Listener, Transport};
use crate::sys::dir::{self, Dir};
use crate::sys::file_contents::{self, FileContents};
use crate::sys::{self, Errno, socket};

/// Adds to an error which process occupies the address, or why its path cannot be used, if that can be found.
pub fn add_owner(error: Error, listener: &Listener<'_>) -> Error {
    if !listener.is_path() {
        return match describe_port_owner(listener) {
            Ok(Some((owner, _))) => error.with_arg(MessageArg::Cause(owner)),
            Ok(None) | Err(_) => error,
        };
    }
    if dir::stat_path(listener.path()).is_ok_and(|about| !about.socket) {
        return error.with_reason_arg(Reason::NoSocket);
    }
    match socket::listener_pid(&listener.sockaddr) {
        Err(Errno::CONNREFUSED) => error.with_reason_arg(Reason::DeadSocket),
        // The pid comes from SO_PEERCRED, and not from /proc/net/unix: a path in that table may contain a newline, so
        // that any user can forge a line.
        Ok(pid) if read_proc(pid, c"stat", parent_pid).is_some() => {
            error.with_arg(MessageArg::Cause(Error::new(Problem::PidHasIt).with_number_arg(pid.into())))
        }
        _ => error,
    }
}

/// Describes the process that occupies the port. None if the port is free. A process that was found by
/// [`TcpStates::All`] may or may not keep the port from being bound.
///
/// # Errors
/// When /proc does not show the sockets.
pub fn describe_port_owner(listener: &Listener<'_>) -> sys::Result<Option<(Error, TcpStates)>> {
    let tables = match listener.transport {
        Transport::Stream => [c"/proc/net/tcp", c"/proc/net/tcp6"],
        Transport::Datagram => [c"/proc/net/udp", c"/proc/net/udp6"],
    };
    let mut result = Ok(None);
    for search in [TcpStates::Listening, TcpStates::All] {
        for table in tables {
            match FileContents::read(table) {
                Ok(table) => {
                    if let Some(socket) = find_conflicting_socket(&table, listener, search) {
                        return Ok(Some((describe_owner(&socket), search)));
                    }
                }
                // Without IPv6, the tables tcp6 and udp6 are missing.
                Err(Errno::NOENT) if table.to_bytes().ends_with(b"6") => {}
                Err(why) => result = Err(why),
            }
        }
    }
    result
}

/// True if the path names a socket on which no process listens.
pub fn is_dead_socket(listener: &Listener<'_>) -> bool {
    // connect(2) to any other file also fails with ECONNREFUSED, so the type of the file is checked first.
    dir::stat_path(listener.path()).is_ok_and(|about| about.socket)
        && socket::listener_pid(&listener.sockaddr) == Err(Errno::CONNREFUSED)
}

/// Describes the first process that has the socket open, or the socket's user if no process can be found.
fn describe_owner(socket: &Socket<'_>) -> Error {
    // The inode is 0 if no process has the socket: its connection is closed, and only the kernel keeps it (TIME_WAIT).
    if socket.inode == b"0" {
        return Error::new(Problem::ClosedHasIt);
    }
    let target = [b"socket:[", socket.inode, b"]"].concat();
    let mut holder = None;
    if let Ok(proc) = Dir::open(c"/proc") {
        let _ = proc.for_each_name(&mut |pid| {
            if holder.is_none() && has_socket(pid.to_bytes(), &target) {
                holder = Some(pid.to_bytes().to_vec());
            }
        });
    }
    match holder {
        Some(pid) => Error::of(Problem::PidHasIt, &pid),
        None => Error::of(Problem::UserHasIt, socket.uid),
    }
}

/// True if one of a process's descriptors is a link to `target`.
fn has_socket(pid: &[u8], target: &[u8]) -> bool {
    let mut has = false;
    if pid.first().is_some_and(u8::is_ascii_digit)
        && let Ok(descriptors) = Dir::open(leak_cstr([b"/proc/", pid, b"/fd"].concat()))
    {
        let _ = descriptors.for_each_name(&mut |name| {
            let mut buffer = [0; 64];
            let count = file_contents::read_link(descriptors.as_fd(), name, &mut buffer).unwrap_or(0);
            has |= buffer.get(..count) == Some(target);
        });
    }
    has
}
