//! An errno, and its text.

use core::fmt;

use super::packed::Phrase;

/// The errnos that have a text, in the order of `ErrnoText` in `errno_text.rs`. They have the same numbers on every
/// machine that vsrun is built for (asm-generic/errno.h).
const ERRNOS_WITH_TEXT: &[u8] = &[
    1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 19, 20, 21, 22, 23, 24, 26, 27, 28, 30, 32, 36, 37, 38, 40, 90, 95, 97,
    98, 99, 105, 108, 111, 116, 122,
];

/// The errno of a failed system call. Its text is displayed, or its number if the text is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// EACCES, which is the same number on every machine.
    pub const ACCESS: Self = Self(13);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = self;
        match ERRNOS_WITH_TEXT.iter().zip(0u8..).find(|(known, _)| i32::from(**known) == *number) {
            Some((_, index)) => Phrase { table: include_bytes!(concat!(env!("OUT_DIR"), "/errno.txt")), index }.fmt(f),
            None => write!(f, "error {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_is_displayed_with_its_text() {
        for (number, words) in [
            (1, "Operation not permitted"),
            (2, "No such file or directory"),
            (28, "No space left on device"),
            (36, "Filename too long"),
            (122, "Quota exceeded"),
            (130, "error 130"),
        ] {
            assert_eq!(Errno(number).to_string(), words);
        }
        assert_eq!(ERRNOS_WITH_TEXT.len(), super::super::errno_text::ErrnoText::ALL.len());
    }
}
