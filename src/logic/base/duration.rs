//! Lengths of time, as vsrun's own records show them.

use core::fmt;

use super::time::Span;

/// Displays a length of time for people: `0.3 s`, `12.8 s`, `3 min 5 s`, `3 h 12 min`, `2 d 4 h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanDisplay(pub Span);

impl fmt::Display for SpanDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.0;
        let seconds = millis / 1000;
        let (large, unit, small, rest) = match seconds {
            0..60 => return write!(f, "{seconds}.{} s", millis / 100 % 10),
            60..3600 => (seconds / 60, "min", seconds % 60, "s"),
            3600..86_400 => (seconds / 3600, "h", seconds / 60 % 60, "min"),
            _ => (seconds / 86_400, "d", seconds / 3600 % 24, "h"),
        };
        write!(f, "{large} {unit}")?;
        if small > 0 { write!(f, " {small} {rest}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_at_most_and_a_tenth_of_a_second_below_a_minute() {
        for (millis, text) in [
            (0, "0.0 s"),
            (99, "0.0 s"),
            (350, "0.3 s"),
            (12_849, "12.8 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (185_000, "3 min 5 s"),
            (3_600_000, "1 h"),
            (11_520_000, "3 h 12 min"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(SpanDisplay(Span(millis)).to_string(), text);
        }
    }
}
