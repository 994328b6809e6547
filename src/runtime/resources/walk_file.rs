//! Opens a file whose contents go to the server, so that a user cannot make root read a file of another owner.

use core::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use super::walk::{MAX_LINKS, PathWalk};
use crate::logic::base::text::ArrayText;
use crate::sys::{self, Errno, dir, file_contents, path_walk};

/// Opens a file for reading. Never waits for the other end of a FIFO.
///
/// # Errors
/// The errors of the system calls. For root, EPERM if it must not trust the file, and EINVAL if it is not regular.
pub fn open(walk: &mut PathWalk, path: &CStr) -> sys::Result<OwnedFd> {
    if walk.checks_owners { open_checked(walk, path.to_bytes()) } else { dir::open_readonly(path) }
}

fn open_checked(walk: &mut PathWalk, path: &[u8]) -> sys::Result<OwnedFd> {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (way, last) = path.split_at_checked(start).unwrap_or_default();
    match last {
        b"" if path.is_empty() => return Err(Errno::NOENT),
        b"" | b"." | b".." => return Err(Errno::INVAL),
        _ if last.len() > 255 => return Err(Errno::NAMETOOLONG),
        _ => {}
    }
    // A name without a directory is opened in the working directory, whose owner must be checked too.
    walk.follow(if way.is_empty() { b"." } else { way }, None)?;
    let mut name = ArrayText::<256>::new();
    name.push(last);
    name.end_with(0);
    let name = CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default();
    let there = path_walk::open_path_fd(walk.at.as_ref(), name)?;
    let mut target = [0; 4096];
    let length = match file_contents::read_link(there.as_fd(), c"", &mut target) {
        // readlink(2) fails for anything that is not a symbolic link.
        Err(Errno::INVAL | Errno::NOENT) => {
            let file = path_walk::open_file_nofollow(walk.at.as_ref(), name)?;
            let about = dir::fstat(file.as_fd())?;
            if !about.regular {
                return Err(Errno::INVAL);
            }
            walk.check_component(name, &about)?;
            return Ok(file);
        }
        result => result?,
    };
    walk.check_component(name, &dir::fstat(there.as_fd())?)?;
    walk.followed_links += 1;
    if walk.followed_links > MAX_LINKS {
        return Err(Errno::LOOP);
    }
    // A link in /proc does not lead to the path that is its text, so the kernel has to follow it.
    if path_walk::is_procfs(there.as_fd())? {
        return path_walk::open_file_follow(walk.at.as_ref(), name);
    }
    open_checked(walk, target.get(..length).unwrap_or_default())
}
