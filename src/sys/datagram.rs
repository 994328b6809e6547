//! Messages over Unix datagram sockets: to a system logger or service manager, and from a server.

use core::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::socket::length;
use super::{Errno, Result, cvt};

/// The first bytes of a struct sockaddr_un, see unix(7): its family.
const UNIX: [u8; 2] = AddressFamily::UNIX.as_raw().to_ne_bytes();
/// The longest path or name, with its NUL.
const LONGEST: usize = 108;

fn socket() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// A receiver of messages, which may come and go.
pub struct DatagramSender {
    socket: OwnedFd,
    /// As sendto(2) takes it.
    address: Vec<u8>,
}

impl DatagramSender {
    /// To the socket of that path, or of that abstract name behind an `@`.
    ///
    /// # Errors
    /// When the path is too long, or there is no socket available.
    pub fn new(address: &[u8]) -> Result<Self> {
        if address.len() >= LONGEST {
            return Err(Errno::NAMETOOLONG);
        }
        let address = match address {
            [b'@', name @ ..] => [&UNIX, &b"\0"[..], name].concat(),
            path => [&UNIX, path, b"\0"].concat(),
        };
        Ok(Self { socket: socket()?, address })
    }

    /// Sends a message, without waiting.
    ///
    /// # Errors
    /// Those of sendto(2): EAGAIN when too many messages wait to be read.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        let (socket, flags, address) =
            (self.socket.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, &self.address);
        let (bytes, to) = (message.as_ptr().cast(), address.as_ptr().cast());
        // SAFETY: message and address are as long as they say.
        let sent = unsafe { libc::sendto(socket, bytes, message.len(), flags, to, length(address)) };
        if sent < 0 { Err(super::last()) } else { Ok(()) }
    }
}

/// A socket of an abstract name, which needs no file and works in every chroot. The kernel names each message's sender.
pub struct NotifySocket(OwnedFd);

/// The sender of a message, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its process id here; 0 for a process outside of our pid namespace.
    pub pid: i32,
    /// Its real user id here; the kernel's overflow id (65534) for a user that has no number here.
    pub uid: u32,
}

/// The first message of the queue, which is still there.
pub struct Datagram<'a> {
    /// Its text. Of one that is longer than the buffer, the lines that are whole.
    pub text: &'a [u8],
    /// The process that has sent it.
    pub sender: Sender,
    /// True if descriptors came with it.
    pub carries: bool,
}

/// The control message with the sender, as the kernel writes it, and room for no other.
///
/// It is read here and not by rustix, whose type for a process id has no 0: that is what the kernel writes for a sender
/// outside of our pid namespace.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    credentials: libc::ucred,
}

impl NotifySocket {
    /// Opens it under a name that the kernel chooses. Returns that name, without the `@`.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> Result<(Self, Vec<u8>)> {
        let socket = socket()?;
        sockopt::set_socket_passcred(&socket, true)?;
        // SAFETY: the address is as long as it says.
        cvt(unsafe { libc::bind(socket.as_raw_fd(), UNIX.as_ptr().cast(), length(&UNIX)) })?;
        let mut name = [0u8; UNIX.len() + LONGEST];
        let mut size = length(&name);
        // SAFETY: the room for the address is as long as it says.
        cvt(unsafe { libc::getsockname(socket.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut size) })?;
        // After the family, a NUL says that the name is abstract.
        let name = name.get(UNIX.len() + 1..usize::try_from(size).unwrap_or(0)).unwrap_or_default();
        Ok((Self(socket), name.to_vec()))
    }

    /// Looks at the first message. It stays in the queue, and so do its descriptors: there is no room for them here,
    /// and what the kernel drops is a second reference to each, never the last one. So nothing is closed, and no sender
    /// can make this call sleep.
    pub fn peek<'a>(&self, buffer: &'a mut [u8]) -> Option<Datagram<'a>> {
        // SAFETY: all zero is valid for both structures.
        let (mut control, mut message): (Control, libc::msghdr) = unsafe { core::mem::zeroed() };
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>().try_into().unwrap_or(0);
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: text and control message have the room that is said.
        let count = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, flags) };
        let mut text = buffer.get(..usize::try_from(count).ok()?)?;
        if message.msg_flags & libc::MSG_TRUNC != 0 {
            let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            text = text.get(..end)?;
        }
        let Control { header, credentials } = control;
        let named = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_CREDENTIALS;
        // No user has the number that means "unchanged".
        let sender = Sender { pid: credentials.pid, uid: if named { credentials.uid } else { u32::MAX } };
        Some(Datagram { text, sender, carries: message.msg_flags & libc::MSG_CTRUNC != 0 })
    }

    /// Takes the first message out of the queue. It must have come without descriptors.
    pub fn discard(&self) {
        // SAFETY: no byte is written.
        let _ = unsafe { libc::recv(self.0.as_raw_fd(), core::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
    }

    /// Takes the first message out of the queue, with its descriptors, and exits. For a child that has our memory and
    /// descriptors of its own: see child.rs.
    ///
    /// The last close of a file can sleep for as long as its owner likes: a TCP socket with SO_LINGER and unsent data,
    /// a file of FUSE or NFS. The kernel gives our memory back, and lets us go on, before it closes the descriptors of
    /// a process that exits; and for such a process a socket does not linger.
    pub fn swallow(&self) -> ! {
        /// The kernel lets no message have more descriptors (SCM_MAX_FD).
        const MOST: usize = 253;
        // The number that getrlimit(2) has for descriptors. What finds no number is closed at once, by a process that
        // does not exit yet; the second after which child.rs ends it is for a low limit that cannot be raised.
        let _ = super::limits::set_limit(7, 1 << 16, 1 << 16);
        let _ = super::poll::set_mask(super::poll::Mask::None);
        let mut control = [const { MaybeUninit::<u64>::uninit() }; MOST / 2 + 16];
        // SAFETY: all zero is valid.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control).try_into().unwrap_or(0);
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the control messages have the room that is said.
        unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, flags) };
        super::process::exit(0)
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
