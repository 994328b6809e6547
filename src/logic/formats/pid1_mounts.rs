//! The file systems that vsrun mounts if it is the PID 1 of a machine: `--mount`.

use core::ffi::CStr;

use crate::logic::base::text::split_byte;

/// A set of file systems, a bit for each row of [`FILE_SYSTEMS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountSet(u16);

/// A file system, with its mount point and mount options.
#[derive(Debug)]
pub struct Mount {
    /// The word for the file system in the list of `--mount`.
    option_word: &'static [u8],
    /// The type of the file system, for mount(2).
    pub fs_type: &'static CStr,
    /// The mount point of the file system.
    pub target: &'static CStr,
    /// True if programs on the file system cannot be executed.
    pub noexec: bool,
    /// True if device files on the file system can be opened.
    pub allows_devices: bool,
    /// The file system's own options, for mount(2).
    pub data: &'static CStr,
}

/// The file systems that `--mount` knows. A later one may have its mount point in an earlier one, such as `/dev` or
/// `/sys`. All are mounted nosuid.
pub const FILE_SYSTEMS: [Mount; 8] = [
    Mount { option_word: b"proc", fs_type: c"proc", target: c"/proc", noexec: true, allows_devices: false, data: c"" },
    Mount { option_word: b"sys", fs_type: c"sysfs", target: c"/sys", noexec: true, allows_devices: false, data: c"" },
    Mount {
        option_word: b"dev",
        fs_type: c"devtmpfs",
        target: c"/dev",
        noexec: false,
        allows_devices: true,
        data: c"mode=755",
    },
    Mount {
        option_word: b"dev",
        fs_type: c"devpts",
        target: c"/dev/pts",
        noexec: true,
        allows_devices: true,
        data: c"gid=5,mode=620,ptmxmode=666",
    },
    Mount {
        option_word: b"dev",
        fs_type: c"tmpfs",
        target: c"/dev/shm",
        noexec: false,
        allows_devices: false,
        data: c"mode=1777",
    },
    Mount {
        option_word: b"run",
        fs_type: c"tmpfs",
        target: c"/run",
        noexec: false,
        allows_devices: false,
        data: c"mode=755",
    },
    Mount {
        option_word: b"tmp",
        fs_type: c"tmpfs",
        target: c"/tmp",
        noexec: false,
        allows_devices: false,
        data: c"mode=1777",
    },
    Mount {
        option_word: b"cgroup",
        fs_type: c"cgroup2",
        target: c"/sys/fs/cgroup",
        noexec: true,
        allows_devices: false,
        data: c"",
    },
];

impl MountSet {
    /// Parses a comma-separated list of the words of [`FILE_SYSTEMS`]. None if it has another word.
    pub fn parse(list: &[u8]) -> Option<Self> {
        let mut chosen = 0;
        for name in split_byte(list, b',') {
            let mut bits = 0;
            for (mount, bit) in FILE_SYSTEMS.iter().zip(0..) {
                bits |= u16::from(mount.option_word == name) << bit;
            }
            if bits == 0 {
                return None;
            }
            chosen |= bits;
        }
        Some(Self(chosen))
    }

    /// The file systems of the set, in the order of [`FILE_SYSTEMS`].
    pub fn list(self) -> impl Iterator<Item = &'static Mount> {
        FILE_SYSTEMS.iter().zip(0..).filter(move |(_, bit)| self.0 >> bit & 1 == 1).map(|(mount, _)| mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_file_systems_in_any_order() {
        let targets = |list: &str| MountSet::parse(list.as_bytes()).unwrap().list().map(|mount| mount.target).collect();
        let all: Vec<&CStr> = targets("cgroup,tmp,dev,run,proc,sys,proc");
        let expected = [c"/proc", c"/sys", c"/dev", c"/dev/pts", c"/dev/shm", c"/run", c"/tmp", c"/sys/fs/cgroup"];
        assert_eq!(all, expected);
        let one: Vec<&CStr> = targets("run");
        assert_eq!(one, [c"/run"]);
        for list in ["", "proc,", "procs", "proc sys", "/proc", "devpts"] {
            assert_eq!(MountSet::parse(list.as_bytes()), None, "{list}");
        }
    }
}
