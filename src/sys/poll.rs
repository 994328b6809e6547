//! Blocks, ignores and receives signals, and waits until a descriptor is readable, a signal is pending or a time has
//! passed.

use core::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::clock::timespec;
use super::{Errno, Result, cvt, cvt_long};

/// The size of the kernel's signal set, in bytes.
const SIGSET_SIZE: usize = 8;

/// A set of signals to block.
#[derive(Clone, Copy)]
pub enum SignalMask {
    /// All signals that can be blocked.
    All,
    /// No signal.
    None,
    /// The signals in this set: one bit for each, the lowest bit for signal 1.
    These(u64),
}

/// Sets the mask of blocked signals. Covers all 64 signals, whereas a C library would omit some.
///
/// # Errors
/// The errors of sigprocmask(2).
pub fn set_mask(mask: SignalMask) -> Result<()> {
    let set: u64 = match mask {
        SignalMask::All => u64::MAX,
        SignalMask::None => 0,
        SignalMask::These(set) => set,
    };
    // SAFETY: the set has the stated size, and the old set is not requested.
    cvt_long(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set,
            core::ptr::null::<u64>(),
            SIGSET_SIZE,
        )
    })
    .map(drop)
}

/// Sets the default action of every signal except those in the set `kept`, because of what vsrun may have inherited:
/// ignored signals stay ignored over an exec, and with SIGCHLD ignored wait(2) never returns a child. Signals that our
/// own writes may cause are left to [`ignore_write_error_signals`]. Blocked signals are still read from [`Signals`].
pub fn reset_dispositions(kept: u64) {
    // The actions of KILL and STOP cannot be changed. A set of bits needs less code than a search in a list.
    let kept = kept | WRITE_ERROR_SIGNALS.into_iter().chain([libc::SIGKILL, libc::SIGSTOP]).map(bit).sum::<u64>();
    (1..=64).filter(|signal| kept & bit(*signal) == 0).for_each(|signal| set_action(signal, DEFAULT_ACTION));
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// The signals that a write may cause: to a pipe without a reader, or above the file size limit.
const WRITE_ERROR_SIGNALS: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];
/// SIG_DFL, the same on every machine.
const DEFAULT_ACTION: u64 = 0;
/// SIG_IGN, the same on every machine.
const IGNORE_ACTION: u64 = 1;

/// Ignores the signals that a write may cause: a failed write only returns an error, and does not kill the process.
pub fn ignore_write_error_signals() {
    WRITE_ERROR_SIGNALS.into_iter().for_each(|signal| set_action(signal, IGNORE_ACTION));
}

/// Restores the signal actions that vsrun has inherited, for the program that is executed next: those in the set
/// `ignored` are ignored, and all others have their default action.
pub fn restore_dispositions(ignored: u64) {
    WRITE_ERROR_SIGNALS.into_iter().for_each(|signal| set_action(signal, DEFAULT_ACTION));
    (1..=64).filter(|signal| ignored & bit(*signal) != 0).for_each(|signal| set_action(signal, IGNORE_ACTION));
}

/// Sets the action of a signal to [`DEFAULT_ACTION`] or [`IGNORE_ACTION`].
fn set_action(signal: c_int, handler: u64) {
    let new = [handler, 0, 0, 0];
    // SAFETY: the structure is at least as large as what the kernel reads, and the old one is not requested.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const new, core::ptr::null::<u64>(), SIGSET_SIZE) };
}

/// A signal that was received.
#[derive(Clone, Copy)]
pub struct SignalInfo {
    /// The number of the signal.
    pub signal: u8,
    /// The sender's pid, or that of the child for SIGCHLD; 0 for other signals of the kernel, and for senders outside
    /// of our pid namespace.
    pub sender_pid: u32,
    /// The value that came with the signal, if `pidfd::Process::queue` has sent it.
    pub value: Option<u32>,
}

/// Receives pending signals, which must be blocked. The signalfd becomes readable when a signal is pending.
pub struct Signals(OwnedFd);

impl Signals {
    /// Opens a signalfd for all signals.
    ///
    /// # Errors
    /// The errors of signalfd(2).
    pub fn open() -> Result<Self> {
        let set = u64::MAX;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: -1 requests a new descriptor, and the set has the stated size.
        let fd = cvt_long(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SIGSET_SIZE, flags) })?;
        let fd = i32::try_from(fd).unwrap_or(-1);
        // SAFETY: the kernel has just created it, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next pending signal, if there is one. sigtimedwait(2) with a timeout of zero is faster than a read(2)
    /// of the signalfd, which is needed for poll(2) only.
    pub fn next(&self) -> Option<SignalInfo> {
        // The 32-bit words of a siginfo_t: signal number, errno and code; then, aligned like a pointer, the pid and uid
        // of the sender, and the value.
        let mut info = [0u32; 32];
        let (all, at_once) = (u64::MAX, [0u64; 2]);
        // SAFETY: the set has the stated size, and the buffer that of a siginfo_t. Two words of zero are a timeout of
        // zero, whatever the size of its fields is.
        let taken = cvt_long(unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, info.as_mut_ptr(), at_once.as_ptr(), SIGSET_SIZE)
        });
        let signal = u8::try_from(taken.ok()?).ok()?;
        let fields = if cfg!(target_pointer_width = "64") { 4 } else { 3 };
        let word = |at: usize| info.get(at).copied();
        let value = word(fields + 2).filter(|_| word(2) == Some(super::pidfd::SI_QUEUE.cast_unsigned()));
        Some(SignalInfo { signal, sender_pid: word(fields)?, value })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The largest number of descriptors in a [`PollSet`].
const MAX_FDS: usize = 12;

