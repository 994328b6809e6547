//! The room that asks the kernel. The only one with `unsafe`, the only one that names `rustix` or `libc`.
//!
//! It knows nothing of vsrun, and speaks std's words: `Errno`, `OwnedFd`, `CStr`, numbers. rustix's safe calls
//! come first; libc is for what rustix does not offer: fork, exec, signal masks, signalfd and OFD locks.

#![allow(unsafe_code)]

use core::ffi::c_int;

pub(crate) mod access;
pub(crate) mod caps;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod cloexec_probe;
pub(crate) mod clone;
pub(crate) mod close;
pub(crate) mod counters;
pub(crate) mod credentials;
pub(crate) mod datagram;
pub(crate) mod dir;
pub mod entry;
pub(crate) mod errno;
pub(crate) mod exec;
pub mod fd;
pub(crate) mod file_contents;
pub mod heap;
pub(crate) mod keyring;
pub(crate) mod landlock;
pub(crate) mod limits;
mod listing;
pub(crate) mod lock;
pub(crate) mod mount;
pub(crate) mod pidfd;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod power;
pub(crate) mod process;
pub(crate) mod scratch;
pub(crate) mod sender;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod walk;

pub use rustix::io::Errno;

/// What the kernel answers: a value, or the number of an error. (`std::io::Error` may own memory, so each one that is
/// dropped would cost a look.)
pub type Result<T> = core::result::Result<T, Errno>;

/// The result of a call that answers -1 and sets errno.
fn cvt(result: c_int) -> Result<c_int> {
    if result == -1 { Err(last()) } else { Ok(result) }
}

/// The same for a raw system call.
fn cvt_long(result: libc::c_long) -> Result<libc::c_long> {
    if result == -1 { Err(last()) } else { Ok(result) }
}

/// What errno says.
fn last() -> Errno {
    // SAFETY: asks for the place of the thread's own errno.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: it is always there.
    Errno::from_raw_os_error(unsafe { *place })
}

/// What was read back is what was wanted, or a call has only said that it did something.
fn ensure(is: bool) -> Result<()> {
    if is { Ok(()) } else { Err(Errno::PERM) }
}

/// An error in words.
pub fn errno_text(error: Errno) -> errno::ErrnoText {
    errno::ErrnoText(error)
}
