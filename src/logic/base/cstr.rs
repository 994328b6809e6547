//! C strings of command lines, environments and paths. Those that the kernel has passed are not copied.

use alloc::vec::Vec;
use core::ffi::CStr;

/// A C string that lives as long as the process: one that the kernel has passed, or one that `leak_cstr` has made. It
/// is never freed, since a launcher becomes another program and a manager makes none.
pub type StaticCStr = &'static CStr;

/// Makes a C string of these bytes, cut off at the first NUL, because no reader of a C string would see more.
pub fn leak_cstr(mut bytes: Vec<u8>) -> StaticCStr {
    bytes.push(0);
    CStr::from_bytes_until_nul(bytes.leak()).unwrap_or_default()
}
