//! Text for messages and logs: a buffer of fixed size, splitting at a byte, escaping of untrusted bytes, and quoting
//! for shells.

use alloc::vec::Vec;
use core::fmt::{self, Write};

/// A text of at most N bytes, which never allocates. Text that does not fit is cut off.
#[derive(Clone)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct ArrayText<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> ArrayText<N> {
    /// Makes an empty text.
    pub fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The text up to the first bytes that are not UTF-8, such as a character that was cut off in the middle.
    pub fn as_str(&self) -> &str {
        self.as_bytes().utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }

    /// Makes the text empty.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends bytes, as many as fit.
    pub fn push(&mut self, more: &[u8]) {
        self.len += copy(self.bytes.get_mut(self.len..).unwrap_or_default(), more);
    }

    /// Appends a final byte, a newline or a NUL. If the text is full, this replaces its last byte.
    pub fn end_with(&mut self, byte: u8) {
        self.len = self.len.min(N.saturating_sub(1));
        self.push(&[byte]);
    }
}

/// Copies as many bytes as fit, and returns their number. It is no method of [`ArrayText`], so that its code exists
/// once and not once for each buffer size N.
#[inline(never)]
fn copy(to: &mut [u8], from: &[u8]) -> usize {
    let length = to.len().min(from.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    length
}

impl<const N: usize> Default for ArrayText<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for ArrayText<N> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.push(more.as_bytes());
        Ok(())
    }
}

/// Iterates over the parts of a text between separators, like `slice::split`. Unlike `slice::split`, it takes no
/// closure, so its code exists once and not once for each closure.
pub struct SplitByte<'a> {
    separator: u8,
    /// The part of the text that has not been returned yet. None after the last part.
    pub rest: Option<&'a [u8]>,
}

/// Splits a text at each `separator` byte.
pub fn split_byte(text: &[u8], separator: u8) -> SplitByte<'_> {
    SplitByte { separator, rest: Some(text) }
}

impl<'a> Iterator for SplitByte<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let Some(at) = text.iter().position(|byte| *byte == self.separator) else { return Some(text) };
        self.rest = text.get(at + 1..);
        text.get(..at)
    }
}

/// The index of a word in a comma-separated list; None if the list does not contain it.
pub fn index_in_comma_list(words: &[u8], wanted: &[u8]) -> Option<usize> {
    split_byte(words, b',').position(|word| word == wanted)
}

/// Displays untrusted bytes: control characters, backslashes and invalid UTF-8 as `\xnn`, so that they cannot forge a
/// record.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                if char.is_control() || char == '\\' {
                    write_hex_escapes(f, char.encode_utf8(&mut [0; 4]).as_bytes())?;
                } else {
                    f.write_char(char)?;
                }
            }
            write_hex_escapes(f, chunk.invalid())?;
        }
        Ok(())
    }
}

fn write_hex_escapes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for byte in bytes {
        write!(f, "\\x{byte:02x}")?;
    }
    Ok(())
}

/// Joins words with spaces into a line for a shell. Words that the shell would change are in single quotes.
#[inline(never)]
pub fn shell_join<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(byte);
        if !word.is_empty() && word.iter().all(plain) {
            line.extend_from_slice(word);
            continue;
        }
        line.push(b'\'');
        for byte in word {
            match byte {
                b'\'' => line.extend_from_slice(b"'\\''"),
                byte => line.push(*byte),
            }
        }
        line.push(b'\'');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_and_never_overflows() {
        let mut text = ArrayText::<8>::new();
        write!(text, "{}", "0123456789").unwrap();
        assert_eq!(text.as_bytes(), b"01234567");
        text.end_with(b'\n');
        assert_eq!(text.as_bytes(), b"0123456\n");
        assert_eq!(text.as_str(), "0123456\n");
        text.clear();
        text.push("abcdefgü".as_bytes());
        assert_eq!(text.as_str(), "abcdefg");
        text.clear();
        text.push(b"ab");
        text.end_with(0);
        assert_eq!(text.as_bytes(), b"ab\0");
    }

    #[test]
    fn split_byte_returns_the_same_parts_as_slice_split() {
        for text in [&b""[..], b"a", b",", b"a,", b",a", b"a,b,,c"] {
            let expected: Vec<&[u8]> = text.split(|byte| *byte == b',').collect();
            assert_eq!(split_byte(text, b',').collect::<Vec<_>>(), expected);
        }
        let mut halves = split_byte(b"a=b=c", b'=');
        assert_eq!((halves.next(), halves.rest), (Some(&b"a"[..]), Some(&b"b=c"[..])));
    }

    #[test]
    fn no_record_is_forged() {
        for (bytes, text) in [
            (&b"plain /bin/x"[..], "plain /bin/x"),
            (b"a\nb", "a\\x0ab"),
            (b"a\\b\x1b[m\x7f", "a\\x5cb\\x1b[m\\x7f"),
            ("grün\u{85}".as_bytes(), "grün\\xc2\\x85"),
            (b"\xff\xc3", "\\xff\\xc3"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), text);
        }
    }

    #[test]
    fn words_are_quoted_as_a_shell_reads_them() {
        let words: [&[u8]; 6] = [b"/bin/sh", b"-c", b"echo $HOME", b"", b"it's", b"a=b"];
        assert_eq!(shell_join(words), b"/bin/sh -c 'echo $HOME' '' 'it'\\''s' a=b");
    }
}
