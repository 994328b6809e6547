//! The room that asks the kernel. The only one with `unsafe`, the only one that names `rustix` or `libc`.
//!
//! It knows nothing of vsrun, and speaks std's words: `Errno`, `OwnedFd`, `CStr`, numbers. rustix's safe calls
//! come first; libc is for what rustix does not offer: fork, exec, signal masks, signalfd and OFD locks.

#![allow(unsafe_code)]

use core::ffi::c_int;

pub mod access;
pub mod limits;
pub mod cloexec_probe;
pub mod caps;
pub mod cgroup;
pub mod clone;
pub mod clock;
pub mod close;
pub mod file_contents;
pub mod counters;
pub mod datagram;
pub mod dir;
pub mod entry;
pub mod errno;
pub mod fd;
pub mod heap;
pub mod credentials;
pub mod keyring;
pub mod landlock;
mod listing;
pub mod lock;
pub mod mount;
pub mod pidfd;
pub mod pipe;
pub mod power;
pub mod process;
pub mod scratch;
pub mod sender;
pub mod shared;
pub mod socket;
pub mod terminal;
pub mod poll;
pub mod walk;

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
