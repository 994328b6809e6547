//! The files of `--env-file`, `--env-dir` and `--file-env`, read on the host with vsrun's own rights before the plan is made.

use alloc::vec::Vec;
use std::os::fd::AsFd;

use crate::act::env_dir;
use crate::act::say::failed;
use crate::decide::env_file;
use crate::decide::environ::{Environ, Sources};
use crate::decide::error::{Error, Result};
use crate::decide::server_env::{self, add};
use crate::decide::text::Clean;
use crate::decide::word::Word;
use crate::sys::contents::Contents;
use crate::sys::{Errno, dir, entry};

/// The longest value of a variable: execve(2) takes strings of up to 128 KiB.
const LONGEST_VALUE: u64 = 128 << 10;

/// Reads all files that a server's environment is made of: an entry for each name. `base` is what the environment was
/// before.
///
/// # Errors
/// If one cannot be read or cannot be a value (125), or a file of `--env-file` has a malformed line (2). The contents are
/// never part of a message.
#[inline(never)]
pub fn read_all(sources: &Sources, base: &Environ) -> Result<Vec<Word>> {
    let mut entries = Vec::new();
    let own = Environ(entry::environment());
    for path in &sources.files {
        let shown = Clean(path.to_bytes());
        let contents = read(path, u64::MAX).map_err(|why| refused(format_args!("--env-file '{shown}'"), why))?;
        env_file::parse(path, &contents, &own)?.into_iter().for_each(|entry| add(&mut entries, entry));
    }
    if let Some(dir) = sources.dir {
        env_dir::read(dir)?.into_iter().for_each(|entry| add(&mut entries, entry));
    }
    let mut env = base.clone();
    entries.iter().for_each(|entry| env.put(entry));
    for name in &sources.names {
        let Some(path) = server_env::file_of(name, &env)? else { continue };
        let doing = format!("'{}' of {}_FILE", Clean(path.to_bytes()), Clean(name.to_bytes()));
        let contents = read(path, LONGEST_VALUE).map_err(|why| refused(format_args!("{doing}"), why))?;
        let Some(entry) = server_env::entry_of(name, &contents) else {
            return Err(Error::refused(format_args!("cannot use {doing}: it contains a NUL byte")));
        };
        add(&mut entries, server_env::file_variable(name));
        add(&mut entries, entry);
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
