//! `--termination-log`: the file in which vsrun writes why it exits.

use core::fmt::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::pidfile::split_path;
use super::walk;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::ArrayText;
use crate::runtime::report::log;
use crate::sys::dir::{self, Dir, OpenMode};
use crate::sys::{Errno, access, fd, poll};

/// The largest size of a message, in bytes: Kubernetes shows no more.
const MAX_SIZE: usize = 4096;
/// The mode of the file if vsrun creates it.
const MODE: u32 = 0o640;
/// The maximum number of attempts to write to a terminal or FIFO that accepts no bytes, and the pause between two
/// attempts in milliseconds. Together they take five seconds.
const WRITE_ATTEMPTS: usize = 500;
const WRITE_RETRY_PAUSE_MS: u64 = 10;

/// The open file of `--termination-log`. None if the option was not given, or the file could not be opened.
#[derive(Default)]
pub struct TerminationLog(Option<OwnedFd>);

impl TerminationLog {
    /// Opens the file, if a path is given. If that is impossible, prints the reason to standard error.
    pub fn open(path: Option<StaticCStr>) -> Self {
        Self(path.and_then(|path| open(path).map_err(|error| log::print_error(&error)).ok()))
    }

    /// True if nothing will be written.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Writes why the start has failed. Wrong usage is not written.
    pub fn write_failure(&self, error: &Error, tail: Option<OwnedFd>) {
        if error.exit_status != exit::USAGE {
            self.write(format_args!("{error}"), tail);
        }
    }

    /// Overwrites the file with one line, and with the last lines of `tail`.
    pub fn write(&self, message: fmt::Arguments<'_>, tail: Option<OwnedFd>) {
        let Some(file) = &self.0 else { return };
        let mut text = ArrayText::<MAX_SIZE>::new();
        let _ = write!(text, "vsrun: {message}");
        text.end_with(b'\n');
        if let Some(tail) = tail {
            let mut bytes = [0; MAX_SIZE];
            let room = MAX_SIZE.saturating_sub(text.as_bytes().len());
            text.push(last_lines(&tail, bytes.get_mut(..room).unwrap_or_default()));
        }
        // ftruncate(2) fails for a terminal or FIFO, which has no old contents to remove.
        let _ = dir::ftruncate(file.as_fd(), 0);
        write_in_time(file.as_fd(), text.as_bytes());
    }
}

/// For `--check`: verifies that the file may be written to or, if it is missing, created. Does not open it.
///
/// # Errors
/// The reason why it may not.
pub fn check_writable(path: StaticCStr) -> Result<()> {
    let (parent, name) = split_path(path);
    let mut walk = walk::walk_to(parent, Problem::UseTerminationLog, path)?;
    match access::may_write(walk.fd(), name) {
        Err(Errno::NOENT) => walk.verify_may_create(name, None).and_then(|()| access::may_write(walk.fd(), c".")),
        result => result,
    }
    .map_err(|why| walk.error(Problem::UseTerminationLog, path.to_bytes(), why))
}

fn open(path: StaticCStr) -> Result<OwnedFd> {
    let (parent, name) = split_path(path);
    let mut walk = walk::walk_to(parent, Problem::UseTerminationLog, path)?;
    let is_shared = walk.is_in_shared_dir();
    let opened = fd::duplicate(walk.fd()).and_then(|dir| {
        let dir = Dir(dir);
        let file = match dir.open_file(name, OpenMode::Append, 0) {
            Err(Errno::NOENT) => {
                walk.verify_may_create(name, None)?;
                dir.open_file(name, OpenMode::NewAppend, MODE)?
            }
            result => result?,
        };
        let about = dir::fstat(file.as_fd())?;
        walk.check_component(name, &about)?;
        Ok((file, about))
    });
    let fault = match opened {
        // In a directory that others may write, another user may have linked any file of the same owner to this name.
        Ok((_, about)) if about.regular && about.links > 1 && is_shared => Reason::HasSecondName,
        Ok((file, _)) => return Ok(file),
        Err(Errno::LOOP) => Reason::ItIsSymlink,
        Err(why) => return Err(walk.error(Problem::UseTerminationLog, path.to_bytes(), why)),
    };
    Err(Error::of(Problem::UseTerminationLog, path.to_bytes()).with_reason_arg(fault))
}

/// The last lines of a file, as many as fit into `room`. If not even one line fits, the end of that line. Control
/// characters are replaced, because the text may be shown on a terminal.
fn last_lines<'a>(file: &OwnedFd, room: &'a mut [u8]) -> &'a [u8] {
    let start = dir::fstat(file.as_fd()).map_or(0, |about| about.size.saturating_sub(room.len() as u64));
    let count = dir::seek(file.as_fd(), start).and_then(|()| fd::read_full(file.as_fd(), room)).unwrap_or(0);
    let text = room.get_mut(..count).unwrap_or_default();
    text.iter_mut().filter(|byte| byte.is_ascii_control() && !b"\n\t".contains(byte)).for_each(|byte| *byte = b'?');
    let whole = if start > 0 { text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
    text.get(whole..).filter(|whole| !whole.is_empty()).unwrap_or(text)
}

/// Writes to a file, for five seconds at most: it may be a terminal whose output another process has stopped.
fn write_in_time(file: BorrowedFd<'_>, mut bytes: &[u8]) {
    for _ in 0..WRITE_ATTEMPTS {
        match fd::write_some(file, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::AGAIN) => poll::sleep_ms(WRITE_RETRY_PAUSE_MS),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
        if bytes.is_empty() {
            return;
        }
    }
}
