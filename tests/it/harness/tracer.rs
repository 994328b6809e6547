//! A ptrace(2) tracer that makes one system call of vsrun fail, as `strace --inject` does. Unlike strace it follows
//! only vsrun's own processes: it detaches from a process that executes another program (server, handler, logger). The
//! test can lift the fault while vsrun runs.

#![allow(unsafe_code)]

use super::{Call, Running, sys};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

/// One system call of one vsrun process. The role of the first process is `vsrun`, that of its second child `vsrun.2`,
/// and that of this child's first child `vsrun.2.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub role: String,
    pub call: &'static str,
    /// The position among the calls of this name in this process, from 1.
    pub number: usize,
}

/// A system call to fail, and the error that it returns.
#[derive(Debug, Clone)]
pub struct Fault {
    pub point: Point,
    /// The kind of descriptor that the call must have as its first argument: see [`kind`]. Empty if it has none.
    pub argument_kind: String,
    /// The errno that the call returns.
    pub error: i32,
    /// True if every later call of this name on a descriptor of this kind fails too, in every vsrun process, until the
    /// fault is lifted.
    pub for_good: bool,
}

/// A vsrun process that ended: its role, and its status as wait(2) reports it.
pub type Death = (String, i32);

/// State that the tracer's thread and the test share while the program runs.
#[derive(Default)]
pub struct TraceState {
    lifted: AtomicBool,
    injected: AtomicUsize,
    ended: AtomicBool,
    /// The exit status of the first process once `ended` is true; -1 if a signal killed it.
    status: AtomicI64,
    living: Mutex<HashMap<i32, String>>,
    began: Mutex<Option<Running>>,
    /// The seconds that the tracer adds to the wall clock as vsrun reads it.
    clock: AtomicI64,
}

impl TraceState {
    /// Lifts the fault: from now on the tracer makes no call fail.
    pub fn lift(&self) {
        self.lifted.store(true, Ordering::SeqCst);
    }

    /// Sets the seconds that the tracer adds to the wall clock as vsrun reads it from now on.
    pub fn set_clock(&self, seconds: i64) {
        self.clock.store(seconds, Ordering::SeqCst);
    }

    /// Returns how many calls the tracer has made fail.
    pub fn injected(&self) -> usize {
        self.injected.load(Ordering::SeqCst)
    }

    /// True if the first process has exited or was killed.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns the exit status of the first process, or None if a signal killed it. Valid once [`Self::has_ended`] is
    /// true.
    pub fn status(&self) -> Option<i32> {
        i32::try_from(self.status.load(Ordering::SeqCst)).ok().filter(|status| *status >= 0)
    }

    /// Returns the PID of the vsrun process with this role. None if it has ended or executed another program.
    pub fn pid(&self, role: &str) -> Option<i32> {
        self.living.lock().unwrap().iter().find(|(_, found)| *found == role).map(|(pid, _)| *pid)
    }

    /// Returns the lines that the program has written to standard error so far.
    pub fn err(&self) -> Vec<String> {
        self.began.lock().unwrap().as_ref().map(Running::err).unwrap_or_default()
    }

    /// Returns the lines that the program has written to standard output so far.
    pub fn out(&self) -> Vec<String> {
        self.began.lock().unwrap().as_ref().map(Running::out).unwrap_or_default()
    }
}

/// What the tracer recorded.
#[derive(Debug, Default)]
pub struct Trace {
    /// The exit status of the first process, or None if a signal killed it.
    pub status: Option<i32>,
    /// All system calls of vsrun, each with the kind of its first argument if that is a descriptor: see [`kind`]. The
    /// kind is recorded only in a run without a fault.
    pub calls: Vec<(Point, String)>,
    /// The ends of all vsrun processes that did not execute another program.
    pub deaths: Vec<Death>,
}

#[derive(Default)]
struct Process {
    /// None if the process is not (yet) known as one of vsrun: it will execute vsrun, or it is a new child that its
    /// parent's fork event has not reported yet.
    role: Option<String>,
    known: bool,
    stopped: bool,
    children: usize,
    counts: HashMap<&'static str, usize>,
    /// The result to put in place of the kernel's at the exit of the current system call.
    answer: Option<i64>,
    /// The address to which the current system call writes the seconds of the wall clock.
    clock: Option<u64>,
}

