//! The kernel calls that the tests need and std does not have. Most of the unsafe code of the test crate is here.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

pub fn user() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

pub fn pid() -> i32 {
    std::process::id().cast_signed()
}

pub fn kill(pid: i32, signal: i32) {
    assert!(pid > 1, "{pid} would mean more than one process");
    // SAFETY: plain numbers. A process that is gone already is as good as killed.
    unsafe { libc::kill(pid, signal) };
}

pub fn close(fd: RawFd) {
    // SAFETY: called between fork and exec only, where no owner of the descriptor will use it any more.
    unsafe { libc::close(fd) };
}

pub fn before_exec(command: &mut Command, hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: the hooks make system calls with memory that was allocated before the fork.
    unsafe { command.pre_exec(hook) };
}

/// Sets all user IDs and group IDs of the caller to `user`, and removes its supplementary groups.
pub fn become_plain(user: u32) -> io::Result<()> {
    // SAFETY: no group, and the pointer is not read for a length of 0.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::setresgid(user, user, user) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::setresuid(user, user, user) })
}

pub fn set_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check(unsafe { libc::setsid() })
}

/// Makes the terminal on `fd` the controlling terminal of the caller's session.
pub fn take_terminal(fd: RawFd) -> io::Result<()> {
    // SAFETY: this request takes a number.
    check(unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) })
}

/// Opens a netlink socket for the kernel's device events.
pub fn netlink_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let number = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT) };
    check(number)?;
    // SAFETY: the kernel has just created it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes the descriptor `to` a duplicate of `from` that stays open in the program that the caller executes next.
/// dup2(2) with two equal numbers would leave the close-on-exec flag set, so that case only clears the flag.
pub fn duplicate(from: RawFd, to: RawFd) -> io::Result<()> {
    if from == to {
        // SAFETY: only clears a flag of the descriptor.
        return check(unsafe { libc::fcntl(to, libc::F_SETFD, 0) });
    }
    // SAFETY: called between fork and exec, on numbers that nothing owns.
    check(unsafe { libc::dup2(from, to) })
}

pub fn limit_processes(most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) })
}

pub fn limit_descriptors(most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

pub fn limit_core(most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) })
}

/// Moves the caller into a new network namespace, whose only interface is a loopback that is down.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: called between fork and exec, in a process of one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Installs a seccomp filter, which the kernel runs before each system call of the caller and of its future children,
/// also after an exec.
pub fn filter_calls(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: u16::try_from(program.len()).unwrap_or(0), filter: program.as_mut_ptr() };
    // SAFETY: the program and its list live through the call.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}

/// Sets the caller's supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list lives through the call.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })
}

pub fn set_group(group: u32) -> io::Result<()> {
    // SAFETY: a plain number.
    check(unsafe { libc::setgid(group) })
}

/// Executes `program` with an empty argument list, in which even argument 0 is missing. Returns only if that fails.
pub fn exec_without_arguments(program: &CStr, environment: &[&CStr]) -> io::Result<()> {
    let mut list = [std::ptr::null(); 8];
    list.iter_mut().zip(environment).for_each(|(sandbox, word)| *sandbox = word.as_ptr());
    let nothing = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both lists end with a null pointer, and all strings live through the call.
    check(unsafe { libc::execve(program.as_ptr(), nothing.as_ptr(), list.as_ptr()) })
}

pub fn umask(mask: u32) -> io::Result<()> {
    // SAFETY: a plain number, cannot fail. Called between fork and exec.
    unsafe { libc::umask(mask) };
    Ok(())
}

/// Blocks all signals, and ignores all that can be ignored. vsrun must undo this for its server.
pub fn block_and_ignore_signals() -> io::Result<()> {
    let all = u64::MAX;
    // The fields of the kernel's `struct sigaction`: handler, flags, restorer, mask.
    let ignored: [u64; 4] = [libc::SIG_IGN as u64, 0, 0, 0];
    for signal in 1..=64 {
        // SAFETY: the action lives through the call; KILL and STOP are refused, which is all right.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, ignored.as_ptr(), 0_usize, 8_usize) };
    }
    // SAFETY: the set lives through the call.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, 0_usize, 8_usize) };
    Ok(())
}

pub fn ignore_signal(signal: i32) -> io::Result<()> {
    // SAFETY: no code of ours is called by a signal. Called between fork and exec.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
    Ok(())
}

