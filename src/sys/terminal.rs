//! The controlling terminal: given up, or its foreground taken.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::getpid;

use super::fd::standard;
use super::wait::without_hangup;
use super::{Errno, Result, check, verified};

/// Whether descriptor 0 is the terminal that controls this process.
pub fn is_ours() -> bool {
    // The foreground may be in another pid namespace, where it has no number here.
    matches!(rustix::termios::tcgetpgrp(standard(0)), Ok(_) | Err(Errno::OPNOTSUPP))
}

/// Opens a terminal once more, for writing that never blocks; the description that others share remains as it is. None:
/// it is no terminal, or it cannot be opened: its file belongs to another user and it is not the controlling terminal.
pub fn reopen(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    let device = device(fd)?;
    // Without /proc, a console is found under its own name. A controlling terminal can be opened by every user.
    [c"/proc/self/fd/2", c"/dev/tty", c"/dev/console"].into_iter().find_map(|path| {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = open(path, flags, Mode::empty()).ok()?;
        // Another terminal may have the name by now.
        (self::device(opened.as_fd()) == Some(device)).then_some(opened)
    })
}

/// The device number of a terminal, which /dev/tty and /dev/console hide behind their own.
fn device(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut number = 0u32;
    // SAFETY: the request writes one unsigned int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV as _, &raw mut number) }).ok()?;
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

/// The terminal's foreground is ours again: nobody else's is left. SIGTTOU must be blocked.
pub fn take_back() {
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
pub fn leave_terminal() -> Result<()> {
    // SAFETY: the request has no argument.
    let leave = |fd: RawFd| check(unsafe { libc::ioctl(fd, libc::TIOCNOTTY) });
    // Nobody leaves twice.
    let leave = |fd: RawFd| leave(fd).and_then(|_| verified(leave(fd).is_err()));
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
