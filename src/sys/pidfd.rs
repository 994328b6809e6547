//! Processes that are not our children. A pid may be reused as soon as its process has been reaped; so a process is
//! held by a descriptor, which never becomes another's.

use core::ffi::{CStr, c_int};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, Mode, OFlags, open, statat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Errno, Result, cvt, cvt_long};

/// A process, held until the end of our own, which is near, or until it is let go of.
#[derive(Clone, Copy)]
pub struct Process {
    /// Its number.
    pub number: i32,
    fd: RawFd,
    /// Whether that is no pidfd.
    is_proc_dir: bool,
}

impl Process {
    /// Holds the process of that number: by a pidfd or, before Linux 5.3 and where a container's filter of system calls
    /// is older than that, by its directory in /proc, in which nothing is found once the process has been reaped.
    ///
    /// # Errors
    /// ESRCH, or EINVAL for the number of a thread, when there is none; ENOENT without pidfd and /proc.
    pub fn open(number: i32, home: &CStr) -> Result<Self> {
        let pid = Pid::from_raw(number.max(0)).ok_or(Errno::SRCH)?;
        let mut fd = pidfd_open(pid, PidfdFlags::empty());
        let is_home = matches!(fd, Err(Errno::NOSYS | Errno::PERM));
        if is_home {
            fd = open(home, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        }
        Ok(Self { number, fd: fd?.into_raw_fd(), is_proc_dir: is_home })
    }

    /// A pidfd of a child of ours: readable once it has ended, also where a tracer keeps the kernel from reporting
    /// that. None before Linux 5.3.
    pub fn watch(child: super::process::Pid) -> Option<OwnedFd> {
        pidfd_open(Pid::from_raw(child.number())?, PidfdFlags::empty()).ok()
    }

    /// Sends a signal; 0 only asks whether it is there, dead or alive.
    ///
    /// Without a pidfd the process is looked at just before: between that and kill(2) it would have to end, be reaped,
    /// and all other numbers be used up, for the signal to reach another.
    ///
    /// # Errors
    /// ESRCH when it has ended and was reaped; EPERM.
    pub fn send(self, signal: u8) -> Result<()> {
        let signal = c_int::from(signal);
        if self.is_proc_dir {
            statat(self.fd(), c"stat", AtFlags::empty()).map_err(|_| Errno::SRCH)?;
            // SAFETY: a positive number, so one process.
            return cvt(unsafe { libc::kill(self.number, signal) }).map(drop);
        }
        // SAFETY: the descriptor is open, and without a siginfo_t this is kill(2).
        cvt_long(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd, signal, 0, 0) }).map(drop)
    }

    /// What can be read once it has ended, if there is such a thing here.
    pub fn exit_fd(self) -> Option<BorrowedFd<'static>> {
        (!self.is_proc_dir).then(|| self.fd())
    }

    /// Lets go of it. No copy of this may be used after that.
    pub fn close(self) {
        // SAFETY: it came from an OwnedFd that was given up, so it is ours to close.
        drop(unsafe { OwnedFd::from_raw_fd(self.fd) });
    }

    fn fd(self) -> BorrowedFd<'static> {
        // SAFETY: it came from an OwnedFd that was given up, so it stays open.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}
