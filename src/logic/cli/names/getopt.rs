//! The options of other tools, read as getopt_long(3) does: letters in clusters, long names that may be shortened. An
//! option after the command belongs to the command.

use super::usage_error;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Result;
use crate::logic::base::text::split_byte;

/// The words of a command line, and how far they have been read.
pub struct Getopt<'a> {
    /// The letters, each that takes a value with a colon after it.
    pub letters: &'static [u8],
    /// The long names, each with its letter before it, and commas between them.
    pub long: &'static [u8],
    words: &'a [StaticCStr],
    /// The rest of a word that is a cluster of letters.
    cluster: &'static [u8],
    /// Whether `--` has ended the options.
    pub ended: bool,
}

impl<'a> Getopt<'a> {
    /// These options.
    pub fn new(letters: &'static [u8], long: &'static [u8], words: &'a [StaticCStr]) -> Self {
        Self { letters, long, words, cluster: b"", ended: false }
    }

    /// The words that have not been read.
    pub fn rest(&self) -> &'a [StaticCStr] {
        self.words
    }

    fn word(&mut self) -> Option<&'static [u8]> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first.to_bytes())
    }

    /// The next option, its letter and its value. None: the command follows.
    ///
    /// # Errors
    /// Wrong usage, in the words of getopt(3).
    #[inline(never)]
    pub fn next(&mut self) -> Result<Option<(u8, &'static [u8])>> {
        if self.cluster.is_empty() {
            match self.words.first().map(|word| word.to_bytes()) {
                Some([b'-', b'-', name @ ..]) if name.is_empty() || !self.long.is_empty() => {
                    self.word();
                    self.ended = name.is_empty();
                    return if self.ended { Ok(None) } else { self.long(name).map(Some) };
                }
                Some([b'-', letters @ ..]) if !letters.is_empty() => {
                    self.word();
                    self.cluster = letters;
                }
                Some(_) | None => return Ok(None),
            }
        }
        let Some((letter, rest)) = self.cluster.split_first() else { return Ok(None) };
        self.cluster = rest;
        let (problem, value) = match self.takes_value(*letter) {
            None => ("invalid option -- ", None),
            Some(false) => ("", Some(&b""[..])),
            Some(true) => {
                self.cluster = b"";
                ("option requires an argument -- ", if rest.is_empty() { self.word() } else { Some(rest) })
            }
        };
        value.map(|value| Some((*letter, value))).ok_or_else(|| usage_error(problem, &[*letter], ""))
    }

    /// An option with a long name, of which the beginning is enough.
    fn long(&mut self, word: &'static [u8]) -> Result<(u8, &'static [u8])> {
        let mut halves = split_byte(word, b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.rest);
        let (mut found, mut count) = ((b':', &b""[..]), 0);
        for row in split_byte(self.long, b',') {
            if let Some((letter, full)) = row.split_first()
                && full.starts_with(name)
            {
                (found, count) = ((*letter, full), count + 1);
            }
        }
        let (letter, full) = found;
        match (count, self.takes_value(letter) == Some(true), value) {
            (0, ..) => return Err(usage_error("unrecognized option ", &[&b"--"[..], word].concat(), "")),
            (1, true, _) => {
                if let Some(value) = value.or_else(|| self.word()) {
                    return Ok((letter, value));
                }
            }
            (1, false, None) => return Ok((letter, b"")),
            _ => {}
        }
        let problem = match (count, value) {
            (1, None) => " requires an argument",
            (1, Some(_)) => " doesn't allow an argument",
            _ => " is ambiguous",
        };
        Err(usage_error("option ", &[&b"--"[..], if count == 1 { full } else { name }].concat(), problem))
    }

    /// Whether an option takes a value. None: there is no such option.
    fn takes_value(&self, letter: u8) -> Option<bool> {
        let at = self.letters.iter().position(|known| *known == letter && letter != b':')?;
        Some(self.letters.get(at + 1) == Some(&b':'))
    }

    /// The command of a tool that allows `--` in it: the first `--` is removed, wherever it is.
    pub fn command(&self) -> alloc::vec::Vec<StaticCStr> {
        let mut command = self.words.to_vec();
        if !self.ended
            && let Some(at) = command.iter().position(|word| *word == c"--")
        {
            command.remove(at);
        }
        command
    }
}
