//! The log directory of a server: creates, rotates and reopens its files, and follows its path when that leads to
//! another directory.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::log_child::{LogChild, RotatorUser};
use super::logfiles::{LogFileDir, LogSweep};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Result;
use crate::logic::base::problem::Problem;
use crate::logic::base::time::Time;
use crate::logic::formats::log_name::{LogPolicy, OUTPUT_FILE, VSRUN_LOG_FILE, rotated_name};
use crate::logic::plan::program::Program;
use crate::runtime::output::logfiles::SWEEP_INTERVAL;
use crate::runtime::resources::walk::PathWalk;
use crate::sys::dir::{self, OpenMode};
use crate::sys::{self, Errno, access, clock, pipe, shared_counters};

/// The maximum number of parts of the directory that a start examines for old files. See `LogSweep::sweep_part`.
const MAX_SWEEP_PARTS_AT_START: usize = 1000;

/// An open log directory, and the file or pipe to which the server writes.
#[repr(C)] // Small fields first: shorter instructions.
pub struct LogDir {
    /// The server's file, or the pipe to the rotator.
    output: OwnedFd,
    next_sweep_at: Time,
    /// The path by which the directory is opened again.
    path: StaticCStr,
    policy: LogPolicy,
    file_dir: LogFileDir,
    sweep: LogSweep,
}

/// Where a rotation, or a reopening after an external rename, has begun new files.
pub enum NewRecordsFile {
    /// In the same directory. Contains the new file of vsrun's own records, if one was begun.
    SameDir(Option<OwnedFd>),
    /// In another directory, to which the path leads now. Contains the new file of vsrun's own records.
    NewDir(OwnedFd),
}

impl LogDir {
    /// Opens the directory, creates it if it is missing, renames existing files, and begins new ones. A rotation
    /// opens the directory again by the second path. Returns the log directory, and the file for vsrun's own
    /// records.
    ///
    /// # Errors
    /// When the directory or a file cannot be opened.
    #[inline(never)]
    pub fn open_with_records_file(
        path: &CStr,
        reopen_path: StaticCStr,
        policy: LogPolicy,
    ) -> Result<(Box<Self>, OwnedFd)> {
        let mut walk = PathWalk::new();
        let file_dir = LogFileDir::open_or_make(path, policy.output_owner, &mut walk);
        let begun = file_dir.and_then(|file_dir| {
            let records = file_dir.begin_file_at_start(VSRUN_LOG_FILE, OpenMode::NewAppend, OpenMode::Append, None)?;
            let (new, old) = create_and_open_modes(&policy);
            let output = file_dir.begin_file_at_start(OUTPUT_FILE, new, old, policy.output_owner)?;
            Ok((file_dir, records, output))
        });
        let (file_dir, records, output) = begun.map_err(|why| walk.error(Problem::UseLogdir, path.to_bytes(), why))?;
        let (sweep, next_sweep_at) = (LogSweep::default(), Time(clock::monotonic_millis()));
        let mut logs = Box::new(Self { path: reopen_path, file_dir, policy, output, sweep, next_sweep_at });
        for _ in 0..MAX_SWEEP_PARTS_AT_START {
            if logs.sweep(Time(clock::monotonic_millis())) {
                break;
            }
        }
        Ok((logs, records))
    }