/// Sleeps until one of the descriptors is readable or its other end is closed, or until `millis` milliseconds
/// have passed. Returns the set of these descriptors, the lowest bit for the first one. For the last element
/// of `fds`, only the closing of the other end counts: readable bytes do not end the sleep. It may be None,
/// but `fds` must not be empty.
pub fn poll_last_for_hangup(fds: &[Option<BorrowedFd<'_>>], millis: Option<u64>) -> u32 {
    PollSet::new(fds, 1 << (fds.len() - 1)).wait(millis)
}

/// The descriptors for which [`PollSet::wait`] sleeps, in the form that ppoll(2) takes.
pub struct PollSet([libc::pollfd; MAX_FDS]);

impl PollSet {
    /// Makes a set of at most [`MAX_FDS`] descriptors. For a descriptor whose bit is set in `hangup_only_bits` (the
    /// lowest bit for the first one), only the closing of the other end counts.
    #[inline(never)]
    pub fn new(fds: &[Option<BorrowedFd<'_>>], hangup_only_bits: u32) -> Self {
        // ppoll(2) ignores a negative descriptor.
        let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; MAX_FDS];
        for (at, (polled, fd)) in polled.iter_mut().zip(fds).enumerate() {
            polled.fd = fd.map_or(-1, |fd| fd.as_raw_fd());
            if hangup_only_bits & (1 << at) != 0 {
                // POLLHUP is reported even if it was not requested.
                polled.events = 0;
            }
        }
        Self(polled)
    }

    /// Sleeps until one of the descriptors is readable or its other end is closed, or until `millis` milliseconds have
    /// passed. Returns the set of these descriptors, the lowest bit for the first one. If the set contains no
    /// descriptor, or the kernel has no memory for the call, sleeps for 100 ms and returns 0.
    #[inline(never)]
    pub fn wait(&mut self, millis: Option<u64>) -> u32 {
        let Self(polled) = self;
        let Some(last) = polled.iter().rposition(|polled| polled.fd >= 0) else {
            sleep_ms(100);
            return 0;
        };
        // SAFETY: all zero is valid; where the machine has small words, some of it is padding.
        let mut span: libc::timespec = unsafe { core::mem::zeroed() };
        let until = millis.map(timespec).map_or(core::ptr::null(), |until| {
            // The timeout is limited to 68 years, because the seconds may have 32 bits.
            span.tv_sec = i32::try_from(until.tv_sec).unwrap_or(i32::MAX).into();
            span.tv_nsec = i32::try_from(until.tv_nsec).unwrap_or(0).into();
            &raw const span
        });
        loop {
            let count = last as libc::nfds_t + 1;
            // SAFETY: the array has at least that many structures, which the kernel may write to.
            let result = unsafe { libc::ppoll(polled.as_mut_ptr(), count, until, core::ptr::null()) };
            match cvt(result) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                // The kernel has no memory for ppoll(2). Pause, to avoid a busy loop.
                Err(_) => {
                    sleep_ms(100);
                    return 0;
                }
            }
        }
        polled.iter().rev().fold(0, |bits, polled| bits << 1 | u32::from(polled.revents != 0))
    }
}

/// Sleeps until the other end of a pipe is closed, even if bytes are written before, or until `millis` milliseconds
/// have passed. Returns true if the other end is closed.
pub fn wait_for_close(pipe: BorrowedFd<'_>, millis: u64) -> bool {
    poll_last_for_hangup(&[Some(pipe)], Some(millis)) != 0
}

/// Sleeps for `millis` milliseconds, to wait for something that no descriptor reports.
pub fn sleep_ms(millis: u64) {
    let _ = rustix::thread::nanosleep(&timespec(millis));
}

/// Ignores SIGHUP while `act` runs, and restores the action of SIGHUP afterwards.
pub(super) fn with_sighup_ignored<T>(act: impl FnOnce() -> T) -> T {
    let before = sigaction(libc::SIGHUP, Some(&[IGNORE_ACTION, 0, 0, 0]));
    let result = act();
    sigaction(libc::SIGHUP, Some(&before));
    result
}

/// True if SIGHUP is ignored.
pub fn is_sighup_ignored() -> bool {
    is_signal_ignored(libc::SIGHUP)
}

/// The set of blocked signals and the set of ignored ones, the lowest bit for signal 1. Before the first change, they
/// are what vsrun has inherited.
pub fn blocked_and_ignored_signals() -> (u64, u64) {
    let mut blocked = 0;
    let none = core::ptr::null::<u64>();
    // SAFETY: without a new set nothing is changed, and the kernel writes as many bytes as its last argument says.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, none, &raw mut blocked, SIGSET_SIZE) };
    (blocked, (1..=64).filter(|signal| is_signal_ignored(*signal)).map(bit).sum())
}

fn is_signal_ignored(signal: c_int) -> bool {
    // On a 32-bit machine, the upper half of the first word of struct sigaction contains the flags.
    sigaction(signal, None).first().is_some_and(|handler| usize::try_from(*handler & HANDLER_BITS) == Ok(1))
}

/// The bits of the handler in the first 64 bits of the kernel's struct sigaction. That structure (handler, flags,
/// restorer, mask) has at most 32 bytes on every machine that vsrun is built for.
const HANDLER_BITS: u64 = if cfg!(target_pointer_width = "64") { u64::MAX } else { 0xffff_ffff };

/// Returns the present action of a signal, and then sets a new one if it is given.
#[inline(never)]
fn sigaction(signal: c_int, new: Option<&[u64; 4]>) -> [u64; 4] {
    let mut old = [0; 4];
    let new = new.map_or(core::ptr::null(), |new| new.as_ptr());
    // SAFETY: both structures are at least as large as what the kernel reads or writes. For KILL and STOP a new action
    // fails with EINVAL.
    let _ = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old.as_mut_ptr(), SIGSET_SIZE) };
    old
}
