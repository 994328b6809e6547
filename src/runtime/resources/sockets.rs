//! The server's sockets: bound while vsrun still has the right to, and each at its place from descriptor 3 on.

use crate::logic::plan::socket_activation;
use crate::runtime::resources::ports::bind_error;
use core::ops::Range;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use super::pidfile::{is_at, split};
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

/// Whether a lock of ours proves that no other instance lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// One does.
    Proven,
    /// Unknown.
    Unknown,
}

/// The files of sockets at paths. Dropping this leaves them: only `remove` removes them.
#[derive(Default)]
pub struct Sockets(Vec<File>);

struct File {
    dir: Dir,
    name: StaticCStr,
    stat: FileStat,
}

/// Sets aside the numbers that the server will find its sockets at. Whatever is opened later is above, so that no
/// process has to move anything on its way to the server. Returns these numbers.
///
/// # Errors
/// When a socket that vsrun's parent speaks of is not there, or vsrun may not have that many descriptors.
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
    /// Binds vsrun's own sockets, lets clients come, and puts each at its place.
    ///
    /// # Errors
    /// When an address cannot be had. `remove` then removes what has been made.
    pub fn bind(&mut self, listen: &ServerSockets, alone: Exclusive) -> Result<()> {
        let own = listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes()));
        for (number, listener) in (fd::FIRST + RawFd::from(listen.inherited)..).zip(own) {
            let mut walk = Walk::begin();
            let opened = self.open(&listener, listen.owner, alone, number, &mut walk);
            opened.map_err(|why| refused_here(&listener, &walk, why))?;
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
            let (socket, file) = at_path(listener, owner, alone, walk)?;
            self.0.push(file);
            socket
        } else {
            on_port(listener)?
        };
        if listener.transport == Transport::Stream {
            socket::listen(socket.as_fd())?;
        }
        fd::dup_onto_cloexec(socket.as_fd(), at)
    }

    /// Whether there is anything to remove.
    pub fn has_files(&self) -> bool {
        !self.0.is_empty()
    }

    /// Removes the files, where the paths still name them.
    pub fn remove(&self) {
        for file in &self.0 {
            if is_at(&file.dir, file.name, &file.stat) {
                let _ = file.dir.unlink(file.name);
            }
        }
    }
}

/// What would keep the sockets from being had; makes no file, and takes no port.
pub fn check(listen: &ServerSockets, alone: Exclusive, tell: &mut dyn FnMut(Error)) {
    for listener in listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes())) {
        let found = if listener.is_path() {
            let mut walk = Walk::begin();
            check_one(&listener, listen.owner, alone, &mut walk).err().map(|why| refused_here(&listener, &walk, why))
        } else {
            ports::look(&listener)
        };
        if let Some(error) = found {
            tell(error);
        }
    }
}

fn check_one(listener: &Listener<'_>, owner: Option<(u32, u32)>, alone: Exclusive, walk: &mut Walk) -> sys::Result<()> {
    let (parent, name) = split(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    is_dead(&dir, name, listener, owner, alone)?;
    access::may_write(parent)
}

/// Why a socket cannot be had: what the walk to its path refused, or what the kernel says.
fn refused_here(listener: &Listener<'_>, walk: &Walk, why: Errno) -> Error {
    if why == Errno::ADDRINUSE || !listener.is_path() {
        return bind_error(listener, why);
    }
    Error::setup(format_args!("cannot listen on '{}': {}", Escaped(listener.text), walk.error_text(why)))
}

/// A socket on a port.
fn on_port(listener: &Listener<'_>) -> sys::Result<OwnedFd> {
    let kind = match listener.transport {
        Transport::Stream => Kind::Stream,
        Transport::Datagram => Kind::Datagram,
    };
    match (socket::bind(&listener.address, kind), listener.fallback()) {
        (Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL), Some(second)) => socket::bind(&second, kind),
        (result, _) => result,
    }
}

/// A socket at a path, for its owner and group: no other user can connect to it, not even for a moment.
#[inline(never)]
fn at_path(
    listener: &Listener<'_>,
    owner: Option<(u32, u32)>,
    alone: Exclusive,
    walk: &mut Walk,
) -> sys::Result<(OwnedFd, File)> {
    let (parent, name) = split(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    if is_dead(&dir, name, listener, owner, alone)? {
        dir.unlink(name)?;
    }
    let socket = if credentials::effective_uid() == 0 {
        private::bind(listener, &dir, name, owner)?
    } else {
        // What is made here is ours anyway, and is given to nobody.
        private::bind_at(&listener.address)?
    };
    let about = dir.stat(name)?;
    Ok((socket, File { dir, name, stat: about }))
}

/// Whether there is a dead socket at a path, of vsrun's user or the server's, which may be removed; otherwise there is
/// nothing. A lock proves that it is no other instance's that has not come to listen yet.
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
