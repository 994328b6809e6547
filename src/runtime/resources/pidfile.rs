//! Pidfiles: locks, writes, empties, and removes them. Only the lock proves that a process is alive, not the pid.

use core::ffi::CStr;
use core::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};

use super::{pidfile_lock_holder, walk};
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::ArrayText;
use crate::runtime::report::os_error::os_error_of;
use crate::sys::dir::{self, Dir, FileStat, OpenMode};
use crate::sys::lock::{self, LockMode, LockPart, try_lock};
use crate::sys::process::Pid;
use crate::sys::{self, Errno, access, credentials};

/// The maximum number of attempts to open a pidfile that other processes replace or remove meanwhile.
const OPEN_ATTEMPTS: usize = 100;

/// A pidfile that this process has locked. Dropping it leaves the file as it is; only `remove_file` removes it.
pub struct Pidfile {
    dir: Dir,
    name: StaticCStr,
    path: StaticCStr,
    file: OwnedFd,
    stat: FileStat,
}

/// Why a pidfile is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OpenPurpose {
    /// To lock it, for a start.
    Acquire,
    /// To check whether it could be locked, for `--check`.
    Check,
}

impl Pidfile {
    /// Opens and locks the file, if a path is given.
    ///
    /// # Errors
    /// When another process has locked the file, or root must not trust it.
    pub fn acquire_if(path: Option<StaticCStr>) -> Result<Option<Self>> {
        path.map_or(Ok(None), |path| Self::acquire(path, OpenPurpose::Acquire))
    }

    /// Opens and locks the file, and deletes the pid of an earlier start. With [`OpenPurpose::Check`], verifies that
    /// this would succeed, and returns None.
    ///
    /// # Errors
    /// When another process has locked the file, or root must not trust it. Nothing is changed then.
    pub fn acquire(path: StaticCStr, purpose: OpenPurpose) -> Result<Option<Self>> {
        let (parent, name) = split_path(path);
        let fault = if name.is_empty() {
            Reason::NamesDirectory
        } else {
            let fail = |why| os_error_of(Problem::Pidfile, path.to_bytes(), why);
            let mut walk = walk::walk_to(parent, Problem::UsePidfile, path)?;
            let (is_dir_shared, dir) = (walk.is_in_shared_dir(), walk.take().map_err(fail)?);
            match lock_in_dir(&PidfilePlace { dir: &dir, is_dir_shared, name, path }, purpose) {
                Ok(Some((file, about))) => return Ok(Some(Self { dir, name, path, file, stat: about })),
                Ok(None) => return Ok(None),
                Err(LockError::FileMissing) if purpose == OpenPurpose::Check => {
                    let may = access::may_write(dir.as_fd(), c".");
                    return may.map_err(fail).map(|()| None);
                }
                Err(LockError::FileMissing) => Reason::AlwaysReplaced,
                Err(LockError::Unsuitable(fault)) => fault,
                Err(LockError::Other(error)) => return Err(error),
            }
        };
        Err(Error::of(Problem::UnsuitablePidfile, path.to_bytes()).with_reason_arg(fault))
    }

