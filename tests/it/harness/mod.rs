//! What all behaviour tests share: a place of their own, starting vsrun in it, awaiting what it does, ending it all.
//!
//! A test has one `Sandbox`: a fresh directory and a mark in the environment of every process it starts. When the place
//! is dropped, also by a failing test, each process with that mark is killed and the directory removed. Nothing here
//! waits for time to pass: `await_true` asks again until the answer is yes, and fails loudly when it never comes.

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

pub use bundle::{Bundle, buildah, containers};
pub use call::{Call, Ended, Running};
pub use host::{Host, hosts};
pub use machine::{Machine, machines};
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

/// How long a condition may take to come true: far more than any needs, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_secs(60);

/// An unprivileged user and group that need no entry anywhere.
pub const PLAIN: u32 = 65534;

/// A name that no other process of tests uses now, wherever names are the whole machine's: file systems that namespaces
/// share, control groups, abstract sockets. The pid alone is not enough, because each run of `tools/test` has a pid
/// namespace of its own, in which the numbers begin again.
pub fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("vsrun-{:x}-{}-{}", namespace(), sys::pid(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A small number of our pid namespace, 0 where it cannot be found out.
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

/// The words of a command line, of whatever type each is.
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(std::ffi::OsString::from($word)),*] };
}
pub(crate) use words;

/// Receives one datagram. A receive with a time limit is not restarted after a signal (signal(7)): it is called again.
#[track_caller]
pub fn receive(socket: &std::os::unix::net::UnixDatagram, buffer: &mut [u8]) -> usize {
    loop {
        match socket.recv(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}

/// Ends the test, aloud, where something that it needs is missing on the machine; in CI that is a failure.
macro_rules! needs {
    ($($what:expr),+ $(,)?) => { $(if !$what { return; })+ };
}
pub(crate) use needs;

/// The ways to run a server: alone, managed, and both in the background.
pub fn ways() -> [Vec<OsString>; 4] {
    [words![], words!["-m", "-", "-"], words!["-b"], words!["-b", "-m", "-", "-"]]
}

/// The ways in which a caller may have closed the standard descriptors.
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

/// Asks for so long at most.
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

/// The lines of a file, once there are at least that many.
#[track_caller]
pub fn await_lines(path: &Path, count: usize) -> Vec<String> {
    let enough = || Some(lines(path)).filter(|lines| lines.len() >= count);
    await_some(&format!("{count} lines in {}", path.display()), enough)
}

/// The whole lines of a file, none where there is no file.
pub fn lines(path: &Path) -> Vec<String> {
    let text = text(path);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    if whole.is_empty() { Vec::new() } else { whole.split('\n').map(str::to_owned).collect() }
}

/// What is in a file, nothing where there is no file.
pub fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The lives that the probe's `life FILE` has noted: each one's pid and begin in milliseconds.
pub fn lives(path: &Path) -> Vec<(i32, i64)> {
    let life = |line: &String| line.split_once(' ').map(|(pid, since)| (pid.parse().unwrap(), since.parse().unwrap()));
    lines(path).iter().filter_map(life).collect()
}

/// The pid of life number `count`, once it has begun.
#[track_caller]
pub fn await_life(path: &Path, count: usize) -> i32 {
    await_lines(path, count);
    lives(path)[count - 1].0
}

/// The names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    let mut names: Vec<String> =
        entries.unwrap_or_default().iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
