//! Finds out why an exec failed. The process whose exec has failed does this, in the same root and as the same user.
//!
//! In a jail, execve(2) often fails with "No such file or directory" although the file exists: its loader or
//! interpreter is missing. This module allocates no memory, because it runs after the fork.

use core::ffi::CStr;
use std::os::fd::AsFd;

use super::exec_image::ExecImage;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::ArrayText;
use crate::logic::formats::executable::{ExecFailure, Executable, HEAD_READ_SIZE, NATIVE_MACHINE, classify};
use crate::logic::plan::landlock_rules::Rule;
use crate::logic::plan::step::Step;
use crate::sys::{Errno, Result, access, credentials, dir};

/// A path for a message; a longer one is cut off.
pub type CausePath = ArrayText<256>;

/// How many nested `#!` interpreters the kernel follows.
const MAX_INTERPRETERS: usize = 4;

/// Finds the cause of a failed step. It is `ExecFailure::Plain` if the errno says enough. Writes the path that the
/// cause is about into `about`.
pub fn diagnose(step: &Step, program: &ExecImage, why: Errno, about: &mut CausePath) -> ExecFailure {
    if let Step::Chroot(dir)
    | Step::Chdir(dir)
    | Step::EnterCallersPathIfReplaced(dir)
    | Step::AddLandlockRule(Rule::Path(_, dir), _) = step
    {
        return diagnose_path(dir, about);
    }
    if let Step::VerifyLandlockCwd(dir) = step {
        set_path(about, dir.to_bytes());
        return ExecFailure::UncoveredDir;
    }
    if !matches!(step, Step::Exec(_)) {
        return ExecFailure::Plain;
    }
    let cause = diagnose_exec(&program.paths, why, about);
    let confines = |step: &Step| matches!(step, Step::CreateLandlockRuleset(handled) if handled.file_rights != 0);
    let refused = cause == ExecFailure::Plain && why == Errno::ACCESS;
    if refused && program.steps.iter().any(confines) { ExecFailure::Confined } else { cause }
}

/// Finds the cause of a failed exec: examines the first of these paths that exists.
fn diagnose_exec(paths: &[StaticCStr], why: Errno, about: &mut CausePath) -> ExecFailure {
    for path in paths {
        match dir::stat_path(path) {
            Ok(_) => {
                let cause = diagnose_file(path, MAX_INTERPRETERS, about);
                // The file is a 32-bit program, and the kernel was built without support for them.
                let refused = cause == ExecFailure::Plain && why == Errno::NOEXEC;
                return if refused { ExecFailure::Foreign } else { cause };
            }
            Err(Errno::ACCESS) => return diagnose_path(path, about),
            Err(_) => {}
        }
    }
    match paths {
        [path] if path.is_empty() => ExecFailure::Plain,
        [path] if path.to_bytes().starts_with(b"/") => diagnose_path(path, about),
        [path] if path.to_bytes().contains(&b'/') => add_cwd_to_cause(diagnose_path(path, about), about),
        _ => ExecFailure::NotInPath,
    }
}

/// Checks whether a file could be executed, as far as that can be determined without executing it.
///
/// # Errors
/// The error that execve(2) would return.
pub fn check_exec(path: &CStr) -> Result<()> {
    access::may_execute(path)?;
    match diagnose_file(path, MAX_INTERPRETERS, &mut CausePath::new()) {
        ExecFailure::Plain => Ok(()),
        ExecFailure::Foreign | ExecFailure::NoFormat => Err(Errno::NOEXEC),
        ExecFailure::Closed
        | ExecFailure::NotExecutable
        | ExecFailure::NotAFile
        | ExecFailure::Noexec
        | ExecFailure::Uncovered
        | ExecFailure::UncoveredDir
        | ExecFailure::Confined => Err(Errno::ACCESS),
        ExecFailure::NoInterpreter
        | ExecFailure::NoLoader
        | ExecFailure::NoDirectory
        | ExecFailure::NotInPath
        | ExecFailure::NotHere
        | ExecFailure::Dangling => Err(Errno::NOENT),
    }
}