    /// Reserves disk space for a pid, so that `write` cannot fail after the server has been started.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn reserve_disk_space(&self) -> Result<()> {
        dir::fallocate(self.file.as_fd(), 16).map_err(|why| self.error(why))
    }

    /// Writes the pid of a process.
    ///
    /// # Errors
    /// The errors of write(2).
    pub fn write(&self, pid: Pid) -> sys::Result<()> {
        let mut line = ArrayText::<64>::new();
        let _ = writeln!(line, "{pid}");
        dir::replace_contents(self.file.as_fd(), line.as_bytes())
    }

    /// Answers the control request with this token. The answer `number` is encoded as the index of one byte that
    /// is unlocked in the locked file, see `lock::encode_answer_in_locks`. None removes the answer.
    pub fn answer_control_request(&self, token: u32, number: Option<u16>) {
        lock::encode_answer_in_locks(self.file.as_fd(), token, number);
    }

    /// Empties the file, because no server is running.
    ///
    /// # Errors
    /// The errors of ftruncate(2).
    pub fn empty(&self) -> sys::Result<()> {
        dir::ftruncate(self.file.as_fd(), 0)
    }

    /// Replaces the exclusive lock by a shared one that the server may keep, on a second descriptor that cannot write.
    /// The first descriptor must be closed by the exec.
    ///
    /// # Errors
    /// When the path leads to another file by now, or the file cannot be read.
    pub fn share_lock(&self) -> sys::Result<OwnedFd> {
        try_lock(self.file.as_fd(), LockPart::Whole, LockMode::Shared)?;
        let second = self.dir.open_file(self.name, OpenMode::ReadOnly, 0)?;
        if dir::fstat(second.as_fd())?.id != self.stat.id {
            return Err(Errno::NOENT);
        }
        try_lock(second.as_fd(), LockPart::Whole, LockMode::Shared)?;
        // If the server exits at once, the cleanup helper may still have the first descriptor open, and would keep its
        // lock.
        lock::unlock(self.file.as_fd())?;
        Ok(second)
    }

    /// Removes the file while the lock is held, if the path still leads to it.
    pub fn remove_file(&self) {
        if is_at(&self.dir, self.name, &self.stat) {
            let _ = self.dir.unlink(self.name);
        }
    }

    /// The path as the user has given it, for a message.
    pub fn path(&self) -> MessageArg<'static> {
        MessageArg::Name(self.path.to_bytes())
    }

    /// Makes the error for a failed system call on the file.
    pub fn error(&self, why: Errno) -> Error {
        os_error_of(Problem::Pidfile, self.path.to_bytes(), why)
    }
}

/// True if two paths consist of the same directory and the same name.
pub fn is_same_path(one: StaticCStr, other: StaticCStr) -> bool {
    let ((dir, name), (other_dir, other_name)) = (split_path(one), split_path(other));
    let place = |dir: &CStr| dir::stat_path(dir).map(|about| about.id).ok();
    name == other_name && place(dir).is_some_and(|place_of_one| place(other_dir) == Some(place_of_one))
}

/// The mode of a pidfile: only its owner may read and write it. A process that may read the file could take a read
/// lock, and so prevent the server from starting.
const MODE: u32 = 0o600;

/// Why a pidfile could not be locked.
enum LockError {
    /// The file does not exist, or other processes remove it again and again.
    FileMissing,
    /// The file cannot be a pidfile, for this reason.
    Unsuitable(Reason),
    /// Any other failure, with its complete error.
    Other(Error),
}

/// The directory and the name of a pidfile, and its path as the user has given it.
struct PidfilePlace<'a> {
    dir: &'a Dir,
    /// True if other users may create and remove names in the directory.
    is_dir_shared: bool,
    name: StaticCStr,
    path: StaticCStr,
}

/// Opens and locks the pidfile. With [`OpenPurpose::Check`], only verifies that this would succeed, and returns None.
///
/// The lock has two parts (`LockPart`). The upper part is locked first, which excludes every other start with this
/// file. Then the pid of an earlier start is deleted, and only then the whole file is locked, with its lower part:
/// without /proc, a control command trusts the pid in a file whose lower part is locked, and another process may have
/// the old pid by now.
#[inline(never)]
fn lock_in_dir(
    place: &PidfilePlace<'_>,
    purpose: OpenPurpose,
) -> core::result::Result<Option<(OwnedFd, FileStat)>, LockError> {
    let PidfilePlace { dir, is_dir_shared, name, path } = *place;
    for _ in 0..OPEN_ATTEMPTS {
        let (file, made) = match try_open_or_create(dir, name, purpose) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(Errno::NOENT) if purpose == OpenPurpose::Check => return Err(LockError::FileMissing),
            Err(Errno::LOOP) => return Err(LockError::Unsuitable(Reason::IsSymlink)),
            Err(why) => return Err(LockError::Other(os_error_of(Problem::Pidfile, path.to_bytes(), why))),
        };
        let fail = |problem, why| {
            if made {
                let _ = dir.unlink(name);
            }
            Err(LockError::Other(os_error_of(problem, path.to_bytes(), why)))
        };
        let about = match dir::fstat(file.as_fd()) {
            Ok(about) => about,
            Err(why) => return fail(Problem::Pidfile, why),
        };
        if let Some(fault) = untrusted_reason(&about).or(if is_dir_shared { unsuitable_contents(&file) } else { None })
        {
            return Err(LockError::Unsuitable(fault));
        }
        let locked = match purpose {
            OpenPurpose::Acquire => try_lock(file.as_fd(), LockPart::AfterFirstMebibyte, LockMode::Exclusive),
            OpenPurpose::Check => match lock::lock_of_others(file.as_fd(), LockPart::Whole) {
                Ok(Some(_)) => Err(Errno::AGAIN),
                result => result.map(drop),
            },
        };
        match locked {
            Ok(()) if purpose == OpenPurpose::Check => return Ok(None),
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => {
                return Err(LockError::Other(pidfile_lock_holder::already_running_error(path, file.as_fd(), &about)));
            }
            // Linux before 3.15 has no open file description locks, and a process lock of fcntl(2) is not inherited
            // over fork(2).
            Err(why @ Errno::INVAL) => return fail(Problem::LockNeedsLinux, why),
            Err(why) => return fail(Problem::LockPidfile, why),
        }
        // Between open and lock, the previous owner of the lock may have removed the file.
        if is_at(dir, name, &about) {
            if about.mode != MODE {
                let _ = dir::fchmod(file.as_fd(), MODE);
            }
            let locked = dir::ftruncate(file.as_fd(), 0);
            return match locked.and_then(|()| try_lock(file.as_fd(), LockPart::Whole, LockMode::Exclusive)) {
                Ok(()) => Ok(Some((file, about))),
                Err(why) => fail(Problem::LockPidfile, why),
            };
        }
    }
    Err(LockError::FileMissing)
}

