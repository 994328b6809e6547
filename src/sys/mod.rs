//! The room that asks the kernel. The only one with `unsafe`, the only one that names `rustix` or `libc`.
//!
//! It knows nothing of vsrun, and speaks std's words: `io::Error`, `OwnedFd`, `CStr`, numbers. rustix's safe calls
//! come first; libc is for what rustix does not offer: fork, exec, signal masks, signalfd and OFD locks.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_int};
use std::io;

pub mod clock;
pub mod contents;
pub mod datagram;
pub mod dir;
pub mod entry;
pub mod fd;
pub mod heap;
pub mod identity;
pub mod lock;
pub mod pidfd;
pub mod process;
pub mod socket;
pub mod terminal;
pub mod wait;

/// The result of a call that answers -1 and sets errno.
fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for a raw system call.
fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The system's words for an error. Unlike `Display` of `io::Error` this allocates nothing.
pub fn words(error: &io::Error) -> &'static str {
    words_of(number(error))
}

/// The system's words for the number of an error.
pub fn words_of(number: i32) -> &'static str {
    // SAFETY: strerror answers a string for every number; vsrun has one thread, so nobody overwrites it meanwhile.
    let text = unsafe { libc::strerror(number) };
    if text.is_null() {
        return "unknown error";
    }
    // SAFETY: not null, and with the C locale, the only one that vsrun ever has, a constant.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("unknown error")
}

/// The number of an error, to be sent through a pipe; 0 where it has none.
pub fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// Kinds of errors that the callers tell apart.
pub mod errno {
    pub use libc::{
        EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EEXIST, EINTR, EINVAL, EISDIR, ELOOP,
        ENOENT, ENOMEM, ENOTDIR, ENOTTY, ENXIO, EPERM, ESRCH,
    };
}
