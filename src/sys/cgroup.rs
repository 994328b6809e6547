//! Control groups of version 2: directories of the kernel, with files that are read and written as a whole.

use core::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags, fstatfs, mkdirat, openat, unlinkat};

use super::dir::Dir;
use super::{Errno, Result, fd};

/// True if a directory is a control group, which means that it is on a cgroup 2 file system.
pub fn is_group(dir: &Dir) -> bool {
    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
    #[allow(clippy::useless_conversion, reason = "the type of this field is not the same on every machine")]
    fstatfs(dir).is_ok_and(|about| u64::try_from(about.f_type) == Ok(CGROUP2_SUPER_MAGIC))
}

/// Creates a control group. Returns false if it existed before.
///
/// # Errors
/// The errors of mkdir(2) except EEXIST.
pub fn create_if_missing(parent: &Dir, name: &CStr) -> Result<bool> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(why) => Err(why),
    }
}

/// Removes a control group.
///
/// # Errors
/// EBUSY while processes or other groups are in it.
pub fn remove(parent: &Dir, name: &CStr) -> Result<()> {
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Writes a value to a file of a control group.
///
/// # Errors
/// ENOENT if the controller of that file is not enabled; the errors of the controller.
pub fn write(group: &Dir, file: &CStr, value: &[u8]) -> Result<()> {
    let file = openat(group, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    fd::write_all(file.as_fd(), value)
}

/// Reads a file of a control group, at most as many bytes as the buffer has room for.
///
/// # Errors
/// The errors of open(2) and read(2).
pub fn read(group: &Dir, file: &CStr, buffer: &mut [u8]) -> Result<usize> {
    let file = openat(group, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    fd::read_full(file.as_fd(), buffer)
}
