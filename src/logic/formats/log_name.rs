//! The names of files in a logdir: which of them are vsrun's own, which number the next renamed file gets, and which
//! files have expired.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::ArrayText;
use crate::logic::base::time::{Span, split_number};

/// The name of the log file with vsrun's own records.
pub const VSRUN_LOG_FILE: StaticCStr = c"vsrun.log";
/// The name of the log file with the server's output.
pub const OUTPUT_FILE: StaticCStr = c"logfile";

/// How log files are rotated and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// How long renamed files are kept.
    pub max_age: Span,
    /// The user and group that own the file of the server's output, and the logdir if vsrun creates it.
    pub output_owner: Option<(u32, u32)>,
    /// The maximum size of the file of the server's output, in bytes, if there is a rotator.
    pub max_file_bytes: u64,
    /// The maximum number of renamed files of the server's output. If there are more, the oldest are deleted.
    pub max_rotated_files: u64,
}

/// A file name, followed by a NUL.
pub type FileName = ArrayText<64>;

/// The highest number that vsrun gives to a renamed file. A higher number in a name is a date, or another user planted
/// it to use up the numbers.
pub const MAX_ROTATION_NUMBER: u32 = 999_999;

/// The number in the name of a renamed file: 7 in `logfile.7`, if `base` is `logfile`. None for any other name,
/// including `logfile.07`, which vsrun never writes.
pub fn rotation_number(name: &[u8], base: StaticCStr) -> Option<u32> {
    match split_rotated_name(name, base) {
        Some((number, b"")) => Some(number),
        Some(_) | None => None,
    }
}

/// The number that a renamed file cannot get, because the file `name` has it: 7 for `logfile.7` and for `logfile.7.gz`.
/// None if `name` contains no such number.
pub fn taken_rotation_number(name: &[u8], base: StaticCStr) -> Option<u32> {
    split_rotated_name(name, base)
        .filter(|(_, rest)| rest.is_empty() || rest.starts_with(b"."))
        .map(|(number, _)| number)
}

/// Splits a name such as `logfile.7.gz` into the number after `base` and the dot, and the rest of the name. None if the
/// name has no such number.
fn split_rotated_name(name: &[u8], base: StaticCStr) -> Option<(u32, &[u8])> {
    let rest = name.strip_prefix(base.to_bytes())?.strip_prefix(b".")?;
    let (number, after) = split_number(rest)?;
    let is_ours = rest.first() != Some(&b'0') && number <= MAX_ROTATION_NUMBER.into();
    Some((u32::try_from(number).ok().filter(|_| is_ours)?, after))
}

/// The lowest numbers of renamed files that were found in one pass through a directory. One pass deletes at most as
/// many files as this set has room for.
#[derive(Clone, Debug)]
pub struct LowestRotationNumbers([u32; 32]);

impl Default for LowestRotationNumbers {
    fn default() -> Self {
        Self([u32::MAX; 32])
    }
}

impl LowestRotationNumbers {
    /// Adds a number. If there is no room, the number replaces the highest one of the set, but only if it is lower.
    pub fn insert(&mut self, number: u32) {
        if let Some(highest) = self.0.iter_mut().max()
            && number < *highest
        {
            *highest = number;
        }
    }

    /// Removes and returns the lowest number. None if the set is empty.
    pub fn pop_lowest(&mut self) -> Option<u32> {
        let lowest = self.0.iter_mut().min()?;
        Some(core::mem::replace(lowest, u32::MAX)).filter(|number| *number < u32::MAX)
    }
}

/// The name of the renamed file with this number, such as `logfile.7`.
pub fn rotated_name(base: StaticCStr, number: u32) -> FileName {
    use core::fmt::Write;
    let mut name = FileName::new();
    name.push(base.to_bytes());
    let _ = write!(name, ".{number}");
    name.end_with(0);
    name
}

/// True if a renamed file is older than `keep`. `mtime` (its last change) and `now` are in seconds of the wall clock. A
/// file whose `mtime` is in the future has not expired, because the clock may have been set back.
pub fn is_expired(mtime: i64, now: i64, keep: Span) -> bool {
    let age = now.saturating_sub(mtime);
    u64::try_from(age).is_ok_and(|age| age > keep.0 / 1000)
}

/// What to do with a line that does not fit into the log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongLineAction {
    /// Write it to its end, even beyond the maximum size: it has begun in this file, or the file is empty.
    Finish,
    /// Rotate the file first.
    Rotate,
}

