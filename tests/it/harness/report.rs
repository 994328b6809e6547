//! The report that the probe's action `report` writes.

use super::text;
use std::path::Path;

pub struct Report(Vec<(String, Vec<u8>)>);

/// One open descriptor of the reporting process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    pub number: i32,
    pub access: String,
    pub kept: bool,
    pub kind: String,
    /// Device and inode as `DEVICE:INODE`.
    pub identity: String,
    pub rdev: u64,
    pub target: String,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(to, "{name} {}", value.escape_ascii()))
    }
}

impl Report {
    pub fn read(path: &Path) -> Self {
        let line = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), unescape(value)));
        Self(text(path).lines().filter_map(line).collect())
    }

    /// All values of the entries with this name, as bytes.
    pub fn bytes(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.bytes(name).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[track_caller]
    pub fn one(&self, name: &str) -> String {
        self.all(name).pop().unwrap_or_else(|| panic!("no {name} in the report"))
    }

    #[track_caller]
    pub fn number(&self, name: &str) -> i32 {
        self.one(name).parse().unwrap()
    }

    /// The values of one environment variable. More than one is a bug in vsrun.
    pub fn variables(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}=");
        self.all("variable").iter().filter_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    /// The value of an environment variable, `None` if it is unset. Panics if it occurs twice.
    #[track_caller]
    pub fn variable(&self, name: &str) -> Option<String> {
        let mut values = self.variables(name);
        assert!(values.len() < 2, "{name} is there once: {values:?}");
        values.pop()
    }

    /// The supplementary groups and the effective group, sorted and without duplicates.
    pub fn groups(&self) -> Vec<u32> {
        let effective = self.one("gids").split(' ').nth(1).map(str::to_owned).unwrap();
        let mut groups: Vec<u32> = self
            .one("groups")
            .split_whitespace()
            .chain([effective.as_str()])
            .map(|group| group.parse().unwrap())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    pub fn descriptors(&self) -> Vec<Descriptor> {
        self.all("fd").iter().map(|line| descriptor(line)).collect()
    }

    pub fn descriptor(&self, number: i32) -> Option<Descriptor> {
        self.descriptors().into_iter().find(|descriptor| descriptor.number == number)
    }

    pub fn descriptor_numbers(&self) -> Vec<i32> {
        self.descriptors().iter().map(|descriptor| descriptor.number).collect()
    }
}

impl Descriptor {
    /// True for the kernel's null device, under whatever name.
    pub fn is_null(&self) -> bool {
        self.kind == "character" && self.rdev == libc::makedev(1, 3)
    }
}

fn descriptor(line: &str) -> Descriptor {
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    Descriptor {
        number: words[0].parse().unwrap(),
        access: words[1].to_owned(),
        kept: words[2] == "kept",
        kind: words[3].to_owned(),
        identity: words[4].to_owned(),
        rdev: words[5].parse().unwrap(),
        target: words[6].to_owned(),
    }
}

fn unescape(value: &str) -> Vec<u8> {
    let mut parts = value.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
