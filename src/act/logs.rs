//! The logdir: made, its files begun anew, the old ones renamed and in the end deleted.
//!
//! The directory may belong to the user, who may plant whatever he likes in it. So names are looked up in the
//! directory that is held open, no link is ever followed, no file ever replaced, and only our own names are touched.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::act::pidfile::split;
use crate::act::say::failed;
use crate::decide::error::Result;
use crate::decide::retention::{OUTPUT, RECORDS, expired, generation, renamed};
use crate::decide::text::Clean;
use crate::decide::time::{Span, Time};
use crate::decide::word::{Word, word};
use crate::sys::dir::{self, Dir, How};
use crate::sys::{self, Errno, access, clock};

/// How often somebody else may put a file in our place before we give up.
const PATIENCE: usize = 100;
/// How often old files are looked for.
const HOUR: Span = Span::secs(3600);
const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;
/// For parents that had to be made: they stay root's, and the user finds his way through.
const PARENT_MODE: u32 = 0o755;

/// Whether somebody will read the server's file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A handler, from the beginning of each life on.
    Wanted,
    /// Nobody.
    Unwanted,
}

/// An open logdir.
pub struct Logs {
    dir: Dir,
    keep: Span,
    owner: Option<(u32, u32)>,
    output: OwnedFd,
    reader: Option<OwnedFd>,
    reading: Reading,
    sweep: Time,
}

impl Logs {
    /// Opens the directory, makes it if need be, renames what is there, and begins new files. Answers the logs, and
    /// the file for vsrun's own records.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn open(path: &CStr, keep: Span, owner: Option<(u32, u32)>, reading: Reading) -> Result<(Self, OwnedFd)> {
        let fail = |why: Errno| failed(format_args!("logdir '{}'", Clean(path.to_bytes())), why);
        let dir = open_or_make(path, owner).map_err(fail)?;
        let records = begin(&dir, RECORDS, None).map_err(fail)?;
        let (output, reader) = begin_output(&dir, owner, reading).map_err(fail)?;
        let mut logs = Self { dir, keep, owner, output, reader, reading, sweep: Time::default() };
        logs.sweep(Time(clock::monotonic()));
        Ok((logs, records))
    }

    /// Where the server writes.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// How long the server's file is now.
    pub fn length(&self) -> u64 {
        dir::about(self.output.as_fd()).map_or(0, |about| about.size)
    }

    /// The server's file, to be read from a place on.
    pub fn read_from(&self, place: u64) -> Option<BorrowedFd<'_>> {
        let reader = self.reader.as_ref()?.as_fd();
        dir::seek(reader, place).ok().map(|()| reader)
    }

    /// Renames the files and begins new ones. Answers the file for vsrun's own records. Where that fails, the old
    /// ones go on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn rotate(&mut self) -> sys::Result<OwnedFd> {
        (self.output, self.reader) = begin_output(&self.dir, self.owner, self.reading)?;
        self.sweep(Time(clock::monotonic()));
        begin(&self.dir, RECORDS, None)
    }

    /// Opens the file of vsrun's own records anew under its name: somebody may have renamed it.
    ///
    /// # Errors
    /// Those of the file system; EEXIST when it is no file that vsrun would write to.
    pub fn reopen(&self) -> sys::Result<OwnedFd> {
        match self.dir.file(RECORDS, How::Append, 0) {
            Ok(file) => {
                let about = dir::about(file.as_fd())?;
                let ours = about.regular && about.links == 1;
                if ours { Ok(file) } else { Err(Errno::EXIST) }
            }
            Err(Errno::NOENT) => begin(&self.dir, RECORDS, None),
            Err(why) => Err(why),
        }
    }

    /// When old files are to be looked for again.
    pub fn deadline(&self) -> Time {
        self.sweep
    }

    /// Deletes renamed files that are too old. Nothing else in the directory is touched.
    pub fn sweep(&mut self, now: Time) {
        self.sweep = now.after(HOUR);
        let (today, _) = clock::wall();
        let _ = self.dir.each(&mut |name| {
            let ours = [RECORDS, OUTPUT].iter().any(|of| generation(name.to_bytes(), of).is_some());
            if ours && self.dir.about(name).is_ok_and(|file| file.regular && expired(file.mtime, today, self.keep)) {
                let _ = self.dir.unlink(name);
            }
        });
    }
}

