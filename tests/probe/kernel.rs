//! System calls of the probe. The calls for signals do not go through the C library, which reserves signals 32 to 34
//! for itself.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

/// The kernel's `struct sigaction`, which differs from the C library's.
#[repr(C)]
#[derive(Default)]
struct Disposition {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

const SET_BYTES: usize = size_of::<u64>();

pub fn pid() -> i32 {
    unsafe { libc::getpid() }
}

pub fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(count) => bytes = &bytes[count..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

pub fn read(fd: i32, block: &mut [u8]) -> io::Result<usize> {
    let count = unsafe { libc::read(fd, block.as_mut_ptr().cast(), block.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

pub fn open_to_append(file: &Path) -> io::Result<i32> {
    let name = c_string(file);
    let fd =
        unsafe { libc::open(name.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC, 0o666) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

pub fn close(fd: i32) {
    unsafe { libc::close(fd) };
}

pub fn milliseconds() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

pub fn pause() {
    unsafe { libc::pause() };
}

pub fn pause_for_milliseconds(count: i64) {
    let span = libc::timespec { tv_sec: (count / 1000) as _, tv_nsec: (count % 1000 * 1_000_000) as _ };
    unsafe { libc::nanosleep(&raw const span, null_mut()) };
}

pub fn leave(status: i32) -> ! {
    unsafe { libc::_exit(status) }
}

pub fn raise(signal: i32) {
    unsafe { libc::kill(libc::getpid(), signal) };
}

pub fn memory_fault() {
    unsafe { libc::mprotect(null_mut(), 0, 0) };
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

/// Sets the soft limit of processes (RLIMIT_NPROC) of a process. For a process of another user this needs
/// CAP_SYS_RESOURCE, which containers seldom have.
pub fn limit_processes(pid: i32, most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe { libc::prlimit(pid, libc::RLIMIT_NPROC, null(), &raw mut limit) };
    limit.rlim_cur = most.min(limit.rlim_max);
    if unsafe { libc::prlimit(pid, libc::RLIMIT_NPROC, &raw const limit, null_mut()) } != 0 {
        leave(98);
    }
}

/// Makes the effective user also the real and saved user, as a set-user-id program does to keep its caller from sending
/// it signals.
pub fn assume_effective_user() {
    // SAFETY: plain numbers.
    let user = unsafe { libc::geteuid() };
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::setresuid(user, user, user) }, 0);
}

pub fn allow_core() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
}

pub fn ignore(signal: i32) {
    let ignored = Disposition { handler: libc::SIG_IGN, ..Disposition::default() };
    let nothing = null_mut::<Disposition>();
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const ignored, nothing, SET_BYTES) };
}

/// Which of the signals 1 to 64 are ignored, caught, blocked and pending. In each set, signal 1 is the lowest bit.
pub fn signal_state() -> [(&'static str, u64); 4] {
    let (mut ignored, mut caught, mut blocked, mut pending) = (0, 0, 0, 0);
    for signal in 1..=64 {
        let mut found = Disposition::default();
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, null::<Disposition>(), &raw mut found, SET_BYTES) };
        match found.handler {
            libc::SIG_DFL => {}
            libc::SIG_IGN => ignored |= bit(signal),
            _ => caught |= bit(signal),
        }
    }
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, null::<u64>(), &raw mut blocked, SET_BYTES) };
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, SET_BYTES) };
    [("ignored", ignored), ("caught", caught), ("blocked", blocked), ("pending", pending)]
}

pub fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

pub fn block_all() {
    set_mask(u64::MAX);
}

pub fn unblock_all() {
    set_mask(0);
}

fn set_mask(mask: u64) {
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, null_mut::<u64>(), SET_BYTES)
    };
}

pub fn next_signal() -> i32 {
    let all = u64::MAX;
    loop {
        let no_limit = null::<libc::timespec>();
        let signal = unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, null_mut::<libc::siginfo_t>(), no_limit, SET_BYTES)
        };
        if signal > 0 {
            return signal as i32;
        }
    }
}

/// Leaves `count` grandchildren. Each one waits until its parent has exited, so it exits as the child of another
/// process.
pub fn orphans(count: u64, mut report: impl FnMut(i32, i32)) {
    for _ in 0..count {
        let parent = unsafe { libc::fork() };
        if parent == 0 {
            let parent = pid();
            if unsafe { libc::fork() } == 0 {
                while unsafe { libc::getppid() } == parent {
                    pause_for_milliseconds(1);
                }
                report(pid(), unsafe { libc::getppid() });
                leave(7);
            }
            leave(0);
        }
        unsafe { libc::waitpid(parent, null_mut(), 0) };
    }
}

pub fn leave_waiting_orphans(count: u64) {
    for _ in 0..count {
        let parent = unsafe { libc::fork() };
        if parent == 0 {
            if unsafe { libc::fork() } == 0 {
                loop {
                    pause();
                }
            }
            leave(0);
        }
        unsafe { libc::waitpid(parent, null_mut(), 0) };
    }
}

pub fn poke(signal: i32) {
    unsafe { libc::kill(libc::getppid(), signal) };
}

