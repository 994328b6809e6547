//! The state of the process as lines `name value`. In a value, each backslash and each byte that is not printable ASCII
//! is written as `\xnn`.
//!
//! An open descriptor is one line: `fd NUMBER ACCESS CLOEXEC KIND DEVICE:INODE RDEV TARGET`; TARGET is `?` without
//! `/proc`; the other columns do not need it.

use crate::kernel::{self, bit};
use std::ffi::{CStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;

/// Open descriptors below this number are reported.
const DESCRIPTORS: i32 = 4096;

unsafe extern "C" {
    static environ: *const *const libc::c_char;
}

pub fn report(arguments: &[OsString]) -> Vec<u8> {
    let mut lines = Lines(Vec::new());
    descriptors(&mut lines);
    for (name, number) in numbers() {
        lines.add(name, number.to_string().as_bytes());
    }
    identity(&mut lines);
    capabilities(&mut lines);
    for argument in arguments {
        lines.add("argument", argument.as_bytes());
    }
    for variable in environment() {
        lines.add("variable", variable);
    }
    for (name, set) in kernel::signal_state() {
        let members: Vec<String> =
            (1..=64).filter(|signal| set & bit(*signal) != 0).map(|signal| signal.to_string()).collect();
        lines.add(name, members.join(" ").as_bytes());
    }
    // The value is empty where /proc is not mounted.
    lines.add("cgroup", &std::fs::read("/proc/self/cgroup").unwrap_or_default());
    lines.add("cwd", &directory());
    lines.add("root", place(c"/").as_bytes());
    lines.add("here", place(c".").as_bytes());
    lines.0
}

struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b' ');
        for byte in value {
            match byte {
                b' '..=b'[' | b']'..=b'~' => self.0.push(*byte),
                _ => self.0.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        self.0.push(b'\n');
    }
}

fn numbers() -> [(&'static str, i64); 6] {
    let umask = unsafe { libc::umask(0) };
    unsafe { libc::umask(umask) };
    let terminal = unsafe { libc::open(c"/dev/tty".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    kernel::close(terminal);
    [
        ("pid", i64::from(kernel::pid())),
        ("ppid", i64::from(unsafe { libc::getppid() })),
        ("pgid", i64::from(unsafe { libc::getpgid(0) })),
        ("sid", i64::from(unsafe { libc::getsid(0) })),
        ("umask", i64::from(umask)),
        ("terminal", i64::from(terminal >= 0)),
    ]
}

fn identity(lines: &mut Lines) {
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) };
    lines.add("uids", format!("{real} {effective} {saved}").as_bytes());
    unsafe { libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved) };
    lines.add("gids", format!("{real} {effective} {saved}").as_bytes());
    let mut groups = vec![0; 65536];
    let count = unsafe { libc::getgroups(65536, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    lines.add("groups", groups.join(" ").as_bytes());
}

/// Adds the sets of capabilities as hexadecimal numbers, and whether `no_new_privs` is set.
fn capabilities(lines: &mut Lines) {
    let set = |option: i32, first: i32| {
        // prctl(2) returns 1 for a member of the set. PR_CAPBSET_READ takes the number of the capability;
        // PR_CAP_AMBIENT takes a command and then the number.
        let has = |number: i32| match first {
            0 => unsafe { libc::prctl(option, number, 0, 0, 0) == 1 },
            _ => unsafe { libc::prctl(option, first, number, 0, 0) == 1 },
        };
        (0..64).fold(0_u64, |set, number| set | u64::from(has(number)) << number)
    };
    let bounding = set(libc::PR_CAPBSET_READ, 0);
    let ambient = set(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET);
    // capget(2), version 3, for this process: the effective, permitted and inheritable sets, first their low 32 bits,
    // then their high ones.
    let (header, mut sets) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    let sets: Vec<String> = sets.iter().map(|set| format!("{set:x}")).collect();
    lines.add("capabilities", format!("{} {bounding:x} {ambient:x}", sets.join(" ")).as_bytes());
    let no_more = unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
    lines.add("no-new-privs", no_more.to_string().as_bytes());
}

fn environment() -> Vec<&'static [u8]> {
    let mut found = Vec::new();
    let mut entry = unsafe { environ };
    while !entry.is_null() && !unsafe { *entry }.is_null() {
        found.push(unsafe { CStr::from_ptr(*entry) }.to_bytes());
        entry = unsafe { entry.add(1) };
    }
    found
}

fn directory() -> Vec<u8> {
    let mut name = vec![0_u8; 4096];
    if unsafe { libc::getcwd(name.as_mut_ptr().cast(), name.len()) }.is_null() {
        return b"?".to_vec();
    }
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(0));
    name
}

fn place(path: &CStr) -> String {
    let mut found = MaybeUninit::<libc::stat>::zeroed();
    unsafe { libc::stat(path.as_ptr(), found.as_mut_ptr()) };
    let found = unsafe { found.assume_init() };
    format!("{}:{}", found.st_dev, found.st_ino)
}

fn descriptors(lines: &mut Lines) {
    for fd in 0..DESCRIPTORS {
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags < 0 {
            continue;
        }
        let access = match unsafe { libc::fcntl(fd, libc::F_GETFL) } & (libc::O_ACCMODE | libc::O_PATH) {
            libc::O_RDONLY => "r",
            libc::O_WRONLY => "w",
            libc::O_RDWR => "rw",
            _ => "path",
        };
        let cloexec = if flags & libc::FD_CLOEXEC == 0 { "kept" } else { "cloexec" };
        let mut found = MaybeUninit::<libc::stat>::zeroed();
        unsafe { libc::fstat(fd, found.as_mut_ptr()) };
        let found = unsafe { found.assume_init() };
        let kind = match found.st_mode & libc::S_IFMT {
            libc::S_IFREG => "file",
            libc::S_IFDIR => "directory",
            libc::S_IFCHR => "character",
            libc::S_IFIFO => "pipe",
            libc::S_IFSOCK => "socket",
            _ => "other",
        };
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        let target = target.map_or_else(|_| OsString::from("?"), |target| target.into_os_string());
        let mut line =
            format!("{fd} {access} {cloexec} {kind} {}:{} {} ", found.st_dev, found.st_ino, found.st_rdev).into_bytes();
        line.extend_from_slice(target.as_bytes());
        lines.add("fd", &line);
    }
}
