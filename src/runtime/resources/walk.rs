//! Walks to a directory, one component of its path at a time, so that no user can lead root to another directory.
//!
//! O_NOFOLLOW protects the last component only, and does not help where a directory before it belongs to the attacker.
//! So each component is opened in the one before it, and its owner is checked on the open descriptor: nothing can be
//! exchanged in between. This module follows symbolic links, not the kernel. Allocates nothing, unless a directory is
//! created: the manager walks at each rotation, and the child that becomes the server walks to its root.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::Result;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::ArrayText;
use crate::logic::plan::path_trust::{
    Component, DistrustReason, PathTrustCheck, Position, UntrustedComponent, components,
};
use crate::sys::dir::{self, Dir, FileStat};
use crate::sys::{self, Errno, credentials, file_contents, path_walk};

/// The largest number of symbolic links that are followed, which is the kernel's own limit.
pub(super) const MAX_LINKS: u32 = 40;
/// The mode of parent directories that are created: the user can search them.
const PARENT_MODE: u32 = 0o755;

/// A walk, and the directory that it has reached.
///
/// It also holds the details of a refusal, so that results are plain errnos: returning the details from function to
/// function took two thousand bytes of code.
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct PathWalk {
    /// True if owners of components are checked. If vsrun is not root, the kernel's own rules are enough.
    pub(super) checks_owners: bool,
    trust: PathTrustCheck,
    pub(super) followed_links: u32,
    pub(super) at: Option<OwnedFd>,
    /// The fstat(2) result of the directory that the walk has reached.
    pub reached_dir_stat: FileStat,
    pub refusal: Option<UntrustedComponent>,
}

/// How missing directories are created.
pub struct CreateOptions {
    /// The user and group of the last directory, and of each parent directory that is created inside a directory
    /// of that user.
    pub owner: Option<(u32, u32)>,
    /// The mode of the last directory. None: the first missing directory ends the walk with EEXIST, and nothing is
    /// created.
    pub mode: Option<u32>,
    /// The directories that were created, each as its parent and its name.
    created_dirs: Vec<(Option<OwnedFd>, StaticCStr)>,
}

/// Walks to a directory.
///
/// # Errors
/// When the directory cannot be opened, or an untrusted user could have replaced a part of the path. The error states
/// `problem` and `path`.
pub fn walk_to(dir: &CStr, problem: Problem, path: &CStr) -> Result<PathWalk> {
    let mut walk = PathWalk::new();
    match walk.go_to(dir) {
        Ok(()) => Ok(walk),
        Err(why) => Err(walk.error(problem, path.to_bytes(), why)),
    }
}

