//! The arguments that the parser reads: argv, or argv with the lines of the `--args` file inserted.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::{Escaped, split_byte};

/// The arguments of vsrun, without the program's own name. For arguments that come from a file, also the
/// name of that file and their line numbers.
#[derive(Debug, Default)]
pub struct Args {
    /// All arguments, in order.
    pub list: Vec<StaticCStr>,
    file: Option<InsertedFile>,
}

/// The file of `--args` whose lines have been inserted into the arguments.
#[derive(Debug)]
struct InsertedFile {
    name: StaticCStr,
    /// The number of arguments before those of the file.
    first_index: usize,
    /// The line number of each argument of the file.
    line_numbers: Vec<i64>,
    /// The number of arguments after those of the file.
    count_after: usize,
}

/// A command line with `--args FILE`, whose FILE has not been read yet.
#[derive(Debug)]
pub struct PendingArgsFile {
    before: Vec<StaticCStr>,
    /// The path of the file.
    pub file: StaticCStr,
    after: Vec<StaticCStr>,
}

impl Args {
    /// Makes the arguments from argv, whose first word is the name of the program.
    pub fn new(argv: Vec<StaticCStr>) -> Self {
        Self { list: argv.into_iter().skip(1).collect(), file: None }
    }

    /// The prefix of an error about the argument with the index `word`. If a file has been inserted, this is its name,
    /// with the line if the argument comes from the file. Otherwise it is empty.
    pub fn location(&self, word: usize) -> String {
        let Some(file) = &self.file else { return String::new() };
        let name = Escaped(file.name.to_bytes());
        match word.checked_sub(file.first_index).and_then(|word| file.line_numbers.get(word)) {
            Some(line) => format!("{name}:{line}: "),
            // The argument is from argv, or the index is past the last argument, which means all arguments
            // together.
            None => format!("{name}: "),
        }
    }

    /// Splits the arguments into those before `--args FILE` and those after it. The parameters are FILE, the index of
    /// `--args`, and the index of the first argument after FILE.
    pub fn split_at_file(&self, file: StaticCStr, option_index: usize, end_index: usize) -> Box<PendingArgsFile> {
        let before = self.list.get(..option_index).unwrap_or_default().to_vec();
        Box::new(PendingArgsFile { before, file, after: self.list.get(end_index..).unwrap_or_default().to_vec() })
    }

    /// True if the arguments of a file have already been inserted.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }
}

impl Args {
    /// The number of arguments after those of the file; None if no file has been inserted.
    pub fn count_after_file(&self) -> Option<usize> {
        self.file.as_ref().map(|file| file.count_after)
    }
}

impl PendingArgsFile {
    /// Inserts the lines of the file in place of `--args FILE`. Each line is one argument, without blanks at its ends.
    /// Empty lines and comments are left out.
    ///
    /// # Errors
    /// Wrong usage, with file and line, if `line_error` rejects a line, for example because it is quoted.
    #[expect(clippy::boxed_local, reason = "it is moved as one pointer")]
    #[inline(never)]
    pub fn insert_lines(mut self: Box<Self>, contents: &[u8]) -> Result<Args> {
        let first_index = self.before.len();
        let mut words = Args { list: core::mem::take(&mut self.before), file: None };
        let (mut line_numbers, mut side) = (Vec::new(), CommandLinePart::Options);
        for (line, number) in split_byte(contents, b'\n').zip(1..) {
            let text = line.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            if text == b"--" {
                side = CommandLinePart::Command;
            }
            if let Some(fault) = line_error(text, side) {
                return Err(Error::of(Problem::InFile, self.file.to_bytes())
                    .with_number_arg(number)
                    .with_reason_arg(fault));
            }
            words.list.push(leak_cstr(text.to_vec()));
            line_numbers.push(number);
        }
        words.list.extend_from_slice(&self.after);
        words.file = Some(InsertedFile { name: self.file, first_index, line_numbers, count_after: self.after.len() });
        Ok(words)
    }
}

/// The side of `--` on which an argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CommandLinePart {
    /// Before `--`: options and their values.
    Options,
    /// `--` itself and everything after it: COMMAND.
    Command,
}

/// The reason why a line is probably not the argument that its author meant, for example because it is quoted. None if
/// the line is accepted. The words of COMMAND, which follow `--`, are accepted except if they contain a NUL.
fn line_error(text: &[u8], part: CommandLinePart) -> Option<Reason> {
    let is_quoted = |text: &[u8]| matches!(text, [first @ (b'"' | b'\''), .., last] if first == last);
    let value = text.iter().position(|byte| *byte == b'=').and_then(|at| text.get(at + 1..));
    if text.contains(&0) {
        Some(Reason::NulInArgument)
    } else if part == CommandLinePart::Command {
        None
    } else if is_quoted(text) || text.starts_with(b"-") && value.is_some_and(is_quoted) {
        Some(Reason::Quotes)
    } else if text.starts_with(b"-") && text.windows(2).any(|pair| pair == b" #") {
        Some(Reason::CommentInLine)
    } else if matches!(text, [b'-', b'a'..=b'z', b' ', ..]) {
        Some(Reason::TwoArguments)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(before: &[&str], after: &[&str]) -> Box<PendingArgsFile> {
        let words = |words: &[&str]| words.iter().map(|text| leak_cstr(text.as_bytes().to_vec())).collect();
        Box::new(PendingArgsFile { before: words(before), file: c"f", after: words(after) })
    }

    #[test]
    fn lines_become_arguments_that_keep_their_line_numbers() {
        let words = unread(&["-b"], &["more"])
            .insert_lines(b"#!/sbin/vsrun --args\n\n  --user\r\n\tweb a \n # x\n--\n/bin/x")
            .unwrap();
        assert_eq!(words.list, [c"-b", c"--user", c"web a", c"--", c"/bin/x", c"more"]);
        let places: Vec<String> = (0..7).map(|word| words.location(word)).collect();
        assert_eq!(places, ["f: ", "f:3: ", "f:4: ", "f:6: ", "f:7: ", "f: ", "f: "]);
        assert_eq!(unread(&[], &[]).insert_lines(b"").unwrap().list.len(), 0);
    }

    #[test]
    fn an_accidental_line_is_reported_with_its_number() {
        for (line, fault) in [
            ("--env=\"A=b c\"", "quotes"),
            ("'web'", "quotes"),
            ("--user=root  # the user", "comment"),
            ("-u root", "one argument"),
        ] {
            let error = unread(&[], &[]).insert_lines(format!("# x\n{line}\n--\nx").as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("f:2: ") && error.to_string().contains(fault), "{}", error);
            // After `--` the lines belong to COMMAND and are not checked.
            assert!(unread(&[], &[]).insert_lines(format!("--\n{line}").as_bytes()).is_ok());
        }
        for line in ["--env=A=\"b\" c", "A=b # c", "--work-dir=/a b#c", "--pidfile=/x"] {
            assert!(unread(&[], &[]).insert_lines(line.as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_nul_is_reported_with_its_line() {
        let error = unread(&[], &[]).insert_lines(b"--user\nwe\0b\n").unwrap_err();
        assert!(error.to_string().starts_with("f:2: "), "{}", error);
        // In a comment a NUL is harmless.
        assert!(unread(&[], &[]).insert_lines(b"# \0\n--\nx").is_ok());
    }
}