/// Verifies that Landlock does not forbid this process to read a directory whose owner and mode allow it.
///
/// # Errors
/// EACCES if Landlock forbids it.
pub fn verify_landlock_read(dir: &CStr) -> Result<()> {
    match dir::Dir::open(dir) {
        Err(Errno::ACCESS) if access::may_read(dir).is_ok() => Err(Errno::ACCESS),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Finds what is wrong with a file that exists, or with its loader or interpreter.
fn diagnose_file(path: &CStr, depth: usize, about: &mut CausePath) -> ExecFailure {
    set_path(about, path.to_bytes());
    if !dir::stat_path(path).is_ok_and(|about| about.regular) {
        return ExecFailure::NotAFile;
    }
    if access::may_execute(path).is_err() {
        return if access::is_noexec(path) { ExecFailure::Noexec } else { ExecFailure::NotExecutable };
    }
    let mut head = [0; HEAD_READ_SIZE];
    let count = match dir::open_readonly(path).and_then(|file| dir::pread_start(file.as_fd(), &mut head)) {
        Ok(count) => count,
        // Either the file may be executed but not read, or Landlock refuses it, which access(2) ignores.
        Err(Errno::ACCESS) if access::may_read(path).is_ok() => return ExecFailure::Uncovered,
        Err(_) => return ExecFailure::Plain,
    };
    let (cause, next) = match classify(head.get(..count).unwrap_or_default(), NATIVE_MACHINE) {
        Executable::Script(next) => (ExecFailure::NoInterpreter, next),
        Executable::Elf(Some(next)) => (ExecFailure::NoLoader, next),
        Executable::Elf(None) => return ExecFailure::Plain,
        Executable::Foreign => return ExecFailure::Foreign,
        Executable::Unknown => return ExecFailure::NoFormat,
    };
    let text = with_nul(next);
    let Ok(there) = CStr::from_bytes_until_nul(text.as_bytes()) else { return ExecFailure::Plain };
    match dir::stat_path(there) {
        Err(Errno::ACCESS) => diagnose_path(there, about),
        Err(_) => {
            set_path(about, next);
            if access::is_symlink(there) { ExecFailure::Dangling } else { cause }
        }
        Ok(_) if depth == 0 => ExecFailure::Plain,
        Ok(_) => {
            let cause = diagnose_file(there, depth - 1, about);
            if cause == ExecFailure::Plain {
                set_path(about, path.to_bytes());
            }
            cause
        }
    }
}

/// The cause for a relative path that does not exist. Puts the working directory, in which the path was looked up,
/// before a missing directory in `about`. If only the file is missing, `about` becomes the working directory.
fn add_cwd_to_cause(cause: ExecFailure, about: &mut CausePath) -> ExecFailure {
    let mut buffer = [0; 256];
    let Some(dir) = credentials::read_current_dir(&mut buffer) else { return cause };
    if cause == ExecFailure::NoDirectory {
        let relative = core::mem::take(about);
        about.push(dir);
        about.push(b"/");
        about.push(relative.as_bytes().strip_prefix(b"./").unwrap_or(relative.as_bytes()));
    } else if cause == ExecFailure::Plain {
        set_path(about, dir);
        return ExecFailure::NotHere;
    }
    cause
}

/// Finds the first directory of a path that is missing or may not be searched, or a dangling link at the path's end.
fn diagnose_path(path: &CStr, about: &mut CausePath) -> ExecFailure {
    let bytes = path.to_bytes();
    // Skip directories that would not fit into `CausePath` together with a NUL.
    let slashes = bytes.iter().enumerate().filter(|(at, byte)| **byte == b'/' && (1..255).contains(at));
    for (at, _) in slashes {
        let dir = bytes.get(..at).unwrap_or_default();
        set_path(about, dir);
        let text = with_nul(dir);
        let Ok(dir) = CStr::from_bytes_until_nul(text.as_bytes()) else { break };
        match dir::stat_path(dir) {
            Ok(found) if found.directory => {}
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => {
                return ExecFailure::NoDirectory;
            }
            Err(_) => break,
        }
        if access::may_execute(dir).is_err() {
            return ExecFailure::Closed;
        }
    }
    set_path(about, bytes);
    if access::is_symlink(path) && dir::stat_path(path).is_err() { ExecFailure::Dangling } else { ExecFailure::Plain }
}

fn set_path(about: &mut CausePath, path: &[u8]) {
    about.clear();
    about.push(path);
}

fn with_nul(path: &[u8]) -> CausePath {
    let mut text = CausePath::new();
    text.push(path);
    text.end_with(0);
    text
}