/// Sets the caller's signal mask: exactly these signals are blocked.
pub fn block_signals(signals: &[i32]) -> io::Result<()> {
    let set: u64 = signals.iter().map(|signal| 1 << (signal - 1)).sum();
    // SAFETY: the set lives through the call. Called between fork and exec.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set, 0_usize, 8_usize) };
    Ok(())
}

pub fn change_root(path: &OsStr) -> io::Result<()> {
    let path = c_string(path);
    // SAFETY: the string lives through the call.
    check(unsafe { libc::chroot(path.as_ptr()) })?;
    change_directory(c"/")
}

pub fn change_directory(path: &CStr) -> io::Result<()> {
    // SAFETY: the string lives through the call.
    check(unsafe { libc::chdir(path.as_ptr()) })
}

/// Moves the caller into a new mount namespace, whose mounts do not propagate to any other namespace.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: called between fork and exec, in a process of one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let nothing = std::ptr::null();
    // SAFETY: a change of the propagation reads the target only.
    check(unsafe { libc::mount(nothing, c"/".as_ptr(), nothing, libc::MS_REC | libc::MS_PRIVATE, nothing.cast()) })
}

pub fn mount(from: &CString, to: &CString, kind: &CString, flags: libc::c_ulong, data: &CString) -> io::Result<()> {
    // SAFETY: all strings live through the call.
    check(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
}

pub fn enter_mounts(namespace: &File) -> io::Result<()> {
    // SAFETY: called between fork and exec, in a process of one thread.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })
}

/// True if the file system of `path` is mounted without nosuid, so that set-user-id bits take effect.
pub fn grants_special_rights(path: &Path) -> bool {
    let path = c_string(path.as_os_str());
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: string and structure live through the call.
    check(unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) }).unwrap();
    // SAFETY: the call has filled it, and zeroes would do as well.
    unsafe { found.assume_init() }.f_flag & libc::ST_NOSUID == 0
}

pub fn make_fifo(path: &OsStr) -> io::Result<()> {
    let path = c_string(path);
    // SAFETY: the string lives through the call.
    check(unsafe { libc::mkfifo(path.as_ptr(), 0o644) })
}

/// Creates a pipe, and returns its read end and its write end.
pub fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }).unwrap();
    (own(ends[0]), own(ends[1]))
}

fn own(fd: RawFd) -> File {
    // SAFETY: new from the kernel, and owned by nothing else.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Creates a pseudo-terminal, and returns its master (keyboard and screen) and its slave (for descriptors 0-2 of a
/// program).
pub fn pseudo_terminal() -> (File, File) {
    let (mut outer, mut inner) = (0, 0);
    let nothing = std::ptr::null_mut();
    // SAFETY: two numbers are written, nothing else is wanted.
    check(unsafe { libc::openpty(&raw mut outer, &raw mut inner, nothing, nothing.cast(), nothing.cast()) }).unwrap();
    for fd in [outer, inner] {
        // SAFETY: plain numbers.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).unwrap();
    }
    (own(outer), own(inner))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    None,
    Shared,
    Exclusive,
}

/// Returns the kind of lock that keeps us from an exclusive lock on the file. F_OFD_GETLK and F_GETLK must agree.
pub fn lock_of(file: &File) -> Lock {
    let answers = [libc::F_OFD_GETLK, libc::F_GETLK].map(|question| {
        let mut lock = whole_file(libc::F_WRLCK);
        // SAFETY: the lock lives through the call, which writes the answer into it.
        check(unsafe { libc::fcntl(file.as_raw_fd(), question, &raw mut lock) }).unwrap();
        match i32::from(lock.l_type) {
            libc::F_UNLCK => Lock::None,
            libc::F_RDLCK => Lock::Shared,
            _ => Lock::Exclusive,
        }
    });
    assert_eq!(answers[0], answers[1], "what F_OFD_GETLK and F_GETLK say");
    answers[0]
}

/// Takes an open-file-description lock, which conflicts with the locks of every other process. A child that another
/// thread forked keeps a released lock until its exec, so this retries for a second.
pub fn lock(file: &File, kind: i32) -> io::Result<()> {
    let lock = whole_file(kind);
    let mut result = Ok(());
    for _ in 0..1000 {
        // SAFETY: the lock lives through the call.
        result = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) });
        if result.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    result
}

/// Takes the lock that a starting vsrun takes first: on all bytes after the first MiB, so not on the PID in the file.
pub fn lock_as_a_starting_vsrun(file: &File) -> io::Result<()> {
    let lock = libc::flock { l_start: 1 << 20, ..whole_file(libc::F_WRLCK) };
    // SAFETY: the lock lives through the call.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) })
}

