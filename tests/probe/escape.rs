//! Attempts of a hostile server to get out of its jail: one for each row of the table in SECURITY.md.
//!
//! `escape NAME` makes one attempt and appends the result to the file `result` in the server's own directory: `out`, or
//! `kept` and the error. The attacker is assumed to know what is outside of the jail, so environment variables tell it:
//! `OWN` (the server's directory), `PROGRAM` and `SUID` (the probe, and a set-user-id copy of it), `OUTSIDE` (a
//! directory outside, with the file `secret`), `STRANGER` (the pid of a process of the server's user that is no child
//! of vsrun), `SHARED` (the id of its shared memory), `HANDLE` (the file handle of `secret`), `PORT` and `ABSTRACT` (a
//! TCP port and an abstract socket on which a process listens), `KEY` (the name of a key of vsrun's caller), and
//! `CGROUP` (a file `cgroup.procs`).

use super::kernel::{self, c_string, leave, pause_for_milliseconds};
use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Error, Read, Write};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

type Tried = io::Result<()>;

/// The name of an attempt in the table, and its function, which returns Ok if it got out of the jail.
type Attempt = (&'static str, fn() -> Tried);

pub const ATTEMPTS: &[Attempt] = &[
    // Attempts to reach a file outside by its path.
    ("path", || read_secret(&outside("secret"))),
    ("dots", || read_secret(&above(&own(".")))),
    ("symlink", || symlink(outside("secret"), own("link")).and_then(|()| read_secret(&own("link")))),
    ("rename", || fs::rename(outside("file"), own("renamed"))),
    ("hard-link", || fs::hard_link(outside("file"), own("linked"))),
    ("truncate", || check(unsafe { libc::truncate(c_string(&outside("file")).as_ptr(), 0) })),
    ("make", || File::create(outside("made")).map(drop)),
    ("stat", || fs::metadata(outside("secret")).map(drop)),
    ("chmod", || fs::set_permissions(outside("file"), fs::Permissions::from_mode(0o666))),
    ("watch", watch),
    ("handle", handle),
    ("io-uring", io_uring),
    ("cgroup", || OpenOptions::new().write(true).open(variable("CGROUP")).map(drop)),
    // Attempts to leave a changed root.
    ("chroot", double_chroot),
    ("userns-chroot", || unshare(libc::CLONE_NEWUSER).and_then(|()| double_chroot())),
    ("fchdir", || {
        first((3..64).map(|fd| check(unsafe { libc::fchdir(fd) }).and_then(|()| read_secret(&inner_secret()))))
    }),
    ("fd-links", || {
        first((0..64).map(|fd| read_secret(&Path::new(&format!("/proc/self/fd/{fd}")).join(inner_secret()))))
    }),
    ("moved", moved),
    ("received-directory", || received().and_then(|fds| secret_at(fds[0], c"secret"))),
    ("received-file", || received().and_then(|fds| is_secret(own_fd(fds[1])))),
    ("mount-namespace", mount_namespace),
    ("cloned-mount", || unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).and_then(|()| cloned_mount())),
    // Attempts to reach other processes.
    ("stranger-root", || read_secret(&root_of(stranger()))),
    ("manager-root", || read_secret(&root_of(manager()))),
    ("logger-root", || read_secret(&root_of(logger()?))),
    ("stranger-trace", || trace(stranger())),
    ("manager-trace", || trace(manager())),
    ("logger-trace", || trace(logger()?)),
    ("stranger-memory", || memory(stranger())),
    ("stranger-descriptor", || steal(stranger())),
    ("stranger-signal", || check(unsafe { libc::kill(stranger(), 0) })),
    ("manager-signal", || check(unsafe { libc::kill(manager(), 0) })),
    ("logger-signal", || check(unsafe { libc::kill(logger()?, 0) })),
    ("stranger-limits", || limits(stranger())),
    ("shared-memory", shared_memory),
    // Attempts to gain privileges.
    ("set-user-id", set_user_id),
    ("user-namespace", || unshare(libc::CLONE_NEWUSER)),
    ("userns-mount", || unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).and_then(|()| mount())),
    ("mount", mount),
    ("device", device),
    ("raw-socket", || socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP).map(drop)),
    ("host-name", host_name),
    ("core-pattern", || OpenOptions::new().write(true).open("/proc/sys/kernel/core_pattern").map(drop)),
    ("keyring", || check_long(unsafe { libc::syscall(libc::SYS_keyctl, 10, -3, c"user".as_ptr(), key().as_ptr(), 0) })),
    ("keystroke", keystroke),
    // Attempts to execute programs of its own.
    ("own-program", || own_program().and_then(|program| execute(&program))),
    ("own-program-fd", || execute_open(File::open(own_program()?)?.as_raw_fd())),
    ("memory-program", memory_program),
    // Attempts to reach sockets.
    ("tcp-connect", || std::net::TcpStream::connect(("127.0.0.1", port())).map(drop)),
    ("tcp-bind", || std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
    ("udp", || std::net::UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", ("127.0.0.1", port())).map(drop)),
    ("abstract-socket", abstract_socket),
    ("path-socket", || std::os::unix::net::UnixStream::connect(outside("socket")).map(drop)),
];

pub fn attempt(name: &str) {
    let Some((_, made)) = ATTEMPTS.iter().find(|(known, _)| *known == name) else {
        super::misused(&format!("unknown escape {name:?}"))
    };
    // Opened before the attempt, which may make the path unreachable.
    let result = OpenOptions::new().create(true).append(true).open(own("result"));
    let mut result = result.unwrap_or_else(|error| super::misused(&format!("the result: {error}")));
    let line = match made() {
        Ok(()) => "out\n".to_owned(),
        Err(error) => format!("kept {error}\n"),
    };
    let _ = result.write_all(line.as_bytes());
}

pub fn names() -> String {
    ATTEMPTS.iter().map(|(name, _)| format!("{name}\n")).collect()
}

/// True if this process is root. The attempt `set-user-id` executes the set-user-id probe to ask this.
pub fn is_root() -> bool {
    unsafe { libc::geteuid() == 0 }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| super::misused(&format!("{name} is missing")))
}

