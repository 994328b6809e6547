//! The values of `--limit` and `--caps`: resource limits and capabilities.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::cstr::leak_cstr;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::parse_number;
use crate::logic::cli::suggestions::eq_ignore_case;

/// The names of capabilities(7) without `cap_`, in the order of their numbers, up to Linux 5.9. No later kernel has
/// more.
pub const CAPABILITY_NAMES: &[u8] = b"CHOWN,DAC_OVERRIDE,DAC_READ_SEARCH,FOWNER,FSETID,KILL,SETGID,SETUID,SETPCAP,\
LINUX_IMMUTABLE,NET_BIND_SERVICE,NET_BROADCAST,NET_ADMIN,NET_RAW,IPC_LOCK,IPC_OWNER,SYS_MODULE,SYS_RAWIO,SYS_CHROOT,\
SYS_PTRACE,SYS_PACCT,SYS_ADMIN,SYS_BOOT,SYS_NICE,SYS_RESOURCE,SYS_TIME,SYS_TTY_CONFIG,MKNOD,LEASE,AUDIT_WRITE,\
AUDIT_CONTROL,SETFCAP,MAC_OVERRIDE,MAC_ADMIN,SYSLOG,WAKE_ALARM,BLOCK_SUSPEND,AUDIT_READ,PERFMON,BPF,CHECKPOINT_RESTORE";

/// The value of `--limit`: a resource and its limits. See setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The kernel's number of the resource (RLIMIT_NOFILE and so on).
    pub resource: u8,
    /// The soft limit. `u64::MAX` means no limit (RLIM_INFINITY).
    pub soft: u64,
    /// The hard limit, up to which the process may raise the soft limit.
    pub hard: u64,
    /// The value of `--limit` on the command line, for messages.
    pub text: StaticCStr,
}

/// The value of `--caps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The set of capabilities. Bit N is the capability with the kernel's number N.
    pub set: u64,
    /// The value of `--caps` on the command line, for messages.
    pub list: StaticCStr,
}

impl Capabilities {
    /// Parses `none`, or a comma-separated list. Each item is a number, or a name with or without `CAP_`.
    pub fn parse(list: &[u8]) -> Option<Self> {
        let mut set = 0;
        if list != b"none" {
            for word in split_byte(list, b',') {
                let place = index_of_name(CAPABILITY_NAMES, bare_capability_name(word))
                    .map_or_else(|| parse_number(word), |place| Some(place.into()))?;
                set |= 1u64.checked_shl(u32::try_from(place).ok()?)?;
            }
        }
        Some(Self { set, list: leak_cstr(list.to_vec()) })
    }
}

/// The name of a capability without `CAP_` at its beginning, in any case.
pub fn bare_capability_name(word: &[u8]) -> &[u8] {
    word.split_at_checked(4).filter(|(start, _)| eq_ignore_case(start, b"CAP_")).map_or(word, |(_, name)| name)
}

/// The index of a name in a comma-separated list of uppercase names, whatever the case of `wanted`. None if it is
/// missing.
pub fn index_of_name(names: &[u8], wanted: &[u8]) -> Option<u8> {
    let wanted = wanted.to_ascii_uppercase();
    split_byte(names, b',').zip(0..).find(|(name, _)| *name == wanted).map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(CAPABILITY_NAMES.split(|byte| *byte == b',').count(), 41);
    }
}
