//! Waiting: signals blocked and read from a descriptor, and the only place where vsrun sleeps.

use core::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::clock::timespec;
use super::{Errno, Result, cvt, cvt_long};

/// The size of the kernel's set of signals, in bytes.
const SET: usize = 8;

/// Which signals are blocked.
#[derive(Clone, Copy)]
pub enum Mask {
    /// All that can be.
    All,
    /// None.
    None,
}

/// Sets the mask of blocked signals: all 64, where a C library would leave some out.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn set_mask(mask: Mask) -> Result<()> {
    let set: u64 = match mask {
        Mask::All => u64::MAX,
        Mask::None => 0,
    };
    // SAFETY: the set has the size that is said, and the old one is not asked for.
    cvt_long(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set, core::ptr::null::<u64>(), SET)
    })
    .map(drop)
}

/// Sets the disposition of every signal to its default, whatever was inherited: ignored ones live over exec, and with
/// SIGCHLD ignored children vanish unreported. SIGHUP may be left as it is. Those that a write of our own may send us
/// stay ignored, so that the write fails instead; blocked ones are read from [`Signals`] all the same.
pub fn reset_dispositions(keep_hangup: bool) {
    let kept = |signal: &c_int| OF_WRITES.contains(signal) || (keep_hangup && *signal == libc::SIGHUP);
    (1..=64).filter(|signal| !kept(signal)).for_each(|signal| dispose(signal, DEFAULT));
    ignore_writes(true);
}

/// To a pipe that nobody reads, and beyond the limit of file sizes.
const OF_WRITES: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];
/// The handlers that are none, on every machine.
const DEFAULT: u64 = 0;
const IGNORED: u64 = 1;

/// Whether a write that cannot be done only fails; otherwise it is the end of the process, as it is for other programs.
pub fn ignore_writes(ignored: bool) {
    OF_WRITES.into_iter().for_each(|signal| dispose(signal, if ignored { IGNORED } else { DEFAULT }));
}

/// Sets the disposition of a signal.
fn dispose(signal: c_int, handler: u64) {
    // The kernel's struct sigaction (handler, flags, restorer, mask) is at most 32 bytes long on every machine that
    // vsrun is built for, and begins with the handler.
    let action = [handler, 0, 0, 0];
    // SAFETY: the structure is larger than what the kernel reads. KILL and STOP are answered with EINVAL.
    let _ = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, core::ptr::null::<u64>(), SET) };
}

/// A signal that has come.
#[derive(Clone, Copy)]
pub struct SignalInfo {
    /// Its number.
    pub signal: u8,
    /// The sender's pid; 0 for the kernel and for senders outside of our pid namespace.
    pub sender: u32,
}

/// The signals that have come and were not looked at yet. They must be blocked.
pub struct Signals(OwnedFd);

impl Signals {
    /// All signals.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub fn open() -> Result<Self> {
        let set = u64::MAX;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: -1 asks for a new descriptor, and the set has the size that is said.
        let fd = cvt_long(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SET, flags) })?;
        let fd = i32::try_from(fd).unwrap_or(-1);
        // SAFETY: the kernel has just made it, for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next one, if there is one.
    pub fn next(&self) -> Option<SignalInfo> {
        // struct signalfd_siginfo: ssi_signo is the first word, ssi_pid the fourth.
        let mut info = [0u8; 128];
        let count = rustix::io::read(&self.0, &mut info).ok()?;
        let word = |at: usize| info.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
        if count < info.len() {
            return None;
        }
        Some(SignalInfo { signal: u8::try_from(word(0)?).ok()?, sender: word(12)? })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The most descriptors that a call waits for.
const MOST: usize = 8;

/// Sleeps until one of the descriptors can be read or is closed at its other end, or until so many milliseconds have
/// passed. Returns which. At least one descriptor must be there. Of the last one only the closing of its other end
/// counts: what was written before ends no sleep.
pub fn wait<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], millis: Option<u64>) -> [bool; N] {
    let mut ready = [false; N];
    sleep(&fds, millis, &mut ready);
    ready
}

#[inline(never)]
fn sleep(fds: &[Option<BorrowedFd<'_>>], millis: Option<u64>, ready: &mut [bool]) {
    // The kernel passes over a number below zero.
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; MOST];
    for (polled, fd) in polled.iter_mut().zip(fds) {
        polled.fd = fd.map_or(-1, |fd| fd.as_raw_fd());
    }
    if let Some(last) = polled.get_mut(fds.len().saturating_sub(1)) {
        // POLLHUP comes without being asked for.
        last.events = 0;
    }
    if fds.iter().all(Option::is_none) {
        return sleep_ms(100);
    }
    // SAFETY: all zero is valid; where the machine has small words, some of it is padding.
    let mut span: libc::timespec = unsafe { core::mem::zeroed() };
    let until = millis.map(timespec).map_or(core::ptr::null(), |until| {
        // Longer than 68 years is for ever, too.
        span.tv_sec = i32::try_from(until.tv_sec).unwrap_or(i32::MAX).into();
        span.tv_nsec = i32::try_from(until.tv_nsec).unwrap_or(0).into();
        &raw const span
    });
    loop {
        // SAFETY: so many structures are there, and the kernel writes to them.
        let result = unsafe { libc::ppoll(polled.as_mut_ptr(), MOST as libc::nfds_t, until, core::ptr::null()) };
        match cvt(result) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            // No memory to wait with: the least that does not spin.
            Err(_) => return sleep_ms(100),
        }
    }
    for (ready, fd) in ready.iter_mut().zip(&polled) {
        *ready = fd.revents != 0;
    }
}

/// Sleeps until the other end of a pipe is closed, whatever is written before, or until so many milliseconds have
/// passed. Returns whether it is closed.
pub fn for_end(pipe: BorrowedFd<'_>, millis: u64) -> bool {
    let [closed] = wait([Some(pipe)], Some(millis));
    closed
}

/// Sleeps so many milliseconds: for what no descriptor tells.
pub fn sleep_ms(millis: u64) {
    let _ = rustix::thread::nanosleep(&timespec(millis));
}

/// Ignores SIGHUP while something is done, and sets it to what it was afterwards.
pub(super) fn without_hangup<T>(act: impl FnOnce() -> T) -> T {
    let before = hangup(Some(&[IGNORED, 0, 0, 0]));
    let result = act();
    hangup(Some(&before));
    result
}

/// Whether SIGHUP is ignored.
pub fn is_hangup_ignored() -> bool {
    // A 32-bit machine has the flags in the upper half.
    hangup(None).first().is_some_and(|handler| usize::try_from(*handler & HANDLER) == Ok(1))
}

/// The kernel's struct sigaction has the handler first on every machine that vsrun is built for.
const HANDLER: u64 = if cfg!(target_pointer_width = "64") { u64::MAX } else { 0xffff_ffff };

/// Sets what SIGHUP does, if asked to. Returns what it did.
fn hangup(new: Option<&[u64; 4]>) -> [u64; 4] {
    let mut old = [0; 4];
    let new = new.map_or(core::ptr::null(), |new| new.as_ptr());
    // SAFETY: both structures are larger than what the kernel reads or writes.
    let _ = unsafe { libc::syscall(libc::SYS_rt_sigaction, libc::SIGHUP, new, old.as_mut_ptr(), SET) };
    old
}
