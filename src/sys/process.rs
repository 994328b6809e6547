//! Processes: made, turned into programs, signalled, awaited.

use core::ffi::c_int;
use core::fmt;

use super::Errno;
use super::Result;
use super::cvt;
use super::cvt_long;
use super::ensure;

/// A process id. For a child of ours it names no stranger until the child has been reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Pid {
    /// The process of that number.
    pub fn new(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Whether a signal's sender, as the kernel names it, is this process.
    pub fn is_sender(self, sender: u32) -> bool {
        u32::try_from(self.0) == Ok(sender)
    }
}

/// Which of the two processes we are after a fork.
pub enum Forked {
    /// The new one.
    Child,
    /// The old one, with the new one's pid.
    Parent(Pid),
}

/// fork(2), as the kernel does it: the C library's would run what threads and locks have left for this moment, and
/// there are none. vsrun has one thread, so the child may do whatever the parent may.
///
/// # Errors
/// EAGAIN and ENOMEM when the kernel has no process to give.
pub fn fork() -> Result<Forked> {
    // SAFETY: without flags, stack and pointers, whose order differs from machine to machine, this is fork. The
    // program has one thread, so no lock is held by a thread that the child lacks.
    match cvt_long(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid(i32::try_from(pid).unwrap_or(0)))),
    }
}

/// This process.
pub fn id() -> Pid {
    // SAFETY: asks for a number.
    Pid(unsafe { libc::getpid() })
}

/// Ends the process, without anything that runs at an exit.
pub fn exit(status: u8) -> ! {
    // SAFETY: never returns, and nothing of this program is to be done at exit.
    unsafe { libc::_exit(c_int::from(status)) }
}

/// A session and a process group of its own, without a terminal.
///
/// # Errors
/// EPERM when the process leads a group already.
pub fn setsid() -> Result<()> {
    // SAFETY: takes nothing.
    cvt(unsafe { libc::setsid() })?;
    // SAFETY: asks for a number.
    ensure(unsafe { libc::getsid(0) } == id().0)
}

/// Sets the file mode creation mask for good.
///
/// # Errors
/// EPERM when it was not set.
pub fn fix_umask(mask: u32) -> Result<()> {
    set_umask(mask);
    ensure(set_umask(mask) == mask)
}

/// Sets the file mode creation mask. Returns what it was.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)).as_raw_mode()
}

/// Lets orphans below this process become its children, as they become those of PID 1. Since Linux 3.4.
pub fn set_subreaper() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// The recipient of a signal.
#[derive(Clone, Copy)]
pub enum Target {
    /// One process.
    Process(Pid),
    /// The process group that it leads.
    Group(Pid),
}

/// Sends a signal to a child of ours.
///
/// # Errors
/// EPERM when it belongs to another user; ESRCH when no process of the group is left.
pub fn send(signal: u8, target: Target) -> Result<()> {
    let (Target::Process(pid) | Target::Group(pid)) = target;
    // 1 and everything below it would be init, ourselves, or every process.
    if pid.0 <= 1 {
        return Err(Errno::SRCH);
    }
    if let Target::Group(_) = target {
        // SAFETY: the group of a child of ours that was not reaped.
        if cvt(unsafe { libc::kill(-pid.0, c_int::from(signal)) }).is_ok() {
            return Ok(());
        }
        // It has not come to lead a group yet.
    }
    // SAFETY: a child of ours that was not reaped, so the pid cannot have been reused.
    cvt(unsafe { libc::kill(pid.0, c_int::from(signal)) }).map(drop)
}

/// Whether this is PID 1: a machine's init, or that of a pid namespace.
pub fn is_pid1() -> bool {
    id().0 == 1
}

/// Sends a signal to every other process that there is; 0 only asks whether there are any. Only PID 1 may.
/// Returns whether there was one.
pub fn kill_all(signal: u8) -> bool {
    // SAFETY: as PID 1 this is our own machine or container, and the caller ends it.
    is_pid1() && cvt(unsafe { libc::kill(-1, c_int::from(signal)) }).is_ok()
}

/// Whether this is the machine's own namespace. There, number 2 is the thread that starts all others of the kernel, and
/// is in no process group (which reads as 0; so would one of another namespace, in a container).
pub fn in_initial_pid_ns() -> bool {
    // SAFETY: a plain number.
    (unsafe { libc::getpgid(2) }) == 0
}

