//! The server's sockets: bound while vsrun still has the right to, and each at its place from descriptor 3 on.

use core::ops::Range;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::act::holder;
use crate::act::pidfile::{is_at, split};
use crate::act::ports;
use crate::act::private;
use crate::act::say::{because, failed};
use crate::act::walk::Walk;
use crate::decide::endpoint::{self, Listen, Listener, Traffic};
use crate::decide::error::{Error, Result};
use crate::decide::text::Clean;
use crate::decide::word::Word;
use crate::sys::dir::{About, Dir};
use crate::sys::socket::{self, Kind};
use crate::sys::{self, Errno, access, fd, identity};

/// Whether a lock of ours proves that no other instance lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// One does.
    Proved,
    /// Nobody knows.
    Unknown,
}

/// The files of sockets at paths. Whoever drops this leaves them: only `remove` removes them.
#[derive(Default)]
pub struct Sockets(Vec<File>);

struct File {
    dir: Dir,
    name: Word,
    about: About,
}

/// Sets aside the numbers that the server will find its sockets at. Whatever is opened later is above, so that no
/// process has to move anything on its way to the server. Answers these numbers.
///
/// # Errors
/// When a socket that vsrun's parent speaks of is not there, or vsrun may not have that many descriptors.
pub fn set_aside(listen: &Listen) -> Result<Range<RawFd>> {
    let own = fd::FIRST + RawFd::from(listen.handed);
    let end = fd::FIRST + RawFd::from(endpoint::count(listen.handed, &listen.own));
    for number in fd::FIRST..end {
        let result = if number < own { fd::seal_one(number) } else { fd::place(fd::standard(0), number) };
        result.map_err(|why| failed(format_args!("cannot use descriptor {number} for a socket"), why))?;
    }
    Ok(fd::FIRST..end)
}

impl Sockets {
    /// Binds vsrun's own sockets, lets clients come, and puts each at its place.
    ///
    /// # Errors
    /// When an address cannot be had. `remove` then removes what has been made.
    pub fn bind(&mut self, listen: &Listen, alone: Alone) -> Result<()> {
        let own = listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes()));
        for (number, listener) in (fd::FIRST + RawFd::from(listen.handed)..).zip(own) {
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
        alone: Alone,
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
        if listener.traffic == Traffic::Connections {
            socket::listen(socket.as_fd())?;
        }
        fd::place(socket.as_fd(), at)
    }

    /// Whether there is anything to remove.
    pub fn has_files(&self) -> bool {
        !self.0.is_empty()
    }

    /// Removes the files, where the paths still name them.
    pub fn remove(&self) {
        for file in &self.0 {
            if is_at(&file.dir, file.name, &file.about) {
                let _ = file.dir.unlink(file.name);
            }
        }
    }
}

/// What would keep the sockets from being had; makes no file, and takes no port.
pub fn look(listen: &Listen, alone: Alone, tell: &mut dyn FnMut(Error)) {
    for listener in listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes())) {
        let found = if listener.is_path() {
            let mut walk = Walk::begin();
            look_at(&listener, listen.owner, alone, &mut walk).err().map(|why| refused_here(&listener, &walk, why))
        } else {
            ports::look(&listener)
        };
        if let Some(error) = found {
            tell(error);
        }
    }
}

fn look_at(listener: &Listener<'_>, owner: Option<(u32, u32)>, alone: Alone, walk: &mut Walk) -> sys::Result<()> {
    let (parent, name) = split(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    is_dead(&dir, name, listener, owner, alone)?;
    access::may_write(parent)
}

/// Why a socket cannot be had: what the walk to its path refused, or what the kernel says.
fn refused_here(listener: &Listener<'_>, walk: &Walk, why: Errno) -> Error {
    if why == Errno::ADDRINUSE || !listener.is_path() {
        return refused(listener, why);
    }
    Error::refused(format_args!("cannot listen on '{}': {}", Clean(listener.text), walk.told(why)))
}

/// Why a socket cannot be had.
pub fn refused(listener: &Listener<'_>, why: Errno) -> Error {
    let reason = match why {
        Errno::ADDRINUSE => holder::of(listener),
        Errno::ACCESS if !listener.is_path() => "low ports need CAP_NET_BIND_SERVICE".into(),
        _ => String::new(),
    };
    because(format_args!("cannot listen on '{}'", Clean(listener.text)), why, &reason)
}

/// A socket on a port.
fn on_port(listener: &Listener<'_>) -> sys::Result<OwnedFd> {
    let kind = match listener.traffic {
        Traffic::Connections => Kind::Stream,
        Traffic::Packets => Kind::Datagram,
    };
    match (socket::bind(&listener.address, kind), listener.fallback()) {
        (Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL), Some(second)) => socket::bind(&second, kind),
        (result, _) => result,
    }
}

/// A socket at a path, for its owner and group: nobody else can call it, not even for a moment.
#[inline(never)]
fn at_path(
    listener: &Listener<'_>,
    owner: Option<(u32, u32)>,
    alone: Alone,
    walk: &mut Walk,
) -> sys::Result<(OwnedFd, File)> {
    let (parent, name) = split(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    if is_dead(&dir, name, listener, owner, alone)? {
        dir.unlink(name)?;
    }
    let socket = if identity::effective_uid() == 0 {
        private::bind(listener, &dir, name, owner)?
    } else {
        // What is made here is ours anyway, and is given to nobody.
        private::bind_at(&listener.address)?
    };
    let about = dir.about(name)?;
    Ok((socket, File { dir, name, about }))
}

/// Whether there is a dead socket at a path, of vsrun's user or the server's, which may be removed; otherwise there is
/// nothing. A lock proves that it is no other instance's that has not come to listen yet.
///
/// # Errors
/// EADDRINUSE for anything else.
fn is_dead(
    dir: &Dir,
    name: Word,
    listener: &Listener<'_>,
    owner: Option<(u32, u32)>,
    alone: Alone,
) -> sys::Result<bool> {
    let about = match dir.about(name) {
        Err(Errno::NOENT) => return Ok(false),
        result => result?,
    };
    let is_ours = about.owner == identity::effective_uid() || owner.is_some_and(|(uid, _)| uid == about.owner);
    let is_dead = about.socket && is_ours && alone == Alone::Proved && holder::is_dead(listener);
    if is_dead { Ok(true) } else { Err(Errno::ADDRINUSE) }
}
