//! Sockets that listen, and whether a path has a listener. Addresses are bytes, as bind(2) takes
//! them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{self, set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{Errno, Result, cvt};

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
        // Remains of old connections do not block the port. For packets it would let two servers share it.
        set_socket_reuseaddr(&socket, true)?;
    }
    if family == AddressFamily::INET6 {
        // Whatever the system's default is.
        set_ipv6_v6only(&socket, false)?;
    }
    bind_to(socket.as_fd(), address)?;
    Ok(socket)
}

/// A Unix socket of connections, which has no address yet.
///
/// # Errors
/// Those of socket(2).
pub fn unix() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Gives it its address.
///
/// # Errors
/// Those of bind(2).
pub fn bind_to(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    // SAFETY: the address is as long as it says.
    cvt(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) }).map(drop)
}

/// Lets connections come.
///
/// # Errors
/// Those of listen(2).
pub fn listen(socket: BorrowedFd<'_>) -> Result<()> {
    rustix::net::listen(socket, BACKLOG)
}

/// Whether the machine has such an address, and the family of addresses. No port is taken, not even for a moment.
///
/// # Errors
/// EAFNOSUPPORT and EADDRNOTAVAIL; ENOPROTOOPT before Linux 4.2, where this cannot be asked.
pub fn try_address(address: &[u8]) -> Result<()> {
    let socket = socket_with(family(address), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let (yes, mut address) = (1i32, address.to_vec());
    if let Some(port) = address.get_mut(2..4) {
        port.fill(0);
    }
    // SAFETY: the option is an int.
    cvt(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const yes).cast(),
            libc::socklen_t::try_from(size_of_val(&yes)).unwrap_or(0),
        )
    })?;
    // SAFETY: the address is as long as it says.
    cvt(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length(&address)) }).map(drop)
}

/// Calls the process that listens at an address, and hangs up at once. Returns its pid; 0 if it is in another pid
/// namespace.
///
/// # Errors
/// ECONNREFUSED when no process does; EAGAIN when so many are waiting that one more cannot.
pub fn try_connect(address: &[u8]) -> Result<i32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::STREAM, flags, None)?;
    connect(socket.as_fd(), address)?;
    // struct ucred: pid, uid, gid. rustix takes the pid for one that is never 0.
    let mut peer = [0i32; 3];
    let mut size = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
    let (level, name, place) = (libc::SOL_SOCKET, libc::SO_PEERCRED, peer.as_mut_ptr());
    // SAFETY: there is room for the three numbers.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, place.cast(), &raw mut size) })?;
    let [pid, ..] = peer;
    Ok(pid)
}

/// Lets a socket hear all clients again, whatever another process has done with it. For a listening socket of TCP that
/// was shut down, and a UDP socket that was connected.
///
/// # Errors
/// ESHUTDOWN for a Unix or UDP socket that was shut down, which cannot be undone; EADDRINUSE where another process
/// listens there by now; EINVAL for a connection; ENOTSOCK.
pub fn revive(number: RawFd) -> Result<()> {
    // SAFETY: for questions and calls about a number that stays ours; a closed one is answered with EBADF.
    let socket = unsafe { BorrowedFd::borrow_raw(number.max(0)) };
    if sockopt::socket_type(socket)? == SocketType::DGRAM {
        disconnect(socket);
        let mut v6 = [0; 28];
        v6.iter_mut().zip(AddressFamily::INET6.as_raw().to_ne_bytes()).for_each(|(to, from)| *to = from);
        // [::1], any port. After a connect(2) to an address of IPv4 the kernel leaves a socket of both families deaf to
        // IPv6 (seen on Linux 6.18), until it has been connected to one of IPv6. Nothing is sent.
        (v6[3], v6[23]) = (9, 1);
        if sockopt::socket_domain(socket) == Ok(AddressFamily::INET6) && connect(socket, &v6).is_ok() {
            disconnect(socket);
        }
    } else if !sockopt::socket_acceptconn(socket)? {
        return listen(socket);
    }
    let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let _ = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let [polled] = polled;
    if polled.revents().contains(PollFlags::HUP) { Err(Errno::SHUTDOWN) } else { Ok(()) }
}

/// Lets a socket forget its peer.
fn disconnect(socket: BorrowedFd<'_>) {
    let _ = connect(socket, &[0; 16]);
}

fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    // SAFETY: the address is as long as it says.
    cvt(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) }).map(drop)
}

/// Connects to an address, waiting for so many milliseconds at most. The connection does not block afterwards.
///
/// # Errors
/// Those of connect(2): ETIMEDOUT after that time, EAGAIN at once if a Unix socket's queue of connections is full.
pub fn connect_within(address: &[u8], millis: u64) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::STREAM, flags, None)?;
    match connect(socket.as_fd(), address) {
        Err(Errno::INPROGRESS) => {}
        result => return result.map(|()| socket),
    }
    if !super::fd::await_writable(socket.as_fd(), millis) {
        return Err(Errno::TIMEDOUT);
    }
    sockopt::socket_error(&socket)??;
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