/// Starts the call, and traces it and every process that vsrun forks until all have ended. Needs a thread of its own.
pub fn trace(call: Call<'_>, vsrun: &Path, fault: Option<&Fault>, watched: &TraceState) -> Trace {
    let running = call.before(trace_me).start();
    let first = running.pid();
    *watched.began.lock().unwrap() = Some(running);
    let vsrun = std::fs::canonicalize(vsrun).unwrap();
    let mut tracer =
        Tracer { first, vsrun, fault, watched, armed: false, trace: Trace::default(), all: HashMap::new() };
    tracer.all.insert(first, Process { known: true, ..Process::default() });
    while let Some((pid, status)) = wait() {
        tracer.handle_wait_status(pid, status);
    }
    tracer.trace
}

struct Tracer<'a> {
    first: i32,
    vsrun: PathBuf,
    fault: Option<&'a Fault>,
    watched: &'a TraceState,
    /// True once the call at `fault.point` has been made to fail.
    armed: bool,
    trace: Trace,
    all: HashMap<i32, Process>,
}

impl Tracer<'_> {
    fn handle_wait_status(&mut self, pid: i32, status: i32) {
        if !libc::WIFSTOPPED(status) {
            self.watched.living.lock().unwrap().remove(&pid);
            if pid == self.first {
                self.trace.status = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
                self.watched.status.store(self.trace.status.map_or(-1, i64::from), Ordering::SeqCst);
                self.watched.ended.store(true, Ordering::SeqCst);
            }
            if let Some(Process { role: Some(role), .. }) = self.all.remove(&pid) {
                self.trace.deaths.push((role, status));
            }
            return;
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        let process = self.all.entry(pid).or_default();
        let mut deliver = 0;
        match event {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                process.children += 1;
                let role = process.role.as_ref().map(|role| format!("{role}.{}", process.children));
                let child = message(pid);
                let found = self.all.entry(child).or_default();
                (found.role, found.known) = (role.clone(), true);
                if let Some(role) = role {
                    self.watched.living.lock().unwrap().insert(child, role);
                }
                if found.stopped {
                    self.resume(child, 0);
                }
            }
            libc::PTRACE_EVENT_EXEC => return self.exec(pid),
            _ if signal == libc::SIGTRAP | 0x80 => self.call(pid),
            _ if !process.known => {
                process.stopped = true;
                return;
            }
            _ if signal == libc::SIGTRAP && pid == self.first && process.role.is_none() => {
                let options = libc::PTRACE_O_TRACESYSGOOD
                    | libc::PTRACE_O_TRACEFORK
                    | libc::PTRACE_O_TRACEVFORK
                    | libc::PTRACE_O_TRACECLONE
                    | libc::PTRACE_O_TRACEEXEC
                    | libc::PTRACE_O_EXITKILL;
                request(libc::PTRACE_SETOPTIONS, pid, 0, options.into());
                return self.exec(pid);
            }
            // The SIGSTOP with which every new traced process begins.
            _ if signal == libc::SIGSTOP => {}
            _ => deliver = signal,
        }
        self.resume(pid, deliver);
    }

    /// Handles an exec: the process now runs vsrun itself, or another program, from which the tracer detaches.
    fn exec(&mut self, pid: i32) {
        let is_vsrun = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == self.vsrun);
        let Some(process) = self.all.get_mut(&pid) else { return };
        if process.role.is_none() && is_vsrun {
            process.role = Some("vsrun".to_owned());
            self.watched.living.lock().unwrap().insert(pid, "vsrun".to_owned());
        } else if process.role.is_some() {
            self.all.remove(&pid);
            self.watched.living.lock().unwrap().remove(&pid);
            request(libc::PTRACE_DETACH, pid, 0, 0);
            return;
        }
        self.resume(pid, 0);
    }

    /// Handles the entry and the exit of a system call.
    fn call(&mut self, pid: i32) {
        let Some((begins, number, [first, second])) = system_call(pid) else { return };
        let Some(process) = self.all.get_mut(&pid) else { return };
        let Some(role) = &process.role else { return };
        if !begins {
            if let Some(answer) = process.answer.take() {
                poke(pid, RESULT, answer);
            }
            if let Some(address) = process.clock.take() {
                shift(pid, address, self.watched.clock.load(Ordering::SeqCst));
            }
            return;
        }
        let call = name(number);
        process.clock = (call == "clock_gettime" && first == 0).then_some(second);
        let count = process.counts.entry(call).or_default();
        *count += 1;
        let point = Point { role: role.clone(), call, number: *count };
        if let Some(fault) = self.fault
            && fault.point.call == call
            && !self.watched.lifted.load(Ordering::SeqCst)
        {
            // If the order of two concurrent calls differs from run to run, their numbers are swapped. The descriptor's
            // kind tells them apart.
            let is_it = fault.point == point && kind(pid, first) == fault.argument_kind;
            self.armed |= is_it;
            if is_it || self.armed && fault.for_good && kind(pid, first) == fault.argument_kind {
                self.watched.injected.fetch_add(1, Ordering::SeqCst);
                process.answer = Some(-i64::from(fault.error));
                // The kernel closes a descriptor even if close(2) returns an error, so only the result of close(2) is
                // replaced.
                if call != "close" {
                    poke(pid, NUMBER, -1);
                }
            }
        }
        // The kinds are needed only by the run that collects the calls to fail.
        let on = if self.fault.is_none() { kind(pid, first) } else { String::new() };
        self.trace.calls.push((point, on));
    }

    fn resume(&mut self, pid: i32, signal: i32) {
        let inside = self.all.get(&pid).is_some_and(|process| process.role.is_some());
        let how = if inside { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
        request(how, pid, 0, signal.into());
    }
}

