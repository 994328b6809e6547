//! The names in a logdir: which are ours, which number comes next, which are old enough to go.

use super::text::Text;
use super::time::{Span, number};
use super::word::Word;

/// vsrun's own records.
pub const RECORDS: Word = c"vsrun.log";
/// The server's output.
pub const OUTPUT: Word = c"logfile";

/// What is to be kept, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long renamed files are kept.
    pub keep: Span,
    /// User and group that a created directory and the server's file belong to.
    pub owner: Option<(u32, u32)>,
    /// How long the server's file may become, in bytes, where a writer takes care of it.
    pub size: u64,
    /// How many of its renamed files are kept.
    pub files: u64,
}

/// A file name, with a NUL at its end: `vsrun.log.18446744073709551615` is the longest.
pub type FileName = Text<64>;

/// The number of a renamed file of that name: `logfile.7` of `logfile` is 7. None for any other name, also for
/// `logfile.07`, which vsrun never writes.
pub fn generation(name: &[u8], of: Word) -> Option<u64> {
    let digits = name.strip_prefix(of.to_bytes())?.strip_prefix(b".")?;
    number(digits).filter(|_| digits.first() != Some(&b'0'))
}

/// The name of a renamed file, as [`generation`] reads it.
pub fn renamed(of: Word, generation: u64) -> FileName {
    use core::fmt::Write;
    let mut name = FileName::new();
    name.push(of.to_bytes());
    let _ = write!(name, ".{generation}");
    name.end_with(0);
    name
}

/// Whether a renamed file last written at `mtime` is older than `keep` (all in seconds of the wall clock, `keep` in
/// milliseconds). A file from the future is young: the clock may have been set back.
pub fn expired(mtime: i64, now: i64, keep: Span) -> bool {
    let age = now.saturating_sub(mtime);
    u64::try_from(age).is_ok_and(|age| age > keep.0 / 1000)
}

/// How much of what a server has written goes into a file that has room for `rest` more bytes: up to the last end of
/// a line. None: the file is to be rotated first. Where a line is `open`, because it has begun in this file or has
/// the file for itself, it goes on up to its end, which may be beyond.
pub fn portion(bytes: &[u8], rest: u64, open: bool) -> Option<usize> {
    let room = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
    let head = bytes.get(..room).unwrap_or_default();
    let is_end = |byte: &u8| *byte == b'\n';
    let end = |at| at + 1;
    match head.iter().rposition(is_end) {
        Some(at) => Some(end(at)),
        None => open.then(|| bytes.iter().position(is_end).map_or(bytes.len(), end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_together() {
        for (bytes, rest, open, portion_) in [
            ("one\ntwo\nthree\n", 100, false, Some(14)),
            ("one\ntwo\nthree\n", 13, false, Some(8)),
            ("one\ntwo\nthree\n", 8, false, Some(8)),
            ("one\ntwo\nthree\n", 7, false, Some(4)),
            ("one\ntwo\nthree\n", 4, true, Some(4)),
            ("one\ntwo\nthree\n", 3, false, None),
            ("one\ntwo\nthree\n", 0, false, None),
            ("one\ntwo\nthree\n", 3, true, Some(4)),
            ("one\ntwo\nthree\n", 0, true, Some(4)),
            ("\n\n", 1, false, Some(1)),
            ("no end", 3, true, Some(6)),
            ("no end", 3, false, None),
            ("no end", u64::MAX, true, Some(6)),
        ] {
            assert_eq!(portion(bytes.as_bytes(), rest, open), portion_, "{bytes:?} {rest} {open}");
        }
    }

    #[test]
    fn only_our_names_have_a_number() {
        for (name, of, number) in [("logfile.1", OUTPUT, 1), ("logfile.120", OUTPUT, 120), ("vsrun.log.3", RECORDS, 3)]
        {
            assert_eq!(generation(name.as_bytes(), of), Some(number));
            assert_eq!(&renamed(of, number).as_bytes()[..name.len() + 1], [name.as_bytes(), b"\0"].concat());
        }
        for name in [
            "logfile",
            "logfile.",
            "logfile.0",
            "logfile.01",
            "logfile.1.gz",
            "logfile.-1",
            "logfile.18446744073709551616",
            "xlogfile.1",
            "vsrun.log.1",
        ] {
            assert_eq!(generation(name.as_bytes(), OUTPUT), None, "{name}");
        }
        assert_eq!(renamed(RECORDS, u64::MAX).as_bytes(), b"vsrun.log.18446744073709551615\0");
    }

    #[test]
    fn age_is_counted_and_the_future_is_young() {
        let day = Span::parse_keep(b"1").unwrap();
        assert!(expired(0, 86_401, day));
        assert!(!expired(0, 86_400, day));
        assert!(!expired(1_000_000, 0, day));
        assert!(expired(i64::MIN, i64::MAX, day));
        assert!(!expired(10, 10, Span::ZERO));
    }
}
