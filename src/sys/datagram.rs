//! Messages over Unix datagram sockets: to a system logger or service manager, and from a server.

use core::mem::MaybeUninit;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, bind, getsockname, recvmsg, sendto, socket_with, sockopt,
};

use super::Result;
use super::process::Pid;

fn socket() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Somebody to whom messages are sent, who may come and go.
pub struct Post {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl Post {
    /// To the socket of that path, or of that abstract name behind an `@`.
    ///
    /// # Errors
    /// When the path is too long, or there is no socket to be had.
    pub fn new(address: &[u8]) -> Result<Self> {
        let address = match address.strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name)?,
            None => SocketAddrUnix::new(address)?,
        };
        Ok(Self { socket: socket()?, address })
    }

    /// Sends a message, or loses it: nobody waits.
    pub fn send(&self, message: &[u8]) {
        let _ = sendto(&self.socket, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &self.address);
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
        bind(&socket, &SocketAddrUnix::new_unnamed())?;
        let name = SocketAddrUnix::try_from(getsockname(&socket)?)?;
        let name = name.abstract_name().unwrap_or_default().to_vec();
        Ok((Self(socket), name))
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
