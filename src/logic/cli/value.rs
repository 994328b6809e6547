//! Values of options, from their bytes. None: malformed.

use alloc::vec::Vec;

use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{number_and_unit, Span};
use crate::logic::base::cstr::{leak_cstr, StaticCStr};

/// Any bytes.
pub fn text(value: &[u8]) -> StaticCStr {
    leak_cstr(value.to_vec())
}

/// A path, or `-` for none.
pub fn path_or_dash(value: &[u8]) -> Option<StaticCStr> {
    (value != b"-").then(|| text(value))
}

/// Words, split at blanks; at least one.
pub fn split_words(value: &[u8]) -> Option<Vec<StaticCStr>> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<StaticCStr> = words.map(text).collect();
    (!words.is_empty()).then_some(words)
}

/// `NAME=VALUE`, with a name.
pub fn assignment(value: &[u8]) -> Option<StaticCStr> {
    value.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).map(|_| text(value))
}

/// True for bytes that can be the name of a variable.
pub fn is_name(value: &[u8]) -> bool {
    !value.is_empty() && !value.contains(&b'=')
}

/// A file mode creation mask.
pub fn octal(value: &[u8]) -> Option<u32> {
    if value.is_empty() || value.len() > 4 || !value.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    let mask = value.iter().fold(0, |mask, digit| mask << 3 | u32::from(digit - b'0'));
    (mask <= 0o777).then_some(mask)
}

/// A number of bytes, at least one: with `k`, `M` or `G` of 1024 each.
pub fn size(value: &[u8]) -> Option<u64> {
    let (count, unit) = number_and_unit(value)?;
    let bits = match unit {
        b"" => 0,
        b"k" => 10,
        b"M" => 20,
        b"G" => 30,
        _ => return None,
    };
    count.checked_mul(1 << bits).filter(|size| *size > 0)
}

/// `MIN[:MAX]`, two durations.
pub fn delay(value: &[u8]) -> Option<(Span, Span)> {
    let mut halves = split_byte(value, b':');
    let min = Span::parse(halves.next()?)?;
    let max = match halves.rest {
        Some(max) => Span::parse(max)?,
        None if min == Span::ZERO => Span::ZERO,
        None => Span::secs(30).max(min),
    };
    (min <= max).then_some((min, max))
}

/// A signal that can end a server.
pub fn stop_signal(value: &[u8]) -> Option<Signal> {
    Signal::parse(value).filter(|signal| ![Signal::STOP, Signal::CHLD, Signal::CONT].contains(signal))
}
