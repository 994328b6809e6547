//! Finds the processes that have a pidfile open and locked, from /proc.

use core::ffi::CStr;
use core::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::error::Error;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::ArrayText;
use crate::logic::base::time::parse_number;
use crate::logic::control::{ObservedLock, PidfileContents};
use crate::logic::formats::proc;
use crate::logic::formats::proc::{ProcLockSupport, fdinfo_has_lock};
use crate::runtime::report::os_error::errno_text;
use crate::sys::dir::{self, Dir, FileStat, OpenMode};
use crate::sys::pidfd::Process;
use crate::sys::{Errno, credentials, file_contents};

/// Identifies a pidfile, to find in /proc the process that has it open and locked.
#[derive(Clone, Copy)]
pub struct LockHolderFinder {
    /// The device and inode of the file.
    identity: (u64, u64),
    owner: u32,
    /// True if only root and our own user can write to the file.
    pub only_we_can_write: bool,
}

impl LockHolderFinder {
    /// Prepares the search for the processes that have the file with these attributes locked.
    pub fn new(about: &FileStat) -> Self {
        let only_we_can_write = [0, credentials::effective_uid()].contains(&about.owner) && about.mode & 0o022 == 0;
        Self { identity: about.id, owner: about.owner, only_we_can_write }
    }

    /// Opens the process with this pid, if it exists, and checks whether it has the file open and locked. If
    /// `parent_pid` is given, stores the pid of the process's parent there.
    pub fn examine_process(&self, pid: i32, parent_pid: Option<&mut i32>) -> (Option<Process>, ObservedLock) {
        let proc_dir = proc_dir_path(pid);
        let proc_dir = CStr::from_bytes_until_nul(proc_dir.as_bytes()).unwrap_or_default();
        let process = match Process::open(pid, proc_dir) {
            Ok(process) => process,
            Err(Errno::SRCH | Errno::INVAL) => return (None, ObservedLock::NotHeld),
            Err(_) => return (None, ObservedLock::Unreadable),
        };
        let held = self.observe_lock_and_parent(proc_dir, parent_pid);
        // Signal 0 shows that the process has not been reaped. So its pid was not reused, and everything that was read
        // under that pid is about this process.
        let reaped = process.send(0) == Err(Errno::SRCH);
        (Some(process), if reaped { ObservedLock::NotHeld } else { held })
    }

    fn observe_lock_and_parent(&self, proc_dir: &CStr, parent: Option<&mut i32>) -> ObservedLock {
        let Some(visibility) = proc_lock_visibility() else { return ObservedLock::Unreadable };
        if visibility == ProcLockSupport::OtherPidNamespace {
            return ObservedLock::NotHeld;
        }
        let Ok(proc_dir) = Dir::open_for_lookup(proc_dir) else { return ObservedLock::Unreadable };
        if let Some(parent) = parent {
            *parent = proc::parent_pid(read_proc_start(&proc_dir, c"stat", &mut [0; 512])).unwrap_or(0);
        }
        self.lock_held_by_process(&proc_dir, visibility)
    }

    /// Whether a process has the file open and locked. If the first thread has exited and others still run, /proc shows
    /// the descriptors only in the directories of those threads.
    fn lock_held_by_process(&self, proc_dir: &Dir, visibility: ProcLockSupport) -> ObservedLock {
        // If the pidfile belongs neither to root nor to vsrun's user, a process of any user except the file's owner is
        // ignored.
        let owner = self.owner;
        let is_other_user = || !dir::fstat(proc_dir.as_fd()).is_ok_and(|proc_dir| proc_dir.owner == owner);
        if owner != 0 && owner != credentials::effective_uid() && is_other_user() {
            return ObservedLock::NotHeld;
        }
        let held = self.lock_held_by_thread(proc_dir, visibility);
        if held != ObservedLock::NotHeld {
            return held;
        }
        let Ok(threads) = proc_dir.open_dir(c"task") else { return held };
        let mut found = held;
        let _ = threads.for_each_name(&mut |name| {
            if found == ObservedLock::NotHeld
                && is_number(name)
                && let Ok(thread) = threads.open_dir(name)
            {
                found = self.lock_held_by_thread(&thread, visibility);
            }
        });
        found
    }

    fn lock_held_by_thread(&self, proc_dir: &Dir, visibility: ProcLockSupport) -> ObservedLock {
        let (Ok(fds), Ok(infos)) = (proc_dir.open_dir(c"fd"), proc_dir.open_dir(c"fdinfo")) else {
            return ObservedLock::Unreadable;
        };
        let mut held = ObservedLock::NotHeld;
        let listed = fds.for_each_name(&mut |fd| match fds.stat_target(fd) {
            Ok(about) if about.id == self.identity => {
                if visibility == ProcLockSupport::Missing || fdinfo_has_lock(read_proc_start(&infos, fd, &mut [0; 512]))
                {
                    held = ObservedLock::Held;
                }
            }
            Err(why) if held == ObservedLock::NotHeld && why == Errno::ACCESS => held = ObservedLock::Unreadable,
            // The descriptor refers to another file, or was closed in the meantime.
            Ok(_) | Err(_) => {}
        });
        if listed.is_ok() { held } else { ObservedLock::Unreadable }
    }

