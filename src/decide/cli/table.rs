//! The options as the reader of a command line knows them: the lines of `--help-completion`, which are in the program
//! anyway, one for each option and in the same order as the rows of the table.

use core::fmt;

use lexopt::Arg;

use crate::decide::error::Error;
use crate::decide::flags::{FLAGS, Id};
use crate::decide::text::{Clean, parts};

/// All of `--help-completion`: `-p,--pidfile file`, `--debug none`, `-d,--logdir dir string`.
pub const COMPLETION: &str = include_str!(concat!(env!("OUT_DIR"), "/completion.txt"));

const COUNT: usize = FLAGS.len();

/// The options, in the order of the lines.
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
const IDS: [Id; COUNT] = {
    let mut ids = [FLAGS[0].id; COUNT];
    let mut at = 0;
    while at < COUNT {
        ids[at] = FLAGS[at].id;
        at += 1;
    }
    ids
};

/// A bit for each option that may be given again.
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
const REPEATABLE: u128 = {
    let (mut set, mut at) = (0, 0);
    while at < COUNT {
        if FLAGS[at].repeatable {
            set |= 1 << at;
        }
        at += 1;
    }
    set
};

/// An option that was found on the command line.
#[derive(Clone, Copy)]
pub struct Row {
    /// Which one.
    pub id: Id,
    /// Its long name, without the dashes.
    pub name: &'static [u8],
    /// The kinds of its values, separated by blanks; `none`.
    pub kinds: &'static [u8],
    /// A bit of its own where it may be given only once.
    pub once: u128,
}

impl Row {
    /// The option of that name.
    pub fn find(arg: &Arg<'_>) -> Option<Self> {
        let mut bit = 1;
        for (line, id) in parts(COMPLETION.as_bytes(), b'\n').zip(IDS) {
            let mut halves = parts(line, b' ');
            let (names, kinds) = (halves.next()?, halves.rest?);
            let (short, name) = match names {
                [b'-', letter, b',', b'-', b'-', name @ ..] => (Some(char::from(*letter)), name),
                names => (None, names.get(2..)?),
            };
            let found = match arg {
                Arg::Short(letter) => short == Some(*letter),
                Arg::Long(long) => name == long.as_bytes(),
                Arg::Value(_) => false,
            };
            if found {
                let once = if kinds == b"none" { 0 } else { bit & !REPEATABLE };
                return Some(Self { id, name, kinds, once });
            }
            bit <<= 1;
        }
        None
    }

    /// How many values it takes.
    pub fn count(&self) -> usize {
        if self.kinds == b"none" { 0 } else { parts(self.kinds, b' ').count() }
    }

    /// Which of its `choices=` a value is.
    fn choice(&self, value: &[u8]) -> Option<usize> {
        parts(self.choices(), b',').position(|choice| choice == value)
    }

    /// The one of these that a value names, in the order of the option's `choices=`.
    pub fn choose<T: Copy>(&self, value: &[u8], of: &[T]) -> Option<T> {
        of.get(self.choice(value)?).copied()
    }

    /// Wrong usage of the option.
    #[inline(never)]
    pub fn wrong(&self, what: fmt::Arguments<'_>) -> Error {
        Error::usage(format_args!("option --{}: {what}", Clean(self.name)))
    }

    /// A value that is not what it should be.
    pub fn malformed(&self, value: &[u8], not: &str) -> Error {
        self.wrong(format_args!("'{}' {not}", Clean(value)))
    }

    /// What it can be, for an option of few.
    pub fn choices(&self) -> &'static [u8] {
        self.kinds.strip_prefix(b"choices=").unwrap_or_default()
    }
}
