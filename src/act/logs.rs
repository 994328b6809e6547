//! The logdir: made, its files begun anew, the old ones renamed and in the end deleted.
//!
//! The directory may belong to the user, who may plant whatever he likes in it. So names are looked up in the
//! directory that is held open, no link is ever followed, no file ever replaced, and only our own names are touched.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::act::logger::Logger;
use crate::act::ownership;
use crate::act::pidfile::split;
use crate::decide::error::{Error, Result};
use crate::decide::retention::{FileName, OUTPUT, RECORDS, Rules, expired, generation, renamed};
use crate::decide::step::Step;
use crate::decide::steps::Program;
use crate::decide::text::Clean;
use crate::decide::time::{Span, Time};
use crate::decide::word::{Word, word};
use crate::sys::dir::{self, About, Dir, How};
use crate::sys::{self, Errno, access, clock, pipe};

/// How often somebody else may put a file in our place before we give up.
const PATIENCE: usize = 100;
/// How often old files are looked for.
const HOUR: Span = Span::secs(3600);
const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;
/// For parents that had to be made: they stay root's, and the user finds his way through.
const PARENT_MODE: u32 = 0o755;

/// An open logdir.
pub struct Logs {
    dir: Dir,
    rules: Rules,
    /// The server's file, or the pipe of its writer.
    output: OwnedFd,
    sweep: Time,
}

impl Logs {
    /// Opens the directory, makes it if need be, renames what is there, and begins new files. Answers the logs, and
    /// the file for vsrun's own records.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn open(path: &CStr, rules: Rules) -> Result<(Self, OwnedFd)> {
        let fail = |why: Errno| refused(path, why);
        let dir = open_or_make(path, rules.owner).map_err(fail)?;
        let records = begin(&dir, RECORDS, How::NewAppend, None).map_err(fail)?;
        let output = begin(&dir, OUTPUT, How::NewAppend, rules.owner).map_err(fail)?;
        let mut logs = Self { dir, rules, output, sweep: Time::default() };
        logs.sweep(Time(clock::monotonic()));
        Ok((logs, records))
    }

    /// Where the server writes.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Puts a writer between the server and its file. It is one of those who may write to the directory: its owner,
    /// if that is the server's user.
    ///
    /// # Errors
    /// When the directory cannot be opened once more, or there is no pipe to be had.
    pub fn add_writer(&mut self, mut program: Program) -> sys::Result<Logger> {
        let theirs =
            self.rules.owner.is_none_or(|(uid, _)| dir::about(self.dir.as_fd()).is_ok_and(|dir| dir.owner == uid));
        if !theirs {
            program.steps.retain(|step| {
                !matches!(step, Step::Groups(_) | Step::Gid(_) | Step::Uid(..) | Step::Rights(_) | Step::Proof { .. })
            });
        }
        let (pipe, write) = pipe::wide()?;
        // Who lists a directory moves its descriptor, so the writer has one of its own.
        let dir = self.dir.inner(c".")?.0;
        self.output = write;
        Ok(Logger::new("writer", program, pipe, Some(dir)))
    }

    /// Where the server's file ends now: which file, and how long it is.
    pub fn mark(&self) -> Mark {
        self.dir.about(OUTPUT).map_or((0, 0), |about| (about.identity.1, about.size))
    }

    /// The server's file, to be read from there on; where it is another by now, from its beginning.
    pub fn read_from(&self, (file, place): Mark) -> sys::Result<OwnedFd> {
        let (reader, about) = open_ours(&self.dir, OUTPUT, How::ReadOnly)?;
        dir::seek(reader.as_fd(), if about.identity.1 == file { place } else { 0 })?;
        // What the user has put in its place must at least be his own.
        if self.rules.owner.is_none_or(|(uid, _)| about.owner == uid) { Ok(reader) } else { Err(Errno::EXIST) }
    }

    /// Renames the files and begins new ones. Answers the file for vsrun's own records. Where that fails, the old
    /// ones go on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn rotate(&mut self, writer: Option<&Logger>) -> sys::Result<OwnedFd> {
        match writer {
            Some(writer) => {
                put_away(&self.dir, OUTPUT)?;
                writer.reopen();
            }
            None => self.output = begin(&self.dir, OUTPUT, How::NewAppend, self.rules.owner)?,
        }
        self.sweep(Time(clock::monotonic()));
        begin(&self.dir, RECORDS, How::NewAppend, None)
    }

    /// Opens the file of vsrun's own records anew under its name: somebody may have renamed it.
    ///
    /// # Errors
    /// Those of the file system; EEXIST when it is no file that vsrun would write to.
    pub fn reopen(&self) -> sys::Result<OwnedFd> {
        match open_ours(&self.dir, RECORDS, How::Append) {
            Ok((file, _)) => Ok(file),
            Err(Errno::NOENT) => begin(&self.dir, RECORDS, How::NewAppend, None),
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
        sweep(&self.dir, &self.rules);
    }
}