fn number(name: &str) -> i32 {
    variable(name).parse().unwrap_or_else(|_| super::misused(&format!("{name} is no number")))
}

fn own(name: &str) -> PathBuf {
    Path::new(&variable("OWN")).join(name)
}

fn outside(name: &str) -> PathBuf {
    Path::new(&variable("OUTSIDE")).join(name)
}

/// The path of the secret relative to the host's root.
fn inner_secret() -> PathBuf {
    outside("secret").strip_prefix("/").unwrap().to_owned()
}

fn above(from: &Path) -> PathBuf {
    from.join("../".repeat(64)).join(inner_secret())
}

fn stranger() -> i32 {
    number("STRANGER")
}

fn manager() -> i32 {
    unsafe { libc::getppid() }
}

/// The pid of the logger: the only other child of the manager.
fn logger() -> io::Result<i32> {
    let parent = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok())
    };
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let found = pids.filter(|pid| *pid != kernel::pid()).find(|pid| parent(*pid) == Some(manager()));
    found.ok_or_else(|| super::misused("there is no logger"))
}

fn root_of(pid: i32) -> PathBuf {
    Path::new(&format!("/proc/{pid}/root")).join(inner_secret())
}

fn port() -> u16 {
    number("PORT") as u16
}

fn key() -> CString {
    CString::new(variable("KEY")).unwrap()
}

fn read_secret(path: &Path) -> Tried {
    is_secret(File::open(path)?)
}

fn secret_at(directory: RawFd, path: &CStr) -> Tried {
    is_secret(own_fd(check_fd(unsafe { libc::openat(directory, path.as_ptr(), libc::O_RDONLY) })?))
}

fn is_secret(mut file: File) -> Tried {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text == "secret\n" { Ok(()) } else { Err(Error::from_raw_os_error(libc::ENOENT)) }
}