/// A child that has ended and was not reaped, if there is one.
pub fn any_exited() -> Option<Pid> {
    waitid_peek(libc::P_ALL, 0, libc::WEXITED).ok().filter(|pid| *pid > 0).map(Pid)
}

/// Whether a child of ours lives, of that process group or of any.
///
/// Without WEXITED the kernel passes over those that have ended; and nobody has stopped or not, where none is left.
pub fn any_child_lives(group: Option<Pid>) -> bool {
    let (kind, id) = group.map_or((libc::P_ALL, 0), |leader| (libc::P_PGID, leader.0));
    waitid_peek(kind, id, libc::WSTOPPED).is_ok()
}

/// Lets a child and its group go on that the terminal's suspend key has stopped.
pub fn continue_stopped(child: Pid) {
    if has_status(child, libc::WSTOPPED, (libc::CLD_STOPPED, libc::SIGTSTP)) {
        // SAFETY: the group of a child of ours that was not reaped.
        unsafe { libc::kill(-child.0, libc::SIGCONT) };
    }
}

/// Looks at a child of ours without reaping it. Returns its pid; 0 when there is no such news.
fn waitid_peek(kind: libc::idtype_t, id: i32, news: c_int) -> Result<i32> {
    // SAFETY: waitid has filled in the fields of a child, or left all zero.
    waitid(kind, id, news | libc::WNOWAIT).map(|info| unsafe { info.si_pid() })
}

/// waitid(2), without waiting.
fn waitid(kind: libc::idtype_t, id: i32, news: c_int) -> Result<libc::siginfo_t> {
    // SAFETY: all zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let (id, options) = (libc::id_t::try_from(id).unwrap_or(0), news | libc::WNOHANG);
    loop {
        // SAFETY: the structure is ours to write.
        match cvt(unsafe { libc::waitid(kind, id, &raw mut info, options) }) {
            // It does not wait, so no signal interrupts it; but a tracer or a filter can return what it likes, and an
            // end that is missed here is missed for good.
            Err(Errno::INTR) => {}
            result => return result.map(|_| info),
        }
    }
}

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// The most memory that was resident, in KiB.
    pub max_rss_kb: u64,
    /// Processor time of user and system, in milliseconds.
    pub cpu_ms: u64,
}

/// Waits for a child to end, and forgets it. Returns the status word of wait(2).
///
/// # Errors
/// ECHILD when it is no child of ours.
pub fn reap(child: Pid) -> Result<(i32, Usage)> {
    let mut status = 0;
    // The kernel's struct rusage: user and system time, each in seconds and microseconds, then fourteen counts of which
    // the first is the memory. All are words of the machine, where a C library's may be wider since 2038 came near.
    let mut usage = [0 as libc::c_long; 18];
    let _pid = loop {
        // SAFETY: both places are ours to write, and have the size that the kernel writes.
        let result = unsafe { libc::syscall(libc::SYS_wait4, child.0, &raw mut status, 0, usage.as_mut_ptr()) };
        match cvt_long(result) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    let [seconds, micros, more_seconds, more_micros, max_rss_kb, ..] = usage;
    let count = |word: libc::c_long| u64::try_from(word).unwrap_or(0);
    let cpu_ms = count(seconds + more_seconds) * 1000 + count(micros + more_micros) / 1000;
    Ok((status, Usage { max_rss_kb: count(max_rss_kb), cpu_ms }))
}

/// Whether a child of ours has ended. It is not reaped.
pub fn has_exited(child: Pid) -> bool {
    !matches!(waitid_peek(libc::P_PID, child.0, libc::WEXITED), Ok(0))
}

/// Whether that signal has ended a child of ours. It is not reaped.
pub fn was_killed_by(signal: c_int, child: Pid) -> bool {
    has_status(child, libc::WEXITED, (libc::CLD_KILLED, signal))
}

/// Whether there is such news of a child of ours, and this it is: what happened, and the signal.
fn has_status(child: Pid, news: c_int, this: (c_int, c_int)) -> bool {
    // SAFETY: waitid has filled in the fields of a child, or left all zero.
    waitid(libc::P_PID, child.0, news | libc::WNOWAIT)
        .is_ok_and(|info| (info.si_code, unsafe { info.si_status() }) == this)
}
