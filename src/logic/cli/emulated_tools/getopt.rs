//! A parser for the options of other tools, like getopt_long(3): letters can be joined, and long names shortened. An
//! option after the command belongs to the command.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::text::split_byte;

/// A parser of another tool's command line, with the words that it has not read yet.
pub struct Getopt<'a> {
    /// The option letters, each followed by a colon if it takes a value.
    pub letters: &'static [u8],
    /// The long names, separated by commas, each with its letter before it.
    pub long_names: &'static [u8],
    words: &'a [StaticCStr],
    /// The unread letters of a word with several options.
    cluster: &'static [u8],
    /// True after a `--`, which ends the options.
    pub saw_double_dash: bool,
}

impl<'a> Getopt<'a> {
    /// Makes a parser for these options and words.
    pub fn new(letters: &'static [u8], long_names: &'static [u8], words: &'a [StaticCStr]) -> Self {
        Self { letters, long_names, words, cluster: b"", saw_double_dash: false }
    }

    /// The words that have not been read.
    pub fn rest(&self) -> &'a [StaticCStr] {
        self.words
    }

    fn take_word(&mut self) -> Option<&'static [u8]> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first.to_bytes())
    }

    /// Returns the next option: its letter and its value. None after the last option.
    ///
    /// # Errors
    /// Wrong usage, in the words of getopt(3).
    #[inline(never)]
    pub fn next(&mut self) -> Result<Option<(u8, &'static [u8])>> {
        if self.cluster.is_empty() {
            match self.words.first().map(|word| word.to_bytes()) {
                Some([b'-', b'-', name @ ..]) if name.is_empty() || !self.long_names.is_empty() => {
                    self.take_word();
                    self.saw_double_dash = name.is_empty();
                    return if self.saw_double_dash { Ok(None) } else { self.parse_long_option(name).map(Some) };
                }
                Some([b'-', letters @ ..]) if !letters.is_empty() => {
                    self.take_word();
                    self.cluster = letters;
                }
                Some(_) | None => return Ok(None),
            }
        }
        let Some((letter, rest)) = self.cluster.split_first() else { return Ok(None) };
        self.cluster = rest;
        let (problem, value) = match self.takes_value(*letter) {
            None => (Problem::InvalidLetter, None),
            Some(false) => (Problem::InvalidLetter, Some(&b""[..])),
            Some(true) => {
                self.cluster = b"";
                (Problem::LetterNeedsValue, if rest.is_empty() { self.take_word() } else { Some(rest) })
            }
        };
        value.map(|value| Some((*letter, value))).ok_or_else(|| Error::of(problem, &[*letter]))
    }

    /// Parses a long option, whose name may be shortened. Returns its letter and its value.
    fn parse_long_option(&mut self, word: &'static [u8]) -> Result<(u8, &'static [u8])> {
        let mut halves = split_byte(word, b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.rest);
        let (mut found, mut count) = ((b':', &b""[..]), 0);
        for row in split_byte(self.long_names, b',') {
            if let Some((letter, full)) = row.split_first()
                && full.starts_with(name)
            {
                (found, count) = ((*letter, full), count + 1);
            }
        }
        let (letter, full) = found;
        match (count, self.takes_value(letter) == Some(true), value) {
            (0, ..) => return Err(Error::of(Problem::UnrecognizedOption, word)),
            (1, true, _) => {
                if let Some(value) = value.or_else(|| self.take_word()) {
                    return Ok((letter, value));
                }
            }
            (1, false, None) => return Ok((letter, b"")),
            _ => {}
        }
        let problem = match (count, value) {
            (1, None) => Problem::NeedsArgument,
            (1, Some(_)) => Problem::TakesNoArgument,
            _ => Problem::AmbiguousOption,
        };
        Err(Error::of(problem, if count == 1 { full } else { name }))
    }

    /// True if the option takes a value; None if it does not exist.
    fn takes_value(&self, letter: u8) -> Option<bool> {
        let at = self.letters.iter().position(|known| *known == letter && letter != b':')?;
        Some(self.letters.get(at + 1) == Some(&b':'))
    }

    /// The words that have not been read, without the first `--` among them; if a `--` has already ended the options,
    /// all words. This is for tools that accept a `--` after the first word of the command too.
    pub fn rest_without_separator(&self) -> alloc::vec::Vec<StaticCStr> {
        let mut command = self.words.to_vec();
        if !self.saw_double_dash
            && let Some(at) = command.iter().position(|word| *word == c"--")
        {
            command.remove(at);
        }
        command
    }
}
