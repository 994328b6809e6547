//! Pidfiles: claimed by a lock, written, emptied, released. The lock tells the truth, not the number.

use core::ffi::CStr;
use core::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};

use crate::act::lookup;
use crate::act::say::failed;
use crate::act::walk;
use crate::decide::error::{Error, Result};
use crate::decide::text::{Clean, Text};
use crate::decide::word::{Word, word};
use crate::sys::dir::{self, About, Dir, How};
use crate::sys::lock::{self, Kind, lock};
use crate::sys::process::Pid;
use crate::sys::{self, Errno, access, identity};

/// How often a path that changes under our hands is looked at again.
const PATIENCE: usize = 100;

/// A pidfile that is ours. Whoever drops it leaves it as it is: only `release` removes it.
pub struct Pidfile {
    dir: Dir,
    name: Word,
    path: Word,
    file: OwnedFd,
    about: About,
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To have it.
    Have,
    /// Only to see whether it could be had.
    Look,
}

impl Pidfile {
    /// Claims the file, if there is to be one.
    ///
    /// # Errors
    /// Those of [`Self::claim`].
    pub fn claim_if(path: Option<Word>) -> Result<Option<Self>> {
        path.map_or(Ok(None), |path| Self::claim(path, Purpose::Have))
    }

    /// Opens and locks the file. What an earlier start left in it stays until `write`. None, and nothing done: it could
    /// be had, and was only looked at.
    ///
    /// # Errors
    /// When somebody else holds it, or it is not a file that root may trust: nothing was changed then.
    #[inline(never)]
    pub fn claim(path: Word, purpose: Purpose) -> Result<Option<Self>> {
        let (parent, name) = split(path);
        let fault = if name.is_empty() {
            "names a directory"
        } else {
            let mut walk = walk::to(parent, "pidfile", path)?;
            let (is_shared, dir) = (walk.is_shared(), walk.take().map_err(|why| cannot("", path, "", why))?);
            match take(&dir, name, path, purpose, is_shared) {
                Ok(Some((file, about))) => return Ok(Some(Self { dir, name, path, file, about })),
                Ok(None) => return Ok(None),
                Err(Fault::Missing) if purpose == Purpose::Look => {
                    let may = access::may_write(parent);
                    return may.map_err(|why| cannot("", path, "", why)).map(|()| None);
                }
                Err(Fault::Missing) => "does not stay in its place",
                Err(Fault::Is(fault)) => fault,
                Err(Fault::Told(error)) => return Err(error),
            }
        };
        Err(Error::refused(format_args!("pidfile '{}' {fault}", Clean(path.to_bytes()))))
    }

    /// Forgets the number of an earlier start, which may be a stranger's, and sets aside the space that a new one needs,
    /// so that `write` will not fail after the server has been started.
    ///
    /// # Errors
    /// ENOSPC.
    pub fn reserve(&self) -> Result<()> {
        let result = self.empty().and_then(|()| dir::reserve(self.file.as_fd(), 16));
        result.map_err(|why| cannot("", self.path, "", why))
    }

    /// Writes the pid of a process.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write(&self, pid: Pid) -> sys::Result<()> {
        let mut line = Text::<64>::new();
        let _ = writeln!(line, "{pid}");
        dir::replace(self.file.as_fd(), line.as_bytes())
    }

    /// Says that nobody is there.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn empty(&self) -> sys::Result<()> {
        dir::cut(self.file.as_fd(), 0)
    }

    /// Makes the lock one that the server may keep: a shared one, on a second descriptor that cannot write. The first
    /// one must be closed by the exec.
    ///
    /// # Errors
    /// When the path names another file meanwhile, or cannot be read.
    pub fn hand_over(&self) -> sys::Result<OwnedFd> {
        lock(self.file.as_fd(), Kind::Shared)?;
        let second = self.dir.file(self.name, How::ReadOnly, 0)?;
        if dir::about(second.as_fd())?.identity != self.about.identity {
            return Err(Errno::NOENT);
        }
        lock(second.as_fd(), Kind::Shared)?;
        // The janitor still has the first one when a short-lived server has already ended: it must keep nobody out.
        lock::unlock(self.file.as_fd())?;
        Ok(second)
    }

    /// Removes the file, if the path still names it, while the lock is held.
    pub fn release(&self) {
        if is_at(&self.dir, self.name, &self.about) {
            let _ = self.dir.unlink(self.name);
        }
    }

    /// The path as it was given.
    pub fn path(&self) -> Clean<'_> {
        Clean(self.path.to_bytes())
    }
}

/// Whether two paths are the same name in the same directory.
pub fn is_same(one: Word, other: Word) -> bool {
    let ((dir, name), (other_dir, other_name)) = (split(one), split(other));
    let place = |dir: &CStr| dir::about_path(dir).map(|about| about.identity).ok();
    name == other_name && place(dir).is_some_and(|place_of_one| place(other_dir) == Some(place_of_one))
}

