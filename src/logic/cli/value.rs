//! Parsers for the values of options. They return None for a malformed value.

use crate::logic::base::time::parse_number;
use crate::logic::plan::limits::ResourceLimit;
use crate::logic::plan::limits::index_of_name;
use crate::logic::plan::step::Step;
use alloc::vec::Vec;
use core::mem::discriminant;

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{Span, split_number};

/// Copies the value as a C string, which ends at the first NUL. Any value is valid.
pub fn leak_copy(value: &[u8]) -> StaticCStr {
    leak_cstr(value.to_vec())
}

/// Copies a value that is optional. None for `-`, which means no value.
pub fn none_if_dash(value: &[u8]) -> Option<StaticCStr> {
    (value != b"-").then(|| leak_copy(value))
}

/// Splits a text at blanks into words; at least one word is required.
pub fn split_words(value: &[u8]) -> Option<Vec<StaticCStr>> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<StaticCStr> = words.map(leak_copy).collect();
    (!words.is_empty()).then_some(words)
}

/// Parses `NAME=VALUE` with a NAME that is not empty.
pub fn parse_assignment(value: &[u8]) -> Option<StaticCStr> {
    value.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).map(|_| leak_copy(value))
}

/// True if the bytes can be the name of an environment variable.
pub fn is_variable_name(value: &[u8]) -> bool {
    !value.is_empty() && !value.contains(&b'=')
}

/// Parses a file mode creation mask, in octal.
pub fn parse_umask(value: &[u8]) -> Option<u32> {
    if value.is_empty() || value.len() > 4 || !value.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    let mask = value.iter().fold(0, |mask, digit| mask << 3 | u32::from(digit - b'0'));
    (mask <= 0o777).then_some(mask)
}

/// Parses a size in bytes, at least 1. The units `k`, `M` and `G` are powers of 1024.
pub fn parse_size(value: &[u8]) -> Option<u64> {
    let (count, unit) = split_number(value)?;
    let bits = match unit {
        b"" => 0,
        b"k" => 10,
        b"M" => 20,
        b"G" => 30,
        _ => return None,
    };
    count.checked_mul(1 << bits).filter(|size| *size > 0)
}

/// Parses `MIN[:MAX]`, two durations. The default of MAX is 0 if MIN is 0; otherwise it is 30 s, or MIN if that is
/// longer.
pub fn parse_delay_range(value: &[u8]) -> Option<(Span, Span)> {
    let mut halves = split_byte(value, b':');
    let min = Span::parse(halves.next()?)?;
    let max = match halves.rest {
        Some(max) => Span::parse(max)?,
        None if min == Span::ZERO => Span::ZERO,
        None => Span::secs(30).max(min),
    };
    (min <= max).then_some((min, max))
}

/// Parses the name or number of a signal. STOP, CONT and CHLD are not accepted, because they do not end a server.
pub fn parse_stop_signal(value: &[u8]) -> Option<Signal> {
    Signal::parse(value).filter(|signal| ![Signal::STOP, Signal::CHLD, Signal::CONT].contains(signal))
}

/// The names of the resource limits, as in prlimit(1), in the order of the kernel's numbers.
pub const RESOURCE_NAMES: &[u8] =
    b"CPU,FSIZE,DATA,STACK,CORE,RSS,NPROC,NOFILE,MEMLOCK,AS,LOCKS,SIGPENDING,MSGQUEUE,NICE,RTPRIO,RTTIME";

/// Parses `NAME=SOFT[:HARD]` of `--limit`. A single number is both the soft and the hard limit.
pub fn parse_limit(value: &[u8]) -> Option<Step> {
    let mut halves = split_byte(value, b'=');
    let resource = index_of_name(RESOURCE_NAMES, halves.next()?)?;
    let mut limits = split_byte(halves.rest?, b':');
    let soft = parse_limit_value(limits.next()?)?;
    let hard = limits.rest.map_or(Some(soft), parse_limit_value)?;
    (soft <= hard).then(|| Step::Limit(ResourceLimit { resource, soft, hard, text: leak_copy(value) }))
}

/// Parses a limit: a number, or `unlimited`, which is `u64::MAX`.
pub fn parse_limit_value(text: &[u8]) -> Option<u64> {
    if text == b"unlimited" { Some(u64::MAX) } else { parse_number(text) }
}

/// Parses a nice value, from -20 to 19.
pub fn parse_nice(value: &[u8]) -> Option<Step> {
    parse_integer(value, 20, 19).map(Step::Nice)
}

/// Parses the value of `--oom-score-adj`. When memory runs out, the kernel adds it to the score by which it chooses the
/// process to kill.
pub fn parse_oom_score_adj(value: &[u8]) -> Option<Step> {
    parse_integer(value, 1000, 1000).map(|value| Step::OomScoreAdj(leak_cstr(format!("{value}").into_bytes())))
}

/// Parses an integer from -`max_abs_negative` to `most`.
pub fn parse_integer(value: &[u8], max_abs_negative: i32, most: i32) -> Option<i32> {
    let digits = value.strip_prefix(b"-");
    let count = i32::try_from(parse_number(digits.unwrap_or(value))?).ok()?;
    match digits {
        Some(_) if count <= max_abs_negative => Some(-count),
        None if count <= most => Some(count),
        Some(_) | None => None,
    }
}

/// True if two steps set the same attribute, such as the same resource limit.
pub fn is_same_attribute(one: &Step, other: &Step) -> bool {
    match (one, other) {
        (Step::Limit(one), Step::Limit(other)) => one.resource == other.resource,
        (one, other) => discriminant(one) == discriminant(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(value: &str) -> Option<(u8, u64, u64)> {
        let Step::Limit(limit) = parse_limit(value.as_bytes())? else { panic!("{value}") };
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

    #[test]
    fn numbers_have_their_ranges() {
        for (value, expected) in [("-20", Some(-20)), ("0", Some(0)), ("19", Some(19)), ("-0", Some(0))] {
            assert_eq!(parse_nice(value.as_bytes()), expected.map(Step::Nice));
        }
        for wrong in ["-21", "20", "", "-", "+1", "--1", "1.5", "99999999999"] {
            assert_eq!(parse_nice(wrong.as_bytes()), None, "{wrong}");
        }
        for (value, expected) in
            [("-1000", Some(c"-1000")), ("0010", Some(c"10")), ("-0", Some(c"0")), ("1001", None), ("-1001", None)]
        {
            assert_eq!(parse_oom_score_adj(value.as_bytes()), expected.map(Step::OomScoreAdj));
        }
    }

    #[test]
    fn options_for_the_same_attribute_are_recognized() {
        let [one, same, other, nice] =
            [parse_limit(b"as=1"), parse_limit(b"AS=2"), parse_limit(b"core=1"), parse_nice(b"1")].map(Option::unwrap);
        assert!(is_same_attribute(&one, &same) && is_same_attribute(&nice, &Step::Nice(5)));
        assert!(!is_same_attribute(&one, &other) && !is_same_attribute(&one, &nice));
    }
}
