//! What `/proc` shows about other processes.

use super::{await_true, sys, text};
use std::fs;
use std::path::Path;

/// True if the process does not exist or is a zombie.
pub fn gone(pid: i32) -> bool {
    matches!(stat(pid).first().map(String::as_str), None | Some("Z" | "X"))
}

#[track_caller]
pub fn await_gone(pid: i32) {
    await_true(&format!("the end of {pid}"), || gone(pid));
}

/// True if the process does not exist; false for a zombie.
pub fn reaped(pid: i32) -> bool {
    stat(pid).is_empty()
}

pub fn state(pid: i32) -> String {
    stat(pid).first().cloned().unwrap_or_default()
}

pub fn parent(pid: i32) -> i32 {
    number(pid, 1)
}

pub fn group(pid: i32) -> i32 {
    number(pid, 2)
}

pub fn session(pid: i32) -> i32 {
    number(pid, 3)
}

/// The device number of the controlling terminal, 0 for none.
pub fn terminal(pid: i32) -> i32 {
    number(pid, 4)
}

/// The foreground process group of the controlling terminal.
pub fn foreground(pid: i32) -> i32 {
    number(pid, 5)
}

/// True if any process is exiting. It loses its memory, and with it its environment, before its descriptors and locks.
pub fn any_ends() -> bool {
    const EXITING: u64 = 0x4;
    let ends = |stat: &[String]| {
        let flags: u64 = stat.get(6).and_then(|word| word.parse().ok()).unwrap_or(0);
        flags & EXITING != 0 && stat[0] != "Z"
    };
    all().into_iter().any(|pid| ends(&stat(pid)))
}

/// The fields of `/proc/PID/stat` after the name: state, parent, group, session, terminal and so on. Empty if it is
/// gone.
fn stat(pid: i32) -> Vec<String> {
    let line = text(Path::new(&format!("/proc/{pid}/stat")));
    let after_name = line.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    after_name.split_whitespace().map(str::to_owned).collect()
}

/// The processor time that the process has used, in milliseconds (`stat` counts hundredths of a second).
pub fn processor_time(pid: i32) -> i32 {
    (number(pid, 11) + number(pid, 12)) * 10
}

fn number(pid: i32, field: usize) -> i32 {
    stat(pid).get(field).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{pid} is gone"))
}

/// The value of the line `name` in `/proc/PID/status`.
pub fn status(pid: i32, name: &str) -> String {
    let lines = text(Path::new(&format!("/proc/{pid}/status")));
    let found = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("{pid} has no {name}")).trim().to_owned()
}

/// The signals that are pending for the whole process, as a bit mask: bit 0 is signal 1.
pub fn pending(pid: i32) -> u64 {
    u64::from_str_radix(&status(pid, "ShdPnd"), 16).unwrap()
}

/// The children, the oldest first. The start times decide, because pids start again from low numbers.
pub fn children(pid: i32) -> Vec<i32> {
    /// The index of the start time in the fields of `stat`.
    const START: usize = 19;
    let parent = pid.to_string();
    let born = |pid: i32| {
        let stat = stat(pid);
        (stat.get(1) == Some(&parent)).then(|| (stat[START].parse::<u64>().unwrap(), pid))
    };
    let mut found: Vec<(u64, i32)> = all().into_iter().filter_map(born).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid).collect()
}

/// The open descriptors: their numbers, and the files that they refer to.
pub fn descriptors(pid: i32) -> Vec<(i32, String)> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let mut found: Vec<(i32, String)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
        })
        .collect();
    found.sort();
    found
}

/// True if the process has a pipe open. A manager whose server writes to files has one until the server is ready.
pub fn has_pipe(pid: i32) -> bool {
    let directory = Path::new("/proc").join(pid.to_string()).join("fd");
    let is_pipe =
        |name: &String| fs::read_link(directory.join(name)).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"));
    super::names(&directory).iter().any(is_pipe)
}

/// The locks that the process holds through this descriptor, as `/proc/PID/fdinfo` shows them: `OFDLCK ADVISORY READ`.
pub fn locks(pid: i32, fd: i32) -> Vec<String> {
    let info = text(Path::new(&format!("/proc/{pid}/fdinfo/{fd}")));
    let words = |line: &str| line.split_whitespace().skip(2).take(3).collect::<Vec<_>>().join(" ");
    info.lines().filter(|line| line.starts_with("lock:")).map(words).collect()
}

pub fn directory(pid: i32) -> String {
    link(pid, "cwd")
}

pub fn link(pid: i32, name: &str) -> String {
    fs::read_link(format!("/proc/{pid}/{name}")).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The processes that have this `NAME=VALUE` in their environment, except zombies and the test itself.
pub fn marked(variable: &str) -> Vec<i32> {
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    all().into_iter().filter(|pid| *pid != sys::pid()).filter(has_mark).filter(|pid| !gone(*pid)).collect()
}

fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
