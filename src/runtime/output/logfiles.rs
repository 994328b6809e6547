//! The files of one log directory: creates, renames, reopens, and finally deletes them.
//!
//! The directory may belong to the user, and the user may plant anything in it. So names are looked up in the directory
//! that is held open, no link is followed, no file is ever replaced, and only files with the names of log files are
//! touched. Where others may write, no existing file is opened for writing: a check of its owner or links proves
//! nothing, since both may change right after it. A directory may be huge, so each call examines only a part of it: the
//! supervisor has other work.

use crate::logic::base::time::Span;
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::formats::log_name::{
    FileName, LogPolicy, LowestRotationNumbers, MAX_ROTATION_NUMBER, OUTPUT_FILE, VSRUN_LOG_FILE, is_expired,
    rotated_name, rotation_number, taken_rotation_number,
};
use crate::logic::plan::path_trust::PathTrustCheck;
use crate::runtime::resources::walk::PathWalk;
use crate::sys::dir::{self, Dir, FileStat, OpenMode};
use crate::sys::{self, Errno, clock, credentials, path_walk, shared_counters};

/// The number of attempts to create or rename a file while other processes take its name first.
const NAME_ATTEMPTS: u32 = 100;
/// How much of a directory one call examines, in blocks of getdents(2): 16 contain about 800 names.
const BLOCKS_PER_SWEEP_PART: usize = 16;
/// The maximum number of passes of one sweep through the directory.
const MAX_PASSES: u8 = 100;
const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// An open directory with log files.
pub struct LogFileDir {
    /// The directory, for name lookup and listing.
    pub dir: Dir,
    /// The owner, mode and identity of the directory.
    pub about: FileStat,
    /// True if other users may create and remove names in the directory.
    others_may_write: bool,
}

impl LogFileDir {
    /// Opens the directory, and creates it if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be opened, or root must not trust it.
    pub fn open_or_make(path: &CStr, owner: Option<(u32, u32)>, walk: &mut PathWalk) -> sys::Result<Self> {
        walk.go_to_or_create(path, owner, Some(DIR_MODE))?;
        Self::from_walk(path, owner, walk)
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// When the directory cannot be opened, or root must not trust it.
    pub fn open(path: &CStr, owner: Option<(u32, u32)>, walk: &mut PathWalk) -> sys::Result<Self> {
        walk.go_to(path)?;
        Self::from_walk(path, owner, walk)
    }

    /// Uses the directory that a walk has reached.
    ///
    /// # Errors
    /// When the directory cannot be listed, or root must not trust it.
    pub fn from_walk(path: &CStr, owner: Option<(u32, u32)>, walk: &mut PathWalk) -> sys::Result<Self> {
        walk.verify_log_dir_owner(path, owner)?;
        let others_may_write = walk.is_in_shared_dir();
        Ok(Self { dir: path_walk::open_for_listing(walk.fd())?, about: walk.reached_dir_stat, others_may_write })
    }

    /// Uses the directory that the rotator has inherited. If it belongs to the user, the rotator runs as that user and
    /// can do no more than the user can.
    ///
    /// # Errors
    /// The errors of fstat(2).
    pub fn from_inherited(dir: Dir, policy: &LogPolicy) -> sys::Result<Self> {
        let (about, own) = (dir::fstat(dir.as_fd())?, credentials::effective_uid());
        let is_shared = PathTrustCheck::new(own, own).is_shared_dir(about.owner, about.mode);
        let others_may_write = is_shared && policy.output_owner.is_none_or(|(uid, _)| uid != about.owner);
        Ok(Self { dir, about, others_may_write })
    }

    /// Opens the directory a second time, because getdents(2) moves the offset of the open file.
    ///
    /// # Errors
    /// The errors of open(2).
    pub fn reopen_dir(&self) -> sys::Result<OwnedFd> {
        path_walk::open_for_listing(self.dir.as_fd()).map(|dir| dir.0)
    }

    /// True if a name in the directory names this open file.
    pub fn is_file_named(&self, name: &CStr, file: BorrowedFd<'_>) -> bool {
        self.dir.lstat(name).is_ok_and(|there| dir::fstat(file).is_ok_and(|file| file.id == there.id))
    }

    /// Opens the file with this name to continue it, if no other user could have planted it; otherwise begins a new
    /// one.
    ///
    /// # Errors
    /// The errors of the file system; EEXIST if the file is not one to which vsrun would write.
    pub fn reopen_or_begin_file(
        &self,
        file_name: StaticCStr,
        open_mode: OpenMode,
        create_mode: OpenMode,
        owner: Option<(u32, u32)>,
    ) -> sys::Result<OwnedFd> {
        if !self.others_may_write {
            match self.open_single_link(file_name, open_mode) {
                Err(Errno::NOENT) => {}
                result => return result.map(|(file, _)| file),
            }
        }
        self.begin_file(file_name, create_mode, owner)
    }

    /// Opens the file with this name, if it is a regular file with a single link.
    ///
    /// # Errors
    /// The errors of the file system; EEXIST if it is not such a file.
    pub fn open_single_link(&self, file_name: StaticCStr, open_mode: OpenMode) -> sys::Result<(OwnedFd, FileStat)> {
        let file = self.dir.open_file(file_name, open_mode, 0)?;
        let about = dir::fstat(file.as_fd())?;
        if about.regular && about.links == 1 { Ok((file, about)) } else { Err(Errno::EXIST) }
    }

    /// Begins a file at a start. Even if all numbers are taken, the start must not fail: then the existing file is
    /// continued, or renamed with a number above the maximum.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn begin_file_at_start(
        &self,
        file_name: StaticCStr,
        create_mode: OpenMode,
        open_mode: OpenMode,
        owner: Option<(u32, u32)>,
    ) -> sys::Result<OwnedFd> {
        match self.begin_file(file_name, create_mode, owner) {
            Err(Errno::OVERFLOW) if !self.others_may_write => {
                self.open_single_link(file_name, open_mode).map(|(file, _)| file)
            }
            Err(Errno::OVERFLOW) => {
                self.rename_to_free_number(file_name, MAX_ROTATION_NUMBER + 1)?;
                self.begin_file(file_name, create_mode, owner)
            }
            result => result,
        }
    }