    /// The descriptor of the directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.file_dir.dir.as_fd()
    }

    /// The descriptor to which the server writes.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// The path of the directory.
    pub fn path(&self) -> StaticCStr {
        self.path
    }

    /// Puts a rotator between the server and its file. The rotator runs as the directory's owner if that is the
    /// server's user, and otherwise as vsrun's own user.
    ///
    /// # Errors
    /// When the directory cannot be opened a second time, or no pipe is available.
    pub fn add_rotator(&mut self, program: Box<Program>) -> sys::Result<Box<LogChild>> {
        // The counters of file numbers are in shared memory, so that the rotator and the manager never use the same
        // file number.
        shared_counters::share_with_children();
        let (pipe, write) = pipe::create_large()?;
        // Give the pipe to the server's user, so that the server may open it as /dev/stdout. Nothing else needs that,
        // so errors are ignored.
        if let Some((uid, gid)) = self.policy.output_owner {
            let _ = dir::fchown(write.as_fd(), uid, gid);
        }
        let file = core::mem::replace(&mut self.output, write);
        let mut writer = LogChild::new("writer", program, pipe, Some(self.file_dir.reopen_dir()?));
        writer.set_destination(None, file, self.rotator_user());
        Ok(writer)
    }

    /// The user that the rotator runs as: the server's user if the directory belongs to that user or the policy names
    /// no owner, and otherwise vsrun's own user.
    fn rotator_user(&self) -> RotatorUser {
        let is_users = self.policy.output_owner.is_none_or(|(uid, _)| self.file_dir.about.owner == uid);
        if is_users { RotatorUser::OfServer } else { RotatorUser::OfVsrun }
    }

    /// The current end of the server's file: its inode and its length. Zeros if there is no such file.
    pub fn output_end_position(&self) -> InodeAndOffset {
        self.file_dir.dir.lstat(OUTPUT_FILE).map_or((0, 0), |about| (about.id.1, about.size))
    }

    /// Opens the server's file to read it from a position on. If the name belongs to another file by now, reads that
    /// file from its beginning.
    pub fn open_output_at(&self, (file, place): InodeAndOffset) -> sys::Result<OwnedFd> {
        let (reader, about) = self.file_dir.open_single_link(OUTPUT_FILE, OpenMode::ReadOnly)?;
        dir::seek(reader.as_fd(), if about.id.1 == file { place } else { 0 })?;
        // The user may have replaced the file. The replacement must at least belong to the user.
        if self.policy.output_owner.is_none_or(|(uid, _)| about.owner == uid) { Ok(reader) } else { Err(Errno::EXIST) }
    }

    /// Renames the files and begins new ones, in the directory to which the path leads now. If that fails, the old
    /// files stay in use.
    ///
    /// # Errors
    /// The errors of the walk to the directory, and of the file system.
    pub fn rotate(&mut self, writer: Option<&mut LogChild>, walk: &mut PathWalk) -> sys::Result<NewRecordsFile> {
        if let Some(file_dir) = self.open_if_moved(walk)? {
            return Ok(NewRecordsFile::NewDir(self.begin_files_in(file_dir, writer)?));
        }
        match writer {
            Some(writer) => {
                self.file_dir.move_aside(OUTPUT_FILE)?;
                writer.reopen();
            }
            None => {
                self.output = self.file_dir.begin_file(OUTPUT_FILE, OpenMode::NewAppend, self.policy.output_owner)?
            }
        }
        (self.sweep, self.next_sweep_at) = (LogSweep::default(), Time::default());
        Ok(NewRecordsFile::SameDir(Some(self.file_dir.begin_file(VSRUN_LOG_FILE, OpenMode::NewAppend, None)?)))
    }

    /// Reopens the file of vsrun's own records by its name, because another process may have renamed it. The rotator
    /// reopens the server's file. If the path leads to another directory now, new files are begun there instead.
    ///
    /// # Errors
    /// The errors of [`Self::rotate`].
    pub fn reopen(
        &mut self,
        records: BorrowedFd<'_>,
        writer: Option<&mut LogChild>,
        walk: &mut PathWalk,
    ) -> sys::Result<NewRecordsFile> {
        if let Some(file_dir) = self.open_if_moved(walk)? {
            return Ok(NewRecordsFile::NewDir(self.begin_files_in(file_dir, writer)?));
        }
        if let Some(writer) = writer {
            writer.reopen();
        }
        if self.file_dir.is_file_named(VSRUN_LOG_FILE, records) {
            return Ok(NewRecordsFile::SameDir(None));
        }
        let records =
            self.file_dir.reopen_or_begin_file(VSRUN_LOG_FILE, OpenMode::Append, OpenMode::NewAppend, None)?;
        Ok(NewRecordsFile::SameDir(Some(records)))
    }

    /// True if another program numbers renamed files too, so that the newest has the number 1 and all others are
    /// renamed each time, as logrotate does without `dateext`. Then the numbers do not show which file is old.
    pub fn is_renumbered_by_others(&self, file_name: StaticCStr, file: BorrowedFd<'_>) -> bool {
        let Ok(first) = self.stat_rotated(file_name, 1) else { return false };
        // The modification times show which renamed file is the newest if the file has only one writer: so it is with
        // vsrun's own records, and with the server's file if there is a rotator. Without a rotator, a process that the
        // server has left behind may still write to any renamed file.
        let by_age = file_name == VSRUN_LOG_FILE || self.policy.max_file_bytes != u64::MAX;
        dir::fstat(file).is_ok_and(|file| file.id == first.id)
            || by_age && self.stat_rotated(file_name, 2).is_ok_and(|second| first.mtime > second.mtime)
    }

    fn stat_rotated(&self, file_name: StaticCStr, number: u32) -> sys::Result<dir::FileStat> {
        let name = rotated_name(file_name, number);
        self.file_dir.dir.lstat(CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default())
    }

    /// Opens the directory to which the path leads now. None if that is the directory in use.
    fn open_if_moved(&self, walk: &mut PathWalk) -> sys::Result<Option<LogFileDir>> {
        let file_dir = LogFileDir::open(self.path, self.policy.output_owner, walk)?;
        Ok(Some(file_dir).filter(|file_dir| file_dir.about.id != self.file_dir.about.id))
    }

    /// Begins new files in another directory. Returns the file of vsrun's own records.
    fn begin_files_in(&mut self, file_dir: LogFileDir, writer: Option<&mut LogChild>) -> sys::Result<OwnedFd> {
        let records = file_dir.begin_file(VSRUN_LOG_FILE, OpenMode::NewAppend, None)?;
        let output =
            file_dir.begin_file(OUTPUT_FILE, create_and_open_modes(&self.policy).0, self.policy.output_owner)?;
        let again = file_dir.reopen_dir()?;
        self.file_dir = file_dir;
        match writer {
            Some(writer) => {
                writer.set_destination(Some(again), output, self.rotator_user());
                writer.replace(Time(clock::monotonic_millis()));
            }
            None => self.output = output,
        }
        (self.sweep, self.next_sweep_at) = (LogSweep::default(), Time::default());
        Ok(records)
    }

    /// When the next sweep for old files is due.
    pub fn next_sweep_time(&self) -> Time {
        self.next_sweep_at
    }

    /// Examines one part of the directory, and deletes renamed files that are too old or too many. Nothing else is
    /// touched. Returns true if the sweep is over.
    pub fn sweep(&mut self, now: Time) -> bool {
        let is_last = self.sweep.sweep_part(&self.file_dir, &self.policy);
        if is_last {
            self.next_sweep_at = now.after(SWEEP_INTERVAL);
        }
        is_last
    }
}

