//! The kernel's count of processes that it has killed because memory ran out, in the files of a control group.

use alloc::vec::Vec;

use crate::logic::base::text::{index_in_comma_list, split_byte};

/// The paths of the files that may contain the count, each with a NUL at its end, from the contents of
/// /proc/self/cgroup: the files of cgroup versions 1 and 2, each at the group's path and at the root of the mount. In a
/// container without a cgroup namespace, the root is the container's own group.
pub fn oom_count_paths(cgroup: &[u8]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for line in split_byte(cgroup, b'\n') {
        let mut fields = split_byte(line, b':');
        let _number = fields.next();
        let (Some(controllers), Some(path)) = (fields.next(), fields.rest) else { continue };
        let (mount, name) = if controllers.is_empty() {
            (&b"/sys/fs/cgroup"[..], &b"/memory.events\0"[..])
        } else if index_in_comma_list(controllers, b"memory").is_some() {
            (&b"/sys/fs/cgroup/memory"[..], &b"/memory.oom_control\0"[..])
        } else {
            continue;
        };
        files.push([mount, path, name].concat());
        files.push([mount, name].concat());
    }
    files
}

/// The number of processes that the kernel has killed because memory ran out, from the contents of a file that
/// [`oom_count_paths`] names. None if the file has no count, as before Linux 4.13.
pub fn oom_kill_count(file: &[u8]) -> Option<u64> {
    let line = split_byte(file, b'\n').find_map(|line| line.strip_prefix(b"oom_kill "));
    crate::logic::base::time::parse_number(line?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let found = |text: &str| {
            let files = oom_count_paths(text.as_bytes());
            files.iter().map(|file| String::from_utf8(file.clone()).unwrap()).collect::<Vec<_>>().join(" ")
        };
        let two = "/sys/fs/cgroup/a/b:c/memory.events\0 /sys/fs/cgroup/memory.events\0";
        let one = "/sys/fs/cgroup/memory/x/memory.oom_control\0 /sys/fs/cgroup/memory/memory.oom_control\0";
        assert_eq!(found("0::/a/b:c\n"), two);
        assert_eq!(found("3:cpu,cpuacct:/y\n2:hugetlb,memory:/x\n0::/a/b:c\n"), format!("{one} {two}"));
        for text in ["", "\n", "1:name=systemd:/x\n", "memory", "5:memories:/x", "5:memory"] {
            assert_eq!(found(text), "", "{text}");
        }
    }

    #[test]
    fn the_count_is_read() {
        for (text, count) in [
            ("low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 7\n", Some(3)),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n", Some(12)),
            ("oom_kill_disable 0\nunder_oom 0\n", None),
            ("oom_kill x\n", None),
            ("", None),
        ] {
            assert_eq!(oom_kill_count(text.as_bytes()), count, "{text}");
        }
    }
}
