//! The server's environment, in the order in which its sources override each other: inherited or empty, the user's own
//! variables, `--env-file`, `--env-dir`, `--file-env`, `--env`.

use super::account::Identity;
use super::environ::Environ;
use super::error::{Error, Result};
use super::facts::Facts;
use super::flags::Id;
use super::options::Options;
use super::ready::NOTIFY_SOCKET;
use super::text::Clean;
use super::word::{Word, word};

/// The environment up to and including `--env-dir`.
pub fn before_file_env(options: &Options, facts: &Facts<'_>, identity: Option<&Identity>) -> Environ {
    let nothing = Environ::default();
    let mut env = if options.has(Id::ClearEnv) { &nothing } else { &facts.env }.of(identity);
    if options.stays() {
        // A vsrun that stays reports to that socket itself.
        env.remove(&|name| name == NOTIFY_SOCKET);
    }
    for entry in facts.env_files.iter().chain(&facts.env_dir).copied() {
        env.put(entry);
    }
    env
}

/// The whole environment, except the variables that differ from one run to the next.
pub fn complete(options: &Options, facts: &Facts<'_>, identity: Option<&Identity>) -> Environ {
    let mut env = before_file_env(options, facts, identity);
    for name in &options.file_env {
        env.remove(&|known| known == file_name(*name));
    }
    for entry in facts.file_env.iter().chain(&options.env).copied() {
        env.put(entry);
    }
    env
}

/// The file that `--file-env NAME` has to read: the value of `NAME_FILE`, if that is set.
///
/// # Errors
/// If both NAME and `NAME_FILE` are set: which of them is meant is not for us to guess.
pub fn file_of(name: Word, env: &Environ) -> Result<Option<Word>> {
    let variable = file_name(name);
    let Some(path) = env.get(&variable) else { return Ok(None) };
    if env.get(name.to_bytes()).is_some() {
        return Err(Error::refused(format_args!(
            "option --file-env: both {} and {} are set",
            Clean(name.to_bytes()),
            Clean(&variable)
        )));
    }
    Ok(Some(word(path.to_vec())))
}

fn file_name(name: Word) -> alloc::vec::Vec<u8> {
    [name.to_bytes(), b"_FILE"].concat()
}

/// The entry `NAME=VALUE` for the contents of such a file. One newline at the end is not part of the value. None if the
/// contents cannot be a value: they have a NUL byte.
pub fn entry_of(name: Word, contents: &[u8]) -> Option<Word> {
    let value = contents.strip_suffix(b"\n").unwrap_or(contents);
    (!value.contains(&0)).then(|| word([name.to_bytes(), b"=", value].concat()))
}
