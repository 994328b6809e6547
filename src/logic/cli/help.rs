//! The help texts: all options (`--help`), one screen with the most used options (`-h`), and the usage.

use alloc::vec::Vec;

use super::flags::{FLAGS, Id};
use super::lookup::{FlagSet, OPTION_COUNT, rows, unpack};
use crate::logic::base::text::split_byte;

/// Declares a static for each part of the help texts. build/pack.rs has compressed the parts.
macro_rules! parts {
    ($($part:ident $name:literal)*) => {
        $(static $part: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".txt"));)*
    };
}

parts! {
    USAGE "usage"
    MORE "more"
    ABOUT "about"
    HEADINGS "headings"
    STATUS "status"
    EXAMPLES "examples"
}

/// A text that vsrun prints when it was called by another tool's name.
#[derive(Debug)]
pub struct ToolText {
    /// The text to print.
    pub bytes: Vec<u8>,
    /// The descriptor to print it to: 1 or 2.
    pub descriptor: i32,
    /// vsrun's exit status after it has printed the text.
    pub status: u8,
}

/// The width of the column with the names of the options, in characters.
const NAMES_WIDTH: usize = 35;

/// The most used options, which `-h` shows.
const SHORT_HELP_OPTIONS: FlagSet = FlagSet::of(&[
    Id::User,
    Id::Pidfile,
    Id::Root,
    Id::WorkDir,
    Id::Background,
    Id::Syslog,
    Id::Logdir,
    Id::Stdin,
    Id::Env,
    Id::Manager,
    Id::Init,
    Id::Ready,
]);

/// The bit that is set in [`CHAPTER_AND_SHORT_HELP_BIT`] for the options in [`SHORT_HELP_OPTIONS`].
const SHORT_HELP_BIT: u8 = 1 << 7;

/// For each option, in the order of the table, the index of its chapter, and the bit [`SHORT_HELP_BIT`].
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
static CHAPTER_AND_SHORT_HELP_BIT: [u8; OPTION_COUNT] = {
    let mut bits = [0; OPTION_COUNT];
    let mut at = 0;
    while at < OPTION_COUNT {
        bits[at] = FLAGS[at].chapter as u8;
        if SHORT_HELP_OPTIONS.contains(FLAGS[at].id) {
            bits[at] |= SHORT_HELP_BIT;
        }
        at += 1;
    }
    bits
};

/// Which help text to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// `--help`: all options.
    All,
    /// `-h`: one screen, with the most used options.
    Short,
    /// The usage, which vsrun prints if it has no arguments.
    Usage,
}

/// Makes the help text of this kind.
pub fn help(which: Help) -> Vec<u8> {
    let mut text = Vec::new();
    unpack(USAGE, &mut text);
    if which == Help::All {
        unpack(ABOUT, &mut text);
        for (chapter, heading) in (0..).zip(split_byte(HEADINGS, b'\n')) {
            text.push(b'\n');
            unpack(heading, &mut text);
            append_rows(&mut text, !SHORT_HELP_BIT, chapter);
        }
        unpack(STATUS, &mut text);
    }
    if which != Help::Usage {
        unpack(EXAMPLES, &mut text);
    }
    if which == Help::Short {
        append_rows(&mut text, SHORT_HELP_BIT, SHORT_HELP_BIT);
    }
    if which != Help::All {
        unpack(MORE, &mut text);
    }
    text
}

/// Appends a newline, and the lines of all options whose [`CHAPTER_AND_SHORT_HELP_BIT`], masked with `mask`, are
/// `wanted`.
fn append_rows(text: &mut Vec<u8>, mask: u8, wanted: u8) {
    text.push(b'\n');
    for (line, bits) in rows().zip(CHAPTER_AND_SHORT_HELP_BIT.iter()) {
        if bits & mask == wanted {
            append_row(line, text);
        }
    }
}

/// Appends the names and the help of one option: in one line, or in two if the names are too long for their column.
fn append_row(line: &[u8], text: &mut Vec<u8>) {
    let mut cells = split_byte(line, b'\t');
    let (names, values) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
    let names = split_byte(names, b' ').next().unwrap_or_default();
    let mut start = text.len();
    text.extend_from_slice(if names.contains(&b',') { b"  " } else { b"      " });
    for byte in names {
        text.push(*byte);
        if *byte == b',' {
            text.push(b' ');
        }
    }
    if !values.is_empty() {
        text.push(b' ');
        text.extend_from_slice(values);
    }
    if text.len() >= start + NAMES_WIDTH {
        text.push(b'\n');
        start = text.len();
    }
    text.resize(start + NAMES_WIDTH, b' ');
    unpack(cells.next().unwrap_or_default(), text);
    text.push(b'\n');
}
