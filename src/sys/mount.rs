//! Mounts file systems, and makes them read-only before the machine shuts down.

use core::ffi::CStr;

use super::{Result, cvt, dir};

/// The mount flags of a file system; nosuid is always set.
#[derive(Clone, Copy)]
pub struct Flags {
    /// True if programs on the file system cannot be executed.
    pub noexec: bool,
    /// True if device files on the file system can be opened.
    pub allow_devices: bool,
}

/// Mounts a file system of the type `kind` on `target`, with its own options in `data`.
///
/// # Errors
/// The errors of mount(2).
pub fn mount(kind: &CStr, target: &CStr, flags: Flags, data: &CStr) -> Result<()> {
    let noexec = if flags.noexec { libc::MS_NOEXEC } else { 0 };
    let nodev = if flags.allow_devices { 0 } else { libc::MS_NODEV };
    let flags = libc::MS_NOSUID | noexec | nodev;
    // SAFETY: all are C strings that live through the call.
    let result = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) };
    cvt(result).map(drop)
}

/// Makes a mounted file system read-only, which writes everything to the disk and marks the file system as clean.
///
/// # Errors
/// EBUSY while a file on it is open for writing.
pub fn make_read_only(target: &CStr) -> Result<()> {
    let nothing = core::ptr::null();
    // SAFETY: a change of flags reads the target only.
    let result =
        unsafe { libc::mount(nothing, target.as_ptr(), nothing, libc::MS_REMOUNT | libc::MS_RDONLY, nothing.cast()) };
    cvt(result).map(drop)
}

/// True if a file system is mounted on a directory: it is on another device than its parent.
pub fn is_mounted(target: &CStr) -> bool {
    let device = |path: &CStr| dir::stat_path(path).map(|about| about.id.0);
    let parent = dir::Dir::open_for_lookup(target).and_then(|inner| inner.stat_target(c".."));
    matches!((device(target), parent), (Ok(own), Ok(parent)) if own != parent.id.0)
}

/// Creates a symbolic link at `path` to `to`.
///
/// # Errors
/// The errors of symlink(2).
pub fn symlink(to: &CStr, path: &CStr) -> Result<()> {
    rustix::fs::symlink(to, path)
}
