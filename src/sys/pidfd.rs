//! Signals processes that are not our children. A pid may be reused as soon as its process has been reaped, so a
//! process is referred to by a pidfd, which never refers to another one.

use core::ffi::{CStr, c_int};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, Mode, OFlags, open, statat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Errno, Result, cvt, cvt_long};

/// The si_code of a signal that `Process::queue` has sent (SI_QUEUE). The kernel refuses that call if the sender has no
/// permission to signal the process.
pub const SI_QUEUE: i32 = -1;

/// A descriptor of a process. It is open until `close` is called or our own process exits.
#[derive(Clone, Copy)]
pub struct Process {
    /// The pid of the process.
    pub pid: i32,
    fd: RawFd,
    /// True if the descriptor is a directory in /proc, and not a pidfd.
    is_proc_dir: bool,
}

impl Process {
    /// Opens the process with that pid: a pidfd or, before Linux 5.3 and under a seccomp filter that does not know
    /// pidfd_open(2), its directory `proc_dir` in /proc, which is empty once the process has been reaped.
    ///
    /// # Errors
    /// ESRCH if there is no such process, or EINVAL if it is a thread; ENOENT without pidfd and /proc.
    pub fn open(pid: i32, proc_dir: &CStr) -> Result<Self> {
        let target = Pid::from_raw(pid.max(0)).ok_or(Errno::SRCH)?;
        let mut fd = pidfd_open(target, PidfdFlags::empty());
        let is_proc_dir = matches!(fd, Err(Errno::NOSYS | Errno::PERM));
        if is_proc_dir {
            fd = open(proc_dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        }
        Ok(Self { pid, fd: fd?.into_raw_fd(), is_proc_dir })
    }

    /// Opens a pidfd of a child of ours. It becomes readable when the child has exited, even if a tracer prevents the
    /// SIGCHLD. None before Linux 5.3.
    pub fn child_pidfd(child: super::process::Pid) -> Option<OwnedFd> {
        pidfd_open(Pid::from_raw(child.number())?, PidfdFlags::empty()).ok()
    }

    /// Sends a signal. The signal 0 only checks whether the process exists, running or not yet reaped.
    ///
    /// Without a pidfd the directory in /proc is checked just before kill(2). For the signal to reach another process,
    /// the intended one would have to exit and be reaped in between, and all other pids would have to be used.
    ///
    /// # Errors
    /// ESRCH when the process has exited and was reaped; EPERM without the permission to signal it.
    pub fn send(self, signal: u8) -> Result<()> {
        let signal = c_int::from(signal);
        if self.is_proc_dir {
            statat(self.fd(), c"stat", AtFlags::empty()).map_err(|_| Errno::SRCH)?;
            // SAFETY: a positive number, so one process.
            return cvt(unsafe { libc::kill(self.pid, signal) }).map(drop);
        }
        // SAFETY: the descriptor is open, and without a siginfo_t this is kill(2).
        cvt_long(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd, signal, 0, 0) }).map(drop)
    }

    /// Queues a signal with a value, as sigqueue(3) does. If the same signal is pending already, and is no real-time
    /// signal, the kernel drops the new one.
    ///
    /// # Errors
    /// The errors of [`Self::send`].
    pub fn queue(self, signal: u8, value: u32) -> Result<()> {
        // The 32-bit words of a siginfo_t: signal number, errno and code; then, aligned like a pointer, the pid and uid
        // of the sender, and the value.
        let mut info = [0u32; 32];
        let fields = if cfg!(target_pointer_width = "64") { 4 } else { 3 };
        let words = [(0, signal.into()), (2, SI_QUEUE.cast_unsigned()), (fields + 2, value)];
        for (at, word) in words {
            if let Some(place) = info.get_mut(at) {
                *place = word;
            }
        }
        let (signal, info) = (c_int::from(signal), &raw const info);
        if self.is_proc_dir {
            statat(self.fd(), c"stat", AtFlags::empty()).map_err(|_| Errno::SRCH)?;
            // SAFETY: a positive number, so one process; the structure has the size of a siginfo_t.
            return cvt_long(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, self.pid, signal, info) }).map(drop);
        }
        // SAFETY: the descriptor is open, and the structure has the size of a siginfo_t.
        cvt_long(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd, signal, info, 0) }).map(drop)
    }

    /// The pidfd, which becomes readable when the process has exited. None if the descriptor is a directory in /proc.
    pub fn exit_fd(self) -> Option<BorrowedFd<'static>> {
        (!self.is_proc_dir).then(|| self.fd())
    }

    /// Closes the descriptor. No copy of this `Process` may be used after that.
    pub fn close(self) {
        // SAFETY: it came from an OwnedFd that was given up, so it is ours to close.
        drop(unsafe { OwnedFd::from_raw_fd(self.fd) });
    }

    fn fd(self) -> BorrowedFd<'static> {
        // SAFETY: it came from an OwnedFd that was given up, so it stays open.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}
