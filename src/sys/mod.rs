//! The layer that calls the kernel. No other layer has `unsafe` code or names `rustix` or `libc`.
//!
//! It knows nothing of vsrun, and its interface uses plain types: `Errno`, `OwnedFd`, `CStr`, numbers. It prefers
//! rustix's safe calls; libc is for what rustix does not offer, such as fork, exec, signal masks, signalfd and OFD
//! locks.

#![allow(unsafe_code)]

use core::ffi::c_int;

pub(crate) mod access;
pub(crate) mod caps;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod clone;
pub(crate) mod close;
pub(crate) mod close_check;
pub(crate) mod credentials;
pub(crate) mod datagram;
pub(crate) mod dir;
mod dir_listing;
pub mod entry;
pub(crate) mod exec;
pub mod fd;
pub(crate) mod file_contents;
pub mod heap;
pub(crate) mod keyring;
pub(crate) mod landlock;
pub(crate) mod limits;
pub(crate) mod lock;
pub(crate) mod mapped_table;
pub(crate) mod mount;
pub(crate) mod path_walk;
pub(crate) mod pidfd;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod power;
pub(crate) mod process;
pub(crate) mod shared_counters;
pub(crate) mod shared_mapping;
pub(crate) mod signal_as_user;
pub(crate) mod socket;
pub mod stdio;
pub(crate) mod terminal;

pub use rustix::io::Errno;

/// The result of a system call: a value, or an errno. `std::io::Error` may own memory, so that dropping one would take
/// code each time.
pub type Result<T> = core::result::Result<T, Errno>;

/// Converts the result of a C function, which on an error returns -1 and sets errno.
fn cvt(result: c_int) -> Result<c_int> {
    if result == -1 { Err(last_errno()) } else { Ok(result) }
}

/// Converts the result of syscall(2), which on an error returns -1 and sets errno.
fn cvt_long(result: libc::c_long) -> Result<libc::c_long> {
    if result == -1 { Err(last_errno()) } else { Ok(result) }
}

/// The value of errno.
fn last_errno() -> Errno {
    // SAFETY: returns the address of the thread's own errno.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address is always valid.
    Errno::from_raw_os_error(unsafe { *place })
}

/// Returns EPERM if a value that was read back is not the expected one: a call was skipped and reported success.
fn ensure(holds: bool) -> Result<()> {
    if holds { Ok(()) } else { Err(Errno::PERM) }
}
