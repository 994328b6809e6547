//! Opens listening sockets, and checks whether a process listens at an address. Addresses are bytes, as bind(2) takes
//! them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{self, set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{Errno, Result, cvt};

/// The number of connections that may wait for a server. The kernel lowers it to the system's limit.
const BACKLOG: i32 = 4096;

/// The type of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// Connections (SOCK_STREAM).
    Stream,
    /// Packets (SOCK_DGRAM).
    Datagram,
}

/// Creates a close-on-exec socket that is bound to an address, and does not listen yet. With the address `[::]` it also
/// receives IPv4.
///
/// # Errors
/// The errors of socket(2) and bind(2).
pub fn bind(address: &[u8], kind: SocketKind) -> Result<OwnedFd> {
    let kind = match kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
    };
    let family = family(address);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if kind == SocketType::STREAM {
        // SO_REUSEADDR: old connections in TIME_WAIT must not keep the port in use. For UDP, this option would let two
        // servers share the port.
        set_socket_reuseaddr(&socket, true)?;
    }
    if family == AddressFamily::INET6 {
        // Set IPV6_V6ONLY in any case, because the system's default (net.ipv6.bindv6only) may be either.
        set_ipv6_v6only(&socket, false)?;
    }
    bind_to(socket.as_fd(), address)?;
    Ok(socket)
}

/// Creates a Unix stream socket without an address.
///
/// # Errors
/// The errors of socket(2).
pub fn create_unix_stream() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Binds a socket to an address.
///
/// # Errors
/// The errors of bind(2).
pub fn bind_to(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    // SAFETY: the address is as long as it says.
    cvt(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) }).map(drop)
}

/// Lets a socket accept connections.
///
/// # Errors
/// The errors of listen(2).
pub fn listen(socket: BorrowedFd<'_>) -> Result<()> {
    rustix::net::listen(socket, BACKLOG)
}

/// Verifies that the kernel knows the family of this address, and that the address is one of this machine. Binds no
/// port, not even for a moment.
///
/// # Errors
/// EAFNOSUPPORT and EADDRNOTAVAIL; ENOPROTOOPT before Linux 4.2, where this cannot be checked.
pub fn verify_local_address(address: &[u8]) -> Result<()> {
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

/// Connects to the address of a Unix socket, and disconnects at once. Returns the pid of the listening process; 0 if it
/// is in another pid namespace.
///
/// # Errors
/// ECONNREFUSED when no process listens; EAGAIN when its queue of connections is full.
pub fn listener_pid(address: &[u8]) -> Result<i32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::STREAM, flags, None)?;
    connect(socket.as_fd(), address)?;
    // The kernel's struct ucred: pid, uid, gid. rustix does not accept a pid of 0.
    let mut peer = [0i32; 3];
    let mut size = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
    let (level, name, place) = (libc::SOL_SOCKET, libc::SO_PEERCRED, peer.as_mut_ptr());
    // SAFETY: the buffer has room for the three numbers.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, place.cast(), &raw mut size) })?;
    let [pid, ..] = peer;
    Ok(pid)
}

/// Which sockets may be disconnected if they are found connected. A server can connect a socket that it has
/// inherited, which then receives only from that peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DisconnectableSockets {
    /// No socket: a server still uses the sockets, and messages that arrive while one is disconnected would be lost.
    None,
    /// Only a datagram socket: a connected stream socket may be a connection that vsrun's parent has passed to it.
    Datagram,
    /// Any socket: vsrun has created it for a server, so it is no connection that vsrun's parent has passed.
    StreamAndDatagram,
}