fn own_fd(fd: RawFd) -> File {
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> Tried {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

fn check_long(result: libc::c_long) -> Tried {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

fn check_fd(fd: i32) -> io::Result<RawFd> {
    check(fd).map(|()| fd)
}

/// Returns Ok at the first attempt that succeeds, or the error of the last one.
fn first(mut tries: impl Iterator<Item = Tried>) -> Tried {
    let mut last = Err(Error::from_raw_os_error(libc::EBADF));
    tries.by_ref().any(|tried| {
        last = tried;
        last.is_ok()
    });
    last
}

fn unshare(flags: i32) -> Tried {
    check(unsafe { libc::unshare(flags) })
}

fn watch() -> Tried {
    let fd = check_fd(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?;
    check(unsafe { libc::inotify_add_watch(fd, c_string(&outside("")).as_ptr(), libc::IN_ALL_EVENTS) })
}

/// Opens the secret by its file handle, for which any descriptor of the same file system suffices.
fn handle() -> Tried {
    let bytes = variable("HANDLE");
    let mut bytes: Vec<u8> =
        bytes.as_bytes().chunks(2).map(|hex| u8::from_str_radix(str::from_utf8(hex).unwrap(), 16).unwrap()).collect();
    let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(own("."))?;
    let (directory, handle) = (directory.as_raw_fd(), bytes.as_mut_ptr());
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, directory, handle, libc::O_RDONLY) };
    is_secret(own_fd(check_fd(fd as i32)?))
}

fn double_chroot() -> Tried {
    fs::create_dir(own("cell"))?;
    check(unsafe { libc::chroot(c_string(&own("cell")).as_ptr()) })?;
    climb()
}

/// Changes to the parent directory 64 times, which leads to the host's root unless the root of the process is above the
/// working directory. Then reads the secret.
fn climb() -> Tried {
    (0..64).try_for_each(|_| check(unsafe { libc::chdir(c"..".as_ptr()) }))?;
    read_secret(&inner_secret())
}

/// Waits until the accomplice has moved the working directory of this process out of the jail, and climbs from there.
fn moved() -> Tried {
    fs::create_dir(own("wanders"))?;
    std::env::set_current_dir(own("wanders"))?;
    File::create("here")?;
    while fs::metadata("there").is_err() {
        pause_for_milliseconds(2);
    }
    climb()
}

/// Receives the descriptors of a directory and a file outside from the accomplice.
fn received() -> io::Result<[RawFd; 2]> {
    let stream = std::os::unix::net::UnixStream::connect(own("accomplice"))?;
    let mut byte = [0_u8];
    let mut room = [0_usize; 8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (room.as_mut_ptr().cast(), size_of_val(&room) as _);
    check_long(unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) } as _)?;
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return Err(Error::from_raw_os_error(libc::ENOMSG));
    }
    Ok(unsafe { libc::CMSG_DATA(header).cast::<[RawFd; 2]>().read_unaligned() })
}

fn mount_namespace() -> Tried {
    let namespace = File::open(format!("/proc/{}/ns/mnt", manager()))?;
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })?;
    read_secret(&outside("secret"))
}

/// Reads the secret through a copy of the mount of `/` that is attached nowhere (open_tree(2)).
fn cloned_mount() -> Tried {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    let flags = OPEN_TREE_CLONE | libc::AT_RECURSIVE as libc::c_uint;
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, c"/".as_ptr(), flags) };
    secret_at(check_fd(fd as i32)?, &c_string(&inner_secret()))
}

fn trace(pid: i32) -> Tried {
    let nothing = null_mut::<libc::c_void>();
    check_long(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) })
}

/// No process has memory at address 16: the error is EFAULT if reading is permitted, otherwise EPERM.
fn memory(pid: i32) -> Tried {
    let mut byte = 0_u8;
    let here = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let there = libc::iovec { iov_base: 16 as *mut _, iov_len: 1 };
    let result = unsafe { libc::process_vm_readv(pid, &raw const here, 1, &raw const there, 1, 0) };
    check_long(result as _).or_else(|why| if why.raw_os_error() == Some(libc::EFAULT) { Ok(()) } else { Err(why) })
}