    /// Creates a file with this name, after renaming the file that has the name.
    ///
    /// # Errors
    /// The errors of the file system; EOVERFLOW if all numbers are taken.
    pub fn begin_file(
        &self,
        file_name: StaticCStr,
        create_mode: OpenMode,
        owner: Option<(u32, u32)>,
    ) -> sys::Result<OwnedFd> {
        for _ in 0..NAME_ATTEMPTS {
            match self.dir.open_file(file_name, create_mode, FILE_MODE) {
                Ok(file) => {
                    dir::fchmod(file.as_fd(), FILE_MODE)?;
                    if let Some((uid, gid)) = owner {
                        dir::fchown(file.as_fd(), uid, gid)?;
                    }
                    return Ok(file);
                }
                Err(Errno::EXIST) => self.move_aside(file_name)?,
                Err(why) => return Err(why),
            }
        }
        Err(Errno::EXIST)
    }

    /// Renames a file: appends a number that is greater than all earlier ones.
    ///
    /// # Errors
    /// The errors of the file system; EOVERFLOW if all numbers are taken.
    pub fn move_aside(&self, file_name: StaticCStr) -> sys::Result<()> {
        let highest = highest_number(file_name);
        if highest.load(Ordering::Relaxed) == 0 {
            self.scan_numbers()?;
        }
        // The number of a renamed file is used only once, even if that file was deleted.
        let next = highest.load(Ordering::Relaxed).saturating_add(1);
        if next > MAX_ROTATION_NUMBER {
            return Err(Errno::OVERFLOW);
        }
        let number = self.rename_to_free_number(file_name, next)?;
        highest.fetch_max(number, Ordering::Relaxed);
        Ok(())
    }

