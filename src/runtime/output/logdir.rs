//! The log directory of a start: its files begun, rotated, opened again, and its path followed.

use crate::runtime::output::logfiles::HOUR;
use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::log_child::LogChild;
use super::logfiles::{Folder, Sweep};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Result;
use crate::logic::base::time::Time;
use crate::logic::formats::log_name::{LogPolicy, OUTPUT, RECORDS, rotated_name};
use crate::logic::plan::program::Program;
use crate::runtime::resources::pidfile::split;
use crate::runtime::resources::walk::Walk;
use crate::sys::dir::{self, OpenMode};
use crate::sys::{self, Errno, access, clock, counters, pipe};

/// How many parts of the directory a start looks at.
const PARTS: usize = 1000;

/// An open logdir.
pub struct LogDir {
    /// As it is opened again.
    path: StaticCStr,
    folder: Folder,
    policy: LogPolicy,
    /// The server's file, or the pipe of its writer.
    output: OwnedFd,
    sweep: Sweep,
    next: Time,
}

/// What became of an attempt to begin new files.
pub enum Rotated {
    /// In the same directory. With the file of vsrun's own records, where that is a new one.
    Here(Option<OwnedFd>),
    /// In another directory, to which the path leads now.
    There(OwnedFd),
}

impl LogDir {
    /// Opens the directory, makes it if need be, renames what is there, and begins new files. Returns the logs, and
    /// the file for vsrun's own records.
    ///
    /// # Errors
    /// When that cannot be done.
    #[inline(never)]
    pub fn open(path: &CStr, later: StaticCStr, rules: LogPolicy) -> Result<(Box<Self>, OwnedFd)> {
        let mut walk = Walk::begin();
        let folder = Folder::open_or_make(path, rules.owner, &mut walk);
        let begun = folder.and_then(|folder| {
            let records = folder.begin_at_start(RECORDS, OpenMode::NewAppend, OpenMode::Append, None)?;
            let (new, old) = output_is_opened(&rules);
            let output = folder.begin_at_start(OUTPUT, new, old, rules.owner)?;
            Ok((folder, records, output))
        });
        let (folder, records, output) = begun.map_err(|why| walk.error("logdir", path, why))?;
        let (sweep, next) = (Sweep::default(), Time(clock::monotonic()));
        let mut logs = Box::new(Self { path: later, folder, policy: rules, output, sweep, next });
        for _ in 0..PARTS {
            if logs.sweep(Time(clock::monotonic())) {
                break;
            }
        }
        Ok((logs, records))
    }

