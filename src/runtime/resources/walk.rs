//! The way to a directory, one component at a time, so that no user can make root use what is not the user's.
//!
//! O_NOFOLLOW protects the last component only, and is no help where a directory before it belongs to the attacker.
//! So each component is opened in the one before it, and its owner is looked at on the open descriptor: nothing can be
//! exchanged in between. Symbolic links are followed here, and not by the kernel. Allocates nothing, unless a directory
//! is made: the manager walks at each rotation, and a process on its way to be the server walks to its root.

use core::ffi::CStr;
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::ownership;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::plan::trust::{Component, Reason, Refusal, Trust, components};
use crate::sys::dir::{self, Dir, FileStat};
use crate::sys::{self, Errno, credentials, file_contents, walk};

/// How many symbolic links are followed on the way; the kernel's own limit.
pub(super) const LINKS: u32 = 40;
/// A directory that has to be made on the way can be passed by the user.
const PARENT_MODE: u32 = 0o755;

/// A walk, and where it has led. (It holds what is told about a refusal, so that results are numbers only: moved from
/// function to function, the words took two thousand bytes of code.)
pub struct Walk {
    /// Whether owners are looked at. Where vsrun is not root, the kernel's own rules are enough.
    pub(super) checked: bool,
    trust: Trust,
    pub(super) links: u32,
    pub(super) at: Option<OwnedFd>,
    /// About the directory that it has led to.
    pub about: FileStat,
    pub refusal: Option<Refusal>,
}

/// What is made on the way.
pub struct Make {
    /// The user and group that the last directory is given to.
    pub owner: Option<(u32, u32)>,
    /// The mode of the last directory.
    pub mode: u32,
    /// What has been made: in which directory, under which name.
    made: Vec<(Option<OwnedFd>, StaticCStr)>,
}

/// Goes to a directory.
///
/// # Errors
/// When it cannot be opened, or a user could have put another one in its place: the use and the path are told.
#[inline(never)]
pub fn to(dir: &CStr, what: &str, path: &CStr) -> Result<Walk> {
    let mut walk = Walk::begin();
    match walk.go_to(dir) {
        Ok(()) => Ok(walk),
        Err(why) => Err(walk.error(what, path, why)),
    }
}

