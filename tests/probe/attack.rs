//! Attacks of a hostile server on other processes, its terminal and root's keys. Each attempt is reported in a line:
//! its name, and `DONE` or `refused`.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ptr::null_mut;

fn lines(attempts: &[(&str, bool)]) -> String {
    attempts.iter().map(|(name, done)| format!("{name} {}\n", if *done { "DONE" } else { "refused" })).collect()
}

fn error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Tries each way into another process, and returns a line for each.
pub fn reach(pid: i32) -> String {
    let path = |name: &str| format!("/proc/{pid}/{name}");
    let attached = unsafe { libc::ptrace(libc::PTRACE_ATTACH, pid, 0, 0) } == 0;
    if attached {
        unsafe { libc::waitpid(pid, null_mut(), libc::__WALL) };
        unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) };
    }
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) } == 0;
    if seized {
        unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0) };
        unsafe { libc::waitpid(pid, null_mut(), libc::__WALL) };
        unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) };
    }
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let stolen = unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle, 1, 0) } >= 0;
    let mut byte = 0_u8;
    let here = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let there = libc::iovec { iov_base: 16 as *mut _, iov_len: 1 };
    // No process has memory at address 16: the error is EFAULT if reading is permitted, otherwise EPERM.
    let read = unsafe { libc::process_vm_readv(pid, &raw const here, 1, &raw const there, 1, 0) } >= 0
        || error() == libc::EFAULT;
    lines(&[
        ("attach", attached),
        ("seize", seized),
        ("getfd", stolen),
        ("readv", read),
        ("root", fs::read_dir(path("root/etc")).is_ok() || fs::read_link(path("root")).is_ok()),
        ("cwd", fs::read_link(path("cwd")).is_ok()),
        ("fd", fs::read_link(path("fd/1")).is_ok() || OpenOptions::new().write(true).open(path("fd/1")).is_ok()),
        ("exe", fs::read_link(path("exe")).is_ok()),
        ("mem", File::open(path("mem")).is_ok()),
        ("environ", fs::read(path("environ")).is_ok()),
    ])
}

/// Tries to read from an open terminal, to make it the controlling terminal, to push a keystroke into it and to open it
/// again. Returns a line for each attempt.
pub fn terminal(fd: i32) -> String {
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let readable = flags >= 0 && flags & libc::O_ACCMODE != libc::O_WRONLY;
    let own = unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) } == 0 || in_new_session(fd);
    let push = unsafe { libc::ioctl(fd, libc::TIOCSTI, c"x".as_ptr()) } == 0;
    let reopened = OpenOptions::new().read(true).open(format!("/proc/self/fd/{fd}")).is_ok();
    lines(&[("read", readable), ("own", own), ("push", push), ("reopen", reopened)])
}

fn in_new_session(fd: i32) -> bool {
    let child = unsafe { libc::fork() };
    if child == 0 {
        let own = unsafe { libc::setsid() >= 0 && libc::ioctl(fd, libc::TIOCSCTTY, 0) == 0 };
        unsafe { libc::_exit(i32::from(!own)) };
    }
    let mut status = 1;
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status == 0
}

/// Returns the description of the session keyring, and whether a key of this name is found in it.
pub fn keys(name: &str) -> String {
    let mut text = vec![0_u8; 256];
    let length = unsafe { libc::syscall(libc::SYS_keyctl, 6, -3, text.as_mut_ptr(), text.len()) };
    text.truncate(usize::try_from(length - 1).unwrap_or(0));
    let name = CString::new(name).unwrap();
    let found = unsafe { libc::syscall(libc::SYS_keyctl, 10, -3, c"user".as_ptr(), name.as_ptr(), 0) } >= 0;
    format!("keyring {}\n{}", String::from_utf8_lossy(&text), lines(&[("key", found)]))
}