/// Makes a socket receive from all clients again, after another process may have shut down or connected it.
///
/// # Errors
/// ESHUTDOWN for a Unix or UDP socket that was shut down, which cannot be undone; EADDRINUSE if another process listens
/// at the address by now; EINVAL for a connection, and EOPNOTSUPP for another kind of socket that never listens;
/// ENOTSOCK if the descriptor is no socket.
pub fn restore_receiving(number: RawFd, disconnect: DisconnectableSockets) -> Result<()> {
    // SAFETY: only passed to system calls, which fail with EBADF for a closed number; the number stays ours.
    let socket = unsafe { BorrowedFd::borrow_raw(number.max(0)) };
    let domain = sockopt::socket_domain(socket);
    if sockopt::socket_type(socket)? == SocketType::DGRAM {
        // The ends of a socketpair(2) are connected from the start, and have no names by which to connect them again.
        if disconnect == DisconnectableSockets::None || domain == Ok(AddressFamily::UNIX) && !has_name(socket) {
            return Ok(());
        }
        remove_peer(socket);
        let mut v6 = [0; 28];
        v6.iter_mut().zip(AddressFamily::INET6.as_raw().to_ne_bytes()).for_each(|(to, from)| *to = from);
        // The address [::1] with the port 9; the port does not matter, because nothing is sent. After a connect(2) to
        // an IPv4 address, a socket of both families receives no IPv6 packets (seen on Linux 6.18) until it has been
        // connected to an IPv6 address.
        (v6[3], v6[23]) = (9, 1);
        if domain == Ok(AddressFamily::INET6) && connect(socket, &v6).is_ok() {
            remove_peer(socket);
        }
    } else if !sockopt::socket_acceptconn(socket)? {
        return match listen(socket) {
            // listen(2) fails with EINVAL because the server has connected the socket.
            Err(Errno::INVAL) if disconnect == DisconnectableSockets::StreamAndDatagram => {
                remove_peer(socket);
                listen(socket)
            }
            result => result,
        };
    }
    // POLLHUP means that both directions were shut down, POLLRDHUP that receiving was, which stops accept(2) too.
    let shut = PollFlags::HUP | PollFlags::RDHUP;
    let mut polled = [PollFd::from_borrowed_fd(socket, shut)];
    let _ = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let [polled] = polled;
    if polled.revents().intersects(shut) { Err(Errno::SHUTDOWN) } else { Ok(()) }
}

/// True if a Unix socket is bound to a name.
fn has_name(socket: BorrowedFd<'_>) -> bool {
    // Room for the address family only: an unnamed address consists of nothing else.
    let (mut family, mut length) = (0u16, 2);
    // SAFETY: the kernel writes at most `length` bytes of the address, and then the length of all of it.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut family).cast(), &raw mut length) };
    result == 0 && length > 2
}

/// Disconnects a connected socket: connect(2) with AF_UNSPEC removes its peer.
fn remove_peer(socket: BorrowedFd<'_>) {
    let _ = connect(socket, &[0; 16]);
}

fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    // SAFETY: the address is as long as it says.
    cvt(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length(address)) }).map(drop)
}

/// Connects to an address within `millis` milliseconds. The returned socket is non-blocking.
///
/// # Errors
/// The errors of connect(2): ETIMEDOUT after that time, EAGAIN at once if a Unix socket's queue of connections is full.
pub fn connect_within(address: &[u8], millis: u64) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::STREAM, flags, None)?;
    if let Err(why) = connect(socket.as_fd(), address) {
        if why != Errno::INPROGRESS {
            return Err(why);
        }
        if !super::fd::await_writable(socket.as_fd(), millis) {
            return Err(Errno::TIMEDOUT);
        }
        sockopt::socket_error(&socket)??;
    }
    // If the kernel has chosen the port of the address as our own port, and no process listens there, the socket has
    // connected to itself (RFC 9293, section 3.5: simultaneous open).
    if is_connected_to_itself(&socket) {
        return Err(Errno::CONNREFUSED);
    }
    Ok(socket)
}

/// True if both ends of a connection have the same address of an Internet family.
#[inline(never)]
fn is_connected_to_itself(socket: &OwnedFd) -> bool {
    // Each buffer has room for a struct sockaddr_in6. Their first words differ until the kernel has overwritten them,
    // so that a call that fails does not make the addresses equal.
    let (mut own, mut peer, mut size) = ([1, 0, 0, 0, 0, 0, 0u32], [0u32; 7], 28);
    let fd = socket.as_raw_fd();
    // SAFETY: the buffer has the stated size.
    unsafe { libc::getsockname(fd, own.as_mut_ptr().cast(), &raw mut size) };
    size = 28;
    // SAFETY: the buffer has the stated size.
    unsafe { libc::getpeername(fd, peer.as_mut_ptr().cast(), &raw mut size) };
    own == peer
}

/// Sends bytes over a non-blocking socket, without SIGPIPE.
///
/// # Errors
/// The errors of send(2); EAGAIN if not all of them fit.
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