/// Opens the file, or creates it if it is to be locked. Also returns true if it was created. None if another process
/// created the file after it had been found missing.
fn try_open_or_create(dir: &Dir, name: &CStr, purpose: OpenPurpose) -> sys::Result<Option<(OwnedFd, bool)>> {
    match dir.open_file(name, OpenMode::ReadWrite, 0) {
        Ok(file) => return Ok(Some((file, false))),
        Err(Errno::NOENT) if purpose == OpenPurpose::Acquire => {}
        Err(why) => return Err(why),
    }
    match dir.open_file(name, OpenMode::NewReadWrite, MODE) {
        Ok(file) => Ok(Some((file, true))),
        Err(Errno::EXIST) => Ok(None),
        Err(why) => Err(why),
    }
}

/// The reason why vsrun does not trust a file with these attributes; None if it does.
fn untrusted_reason(about: &FileStat) -> Option<Reason> {
    let owner = credentials::effective_uid();
    if !about.regular {
        Some(Reason::IsNotRegular)
    } else if about.links > 1 {
        Some(Reason::HasLinks)
    } else if about.owner != 0 && about.owner != owner {
        Some(Reason::OfAnotherUser)
    } else {
        None
    }
}

/// The reason why a file cannot be a pidfile, from its contents. In a directory that others may write, the name may be
/// a hard link to any file of root, and a check of the link count does not exclude that. So vsrun does not write to a
/// file that contains anything but a pid.
fn unsuitable_contents(file: &OwnedFd) -> Option<Reason> {
    let mut buffer = [0; 32];
    let count = dir::pread_start(file.as_fd(), &mut buffer).unwrap_or(buffer.len());
    let text = buffer.get(..count).unwrap_or_default();
    let number = text.strip_suffix(b"\n").unwrap_or(text);
    let is_number = count < buffer.len() && number.iter().all(u8::is_ascii_digit);
    if is_number { None } else { Some(Reason::NoPidfile) }
}

/// True if this name in the directory still leads to the file with these attributes.
pub fn is_at(dir: &Dir, name: &CStr, about: &FileStat) -> bool {
    dir.lstat(name).is_ok_and(|there| there.id == about.id)
}

/// Splits a path into its directory and the name in it.
pub fn split_path(path: StaticCStr) -> (StaticCStr, StaticCStr) {
    let bytes = path.to_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        None => (c".", path),
        Some(slash) => {
            let (dir, name) = bytes.split_at(slash);
            let dir = if dir.is_empty() { b"/" } else { dir };
            (leak_cstr(dir.to_vec()), leak_cstr(name.get(1..).unwrap_or_default().to_vec()))
        }
    }
}
