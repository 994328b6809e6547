//! Creates a Unix socket where no other user can reach it, gives it to its owner, and then moves it to its path.
//!
//! bind(2) takes a path. If it creates a socket in a user's directory, the user can replace the socket with a hard link
//! to another socket of root before its owner is changed, and a check of the link count does not prevent that. The
//! directories of the path can be replaced too. In a private directory no other user can replace the socket, and the
//! target directory is not reached by a path, but by its descriptor.

use core::ffi::CStr;
use core::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};

use super::walk::is_just_created;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::text::ArrayText;
use crate::logic::plan::socket_address::Listener;
use crate::sys::dir::{self, Dir};
use crate::sys::process::{self, Forked};
use crate::sys::{self, Errno, clock, credentials, path_walk, socket};

/// Binds a socket to which its owner and group may connect, whatever the umask is.
///
/// # Errors
/// The errors of socket(2) and bind(2).
pub fn bind_socket_at(address: &[u8]) -> sys::Result<OwnedFd> {
    let socket = socket::create_unix_stream()?;
    bind_with_umask(&socket, address).map(|()| socket)
}

fn bind_with_umask(socket: &OwnedFd, address: &[u8]) -> sys::Result<()> {
    let umask = process::set_umask(0o117);
    let bound = socket::bind_to(socket.as_fd(), address);
    process::set_umask(umask);
    bound
}

/// Creates a socket with this name in the directory, and gives it to `owner`.
///
/// # Errors
/// EADDRINUSE if the name is taken; ESTALE if the private directory was replaced after it had been created; the errors
/// of mkdir(2), bind(2), chown(2) and link(2).
#[inline(never)]
pub fn bind(listener: &Listener<'_>, dir: &Dir, name: StaticCStr, owner: Option<(u32, u32)>) -> sys::Result<OwnedFd> {
    let socket = socket::create_unix_stream()?;
    let mut private = ArrayText::<64>::new();
    let _ = write!(private, ".vsrun-{}-{}", process::own_pid(), clock::monotonic_millis());
    private.end_with(0);
    let private = CStr::from_bytes_until_nul(private.as_bytes()).unwrap_or_default();
    path_walk::make_dir(Some(&dir.0), private)?;
    let result = create_and_move(&socket, listener, dir, private, name, owner);
    let _ = path_walk::remove_dir(Some(&dir.0), private);
    match result {
        Err(Errno::EXIST) => Err(Errno::ADDRINUSE),
        result => result.map(|()| socket),
    }
}

/// Creates the socket in a private directory, and moves it to its path. A child process does this, because it has to
/// change its root and working directory.
fn create_and_move(
    socket: &OwnedFd,
    listener: &Listener<'_>,
    dir: &Dir,
    private: &CStr,
    name: StaticCStr,
    owner: Option<(u32, u32)>,
) -> sys::Result<()> {
    let private = path_walk::open_for_listing(path_walk::open_dir_nofollow(Some(&dir.0), private)?.as_fd())?;
    if !is_just_created(&private)? {
        return Err(Errno::STALE);
    }
    match process::fork()? {
        Forked::Child => {
            let result = bind_inside(socket, listener, &private.0, dir, name, owner);
            let number = result.map_or_else(Errno::raw_os_error, |()| 0);
            process::exit(u8::try_from(number).unwrap_or(u8::MAX))
        }
        Forked::Parent(pid) => match process::reap(pid)? {
            (0, _) => Ok(()),
            (word, _) if word & 0x7f == 0 => Err(Errno::from_raw_os_error(word >> 8)),
            _ => Err(Errno::INTR),
        },
    }
}

/// Runs in the child: makes the private directory the root, so that the address of the socket is the path by which
/// clients connect. If chroot(2) is not permitted, the address is only the name.
fn bind_inside(
    socket: &OwnedFd,
    listener: &Listener<'_>,
    private: &OwnedFd,
    dir: &Dir,
    name: StaticCStr,
    owner: Option<(u32, u32)>,
) -> sys::Result<()> {
    let path = listener.path().to_bytes();
    let as_root = credentials::change_root(private.as_fd());
    if as_root.is_err() {
        let family = listener.sockaddr.get(..2).unwrap_or_default();
        bind_with_umask(socket, &[family, name.to_bytes_with_nul()].concat())?;
        return chown_and_move(name, dir, name, owner);
    }
    let parents = || (1..path.len()).filter(|at| path.get(*at) == Some(&b'/'));
    for at in parents() {
        let _ = path_walk::make_dir(None, leak_cstr(path.get(..at).unwrap_or_default().to_vec()));
    }
    let result =
        bind_with_umask(socket, &listener.sockaddr).and_then(|()| chown_and_move(listener.path(), dir, name, owner));
    for at in parents().rev() {
        let _ = path_walk::remove_dir(None, leak_cstr(path.get(..at).unwrap_or_default().to_vec()));
    }
    result
}

fn chown_and_move(made: &CStr, dir: &Dir, name: StaticCStr, owner: Option<(u32, u32)>) -> sys::Result<()> {
    let given = match owner {
        Some((uid, gid)) => path_walk::open_path_fd(None, made).and_then(|made| dir::fchown(made.as_fd(), uid, gid)),
        None => Ok(()),
    };
    given.and_then(|()| path_walk::move_into_noreplace(made, dir, name)).inspect_err(|_| {
        let _ = path_walk::unlink(made);
    })
}