/// A new file for the server: one descriptor to append to it, one to read it if that is wanted.
fn begin_output(dir: &Dir, owner: Option<(u32, u32)>, reading: Reading) -> sys::Result<(OwnedFd, Option<OwnedFd>)> {
    for _ in 0..PATIENCE {
        let output = begin(dir, OUTPUT, owner)?;
        if reading == Reading::Unwanted {
            return Ok((output, None));
        }
        let reader = dir.file(OUTPUT, How::ReadOnly, 0)?;
        if dir::about(output.as_fd())?.identity == dir::about(reader.as_fd())?.identity {
            return Ok((output, Some(reader)));
        }
    }
    Err(Errno::EXIST)
}

/// A new file of that name, whatever was there before renamed.
fn begin(dir: &Dir, of: Word, owner: Option<(u32, u32)>) -> sys::Result<OwnedFd> {
    for _ in 0..PATIENCE {
        match dir.file(of, How::NewAppend, FILE_MODE) {
            Ok(file) => {
                dir::permit(file.as_fd(), FILE_MODE)?;
                if let Some((uid, gid)) = owner {
                    dir::give(file.as_fd(), uid, gid)?;
                }
                return Ok(file);
            }
            Err(Errno::EXIST) => put_away(dir, of)?,
            Err(why) => return Err(why),
        }
    }
    Err(Errno::EXIST)
}

/// Renames a file to its name and one more than the highest number there.
fn put_away(dir: &Dir, of: Word) -> sys::Result<()> {
    let mut highest = 0;
    dir.each(&mut |name| highest = generation(name.to_bytes(), of).unwrap_or(0).max(highest))?;
    let full = || Errno::EXIST;
    for step in 1..100 {
        let number = highest.checked_add(step).ok_or_else(full)?;
        let new = renamed(of, number);
        let new = CStr::from_bytes_until_nul(new.as_bytes()).unwrap_or(c"");
        match dir.rename(of, new) {
            Err(Errno::EXIST) => {}
            // Somebody else has taken it away: the place is free as well.
            Err(Errno::NOENT) => return Ok(()),
            result => return result,
        }
    }
    Err(full())
}

/// Whether the directory could be opened, or made, and written to.
///
/// # Errors
/// Those that the start would have.
pub fn look(path: Word) -> Result<()> {
    let mut there = path;
    let result = loop {
        match Dir::open(there) {
            Ok(_) => break access::may_write(there),
            Err(Errno::NOENT) => there = split(there).0,
            Err(why) => break Err(why),
        }
    };
    result.map_err(|why| failed(format_args!("logdir '{}'", Clean(path.to_bytes())), why))
}

fn open_or_make(path: &CStr, owner: Option<(u32, u32)>) -> sys::Result<Dir> {
    match Dir::open(path) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let bytes = path.to_bytes();
    let bytes =
        bytes.get(..bytes.len() - bytes.iter().rev().take_while(|byte| **byte == b'/').count()).unwrap_or(bytes);
    for (at, _) in bytes.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0) {
        let parent = word(bytes.get(..at).unwrap_or_default().to_vec());
        if make(parent)? {
            dir::permit(Dir::open_made(parent)?.as_fd(), PARENT_MODE)?;
        }
    }
    let last = word(bytes.to_vec());
    if !make(last)? {
        return Dir::open(last);
    }
    let dir = Dir::open_made(last)?;
    if let Some((uid, gid)) = owner {
        dir::give(dir.as_fd(), uid, gid)?;
    }
    dir::permit(dir.as_fd(), DIR_MODE)?;
    Ok(dir)
}

/// Makes a directory, closed to others for now. Says whether it was not there yet.
fn make(path: &CStr) -> sys::Result<bool> {
    match dir::make(path, 0o700) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(why) => Err(why),
    }
}
