//! Attributes of a process, from the values of options: limits, nice value, out-of-memory score, capabilities.

use core::mem::discriminant;

use crate::logic::cli::suggestions::is_same;
use super::step::Step;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::number;
use crate::logic::cli::value::text;
use crate::logic::base::cstr::{leak_cstr, StaticCStr};

/// prlimit(1)'s names of the resources, in the order of the kernel's numbers.
pub const RESOURCES: &[u8] =
    b"CPU,FSIZE,DATA,STACK,CORE,RSS,NPROC,NOFILE,MEMLOCK,AS,LOCKS,SIGPENDING,MSGQUEUE,NICE,RTPRIO,RTTIME";

/// The names of capabilities(7) without `cap_`, in the order of their numbers, up to those of Linux 5.9; there have
/// been no others since.
pub const CAPABILITIES: &[u8] = b"CHOWN,DAC_OVERRIDE,DAC_READ_SEARCH,FOWNER,FSETID,KILL,SETGID,SETUID,SETPCAP,\
LINUX_IMMUTABLE,NET_BIND_SERVICE,NET_BROADCAST,NET_ADMIN,NET_RAW,IPC_LOCK,IPC_OWNER,SYS_MODULE,SYS_RAWIO,SYS_CHROOT,\
SYS_PTRACE,SYS_PACCT,SYS_ADMIN,SYS_BOOT,SYS_NICE,SYS_RESOURCE,SYS_TIME,SYS_TTY_CONFIG,MKNOD,LEASE,AUDIT_WRITE,\
AUDIT_CONTROL,SETFCAP,MAC_OVERRIDE,MAC_ADMIN,SYSLOG,WAKE_ALARM,BLOCK_SUSPEND,AUDIT_READ,PERFMON,BPF,CHECKPOINT_RESTORE";

/// A limit of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The kernel's number of the resource.
    pub resource: u8,
    /// What the process feels. The greatest number is what setrlimit(2) calls unlimited.
    pub soft: u64,
    /// How far it may raise that itself.
    pub hard: u64,
    /// As it stands on the command line.
    pub text: StaticCStr,
}

/// Reads `NAME=SOFT[:HARD]`; one number is both.
pub fn limit(value: &[u8]) -> Option<Step> {
    let mut halves = split_byte(value, b'=');
    let resource = place(RESOURCES, halves.next()?)?;
    let mut limits = split_byte(halves.rest?, b':');
    let soft = bound(limits.next()?)?;
    let hard = limits.rest.map_or(Some(soft), bound)?;
    (soft <= hard).then(|| Step::Limit(ResourceLimit { resource, soft, hard, text: text(value) }))
}

/// A number, or `unlimited`.
pub fn bound(text: &[u8]) -> Option<u64> {
    if text == b"unlimited" { Some(u64::MAX) } else { number(text) }
}

/// The value of `--caps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A bit for each, as the kernel numbers them.
    pub set: u64,
    /// As they stand on the command line.
    pub list: StaticCStr,
}

impl Capabilities {
    /// Reads names, with or without `CAP_`, or numbers, separated by commas, or `none`.
    pub fn parse(list: &[u8]) -> Option<Self> {
        let mut set = 0;
        if list != b"none" {
            for word in split_byte(list, b',') {
                let bare = word.split_at_checked(4).filter(|(start, _)| is_same(start, b"CAP_"));
                let place = place(CAPABILITIES, bare.map_or(word, |(_, name)| name))
                    .map_or_else(|| number(word), |place| Some(place.into()))?;
                set |= 1u64.checked_shl(u32::try_from(place).ok()?)?;
            }
        }
        Some(Self { set, list: text(list) })
    }
}

/// The place of a name in a list, in any case.
pub fn place(names: &[u8], wanted: &[u8]) -> Option<u8> {
    let wanted = wanted.to_ascii_uppercase();
    split_byte(names, b',').zip(0..).find(|(name, _)| *name == wanted).map(|(_, place)| place)
}

/// Reads a nice value.
pub fn nice(value: &[u8]) -> Option<Step> {
    integer(value, 20, 19).map(Step::Nice)
}

/// Reads what is added to the kernel's own score when memory is out.
pub fn oom_score(value: &[u8]) -> Option<Step> {
    integer(value, 1000, 1000).map(|value| Step::OomScore(leak_cstr(format!("{value}").into_bytes())))
}