// ------------------------------------------------------------------------------------------------------------------
// ptrace(2) requests and the names of system calls.

fn trace_me() -> io::Result<()> {
    let what = i64::from(libc::PTRACE_TRACEME);
    // SAFETY: takes nothing.
    if unsafe { libc::syscall(libc::SYS_ptrace, what, 0, 0, 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits for the next state change of a child or traced process of this thread. None if there is no such process.
fn wait() -> Option<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: the status lives through the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match pid {
            1.. => return Some((pid, status)),
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}

/// Makes a ptrace(2) request. It fails only if the process was killed meanwhile; wait(2) will report that.
fn request(what: impl Into<i64>, pid: i32, address: usize, data: i64) {
    // SAFETY: none of our requests with plain numbers writes to our memory.
    unsafe { libc::syscall(libc::SYS_ptrace, what.into(), pid, address, data) };
}

fn message(pid: i32) -> i32 {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the message lives through the call.
    unsafe { libc::syscall(libc::SYS_ptrace, i64::from(libc::PTRACE_GETEVENTMSG), pid, 0, &raw mut message) };
    i32::try_from(message).unwrap_or(0)
}

/// Returns true, the number and the first two arguments at the entry of a system call. At its exit, returns false, and
/// the other values have no meaning.
fn system_call(pid: i32) -> Option<(bool, i64, [u64; 2])> {
    const GET_SYSCALL_INFO: i64 = 0x420e;
    const ENTRY: u64 = 1;
    // struct ptrace_syscall_info: the kind of stop in byte 0, the system call's number at byte 24, its arguments from
    // byte 32.
    let mut info = [0_u64; 11];
    // SAFETY: the structure has that size and lives through the call.
    let size = unsafe { libc::syscall(libc::SYS_ptrace, GET_SYSCALL_INFO, pid, size_of_val(&info), info.as_mut_ptr()) };
    (size > 0).then(|| (info[0] & 0xff == ENTRY, info[3].cast_signed(), [info[4], info[5]]))
}

/// Offset in bytes of `orig_rax` (below: of `rax`) in the user area of a stopped process on x86-64.
const NUMBER: usize = 15 * 8;
const RESULT: usize = 10 * 8;

/// Adds `seconds` to the 64-bit number at this address of a stopped process.
fn shift(pid: i32, address: u64, seconds: i64) {
    if seconds == 0 {
        return;
    }
    let (what, address) = (i64::from(libc::PTRACE_PEEKDATA), usize::try_from(address).unwrap());
    let mut found = 0_i64;
    // SAFETY: the number lives through the call.
    if unsafe { libc::syscall(libc::SYS_ptrace, what, pid, address, &raw mut found) } == 0 {
        request(libc::PTRACE_POKEDATA, pid, address, found + seconds);
    }
}

/// Returns what a descriptor is: `pipe`, `socket` or `anon_inode`; empty if it is a file or not open.
fn kind(pid: i32, fd: u64) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default();
    link.to_string_lossy().split_once(':').map(|(kind, _)| kind.to_owned()).unwrap_or_default()
}

fn poke(pid: i32, register: usize, value: i64) {
    request(libc::PTRACE_POKEUSER, pid, register, value);
}

/// True if the tests can trace vsrun on this machine, which needs root and a vsrun for x86-64 without an emulator.
pub fn can_trace() -> bool {
    let is = cfg!(target_arch = "x86_64") && !super::sandbox::emulated() && {
        std::fs::read(super::sandbox::built("vsrun")).unwrap()[18] == 62
    };
    super::available(is, "a vsrun for x86-64 that is not emulated") && sys::user() == 0
}

macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// Each system call's number, and the name of its constant.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const NAMES: &[(i64, &str)] = names!(
    SYS_read SYS_write SYS_open SYS_close SYS_stat SYS_fstat SYS_lstat SYS_poll SYS_lseek SYS_mmap SYS_mprotect
    SYS_munmap SYS_brk SYS_rt_sigaction SYS_rt_sigprocmask SYS_ioctl SYS_pread64 SYS_pwrite64 SYS_readv SYS_writev
    SYS_access SYS_pipe SYS_madvise SYS_dup SYS_dup2 SYS_nanosleep SYS_getpid SYS_sendfile SYS_socket SYS_connect
    SYS_accept SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg SYS_shutdown SYS_bind SYS_listen SYS_getsockname
    SYS_getpeername SYS_socketpair SYS_setsockopt SYS_getsockopt SYS_clone SYS_fork SYS_vfork SYS_execve SYS_exit
    SYS_wait4 SYS_kill SYS_fcntl SYS_fsync SYS_ftruncate SYS_getcwd SYS_chdir SYS_fchdir SYS_rename SYS_mkdir
    SYS_rmdir SYS_link SYS_unlink SYS_symlink SYS_readlink SYS_chmod SYS_fchmod SYS_chown SYS_fchown SYS_lchown
    SYS_umask SYS_getrlimit SYS_getrusage SYS_getuid SYS_getgid SYS_geteuid SYS_getegid SYS_getppid SYS_getpgrp
    SYS_setsid SYS_setpgid SYS_getgroups SYS_setgroups SYS_setresuid SYS_getresuid SYS_setresgid SYS_getresgid
    SYS_getpgid SYS_getsid SYS_capget SYS_capset SYS_rt_sigpending SYS_rt_sigtimedwait SYS_statfs SYS_fstatfs
    SYS_getpriority SYS_setpriority SYS_prctl SYS_arch_prctl SYS_chroot SYS_sync SYS_tgkill SYS_tkill SYS_gettid
    SYS_time SYS_futex SYS_getdents64 SYS_set_tid_address SYS_clock_gettime SYS_clock_nanosleep SYS_exit_group
    SYS_waitid SYS_openat SYS_mkdirat SYS_fchownat SYS_newfstatat SYS_unlinkat SYS_renameat SYS_linkat
    SYS_readlinkat SYS_fchmodat SYS_faccessat SYS_pselect6 SYS_ppoll SYS_splice SYS_tee SYS_fallocate SYS_signalfd4
    SYS_dup3 SYS_pipe2 SYS_preadv SYS_pwritev SYS_prlimit64 SYS_sendmmsg SYS_renameat2 SYS_getrandom SYS_statx
    SYS_pidfd_send_signal SYS_pidfd_open SYS_clone3 SYS_close_range SYS_openat2 SYS_faccessat2 SYS_pwritev2
    SYS_preadv2 SYS_accept4 SYS_epoll_create1 SYS_utimensat SYS_reboot SYS_setreuid SYS_setregid SYS_setuid
    SYS_setgid SYS_setfsuid SYS_setfsgid SYS_rt_sigreturn SYS_alarm SYS_uname SYS_timer_create SYS_timer_settime
    SYS_timer_delete SYS_keyctl SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
    SYS_rt_sigqueueinfo SYS_mount SYS_umount2
);
#[cfg(not(target_arch = "x86_64"))]
const NAMES: &[(i64, &str)] = &[];

fn name(number: i64) -> &'static str {
    NAMES.iter().find(|(found, _)| *found == number).map_or("?", |(_, name)| &name[4..])
}
