//! The files of `--env-file`, `--env-dir` and `--file-env`, read with vsrun's own rights and root, before the plan is
//! made.

use alloc::vec::Vec;
use core::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use super::env_dir;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::formats::env_file;
use crate::logic::plan::env::{Env, EnvFiles};
use crate::logic::plan::file_env::{self, add_or_replace_entry};
use crate::runtime::report::os_error::add_errno;
use crate::runtime::resources::walk::PathWalk;
use crate::runtime::resources::walk_file;
use crate::sys::file_contents::FileContents;
use crate::sys::{self, Errno, dir, entry};

/// The longest value of a variable, in bytes: execve(2) accepts strings of up to 128 KiB.
const MAX_VALUE_BYTES: u64 = 128 << 10;

/// Reads all files that set variables of a server, and returns an entry `NAME=VALUE` for each name. `base` is the
/// environment before these files.
///
/// # Errors
/// If a file cannot be read or cannot be a value (125), or a file of `--env-file` has a malformed line (2). Messages
/// never show the contents.
pub fn read_all(sources: &EnvFiles, base: &Env) -> Result<Vec<StaticCStr>> {
    let mut entries = Vec::new();
    read_sources(sources, base, &mut entries).map(|()| entries)
}

// `read_sources` is separate to save bytes: every early return in a function repeats the code that drops its local
// values.
#[inline(never)]
fn read_sources(sources: &EnvFiles, base: &Env, entries: &mut Vec<StaticCStr>) -> Result<()> {
    let mut contents = FileContents::default();
    for path in &sources.files {
        read_checking_owners(path, u64::MAX, &mut contents, None)?;
        env_file::parse(path, &contents, &entry::environment(), entries)?;
    }
    if let Some(dir) = sources.dir {
        env_dir::read(dir, entries)?;
    }
    if sources.file_env_names.is_empty() {
        return Ok(());
    }
    let mut env = base.clone();
    entries.iter().for_each(|entry| env.apply_entry(entry));
    for name in &sources.file_env_names {
        if let Some(path) = file_env::file_env_path(name, &env)? {
            read_checking_owners(path, MAX_VALUE_BYTES, &mut contents, Some(name))?;
            let Some(entry) = file_env::file_env_entry(name, &contents) else {
                return Err(Error::of(Problem::UseSecret, path.to_bytes()).with_name_arg(name.to_bytes()));
            };
            add_or_replace_entry(entries, file_env::file_variable_name(name));
            add_or_replace_entry(entries, entry);
        }
    }
    Ok(())
}

/// Reads a regular file. If vsrun runs as root, it opens the path component by component, and checks the owner of each.
/// `variable` is the variable whose value the file holds; None for a file of `--env-file`.
fn read_checking_owners(
    path: StaticCStr,
    max_size: u64,
    contents: &mut FileContents,
    variable: Option<StaticCStr>,
) -> Result<()> {
    let mut walk = PathWalk::new();
    let result = walk_file::open(&mut walk, path).and_then(|file| read_limited(&file, max_size, contents));
    result.map_err(|why| {
        let path = path.to_bytes();
        let error = match variable {
            Some(name) => Error::of(Problem::ReadSecret, path).with_name_arg(name.to_bytes()),
            None => Error::of(Problem::ReadEnvFile, path),
        };
        match &walk.refusal {
            Some(refusal) => add_errno(error, why).with_arg(MessageArg::PathDistrustReason(refusal.error())),
            None if why == Errno::INVAL => error.with_reason_arg(Reason::ItIsNotRegular),
            None => add_errno(error, why),
        }
    })
}

/// Reads a regular file into `contents`. Refuses a FIFO without waiting for its writer.
///
/// # Errors
/// The errors of open(2) and read(2); EINVAL if it is not a regular file; EFBIG if it has more than `max_size` bytes.
pub fn read(path: &CStr, max_size: u64, contents: &mut FileContents) -> sys::Result<()> {
    read_limited(&dir::open_readonly(path)?, max_size, contents)
}

fn read_limited(file: &OwnedFd, max_size: u64, contents: &mut FileContents) -> sys::Result<()> {
    let about = dir::fstat(file.as_fd())?;
    if !about.regular {
        return Err(Errno::INVAL);
    }
    contents.refill(file.as_fd(), about.size)?;
    if contents.len() as u64 > max_size { Err(Errno::FBIG) } else { Ok(()) }
}
