//! Finds the paths of a command in PATH, and makes paths absolute.

use alloc::vec::Vec;

use super::host::Host;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::text::split_byte;

/// The search path if the environment has no PATH.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The paths to try for a command. A command with a slash is a path itself; otherwise there is one path for each
/// directory of PATH, whose value is `path`. An empty directory means the working directory, as in execvp(3).
pub fn paths_to_try(command: StaticCStr, path: Option<&[u8]>) -> Vec<StaticCStr> {
    if command.is_empty() || command.to_bytes().contains(&b'/') {
        return vec![command];
    }
    let mut paths = Vec::new();
    for dir in split_byte(path.unwrap_or(DEFAULT_PATH), b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        paths.push(leak_cstr([dir, b"/", command.to_bytes()].concat()));
    }
    paths
}

/// Makes a path absolute. A relative one is relative to the directory in which vsrun was called.
///
/// # Errors
/// If the path is relative, and the path of that directory is unknown.
pub fn absolute(path: StaticCStr, host: &Host<'_>) -> Result<StaticCStr> {
    let bytes = path.to_bytes();
    if bytes.starts_with(b"/") {
        return Ok(path);
    }
    let Some(cwd) = &host.cwd else {
        return Err(Error::new(Problem::NoCurrentDir));
    };
    let rest = bytes.strip_prefix(b"./").unwrap_or(bytes);
    Ok(if bytes == b"." { leak_cstr(cwd.clone()) } else { leak_cstr([cwd, &b"/"[..], rest].concat()) })
}
