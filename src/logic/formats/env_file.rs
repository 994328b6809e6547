//! Files of `--env-file`: lines of `NAME=VALUE` in Docker's format, with literal values.

use alloc::vec::Vec;
use core::ffi::CStr;

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::split_byte;
use crate::logic::plan::env::entry_name;
use crate::logic::plan::file_env::add_or_replace_entry;

/// Parses a file of `--env-file`, and adds its variables to `entries`. A NAME without `=` passes on vsrun's own value,
/// if it has one. Blanks before a name, empty lines and lines that begin with `#` are skipped. A `\r` before the end of
/// a line and a byte order mark at the beginning of the file are ignored.
///
/// # Errors
/// Wrong usage, with file and line, for an empty NAME, a blank in NAME, or a NUL.
pub fn parse(file: &CStr, contents: &[u8], own: &[StaticCStr], entries: &mut Vec<StaticCStr>) -> Result<()> {
    let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
    for (line, number) in split_byte(contents, b'\n').zip(1..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let mut halves = split_byte(line, b'=');
        let name = halves.next().unwrap_or_default();
        let fault = if line.contains(&0) {
            Reason::NulInVariable
        } else if name.is_empty() {
            Reason::NameMissing
        } else if name.iter().any(u8::is_ascii_whitespace) {
            Reason::BlankInName
        } else {
            let is_it = |entry: &&StaticCStr| entry_name(entry.to_bytes()) == name && name.len() < entry.count_bytes();
            let passed_on = || own.iter().find(is_it).copied();
            if let Some(entry) = halves.rest.map(|_| leak_cstr(line.to_vec())).or_else(passed_on) {
                add_or_replace_entry(entries, entry);
            }
            continue;
        };
        return Err(Error::of(Problem::InFile, file.to_bytes()).with_number_arg(number).with_reason_arg(fault));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(contents: &[u8]) -> core::result::Result<Vec<String>, String> {
        let (own, mut entries) = ([c"OWN=mine", c"X=1"], Vec::new());
        parse(c"f", contents, &own, &mut entries).map_err(|error| error.to_string())?;
        Ok(entries.iter().map(|entry| entry.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn values_are_literal() {
        let contents =
            b"\xef\xbb\xbfA=1\n# no\n\n  \t\n  B = x \r\nC=\"q\" # not a comment\nD=a=b\nE=\nOWN\nMISSING\n#";
        let contents = String::from_utf8_lossy(contents).replace("B = x", "B= x");
        let expected = ["A=1", "B= x ", "C=\"q\" # not a comment", "D=a=b", "E=", "OWN=mine"];
        assert_eq!(entries(contents.as_bytes()).unwrap(), expected);
        assert!(entries(b"").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (contents, expected) in [
            (&b"A=1\n=x"[..], "f:2: the name before '=' is missing"),
            (b"=", "f:1: the name before '=' is missing"),
            (b"#\n\nA=x\0y", "f:3: a NUL byte cannot be part of a variable"),
            (b"\0", "f:1: a NUL byte cannot be part of a variable"),
            (b"A =1", "f:1: a blank in the name before '='"),
            (b"export A=1", "f:1: a blank in the name before '='"),
            (b"two words", "f:1: a blank in the name before '='"),
        ] {
            assert_eq!(entries(contents).unwrap_err(), expected);
        }
    }
}
