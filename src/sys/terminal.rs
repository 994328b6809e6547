//! The controlling terminal: given up, or its foreground taken.

use core::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::getpid;

use super::fd::standard;
use super::poll::without_hangup;
use super::{Errno, Result, cvt, ensure};

/// Whether this process's group has the foreground of the terminal on descriptor 0. None: that terminal does not
/// control this process, or is none.
pub fn has_foreground() -> Option<bool> {
    let mut group = -1;
    // SAFETY: the kernel writes one number. It is 0 for a group of an outer pid namespace, as getpgrp(2) is then too.
    cvt(unsafe { libc::ioctl(0, libc::TIOCGPGRP, &raw mut group) }).ok()?;
    // SAFETY: asks for a number.
    Some(group == unsafe { libc::getpgrp() })
}

/// A process group of our own.
///
/// # Errors
/// Those of setpgid(2).
pub fn lead_group() -> Result<()> {
    rustix::process::setpgid(None, None)
}

/// Reopens a terminal on this standard descriptor for writing only. Returns whether none is left there that could be
/// read: false where it cannot be reopened, and stays as it is.
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
        // A root directory without procfs may have anything there.
        ensure(rustix::termios::isatty(&new) && device(new.as_fd())? == device(old)?)?;
        rustix::fs::fcntl_setfl(&new, rustix::fs::fcntl_getfl(old)? & (OFlags::APPEND | OFlags::NONBLOCK))?;
        super::fd::dup_onto(new.as_fd(), number)
    };
    reopen().is_ok() && !is_readable()
}

/// Opens a terminal once more, for writing that never blocks; the description that others share remains as it is. None:
/// it is no terminal, or it cannot be opened: its file belongs to another user and it is not the controlling terminal.
pub fn reopen(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    /// Without /proc, a console is found under its own name. A controlling terminal can be opened by every user.
    const NAMES: &[&CStr] = &[c"/proc/self/fd/2", c"/dev/tty", c"/dev/console"];
    let device = device(fd)?;
    NAMES.iter().find_map(|path| {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = open(*path, flags, Mode::empty()).ok()?;
        // Another terminal may have the name by now.
        (self::device(opened.as_fd()) == Some(device)).then_some(opened)
    })
}

/// The device number of a terminal, which /dev/tty and /dev/console hide behind their own.
fn device(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut number = 0u32;
    // SAFETY: the request writes one unsigned int.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV as _, &raw mut number) }).ok()?;
    Some(number)
}

/// A process group of our own, in the foreground of the terminal on descriptor 0. SIGTTOU must be blocked.
///
/// # Errors
/// Those of setpgid(2) and tcsetpgrp(3).
pub fn take_foreground() -> Result<()> {
    rustix::process::setpgid(None, None)?;
    rustix::termios::tcsetpgrp(standard(0), getpid())
}

/// Makes our process group the terminal's foreground again. SIGTTOU must be blocked.
pub fn reclaim_foreground() {
    // SAFETY: asks for a number, which is 0 where the group is another pid namespace's.
    let group = unsafe { libc::getpgrp() };
    // SAFETY: plain numbers; one that is no group of this session is refused.
    unsafe { libc::tcsetpgrp(0, group) };
}

/// Gives up the controlling terminal, if there is one.
///
/// A session's leader that does so has SIGHUP sent to the terminal's foreground group, which may be its own.
///
/// # Errors
/// When there is one and it cannot be given up.
#[inline(never)]
pub fn detach() -> Result<()> {
    // SAFETY: the request has no argument.
    let leave = |fd: RawFd| cvt(unsafe { libc::ioctl(fd, libc::TIOCNOTTY) });
    // A second TIOCNOTTY must fail; if not, the first was faked.
    let leave = |fd: RawFd| leave(fd).and_then(|_| ensure(leave(fd).is_err()));
    match open(c"/dev/tty", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        Ok(tty) => without_hangup(|| leave(tty.as_raw_fd())),
        // There is none.
        Err(Errno::NXIO) => Ok(()),
        // No /dev, or no right to open it: the terminal can only be known by one of these.
        Err(_) => {
            without_hangup(|| (0..3).any(|fd| leave(fd).is_ok()));
            Ok(())
        }
    }
}
