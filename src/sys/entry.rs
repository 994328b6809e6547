//! What the kernel passes to the program: arguments, environment, and whether the program has more rights than its
//! caller.

use core::ffi::{CStr, c_char, c_int};

/// Collects the kernel's argv. `std::env::args` is empty on musl without Rust's start-up code.
///
/// # Safety
/// `argv` must be what `main` was given: `argc` valid C strings that live as long as the process.
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<&'static CStr> {
    // SAFETY: guaranteed by the caller.
    unsafe { read_string_array(argv, usize::try_from(argc).unwrap_or(0)) }
}

unsafe extern "C" {
    /// The environment that the C library holds, see environ(7).
    static environ: *const *const c_char;
}

/// The environment with which the process was started. vsrun never changes it.
pub fn environment() -> Vec<&'static CStr> {
    // SAFETY: the C start-up code has set it, and nothing in this program writes to it.
    let words = unsafe { environ };
    // SAFETY: environ(7) is a list of C strings that ends with a null pointer, and lives as long as the process.
    unsafe { read_string_array(words, usize::MAX) }
}

/// Collects at most `most` C strings of a list that ends with a null pointer.
unsafe fn read_string_array(mut list: *const *const c_char, most: usize) -> Vec<&'static CStr> {
    let mut words = Vec::new();
    while !list.is_null() && words.len() < most {
        // SAFETY: the list has not ended yet, so this element can be read.
        let word = unsafe { *list };
        if word.is_null() {
            break;
        }
        // SAFETY: each element before the null is a C string that lives as long as the process.
        words.push(unsafe { CStr::from_ptr(word) });
        // SAFETY: this element was not the last, the null pointer is.
        list = unsafe { list.add(1) };
    }
    words
}

/// True if the program was started with more rights than its caller has: by set-user-id, set-group-id or file
/// capabilities. AT_SECURE of getauxval(3) alone does not show that, because it is also set when a security module
/// (SELinux) has changed the security domain.
pub fn gained_rights_at_exec() -> bool {
    // SAFETY: getauxval only reads the auxiliary vector.
    let about = |what| unsafe { libc::getauxval(what) };
    let ids_differ = about(libc::AT_UID) != about(libc::AT_EUID) || about(libc::AT_GID) != about(libc::AT_EGID);
    about(libc::AT_SECURE) != 0 && (ids_differ || super::caps::has_file_capabilities(about(libc::AT_EUID)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::null;

    /// Kernels before 5.18 start a program even without any argument; the environment follows the empty argv
    /// (CVE-2021-4034).
    #[test]
    fn nothing_is_read_after_the_last_argument() {
        let memory = [c"vsrun".as_ptr(), c"-b".as_ptr(), null(), c"--help".as_ptr(), null()];
        for (argc, skipped, count) in [(0, 2, 0), (0, 0, 0), (2, 0, 2), (9, 0, 2), (1, 0, 1), (-1, 0, 0)] {
            let argv = memory[skipped..].as_ptr();
            // SAFETY: the list ends with a null pointer, and its strings are constants.
            let words = unsafe { arguments(argc, argv) };
            assert_eq!(words, [c"vsrun", c"-b"][..count], "{argc} from {skipped}");
        }
        // SAFETY: a null pointer is an empty list.
        assert!(unsafe { arguments(1, null()) }.is_empty());
    }
}
