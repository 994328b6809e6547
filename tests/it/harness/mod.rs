//! What the tests of vsrun's behaviour share: a sandbox, starting vsrun in it, waiting for conditions, and cleaning up.
//!
//! A test has a `Sandbox`: a new directory, and a variable that marks the environment of every process that the test
//! starts. When the sandbox is dropped, also by a failing test, every marked process is killed and the directory is
//! removed. Nothing here waits for a fixed time: `await_true` polls a condition, and panics if it never becomes true.

pub mod bundle;
pub mod call;
pub mod cgroups;
pub mod filter;
pub mod host;
pub mod machine;
pub mod mounts;
pub mod ports;
pub mod process;
pub mod qemu;
pub mod report;
pub mod rng;
pub mod sandbox;
pub mod sys;
pub mod sysctl;
pub mod terminal;
pub mod tracer;
pub mod web;

pub use bundle::{Bundle, buildah, can_run_containers};
pub use call::{Call, ProcessResult, Running};
pub use host::{Host, can_make_hosts};
pub use machine::{Machine, can_boot_machines};
pub use mounts::{Mount, Mounts};
pub use ports::free_port;
pub use process::{await_gone, gone};
pub use report::{Descriptor, Report};
pub use sandbox::Sandbox;
pub use sysctl::Sysctl;
pub use web::Web;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for a condition: far more than any needs, so that no test fails only because the machine is
/// busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The id of an unprivileged user and group. They need no entry in `/etc/passwd` or `/etc/group`.
pub const PLAIN: u32 = 65534;

/// A name that no other test process uses now, for names that the whole machine shares: in file systems that several
/// namespaces see, of control groups, of abstract sockets. The pid alone is not unique, because each run of
/// `tools/test` has its own pid namespace, in which the numbers start again.
pub fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("vsrun-{:x}-{}-{}", namespace(), sys::pid(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The inode number of our pid namespace, its low 28 bits; 0 if it cannot be read.
pub fn namespace() -> u32 {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let number = link.to_string_lossy().trim_start_matches("pid:[").trim_end_matches(']').parse::<u32>();
    number.unwrap_or(0) & 0xfff_ffff
}

/// True if the kernel is at least of that version.
pub fn kernel_has(major: u32, minor: u32) -> bool {
    let release = text(Path::new("/proc/sys/kernel/osrelease"));
    let mut numbers = release.split(['.', '-']).map_while(|word| word.trim().parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

/// The arguments of a command line. Each can be of any type that converts into an `OsString`.
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(std::ffi::OsString::from($word)),*] };
}
pub(crate) use words;

/// Receives one datagram. The kernel does not restart a receive with a timeout after a signal (signal(7)), so this
/// calls it again.
#[track_caller]
pub fn receive(socket: &std::os::unix::net::UnixDatagram, buffer: &mut [u8]) -> usize {
    loop {
        match socket.recv(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}

/// Returns from the test if a condition is false. The condition has then printed what is missing, or panicked if CI is
/// set.
macro_rules! needs {
    ($($what:expr),+ $(,)?) => { $(if !$what { return; })+ };
}
pub(crate) use needs;

/// The options of each way to run a server: executed by vsrun itself, managed, and both in the background.
pub fn ways() -> [Vec<OsString>; 4] {
    [words![], words!["-m", "-", "-"], words!["-b"], words!["-b", "-m", "-", "-"]]
}

/// The sets of standard descriptors that a caller may have closed.
pub const CLOSED: [&[i32]; 8] = [&[], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]];

pub fn root() -> bool {
    available(sys::user() == 0, "root")
}

pub fn tool(name: &str) -> bool {
    available(find_tool(name).is_some(), name)
}

pub fn available(is: bool, what: &str) -> bool {
    if !is {
        eprintln!("CANNOT RUN: {} needs {what}", std::thread::current().name().unwrap_or("this test"));
        assert!(std::env::var_os("CI").is_none(), "in CI everything must be able to run: {what} is missing");
    }
    is
}

pub fn find_tool(name: &str) -> Option<PathBuf> {
    call::PATH.split(':').map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

#[track_caller]
pub fn await_true(what: &str, mut condition: impl FnMut() -> bool) {
    await_some(what, || condition().then_some(()));
}

#[track_caller]
pub fn await_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    await_within(PATIENCE, what, look)
}

/// Polls `look` until it returns a value. Panics after the time `patience`.
#[track_caller]
pub fn await_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < patience, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[track_caller]
pub fn await_file(path: &Path) {
    await_true(&format!("{}", path.display()), || path.symlink_metadata().is_ok());
}

/// Waits until a file has at least `count` lines, and returns all of them.
#[track_caller]
pub fn await_lines(path: &Path, count: usize) -> Vec<String> {
    let enough = || Some(lines(path)).filter(|lines| lines.len() >= count);
    await_some(&format!("{count} lines in {}", path.display()), enough)
}

/// The complete lines of a file; none if there is no such file.
pub fn lines(path: &Path) -> Vec<String> {
    let text = text(path);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    if whole.is_empty() { Vec::new() } else { whole.split('\n').map(str::to_owned).collect() }
}

/// The content of a file; empty if there is no such file.
pub fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The lives (runs) that the probe's action `life FILE` has recorded: pid and start time in milliseconds of each.
pub fn lives(path: &Path) -> Vec<(i32, i64)> {
    let life = |line: &String| line.split_once(' ').map(|(pid, since)| (pid.parse().unwrap(), since.parse().unwrap()));
    lines(path).iter().filter_map(life).collect()
}

/// Waits until the server has begun life (run) number `count`, counted from 1. Returns the pid of that life.
#[track_caller]
pub fn await_life(path: &Path, count: usize) -> i32 {
    await_lines(path, count);
    lives(path)[count - 1].0
}

/// The names in a directory, sorted; none if it cannot be read.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    let mut names: Vec<String> =
        entries.unwrap_or_default().iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
