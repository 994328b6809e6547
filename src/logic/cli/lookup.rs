//! The table of options as the program contains it: one text, from which vsrun makes the help and looks options up.

use lexopt::Arg;

use super::flags::{FLAGS, Id};
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::packed;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::split_byte;

/// The table of options, with one line for each option and four fields between tabs: the names and the kinds of the
/// values (`-u,--user user`), the names of the values (`USER[:GROUP]`), the help line, and what the error says about a
/// malformed value. The last two fields are compressed.
const OPTION_TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/options.txt"));
/// The number of options.
pub const OPTION_COUNT: usize = FLAGS.len();

/// The identifiers of the options, in the order of the lines of [`OPTION_TABLE`].
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
static IDS: [Id; OPTION_COUNT] = {
    let mut ids = [FLAGS[0].id; OPTION_COUNT];
    let mut at = 0;
    while at < OPTION_COUNT {
        ids[at] = FLAGS[at].id;
        at += 1;
    }
    ids
};

/// A set of options: one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagSet(u128);

impl FlagSet {
    /// The set of these options.
    #[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
    pub const fn of(ids: &[Id]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < ids.len() {
            set |= 1 << ids[at] as u64;
            at += 1;
        }
        Self(set)
    }

    /// True if the option is in the set.
    pub const fn contains(self, id: Id) -> bool {
        self.0 >> id as u64 & 1 != 0
    }

    /// True if the two sets have an option in common.
    pub fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Adds an option to the set. Returns true if it was already in the set.
    pub fn test_and_set(&mut self, id: Id) -> bool {
        let there = self.contains(id);
        self.0 |= 1 << id as u64;
        there
    }
}

/// The options that may be given more than once.
#[allow(clippy::indexing_slicing, reason = "at compile time, where it would be seen")]
const REPEATABLE: FlagSet = {
    assert!(OPTION_COUNT < 128, "a bit for each option");
    let (mut set, mut at) = (0, 0);
    while at < OPTION_COUNT {
        if FLAGS[at].repeatable || FLAGS[at].values.is_empty() {
            set |= 1 << at;
        }
        at += 1;
    }
    FlagSet(set)
};

/// The lines of `OPTION_TABLE`, one for each option.
pub fn rows() -> impl Iterator<Item = &'static [u8]> {
    split_byte(OPTION_TABLE, b'\n').filter(|line| line.starts_with(b"-"))
}

/// Decompresses a text and appends it to `text`.
pub fn unpack(packed: &[u8], text: &mut Vec<u8>) {
    let _ = packed::unpack(packed, &mut |byte| {
        text.push(byte);
        Ok(())
    });
}

/// The output of `--help-completion`: a line for each option, then a line for COMMAND.
pub fn completion_list() -> Vec<u8> {
    let mut text = Vec::new();
    for line in rows().chain([&b"command 1 none"[..]]) {
        text.extend(split_byte(line, b'\t').next().unwrap_or_default());
        text.push(b'\n');
    }
    text
}

/// The row of one option in the table of options.
#[derive(Clone, Copy)]
pub struct FlagRow {
    /// The identifier of the option.
    pub id: Id,
    /// The long name of the option, without the two dashes.
    pub name: &'static [u8],
    /// The kinds of the option's values, separated by blanks; `none` if it takes no value.
    pub value_kinds: &'static [u8],
    table_line: &'static [u8],
}

/// The long name and the identifier of each option, in the order of the table.
pub fn long_names() -> impl Iterator<Item = (&'static [u8], Id)> {
    rows().filter_map(split_names_and_kinds).map(|(_, name, _)| name).zip(IDS.iter().copied())
}

/// The identifiers of all options, in the order of the table.
pub fn ids() -> impl Iterator<Item = Id> {
    IDS.iter().copied()
}

/// The long name of an option. This searches the whole table, so it is called only to make an error.
#[inline(never)]
pub fn long_name(wanted: Id) -> &'static [u8] {
    long_names().find(|(_, id)| *id == wanted).map_or(&[], |(name, _)| name)
}

/// Splits the first field of a line of the table into the letter of the short name (None if there is none), the long
/// name, and the kinds of the values.
fn split_names_and_kinds(line: &'static [u8]) -> Option<(Option<char>, &'static [u8], &'static [u8])> {
    let mut halves = split_byte(split_byte(line, b'\t').next()?, b' ');
    Some(match halves.next()? {
        [b'-', letter, b',', b'-', b'-', name @ ..] => (Some(char::from(*letter)), name, halves.rest?),
        names => (None, names.get(2..)?, halves.rest?),
    })
}

impl FlagRow {
    /// Finds the option with this short or long name.
    pub fn find(arg: &Arg<'_>) -> Option<Self> {
        for (table_line, id) in rows().zip(IDS.iter().copied()) {
            let (short, name, value_kinds) = split_names_and_kinds(table_line)?;
            let found = match arg {
                Arg::Short(letter) => short == Some(*letter),
                Arg::Long(long) => name == long.as_bytes(),
                Arg::Value(_) => false,
            };
            if found {
                return Some(Self { id, name, value_kinds, table_line });
            }
        }
        None
    }

    /// The names of the option's values in the help text, separated by blanks.
    pub fn value_names(&self) -> &'static [u8] {
        self.field(1)
    }

    /// What the error says about a malformed value (`is not ...`), as a compressed text.
    pub fn packed_rejection(&self) -> &'static [u8] {
        self.field(3)
    }

    fn field(&self, at: usize) -> &'static [u8] {
        split_byte(self.table_line, b'\t').nth(at).unwrap_or_default()
    }

    /// True if the option may be given more than once.
    pub fn is_repeatable(&self) -> bool {
        REPEATABLE.contains(self.id)
    }

    /// The number of values that the option takes.
    pub fn value_count(&self) -> usize {
        if self.value_kinds == b"none" { 0 } else { split_byte(self.value_kinds, b' ').count() }
    }

    /// The index of a value among the option's `choices=`; None if it is not one of them.
    fn choice_index(&self, value: &[u8]) -> Option<usize> {
        split_byte(self.choices(), b',').position(|choice| choice == value)
    }

    /// The element of the passed slice that belongs to this value. The slice has an element for each of the option's
    /// `choices=`, in the same order. None if the value is not one of them.
    pub fn parse_choice<T: Copy>(&self, value: &[u8], meanings: &[T]) -> Option<T> {
        meanings.get(self.choice_index(value)?).copied()
    }

    /// Makes a usage error about the option.
    pub fn usage_error(&self, cause: MessageArg<'static>) -> Error {
        Error::of(Problem::WrongOption, self.name).with_arg(cause)
    }

    /// The allowed values of an option with `choices=`, separated by commas.
    pub fn choices(&self) -> &'static [u8] {
        self.value_kinds.strip_prefix(b"choices=").unwrap_or_default()
    }
}
