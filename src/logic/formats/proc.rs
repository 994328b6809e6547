//! Files of `/proc` about a process.

use crate::logic::base::time::parse_number;

/// The parent of a process, from its `stat` file in /proc: the second word after the process name, which may contain
/// any bytes.
pub fn parent_pid(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    // In a `stat` file, the process name ends with `)`. A blank, the state (one letter) and another blank follow.
    let rest = stat.get(end + 4..)?;
    let length = rest.iter().position(|byte| *byte == b' ')?;
    i32::try_from(parse_number(rest.get(..length)?)?).ok()
}

/// What the mounted /proc shows about locks, according to vsrun's own `status` file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcLockSupport {
    /// /proc shows which descriptors have a lock.
    Available,
    /// /proc shows which files are open, but not which are locked, as before Linux 4.1.
    Missing,
    /// /proc is that of another pid namespace, so a pid in it means another process than in vsrun's own namespace.
    OtherPidNamespace,
}

impl ProcLockSupport {
    /// Parses vsrun's own `status` file. Its line `NSpid` has more than one pid if /proc belongs to another pid
    /// namespace, and is missing before Linux 4.1.
    pub fn parse(status: &[u8]) -> Self {
        let Some(own) = text_after(status, b"\nNSpid:\t") else { return Self::Missing };
        let end = own.iter().find(|byte| !byte.is_ascii_digit());
        if end == Some(&b'\n') { Self::Available } else { Self::OtherPidNamespace }
    }
}

/// True if a descriptor has a lock, from its file in /proc/PID/fdinfo.
pub fn fdinfo_has_lock(info: &[u8]) -> bool {
    text_after(info, b"\nlock:").is_some()
}

/// The text after the first occurrence of `words`. None if they do not occur.
pub fn text_after<'a>(text: &'a [u8], words: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(words.len()).position(|window| window == words)?;
    text.get(at + words.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_stat_may_hold_anything() {
        for (stat, parent) in [
            ("12 (sh) S 34 12 12 0", Some(34)),
            ("12 (a) S 1 (b)) Z 34 12", Some(34)),
            ("12 (a\nb) R 0 0", Some(0)),
            ("", None),
            ("12 (cut", None),
            ("12 (cut) S 3", None),
        ] {
            assert_eq!(parent_pid(stat.as_bytes()), parent, "{stat:?}");
        }
    }

    #[test]
    fn proc_of_another_namespace_is_known() {
        for (status, sight) in [
            ("Name:\tx\nNStgid:\t7\nNSpid:\t7\nNSpgid:\t7\n", ProcLockSupport::Available),
            ("Name:\tx\nNStgid:\t70\t7\nNSpid:\t70\t7\nNSpgid:\t70\t7\n", ProcLockSupport::OtherPidNamespace),
            ("Name:\tx\nPid:\t7\n", ProcLockSupport::Missing),
            ("", ProcLockSupport::Missing),
        ] {
            assert_eq!(ProcLockSupport::parse(status.as_bytes()), sight, "{status:?}");
        }
        assert!(fdinfo_has_lock(b"pos:\t0\nflags:\t02100000\nlock:\t1: OFDLCK ADVISORY  READ -1 08:01:5 0 EOF\n"));
        assert!(!fdinfo_has_lock(b"pos:\t0\nflags:\t0100000\nmnt_id:\t25\nino:\t5\n"));
    }
}