/// Opens a file and takes a record lock, a flock(2) lock and an open-file-description lock on it. All are kept across
/// an exec: to be called between fork and exec.
pub fn open_and_lock(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) })?;
    let record = whole_file(libc::F_RDLCK);
    // SAFETY: the lock lives through the call.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const record) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH) })?;
    lock(&file, libc::F_RDLCK)?;
    std::mem::forget(file);
    Ok(())
}

/// Takes a write lease on the file: any other process that opens or executes it waits until the returned file is
/// dropped, or until the kernel breaks the lease (after 45 s).
pub fn take_write_lease(path: &Path) -> File {
    let file = File::open(path).unwrap();
    ignore_signal(libc::SIGIO).unwrap();
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) }).unwrap();
    file
}

/// True if a process waits because of the lease that [`hold_up`] took on this file.
pub fn lease_blocks_a_process(file: &File) -> bool {
    // SAFETY: plain numbers.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) != libc::F_WRLCK }
}

/// Tries to take an exclusive flock(2) lock, and returns true if no other process holds one.
pub fn flock_is_free(file: &File) -> bool {
    // SAFETY: plain numbers.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

pub fn c_string(bytes: &OsStr) -> CString {
    CString::new(bytes.as_bytes()).unwrap()
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// True if the pipe is empty and no process has its write end open. Otherwise reads and discards up to 4096 bytes.
pub fn at_end(reader: &File) -> bool {
    let mut wanted = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one element, which lives through the call.
    check(unsafe { libc::poll(&raw mut wanted, 1, 0) }).unwrap();
    if wanted.revents & libc::POLLIN == 0 {
        return wanted.revents & libc::POLLHUP != 0;
    }
    let mut block = [0; 4096];
    std::io::Read::read(&mut &*reader, &mut block).unwrap() == 0
}

/// Fills a pipe until not a single byte more fits.
pub fn fill(writer: &File) {
    let fd = writer.as_raw_fd();
    // SAFETY: plain numbers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }).unwrap();
    while std::io::Write::write(&mut &*writer, &[b'x'; 512]).is_ok() {}
    while std::io::Write::write(&mut &*writer, b"x").is_ok() {}
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) }).unwrap();
}

/// Creates a null device at this path.
pub fn make_null(path: &Path) -> io::Result<()> {
    make_character_device(path, 1, 3)
}

/// Creates a character device with these numbers and with mode 0666 as far as the umask permits.
pub fn make_character_device(path: &Path, major: u32, minor: u32) -> io::Result<()> {
    let path = c_string(path.as_os_str());
    // SAFETY: the string lives through the call.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)) })
}

/// Sets the access and modification times of a file in seconds since 1970. Of a symbolic link, its own times are set.
pub fn set_modified(path: &Path, seconds: i64) {
    let path = c_string(path.as_os_str());
    let time = libc::timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = [time, time];
    // SAFETY: string and times live through the call.
    check(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) })
        .unwrap();
}

/// Returns the time of the monotonic clock in microseconds.
pub fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives through the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }).unwrap();
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unwrap()
}

/// Sets the size of a terminal, as a terminal emulator does when its window is resized.
pub fn resize(terminal: &File, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the size lives through the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).unwrap();
}

/// Gives the caller a new session keyring with a key of this name.
pub fn make_key(name: &CStr) -> io::Result<()> {
    // SAFETY: no name, so a new keyring without one.
    check_long(unsafe { libc::syscall(libc::SYS_keyctl, 1, 0) })?;
    // SAFETY: the strings live through the call; -3 is the session keyring.
    check_long(unsafe { libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), c"x".as_ptr(), 1_usize, -3) })
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Traces a process from a new thread until the returned sender is dropped. The thread never calls wait(2) for the
/// process, so until then the kernel does not report the exit of the process to its parent.
pub fn trace_without_waiting(pid: i32) -> std::sync::mpsc::Sender<()> {
    const PTRACE_SEIZE: libc::c_uint = 0x4206;
    let (hold, held) = std::sync::mpsc::channel();
    let (report, reported) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: plain numbers; with SEIZE the process goes on.
        let result = unsafe { libc::ptrace(PTRACE_SEIZE as _, pid, 0, 0) };
        report.send(check(i32::try_from(result).unwrap())).unwrap();
        let _ = held.recv();
    });
    reported.recv().unwrap().unwrap();
    hold
}