fn steal(pid: i32) -> Tried {
    let handle = check_fd(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32)?;
    check_long(unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle, 0, 0) })
}

fn limits(pid: i32) -> Tried {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    check(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, null(), &raw mut limit) })?;
    check(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, null_mut()) })
}

fn shared_memory() -> Tried {
    let address = unsafe { libc::shmat(number("SHARED"), null(), 0) };
    if address.addr() == usize::MAX { Err(Error::last_os_error()) } else { Ok(()) }
}

fn set_user_id() -> Tried {
    let program = CString::new(variable("SUID")).unwrap();
    status_of(|| {
        let words = [program.as_ptr(), c"root".as_ptr(), null()];
        unsafe { libc::execve(program.as_ptr(), words.as_ptr(), [null()].as_ptr()) };
    })
}

fn mount() -> Tried {
    fs::create_dir(own("mounted"))?;
    let (kind, target) = (c"tmpfs".as_ptr(), c_string(&own("mounted")));
    check(unsafe { libc::mount(kind, target.as_ptr(), kind, 0, null()) })?;
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })
}

/// Creates and reads a device node for `/dev/full`. A real attacker would take a disk.
fn device() -> Tried {
    let node = own("device");
    check(unsafe { libc::mknod(c_string(&node).as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 7)) })?;
    File::open(node)?.read_exact(&mut [0; 8])
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let fd = check_fd(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets the host name to the name that it already has.
fn host_name() -> Tried {
    let mut name = [0; 65];
    check(unsafe { libc::gethostname(name.as_mut_ptr(), name.len()) })?;
    let length = unsafe { CStr::from_ptr(name.as_ptr()) }.count_bytes();
    check(unsafe { libc::sethostname(name.as_ptr(), length) })
}

/// Pushes a keystroke into the terminal on a standard descriptor.
fn keystroke() -> Tried {
    first((0..3).map(|fd| check(unsafe { libc::ioctl(fd, libc::TIOCSTI, c"x".as_ptr()) })))
}

fn own_program() -> io::Result<PathBuf> {
    let program = own("program");
    fs::write(&program, fs::read(variable("PROGRAM"))?)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

fn execute(program: &Path) -> Tried {
    status_of(|| {
        let program = c_string(program);
        let words = [program.as_ptr(), null()];
        unsafe { libc::execve(program.as_ptr(), words.as_ptr(), [null()].as_ptr()) };
    })
}

fn execute_open(fd: RawFd) -> Tried {
    status_of(|| {
        let words = [c"program".as_ptr(), null()];
        let (words, nothing) = (words.as_ptr(), [null::<libc::c_char>()]);
        unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), words, nothing.as_ptr(), libc::AT_EMPTY_PATH) };
    })
}

fn memory_program() -> Tried {
    let mut file = own_fd(check_fd(unsafe { libc::memfd_create(c"program".as_ptr(), libc::MFD_CLOEXEC) })?);
    file.write_all(&fs::read(variable("PROGRAM"))?)?;
    execute_open(file.as_raw_fd())
}

/// Executes a program in a child. Ok if it exits with 0, which means that it ran and did its task. Any other exit
/// status is an errno.
fn status_of(become_program: impl FnOnce()) -> Tried {
    let child = check_fd(unsafe { libc::fork() })?;
    if child == 0 {
        become_program();
        leave(Error::last_os_error().raw_os_error().unwrap_or(1));
    }
    let mut status = 0;
    check(unsafe { libc::waitpid(child, &raw mut status, 0) })?;
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        error => Err(Error::from_raw_os_error(error)),
    }
}

fn abstract_socket() -> Tried {
    use std::os::linux::net::SocketAddrExt;
    let name = std::os::unix::net::SocketAddr::from_abstract_name(variable("ABSTRACT"))?;
    std::os::unix::net::UnixStream::connect_addr(&name).map(drop)
}

