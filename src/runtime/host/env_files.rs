//! The files of `--env-file`, `--env-dir` and `--file-env`, read on the host with vsrun's own rights before the plan is
//! made.

use alloc::vec::Vec;
use core::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use super::env_dir;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::Escaped;
use crate::logic::formats::env_file;
use crate::logic::plan::env::{Env, EnvFiles};
use crate::logic::plan::server_env::{self, add_entry};
use crate::runtime::report::log::os_error;
use crate::runtime::resources::walk::Walk;
use crate::runtime::resources::walk_file;
use crate::sys::file_contents::FileContents;
use crate::sys::{self, Errno, dir, entry};

/// The longest value of a variable, in bytes: execve(2) accepts strings of up to 128 KiB.
const MAX_VARIABLE: u64 = 128 << 10;

/// Reads all files that set variables of a server, and returns an entry for each name. `base` is the environment before
/// these files.
///
/// # Errors
/// If a file cannot be read or cannot be a value (125), or a file of `--env-file` has a malformed line (2). Messages
/// never show the contents.
pub fn read_all(sources: &EnvFiles, base: &Env) -> Result<Vec<StaticCStr>> {
    let mut entries = Vec::new();
    add_all(sources, base, &mut entries).map(|()| entries)
}

// A separate function: every early return repeats the code that drops all local values, so short functions save bytes.
#[inline(never)]
fn add_all(sources: &EnvFiles, base: &Env, entries: &mut Vec<StaticCStr>) -> Result<()> {
    let mut contents = FileContents::default();
    for path in &sources.files {
        read_walking(path, u64::MAX, &mut contents, ("--env-file '", b"'"))?;
        env_file::parse(path, &contents, &entry::environment(), entries)?;
    }
    if let Some(dir) = sources.dir {
        env_dir::read(dir, entries)?;
    }
    if sources.names.is_empty() {
        return Ok(());
    }
    let mut env = base.clone();
    entries.iter().for_each(|entry| env.put(entry));
    for name in &sources.names {
        if let Some(path) = server_env::secret_file(name, &env)? {
            let of = [b"' of ", name.to_bytes(), b"_FILE"].concat();
            read_walking(path, MAX_VARIABLE, &mut contents, ("'", &of))?;
            let Some(entry) = server_env::entry_from_contents(name, &contents) else {
                let (path, of) = (Escaped(path.to_bytes()), Escaped(&of));
                return Err(Error::setup(format_args!("cannot use '{path}{of}: it contains a NUL byte")));
            };
            add_entry(entries, server_env::file_variable(name));
            add_entry(entries, entry);
        }
    }
    Ok(())
}

/// Reads a regular file. Root walks to it component by component. `around` is the text before and after the path in an
/// error.
fn read_walking(path: StaticCStr, most: u64, contents: &mut FileContents, around: (&str, &[u8])) -> Result<()> {
    let mut walk = Walk::begin();
    let result = walk_file::open(&mut walk, path).and_then(|file| read_limited(&file, most, contents));
    result.map_err(|why| {
        let (before, after) = around;
        if walk.refusal.is_none() {
            return read_error(before, path, after, why);
        }
        let (path, after) = (Escaped(path.to_bytes()), Escaped(after));
        Error::setup(format_args!("cannot read {before}{path}{after}: {}", walk.error_text(why)))
    })
}

/// Reads a regular file, and replaces `contents`. Refuses a FIFO without waiting for its writer.
///
/// # Errors
/// The errors of open(2) and read(2); EINVAL if it is not a regular file; EFBIG if it has more than `most` bytes.
pub fn read(path: &CStr, most: u64, contents: &mut FileContents) -> sys::Result<()> {
    read_limited(&dir::open_readonly(path)?, most, contents)
}

fn read_limited(file: &OwnedFd, most: u64, contents: &mut FileContents) -> sys::Result<()> {
    let about = dir::fstat(file.as_fd())?;
    if !about.regular {
        return Err(Errno::INVAL);
    }
    contents.refill(file.as_fd(), about.size)?;
    if contents.len() as u64 > most { Err(Errno::FBIG) } else { Ok(()) }
}

/// Makes the error for a file that cannot be read; `what` and `of` are the text before and after its path.
pub fn read_error(what: &str, path: &CStr, of: &[u8], why: Errno) -> Error {
    let (path, of) = (Escaped(path.to_bytes()), Escaped(of));
    let doing = format_args!("cannot read {what}{path}{of}");
    match why {
        Errno::INVAL => Error::setup(format_args!("{doing}: it is not a regular file")),
        _ => os_error(doing, why),
    }
}
