//! Attributes of a process that its program inherits: nice value, resource limits and out-of-memory score. Each is read
//! back, to detect a skipped call.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};

use super::{Errno, Result, cvt_long, ensure, path_walk};

/// Sets the nice value.
///
/// # Errors
/// EACCES when the value is lower than the process may set.
pub fn set_nice(value: i32) -> Result<()> {
    rustix::process::setpriority_process(None, value)?;
    ensure(rustix::process::getpriority_process(None)? == value)
}

/// Sets the soft and the hard limit of the resource with this number (RLIMIT_NOFILE and so on).
///
/// # Errors
/// The errors of prlimit(2).
pub fn set_limit(resource: u8, soft: u64, hard: u64) -> Result<()> {
    // The layer `logic` contains these numbers of the resources, which are not the same on every machine.
    const { assert!(libc::RLIMIT_NOFILE == 7 && libc::RLIMIT_AS == 9 && libc::RLIMIT_RTTIME == 15) }
    const { assert!(libc::RLIMIT_RSS == 5 && libc::RLIMIT_NPROC == 6 && libc::RLIMIT_MEMLOCK == 8) }
    let (new, mut found) = ([soft, hard], [!soft, !hard]);
    let nothing = core::ptr::null_mut::<u64>();
    let resource = libc::c_long::from(resource);
    // SAFETY: the kernel's `struct rlimit64` is two such numbers, and it is read from `new`.
    cvt_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new.as_ptr(), nothing) })?;
    // SAFETY: the kernel's `struct rlimit64` is two such numbers, and it is written to `found`.
    cvt_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, nothing, found.as_mut_ptr()) })?;
    ensure(found == new)
}

/// The hard limit of a resource, above which this process cannot go without a capability.
pub fn hard_limit(resource: u8) -> u64 {
    let (mut found, nothing) = ([0u64; 2], core::ptr::null::<u64>());
    // SAFETY: the kernel's `struct rlimit64` is these two numbers.
    let _ = unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::c_long::from(resource), nothing, found.as_mut_ptr()) };
    let [_, hard] = found;
    hard
}

/// Sets the adjustment of the process's out-of-memory score, given in decimal digits.
///
/// # Errors
/// ENOENT without /proc; ENODEV if another file system is mounted there; EACCES for a value that the process may not
/// set.
pub fn set_oom_score_adj(value: &[u8]) -> Result<()> {
    // In a root directory whose contents another user has created, /proc may be a plain directory, and oom_score_adj a
    // link to any file.
    let proc = path_walk::open_path_fd(None, c"/proc")?;
    if !path_walk::is_procfs(proc.as_fd())? {
        return Err(Errno::NODEV);
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(&proc, c"self/oom_score_adj", flags, Mode::empty())?;
    rustix::io::write(&file, value)?;
    let mut found = [0; 8];
    let count = rustix::io::pread(&file, &mut found, 0)?;
    // The kernel appends a newline to the value.
    ensure(count == value.len() + 1 && found.starts_with(value))
}