    /// The directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.folder.dir.as_fd()
    }

    /// Where the server writes.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// The path of the directory.
    pub fn path(&self) -> StaticCStr {
        self.path
    }

    /// Puts a rotator between the server and its file. It runs as a user that may write to the directory: its owner,
    /// if that is the server's user.
    ///
    /// # Errors
    /// When the directory cannot be opened once more, or there is no pipe available.
    #[inline(never)]
    pub fn add_rotator(&mut self, program: Box<Program>) -> sys::Result<Box<LogChild>> {
        // Neither it nor the manager uses a number that the other has used.
        counters::share();
        let (pipe, write) = pipe::wide()?;
        // The server may open /dev/stdout, which is this pipe. Where it cannot be given, only that is lost.
        if let Some((uid, gid)) = self.policy.owner {
            let _ = dir::fchown(write.as_fd(), uid, gid);
        }
        let file = core::mem::replace(&mut self.output, write);
        let mut writer = LogChild::new("writer", program, pipe, Some(self.folder.again()?));
        writer.write_to(None, file, self.is_users());
        Ok(writer)
    }

    /// Whether the directory is the server's user's.
    fn is_users(&self) -> bool {
        self.policy.owner.is_none_or(|(uid, _)| self.folder.about.owner == uid)
    }

    /// Where the server's file ends now: which file, and how long it is.
    pub fn mark(&self) -> Mark {
        self.folder.dir.stat(OUTPUT).map_or((0, 0), |about| (about.id.1, about.size))
    }

    /// The server's file, to be read from there on; where it is another by now, from its beginning.
    pub fn read_from(&self, (file, place): Mark) -> sys::Result<OwnedFd> {
        let (reader, about) = self.folder.open_ours(OUTPUT, OpenMode::ReadOnly)?;
        dir::seek(reader.as_fd(), if about.id.1 == file { place } else { 0 })?;
        // What the user has put in its place must at least be his own.
        if self.policy.owner.is_none_or(|(uid, _)| about.owner == uid) { Ok(reader) } else { Err(Errno::EXIST) }
    }

    /// Renames the files and begins new ones, in the directory to which the path leads now. Where that fails, the old
    /// ones go on.
    ///
    /// # Errors
    /// Those of the way there, and of the file system.
    pub fn rotate(&mut self, writer: Option<&mut LogChild>, walk: &mut Walk) -> sys::Result<Rotated> {
        if let Some(folder) = self.moved(walk)? {
            return Ok(Rotated::There(self.move_to(folder, writer)?));
        }
        match writer {
            Some(writer) => {
                self.folder.move_aside(OUTPUT)?;
                writer.reopen();
            }
            None => self.output = self.folder.begin(OUTPUT, OpenMode::NewAppend, self.policy.owner)?,
        }
        (self.sweep, self.next) = (Sweep::default(), Time::default());
        Ok(Rotated::Here(Some(self.folder.begin(RECORDS, OpenMode::NewAppend, None)?)))
    }

    /// Reopens the file of vsrun's own records by its name: another process may have renamed it. A writer does the same
    /// with the server's.
    ///
    /// # Errors
    /// As those of [`Self::rotate`].
    pub fn reopen(
        &mut self,
        records: BorrowedFd<'_>,
        writer: Option<&mut LogChild>,
        walk: &mut Walk,
    ) -> sys::Result<Rotated> {
        if let Some(folder) = self.moved(walk)? {
            return Ok(Rotated::There(self.move_to(folder, writer)?));
        }
        if let Some(writer) = writer {
            writer.reopen();
        }
        if self.folder.is_named(RECORDS, records) {
            return Ok(Rotated::Here(None));
        }
        let records = self.folder.reopen(RECORDS, OpenMode::Append, OpenMode::NewAppend, None)?;
        Ok(Rotated::Here(Some(records)))
    }

    /// Whether another program has renamed a file as vsrun does, but from the other end: what logrotate does without
    /// `dateext`. It renames all others, too, so that the numbers say nothing any more.
    pub fn is_renumbered(&self, of: StaticCStr, file: BorrowedFd<'_>) -> bool {
        let name = rotated_name(of, 1);
        CStr::from_bytes_until_nul(name.as_bytes()).is_ok_and(|name| self.folder.is_named(name, file))
    }

    /// The directory to which the path leads now, if it is another one.
    fn moved(&self, walk: &mut Walk) -> sys::Result<Option<Folder>> {
        let folder = Folder::open(self.path, self.policy.owner, walk)?;
        Ok(Some(folder).filter(|folder| folder.about.id != self.folder.about.id))
    }

    /// Begins new files there. Returns the one of vsrun's own records.
    fn move_to(&mut self, folder: Folder, writer: Option<&mut LogChild>) -> sys::Result<OwnedFd> {
        let records = folder.begin(RECORDS, OpenMode::NewAppend, None)?;
        let output = folder.begin(OUTPUT, output_is_opened(&self.policy).0, self.policy.owner)?;
        let again = folder.again()?;
        self.folder = folder;
        match writer {
            Some(writer) => {
                writer.write_to(Some(again), output, self.is_users());
                writer.replace(Time(clock::monotonic()));
            }
            None => self.output = output,
        }
        (self.sweep, self.next) = (Sweep::default(), Time::default());
        Ok(records)
    }

    /// When old files are to be looked for again.
    pub fn deadline(&self) -> Time {
        self.next
    }

    /// Deletes renamed files that are too old, in a part of the directory. Nothing else in it is touched. Returns
    /// whether this was the last part.
    pub fn sweep(&mut self, now: Time) -> bool {
        let is_last = self.sweep.go_on(&self.folder, &self.policy);
        if is_last {
            self.next = now.after(HOUR);
        }
        is_last
    }
}

/// A place in a server's file: which file of its file system, and how many bytes are before it.
pub type Mark = (u64, u64);

/// How the server's file is opened when it is new, and when it is there. splice(2), of the rotator, takes none that is
/// open to append.
fn output_is_opened(rules: &LogPolicy) -> (OpenMode, OpenMode) {
    if rules.size == u64::MAX { (OpenMode::NewAppend, OpenMode::Append) } else { (OpenMode::New, OpenMode::Existing) }
}

/// Whether the directory could be opened, or made, and written to.
///
/// # Errors
/// Those that the start would have.
pub fn check(path: StaticCStr, owner: Option<(u32, u32)>) -> Result<()> {
    let mut there = path;
    loop {
        let mut walk = Walk::begin();
        let reached =
            walk.go_to(there).and_then(|()| if there == path { walk.belongs_to(path, owner) } else { Ok(()) });
        match reached.and_then(|()| access::may_write(there)) {
            Err(Errno::NOENT) => there = split(there).0,
            result => return result.map_err(|why| walk.error("logdir", path, why)),
        }
    }
}
