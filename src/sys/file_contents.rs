//! Reads whole files into memory that is released after use, and the targets of symbolic links.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::Result;
use super::fd::read_full;

/// The size up to which a file is read into a buffer of the heap, not into a mapping of its own, in bytes. Pages of the
/// buffer that are not touched cost nothing.
const BUFFER_SIZE: usize = 8192;

/// The contents of a file. Dropping it releases the memory of a large file.
#[derive(Default)]
pub struct FileContents {
    small: Vec<u8>,
    large: Option<(*mut u8, usize)>,
    length: usize,
}

impl core::ops::Deref for FileContents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.large {
            // SAFETY: the mapping is ours and at least that long, and nothing writes to it any more.
            Some((start, _)) => unsafe { core::slice::from_raw_parts(start, self.length) },
            None => self.small.get(..self.length).unwrap_or_default(),
        }
    }
}

impl Drop for FileContents {
    fn drop(&mut self) {
        if let Some((start, size)) = self.large {
            // SAFETY: the mapping is ours, and no borrow of it is left.
            let _ = unsafe { munmap(start.cast(), size) };
        }
    }
}

impl FileContents {
    /// Reads a whole file.
    ///
    /// # Errors
    /// The errors of open(2), read(2) and mmap(2); EFBIG for a file of 32 MiB or more.
    pub fn read(path: &CStr) -> Result<Self> {
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
        let mut contents = Self::default();
        contents.refill(file.as_fd(), 0)?;
        Ok(contents)
    }

    /// Reads an open file and replaces the contents. `size` is the size of the file, or 0 if it is unknown; knowing it
    /// saves a system call for a small file.
    ///
    /// # Errors
    /// The errors of read(2) and mmap(2); EFBIG for a file of more than 32 MiB, or of just 32 MiB if that is not known.
    pub fn refill(&mut self, file: BorrowedFd<'_>, size: u64) -> Result<()> {
        let known = usize::try_from(size).unwrap_or(0);
        let room = if known > 0 { known.min(BUFFER_SIZE) } else { BUFFER_SIZE };
        if self.small.is_empty() {
            *self = Self { small: vec![0; BUFFER_SIZE], ..Self::default() };
        }
        self.length = read_full(file, self.small.get_mut(..room).unwrap_or_default())?;
        while self.length == self.capacity() && self.length != known {
            self.grow()?;
            let (start, size) = self.large.unwrap_or((core::ptr::null_mut(), 0));
            // SAFETY: the mapping is ours, that long, zeroed by the kernel and not borrowed elsewhere.
            let room = unsafe { core::slice::from_raw_parts_mut(start, size) };
            self.length += read_full(file, room.get_mut(self.length..).unwrap_or_default())?;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.large.map_or(self.small.len(), |(_, size)| size)
    }

    /// Moves the contents into a mapping of eight times the size.
    fn grow(&mut self) -> Result<()> {
        /// The limit of the mapping's size, in bytes. The first mapping has 64 KiB, and each next one is eight times
        /// as large: the largest within this limit has 32 MiB. No list of users and no file of arguments is longer,
        /// but a device may be endless.
        const MAX_MAPPING_SIZE: usize = 64 << 20;
        let size = self.capacity() * 8;
        if size > MAX_MAPPING_SIZE {
            return Err(Errno::FBIG);
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe { mmap_anonymous(core::ptr::null_mut(), size, access, MapFlags::PRIVATE) }?.cast::<u8>();
        // SAFETY: the new mapping is longer, and another one.
        unsafe { core::ptr::copy_nonoverlapping(self.as_ptr(), start, self.length) };
        let length = self.length;
        *self = Self { small: Vec::new(), large: Some((start, size)), length };
        Ok(())
    }
}

/// Opens a file in a directory for reading, without ever blocking. Follows a symbolic link only if it stays within the
/// directory; before Linux 5.6, never.
///
/// # Errors
/// The errors of open(2); EXDEV or ELOOP for a symbolic link.
pub fn open_beneath(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat, openat2};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match openat2(dir, name, flags, Mode::empty(), ResolveFlags::BENEATH) {
        Err(Errno::NOSYS | Errno::PERM) => openat(dir, name, flags | OFlags::NOFOLLOW, Mode::empty()),
        result => result,
    }
}

/// Reads the target of a symbolic link in a directory, cut off at the size of the buffer. Returns its length.
///
/// # Errors
/// The errors of readlink(2).
pub fn read_link(dir: BorrowedFd<'_>, name: &CStr, buffer: &mut [u8]) -> Result<usize> {
    rustix::fs::readlinkat_raw(dir, name, buffer)
}

/// True if an open file is on a procfs. On any other file system, users could have written the contents.
pub fn is_procfs(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|about| about.f_type == rustix::fs::PROC_SUPER_MAGIC)
}
