//! Why an exec failed: looked at by the one whose exec it was, in the same root and as the same user.
//!
//! "No such file or directory" for a file that is there is the oldest trouble of jails. Nothing here allocates: it
//! runs after the fork.

use core::ffi::CStr;
use std::os::fd::AsFd;

use crate::decide::image::{Cause, HEAD, HERE, Image, judge};
use crate::decide::text::Text;
use crate::decide::word::Word;
use crate::sys::{Errno, Result, access, dir};

/// A path that fits into a message; a longer one is cut off.
pub type Detail = Text<256>;

/// How many interpreters of interpreters the kernel follows.
const DEPTH: usize = 4;

/// Finds the cause of a failed exec of the first of these paths that is there.
pub fn explain(paths: &[Word], why: Errno) -> (Cause, Detail) {
    for path in paths {
        match dir::about_path(path) {
            Ok(_) => {
                return match file(path, DEPTH) {
                    // A 32-bit program, and a kernel that takes none.
                    (Cause::Plain, _) if why == Errno::NOEXEC => (Cause::Foreign, detail(path.to_bytes())),
                    found => found,
                };
            }
            Err(Errno::ACCESS) => return way(path),
            Err(_) => {}
        }
    }
    match paths {
        [path] if path.is_empty() => (Cause::Plain, Detail::new()),
        [path] if path.to_bytes().contains(&b'/') => way(path),
        _ => (Cause::NotInPath, Detail::new()),
    }
}

/// Whether a file could be executed, as far as can be told without that.
///
/// # Errors
/// What the exec would answer.
pub fn examine(path: &CStr) -> Result<()> {
    access::may_execute(path)?;
    match file(path, DEPTH).0 {
        Cause::Plain => Ok(()),
        Cause::Foreign | Cause::NoFormat => Err(Errno::NOEXEC),
        Cause::Closed | Cause::NotExecutable | Cause::NotAFile | Cause::Noexec => Err(Errno::ACCESS),
        Cause::NoInterpreter | Cause::NoLoader | Cause::NoDirectory | Cause::NotInPath | Cause::Dangling => {
            Err(Errno::NOENT)
        }
    }
}

/// The file is there: what is wrong with it, or with what it needs?
fn file(path: &CStr, depth: usize) -> (Cause, Detail) {
    let here = |cause| (cause, detail(path.to_bytes()));
    if !dir::about_path(path).is_ok_and(|about| about.regular) {
        return here(Cause::NotAFile);
    }
    if access::may_execute(path).is_err() {
        return here(if access::is_noexec(path) { Cause::Noexec } else { Cause::NotExecutable });
    }
    let mut head = [0; HEAD];
    let Ok(count) = dir::peek(path).and_then(|file| dir::head(file.as_fd(), &mut head)) else {
        return here(Cause::Plain);
    };
    let (cause, next) = match judge(head.get(..count).unwrap_or_default(), HERE) {
        Image::Script(next) => (Cause::NoInterpreter, next),
        Image::Elf(Some(next)) => (Cause::NoLoader, next),
        Image::Elf(None) => return here(Cause::Plain),
        Image::Foreign => return here(Cause::Foreign),
        Image::Unknown => return here(Cause::NoFormat),
    };
    let next = detail(next);
    let there = with_nul(&next);
    let Ok(there) = CStr::from_bytes_until_nul(there.as_bytes()) else { return here(Cause::Plain) };
    match dir::about_path(there) {
        Err(Errno::ACCESS) => way(there),
        Err(_) if access::is_link(there) => (Cause::Dangling, next),
        Err(_) => (cause, next),
        Ok(_) if depth == 0 => here(Cause::Plain),
        Ok(_) => match file(there, depth - 1) {
            (Cause::Plain, _) => here(Cause::Plain),
            found => found,
        },
    }
}

/// What is not there, or may not be reached: the first directory on the way that is the reason.
pub fn way(path: &CStr) -> (Cause, Detail) {
    let bytes = path.to_bytes();
    let slashes = bytes.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0);
    for (at, _) in slashes {
        let dir = detail(bytes.get(..at).unwrap_or_default());
        let text = with_nul(&dir);
        let Ok(name) = CStr::from_bytes_until_nul(text.as_bytes()) else { break };
        match dir::about_path(name) {
            Err(_) => return (Cause::NoDirectory, dir),
            Ok(about) if !about.directory => return (Cause::NoDirectory, dir),
            Ok(_) if access::may_execute(name).is_err() => return (Cause::Closed, dir),
            Ok(_) => {}
        }
    }
    let dangling = access::is_link(path) && dir::about_path(path).is_err();
    (if dangling { Cause::Dangling } else { Cause::Plain }, detail(bytes))
}

fn detail(bytes: &[u8]) -> Detail {
    let mut detail = Detail::new();
    detail.push(bytes);
    detail
}

fn with_nul(detail: &Detail) -> Detail {
    let mut text = detail.clone();
    text.end_with(0);
    text
}
