//! The room that asks the kernel. The only one with `unsafe`, the only one that names `rustix` or `libc`.
//!
//! It knows nothing of vsrun, and speaks std's words: `Errno`, `OwnedFd`, `CStr`, numbers. rustix's safe calls
//! come first; libc is for what rustix does not offer: fork, exec, signal masks, signalfd and OFD locks.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_int};

pub mod access;
pub mod attributes;
pub mod canary;
pub mod caps;
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
pub mod pipe;
pub mod power;
pub mod process;
pub mod socket;
pub mod terminal;
pub mod wait;

pub use rustix::io::Errno;

/// What the kernel answers: a value, or the number of an error. (`std::io::Error` may own memory, so each one that is
/// dropped would cost a look.)
pub type Result<T> = core::result::Result<T, Errno>;

/// The result of a call that answers -1 and sets errno.
fn check(result: c_int) -> Result<c_int> {
    if result == -1 { Err(last()) } else { Ok(result) }
}

/// The same for a raw system call.
fn check_long(result: libc::c_long) -> Result<libc::c_long> {
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
fn verified(is: bool) -> Result<()> {
    if is { Ok(()) } else { Err(Errno::PERM) }
}

/// The system's words for an error.
pub fn words(error: Errno) -> &'static str {
    words_of(error.raw_os_error())
}

/// The system's words for the number of an error, and more than those where they tell only the one who knows.
pub fn words_of(number: i32) -> &'static str {
    match number {
        // Of fork, exec and setuid; what else may be tried again is not told to anybody.
        libc::EAGAIN => return "Resource temporarily unavailable (too many processes)",
        libc::ETXTBSY => return "Text file busy (somebody has it open to write)",
        _ => {}
    }
    // SAFETY: strerror answers a string for every number; vsrun has one thread, so nobody overwrites it meanwhile.
    let text = unsafe { libc::strerror(number) };
    if text.is_null() {
        return "unknown error";
    }
    // SAFETY: not null, and with the C locale, the only one that vsrun ever has, a constant.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("unknown error")
}
