//! Creates processes, signals them, and waits for them.

use core::ffi::c_int;
use core::fmt;

use super::Errno;
use super::Result;
use super::cvt;
use super::cvt_long;
use super::ensure;

/// A process id. The pid of a child of ours cannot be reused until we have reaped the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Pid {
    /// Makes a pid of a positive number.
    pub fn new(number: i32) -> Self {
        Self(number)
    }

    /// The pid as a number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// True if `sender`, which the kernel reported as the sender of a signal, is this process.
    pub fn is_sender(self, sender: u32) -> bool {
        u32::try_from(self.0) == Ok(sender)
    }
}

/// In which of the two processes fork(2) has returned.
pub enum Forked {
    /// This process is the child.
    Child,
    /// This process is the parent of the child with this pid.
    Parent(Pid),
}

/// Calls fork(2) as a plain system call. The C library's function also runs handlers for threads and locks, and there
/// are none: vsrun has one thread, so the child may do whatever the parent may.
///
/// # Errors
/// EAGAIN and ENOMEM when the kernel cannot create a process.
pub fn fork() -> Result<Forked> {
    // SAFETY: without flags, stack and pointers, whose order differs between machines, this is fork. The program has
    // one thread, so no lock can be held by a thread that does not exist in the child.
    match cvt_long(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid(i32::try_from(pid).unwrap_or(0)))),
    }
}

/// The pid of this process.
pub fn own_pid() -> Pid {
    // SAFETY: only returns a number.
    Pid(unsafe { libc::getpid() })
}

/// Exits at once, without running exit handlers.
pub fn exit(status: u8) -> ! {
    // SAFETY: never returns, and this program has no exit handlers.
    unsafe { libc::_exit(c_int::from(status)) }
}

/// Makes this process the leader of a new session and process group, without a terminal.
///
/// # Errors
/// EPERM when the process is already the leader of a group.
pub fn setsid() -> Result<()> {
    // SAFETY: setsid(2) takes no argument.
    cvt(unsafe { libc::setsid() })?;
    // SAFETY: only returns a number.
    ensure(unsafe { libc::getsid(0) } == own_pid().0)
}

/// Sets the file mode creation mask, and verifies it.
///
/// # Errors
/// EPERM when the mask was not set.
pub fn set_umask_verified(mask: u32) -> Result<()> {
    set_umask(mask);
    ensure(set_umask(mask) == mask)
}

/// Sets the file mode creation mask. Returns the old one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)).as_raw_mode()
}

/// Makes this process a subreaper: orphaned descendants become its children. Does nothing before Linux 3.4.
pub fn set_subreaper() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Requests a signal for this process when its parent exits.
pub fn set_parent_death_signal(signal: u8) {
    // SAFETY: takes a plain number, which is a signal.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(signal)) };
}

/// Stops this process with SIGSTOP, until it gets SIGCONT. The kernel does not stop PID 1.
pub fn stop_self() {
    // SAFETY: a signal to this process alone.
    unsafe { libc::kill(own_pid().0, libc::SIGSTOP) };
}

/// The recipient of a signal.
#[derive(Clone, Copy)]
pub enum SignalTarget {
    /// One process.
    Process(Pid),
    /// The process group whose leader has this pid, or the leader alone if the group cannot be signalled.
    Group(Pid),
}

/// Sends a signal to a child of ours, or to its group.
///
/// # Errors
/// EPERM when it belongs to another user; ESRCH when no process of the group is left.
pub fn send(signal: u8, target: SignalTarget) -> Result<()> {
    let (SignalTarget::Process(pid) | SignalTarget::Group(pid)) = target;
    // Never signal PID 1, our own group (0), or every process (-1).
    if pid.0 <= 1 {
        return Err(Errno::SRCH);
    }
    if let SignalTarget::Group(_) = target {
        // SAFETY: the group of a child of ours that was not reaped.
        if cvt(unsafe { libc::kill(-pid.0, c_int::from(signal)) }).is_ok() {
            return Ok(());
        }
        // If the child's process group does not exist yet, signal the child alone: it becomes the group's leader by its
        // own setsid(2) or setpgid(2).
    }
    // SAFETY: a child of ours that was not reaped, so the pid cannot have been reused.
    cvt(unsafe { libc::kill(pid.0, c_int::from(signal)) }).map(drop)
}

/// True if this process is PID 1, of a machine or of a pid namespace.
pub fn is_pid1() -> bool {
    own_pid().0 == 1
}

/// As PID 1, sends a signal to every other process that may be signalled. The signal 0 only checks whether
/// another process exists. Returns true if there was another process, even one that may not be signalled,
/// because kill(2) with the pid -1 does not fail with EPERM. If this process is not PID 1, does nothing and
/// returns false.
pub fn signal_all_as_pid1(signal: u8) -> bool {
    // SAFETY: as PID 1 the machine or container is ours, and the caller is shutting it down.
    is_pid1() && cvt(unsafe { libc::kill(-1, c_int::from(signal)) }).is_ok()
}