    /// Searches /proc for the processes that have the file open and locked. Returns the pid of the first one whose
    /// parent is not among them: the manager, or a server without one, and not a child that has inherited descriptors.
    /// None if there is no such process, or /proc does not show it.
    pub fn find_locking_process(&self) -> Option<i32> {
        let visibility =
            proc_lock_visibility().filter(|visibility| *visibility != ProcLockSupport::OtherPidNamespace)?;
        let proc = Dir::open(c"/proc").ok()?;
        let mut found: Vec<(i32, i32)> = Vec::new();
        let _ = proc.for_each_name(&mut |name| {
            if let Some(pid) = parse_number(name.to_bytes()).and_then(|pid| i32::try_from(pid).ok())
                && let Ok(proc_dir) = proc.open_dir(name)
                && self.lock_held_by_process(&proc_dir, visibility) == ObservedLock::Held
            {
                found.push((pid, proc::parent_pid(read_proc_start(&proc_dir, c"stat", &mut [0; 512])).unwrap_or(0)));
            }
        });
        let is_first = |(_, parent): &&(i32, i32)| !found.iter().any(|(pid, _)| pid == parent);
        found.iter().find(is_first).map(|(pid, _)| *pid)
    }
}

/// Reads the pid from a pidfile, or finds why there is none.
pub fn read_pidfile(file: BorrowedFd<'_>) -> PidfileContents {
    let mut line = [0; 16];
    match dir::pread_start(file, &mut line) {
        Ok(count) => PidfileContents::parse(line.get(..count).unwrap_or_default()),
        Err(why) => PidfileContents::Unreadable(errno_text(why)),
    }
}

/// Makes the error for a pidfile that another process has locked, with that process's pid if it can be found. The pid
/// in the file is verified, because it may be that of a dead server whose lock a child has inherited.
pub fn already_running_error(path: &CStr, file: BorrowedFd<'_>, about: &FileStat) -> Error {
    let locked = LockHolderFinder::new(about);
    let refused = |problem| Error::of(problem, path.to_bytes());
    let pid = match read_pidfile(file) {
        PidfileContents::Pid(pid) => pid,
        PidfileContents::Unreadable(_) => return refused(Problem::LockedUnreadable),
        PidfileContents::Empty | PidfileContents::Other => return refused(Problem::LockedWithoutPid),
    };
    let mut parent = 0;
    let (_, held) = locked.examine_process(pid, Some(&mut parent));
    let number = |pid: i32| pid.into();
    // The /proc of another pid namespace does not show the process.
    let is_visible = proc_lock_visibility().is_some_and(|visibility| visibility != ProcLockSupport::OtherPidNamespace);
    if held != ObservedLock::NotHeld || !is_visible || locked.examine_process(parent, None).1 != ObservedLock::NotHeld {
        return refused(Problem::LockedBy).with_number_arg(number(pid));
    }
    match locked.find_locking_process() {
        Some(holder) => refused(Problem::LockedByOther).with_number_arg(number(holder)),
        None => refused(Problem::LockedNotBy),
    }
    .with_number_arg(number(pid))
}

/// The path of a process's directory in /proc, with a NUL at its end.
fn proc_dir_path(pid: i32) -> ArrayText<32> {
    let mut proc_dir = ArrayText::new();
    let _ = write!(proc_dir, "/proc/{pid}\0");
    proc_dir
}

fn is_number(name: &CStr) -> bool {
    parse_number(name.to_bytes()).is_some()
}

/// Reads the beginning of a file in a process's directory in /proc, and parses it. None if there is no such process.
pub fn read_proc<T>(pid: i32, file: &CStr, parse: fn(&[u8]) -> Option<T>) -> Option<T> {
    let proc_dir = proc_dir_path(pid);
    let proc_dir = Dir::open_for_lookup(CStr::from_bytes_until_nul(proc_dir.as_bytes()).ok()?).ok()?;
    parse(read_proc_start(&proc_dir, file, &mut [0; 1024]))
}

/// What /proc shows of other processes: their locks, only their open files, or nothing, because it belongs to another
/// pid namespace. None if /proc is not mounted.
pub fn proc_lock_visibility() -> Option<ProcLockSupport> {
    let ours = Dir::open_for_lookup(c"/proc/self").ok()?;
    // Verify that the file system is procfs: a directory of any other file system could contain files with the same
    // names.
    if !file_contents::is_procfs(ours.as_fd()) {
        return None;
    }
    Some(ProcLockSupport::parse(read_proc_start(&ours, c"status", &mut [0; 8192])))
}

/// Reads the beginning of a file in /proc. Empty if it cannot be read.
pub fn read_proc_start<'a>(dir: &Dir, name: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    let count = dir
        .open_file(name, OpenMode::ReadOnly, 0)
        .and_then(|file: OwnedFd| dir::pread_start(file.as_fd(), buffer))
        .unwrap_or(0);
    buffer.get(..count).unwrap_or_default()
}