/// Lets the kernel open the secret through a ring with one entry (io_uring_setup(2)).
fn io_uring() -> Tried {
    const OPENAT: u8 = 18;
    let mut parameters = [0_u32; 30];
    let ring = check_fd(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) } as i32)?;
    let map = |length: usize, offset: i64| {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let address = unsafe { libc::mmap(null_mut(), length, access, libc::MAP_SHARED, ring, offset) };
        if address == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(address.cast::<u8>()) }
    };
    // In `struct io_uring_params` the offsets of the submission ring begin at byte 40, those of the completion ring at
    // byte 80.
    let (tail, array) = (parameters[11] as usize, parameters[16] as usize);
    let entries = parameters[25] as usize;
    let rings = map(4096, 0)?;
    let completions = map(4096, 0x0800_0000)?;
    let entry = map(4096, 0x1000_0000)?;
    let path = c_string(&outside("secret"));
    unsafe {
        entry.write(OPENAT);
        entry.add(4).cast::<i32>().write(libc::AT_FDCWD);
        entry.add(16).cast::<u64>().write(path.as_ptr().addr() as u64);
        rings.add(array).cast::<u32>().write(0);
        rings.add(tail).cast::<u32>().write_volatile(1);
    }
    check_long(unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 1, 1, 1, null::<u8>(), 0) })?;
    let result = unsafe { completions.add(entries + 8).cast::<i32>().read_volatile() };
    if result < 0 { Err(Error::from_raw_os_error(-result)) } else { is_secret(own_fd(result)) }
}

/// A process outside of the jail that has the server's user and helps the server. It writes `NAME=VALUE` lines to
/// `facts`, sends the descriptors of a directory and a file outside to each connection, and moves a directory out of
/// the jail.
pub fn accomplice(facts: &Path) -> ! {
    // Under Yama, only an ancestor may trace a process that does not permit more. Permit all tracers, so that the
    // attempts test the jail, not Yama.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, -1_i64) };
    let shared = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) };
    unsafe { libc::shmat(shared, null(), 0) };
    // The kernel keeps the segment until no process has it attached.
    unsafe { libc::shmctl(shared, libc::IPC_RMID, null_mut()) };
    let listener = std::os::unix::net::UnixListener::bind(own("accomplice")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (directory, file) = (File::open(outside("")).unwrap(), File::open(outside("secret")).unwrap());
    let handle: String = handle_of(&outside("secret")).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("STRANGER={}\nSHARED={shared}\nHANDLE={handle}\n", kernel::pid());
    super::write_whole(facts, text.as_bytes());
    loop {
        if let Ok((stream, _)) = listener.accept() {
            let file = File::open(outside("secret")).unwrap_or_else(|_| file.try_clone().unwrap());
            send(stream.as_raw_fd(), [directory.as_raw_fd(), file.as_raw_fd()]);
        }
        if own("wanders/here").exists() {
            let _ = fs::remove_dir_all(outside("wanders"));
            fs::rename(own("wanders"), outside("wanders")).unwrap();
            File::create(outside("wanders/there")).unwrap();
        }
        pause_for_milliseconds(2);
    }
}

fn send(stream: RawFd, fds: [RawFd; 2]) {
    let mut room = [0_usize; 8];
    let mut part = libc::iovec { iov_base: c"x".as_ptr().cast_mut().cast(), iov_len: 1 };
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of_val(&fds) as u32) } as _;
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        ((*header).cmsg_level, (*header).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        (*header).cmsg_len = libc::CMSG_LEN(size_of_val(&fds) as u32) as _;
        libc::CMSG_DATA(header).cast::<[RawFd; 2]>().write_unaligned(fds);
        libc::sendmsg(stream, &raw const message, libc::MSG_NOSIGNAL);
    }
}

/// Returns the kernel's `struct file_handle` of a path. Its first field is the size of the handle in bytes.
fn handle_of(path: &Path) -> Vec<u8> {
    let (mut bytes, mut mount) = (vec![0_u8; 8 + 128], 0);
    bytes[0] = 128;
    let (name, at) = (c_string(path), bytes.as_mut_ptr());
    unsafe { libc::syscall(libc::SYS_name_to_handle_at, libc::AT_FDCWD, name.as_ptr(), at, &raw mut mount, 0) };
    bytes.truncate(8 + bytes[0] as usize);
    bytes
}
