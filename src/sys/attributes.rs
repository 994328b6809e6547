//! Attributes of a process that a program inherits. Each is read back: what only says it was set is found out.

use rustix::fs::{Mode, OFlags, open};

use super::{Result, check_long, verified};

/// Sets the nice value.
///
/// # Errors
/// EACCES when that would be more urgent than is allowed.
pub fn set_nice(value: i32) -> Result<()> {
    rustix::process::setpriority_process(None, value)?;
    verified(rustix::process::getpriority_process(None)? == value)
}

/// Sets the limits of a resource, by the kernel's number.
///
/// # Errors
/// Those of prlimit(2).
pub fn set_limit(resource: u8, soft: u64, hard: u64) -> Result<()> {
    // decide knows the names in this order.
    const { assert!(libc::RLIMIT_NOFILE == 7 && libc::RLIMIT_AS == 9 && libc::RLIMIT_RTTIME == 15) }
    const { assert!(libc::RLIMIT_RSS == 5 && libc::RLIMIT_NPROC == 6 && libc::RLIMIT_MEMLOCK == 8) }
    let (new, mut found) = ([soft, hard], [!soft, !hard]);
    let nothing = core::ptr::null_mut::<u64>();
    let resource = libc::c_long::from(resource);
    // SAFETY: the kernel's `struct rlimit64` is these two numbers.
    check_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new.as_ptr(), nothing) })?;
    // SAFETY: the same.
    check_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, nothing, found.as_mut_ptr()) })?;
    verified(found == new)
}

/// Sets what is added to the process's score when memory is out, given in decimal.
///
/// # Errors
/// ENOENT without /proc; EACCES for less than it had, without the right to it.
pub fn set_oom_score(value: &[u8]) -> Result<()> {
    let file = open(c"/proc/self/oom_score_adj", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value)?;
    let mut found = [0; 8];
    let count = rustix::io::pread(&file, &mut found, 0)?;
    // A newline follows it.
    verified(count == value.len() + 1 && found.starts_with(value))
}
