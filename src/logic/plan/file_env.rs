//! `--file-env`, and the order in which files set variables of the server: `--env-file`, then `--env-dir`, then
//! `--file-env`.

use alloc::vec::Vec;

use super::env::{Env, entry_name};
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;

/// Adds an entry to a list in which each name occurs once. It replaces an entry with the same name, even if it only
/// removes the variable.
pub fn add_or_replace_entry(entries: &mut Vec<StaticCStr>, entry: StaticCStr) {
    entries.retain(|other| entry_name(other.to_bytes()) != entry_name(entry.to_bytes()));
    entries.push(entry);
}

/// The name of the variable that has the path of the file for `NAME`: `NAME_FILE`.
pub fn file_variable_name(name: StaticCStr) -> StaticCStr {
    leak_cstr([name.to_bytes(), b"_FILE"].concat())
}

/// The path of the file that `--file-env NAME` has to read: the value of `NAME_FILE`, if it is set.
///
/// # Errors
/// If both NAME and `NAME_FILE` are set: vsrun does not guess which of them is meant.
pub fn file_env_path(name: StaticCStr, env: &Env) -> Result<Option<StaticCStr>> {
    let variable = file_variable_name(name);
    let Some(path) = env.get(variable.to_bytes()) else { return Ok(None) };
    if env.get(name.to_bytes()).is_some() {
        return Err(Error::of(Problem::BothSet, name.to_bytes()).with_name_arg(variable.to_bytes()));
    }
    Ok(Some(leak_cstr(path.to_vec())))
}

/// The entry `NAME=VALUE`, with the contents of a file as VALUE, except one newline at the end of the file. None if the
/// contents have a NUL, and so cannot be a value.
pub fn file_env_entry(name: StaticCStr, contents: &[u8]) -> Option<StaticCStr> {
    let value = contents.strip_suffix(b"\n").unwrap_or(contents);
    (!value.contains(&0)).then(|| leak_cstr([name.to_bytes(), b"=", value].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_a_name_counts() {
        let mut entries = Vec::new();
        for entry in [c"A=1", c"B=1", c"A", c"AB=2", c"B=2"] {
            add_or_replace_entry(&mut entries, entry);
        }
        assert_eq!(entries, [c"A", c"AB=2", c"B=2"]);
    }

    #[test]
    fn a_secret_loses_one_newline() {
        for (contents, entry) in
            [(&b"x\n"[..], Some(c"N=x")), (b"x\n\n", Some(c"N=x\n")), (b"", Some(c"N=")), (b"x\0", None)]
        {
            assert_eq!(file_env_entry(c"N", contents), entry);
        }
    }
}
