//! Starts a child that will execute another program. Until then it runs in a copy of our memory, or in our memory
//! itself.
//!
//! Copying the page tables takes a fifth of the time of a restart, and the exec discards the copy. So posix_spawn(3)
//! lets the child use the parent's memory while the parent sleeps. vsrun does that too, for at most a second: a dead
//! file server or an automounter may block the child for hours, and the sleeping parent would not handle any signal.

use core::ffi::{c_int, c_void};

use super::process::{self, Pid};
use super::{Errno, Result, clock, poll};

unsafe extern "C" {
    /// clone(2) without the C library's wrapper, and with the kernel's own return value. posix_spawn(3) uses it on
    /// every machine.
    fn __clone(
        enter: extern "C" fn(*mut c_void) -> c_int,
        stack: *mut c_void,
        flags: c_int,
        with: *mut c_void,
        ...
    ) -> c_int;
}

/// The memory that a child uses before its exec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ChildMemory {
    /// A copy of our memory, as after fork(2).
    Own = 0,
    /// Our own memory. We sleep until the child has executed the other program or has exited, as after vfork(2). Memory
    /// that the child allocates is lost to us.
    Shared = (libc::CLONE_VM | libc::CLONE_VFORK) as isize,
}

/// Starts a child process that calls the function `child`, which must not return. All signals must have their default
/// action. The caller must be a function that is not inlined and uses little stack, because the child's stack begins
/// only 1 KiB below the caller's variables. Returns None if the child has used our memory ([`ChildMemory::Shared`]) for
/// a second, and was killed.
///
/// # Errors
/// EAGAIN and ENOMEM when the kernel cannot create a process.
pub fn start_with_exec_timeout<F: Fn()>(memory: ChildMemory, child: &F) -> Result<Option<Pid>> {
    extern "C" fn enter<F: Fn()>(with: *mut c_void) -> c_int {
        // SAFETY: the pointer was made from a reference below. Either the parent sleeps, or this is a copy of its
        // memory.
        let (memory, child) = unsafe { &*with.cast::<(ChildMemory, &F)>() };
        if *memory == ChildMemory::Shared {
            limit_time_until_exec();
        }
        child();
        0
    }
    /// The distance from this function's variables to the stack of the child, in bytes. The call of clone(2) and the
    /// rest of the stack frame (the caller's frame if this function is inlined) need a few hundred bytes.
    const STACK_GAP: usize = 1024;
    let with = (memory, child);
    let stack = (&raw const with).cast::<c_void>().wrapping_byte_sub(STACK_GAP).cast_mut();
    let begin = clock::monotonic_millis();
    // SAFETY: the stack grows down, so the child gets an unused part of it, as large as any call of ours would have; it
    // never returns from `enter`. The program has one thread, which sleeps while the child runs in the same memory, so
    // the two never access it at the same time.
    let pid =
        unsafe { __clone(enter::<F>, stack, libc::SIGCHLD | memory as c_int, (&raw const with).cast_mut().cast()) };
    if pid < 0 {
        return Err(Errno::from_raw_os_error(-pid));
    }
    let pid = Pid::new(pid);
    if memory == ChildMemory::Shared && exceeded_limit(pid, begin) {
        let _ = process::reap(pid);
        return Ok(None);
    }
    Ok(Some(pid))
}

/// The time that a child may use our memory, in milliseconds.
const VFORK_LIMIT_MS: u64 = 1000;

/// Lets a timer kill this process with SIGALRM, once that signal is not blocked, unless the process executes another
/// program within a second: execve(2) deletes POSIX timers, but not the timer of alarm(2). If no timer is available,
/// there is no limit.
fn limit_time_until_exec() {
    let mut timer = 0;
    // SAFETY: the kernel writes an int; no event asked for means SIGALRM.
    unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, 0, &raw mut timer) };
    // The words of a struct itimerspec: the interval and the first expiry, each as seconds and nanoseconds.
    let times = [0 as libc::c_long, 0, 1, 0];
    // SAFETY: the kernel reads these four words.
    unsafe { libc::syscall(libc::SYS_timer_settime, timer as c_int, 0, times.as_ptr(), 0) };
}

/// True if the timer has killed the child, which was started at the monotonic time `begin`, in milliseconds. A program
/// that dies of SIGALRM earlier has not exceeded the limit.
fn exceeded_limit(child: Pid, begin: u64) -> bool {
    if clock::monotonic_millis() < begin + VFORK_LIMIT_MS {
        return false;
    }
    // The parent continues as soon as the dying child has released the shared memory, but waitid(2) reports the exit
    // only a moment later.
    poll::sleep_ms(VFORK_LIMIT_MS / 10);
    process::was_killed_by(libc::SIGALRM, child)
}
