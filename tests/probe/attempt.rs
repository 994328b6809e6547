//! What a confined server may try. Each attempt returns `ok` or the name of the error. An attempt that fails changes
//! nothing, except that `chroot` may fail half way; after a success the test checks what has changed.
//!
//! | `try ...` | What it does |
//! |---|---|
//! | `read FILE`, `write FILE`, `list DIR`, `truncate FILE`, `make FILE` | open(2) to read, to write, to list;
//! truncate(2); open(2) with O_CREAT | | `mkdir`, `rmdir`, `unlink`, `symlink`, `fifo`, `device`, `socket` PATH |
//! creates or removes PATH; `device` creates a character device |
//! | `rename A B`, `link A B` | rename(2), link(2) |
//! | `execute FILE` | execve(2) in a child, with the arguments `exit 0` |
//! | `ioctl FILE` | open(2) to read, and the ioctl RNDGETENTCNT, which is for /dev/urandom |
//! | `bind PORT`, `connect PORT`, `udp PORT` | bind(2) or connect(2) of TCP on the loopback address; bind(2) of UDP |
//! | `signal PID` | kill(2) with signal 0 |
//! | `abstract NAME` | connect(2) to the abstract stream socket NAME |
//! | `mount DIR`, `trace PID`, `chroot DIR` | mount(2) of a tmpfs, ptrace(2), chroot(2) and then chdir(2) to `..` many
//! times |

use super::kernel::{c_string, forked, leave};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

/// The number of arguments of an attempt. None if the attempt is unknown.
pub fn argument_count(what: &OsString) -> Option<usize> {
    match what.to_str()? {
        "rename" | "link" => Some(2),
        "read" | "write" | "list" | "truncate" | "make" | "mkdir" | "rmdir" | "unlink" | "symlink" | "fifo"
        | "device" | "socket" | "execute" | "ioctl" | "bind" | "connect" | "udp" | "signal" | "abstract" | "mount"
        | "trace" | "chroot" => Some(1),
        _ => None,
    }
}

pub fn attempt(what: &OsString, with: &[OsString]) -> String {
    match try_operation(what.to_str().unwrap_or_default(), with) {
        Ok(()) => "ok".into(),
        Err(error) => name(error.raw_os_error().unwrap_or(0)),
    }
}

fn name(error: i32) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EACCES, "EACCES"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ESRCH, "ESRCH"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EROFS, "EROFS"),
    ];
    known.iter().find(|(number, _)| *number == error).map_or(error.to_string(), |(_, name)| (*name).to_owned())
}

fn try_operation(what: &str, with: &[OsString]) -> io::Result<()> {
    let path = |at: usize| c_string(Path::new(&with[at]));
    let first = path(0);
    let number = || with[0].to_str().and_then(|word| word.parse::<i32>().ok()).unwrap_or_else(|| leave(99));
    match what {
        "read" => open(&first, libc::O_RDONLY).map(drop),
        "write" => open(&first, libc::O_WRONLY).map(drop),
        "list" => open(&first, libc::O_RDONLY | libc::O_DIRECTORY).map(drop),
        "make" => open(&first, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL).map(drop),
        "truncate" => check(unsafe { libc::truncate(first.as_ptr(), 0) }),
        "mkdir" => check(unsafe { libc::mkdir(first.as_ptr(), 0o755) }),
        "rmdir" => check(unsafe { libc::rmdir(first.as_ptr()) }),
        "unlink" => check(unsafe { libc::unlink(first.as_ptr()) }),
        "symlink" => check(unsafe { libc::symlink(c"x".as_ptr(), first.as_ptr()) }),
        "fifo" => check(unsafe { libc::mkfifo(first.as_ptr(), 0o600) }),
        "device" => check(unsafe { libc::mknod(first.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 3)) }),
        "socket" => std::os::unix::net::UnixListener::bind(Path::new(&with[0])).map(drop),
        "rename" => check(unsafe { libc::rename(first.as_ptr(), path(1).as_ptr()) }),
        "link" => check(unsafe { libc::link(first.as_ptr(), path(1).as_ptr()) }),
        "execute" => execute(&first),
        "ioctl" => {
            let mut count = 0;
            let file = open(&first, libc::O_RDONLY)?;
            check(unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&file), RNDGETENTCNT as _, &raw mut count) })
        }
        "bind" => std::net::TcpListener::bind(("127.0.0.1", number() as u16)).map(drop),
        "connect" => std::net::TcpStream::connect(("127.0.0.1", number() as u16)).map(drop),
        "udp" => std::net::UdpSocket::bind(("127.0.0.1", number() as u16)).map(drop),
        "signal" => check(unsafe { libc::kill(number(), 0) }),
        "abstract" => {
            use std::os::linux::net::SocketAddrExt;
            let name = std::os::unix::net::SocketAddr::from_abstract_name(with[0].as_bytes())?;
            std::os::unix::net::UnixStream::connect_addr(&name).map(drop)
        }
        "mount" => {
            let kind = c"tmpfs".as_ptr();
            check(unsafe { libc::mount(kind, first.as_ptr(), kind, 0, null()) })
        }
        "trace" => {
            let nothing = null_mut::<libc::c_void>();
            check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, number(), nothing, nothing) } as i32)
        }
        "chroot" => {
            check(unsafe { libc::chroot(first.as_ptr()) })?;
            (0..64).try_for_each(|_| check(unsafe { libc::chdir(c"..".as_ptr()) }))?;
            check(unsafe { libc::chroot(c".".as_ptr()) })
        }
        _ => leave(99),
    }
}

/// From linux/random.h.
const RNDGETENTCNT: u32 = 0x8004_5200;

fn open(path: &CString, flags: i32) -> io::Result<OwnedFd> {
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC | libc::O_NOCTTY, 0o644) };
    check(fd)?;
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Executes the file in a child. The error of execve(2) comes back through memory that both processes share.
fn execute(path: &CString) -> io::Result<()> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let shared = unsafe { libc::mmap(null_mut(), 4096, access, flags, -1, 0) }.cast::<i32>();
    let words = [path.as_ptr(), c"exit".as_ptr(), c"0".as_ptr(), null()];
    forked(|| {
        unsafe { libc::execve(path.as_ptr(), words.as_ptr(), [null()].as_ptr()) };
        unsafe { shared.write_volatile(io::Error::last_os_error().raw_os_error().unwrap_or(0)) };
    });
    match unsafe { shared.read_volatile() } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
