//! The server's sockets: bound while vsrun still has the right to, and each at its place from descriptor 3 on.

use core::ops::Range;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::act::holder;
use crate::act::ownership;
use crate::act::pidfile::{is_at, split};
use crate::act::say::failed;
use crate::decide::endpoint::{self, Listen, Listener, Traffic};
use crate::decide::error::{Error, Result};
use crate::decide::text::Clean;
use crate::decide::word::Word;
use crate::sys::dir::{self, About, Dir, How};
use crate::sys::socket::{self, Kind};
use crate::sys::{self, Errno, access, fd, identity, process};

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
            self.open(&listener, listen.owner, alone, number).map_err(|why| refused(&listener, why))?;
        }
        Ok(())
    }

    fn open(&mut self, listener: &Listener<'_>, owner: Option<(u32, u32)>, alone: Alone, at: RawFd) -> sys::Result<()> {
        let socket = if listener.is_path() {
            let (socket, file) = at_path(listener, owner, alone)?;
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

/// What would keep the sockets from being had; makes none but those on ports, for a moment, and no file.
pub fn look(listen: &Listen, alone: Alone, tell: &mut dyn FnMut(Error)) {
    for listener in listen.own.iter().filter_map(|text| Listener::parse(text.to_bytes())) {
        if let Err(why) = look_at(&listener, alone) {
            tell(refused(&listener, why));
        }
    }
}

fn look_at(listener: &Listener<'_>, alone: Alone) -> sys::Result<()> {
    if !listener.is_path() {
        return on_port(listener).map(drop);
    }
    let (parent, name) = split(listener.path());
    match Dir::open_path(parent)?.about(name) {
        Ok(_) if alone == Alone::Unknown || !holder::is_dead(listener) => Err(Errno::ADDRINUSE),
        Ok(_) | Err(Errno::NOENT) => access::may_write(parent),
        Err(why) => Err(why),
    }
}

fn refused(listener: &Listener<'_>, why: Errno) -> Error {
    let holder = if is_taken(why) { holder::of(listener) } else { String::new() };
    let reason = if listener.is_path() { ownership::missing(why) } else { "" };
    Error::refused(format_args!("cannot listen on '{}'{holder}: {}{reason}", Clean(listener.text), sys::words(why)))
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
fn at_path(listener: &Listener<'_>, owner: Option<(u32, u32)>, alone: Alone) -> sys::Result<(OwnedFd, File)> {
    let (parent, name) = split(listener.path());
    let dir = Dir::open_path(parent)?;
    let make = || {
        let umask = process::set_umask(0o117);
        let made = socket::bind(&listener.address, Kind::Stream);
        process::set_umask(umask);
        made
    };
    let mut made = make();
    if made.as_ref().is_err_and(|why| is_taken(*why)) && alone == Alone::Proved && holder::is_dead(listener) {
        dir.unlink(name)?;
        made = make();
    }
    let socket = made?;
    let about = hand_over(&dir, name, owner).inspect_err(|why| {
        // What is not ours stays.
        if *why != Errno::EXIST {
            let _ = dir.unlink(name);
        }
    })?;
    Ok((socket, File { dir, name, about }))
}

/// Gives the file of a new socket to its owner. Who may write to the directory may have put anything in its place: no
/// link is followed, and nothing is given away but a socket of our own.
fn hand_over(dir: &Dir, name: Word, owner: Option<(u32, u32)>) -> sys::Result<About> {
    let handle = dir.file(name, How::Handle, 0)?;
    let about = dir::about(handle.as_fd())?;
    if !about.socket || about.links > 1 || about.owner != identity::effective_uid() {
        return Err(Errno::EXIST);
    }
    owner.map_or(Ok(()), |(uid, gid)| dir::give(handle.as_fd(), uid, gid)).map(|()| about)
}

fn is_taken(why: Errno) -> bool {
    why == Errno::ADDRINUSE
}