pub fn child_that_stays() -> i32 {
    // No signal reaches the child before it ignores SIGTERM and SIGHUP.
    block_all();
    let child = unsafe { libc::fork() };
    if child == 0 {
        ignore(libc::SIGTERM);
        ignore(libc::SIGHUP);
        unblock_all();
        loop {
            pause();
        }
    }
    unblock_all();
    child
}

pub fn lock(file: &Path) {
    let name = c_string(file);
    let fd = unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    if unsafe { libc::fcntl(fd, libc::F_SETLK, &raw const lock) } != 0 {
        leave(98);
    }
}

/// Tries each way back to root, and returns a line for each: its name, and `refused` or `DONE`.
pub fn regain() -> String {
    let root = [0; 1];
    let unchanged = libc::uid_t::MAX;
    let ways = [
        ("setuid", unsafe { libc::setuid(0) }),
        ("seteuid", unsafe { libc::seteuid(0) }),
        ("setreuid", unsafe { libc::setreuid(0, 0) }),
        ("setresuid-real", unsafe { libc::setresuid(0, unchanged, unchanged) }),
        ("setresuid-saved", unsafe { libc::setresuid(unchanged, unchanged, 0) }),
        ("setgid", unsafe { libc::setgid(0) }),
        ("setregid", unsafe { libc::setregid(0, 0) }),
        ("setgroups", unsafe { libc::setgroups(1, root.as_ptr()) }),
        ("chroot", unsafe { libc::chroot(c"/".as_ptr()) }),
        ("fchdir", (3..64).map(|fd| unsafe { libc::fchdir(fd) }).max().unwrap_or(-1)),
    ];
    ways.iter().map(|(name, result)| format!("{name} {}\n", if *result == 0 { "DONE" } else { "refused" })).collect()
}

pub fn push_keystroke(fd: i32) -> String {
    outcome(unsafe { libc::ioctl(fd, libc::TIOCSTI, c"x".as_ptr()) } == 0)
}

pub fn scribble(fd: i32) -> String {
    let by_write = unsafe { libc::write(fd, c"1\n".as_ptr().cast(), 2) } == 2;
    outcome(by_write || unsafe { libc::ftruncate(fd, 0) } == 0)
}

fn outcome(done: bool) -> String {
    let error = io::Error::last_os_error();
    if done { "DONE".to_owned() } else { format!("refused {}", error.raw_os_error().unwrap_or(0)) }
}

pub fn c_string(file: &Path) -> CString {
    CString::new(file.as_os_str().as_bytes()).unwrap_or_default()
}

/// Answers every connection with these words, and closes it.
pub fn serve(fd: i32, words: &[u8]) -> ! {
    loop {
        let client = unsafe { libc::accept4(fd, null_mut(), null_mut(), libc::SOCK_CLOEXEC) };
        if client < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            leave(97);
        }
        write_all(client, words);
        close(client);
    }
}

/// Answers connections with these words until SIGTERM is pending, and exits. The socket is non-blocking, because
/// another process may accept a connection first.
pub fn drain(fd: i32, words: &[u8]) -> ! {
    block_all();
    unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
    loop {
        let mut pending = 0_u64;
        unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, SET_BYTES) };
        if pending & bit(libc::SIGTERM) != 0 {
            leave(0);
        }
        let mut socket = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        unsafe { libc::poll(&raw mut socket, 1, 10) };
        let client = unsafe { libc::accept4(fd, null_mut(), null_mut(), libc::SOCK_CLOEXEC) };
        if client >= 0 {
            write_all(client, words);
            close(client);
        }
    }
}

pub fn shut(fd: i32) {
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// On a listening socket this also ends an accept(2) that waits.
pub fn shut_reading(fd: i32) {
    unsafe { libc::shutdown(fd, libc::SHUT_RD) };
}

/// Connects a socket of either family to a port of 127.0.0.1.
pub fn connect(fd: i32, port: u16) {
    let [high, low] = port.to_be_bytes();
    let mut v4 = [0_u8; 16];
    v4[..8].copy_from_slice(&[2, 0, high, low, 127, 0, 0, 1]);
    let mut v6 = [0_u8; 28];
    (v6[0], v6[2], v6[3]) = (10, high, low);
    v6[18..24].copy_from_slice(&[255, 255, 127, 0, 0, 1]);
    let done = [&v4[..], &v6[..]]
        .into_iter()
        .any(|address| unsafe { libc::connect(fd, address.as_ptr().cast(), address.len() as _) } == 0);
    if !done {
        leave(96);
    }
}

pub fn receive(fd: i32) -> Vec<u8> {
    let mut block = vec![0; 4096];
    let count = unsafe { libc::recv(fd, block.as_mut_ptr().cast(), block.len(), 0) };
    block.truncate(usize::try_from(count).unwrap_or(0));
    block
}

/// Calls `act` in a child, which then exits, and waits for the child.
pub fn forked(act: impl FnOnce()) {
    let child = unsafe { libc::fork() };
    if child == 0 {
        act();
        leave(0);
    }
    unsafe { libc::waitpid(child, null_mut(), 0) };
}