/// A position in a server's file: the inode of the file, and the number of bytes before the position.
pub type InodeAndOffset = (u64, u64);

/// How the server's file is opened: the mode to create it, and the mode if it exists. The rotator must not open it with
/// O_APPEND, because splice(2) refuses that.
fn create_and_open_modes(policy: &LogPolicy) -> (OpenMode, OpenMode) {
    if policy.max_file_bytes == u64::MAX {
        (OpenMode::NewAppend, OpenMode::Append)
    } else {
        (OpenMode::NewReadWrite, OpenMode::ReadWrite)
    }
}

/// Verifies that the directory could be opened or created, and written to. Creates nothing.
///
/// # Errors
/// The error that the start would report.
pub fn check(path: StaticCStr, owner: Option<(u32, u32)>) -> Result<()> {
    let mut walk = PathWalk::new();
    let reached = match walk.go_to_or_create(path, owner, None) {
        Ok(()) => LogFileDir::from_walk(path, owner, &mut walk).map(drop),
        // The walk has stopped at the last directory that exists. The start would create the missing ones in it.
        Err(Errno::EXIST) => Ok(()),
        result => result,
    };
    let result = reached.and_then(|()| access::may_write(walk.fd(), c"."));
    result.map_err(|why| walk.error(Problem::UseLogdir, path.to_bytes(), why))
}
