//! Messages over Unix datagram sockets: to a system logger or service manager, and from a server.

use core::mem::MaybeUninit;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socket_with,
    sockopt,
};

use super::process::Pid;
use super::socket::length;
use super::{Errno, Result, check};

/// The first bytes of a struct sockaddr_un, see unix(7): its family.
const UNIX: [u8; 2] = AddressFamily::UNIX.as_raw().to_ne_bytes();
/// The longest path or name, with its NUL.
const LONGEST: usize = 108;

fn socket() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Somebody to whom messages are sent, who may come and go.
pub struct Post {
    socket: OwnedFd,
    /// As sendto(2) takes it.
    address: Vec<u8>,
}

impl Post {
    /// To the socket of that path, or of that abstract name behind an `@`.
    ///
    /// # Errors
    /// When the path is too long, or there is no socket to be had.
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

    /// Sends a message, or loses it: nobody waits.
    pub fn send(&self, message: &[u8]) {
        let (socket, flags, address) =
            (self.socket.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, &self.address);
        let (bytes, to) = (message.as_ptr().cast(), address.as_ptr().cast());
        // SAFETY: message and address are as long as they say.
        let _ = unsafe { libc::sendto(socket, bytes, message.len(), flags, to, length(address)) };
    }
}

/// A socket of an abstract name, which needs no file and works in every chroot. Each message comes with its sender.
pub struct Inbox(OwnedFd);

impl Inbox {
    /// Opens it under a name that the kernel chooses, and answers that name, without the `@`.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> Result<(Self, Vec<u8>)> {
        let socket = socket()?;
        sockopt::set_socket_passcred(&socket, true)?;
        // SAFETY: the address is as long as it says.
        check(unsafe { libc::bind(socket.as_raw_fd(), UNIX.as_ptr().cast(), length(&UNIX)) })?;
        let mut name = [0u8; UNIX.len() + LONGEST];
        let mut size = length(&name);
        // SAFETY: the room for the address is as long as it says.
        check(unsafe { libc::getsockname(socket.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut size) })?;
        // Behind the family, a NUL says that the name is abstract.
        let name = name.get(UNIX.len() + 1..usize::try_from(size).unwrap_or(0)).unwrap_or_default();
        Ok((Self(socket), name.to_vec()))
    }

    /// The next message, cut to the size of the buffer, and who sent it.
    pub fn next<'a>(&self, buffer: &'a mut [u8]) -> Option<(&'a [u8], Option<Pid>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let count = recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags).ok()?.bytes;
        let sender = control.drain().find_map(|message| {
            if let RecvAncillaryMessage::ScmCredentials(credentials) = message {
                return Some(Pid::new(credentials.pid.as_raw_nonzero().get()));
            }
            None
        });
        Some((buffer.get(..count)?, sender))
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
