//! Points in time and lengths of time, as types, so that the unit of a number is never in doubt.

use core::fmt;

/// A point on the monotonic clock, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(test, derive(Hash))]
pub struct Time(pub u64);

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(test, derive(Hash))]
pub struct Span(pub u64);

impl Time {
    /// The point in time that is `span` later. If it overflows, the last possible point in time.
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time from `earlier` to this point; zero if `earlier` is the later of the two.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// A span of zero length.
    pub const ZERO: Self = Self(0);

    /// A span of `count` milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(count)
    }

    /// A span of `count` seconds.
    pub const fn secs(count: u64) -> Self {
        Self(count * 1000)
    }

    /// A span that is twice as long.
    pub fn doubled(self) -> Self {
        Self(self.0.saturating_mul(2))
    }

    /// Parses an integer with one of the units `ms`, `s`, `min`, `h`, `d` and `w`; without a unit it means seconds.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (count, unit) = split_number(text)?;
        let unit = match unit {
            b"ms" => 1,
            b"" | b"s" => 1000,
            b"min" => 60_000,
            b"h" => 3_600_000,
            b"d" => 86_400_000,
            b"w" => 604_800_000,
            _ => return None,
        };
        count.checked_mul(unit).map(Self)
    }

    /// Parses a span as [`Span::parse`] does; None if it is zero.
    pub fn parse_nonzero(text: &[u8]) -> Option<Self> {
        Self::parse(text).filter(|span| *span > Self::ZERO)
    }

    /// Parses KEEP of `--logdir`: an integer with one of the units `h`, `d`, `w` and `m` (30 days); without a unit it
    /// means days.
    pub fn parse_retention(text: &[u8]) -> Option<Self> {
        let (count, unit) = split_number(text)?;
        let hours: u64 = match unit {
            b"h" => 1,
            b"" | b"d" => 24,
            b"w" => 24 * 7,
            b"m" => 24 * 30,
            _ => return None,
        };
        count.checked_mul(hours)?.checked_mul(3_600_000).map(Self)
    }
}

/// Parses a decimal number: digits only, without a sign. None on overflow.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    match split_number(text)? {
        (count, b"") => Some(count),
        _ => None,
    }
}

/// Parses the digits at the start of a text, and returns the number and the rest. None without digits, or on overflow.
pub fn split_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = text.split_at_checked(digits)?;
    if digits.is_empty() {
        return None;
    }
    let mut count = 0u64;
    for digit in digits {
        count = count.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some((count, unit))
}

/// A point in time of the wall clock, as vsrun's own records show it.
#[derive(Clone, Copy)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; negative before that.
    pub seconds: i64,
    /// Milliseconds within the second.
    pub millis: u16,
}

impl fmt::Display for Timestamp {
    /// The time in ISO 8601: `2026-11-21T08:00:12.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let parts =
            [(year, 4), (month, 2), (day, 2), (hour, 2), (minute, 2), (second % 60, 2), (self.millis.into(), 3)];
        for ((value, width), after) in parts.into_iter().zip("--T::.Z".chars()) {
            write!(f, "{value:0width$}{after}")?;
        }
        Ok(())
    }
}

/// The date (year, month, day) of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// The calculation lets the year begin in March, so that the leap day is its last day. 400 years have 146,097 days.
fn civil_from_days(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468; // from 0000-03-01
    let era = day.div_euclid(146_097);
    let day = day.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, day - (153 * march + 2) / 5 + 1)
}

/// The earliest of these points in time; None if all of them are None.
pub fn earliest(times: &[Option<Time>]) -> Option<Time> {
    let mut first = None;
    for time in times.iter().flatten() {
        first = Some(first.unwrap_or(*time).min(*time));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        for (text, millis) in [
            ("0", 0),
            ("5", 5000),
            ("5s", 5000),
            ("200ms", 200),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(Span::parse(text.as_bytes()), Some(Span(millis)), "{text}");
        }
        for text in
            ["", "s", "-1", "+1", "1.5s", "5 s", "5m", "5S", "1y", "18446744073709551616", "18446744073709551615s"]
        {
            assert_eq!(Span::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_retention_without_a_unit_is_a_number_of_days() {
        let day = 86_400_000;
        for (text, millis) in
            [("7", 7 * day), ("7d", 7 * day), ("12h", day / 2), ("1w", 7 * day), ("2m", 60 * day), ("0", 0)]
        {
            assert_eq!(Span::parse_retention(text.as_bytes()), Some(Span(millis)), "{text}");
        }
        for text in ["1y", "-1", "", "d", "5s", "99999999999999999999", "18446744073709551615m"] {
            assert_eq!(Span::parse_retention(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn stamps_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (951_868_799, "2000-02-29T23:59:59.007Z"),
            (1_709_164_800, "2024-02-29T00:00:00.007Z"),
            (1_795_248_012, "2026-11-21T08:00:12.007Z"),
            (2_147_483_648, "2038-01-19T03:14:08.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
            (-1, "1969-12-31T23:59:59.007Z"),
        ] {
            assert_eq!(Timestamp { seconds, millis: 7 }.to_string(), text);
        }
    }
}
