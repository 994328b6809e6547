//! The names in a logdir: which are ours, which number comes next, which are old enough to go.

use super::text::Text;
use super::time::number;
use super::word::Word;

/// vsrun's own records.
pub const RECORDS: Word = c"vsrun.log";
/// The server's output.
pub const OUTPUT: Word = c"logfile";

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
pub fn expired(mtime: i64, now: i64, keep: super::time::Span) -> bool {
    let age = now.saturating_sub(mtime);
    u64::try_from(age).is_ok_and(|age| age > keep.0 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::time::Span;

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
