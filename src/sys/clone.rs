//! A child on its way to another program: in memory of its own, or in ours.
//!
//! To copy a process's memory, page tables and all, is a fifth of what a restart takes, and the exec throws the copy
//! away. So posix_spawn(3) lets the child have the parent's own memory while the parent sleeps. We do the same except
//! for no more than a second: a file server that is gone, or an automounter, may let a child wait for hours, and a
//! parent that sleeps hears no signal.

use core::ffi::{c_int, c_void};

use super::process::{self, Pid};
use super::{Errno, Result, clock, poll};

unsafe extern "C" {
    /// clone(2) without what the C library's `clone` puts around it, and with the kernel's own answer: what
    /// posix_spawn(3) is made of, on every machine.
    fn __clone(
        enter: extern "C" fn(*mut c_void) -> c_int,
        stack: *mut c_void,
        flags: c_int,
        with: *mut c_void,
        ...
    ) -> c_int;
}

/// Which memory a child has on its way to another program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A copy of ours, as after fork(2).
    Own = 0,
    /// Ours, and we sleep until it has become the other program or is gone, as after vfork(2). What it allocates is
    /// lost to us.
    Shared = (libc::CLONE_VM | libc::CLONE_VFORK) as isize,
}

/// Starts a child that does this, and must not return from it. The signals must be at their defaults, and the caller
/// one that is not inlined and has little on the stack. None: the child has had our memory for too long, and is gone.
///
/// # Errors
/// EAGAIN and ENOMEM when the kernel has no process to give.
pub fn start<F: Fn()>(memory: Memory, child: &F) -> Result<Option<Pid>> {
    extern "C" fn enter<F: Fn()>(with: *mut c_void) -> c_int {
        // SAFETY: made from a reference below, by a parent that sleeps, or of whose memory this is a copy.
        let (memory, child) = unsafe { &*with.cast::<(Memory, &F)>() };
        if *memory == Memory::Shared {
            arm_timer();
        }
        child();
        0
    }
    /// More than the call takes, and the rest of the frame, which may be the caller's: a few hundred bytes.
    const SPARED: usize = 1024;
    let with = (memory, child);
    let stack = (&raw const with).cast::<c_void>().wrapping_byte_sub(SPARED).cast_mut();
    let begin = clock::monotonic();
    // SAFETY: the stack grows down, so the child has an unused part of it, and as much of it as any call of
    // ours; it never returns from `enter`. The program has one thread, which sleeps while the child runs in the same
    // memory: so it finds all as we left it, and so do we except for what it has written in turn.
    let pid =
        unsafe { __clone(enter::<F>, stack, libc::SIGCHLD | memory as c_int, (&raw const with).cast_mut().cast()) };
    if pid < 0 {
        return Err(Errno::from_raw_os_error(-pid));
    }
    let pid = Pid::new(pid);
    if memory == Memory::Shared && exceeded_limit(pid, begin) {
        let _ = process::reap(pid);
        return Ok(None);
    }
    Ok(Some(pid))
}

/// How long a child may have our memory, in milliseconds: a second.
const VFORK_LIMIT_MS: u64 = 1000;

/// Ends this process by SIGALRM, once that is not blocked, unless it is another program in time: an exec takes a
/// process's timers away, other than what alarm(2) has set. Where there is no timer available, it is not.
fn arm_timer() {
    let mut timer = 0;
    // SAFETY: the kernel writes an int; no event asked for means SIGALRM.
    unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, 0, &raw mut timer) };
    // struct itimerspec in words of the machine: how often, and when first, each in seconds and nanoseconds.
    let times = [0 as libc::c_long, 0, 1, 0];
    // SAFETY: the kernel reads these four words.
    unsafe { libc::syscall(libc::SYS_timer_settime, timer as c_int, 0, times.as_ptr(), 0) };
}

/// Whether that has ended the child, which was started at this time. (A program that dies of SIGALRM at once is another
/// matter.)
fn exceeded_limit(child: Pid, begin: u64) -> bool {
    if clock::monotonic() < begin + VFORK_LIMIT_MS {
        return false;
    }
    // A dying child releases our memory before it becomes waitable, so give it a moment.
    poll::sleep_ms(VFORK_LIMIT_MS / 10);
    process::was_killed_by(libc::SIGALRM, child)
}