/// The number of these bytes that go into a log file with `free_bytes` bytes of room: up to the last newline that fits.
/// None if the file must be rotated first. `long` says what to do if no newline fits.
pub fn bytes_before_rotation(bytes: &[u8], free_bytes: u64, long: LongLineAction) -> Option<usize> {
    let room = usize::try_from(free_bytes).unwrap_or(usize::MAX).min(bytes.len());
    let head = bytes.get(..room).unwrap_or_default();
    let is_end = |byte: &u8| *byte == b'\n';
    let end = |at| at + 1;
    match head.iter().rposition(is_end) {
        Some(at) => Some(end(at)),
        None if long == LongLineAction::Finish => Some(bytes.iter().position(is_end).map_or(bytes.len(), end)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_splits_no_line() {
        for (bytes, rest, long, portion_) in [
            ("one\ntwo\nthree\n", 100, LongLineAction::Rotate, Some(14)),
            ("one\ntwo\nthree\n", 13, LongLineAction::Rotate, Some(8)),
            ("one\ntwo\nthree\n", 8, LongLineAction::Rotate, Some(8)),
            ("one\ntwo\nthree\n", 7, LongLineAction::Rotate, Some(4)),
            ("one\ntwo\nthree\n", 4, LongLineAction::Finish, Some(4)),
            ("one\ntwo\nthree\n", 3, LongLineAction::Rotate, None),
            ("one\ntwo\nthree\n", 0, LongLineAction::Rotate, None),
            ("one\ntwo\nthree\n", 3, LongLineAction::Finish, Some(4)),
            ("one\ntwo\nthree\n", 0, LongLineAction::Finish, Some(4)),
            ("\n\n", 1, LongLineAction::Rotate, Some(1)),
            ("no end", 3, LongLineAction::Finish, Some(6)),
            ("no end", 3, LongLineAction::Rotate, None),
            ("no end", u64::MAX, LongLineAction::Finish, Some(6)),
        ] {
            assert_eq!(bytes_before_rotation(bytes.as_bytes(), rest, long), portion_, "{bytes:?} {rest} {long:?}");
        }
    }

    #[test]
    fn only_our_names_have_a_number() {
        for (name, of, number) in
            [("logfile.1", OUTPUT_FILE, 1), ("logfile.120", OUTPUT_FILE, 120), ("vsrun.log.3", VSRUN_LOG_FILE, 3)]
        {
            assert_eq!(rotation_number(name.as_bytes(), of), Some(number));
            assert_eq!(&rotated_name(of, number).as_bytes()[..name.len() + 1], [name.as_bytes(), b"\0"].concat());
        }
        for name in [
            "logfile",
            "logfile.",
            "logfile.0",
            "logfile.01",
            "logfile.1.gz",
            "logfile.-1",
            "logfile.1000000",
            "logfile.20261101",
            "logfile.18446744073709551615",
            "logfile.18446744073709551616",
            "xlogfile.1",
            "vsrun.log.1",
        ] {
            assert_eq!(rotation_number(name.as_bytes(), OUTPUT_FILE), None, "{name}");
        }
        assert_eq!(rotated_name(VSRUN_LOG_FILE, MAX_ROTATION_NUMBER).as_bytes(), b"vsrun.log.999999\0");
    }

    #[test]
    fn a_number_stays_taken_when_its_file_gets_a_suffix() {
        for (name, number) in [
            ("logfile.7", Some(7)),
            ("logfile.7.gz", Some(7)),
            ("logfile.999999.", Some(999_999)),
            ("logfile.7gz", None),
            ("logfile.7-old", None),
            ("logfile.20261101.gz", None),
            ("logfile.gz", None),
            ("logfile", None),
        ] {
            assert_eq!(taken_rotation_number(name.as_bytes(), OUTPUT_FILE), number, "{name}");
        }
    }

    #[test]
    fn the_lowest_numbers_come_first() {
        let mut lowest = LowestRotationNumbers::default();
        (1..=100).rev().for_each(|number| lowest.insert(number));
        let found: Vec<u32> = core::iter::from_fn(|| lowest.pop_lowest()).collect();
        assert_eq!(found, (1..=32).collect::<Vec<_>>());
    }

    #[test]
    fn age_is_counted_and_the_future_is_young() {
        let day = Span::parse_retention(b"1").unwrap();
        assert!(is_expired(0, 86_401, day));
        assert!(!is_expired(0, 86_400, day));
        assert!(!is_expired(1_000_000, 0, day));
        assert!(is_expired(i64::MIN, i64::MAX, day));
        assert!(!is_expired(10, 10, Span::ZERO));
    }
}
