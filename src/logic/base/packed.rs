//! Texts that build.rs has compressed: the tables of messages, and the help.

use core::fmt::{self, Display, Write};

use super::note::Note;
use super::problem::Problem;
use super::reason::Reason;
use super::text::split_byte;

/// The byte pairs of compressed texts: the byte 128 + N means the pair with the index N.
const BYTE_PAIRS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pairs"));

/// Decompresses a text, and calls `each` with each byte of it.
///
/// # Errors
/// The first error of `each`.
pub fn unpack(packed: &[u8], each: &mut dyn FnMut(u8) -> fmt::Result) -> fmt::Result {
    for byte in packed {
        match usize::from(*byte).checked_sub(128).and_then(|at| BYTE_PAIRS.get(2 * at..2 * at + 2)) {
            Some(pair) => unpack(pair, each)?,
            None => each(*byte)?,
        }
    }
    Ok(())
}

/// A text in a compressed table, given by its index.
#[derive(Clone, Copy)]
pub struct Phrase {
    /// The compressed table, with one text in each line.
    pub table: &'static [u8],
    /// The index of the line with the text.
    pub index: u8,
}

impl Phrase {
    /// Writes the text. In place of each `%` in it, the passed function writes a value.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub fn write(
        self,
        f: &mut fmt::Formatter<'_>,
        write_value: &mut dyn FnMut(&mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let packed = split_byte(self.table, b'\n').nth(self.index.into()).unwrap_or_default();
        unpack(packed, &mut |byte| if byte == b'%' { write_value(f) } else { f.write_char(byte.into()) })
    }
}

impl Display for Phrase {
    /// Writes the text without its `%` characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &mut |_| Ok(()))
    }
}

impl Note {
    /// Where the text of this log record is in the compressed table of texts.
    pub fn phrase(self) -> Phrase {
        Phrase { table: include_bytes!(concat!(env!("OUT_DIR"), "/note.txt")), index: self as u8 }
    }
}

impl Problem {
    /// The text of the problem, in the compressed table.
    pub fn phrase(self) -> Phrase {
        Phrase { table: include_bytes!(concat!(env!("OUT_DIR"), "/problem.txt")), index: self as u8 }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase { table: include_bytes!(concat!(env!("OUT_DIR"), "/reason.txt")), index: *self as u8 }.fmt(f)
    }
}
