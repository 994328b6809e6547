//! The server's listening sockets. vsrun binds them while it still has the right to, and puts each at its number from
//! descriptor 3 on.

use crate::logic::plan::socket_activation;
use crate::runtime::resources::ports::bind_error;
use core::ops::Range;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use super::pidfile::{is_at, split_path};
use super::ports;
use super::private;
use super::socket_owner;
use super::walk::Walk;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::Escaped;
use crate::logic::plan::socket_activation::ServerSockets;
use crate::logic::plan::socket_address::Listener;
use crate::logic::plan::socket_address::Transport;
use crate::runtime::report::log::os_error;
use crate::sys::dir::{Dir, FileStat};
use crate::sys::socket::{self, Kind};
use crate::sys::{self, Errno, access, credentials, fd};

/// Whether a locked pidfile proves that no other instance of the server is running.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// We have locked a pidfile, so no other instance is running.
    Proven,
    /// No pidfile was given, so another instance may be running.
    Unknown,
}

/// The files of Unix sockets. Dropping this leaves the files; only `remove` removes them.
#[derive(Default)]
pub struct Sockets(Vec<File>);

struct File {
    dir: Dir,
    name: StaticCStr,
    stat: FileStat,
}

/// Reserves the descriptor numbers of the server's sockets, and returns them. Every descriptor that is opened later
/// gets a higher number, so that the child does not have to move descriptors before the exec.
///
/// # Errors
/// When a socket that vsrun's parent announced is missing, or vsrun may not have that many descriptors.
pub fn reserve_fds(listen: &ServerSockets) -> Result<Range<RawFd>> {
    let own = fd::FIRST + RawFd::from(listen.inherited);
    let end = fd::FIRST + RawFd::from(socket_activation::count(listen.inherited, &listen.own));
    for number in fd::FIRST..end {
        let result = if number < own { fd::set_cloexec(number) } else { fd::dup_onto_cloexec(fd::standard(0), number) };
        result.map_err(|why| os_error(format_args!("cannot use descriptor {number} for a socket"), why))?;
    }
    Ok(fd::FIRST..end)
}

impl Sockets {
    /// Binds vsrun's own sockets, listens on them, and moves each to its number.
    ///
    /// # Errors
    /// When an address cannot be bound. `remove` then removes the files that were created.
    pub fn bind(&mut self, listen: &ServerSockets, alone: Exclusive) -> Result<()> {
        let own = listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes()));
        for (number, listener) in (fd::FIRST + RawFd::from(listen.inherited)..).zip(own) {
            let mut walk = Walk::begin();
            let opened = self.open(&listener, listen.owner, alone, number, &mut walk);
            opened.map_err(|why| bind_error_here(&listener, &walk, why))?;
        }
        Ok(())
    }

    fn open(
        &mut self,
        listener: &Listener<'_>,
        owner: Option<(u32, u32)>,
        alone: Exclusive,
        at: RawFd,
        walk: &mut Walk,
    ) -> sys::Result<()> {
        let socket = if listener.is_path() {
            let (socket, file) = bind_path(listener, owner, alone, walk)?;
            self.0.push(file);
            socket
        } else {
            bind_port(listener)?
        };
        if listener.transport == Transport::Stream {
            socket::listen(socket.as_fd())?;
        }
        fd::dup_onto_cloexec(socket.as_fd(), at)
    }

    /// True if there are files to remove.
    pub fn has_files(&self) -> bool {
        !self.0.is_empty()
    }

    /// Removes the files, if the paths still name them.
    pub fn remove(&self) {
        for file in &self.0 {
            if is_at(&file.dir, file.name, &file.stat) {
                let _ = file.dir.unlink(file.name);
            }
        }
    }
}

/// Reports why sockets could not be bound. Creates no file, and binds no port.
pub fn check(listen: &ServerSockets, alone: Exclusive, tell: &mut dyn FnMut(Error)) {
    for listener in listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes())) {
        let found = if listener.is_path() {
            let mut walk = Walk::begin();
            check_one(&listener, listen.owner, alone, &mut walk).err().map(|why| bind_error_here(&listener, &walk, why))
        } else {
            ports::check(&listener)
        };
        if let Some(error) = found {
            tell(error);
        }
    }
}

fn check_one(listener: &Listener<'_>, owner: Option<(u32, u32)>, alone: Exclusive, walk: &mut Walk) -> sys::Result<()> {
    let (parent, name) = split_path(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    is_dead(&dir, name, listener, owner, alone)?;
    access::may_write(parent)
}

/// Makes the error for a socket that cannot be bound: why the walk to its path was refused, or the kernel's error.
fn bind_error_here(listener: &Listener<'_>, walk: &Walk, why: Errno) -> Error {
    if why == Errno::ADDRINUSE || !listener.is_path() {
        return bind_error(listener, why);
    }
    Error::setup(format_args!("cannot listen on '{}': {}", Escaped(listener.text), walk.error_text(why)))
}

/// Binds a socket to a port.
fn bind_port(listener: &Listener<'_>) -> sys::Result<OwnedFd> {
    let kind = match listener.transport {
        Transport::Stream => Kind::Stream,
        Transport::Datagram => Kind::Datagram,
    };
    match (socket::bind(&listener.address, kind), listener.ipv4_fallback()) {
        (Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL), Some(second)) => socket::bind(&second, kind),
        (result, _) => result,
    }
}

/// Binds a socket at a path. Only its owner and group can connect to it; no other user can, not even for a moment.
#[inline(never)]
fn bind_path(
    listener: &Listener<'_>,
    owner: Option<(u32, u32)>,
    alone: Exclusive,
    walk: &mut Walk,
) -> sys::Result<(OwnedFd, File)> {
    let (parent, name) = split_path(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    if is_dead(&dir, name, listener, owner, alone)? {
        dir.unlink(name)?;
    }
    let socket = if credentials::effective_uid() == 0 {
        private::bind(listener, &dir, name, owner)?
    } else {
        // The socket stays ours, so there is no chown(2) that could be misdirected by an exchange of the file.
        private::bind_at(&listener.address)?
    };
    let about = dir.stat(name)?;
    Ok((socket, File { dir, name, stat: about }))
}

/// Returns true if the path names a dead socket of vsrun's user or the server's, which may be removed; false if it
/// names nothing. Only a lock proves that the socket is not that of another instance that does not listen yet.
///
/// # Errors
/// EADDRINUSE for anything else.
fn is_dead(
    dir: &Dir,
    name: StaticCStr,
    listener: &Listener<'_>,
    owner: Option<(u32, u32)>,
    alone: Exclusive,
) -> sys::Result<bool> {
    let about = match dir.stat(name) {
        Err(Errno::NOENT) => return Ok(false),
        result => result?,
    };
    let is_ours = about.owner == credentials::effective_uid() || owner.is_some_and(|(uid, _)| uid == about.owner);
    let is_dead = about.socket && is_ours && alone == Exclusive::Proven && socket_owner::is_dead(listener);
    if is_dead { Ok(true) } else { Err(Errno::ADDRINUSE) }
}
