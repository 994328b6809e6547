//! Files in a directory that is held open: opens, compares, renames and removes them.

use core::ffi::CStr;
use rustix::fs::RenameFlags;
use rustix::fs::linkat;
use rustix::fs::renameat_with;
use rustix::fs::unlinkat;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::{Errno, Result};

/// An open directory. It stays the same directory if its path changes.
pub struct Dir(pub OwnedFd);

/// The fields of stat(2) that vsrun uses.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FileStat {
    /// The device and inode, which identify the file.
    pub id: (u64, u64),
    /// True for a regular file.
    pub regular: bool,
    /// True for a directory.
    pub directory: bool,
    /// True for a socket.
    pub socket: bool,
    /// The number of hard links.
    pub links: u64,
    /// The user id of the owner.
    pub owner: u32,
    /// The permission bits.
    pub mode: u32,
    /// The length in bytes.
    pub size: u64,
    /// The time when the contents last changed, in seconds since 1970 (UTC).
    pub mtime: i64,
}

impl FileStat {
    fn new(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        #[allow(clippy::useless_conversion, reason = "the width of these fields is not the same on every machine")]
        Self {
            id: (stat.st_dev.into(), stat.st_ino.into()),
            regular: kind == FileType::RegularFile,
            directory: kind == FileType::Directory,
            socket: kind == FileType::Socket,
            links: stat.st_nlink.into(),
            owner: stat.st_uid,
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: stat.st_mtime.into(),
        }
    }
}

/// How a file is opened.
#[derive(Clone, Copy)]
pub enum OpenMode {
    /// For reading and writing; the file must exist.
    ReadWrite,
    /// For reading; the file must exist.
    ReadOnly,
    /// For reading and writing; the file is created and must not exist before.
    NewReadWrite,
    /// For writing at the end; the file is created and must not exist before.
    NewAppend,
    /// For writing at the end; the file must exist.
    Append,
}

impl Dir {
    /// Opens a directory, to find names in it and to list it.
    ///
    /// # Errors
    /// The errors of open(2).
    pub fn open(path: &CStr) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens a directory only for name lookup, which needs no right to read it.
    ///
    /// # Errors
    /// The errors of open(2).
    pub fn open_for_lookup(path: &CStr) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens a subdirectory, also through a symbolic link, to list it.
    ///
    /// # Errors
    /// The errors of open(2).
    pub fn open_dir(&self, name: &CStr) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens or creates a file. A new file gets the permissions `mode`, without those that the umask removes. Never
    /// follows a symbolic link, and never waits for the other end of a FIFO.
    ///
    /// # Errors
    /// The errors of open(2); ELOOP for a symbolic link.
    pub fn open_file(&self, name: &CStr, how: OpenMode, mode: u32) -> Result<OwnedFd> {
        let how = match how {
            OpenMode::ReadWrite => OFlags::RDWR | OFlags::NONBLOCK,
            OpenMode::ReadOnly => OFlags::RDONLY | OFlags::NONBLOCK,
            OpenMode::NewReadWrite => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            OpenMode::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK,
            OpenMode::NewAppend => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL,
        };
        let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))
    }

    /// Returns the attributes of the file with this name, without following a symbolic link.
    ///
    /// # Errors
    /// The errors of stat(2).
    pub fn lstat(&self, name: &CStr) -> Result<FileStat> {
        Ok(FileStat::new(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Returns the attributes of the file with this name, following symbolic links.
    ///
    /// # Errors
    /// The errors of stat(2).
    pub fn stat_target(&self, name: &CStr) -> Result<FileStat> {
        Ok(FileStat::new(&rustix::fs::statat(&self.0, name, AtFlags::empty())?))
    }

    /// Renames a file, but never replaces another file.
    ///
    /// # Errors
    /// EEXIST when the new name exists.
    pub fn rename_noreplace(&self, old: &CStr, new: &CStr) -> Result<()> {
        crate::sys::dir::move_noreplace(self.as_fd(), old, self, new)
    }

    /// Removes a name, and its file if it has no other name.
    ///
    /// # Errors
    /// The errors of unlink(2).
    pub fn unlink(&self, name: &CStr) -> Result<()> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty())
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Returns the attributes of an open file.
///
/// # Errors
/// The errors of fstat(2).
pub fn fstat(file: BorrowedFd<'_>) -> Result<FileStat> {
    Ok(FileStat::new(&rustix::fs::fstat(file)?))
}

/// A descriptor that means the working directory (AT_FDCWD), for functions that take a descriptor.
pub fn current_dir_fd() -> BorrowedFd<'static> {
    CWD
}

/// Returns the attributes of a path, following symbolic links.
///
/// # Errors
/// The errors of stat(2).
pub fn stat_path(path: &CStr) -> Result<FileStat> {
    Ok(FileStat::new(&rustix::fs::statat(CWD, path, AtFlags::empty())?))
}

/// Changes the owner and group of an open file.
///
/// # Errors
/// The errors of chown(2).
pub fn fchown(file: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
    use rustix::fs::{Gid, Uid};
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    // fchown(2) refuses a descriptor that was opened with O_PATH.
    rustix::fs::chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)
}

/// Sets the permissions of a file, whatever the umask.
///
/// # Errors
/// The errors of chmod(2).
pub fn fchmod(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
}

/// Overwrites a small file: first writes the bytes, then sets the length, so that a reader never sees the file empty.
///
/// # Errors
/// The errors of write(2); ENOSPC if fewer bytes were written.
pub fn replace_contents(file: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    if rustix::io::pwrite(file, bytes, 0)? < bytes.len() {
        return Err(Errno::NOSPC);
    }
    ftruncate(file, bytes.len())
}

/// Reserves disk space for the beginning of a file, without changing its length. Does nothing on a file system without
/// fallocate(2), where a later write may fail.
///
/// # Errors
/// ENOSPC when the disk is full.
pub fn fallocate(file: BorrowedFd<'_>, length: u64) -> Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, length) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        result => Ok(result?),
    }
}

/// Sets the length of a file.
///
/// # Errors
/// The errors of ftruncate(2).
pub fn ftruncate(file: BorrowedFd<'_>, length: usize) -> Result<()> {
    rustix::fs::ftruncate(file, u64::try_from(length).unwrap_or(0))
}

/// Reads the beginning of a file, without using the offset of its descriptor.
///
/// # Errors
/// The errors of read(2).
pub fn pread_start(file: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    rustix::io::pread(file, buffer, 0)
}

/// Sets the offset of a descriptor.
///
/// # Errors
/// The errors of lseek(2).
pub fn seek(file: BorrowedFd<'_>, place: u64) -> Result<()> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(place)).map(drop)
}

/// Opens a file for reading, following symbolic links.
///
/// # Errors
/// The errors of open(2).
pub fn open_readonly(path: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Moves a file into another directory, under a new name. Never replaces a file.
///
/// # Errors
/// EEXIST when the new name exists.
pub fn move_noreplace(from: BorrowedFd<'_>, old: &CStr, to: &Dir, new: &CStr) -> Result<()> {
    match renameat_with(from, old, &to.0, new, RenameFlags::NOREPLACE) {
        // renameat2(2) is missing before Linux 3.15, and RENAME_NOREPLACE on some file systems; a seccomp filter that
        // does not know the call refuses it with EPERM. link(2) never replaces a file either.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            linkat(from, old, &to.0, new, AtFlags::empty())?;
            unlinkat(from, old, AtFlags::empty())
        }
        result => Ok(result?),
    }
}