/// True in the initial pid namespace. There, pid 2 is the kernel's kthreadd, which is in no process group, so that
/// getpgid(2) returns 0 (as it would in a container for a group of another namespace).
pub fn in_initial_pid_ns() -> bool {
    // SAFETY: getpgid(2) takes a number and no pointer.
    (unsafe { libc::getpgid(2) }) == 0
}

/// A child that has exited and was not reaped, if there is one.
pub fn exited_child() -> Option<Pid> {
    waitid_peek(libc::P_ALL, 0, libc::WEXITED).ok().filter(|pid| *pid > 0).map(Pid)
}

/// True if a child of ours has not exited, in this process group or, with None, in any group.
///
/// waitid(2) without WEXITED ignores children that have exited, and fails with ECHILD if there is no other child.
pub fn has_live_child(group: Option<Pid>) -> bool {
    let (kind, id) = group.map_or((libc::P_ALL, 0), |leader| (libc::P_PGID, leader.0));
    waitid_peek(kind, id, libc::WSTOPPED).is_ok()
}

/// Sends SIGCONT to the process group that a child leads if SIGTSTP, the signal of the terminal's suspend key, has
/// stopped the child.
pub fn continue_if_tstp_stopped(child: Pid) {
    if has_si_code_and_status(child, libc::WSTOPPED, (libc::CLD_STOPPED, libc::SIGTSTP)) {
        // SAFETY: the group of a child of ours that was not reaped.
        unsafe { libc::kill(-child.0, libc::SIGCONT) };
    }
}

/// Queries an event of a child of ours without consuming it, and so without reaping the child. Returns the child's pid;
/// 0 if there is no such event.
fn waitid_peek(kind: libc::idtype_t, id: i32, events: c_int) -> Result<i32> {
    // SAFETY: waitid has set the fields for a child, or left all zero.
    waitid(kind, id, events | libc::WNOWAIT).map(|info| unsafe { info.si_pid() })
}

/// Calls waitid(2), without waiting.
fn waitid(kind: libc::idtype_t, id: i32, events: c_int) -> Result<libc::siginfo_t> {
    // SAFETY: all zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let (id, options) = (libc::id_t::try_from(id).unwrap_or(0), events | libc::WNOHANG);
    loop {
        // SAFETY: the structure is ours to write.
        match cvt(unsafe { libc::waitid(kind, id, &raw mut info, options) }) {
            // waitid(2) with WNOHANG does not wait, so no signal interrupts it. But a tracer or a filter can return any
            // error, and an exit that is missed because of it is never reported again.
            Err(Errno::INTR) => {}
            result => return result.map(|_| info),
        }
    }
}

/// The resources that a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceUsage {
    /// The largest resident memory, in KiB.
    pub max_rss_kb: u64,
    /// The processor time, of user and system together, in milliseconds.
    pub cpu_ms: u64,
}

/// Waits for a child to exit, and reaps it. Returns the status word of wait(2), and the resources that the child has
/// used.
///
/// # Errors
/// ECHILD when it is not a child of ours.
pub fn reap(child: Pid) -> Result<(i32, ResourceUsage)> {
    let mut status = 0;
    // The kernel's struct rusage: user and system time, each in seconds and microseconds, then fourteen counts, the
    // first of which is the largest resident memory. All are machine words; a C library's structure may have 64-bit
    // times instead.
    let mut usage = [0 as libc::c_long; 18];
    let _pid = loop {
        // SAFETY: both buffers are ours, and have the size that the kernel writes.
        let result = unsafe { libc::syscall(libc::SYS_wait4, child.0, &raw mut status, 0, usage.as_mut_ptr()) };
        match cvt_long(result) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    let [seconds, micros, more_seconds, more_micros, max_rss_kb, ..] = usage;
    let count = |word: libc::c_long| u64::try_from(word).unwrap_or(0);
    let cpu_ms = count(seconds + more_seconds) * 1000 + count(micros + more_micros) / 1000;
    Ok((status, ResourceUsage { max_rss_kb: count(max_rss_kb), cpu_ms }))
}

/// True if a child of ours has exited, or if it was reaped already. Does not reap it.
pub fn has_exited(child: Pid) -> bool {
    !matches!(waitid_peek(libc::P_PID, child.0, libc::WEXITED), Ok(0))
}

/// True if this child of ours was killed by this signal. Does not reap it.
pub fn was_killed_by(signal: c_int, child: Pid) -> bool {
    has_si_code_and_status(child, libc::WEXITED, (libc::CLD_KILLED, signal))
}

/// True if waitid(2) reports an event of this kind for a child of ours, with this si_code and si_status.
fn has_si_code_and_status(child: Pid, events: c_int, this: (c_int, c_int)) -> bool {
    // SAFETY: waitid has set the fields for a child, or left all zero.
    waitid(libc::P_PID, child.0, events | libc::WNOWAIT)
        .is_ok_and(|info| (info.si_code, unsafe { info.si_status() }) == this)
}
