//! C strings of command lines, environments and paths. Strings that the kernel has passed to vsrun are not copied.

use alloc::vec::Vec;
use core::ffi::CStr;

/// A C string that lives as long as the process: it comes from the kernel or from [`leak_cstr`]. Leaking these strings
/// is harmless: without a manager, vsrun is soon replaced by the server, and a running manager makes no new ones.
pub type StaticCStr = &'static CStr;

/// Makes a C string of these bytes. The string ends at the first NUL, because a reader of a C string sees nothing after
/// it.
pub fn leak_cstr(mut bytes: Vec<u8>) -> StaticCStr {
    bytes.push(0);
    CStr::from_bytes_until_nul(bytes.leak()).unwrap_or_default()
}
