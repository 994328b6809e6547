//! The files of `--env-file` and `--file-env`, read on the host with vsrun's own rights before the plan is made.

use alloc::vec::Vec;
use std::os::fd::AsFd;

use crate::act::say::failed;
use crate::decide::env_file;
use crate::decide::environ::Environ;
use crate::decide::error::{Error, Result};
use crate::decide::server_env;
use crate::decide::text::Clean;
use crate::decide::word::Word;
use crate::sys::contents::Contents;
use crate::sys::{Errno, dir, entry};

/// The longest value of a variable: execve(2) takes strings of up to 128 KiB.
const LONGEST_VALUE: u64 = 128 << 10;

/// Reads all files of `--env-file`, in order.
///
/// # Errors
/// If one cannot be read (125), or has a malformed line (2).
pub fn read_all(paths: &[Word]) -> Result<Vec<Word>> {
    let mut entries = Vec::new();
    if paths.is_empty() {
        return Ok(entries);
    }
    let own = Environ(entry::environment());
    for path in paths {
        let shown = Clean(path.to_bytes());
        let contents = read(*path, u64::MAX).map_err(|why| refused(format_args!("--env-file '{shown}'"), why))?;
        entries.extend(env_file::parse(*path, &contents, &own)?);
    }
    Ok(entries)
}

/// Reads the file of each name of `--file-env` whose `NAME_FILE` is set.
///
/// # Errors
/// If both variables are set, or the file cannot be read or cannot be a value. The contents are never part of a message.
pub fn read_named(names: &[Word], env: &Environ) -> Result<Vec<Word>> {
    let mut entries = Vec::new();
    for name in names {
        let Some(path) = server_env::file_of(*name, env)? else { continue };
        let doing = format!("'{}' of {}_FILE", Clean(path.to_bytes()), Clean(name.to_bytes()));
        let contents = read(path, LONGEST_VALUE).map_err(|why| refused(format_args!("{doing}"), why))?;
        let Some(entry) = server_env::entry_of(*name, &contents) else {
            return Err(Error::refused(format_args!("cannot use {doing}: it contains a NUL byte")));
        };
        entries.push(entry);
    }
    Ok(entries)
}

/// Reads a regular file. A FIFO is refused and not waited for.
fn read(path: Word, most: u64) -> crate::sys::Result<Contents> {
    let file = dir::peek(path)?;
    let about = dir::about(file.as_fd())?;
    if !about.regular {
        return Err(Errno::INVAL);
    }
    let mut contents = Contents::default();
    contents.refill(file.as_fd(), about.size)?;
    if contents.len() as u64 > most { Err(Errno::FBIG) } else { Ok(contents) }
}

fn refused(what: core::fmt::Arguments<'_>, why: Errno) -> Error {
    match why {
        Errno::INVAL => Error::refused(format_args!("cannot read {what}: it is not a regular file")),
        _ => failed(format_args!("cannot read {what}"), why),
    }
}