/// An integer from minus one to the other.
fn integer(value: &[u8], least: i32, most: i32) -> Option<i32> {
    let digits = value.strip_prefix(b"-");
    let count = i32::try_from(number(digits.unwrap_or(value))?).ok()?;
    match digits {
        Some(_) if count <= least => Some(-count),
        None if count <= most => Some(count),
        Some(_) | None => None,
    }
}

/// Whether two of the above are about the same attribute.
pub fn set_the_same(one: &Step, other: &Step) -> bool {
    match (one, other) {
        (Step::Limit(one), Step::Limit(other)) => one.resource == other.resource,
        (one, other) => discriminant(one) == discriminant(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(value: &str) -> Option<(u8, u64, u64)> {
        let Step::Limit(limit) = limit(value.as_bytes())? else { panic!("{value}") };
        assert_eq!(limit.text.to_str(), Ok(value));
        Some((limit.resource, limit.soft, limit.hard))
    }

    #[test]
    fn limits_are_named_as_prlimit_names_them() {
        assert_eq!(numbers("nofile=1024"), Some((7, 1024, 1024)));
        assert_eq!(numbers("core=0:unlimited"), Some((4, 0, u64::MAX)));
        assert_eq!(numbers("AS=unlimited"), Some((9, u64::MAX, u64::MAX)));
        assert_eq!(numbers("cpu=1:2"), Some((0, 1, 2)));
        assert_eq!(numbers("rttime=1"), Some((15, 1, 1)));
        for wrong in [
            "",
            "nofile",
            "nofile=",
            "=1",
            "nofile=1:",
            "nofile=:1",
            "nofile=2:1",
            "nofile=-1",
            "nofile=1k",
            "files=1",
            "unlimited",
            "nofile=unlimited:1",
            "nofile=1:2:3",
            "nofile=18446744073709551616",
            "nofile,core=1",
        ] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }

    fn caps(list: &str) -> Option<u64> {
        Capabilities::parse(list.as_bytes()).map(|caps| caps.set)
    }

    #[test]
    fn capabilities_have_names_and_numbers() {
        for (list, set) in [
            ("none", 0),
            ("chown", 1),
            ("net_bind_service", 1 << 10),
            ("NET_BIND_SERVICE,setuid", 1 << 10 | 1 << 7),
            ("checkpoint_restore", 1 << 40),
            ("audit_read", 1 << 37),
            ("kill,kill", 1 << 5),
            ("10", 1 << 10),
            ("63,0", 1 << 63 | 1),
            ("CAP_CHOWN,cap_kill", 1 << 5 | 1),
        ] {
            assert_eq!(caps(list), Some(set), "{list}");
        }
        for wrong in [
            "",
            ",",
            "kill,",
            ",kill",
            "kill,,chown",
            "none,kill",
            "cap_",
            "cap_cap_kill",
            "cap_64x",
            "64",
            "-1",
            "all",
            "kill chown",
        ] {
            assert_eq!(caps(wrong), None, "{wrong}");
        }
        assert_eq!(CAPABILITIES.split(|byte| *byte == b',').count(), 41);
    }

    #[test]
    fn numbers_have_their_ranges() {
        for (value, expected) in [("-20", Some(-20)), ("0", Some(0)), ("19", Some(19)), ("-0", Some(0))] {
            assert_eq!(nice(value.as_bytes()), expected.map(Step::Nice));
        }
        for wrong in ["-21", "20", "", "-", "+1", "--1", "1.5", "99999999999"] {
            assert_eq!(nice(wrong.as_bytes()), None, "{wrong}");
        }
        for (value, expected) in
            [("-1000", Some(c"-1000")), ("0010", Some(c"10")), ("-0", Some(c"0")), ("1001", None), ("-1001", None)]
        {
            assert_eq!(oom_score(value.as_bytes()), expected.map(Step::OomScore));
        }
    }

    #[test]
    fn rivals() {
        let [one, same, other, nice] =
            [limit(b"as=1"), limit(b"AS=2"), limit(b"core=1"), nice(b"1")].map(Option::unwrap);
        assert!(set_the_same(&one, &same) && set_the_same(&nice, &Step::Nice(5)));
        assert!(!set_the_same(&one, &other) && !set_the_same(&one, &nice));
    }
}
