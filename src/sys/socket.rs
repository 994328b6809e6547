//! Sockets that listen, and the question whether anybody listens at a path. Addresses are bytes, as bind(2) takes
//! them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{Errno, Result, check};

/// How many connections may wait for a server; the kernel lowers it to what the system allows.
const BACKLOG: i32 = 4096;

/// What comes to a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connections.
    Stream,
    /// Packets.
    Datagram,
}

/// A socket at an address, closed at exec. It does not listen yet. `[::]` is an address of IPv4 too.
///
/// # Errors
/// Those of socket(2) and bind(2).
pub fn bind(address: &[u8], kind: Kind) -> Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::Datagram => SocketType::DGRAM,
    };
    let family = family(address);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if kind == SocketType::STREAM {
        // What is left of old connections keeps nobody from the port. For packets it would let two servers share it.
        set_socket_reuseaddr(&socket, true)?;
    }
    if family == AddressFamily::INET6 {
        // Whatever the system's default is.
        set_ipv6_v6only(&socket, false)?;
    }
    // SAFETY: the address is as long as it says.
    check(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) })?;
    Ok(socket)
}

/// Lets connections come.
///
/// # Errors
/// Those of listen(2).
pub fn listen(socket: BorrowedFd<'_>) -> Result<()> {
    rustix::net::listen(socket, BACKLOG)
}

/// Calls whoever listens at an address, and hangs up at once.
///
/// # Errors
/// ECONNREFUSED when nobody does; EAGAIN when so many are waiting that one more cannot.
pub fn call(address: &[u8]) -> Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::STREAM, flags, None)?;
    // SAFETY: the address is as long as it says.
    check(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) }).map(drop)
}

/// Connects to an address, waiting for so many milliseconds at most. The connection does not block afterwards.
///
/// # Errors
/// Those of connect(2): ETIMEDOUT after that time, EAGAIN at once if a Unix socket's queue of connections is full.
pub fn connect(address: &[u8], millis: u64) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::STREAM, flags, None)?;
    // SAFETY: the address is as long as it says.
    match check(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) }) {
        Err(Errno::INPROGRESS) => {}
        result => return result.map(|_| socket),
    }
    if !super::fd::await_writable(socket.as_fd(), millis) {
        return Err(Errno::TIMEDOUT);
    }
    rustix::net::sockopt::socket_error(&socket)??;
    Ok(socket)
}

/// Sends bytes without waiting, and without SIGPIPE.
///
/// # Errors
/// Those of send(2); EAGAIN if not all of them fit.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let count = rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL)?;
    if count == bytes.len() { Ok(()) } else { Err(Errno::AGAIN) }
}

fn family(address: &[u8]) -> AddressFamily {
    let family = address.first_chunk().copied().map_or(0, u16::from_ne_bytes);
    AddressFamily::from_raw(family)
}

/// The length of an address, in the kernel's type.
pub(super) fn length(address: &[u8]) -> libc::socklen_t {
    libc::socklen_t::try_from(address.len()).unwrap_or(0)
}
