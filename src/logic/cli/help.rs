//! The help texts: all options, one screen of those that are used most, and how vsrun is called.

use alloc::vec::Vec;

use super::flags::{FLAGS, Id};
use super::lookup::{COUNT, FlagSet, rows, unpack};
use crate::logic::base::text::split_byte;

/// The parts of the help texts, packed.
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

/// A text that vsrun prints under another tool's name.
#[derive(Debug)]
pub struct Text {
    /// The text.
    pub bytes: Vec<u8>,
    /// The number of the descriptor: 1 or 2.
    pub to: i32,
    /// The exit status.
    pub status: u8,
}

/// How wide the column of option names is.
const COLUMN: usize = 35;

/// The options that are used most: `-h` shows them, and each takes one line there.
const COMMON: FlagSet = FlagSet::of(&[
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

/// What is in [`PLACES`] of an option in [`COMMON`], apart from its chapter.
const IS_COMMON: u8 = 1 << 7;

/// The chapters of the options, in the order of the lines.
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
static PLACES: [u8; COUNT] = {
    let mut places = [0; COUNT];
    let mut at = 0;
    while at < COUNT {
        places[at] = FLAGS[at].chapter as u8;
        if COMMON.contains(FLAGS[at].id) {
            places[at] |= IS_COMMON;
        }
        at += 1;
    }
    places
};

/// A help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// `--help`: all options.
    All,
    /// `-h`: one screen, with the options that are used most.
    Short,
    /// How vsrun is called, for a command line without a word.
    Usage,
}

/// A help text as it is printed.
#[inline(never)]
pub fn help(which: Help) -> Vec<u8> {
    let mut text = Vec::new();
    unpack(USAGE, &mut text);
    if which == Help::All {
        unpack(ABOUT, &mut text);
        for (chapter, heading) in (0..).zip(split_byte(HEADINGS, b'\n')) {
            text.push(b'\n');
            unpack(heading, &mut text);
            show_rows(&mut text, !IS_COMMON, chapter);
        }
        unpack(STATUS, &mut text);
    }
    if which != Help::Usage {
        unpack(EXAMPLES, &mut text);
    }
    if which == Help::Short {
        show_rows(&mut text, IS_COMMON, IS_COMMON);
    }
    if which != Help::All {
        unpack(MORE, &mut text);
    }
    text
}

/// Appends the end of a line, and the lines of the options that have these bits of their place so.
#[inline(never)]
fn show_rows(text: &mut Vec<u8>, bits: u8, are: u8) {
    text.push(b'\n');
    for (line, place) in rows().zip(PLACES.iter()) {
        if place & bits == are {
            show_row(line, text);
        }
    }
}

/// Appends one option: what it does is in the next line if its name is too long.
fn show_row(line: &[u8], text: &mut Vec<u8>) {
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
    if text.len() >= start + COLUMN {
        text.push(b'\n');
        start = text.len();
    }
    text.resize(start + COLUMN, b' ');
    unpack(cells.next().unwrap_or_default(), text);
    text.push(b'\n');
}