/// Read and written by the owner only: who may read it could hold a read lock, and keep the server from starting.
const MODE: u32 = 0o600;

/// Why a pidfile is not to be had.
enum Fault {
    /// It is not there, or not for long.
    Missing,
    /// What is wrong with it.
    Is(&'static str),
    /// All of it, in words.
    Told(Error),
}

/// What the kernel refuses.
#[inline(never)]
fn cannot(doing: &str, path: Word, needs: &str, why: Errno) -> Error {
    failed(format_args!("{doing}pidfile '{}'{needs}", Clean(path.to_bytes())), why)
}

/// Opens and locks the file in its directory. None: it could be had, and was only looked at.
#[inline(never)]
fn take(
    dir: &Dir,
    name: Word,
    path: Word,
    purpose: Purpose,
    is_shared: bool,
) -> core::result::Result<Option<(OwnedFd, About)>, Fault> {
    for _ in 0..PATIENCE {
        let (file, made) = match open(dir, name, purpose) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(Errno::NOENT) if purpose == Purpose::Look => return Err(Fault::Missing),
            Err(Errno::LOOP) => return Err(Fault::Is("is a symbolic link")),
            Err(why) => return Err(Fault::Told(cannot("", path, "", why))),
        };
        let fail = |doing: &str, needs: &str, why: Errno| {
            if made {
                let _ = dir.unlink(name);
            }
            Err(Fault::Told(cannot(doing, path, needs, why)))
        };
        let about = match dir::about(file.as_fd()) {
            Ok(about) => about,
            Err(why) => return fail("", "", why),
        };
        if let Some(fault) = fault(&about).or(if is_shared { contents_fault(&file) } else { None }) {
            return Err(Fault::Is(fault));
        }
        let locked = match purpose {
            Purpose::Have => lock(file.as_fd(), Kind::Exclusive),
            Purpose::Look => match lock::holder(file.as_fd()) {
                Ok(Some(_)) => Err(Errno::AGAIN),
                result => result.map(drop),
            },
        };
        match locked {
            Ok(()) if purpose == Purpose::Look => return Ok(None),
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(Fault::Told(lookup::running(path, file.as_fd(), &about))),
            // An older kernel knows no lock that would outlive a fork.
            Err(why @ Errno::INVAL) => return fail("cannot lock ", " (needs Linux 3.15)", why),
            Err(why) => return fail("cannot lock ", "", why),
        }
        // Between open and lock the one who had it may have removed it.
        if is_at(dir, name, &about) {
            if about.mode != MODE {
                let _ = dir::permit(file.as_fd(), MODE);
            }
            return Ok(Some((file, about)));
        }
    }
    Err(Fault::Missing)
}

/// Opens the file, or makes it to have it. None: it has come or gone in between. Says whether it was made.
fn open(dir: &Dir, name: &CStr, purpose: Purpose) -> sys::Result<Option<(OwnedFd, bool)>> {
    match dir.file(name, How::Existing, 0) {
        Ok(file) => return Ok(Some((file, false))),
        Err(Errno::NOENT) if purpose == Purpose::Have => {}
        Err(why) => return Err(why),
    }
    match dir.file(name, How::New, MODE) {
        Ok(file) => Ok(Some((file, true))),
        Err(Errno::EXIST) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Why root should not trust such a file.
fn fault(about: &About) -> Option<&'static str> {
    let owner = identity::effective_uid();
    if !about.regular {
        Some("is not a regular file")
    } else if about.links > 1 {
        Some("has more than one link")
    } else if about.owner != 0 && about.owner != owner {
        Some("belongs to somebody else")
    } else {
        None
    }
}

/// Where others may write, the name may be a second one of any file of root's, whatever the number of its links was at
/// that moment: nothing is written to one that does not look like a pidfile.
fn contents_fault(file: &OwnedFd) -> Option<&'static str> {
    let mut buffer = [0; 32];
    let count = dir::head(file.as_fd(), &mut buffer).unwrap_or(buffer.len());
    let text = buffer.get(..count).unwrap_or_default();
    let number = text.strip_suffix(b"\n").unwrap_or(text);
    let is_number = count < buffer.len() && number.iter().all(u8::is_ascii_digit);
    if is_number { None } else { Some("holds something else than a number, in a directory that others may write") }
}

/// Whether the name still names that file.
pub fn is_at(dir: &Dir, name: &CStr, about: &About) -> bool {
    dir.about(name).is_ok_and(|there| there.identity == about.identity)
}

/// The directory and the name in it.
pub fn split(path: Word) -> (Word, Word) {
    let bytes = path.to_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        None => (c".", path),
        Some(slash) => {
            let (dir, name) = bytes.split_at(slash);
            let dir = if dir.is_empty() { b"/" } else { dir };
            (word(dir.to_vec()), word(name.get(1..).unwrap_or_default().to_vec()))
        }
    }
}
