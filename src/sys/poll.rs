//! Waiting: signals are blocked and read from a signalfd, and this is the only place where vsrun sleeps.

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
    /// These: a bit for each.
    These(u64),
}

/// Sets the mask of blocked signals: all 64, whereas a C library would omit some.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn set_mask(mask: Mask) -> Result<()> {
    let set: u64 = match mask {
        Mask::All => u64::MAX,
        Mask::None => 0,
        Mask::These(set) => set,
    };
    // SAFETY: the set has the stated size, and the old set is not requested.
    cvt_long(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set, core::ptr::null::<u64>(), SET)
    })
    .map(drop)
}

/// Sets every signal to its default action, whatever was inherited: ignored signals stay ignored over exec, and with
/// SIGCHLD ignored wait(2) never returns a child. Those in the set `kept` are left as they are. Signals that our own
/// writes may cause are ignored, so that the write fails instead; blocked signals are still read from [`Signals`].
pub fn reset_dispositions(kept: u64) {
    let kept = |signal: &c_int| OF_WRITES.contains(signal) || kept & bit(*signal) != 0;
    (1..=64).filter(|signal| !kept(signal)).for_each(|signal| dispose(signal, DEFAULT));
    ignore_writes(true);
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Sent for a write to a pipe without a reader, and for one above the file size limit.
const OF_WRITES: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];
/// SIG_DFL and SIG_IGN, the same on every machine.
const DEFAULT: u64 = 0;
const IGNORED: u64 = 1;

/// True: a failed write only returns an error. False: it kills the process by a signal, as the default is.
pub fn ignore_writes(ignored: bool) {
    OF_WRITES.into_iter().for_each(|signal| dispose(signal, if ignored { IGNORED } else { DEFAULT }));
}

/// Gives the program that is executed next the actions that vsrun's caller had: default, and these ignored.
pub fn restore_dispositions(ignored: u64) {
    ignore_writes(false);
    (1..=64).filter(|signal| ignored & bit(*signal) != 0).for_each(|signal| dispose(signal, IGNORED));
}

/// Sets the action of a signal.
fn dispose(signal: c_int, handler: u64) {
    action(signal, Some(&[handler, 0, 0, 0]));
}

/// A signal that was received.
#[derive(Clone, Copy)]
pub struct SignalInfo {
    /// Its number.
    pub signal: u8,
    /// The sender's pid; 0 for the kernel and for senders outside of our pid namespace.
    pub sender: u32,
    /// The value that came with it, if it was queued with one (`pidfd::Process::queue`).
    pub value: Option<u32>,
}

/// The pending signals, which must be blocked: a signalfd.
pub struct Signals(OwnedFd);

impl Signals {
    /// Opens a signalfd for all signals.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub fn open() -> Result<Self> {
        let set = u64::MAX;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: -1 requests a new descriptor, and the set has the stated size.
        let fd = cvt_long(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SET, flags) })?;
        let fd = i32::try_from(fd).unwrap_or(-1);
        // SAFETY: the kernel has just created it, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal, if there is one.
    pub fn next(&self) -> Option<SignalInfo> {
        // struct signalfd_siginfo, in bytes: ssi_signo at 0, ssi_code at 8, ssi_pid at 12, ssi_int at 44.
        let mut info = [0u8; 128];
        let count = rustix::io::read(&self.0, &mut info).ok()?;
        let word = |at: usize| info.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
        if count < info.len() {
            return None;
        }
        let value = word(44).filter(|_| word(8) == Some(super::pidfd::QUEUED.cast_unsigned()));
        Some(SignalInfo { signal: u8::try_from(word(0)?).ok()?, sender: word(12)?, value })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The most descriptors that a call waits for.
const MOST: usize = 12;

/// Sleeps until one of the descriptors is readable or its other end is closed, or until `millis` have passed. Returns
/// which ones. At least one must be given. For the last one, only the closing of the other end counts: readable bytes do
/// not end the sleep.
pub fn wait<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], millis: Option<u64>) -> [bool; N] {
    wait_except(fds, 1 << (N - 1), millis)
}

