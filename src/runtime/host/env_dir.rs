//! The directory of `--env-dir`, which has a file for each variable. It is read with vsrun's own rights and root,
//! before the plan is made.

use alloc::vec::Vec;
use core::ffi::CStr;
use std::os::fd::AsFd;

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::plan::env::env_dir_entry;
use crate::logic::plan::file_env::add_or_replace_entry;
use crate::runtime::report::os_error::add_errno;
use crate::runtime::resources::walk::{self, PathWalk};
use crate::sys::dir::{self, Dir};
use crate::sys::file_contents::{self, FileContents};
use crate::sys::{self, Errno};

/// The kernel's limit for one variable, in bytes, including NAME and the final NUL (MAX_ARG_STRLEN).
const MAX_VARIABLE_BYTES: usize = 128 << 10;

/// Reads the directory, and adds an entry `NAME=VALUE` for each file. Skips subdirectories, and names that begin with a
/// dot.
///
/// # Errors
/// When the directory or one of its files cannot be read, or a file cannot be a variable.
pub fn read(path: StaticCStr, entries: &mut Vec<StaticCStr>) -> Result<()> {
    let walk = walk::walk_to(path, Problem::UseEnvDir, path)?;
    let mut at = c"";
    let Err(why) = read_from(&walk, entries, &mut at) else { return Ok(()) };
    let error = Error::of(Problem::ReadEnvDir, path.to_bytes()).with_name_arg(at.to_bytes());
    Err(if why == Errno::INVAL { error.with_reason_arg(Reason::NotAVariable) } else { add_errno(error, why) })
}

/// Reads the directory at the end of a walk, which has checked the owners of its path. Sets `current_file` to the name
/// of the file that it reads, for the error text.
fn read_from(walk: &PathWalk, entries: &mut Vec<StaticCStr>, current_file: &mut StaticCStr) -> sys::Result<()> {
    let dir = sys::path_walk::open_for_listing(walk.fd())?;
    let mut names = Vec::new();
    dir.for_each_name(&mut |name: &CStr| {
        if !name.to_bytes().starts_with(b".") {
            names.push(leak_cstr(name.to_bytes().to_vec()));
        }
    })?;
    let mut contents = FileContents::default();
    for name in names {
        *current_file = name;
        if read_variable_unless_dir(&mut contents, &dir, name, walk)? {
            let entry = env_dir_entry(name.to_bytes(), &contents);
            if entry.count_bytes() >= MAX_VARIABLE_BYTES {
                return Err(Errno::INVAL);
            }
            add_or_replace_entry(entries, entry);
        }
    }
    Ok(())
}

/// Reads the file of one variable. Returns false for a directory; fails with EPERM if another user could have put the
/// file there, and with EINVAL if it cannot be a variable.
#[inline(never)]
fn read_variable_unless_dir(contents: &mut FileContents, dir: &Dir, name: &CStr, walk: &PathWalk) -> sys::Result<bool> {
    let file = file_contents::open_beneath(dir.as_fd(), name)?;
    let about = dir::fstat(file.as_fd())?;
    if about.directory {
        return Ok(false);
    }
    // A hard link to one of root's files would give the first line of that file to the server.
    if !walk.trusts_file(&about) {
        return Err(Errno::PERM);
    }
    if !about.regular
        || usize::try_from(about.size).is_ok_and(|size| size > MAX_VARIABLE_BYTES)
        || name.to_bytes().contains(&b'=')
    {
        return Err(Errno::INVAL);
    }
    contents.refill(file.as_fd(), about.size)?;
    Ok(true)
}
