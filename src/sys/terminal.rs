//! The controlling terminal: drops it, takes its foreground, and reopens it.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::getpid;

use super::fd::standard;
use super::poll::with_sighup_ignored;
use super::{Errno, Result, cvt, ensure};

/// True if this process's group is the foreground group of the terminal on descriptor 0. None if descriptor 0 is not
/// the controlling terminal.
pub fn has_terminal_foreground() -> Option<bool> {
    let mut group = -1;
    // SAFETY: the kernel writes one number. It is 0 for a group of an outer pid namespace; getpgrp(2) returns 0 then,
    // too.
    cvt(unsafe { libc::ioctl(0, libc::TIOCGPGRP, &raw mut group) }).ok()?;
    // SAFETY: asks for a number.
    Some(group == unsafe { libc::getpgrp() })
}

/// Makes this process the leader of a new process group.
///
/// # Errors
/// The errors of setpgid(2).
pub fn new_process_group() -> Result<()> {
    rustix::process::setpgid(None, None)
}

/// Reopens the terminal on a standard descriptor for writing only, if it is open for reading too. Returns false if the
/// descriptor stays readable because the terminal cannot be reopened; true also if there was nothing to do.
pub fn ensure_terminal_write_only(number: RawFd) -> bool {
    let old = standard(number);
    let is_readable = || rustix::fs::fcntl_getfl(old).is_ok_and(|flags| (flags & OFlags::ACCMODE) != OFlags::WRONLY);
    if !rustix::termios::isatty(old) || !is_readable() {
        return true;
    }
    let mut path = *b"/proc/self/fd/0\0";
    let [.., digit, _] = &mut path;
    *digit += u8::try_from(number).unwrap_or(0);
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|about| about.st_rdev);
    let reopen = || {
        let path = CStr::from_bytes_with_nul(&path).map_err(|_| Errno::INVAL)?;
        let new = open(path, flags, Mode::empty())?;
        // In a root directory without procfs, whose files another user has created, /proc/self/fd may contain any file.
        ensure(rustix::termios::isatty(&new) && device(new.as_fd())? == device(old)?)?;
        rustix::fs::fcntl_setfl(&new, rustix::fs::fcntl_getfl(old)? & (OFlags::APPEND | OFlags::NONBLOCK))?;
        super::fd::dup_onto(new.as_fd(), number)
    };
    reopen().is_ok() && !is_readable()
}

/// Opens a terminal again, for writing that never blocks; the flags of `fd`, which other processes share, do not
/// change. None if it is no terminal or cannot be opened, because its file belongs to another user and it is not the
/// controlling terminal.
pub fn reopen_nonblocking(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    /// The paths under which a terminal can be opened again. Every user can open the controlling terminal as /dev/tty.
    /// Without /proc, the console has its own path.
    const TERMINAL_PATHS: &[&CStr] = &[c"/proc/self/fd/2", c"/dev/tty", c"/dev/console"];
    let device = device_number(fd)?;
    TERMINAL_PATHS.iter().find_map(|path| {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = open(*path, flags, Mode::empty()).ok()?;
        // The path may lead to another terminal than that of `fd`.
        (self::device_number(opened.as_fd()) == Some(device)).then_some(opened)
    })
}

/// The device number of a terminal. stat(2) of /dev/tty and /dev/console would return the numbers of these two instead.
fn device_number(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut number = 0u32;
    // SAFETY: the request writes one unsigned int.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV as _, &raw mut number) }).ok()?;
    Some(number)
}

/// Makes this process the leader of a new process group, which becomes the foreground group of the terminal on
/// descriptor 0. SIGTTOU must be blocked.
///
/// # Errors
/// The errors of setpgid(2) and tcsetpgrp(3).
pub fn new_foreground_group() -> Result<()> {
    rustix::process::setpgid(None, None)?;
    rustix::termios::tcsetpgrp(standard(0), getpid())
}

/// Makes our process group the foreground group of the terminal on descriptor 0 again. SIGTTOU must be blocked.
pub fn reclaim_foreground() {
    // SAFETY: only returns a number, which is 0 if the group is another pid namespace's.
    let group = unsafe { libc::getpgrp() };
    // SAFETY: plain numbers; the kernel refuses a group of another session.
    unsafe { libc::tcsetpgrp(0, group) };
}

/// Drops the controlling terminal on descriptor 0, so that another session can have it.
pub fn drop_stdin_terminal() {
    // SAFETY: the request has no argument, and fails if descriptor 0 is not the controlling terminal.
    with_sighup_ignored(|| unsafe { libc::ioctl(0, libc::TIOCNOTTY) });
}

/// Makes the terminal on descriptor 0 the controlling terminal of our session, which has none yet. Does nothing if
/// descriptor 0 is no terminal, or another session has it.
pub fn make_stdin_controlling() {
    // SAFETY: the argument 0 takes the terminal from no other session.
    unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
}

/// Drops the controlling terminal, if there is one. If `/dev/tty` is missing or may not be opened, drops only a
/// terminal on a standard descriptor.
///
/// If a session leader does that, the kernel sends SIGHUP to the terminal's foreground group, which may be its own. So
/// SIGHUP is ignored during the call.
///
/// # Errors
/// The errors of ioctl(2) if the terminal cannot be dropped; EPERM when the call was skipped.
#[inline(never)]
pub fn drop_controlling_terminal() -> Result<()> {
    // SAFETY: the request has no argument.
    let leave = |fd: RawFd| cvt(unsafe { libc::ioctl(fd, libc::TIOCNOTTY) });
    // A second TIOCNOTTY must fail. If it succeeds, the first one was skipped.
    let leave = |fd: RawFd| leave(fd).and_then(|_| ensure(leave(fd).is_err()));
    match open(c"/dev/tty", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        Ok(tty) => with_sighup_ignored(|| leave(tty.as_raw_fd())),
        // ENXIO from /dev/tty means that there is no controlling terminal.
        Err(Errno::NXIO) => Ok(()),
        // /dev/tty is missing, or we have no right to open it: only a standard descriptor can refer to the terminal.
        Err(_) => {
            with_sighup_ignored(|| (0..3).any(|fd| leave(fd).is_ok()));
            Ok(())
        }
    }
}
