//! The controlling terminal: drops it, or takes its foreground.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::getpid;

use super::fd::standard;
use super::poll::without_hangup;
use super::{Errno, Result, cvt, ensure};

/// Whether this process's group has the foreground of the terminal on descriptor 0. None: descriptor 0 is not the
/// controlling terminal.
pub fn has_foreground() -> Option<bool> {
    let mut group = -1;
    // SAFETY: the kernel writes one number. It is 0 for a group of an outer pid namespace; getpgrp(2) returns 0 then,
    // too.
    cvt(unsafe { libc::ioctl(0, libc::TIOCGPGRP, &raw mut group) }).ok()?;
    // SAFETY: asks for a number.
    Some(group == unsafe { libc::getpgrp() })
}

/// Creates a process group of our own.
///
/// # Errors
/// Those of setpgid(2).
pub fn lead_group() -> Result<()> {
    rustix::process::setpgid(None, None)
}

/// Reopens a terminal on this standard descriptor for writing only. Returns false if it stays readable because it
/// cannot be reopened.
pub fn write_only(number: RawFd) -> bool {
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
        // In a root directory without procfs the path may lead to any file.
        ensure(rustix::termios::isatty(&new) && device(new.as_fd())? == device(old)?)?;
        rustix::fs::fcntl_setfl(&new, rustix::fs::fcntl_getfl(old)? & (OFlags::APPEND | OFlags::NONBLOCK))?;
        super::fd::dup_onto(new.as_fd(), number)
    };
    reopen().is_ok() && !is_readable()
}

/// Opens a terminal again, for writing that never blocks; the shared open file description does not change. None: it is
/// not a terminal, or it cannot be opened, because its file belongs to another user and it is not the controlling
/// terminal.
pub fn reopen(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    /// Every user can open the controlling terminal as /dev/tty. Without /proc, the console is found under its own
    /// name.
    const NAMES: &[&CStr] = &[c"/proc/self/fd/2", c"/dev/tty", c"/dev/console"];
    let device = device(fd)?;
    NAMES.iter().find_map(|path| {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = open(*path, flags, Mode::empty()).ok()?;
        // The name may belong to another terminal by now.
        (self::device(opened.as_fd()) == Some(device)).then_some(opened)
    })
}

/// The device number of a terminal. stat(2) of /dev/tty and /dev/console would show their own numbers instead.
fn device(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut number = 0u32;
    // SAFETY: the request writes one unsigned int.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV as _, &raw mut number) }).ok()?;
    Some(number)
}

/// Creates a process group of our own, in the foreground of the terminal on descriptor 0. SIGTTOU must be blocked.
///
/// # Errors
/// Those of setpgid(2) and tcsetpgrp(3).
pub fn take_foreground() -> Result<()> {
    rustix::process::setpgid(None, None)?;
    rustix::termios::tcsetpgrp(standard(0), getpid())
}

/// Makes our process group the terminal's foreground again. SIGTTOU must be blocked.
pub fn reclaim_foreground() {
    // SAFETY: only returns a number, which is 0 if the group is another pid namespace's.
    let group = unsafe { libc::getpgrp() };
    // SAFETY: plain numbers; the kernel refuses a group of another session.
    unsafe { libc::tcsetpgrp(0, group) };
}

/// Drops the controlling terminal on descriptor 0, so that another session can have it.
pub fn release() {
    // SAFETY: the request has no argument, and fails if descriptor 0 is not the controlling terminal.
    without_hangup(|| unsafe { libc::ioctl(0, libc::TIOCNOTTY) });
}

/// Makes the terminal on descriptor 0, if it is one and no other session has it, that of our own session, which has
/// none yet.
pub fn control() {
    // SAFETY: the argument 0 takes the terminal from no other session.
    unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
}

/// Drops the controlling terminal, if there is one.
///
/// If a session leader does that, the kernel sends SIGHUP to the terminal's foreground group, which may be its own.
///
/// # Errors
/// When there is one and it cannot be dropped.
#[inline(never)]
pub fn detach() -> Result<()> {
    // SAFETY: the request has no argument.
    let leave = |fd: RawFd| cvt(unsafe { libc::ioctl(fd, libc::TIOCNOTTY) });
    // A second TIOCNOTTY must fail; if not, the first was faked.
    let leave = |fd: RawFd| leave(fd).and_then(|_| ensure(leave(fd).is_err()));
    match open(c"/dev/tty", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        Ok(tty) => without_hangup(|| leave(tty.as_raw_fd())),
        // There is no controlling terminal.
        Err(Errno::NXIO) => Ok(()),
        // There is no /dev, or no right to open it: only a standard descriptor can refer to the terminal.
        Err(_) => {
            without_hangup(|| (0..3).any(|fd| leave(fd).is_ok()));
            Ok(())
        }
    }
}
