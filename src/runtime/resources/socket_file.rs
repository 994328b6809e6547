//! The file of a Unix socket: bound at the start, bound again after the server has shut the socket down, and removed at
//! the end.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use super::pidfile::split_path;
use super::private_dir;
use super::socket_owner;
use super::walk::PathWalk;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::plan::socket_address::Listener;
use crate::sys::dir::Dir;
use crate::sys::{self, Errno, access, credentials};

/// Whether a locked pidfile proves that no other instance of the server is running.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InstanceExclusivity {
    /// We have locked a pidfile, so no other instance is running.
    Proven,
    /// No pidfile was given, so another instance may be running.
    Unknown,
}

/// The user and group of a socket file. None: vsrun's own.
pub type FileOwner = Option<(u32, u32)>;

/// The file of a Unix socket. Dropping this value leaves the file; only `remove` removes it.
pub struct SocketFile {
    listener: Listener<'static>,
    owner: FileOwner,
    dir: Dir,
    name: StaticCStr,
    /// The device and inode of the file that was last seen at the path. None if there was no file.
    last_seen_id: Option<(u64, u64)>,
    /// The number of the socket's descriptor.
    pub fd_number: RawFd,
}

impl SocketFile {
    /// Verifies that a socket may be bound at the path: there is no file, or only a dead socket of vsrun's or the
    /// server's user, on which no process listens, and a pidfile is locked. `bind` replaces that socket.
    ///
    /// # Errors
    /// EADDRINUSE if any other file is at the path; the errors of the walk to its directory.
    pub fn prepare(
        listener: &Listener<'static>,
        owner: FileOwner,
        exclusivity: InstanceExclusivity,
        number: RawFd,
        walk: &mut PathWalk,
    ) -> sys::Result<Self> {
        let (parent, name) = split_path(listener.path());
        walk.go_to(parent)?;
        let dir = walk.take()?;
        let id = find_dead_socket(&dir, name, listener, owner, exclusivity)?;
        Ok(Self { listener: listener.clone(), owner, dir, name, last_seen_id: id, fd_number: number })
    }

    /// Binds a new socket at the path, after removing the previous one. Only its owner and group can connect to it; no
    /// other user can, not even for a moment. Allocates nothing in this process.
    ///
    /// # Errors
    /// EADDRINUSE if another file is at the path by now; the errors of unlink(2) and bind(2).
    pub fn bind(&mut self) -> sys::Result<OwnedFd> {
        self.remove()?;
        let socket = if credentials::effective_uid() == 0 {
            private_dir::bind(&self.listener, &self.dir, self.name, self.owner)?
        } else {
            // The socket keeps vsrun's user as its owner. So no chown(2) follows, which would need protection against a
            // user who replaces the file.
            private_dir::bind_socket_at(&self.listener.sockaddr)?
        };
        self.last_seen_id = Some(self.dir.lstat(self.name)?.id);
        Ok(socket)
    }

    /// True if there is no file at the path.
    pub fn is_missing(&self) -> bool {
        matches!(self.dir.lstat(self.name), Err(Errno::NOENT))
    }

    /// Removes the file, if the path still leads to it.
    ///
    /// # Errors
    /// The errors of unlink(2).
    pub fn remove(&self) -> sys::Result<()> {
        let is_there = self.dir.lstat(self.name).is_ok_and(|there| Some(there.id) == self.last_seen_id);
        if is_there { self.dir.unlink(self.name) } else { Ok(()) }
    }
}

/// For `--check`: verifies that a socket could be bound at the path. Creates no file.
///
/// # Errors
/// The errors of [`SocketFile::prepare`]; EACCES if the directory may not be written to.
pub fn check(
    listener: &Listener<'_>,
    owner: FileOwner,
    exclusivity: InstanceExclusivity,
    walk: &mut PathWalk,
) -> sys::Result<()> {
    let (parent, name) = split_path(listener.path());
    walk.go_to(parent)?;
    let dir = walk.take()?;
    find_dead_socket(&dir, name, listener, owner, exclusivity)?;
    access::may_write(dir.as_fd(), c".")
}

/// Returns the device and inode of the socket at the path, if it may be removed: no process listens on it, and it
/// belongs to vsrun's or the server's user. None if there is no file. Only a locked pidfile proves that the socket does
/// not belong to another instance that does not listen yet.
///
/// # Errors
/// EADDRINUSE if any other file is at the path.
fn find_dead_socket(
    dir: &Dir,
    name: StaticCStr,
    listener: &Listener<'_>,
    owner: FileOwner,
    exclusivity: InstanceExclusivity,
) -> sys::Result<Option<(u64, u64)>> {
    let about = match dir.lstat(name) {
        Err(Errno::NOENT) => return Ok(None),
        result => result?,
    };
    let is_ours = about.owner == credentials::effective_uid() || owner.is_some_and(|(uid, _)| uid == about.owner);
    let is_dead =
        about.socket && is_ours && exclusivity == InstanceExclusivity::Proven && socket_owner::is_dead_socket(listener);
    if is_dead { Ok(Some(about.id)) } else { Err(Errno::ADDRINUSE) }
}
