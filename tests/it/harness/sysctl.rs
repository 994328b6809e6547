//! Kernel settings of the whole machine (sysctl(8)) that a test changes and restores.

use super::call::start_locked;
use super::{available, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Only one test at a time may change a kernel setting, or rely on one to stay unchanged.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The exclusive right of one test to change kernel settings, until it is dropped.
pub struct Turn(#[allow(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

pub fn turn() -> Turn {
    Turn(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A changed kernel setting. Its old value is restored when this is dropped, and also when the test program dies: a
/// child process waits for the end of file of a pipe whose write end only the test program has, and then restores it.
pub struct Sysctl {
    keeper: Child,
}

impl Sysctl {
    /// Changes a kernel setting; `name` is written as in sysctl(8). Returns None if the setting cannot be changed here.
    #[track_caller]
    pub fn set(_turn: &Turn, name: &str, value: &str) -> Option<Self> {
        let path = path(name);
        if !available(fs::OpenOptions::new().write(true).open(&path).is_ok(), &format!("{name} that may be changed")) {
            return None;
        }
        let before = text(&path);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cat >/dev/null; printf %s \"$1\" >\"$2\"", "keeper", before.trim_end()]);
        command.arg(&path).stdin(Stdio::piped()).env_clear();
        let keeper = start_locked(|| command.spawn()).unwrap();
        let changed = Self { keeper };
        fs::write(&path, value).unwrap();
        assert_eq!(text(&path).trim_end(), value, "{name}");
        Some(changed)
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}