/// Verifies that the directory for chroot(2) may be used, before a start creates anything.
///
/// # Errors
/// When root must not trust the directory. The chroot step of the start reports all other errors.
pub fn verify_root_trusted(root: Option<StaticCStr>) -> Result<()> {
    let Some(root) = root else { return Ok(()) };
    let mut walk = PathWalk::new();
    match walk.go_to(root) {
        Err(why) if walk.refusal.is_some() => Err(walk.error(Problem::UseRoot, root.to_bytes(), why)),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Changes the root directory of this process. It is called in the child that becomes the server.
///
/// # Errors
/// The errors of the walk, and of chroot(2).
pub fn change_root(path: &CStr) -> sys::Result<()> {
    let mut walk = PathWalk::new();
    walk.go_to(path)?;
    credentials::change_root(walk.fd())
}

impl PathWalk {
    /// Makes a walk that has not reached a directory yet.
    pub fn new() -> Self {
        let own = credentials::effective_uid();
        let checks_owners = own == 0;
        let top = if checks_owners { dir::stat_path(c"/").map_or(own, |top| top.owner) } else { own };
        Self {
            checks_owners,
            trust: PathTrustCheck::new(own, top),
            followed_links: 0,
            at: None,
            reached_dir_stat: FileStat::default(),
            refusal: None,
        }
    }

    /// Walks to a directory.
    ///
    /// # Errors
    /// The errors of the system calls; EPERM if root must not trust a part of the path.
    pub fn go_to(&mut self, path: &CStr) -> sys::Result<()> {
        if self.checks_owners {
            self.follow(path.to_bytes(), None)
        } else {
            self.enter(path, path_walk::open_dir_follow(None, path)?)
        }
    }

    /// Walks to a directory, and creates it if it is missing. On an error, created directories are removed again.
    /// Without a mode, only walks to the directory in which the first missing one could be created.
    ///
    /// # Errors
    /// The errors of [`Self::go_to`], mkdir(2) and chown(2). Without a mode, EEXIST: a directory is missing,
    /// and nothing prevents a start from creating it.
    pub fn go_to_or_create(&mut self, path: &CStr, owner: Option<(u32, u32)>, mode: Option<u32>) -> sys::Result<()> {
        let mut options = CreateOptions { owner, mode, created_dirs: Vec::new() };
        let result = self.follow(path.to_bytes(), Some(&mut options));
        if result.is_err() {
            while let Some((dir, name)) = options.created_dirs.pop() {
                let _ = path_walk::remove_dir(dir.as_ref(), name);
            }
        }
        result
    }

    pub(super) fn follow(&mut self, path: &[u8], mut options: Option<&mut CreateOptions>) -> sys::Result<()> {
        for (part, position) in components(path) {
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
            match (path_walk::open_dir_nofollow(self.at.as_ref(), name), &mut options) {
                (Ok(dir), _) => self.enter(name, dir)?,
                // The name is that of a symbolic link, or of a file that is no directory.
                (Err(Errno::NOTDIR), _) => self.follow_link(name)?,
                (Err(Errno::NOENT), Some(options)) => self.create(name, position, options)?,
                (Err(why), _) => return Err(why),
            }
        }
        Ok(())
    }

    /// Checks a directory that has been opened, and continues from it.
    fn enter(&mut self, name: &CStr, dir: OwnedFd) -> sys::Result<()> {
        let about = dir::fstat(dir.as_fd())?;
        // The link count of a directory counts its subdirectories, not its names.
        self.check_component(name, &FileStat { links: 1, ..about })?;
        (self.at, self.reached_dir_stat) = (Some(dir), about);
        Ok(())
    }

    /// Follows a symbolic link.
    #[inline(never)]
    fn follow_link(&mut self, name: &CStr) -> sys::Result<()> {
        let link = path_walk::open_path_fd(self.at.as_ref(), name)?;
        let mut target = [0; 4096];
        let length = match file_contents::read_link(link.as_fd(), c"", &mut target) {
            // readlink(2) fails for anything that is not a symbolic link.
            Err(Errno::INVAL | Errno::NOENT) => return Err(Errno::NOTDIR),
            result => result?,
        };
        self.check_component(name, &dir::fstat(link.as_fd())?)?;
        self.followed_links += 1;
        if self.followed_links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        // A link in /proc does not lead to the path that is its text: the text of /proc/PID/root is "/".
        if path_walk::is_procfs(link.as_fd())? {
            return self.enter(name, path_walk::open_dir_follow(self.at.as_ref(), name)?);
        }
        self.follow(target.get(..length).unwrap_or_default(), None)
    }

    /// Checks one component of the path, in the directory that the walk has reached.
    pub(super) fn check_component(&mut self, name: &CStr, about: &FileStat) -> sys::Result<()> {
        let FileStat { owner, links: hard_links, .. } = *about;
        match self.trust.check_next(Component { owner, hard_links, in_shared_dir: self.is_in_shared_dir() }) {
            Err(reason) if self.checks_owners => self.refuse(name.to_bytes(), reason),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    fn refuse(&mut self, name: &[u8], reason: DistrustReason) -> sys::Result<()> {
        let mut shown = ArrayText::new();
        shown.push(name);
        self.refusal = Some(UntrustedComponent { name: shown, reason });
        Err(Errno::PERM)
    }

    /// Verifies that the next start would trust a file or directory with this name, if it is created for this owner
    /// (None: vsrun's own user).
    ///
    /// # Errors
    /// EPERM if the directory that the walk has reached belongs to another user.
    pub fn verify_may_create(&mut self, name: &CStr, owner: Option<(u32, u32)>) -> sys::Result<()> {
        match self.trust.required_owner().filter(|_| self.checks_owners) {
            Some(other) if owner.is_none_or(|(uid, _)| uid != other) => {
                self.refuse(name.to_bytes(), DistrustReason::CreatedInOthersDir(other))
            }
            _ => Ok(()),
        }
    }

    /// Creates a directory, gives it to its owner, and continues from it. Without a mode, returns EEXIST.
    #[inline(never)]
    fn create(&mut self, name: &CStr, position: Position, options: &mut CreateOptions) -> sys::Result<()> {
        let is_last = position == Position::Last;
        let owner = options.owner.filter(|_| is_last || self.trust.required_owner().is_some());
        self.verify_may_create(name, owner)?;
        let Some(mode) = options.mode else { return Err(Errno::EXIST) };
        match path_walk::make_dir(self.at.as_ref(), name) {
            // Another start has created the directory in the meantime.
            Err(Errno::EXIST) => return self.enter(name, path_walk::open_dir_nofollow(self.at.as_ref(), name)?),
            result => result?,
        }
        let made = path_walk::open_dir_nofollow(self.at.as_ref(), name);
        options.created_dirs.push((self.at.take(), leak_cstr(name.to_bytes().to_vec())));
        let made = path_walk::open_for_listing(made?.as_fd())?;
        if self.checks_owners && !is_just_created(&made)? {
            options.created_dirs.pop();
            return self.refuse(name.to_bytes(), DistrustReason::Replaced);
        }
        // The mode is set before the owner, because after fchown(2), fchmod(2) needs CAP_FOWNER.
        dir::fchmod(made.as_fd(), if is_last { mode } else { PARENT_MODE })?;
        if let Some((uid, gid)) = owner {
            dir::fchown(made.as_fd(), uid, gid)?;
        }
        (self.reached_dir_stat, self.at) = (dir::fstat(made.as_fd())?, Some(made.0));
        Ok(())
    }

    /// The descriptor of the directory that the walk has reached.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.at.as_ref().map_or(dir::current_dir_fd(), AsFd::as_fd)
    }

    /// Takes the directory that the walk has reached out of the walk.
    ///
    /// # Errors
    /// ENOENT if the walk has not reached a directory.
    pub fn take(&mut self) -> sys::Result<Dir> {
        self.at.take().map(Dir).ok_or(Errno::NOENT)
    }

    /// True if other users may create and remove names in the directory that the walk has reached.
    pub fn is_in_shared_dir(&self) -> bool {
        self.at.is_some() && self.trust.is_shared_dir(self.reached_dir_stat.owner, self.reached_dir_stat.mode)
    }

    /// True if root may read this file of the reached directory: no user can have linked another user's file into it.
    /// Always true if vsrun is not root.
    pub fn trusts_file(&self, file: &FileStat) -> bool {
        let component = Component { owner: file.owner, hard_links: file.links, in_shared_dir: self.is_in_shared_dir() };
        !self.checks_owners || { self.trust }.check_next(component).is_ok()
    }

    /// Verifies that the log directory, which the walk has reached, belongs to root, to vsrun's user, or to this
    /// owner.
    ///
    /// # Errors
    /// EPERM if it does not.
    pub fn verify_log_dir_owner(&mut self, path: &CStr, owner: Option<(u32, u32)>) -> sys::Result<()> {
        let there = self.reached_dir_stat.owner;
        if !self.checks_owners || self.trust.is_trusted_owner(there) || owner.is_some_and(|(uid, _)| uid == there) {
            return Ok(());
        }
        let (last, _) = components(path.to_bytes()).last().unwrap_or_default();
        self.refuse(last, DistrustReason::LogDirOfOtherUser(there))
    }
}

/// True if a directory looks like one that vsrun has just created: empty, our own, and closed to all others. If it does
/// not, another user has moved another directory to its name.
///
/// # Errors
/// The errors of getdents(2).
pub fn is_just_created(made: &Dir) -> sys::Result<bool> {
    let about = dir::fstat(made.as_fd())?;
    let mut is_empty = true;
    made.for_each_name(&mut |name| is_empty &= matches!(name.to_bytes(), b"." | b".."))?;
    Ok(is_empty && about.owner == credentials::effective_uid() && about.mode & 0o077 == 0)
}