/// Whether a root directory may be used, before anything of a start has been made.
///
/// # Errors
/// When it may not. That it cannot be entered is left to the step that does it.
pub fn check_root(root: Option<StaticCStr>) -> Result<()> {
    let Some(root) = root else { return Ok(()) };
    let mut walk = Walk::begin();
    match walk.go_to(root) {
        Err(why) if walk.refusal.is_some() => Err(walk.error("root", root, why)),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Changes the root directory of a process on its way to be the server.
///
/// # Errors
/// Those of the way there, and of chroot(2).
pub fn change_root(path: &CStr) -> sys::Result<()> {
    let mut walk = Walk::begin();
    walk.go_to(path)?;
    credentials::change_root(walk.fd())
}

impl Walk {
    /// At its beginning.
    pub fn begin() -> Self {
        let own = credentials::effective_uid();
        let checked = own == 0;
        let top = if checked { dir::stat_path(c"/").map_or(own, |top| top.owner) } else { own };
        Self { checked, trust: Trust::new(own, top), links: 0, at: None, about: FileStat::default(), refusal: None }
    }

    /// Goes to a directory.
    ///
    /// # Errors
    /// Those of the system calls; EPERM where root may not use it.
    pub fn go_to(&mut self, path: &CStr) -> sys::Result<()> {
        if self.checked { self.go(path.to_bytes(), None) } else { self.arrive(path, walk::follow(None, path)?) }
    }

    /// Goes to a directory, and makes it where it is missing. What was made is removed again where that fails.
    ///
    /// # Errors
    /// As those of [`Self::go_to`], and those of mkdir(2) and chown(2).
    #[inline(never)]
    pub fn make_way(&mut self, path: &CStr, owner: Option<(u32, u32)>, mode: u32) -> sys::Result<()> {
        let mut make = Make { owner, mode, made: Vec::new() };
        let result = self.go(path.to_bytes(), Some(&mut make));
        if result.is_err() {
            while let Some((dir, name)) = make.made.pop() {
                let _ = walk::remove(dir.as_ref(), name);
            }
        }
        result
    }

    #[inline(never)]
    pub(super) fn go(&mut self, path: &[u8], mut make: Option<&mut Make>) -> sys::Result<()> {
        for (part, is_last) in components(path) {
            if part == b"." && self.at.is_some() {
                continue;
            }
            if part == b"/" {
                self.at = None;
            }
            if part.len() > 255 {
                return Err(Errno::NAMETOOLONG);
            }
            let mut name = ArrayText::<256>::new();
            name.push(part);
            name.end_with(0);
            let name = CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default();
            match (walk::enter(self.at.as_ref(), name), &mut make) {
                (Ok(dir), _) => self.arrive(name, dir)?,
                // A symbolic link, or nothing that a path can lead through.
                (Err(Errno::NOTDIR), _) => self.link(name)?,
                (Err(Errno::NOENT), Some(make)) => self.make(name, is_last, make)?,
                (Err(why), _) => return Err(why),
            }
        }
        Ok(())
    }

    /// Takes a directory that has been opened.
    fn arrive(&mut self, name: &CStr, dir: OwnedFd) -> sys::Result<()> {
        let about = dir::fstat(dir.as_fd())?;
        // The number of a directory's links is not that of its names.
        self.pass(name, &FileStat { links: 1, ..about })?;
        (self.at, self.about) = (Some(dir), about);
        Ok(())
    }

    /// Follows a symbolic link.
    #[inline(never)]
    fn link(&mut self, name: &CStr) -> sys::Result<()> {
        let link = walk::handle(self.at.as_ref(), name)?;
        let mut target = [0; 4096];
        let length = match file_contents::read_link(link.as_fd(), c"", &mut target) {
            // Only a link can be read as one.
            Err(Errno::INVAL | Errno::NOENT) => return Err(Errno::NOTDIR),
            result => result?,
        };
        self.pass(name, &dir::fstat(link.as_fd())?)?;
        self.links += 1;
        if self.links > LINKS {
            return Err(Errno::LOOP);
        }
        // A link of /proc leads where its text only seems to lead: /proc/PID/root has the text "/".
        if walk::is_procfs(link.as_fd())? {
            return self.arrive(name, walk::follow(self.at.as_ref(), name)?);
        }
        self.go(target.get(..length).unwrap_or_default(), None)
    }

    /// Takes a component of the path, which is in the directory where the walk is.
    pub(super) fn pass(&mut self, name: &CStr, about: &FileStat) -> sys::Result<()> {
        let component = Component { owner: about.owner, links: about.links, shared: self.is_shared() };
        match self.trust.pass(component) {
            Err(reason) if self.checked => self.refuse(name.to_bytes(), reason),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    #[inline(never)]
    fn refuse(&mut self, name: &[u8], reason: Reason) -> sys::Result<()> {
        let mut shown = ArrayText::new();
        shown.push(name);
        self.refusal = Some(Refusal { name: shown, reason });
        Err(Errno::PERM)
    }

    /// Makes a directory, and gives it to its owner.
    #[inline(never)]
    fn make(&mut self, name: &CStr, is_last: bool, make: &mut Make) -> sys::Result<()> {
        let owner = make.owner.filter(|_| is_last || self.trust.other().is_some());
        if let Some(other) = self.trust.other().filter(|_| self.checked)
            && owner.is_none_or(|(uid, _)| uid != other)
        {
            // It would be no safe place from the next start on.
            return self.refuse(name.to_bytes(), Reason::Made(other));
        }
        match walk::make(self.at.as_ref(), name) {
            // Another start was faster.
            Err(Errno::EXIST) => return self.arrive(name, walk::enter(self.at.as_ref(), name)?),
            result => result?,
        }
        let made = walk::enter(self.at.as_ref(), name);
        make.made.push((self.at.take(), leak_cstr(name.to_bytes().to_vec())));
        let made = walk::list(made?.as_fd())?;
        if self.checked && !is_new(&made)? {
            make.made.pop();
            return self.refuse(name.to_bytes(), Reason::Replaced);
        }
        // While it is ours: afterwards that takes CAP_FOWNER.
        dir::fchmod(made.as_fd(), if is_last { make.mode } else { PARENT_MODE })?;
        if let Some((uid, gid)) = owner {
            dir::fchown(made.as_fd(), uid, gid)?;
        }
        (self.about, self.at) = (dir::fstat(made.as_fd())?, Some(made.0));
        Ok(())
    }

    /// Where it has led: a handle.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.at.as_ref().map_or(dir::here(), AsFd::as_fd)
    }

    /// The same, to be kept.
    ///
    /// # Errors
    /// ENOENT before the first step.
    pub fn take(&mut self) -> sys::Result<Dir> {
        self.at.take().map(Dir).ok_or(Errno::NOENT)
    }

    /// Whether others may make and remove names in it.
    pub fn is_shared(&self) -> bool {
        self.at.is_some() && self.trust.is_shared(self.about.owner, self.about.mode)
    }

    /// Whether a file in it may be read for its owner's sake: no user has put there what is another's.
    pub fn admits(&self, file: &FileStat) -> bool {
        let component = Component { owner: file.owner, links: file.links, shared: self.is_shared() };
        !self.checked || { self.trust }.pass(component).is_ok()
    }

    /// The last directory must be of root's, of vsrun's user's, or of this one's.
    ///
    /// # Errors
    /// EPERM when it is not.
    pub fn belongs_to(&mut self, path: &CStr, owner: Option<(u32, u32)>) -> sys::Result<()> {
        let there = self.about.owner;
        if !self.checked || self.trust.is_own(there) || owner.is_some_and(|(uid, _)| uid == there) {
            return Ok(());
        }
        let (last, _) = components(path.to_bytes()).last().unwrap_or_default();
        self.refuse(last, Reason::Stranger(there))
    }

    /// Why it has led nowhere.
    pub fn error_text(&self, why: Errno) -> WalkError<'_> {
        WalkError(self, why)
    }

    /// The line for people.
    #[inline(never)]
    pub fn error(&self, what: &str, path: &CStr, why: Errno) -> Error {
        Error::setup(format_args!("cannot use {what} '{}': {}", Escaped(path.to_bytes()), self.error_text(why)))
    }
}

/// Whether a directory is the one that we have just made: others may have moved another one of root's to its place.
///
/// # Errors
/// Those of getdents(2).
pub fn is_new(made: &Dir) -> sys::Result<bool> {
    let about = dir::fstat(made.as_fd())?;
    let mut is_empty = true;
    made.for_each_name(&mut |name| is_empty &= matches!(name.to_bytes(), b"." | b".."))?;
    Ok(is_empty && about.owner == credentials::effective_uid() && about.mode & 0o077 == 0)
}

/// What is told of a walk that has failed.
pub struct WalkError<'a>(&'a Walk, Errno);

impl fmt::Display for WalkError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sys::errno_text(self.1).fmt(f)?;
        match &self.0.refusal {
            Some(refusal) => write!(f, " ({refusal})"),
            None => f.write_str(ownership::missing(self.1)),
        }
    }
}
