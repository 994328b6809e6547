//! The server's listening sockets. vsrun binds them while it still has the right to, and puts each at its descriptor
//! number, from 3 on.

use core::ops::Range;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use super::ports;
use super::socket_file::{self, FileOwner, InstanceExclusivity, SocketFile};
use super::walk::PathWalk;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::plan::socket_activation;
use crate::logic::plan::socket_activation::ServerSockets;
use crate::logic::plan::socket_address::{Listener, Transport};
use crate::runtime::report::os_error::add_errno;
use crate::runtime::resources::ports::bind_error;
use crate::sys::socket::{self, SocketKind};
use crate::sys::{self, Errno, fd};

/// The files of the Unix sockets that vsrun itself has bound. Dropping this value leaves the files; only `remove`
/// removes them.
#[derive(Default)]
pub struct SocketFiles {
    files: Vec<SocketFile>,
    /// The descriptor number of the first socket that vsrun itself has bound. The sockets before it come from vsrun's
    /// parent.
    pub first_own_fd: RawFd,
}

/// Reserves the descriptor numbers of the server's sockets, and returns them. Every descriptor that is opened later
/// gets a higher number, so that the child does not have to move descriptors before the exec.
///
/// # Errors
/// When a socket that vsrun's parent announced is missing, or vsrun may not have that many descriptors.
pub fn reserve_fds(listen: &ServerSockets) -> Result<Range<RawFd>> {
    let own = fd::FIRST_AFTER_STDIO + RawFd::from(listen.inherited_count);
    let end = fd::FIRST_AFTER_STDIO
        + RawFd::from(socket_activation::total_socket_count(listen.inherited_count, &listen.listen_options));
    for number in fd::FIRST_AFTER_STDIO..end {
        let result = if number < own { fd::set_cloexec(number) } else { fd::dup_onto_cloexec(fd::standard(0), number) };
        result.map_err(|why| add_errno(Error::new(Problem::UseDescriptor).with_number_arg(number.into()), why))?;
    }
    Ok(fd::FIRST_AFTER_STDIO..end)
}

impl SocketFiles {
    /// Binds the sockets that vsrun has to bind itself, listens on them, and moves each to its descriptor number.
    ///
    /// # Errors
    /// When an address cannot be bound. `remove` then removes the files that were created.
    pub fn bind(&mut self, listen: &ServerSockets, exclusivity: InstanceExclusivity) -> Result<()> {
        let own = listen.listen_options.iter().filter_map(|text| Listener::parse(text.to_bytes()));
        self.first_own_fd = fd::FIRST_AFTER_STDIO + RawFd::from(listen.inherited_count);
        for (number, listener) in (self.first_own_fd..).zip(own) {
            let mut walk = PathWalk::new();
            let opened = self.open(&listener, listen.unix_socket_owner, exclusivity, number, &mut walk);
            opened.map_err(|why| bind_or_walk_error(&listener, &walk, why))?;
        }
        Ok(())
    }

    fn open(
        &mut self,
        listener: &Listener<'static>,
        owner: FileOwner,
        exclusivity: InstanceExclusivity,
        number: RawFd,
        walk: &mut PathWalk,
    ) -> sys::Result<()> {
        let socket = if listener.is_path() {
            let mut file = SocketFile::prepare(listener, owner, exclusivity, number, walk)?;
            let socket = file.bind()?;
            self.files.push(file);
            socket
        } else {
            bind_port(listener)?
        };
        listen_and_dup_onto(&socket, listener.transport, number)
    }

    /// True if this descriptor is a Unix socket of vsrun's whose file no longer exists.
    pub fn is_file_missing(&self, number: RawFd) -> bool {
        self.files.iter().any(|file| file.fd_number == number && file.is_missing())
    }

    /// Replaces a Unix socket that the server has shut down, or whose file it has removed, with a new one at the same
    /// path. The kernel cannot undo shutdown(2). Allocates nothing in this process.
    ///
    /// # Errors
    /// ESHUTDOWN if the descriptor is no Unix socket of vsrun's; EADDRINUSE if another file is at the path by now.
    pub fn renew(&mut self, number: RawFd) -> sys::Result<()> {
        let file = self.files.iter_mut().find(|file| file.fd_number == number).ok_or(Errno::SHUTDOWN)?;
        listen_and_dup_onto(&file.bind()?, Transport::Stream, number)
    }

    /// True if there are files to remove.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Removes the files, if their paths still lead to them.
    pub fn remove(&self) {
        for file in &self.files {
            let _ = file.remove();
        }
    }
}

/// Calls listen(2) for a stream socket, and duplicates the socket to the descriptor `number`.
fn listen_and_dup_onto(socket: &OwnedFd, transport: Transport, number: RawFd) -> sys::Result<()> {
    if transport == Transport::Stream {
        socket::listen(socket.as_fd())?;
    }
    fd::dup_onto_cloexec(socket.as_fd(), number)
}

/// For `--check`: reports why sockets could not be bound. Creates no file, and binds no port.
pub fn check(listen: &ServerSockets, exclusivity: InstanceExclusivity, on_error: &mut dyn FnMut(Error)) {
    for listener in listen.listen_options.iter().filter_map(|text| Listener::parse(text.to_bytes())) {
        let found = if listener.is_path() {
            let mut walk = PathWalk::new();
            socket_file::check(&listener, listen.unix_socket_owner, exclusivity, &mut walk)
                .err()
                .map(|why| bind_or_walk_error(&listener, &walk, why))
        } else {
            ports::check(&listener)
        };
        if let Some(error) = found {
            on_error(error);
        }
    }
}

/// Makes the error for a socket that cannot be bound: why the walk to its path was refused, or the kernel's error.
fn bind_or_walk_error(listener: &Listener<'_>, walk: &PathWalk, why: Errno) -> Error {
    if why == Errno::ADDRINUSE || !listener.is_path() {
        return bind_error(listener, why);
    }
    walk.error(Problem::Listen, listener.address_text, why)
}

/// Creates a socket and binds it to a port. If no address was given and the kernel has no IPv6, uses IPv4.
fn bind_port(listener: &Listener<'_>) -> sys::Result<OwnedFd> {
    let kind = match listener.transport {
        Transport::Stream => SocketKind::Stream,
        Transport::Datagram => SocketKind::Datagram,
    };
    match (socket::bind(&listener.sockaddr, kind), listener.ipv4_fallback()) {
        (Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL), Some(second)) => socket::bind(&second, kind),
        (result, _) => result,
    }
}
