//! The options as the program knows them: one text, of which the help is made and by which the command line is read.

use lexopt::Arg;

use super::flags::{FLAGS, Id};
use crate::logic::base::error::Error;
use crate::logic::base::text::{Escaped, split_byte};

/// The lines of the options: `-u,--user user`, a tab, `USER[:GROUP]`, a tab, what it does, a tab and what a malformed
/// value is not; they are in the order of the options. The last two are packed.
const TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/options.txt"));
/// What the bytes from 128 on mean in a packed text: two bytes each.
const PAIRS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pairs"));
/// How many options there are.
pub const COUNT: usize = FLAGS.len();

/// The options, in the order of the lines.
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
static IDS: [Id; COUNT] = {
    let mut ids = [FLAGS[0].id; COUNT];
    let mut at = 0;
    while at < COUNT {
        ids[at] = FLAGS[at].id;
        at += 1;
    }
    ids
};

/// Some of the options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagSet(u128);

impl FlagSet {
    /// These.
    #[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
    pub const fn of(ids: &[Id]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < ids.len() {
            set |= 1 << ids[at] as u64;
            at += 1;
        }
        Self(set)
    }

    /// Whether this one is among them.
    pub const fn contains(self, id: Id) -> bool {
        self.0 >> id as u64 & 1 != 0
    }

    /// Whether one of those is among them.
    pub fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Takes it in. Returns whether it was there already.
    pub fn insert(&mut self, id: Id) -> bool {
        let there = self.contains(id);
        self.0 |= 1 << id as u64;
        there
    }
}

/// Those that may be given again.
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
const REPEATABLE: FlagSet = {
    assert!(COUNT < 128, "a bit for each option");
    let (mut set, mut at) = (0, 0);
    while at < COUNT {
        if FLAGS[at].repeatable || FLAGS[at].values.is_empty() {
            set |= 1 << at;
        }
        at += 1;
    }
    FlagSet(set)
};

/// The lines of options.
pub fn rows() -> impl Iterator<Item = &'static [u8]> {
    split_byte(TABLE, b'\n').filter(|line| line.starts_with(b"-"))
}

/// Appends a packed text.
#[inline(never)]
pub fn unpack(packed: &[u8], text: &mut Vec<u8>) {
    for byte in packed {
        match usize::from(*byte).checked_sub(128).and_then(|at| PAIRS.get(2 * at..2 * at + 2)) {
            Some(pair) => unpack(pair, text),
            None => text.push(*byte),
        }
    }
}

/// All of `--help-completion`: a line for each option, then one for the arguments.
pub fn completion() -> Vec<u8> {
    let mut text = Vec::new();
    for line in rows().chain([&b"command 1 none"[..]]) {
        text.extend(split_byte(line, b'\t').next().unwrap_or_default());
        text.push(b'\n');
    }
    text
}

/// An option that was found on the command line.
#[derive(Clone, Copy)]
pub struct FlagRow {
    /// Which one.
    pub id: Id,
    /// Its long name, without the dashes.
    pub name: &'static [u8],
    /// The kinds of its values, separated by blanks; `none`.
    pub kinds: &'static [u8],
    line: &'static [u8],
}

/// The long names of all options, in order.
pub fn long_names() -> impl Iterator<Item = (&'static [u8], Id)> {
    rows().filter_map(split_row).map(|(_, name, _)| name).zip(IDS.iter().copied())
}

/// The letter of an option's line, the long name, and the kinds of values.
fn split_row(line: &'static [u8]) -> Option<(Option<char>, &'static [u8], &'static [u8])> {
    let mut halves = split_byte(split_byte(line, b'\t').next()?, b' ');
    Some(match halves.next()? {
        [b'-', letter, b',', b'-', b'-', name @ ..] => (Some(char::from(*letter)), name, halves.rest?),
        names => (None, names.get(2..)?, halves.rest?),
    })
}

impl FlagRow {
    /// The option of that name.
    pub fn find(arg: &Arg<'_>) -> Option<Self> {
        for (line, id) in rows().zip(IDS.iter().copied()) {
            let (short, name, kinds) = split_row(line)?;
            let found = match arg {
                Arg::Short(letter) => short == Some(*letter),
                Arg::Long(long) => name == long.as_bytes(),
                Arg::Value(_) => false,
            };
            if found {
                return Some(Self { id, name, kinds, line });
            }
        }
        None
    }

    /// What the help calls its values, separated by blanks.
    pub fn values(&self) -> &'static [u8] {
        self.cell(1)
    }

    /// What a malformed value of it is not, packed.
    pub fn not(&self) -> &'static [u8] {
        self.cell(3)
    }

    fn cell(&self, at: usize) -> &'static [u8] {
        split_byte(self.line, b'\t').nth(at).unwrap_or_default()
    }

    /// Whether it may be given again.
    pub fn is_repeatable(&self) -> bool {
        REPEATABLE.contains(self.id)
    }

    /// How many values it takes.
    pub fn value_count(&self) -> usize {
        if self.kinds == b"none" { 0 } else { split_byte(self.kinds, b' ').count() }
    }

    /// Which of its `choices=` a value is.
    fn choice(&self, value: &[u8]) -> Option<usize> {
        split_byte(self.choices(), b',').position(|choice| choice == value)
    }

    /// The one of these that a value names, in the order of the option's `choices=`.
    pub fn choose<T: Copy>(&self, value: &[u8], of: &[T]) -> Option<T> {
        of.get(self.choice(value)?).copied()
    }

    /// Wrong usage of the option.
    #[inline(never)]
    pub fn usage_error(&self, what: &[u8]) -> Error {
        Error::usage(format_args!("option --{}: {}", Escaped(self.name), Escaped(what)))
    }

    /// What it can be, for an option of few.
    pub fn choices(&self) -> &'static [u8] {
        self.kinds.strip_prefix(b"choices=").unwrap_or_default()
    }
}
