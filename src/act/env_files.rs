//! The files of `--env-file`, `--env-dir` and `--file-env`, read on the host with vsrun's own rights before the plan is made.

use alloc::vec::Vec;
use std::os::fd::AsFd;

use crate::act::env_dir;
use crate::act::say::failed;
use crate::act::walk::Walk;
use crate::act::walk_file;
use crate::decide::env_file;
use crate::decide::environ::{Environ, Sources};
use crate::decide::error::{Error, Result};
use crate::decide::server_env::{self, add};
use crate::decide::text::Clean;
use crate::decide::word::Word;
use crate::sys::contents::Contents;
use crate::sys::{self, Errno, dir, entry};

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
        let contents = read(format_args!("--env-file '{shown}'"), *path, u64::MAX)?;
        env_file::parse(*path, &contents, &own)?.into_iter().for_each(|entry| add(&mut entries, entry));
    }
    if let Some(dir) = sources.dir {
        env_dir::read(dir)?.into_iter().for_each(|entry| add(&mut entries, entry));
    }
    let mut env = base.clone();
    entries.iter().for_each(|entry| env.put(*entry));
    for name in &sources.names {
        let Some(path) = server_env::file_of(*name, &env)? else { continue };
        let doing = format!("'{}' of {}_FILE", Clean(path.to_bytes()), Clean(name.to_bytes()));
        let contents = read(format_args!("{doing}"), path, LONGEST_VALUE)?;
        let Some(entry) = server_env::entry_of(*name, &contents) else {
            return Err(Error::refused(format_args!("cannot use {doing}: it contains a NUL byte")));
        };
        add(&mut entries, server_env::file_variable(*name));
        add(&mut entries, entry);
    }
    Ok(entries)
}

/// Reads a regular file. A FIFO is refused and not waited for.
fn read(what: core::fmt::Arguments<'_>, path: Word, most: u64) -> Result<Contents> {
    let mut walk = Walk::begin();
    read_at(&mut walk, path, most).map_err(|why| match why {
        Errno::INVAL => Error::refused(format_args!("cannot read {what}: it is not a regular file")),
        _ if walk.refusal.is_some() => Error::refused(format_args!("cannot read {what}: {}", walk.told(why))),
        _ => failed(format_args!("cannot read {what}"), why),
    })
}

fn read_at(walk: &mut Walk, path: Word, most: u64) -> sys::Result<Contents> {
    let file = walk_file::open(walk, path)?;
    let about = dir::about(file.as_fd())?;
    if !about.regular {
        return Err(Errno::INVAL);
    }
    let mut contents = Contents::default();
    contents.refill(file.as_fd(), about.size)?;
    if contents.len() as u64 > most { Err(Errno::FBIG) } else { Ok(contents) }
}
