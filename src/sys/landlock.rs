//! The three system calls of Landlock, for which C libraries have no functions.

use core::ffi::{CStr, c_int};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use super::{Errno, Result, cvt_long, dir, ensure};

/// The rights that a rule for a file, and not a directory, may name: execute, write, read, truncate, and the ioctls of
/// devices. The kernel refuses a rule for a file that names others.
const NON_DIRECTORY_RIGHTS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15;

/// Returns the version of the kernel's Landlock interface.
///
/// # Errors
/// ENOSYS if the kernel has no Landlock; EOPNOTSUPP if it was not enabled at boot; EPERM if a seccomp filter refuses
/// the call.
pub fn abi() -> Result<u32> {
    const QUERY_VERSION: c_int = 1;
    let nothing = core::ptr::null::<u64>();
    // SAFETY: with this flag the kernel reads no structure.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, QUERY_VERSION) };
    cvt_long(version).map(|version| u32::try_from(version).unwrap_or(0))
}

/// Creates a rule set that denies these rights to files, these directions of TCP and these scopes, except where a rule
/// allows them. Each is a set of the kernel's bits.
///
/// # Errors
/// The errors of landlock_create_ruleset(2).
pub fn ruleset(files: u64, tcp: u64, scope: u64) -> Result<OwnedFd> {
    let attributes = [files, tcp, scope];
    // An older kernel accepts a longer structure if the fields that it does not know are zero.
    let size = size_of_val(&attributes);
    // SAFETY: the kernel reads that many bytes.
    let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), size, 0) };
    let fd = c_int::try_from(cvt_long(fd)?).unwrap_or(-1);
    // The descriptors 0 to 2 are open, so a new one is higher, unless the call was skipped.
    ensure(fd > 2)?;
    // SAFETY: it is new, and owned by nothing else. The kernel makes it close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Allows rights to a file, or to a directory and everything below it. Symbolic links are followed.
///
/// # Errors
/// The errors of open(2) and landlock_add_rule(2).
pub fn allow_path(ruleset: BorrowedFd<'_>, path: &CStr, rights: u64) -> Result<()> {
    /// The kernel's `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct PathBeneathAttr {
        rights: u64,
        parent_fd: c_int,
    }
    const RULE_PATH_BENEATH: c_int = 1;
    let file = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let directory = dir::fstat(file.as_fd())?.directory;
    let rights = if directory { rights } else { rights & NON_DIRECTORY_RIGHTS };
    if rights == 0 {
        // All given rights are rights to directories, and the path is that of a file. The kernel refuses a rule without
        // rights.
        return Ok(());
    }
    let attributes = PathBeneathAttr { rights, parent_fd: file.as_raw_fd() };
    // SAFETY: the kernel reads this structure.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, &raw const attributes, 0)
    };
    cvt_long(result).map(drop)
}

/// Allows a process to bind or to connect to a TCP port, as the bits `directions` say.
///
/// # Errors
/// The errors of landlock_add_rule(2).
pub fn allow_port(ruleset: BorrowedFd<'_>, port: u16, directions: u64) -> Result<()> {
    const RULE_NET_PORT: c_int = 2;
    let attributes = [directions, u64::from(port)];
    // SAFETY: the kernel reads these two words.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_NET_PORT, attributes.as_ptr(), 0)
    };
    cvt_long(result).map(drop)
}

/// Confines this process and all processes that it will start, permanently. no_new_privs must be set.
///
/// # Errors
/// The errors of landlock_restrict_self(2); EPERM when the call was skipped and reported success.
pub fn restrict(ruleset: BorrowedFd<'_>) -> Result<()> {
    let call = |flags: u32| {
        // SAFETY: takes plain numbers.
        cvt_long(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) })
    };
    call(0)?;
    // No call reports how a process is confined. But no kernel accepts all flags: if landlock_restrict_self(2) with all
    // of them succeeds, it was skipped.
    ensure(call(u32::MAX) == Err(Errno::INVAL))
}
