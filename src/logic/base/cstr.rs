//! Words: of a command line, an environment, a path. What the kernel gave stays where it is.

use alloc::vec::Vec;
use core::ffi::CStr;

/// A C string that lives as long as the process: one of the caller's, or one that was made here and is never freed,
/// since a launcher becomes another program and a manager makes none.
pub type StaticCStr = &'static CStr;

/// A word of these bytes; from the first NUL on they are cut off, since nothing that reads them would see more.
pub fn leak_cstr(mut bytes: Vec<u8>) -> StaticCStr {
    bytes.push(0);
    CStr::from_bytes_until_nul(bytes.leak()).unwrap_or_default()
}
