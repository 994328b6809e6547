//! Sends messages of sd_notify(3), correct and hostile ones.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Returns a socket that is connected to `$NOTIFY_SOCKET`, which has to be an abstract address.
fn connected() -> std::io::Result<UnixDatagram> {
    let name = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let name = name.as_bytes().strip_prefix(b"@").ok_or(ErrorKind::InvalidInput)?;
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    Ok(socket)
}

pub fn notify(text: &OsStr) -> std::io::Result<()> {
    connected()?.send(text.as_bytes()).map(drop)
}

/// Sends the text `count` times, as fast as it is read. Stops if the receiver has exited.
pub fn deluge(count: u64, text: &OsString) {
    let Ok(socket) = connected() else { return };
    let _ = (0..count).try_for_each(|_| socket.send(text.as_bytes()).map(drop));
}

/// Sends the text `count` times, each time with 253 descriptors, the most that the kernel allows.
pub fn carry(count: u64, text: &OsString) {
    let descriptor = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH) };
    let Ok(socket) = connected() else { return };
    (0..count).for_each(|_| send_with(&socket, text.as_bytes(), &[descriptor; 253]));
}

/// Sends `count` messages with `descriptors` descriptors each. The last one of each message is a TCP socket whose last
/// close(2) sleeps, because it has unsent data and lingers. The receiver must not read before this returns: otherwise
/// the last close(2) may be that of this process.
pub fn hang(count: u64, descriptors: u64) {
    let socket = connected().unwrap();
    let other = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH) };
    for _ in 0..count {
        let descriptor = lingering();
        // The TCP socket is the last one, because a receiver with a low limit of descriptors does not get the last
        // ones.
        let mut all = vec![other; descriptors as usize - 1];
        all.push(descriptor);
        send_with(&socket, b"STATUS=have this", &all);
        // After this close(2), only the message holds the socket.
        unsafe { libc::close(descriptor) };
    }
}

fn lingering() -> RawFd {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // The other end stays open until this process exits, and is never read.
    let _ = listener.accept().unwrap().0.into_raw_fd();
    near.set_nonblocking(true).unwrap();
    while near.write(&[0; 65_536]).is_ok() {}
    near.set_nonblocking(false).unwrap();
    let linger = libc::linger { l_onoff: 1, l_linger: 1000 };
    let size = size_of_val(&linger) as libc::socklen_t;
    let set = unsafe {
        libc::setsockopt(near.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(set, 0);
    near.into_raw_fd()
}

fn send_with(socket: &UnixDatagram, text: &[u8], descriptors: &[RawFd]) {
    let size = size_of_val(descriptors) as u32;
    let mut control = vec![0_u64; unsafe { libc::CMSG_SPACE(size) } as usize / 8 + 1];
    let mut part = libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        ((*header).cmsg_level, (*header).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().copy_from_nonoverlapping(descriptors.as_ptr(), descriptors.len());
        // An error is ignored, because the receiver may have exited. sendmsg() of musl before 1.2.4 refuses so many
        // descriptors, so the system call is made directly.
        libc::syscall(libc::SYS_sendmsg, socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL);
    }
}
