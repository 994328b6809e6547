//! The server's control group: the values of `--cgroup` and `--cgroup-set`, and the contents of the kernel's files.

use alloc::vec::Vec;

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::text::split_byte;

/// A value of `--cgroup-set`: the name of a file in the group's directory, and the text to write to it.
pub type CgroupSetting = (StaticCStr, StaticCStr);

/// The control group that the server runs in.
#[derive(Debug)]
pub struct ServerCgroup {
    /// The path of the group's directory.
    pub dir: StaticCStr,
    /// The settings to write before the server starts, in this order.
    pub settings: Vec<CgroupSetting>,
}

/// Parses `FILE=VALUE`, where FILE is a name in the group's directory.
pub fn parse_setting(text: &[u8]) -> Option<CgroupSetting> {
    let mut halves = split_byte(text, b'=');
    let (file, value) = (halves.next()?, halves.rest?);
    let is_name = !file.is_empty() && !file.starts_with(b".") && !file.contains(&b'/');
    (is_name && !value.is_empty()).then(|| (leak_cstr(file.to_vec()), leak_cstr(value.to_vec())))
}

/// Splits the path of a control group into the path of its parent and its own name.
pub fn split_parent_and_name(dir: StaticCStr) -> (StaticCStr, StaticCStr) {
    let mut path = dir.to_bytes();
    while let [rest @ .., b'/'] = path
        && !rest.is_empty()
    {
        path = rest;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        None => (c".", leak_cstr(path.to_vec())),
        Some(slash) => {
            let (parent, name) = path.split_at(slash);
            let parent = if parent.is_empty() { &b"/"[..] } else { parent };
            (leak_cstr(parent.to_vec()), leak_cstr(name.get(1..).unwrap_or_default().to_vec()))
        }
    }
}

/// The controller that must be enabled for a file to exist, such as `memory` for `memory.max`. None for files that
/// every group has.
pub fn controller_of_file(file: &[u8]) -> Option<&[u8]> {
    split_byte(file, b'.').next().filter(|name| *name != b"cgroup")
}

/// The line that a group's file `cgroup.events` contains if processes are in the group or its subgroups.
pub const POPULATED_LINE: &[u8] = b"populated 1";

/// True if one of the parts of a text, split at `separator`, equals `part`. A newline at the end of a part is ignored.
pub fn has_equal_part(text: &[u8], separator: u8, part: &[u8]) -> bool {
    split_byte(text, separator).any(|other| other.strip_suffix(b"\n").unwrap_or(other) == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_a_file_of_the_group() {
        assert_eq!(parse_setting(b"memory.max=512M"), Some((c"memory.max", c"512M")));
        assert_eq!(parse_setting(b"io.max=8:16 rbps=1"), Some((c"io.max", c"8:16 rbps=1")));
        for text in ["", "memory.max", "memory.max=", "=1", "../x=1", "a/b=1", ".=1", "..=1"] {
            assert_eq!(parse_setting(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_its_parent_and_its_name() {
        for (path, parent, name) in [
            (c"/sys/fs/cgroup/web", c"/sys/fs/cgroup", c"web"),
            (c"/sys/fs/cgroup/web//", c"/sys/fs/cgroup", c"web"),
            (c"/web", c"/", c"web"),
            (c"web", c".", c"web"),
            (c"/", c"/", c""),
        ] {
            assert_eq!(split_parent_and_name(path), (parent, name), "{path:?}");
        }
    }

    #[test]
    fn the_kernels_lists_are_read() {
        assert_eq!(controller_of_file(b"memory.max"), Some(&b"memory"[..]));
        assert_eq!(controller_of_file(b"cgroup.freeze"), None);
        let lists = |text: &[u8], controller| has_equal_part(text, b' ', controller);
        let is_populated = |text: &[u8]| has_equal_part(text, b'\n', POPULATED_LINE);
        assert!(lists(b"cpu memory\n", b"memory") && lists(b"cpu\n", b"cpu"));
        assert!(!lists(b"cpuset memory\n", b"cpu") && !lists(b"\n", b"cpu"));
        assert!(is_populated(b"populated 1\nfrozen 0\n") && is_populated(b"frozen 1\npopulated 1\n"));
        assert!(!is_populated(b"populated 0\nfrozen 1\n") && !is_populated(b""));
    }
}