/// A place in a server's file: which file of its file system, and how many bytes are before it.
pub type Mark = (u64, u64);

/// Deletes renamed files that are too old or too many.
#[inline(never)]
pub fn sweep(dir: &Dir, rules: &Rules) {
    let (today, _) = clock::wall();
    // What cannot be deleted is not tried for ever.
    for _ in 0..PATIENCE {
        let (mut count, mut lowest) = (0, u64::MAX);
        let _ = dir.each(&mut |name| {
            let output = generation(name.to_bytes(), OUTPUT);
            let ours = output.is_some() || generation(name.to_bytes(), RECORDS).is_some();
            let Ok(file) = dir.about(name) else { return };
            if !ours || !file.regular || (expired(file.mtime, today, rules.keep) && dir.unlink(name).is_ok()) {
                return;
            }
            if let Some(number) = output {
                (count, lowest) = (count + 1, lowest.min(number));
            }
        });
        if count <= rules.files || dir.unlink(as_name(&renamed(OUTPUT, lowest))).is_err() {
            return;
        }
    }
}

/// Opens a file of that name, if it is one that vsrun would write to.
///
/// # Errors
/// Those of the file system; EEXIST when it is none.
fn open_ours(dir: &Dir, of: Word, how: How) -> sys::Result<(OwnedFd, About)> {
    let file = dir.file(of, how, 0)?;
    let about = dir::about(file.as_fd())?;
    if about.regular && about.links == 1 { Ok((file, about)) } else { Err(Errno::EXIST) }
}

/// Opens the server's file to write it, or begins a new one.
///
/// # Errors
/// Those of the file system.
pub fn open_output(dir: &Dir, rules: &Rules) -> sys::Result<OwnedFd> {
    match open_ours(dir, OUTPUT, How::Existing) {
        Ok((file, _)) => Ok(file),
        Err(_) => begin_output(dir, rules),
    }
}

/// Begins a new file for the server, to be written by the writer.
///
/// # Errors
/// Those of the file system.
pub fn begin_output(dir: &Dir, rules: &Rules) -> sys::Result<OwnedFd> {
    begin(dir, OUTPUT, How::New, rules.owner)
}

/// A new file of that name, whatever was there before renamed.
fn begin(dir: &Dir, of: Word, how: How, owner: Option<(u32, u32)>) -> sys::Result<OwnedFd> {
    for _ in 0..PATIENCE {
        match dir.file(of, how, FILE_MODE) {
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
        match dir.rename(of, as_name(&renamed(of, number))) {
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
    result.map_err(|why| refused(path, why))
}

fn refused(path: &CStr, why: Errno) -> Error {
    let (shown, reason) = (Clean(path.to_bytes()), ownership::missing(why));
    Error::refused(format_args!("logdir '{shown}': {}{reason}", sys::words(why)))
}

fn as_name(name: &FileName) -> &CStr {
    CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default()
}

#[inline(never)]
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
    // While it is ours: afterwards that takes CAP_FOWNER.
    dir::permit(dir.as_fd(), DIR_MODE)?;
    if let Some((uid, gid)) = owner {
        dir::give(dir.as_fd(), uid, gid)?;
    }
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
