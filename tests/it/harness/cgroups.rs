//! Control groups of version 2 for tests.

use super::{names, text, unique_name};
use std::fs;
use std::path::{Path, PathBuf};

/// The mount point of cgroup version 2, if it is mounted.
pub fn mounted() -> Option<PathBuf> {
    let mounts = text(Path::new("/proc/mounts"));
    let kind = |line: &&str| line.split(' ').nth(2) == Some("cgroup2");
    mounts.lines().find(kind).and_then(|line| line.split(' ').nth(1)).map(PathBuf::from)
}

/// A cgroup for one test, in which others are made. When dropped, it is removed with its processes and all cgroups in
/// it.
pub struct Parent(pub PathBuf);

impl Parent {
    pub fn new() -> Self {
        let parent = Self(mounted().unwrap().join(unique_name()));
        remove(&parent.0);
        fs::create_dir(&parent.0).unwrap();
        parent
    }

    pub fn child(&self) -> PathBuf {
        self.0.join("web")
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(group: &Path) {
    for name in names(group) {
        if group.join(&name).is_dir() {
            remove(&group.join(&name));
        }
    }
    let _ = fs::write(group.join("cgroup.kill"), "1");
    for _ in 0..1000 {
        if fs::remove_dir(group).is_ok() || !group.exists() {
            break;
        }
        std::thread::yield_now();
    }
}

/// The directory of a process's cgroup. `text` is the content of its `/proc/PID/cgroup`.
pub fn named(text: &str) -> Option<PathBuf> {
    Some(mounted()?.join(text.lines().find_map(|line| line.strip_prefix("0::/"))?))
}
