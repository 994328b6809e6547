//! Messages over Unix datagram sockets: to syslog or a service manager, and from a server.

use core::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::socket::length;
use super::{Errno, Result, cvt};

/// The first bytes of a struct sockaddr_un, see unix(7): the address family.
const FAMILY_UNIX: [u8; 2] = AddressFamily::UNIX.as_raw().to_ne_bytes();
/// The longest path or abstract name of a socket, with its NUL, in bytes.
const SUN_PATH_SIZE: usize = 108;

fn socket() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Sends messages to the socket at an address. The receiver may be restarted at any time: each message looks up the
/// address again.
pub struct DatagramSender {
    socket: OwnedFd,
    /// The address in the form that sendto(2) takes.
    address: Vec<u8>,
}

impl DatagramSender {
    /// Makes a sender to the socket with this path, or with this abstract name after an `@`.
    ///
    /// # Errors
    /// When the path is too long, or no socket is available.
    pub fn new(address: &[u8]) -> Result<Self> {
        if address.len() >= SUN_PATH_SIZE {
            return Err(Errno::NAMETOOLONG);
        }
        let address = match address {
            [b'@', name @ ..] => [&FAMILY_UNIX, &b"\0"[..], name].concat(),
            path => [&FAMILY_UNIX, path, b"\0"].concat(),
        };
        Ok(Self { socket: socket()?, address })
    }

    /// Sends a message, without waiting.
    ///
    /// # Errors
    /// The errors of sendto(2): EAGAIN when too many messages wait to be read.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        let (socket, flags, address) =
            (self.socket.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, &self.address);
        let (bytes, to) = (message.as_ptr().cast(), address.as_ptr().cast());
        // SAFETY: message and address are as long as they say.
        let sent = unsafe { libc::sendto(socket, bytes, message.len(), flags, to, length(address)) };
        if sent < 0 { Err(super::last_errno()) } else { Ok(()) }
    }
}

/// A receiving socket with an abstract name, which needs no file and works in every chroot. The kernel adds the sender
/// to each message.
pub struct NotifySocket {
    socket: OwnedFd,
    /// The name of the socket, which the kernel has chosen: five hexadecimal digits.
    pub name: [u8; 5],
}

/// The sender of a message, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderCredentials {
    /// The sender's pid in our pid namespace; 0 for a process outside of it, and for a message without credentials.
    pub pid: i32,
    /// The sender's real user id in our user namespace; the kernel's overflow id (65534) for a user that has no id in
    /// it; `u32::MAX`, which no user has, for a message without credentials.
    pub uid: u32,
}

/// The first message in the queue of a socket, which stays in the queue.
pub struct Datagram<'a> {
    /// The text of the message. If the message is longer than the buffer, only the complete lines.
    pub text: &'a [u8],
    /// The process that has sent the message.
    pub sender: SenderCredentials,
    /// True if descriptors came with the message.
    pub has_descriptors: bool,
}

/// The control message SCM_CREDENTIALS, as the kernel writes it, without room for other control messages.
///
/// rustix cannot read it, because its type for a pid has no 0, which the kernel writes for a sender outside our pid
/// namespace.
#[repr(C)]
struct ControlMessage {
    header: libc::cmsghdr,
    credentials: libc::ucred,
}

impl NotifySocket {
    /// Opens the socket under a name that the kernel chooses. Allocates nothing.
    ///
    /// # Errors
    /// The errors of socket(2) and bind(2).
    pub fn open() -> Result<Self> {
        let socket = socket()?;
        sockopt::set_socket_passcred(&socket, true)?;
        // SAFETY: the address is as long as it says.
        cvt(unsafe { libc::bind(socket.as_raw_fd(), FAMILY_UNIX.as_ptr().cast(), length(&FAMILY_UNIX)) })?;
        let mut name = [0u8; FAMILY_UNIX.len() + SUN_PATH_SIZE];
        let mut size = length(&name);
        // SAFETY: the room for the address is as long as it says.
        cvt(unsafe { libc::getsockname(socket.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut size) })?;
        // In the address of a Unix socket, a NUL after the address family marks an abstract name.
        let name = name.get(FAMILY_UNIX.len() + 1..usize::try_from(size).unwrap_or(0)).unwrap_or_default();
        Ok(Self { socket, name: name.try_into().map_err(|_| Errno::NAMETOOLONG)? })
    }

    /// Reads the first message, if there is one, and leaves it in the queue. Its descriptors stay in the queue too:
    /// this call has no room for them, and the kernel then drops only a second reference to each, never the last one.
    /// So nothing is closed, and no sender can make this call block.
    pub fn peek<'a>(&self, buffer: &'a mut [u8]) -> Option<Datagram<'a>> {
        // SAFETY: all zero is valid for both structures.
        let (mut control, mut message): (ControlMessage, libc::msghdr) = unsafe { core::mem::zeroed() };
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<ControlMessage>().try_into().unwrap_or(0);
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the buffers for text and control message have the stated sizes.
        let count = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) };
        let mut text = buffer.get(..usize::try_from(count).ok()?)?;
        if message.msg_flags & libc::MSG_TRUNC != 0 {
            let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            text = text.get(..end)?;
        }
        let ControlMessage { header, credentials } = control;
        let named = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_CREDENTIALS;
        // A message without credentials gets the highest uid, which no user has: setresuid(2) takes it as "unchanged".
        let sender = SenderCredentials { pid: credentials.pid, uid: if named { credentials.uid } else { u32::MAX } };
        Some(Datagram { text, sender, has_descriptors: message.msg_flags & libc::MSG_CTRUNC != 0 })
    }

    /// Removes the first message from the queue. The message must not carry descriptors, because closing them may
    /// block.
    pub fn discard(&self) {
        // SAFETY: no byte is written.
        let _ = unsafe { libc::recv(self.socket.as_raw_fd(), core::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
    }

    /// Removes the first message from the queue, with its descriptors, and exits. For a child that shares our memory
    /// and has its own descriptor table, see clone.rs.
    ///
    /// The last close of a file can block for as long as its owner wants: a TCP socket with SO_LINGER and unsent data,
    /// or a file of FUSE or NFS. When a process exits, the kernel releases our memory, and so lets us continue, before
    /// it closes the descriptors; and a socket that is closed by an exit does not linger.
    pub fn discard_message_and_exit(&self) -> ! {
        /// The kernel's limit of descriptors in a message (SCM_MAX_FD).
        const MAX_DESCRIPTORS: usize = 253;
        // 7 is RLIMIT_NOFILE. recvmsg(2) closes a received descriptor above the limit, and that may block. If a low
        // limit cannot be raised, the one-second limit of clone.rs ends this process.
        let _ = super::limits::set_limit(7, 1 << 16, 1 << 16);
        let _ = super::poll::set_mask(super::poll::SignalMask::None);
        let mut control = [const { MaybeUninit::<u64>::uninit() }; MAX_DESCRIPTORS / 2 + 16];
        // SAFETY: all zero is valid.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control).try_into().unwrap_or(0);
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the buffer for the control messages has the stated size.
        unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) };
        super::process::exit(0)
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