/// As [`wait`], but for the descriptors whose bits are set in `quiet`, only the closing of the other end counts.
pub fn wait_except<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], quiet: u32, millis: Option<u64>) -> [bool; N] {
    let mut ready = [false; N];
    sleep(&fds, quiet, millis, &mut ready);
    ready
}

#[inline(never)]
fn sleep(fds: &[Option<BorrowedFd<'_>>], quiet: u32, millis: Option<u64>, ready: &mut [bool]) {
    // The kernel ignores a negative number.
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; MOST];
    for (at, (polled, fd)) in polled.iter_mut().zip(fds).enumerate() {
        polled.fd = fd.map_or(-1, |fd| fd.as_raw_fd());
        if quiet & (1 << at) != 0 {
            // POLLHUP is always reported.
            polled.events = 0;
        }
    }
    if fds.iter().all(Option::is_none) {
        return sleep_ms(100);
    }
    // SAFETY: all zero is valid; where the machine has small words, some of it is padding.
    let mut span: libc::timespec = unsafe { core::mem::zeroed() };
    let until = millis.map(timespec).map_or(core::ptr::null(), |until| {
        // Limited to 68 years.
        span.tv_sec = i32::try_from(until.tv_sec).unwrap_or(i32::MAX).into();
        span.tv_nsec = i32::try_from(until.tv_nsec).unwrap_or(0).into();
        &raw const span
    });
    loop {
        // SAFETY: the array has that many structures, which the kernel may write to.
        let result = unsafe { libc::ppoll(polled.as_mut_ptr(), MOST as libc::nfds_t, until, core::ptr::null()) };
        match cvt(result) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            // The kernel has no memory for the call: pause, to avoid a busy loop.
            Err(_) => return sleep_ms(100),
        }
    }
    for (ready, fd) in ready.iter_mut().zip(&polled) {
        *ready = fd.revents != 0;
    }
}

/// Sleeps until the other end of a pipe is closed, even if bytes are written before, or until `millis` have passed.
/// Returns true if it is closed.
pub fn for_end(pipe: BorrowedFd<'_>, millis: u64) -> bool {
    let [closed] = wait([Some(pipe)], Some(millis));
    closed
}

/// Sleeps for `millis`, to wait for what no descriptor reports.
pub fn sleep_ms(millis: u64) {
    let _ = rustix::thread::nanosleep(&timespec(millis));
}

/// Ignores SIGHUP during a call, and restores its action afterwards.
pub(super) fn without_hangup<T>(act: impl FnOnce() -> T) -> T {
    let before = action(libc::SIGHUP, Some(&[IGNORED, 0, 0, 0]));
    let result = act();
    action(libc::SIGHUP, Some(&before));
    result
}

/// Whether SIGHUP is ignored.
pub fn is_hangup_ignored() -> bool {
    is_ignored(libc::SIGHUP)
}

/// The signals that are blocked and those that are ignored, as the caller has left them.
pub fn inherited() -> (u64, u64) {
    let mut blocked = 0;
    let none = core::ptr::null::<u64>();
    // SAFETY: without a new set nothing is changed, and the kernel writes as many bytes as its last argument says.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, none, &raw mut blocked, SET) };
    (blocked, (1..=64).filter(|signal| is_ignored(*signal)).map(bit).sum())
}

fn is_ignored(signal: c_int) -> bool {
    // A 32-bit machine has the flags in the upper half.
    action(signal, None).first().is_some_and(|handler| usize::try_from(*handler & HANDLER) == Ok(1))
}

/// The kernel's struct sigaction (handler, flags, restorer, mask) is at most 32 bytes long on every machine that vsrun
/// is built for, and begins with the handler.
const HANDLER: u64 = if cfg!(target_pointer_width = "64") { u64::MAX } else { 0xffff_ffff };

/// Sets the action of a signal, if one is given. Returns the old action.
#[inline(never)]
fn action(signal: c_int, new: Option<&[u64; 4]>) -> [u64; 4] {
    let mut old = [0; 4];
    let new = new.map_or(core::ptr::null(), |new| new.as_ptr());
    // SAFETY: both structures are at least as large as what the kernel reads or writes. For KILL and STOP a new action
    // fails with EINVAL.
    let _ = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old.as_mut_ptr(), SET) };
    old
}