    /// Renames a file: appends the first free number from `first` on. Returns the number.
    fn rename_to_free_number(&self, file_name: StaticCStr, first: u32) -> sys::Result<u32> {
        for number in first..first.saturating_add(NAME_ATTEMPTS) {
            match self.dir.rename_noreplace(file_name, as_name(&rotated_name(file_name, number))) {
                Err(Errno::EXIST) => {}
                // If another process has removed the file, its name is free as well.
                Ok(()) | Err(Errno::NOENT) => return Ok(number),
                Err(why) => return Err(why),
            }
        }
        Err(Errno::EXIST)
    }

    /// Finds the highest numbers of renamed files in the first `8 * BLOCKS_PER_SWEEP_PART` blocks of the directory. A
    /// sweep reads the rest later.
    fn scan_numbers(&self) -> sys::Result<()> {
        self.dir.rewind()?;
        self.dir.list_next_names(BLOCKS_PER_SWEEP_PART * 8, &mut |name| raise_highest_number(name)).map(drop)
    }
}

/// The highest known number of renamed files with this base name; 0 before the first is found.
fn highest_number(file_name: StaticCStr) -> &'static AtomicU32 {
    let [records, output] = shared_counters::shared_or_own();
    if file_name == VSRUN_LOG_FILE { records } else { output }
}

/// Raises the highest number to the number in a name.
fn raise_highest_number(name: &CStr) {
    for of in [VSRUN_LOG_FILE, OUTPUT_FILE] {
        if let Some(number) = taken_rotation_number(name.to_bytes(), of) {
            highest_number(of).fetch_max(number, Ordering::Relaxed);
        }
    }
}

/// A sweep through a log directory, which deletes renamed files that are too old or too many. Each call of `sweep_part`
/// examines one part of the directory.
#[derive(Default)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct LogSweep {
    /// The number of the current pass; 0 if no sweep is running.
    pass_number: u8,
    output_file_count: u64,
    lowest: LowestRotationNumbers,
}

impl LogSweep {
    /// Examines the next part of the directory. Returns true if the sweep is over.
    pub fn sweep_part(&mut self, file_dir: &LogFileDir, policy: &LogPolicy) -> bool {
        if self.pass_number == 0 {
            self.begin_pass(file_dir);
        }
        let (today, _) = clock::wall_secs_and_millis();
        let dir = &file_dir.dir;
        let more = dir.list_next_names(BLOCKS_PER_SWEEP_PART, &mut |name| {
            raise_highest_number(name);
            let output = rotation_number(name.to_bytes(), OUTPUT_FILE);
            let is_ours = output.is_some() || rotation_number(name.to_bytes(), VSRUN_LOG_FILE).is_some();
            if !is_ours {
                return;
            }
            let Ok(file) = dir.lstat(name) else { return };
            if !file.regular || (is_expired(file.mtime, today, policy.max_age) && dir.unlink(name).is_ok()) {
                return;
            }
            if let Some(number) = output {
                self.output_file_count += 1;
                self.lowest.insert(number);
            }
        });
        if more == Ok(true) {
            return false;
        }
        while self.output_file_count > policy.max_rotated_files
            && let Some(number) = self.lowest.pop_lowest()
        {
            if dir.unlink(as_name(&rotated_name(OUTPUT_FILE, number))).is_err() {
                // A file that cannot be deleted must not be retried for ever.
                self.pass_number = MAX_PASSES;
                break;
            }
            self.output_file_count -= 1;
        }
        if more.is_err() || self.output_file_count <= policy.max_rotated_files || self.pass_number >= MAX_PASSES {
            self.pass_number = 0;
            return true;
        }
        self.begin_pass(file_dir);
        false
    }

    fn begin_pass(&mut self, file_dir: &LogFileDir) {
        *self = Self { pass_number: self.pass_number + 1, ..Self::default() };
        let _ = file_dir.dir.rewind();
    }
}

fn as_name(name: &FileName) -> &CStr {
    CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default()
}

/// The interval between two sweeps for old files.
pub const SWEEP_INTERVAL: Span = Span::secs(3600);
