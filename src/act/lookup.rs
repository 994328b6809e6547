//! The processes that have a pidfile open and locked, as /proc tells it.

use core::ffi::CStr;
use core::fmt::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::decide::control::{self, Hold, Line, Sight, has_lock};
use crate::decide::error::Error;
use crate::decide::text::{Clean, Text};
use crate::decide::time::number;
use crate::sys::contents;
use crate::sys::dir::{self, About, Dir, How};
use crate::sys::pidfd::Process;
use crate::sys::{Errno, identity};

/// A file that may be locked.
#[derive(Clone, Copy)]
pub struct Locked {
    /// Which file it is.
    identity: (u64, u64),
    owner: u32,
    /// Whether it can only be written by root and by our own user.
    pub trusted: bool,
}

impl Locked {
    /// The file that this was asked about.
    pub fn new(about: &About) -> Self {
        let trusted = [0, identity::effective_uid()].contains(&about.owner) && about.mode & 0o022 == 0;
        Self { identity: about.identity, owner: about.owner, trusted }
    }

    /// The process of that number, if there is one, and whether it has the file open, with the lock; and its parent's
    /// number, if that is asked for.
    #[inline(never)]
    pub fn process(&self, number: i32, parent: Option<&mut i32>) -> (Option<Process>, Hold) {
        let home = path(number);
        let home = CStr::from_bytes_until_nul(home.as_bytes()).unwrap_or_default();
        let process = match Process::open(number, home) {
            Ok(process) => process,
            Err(Errno::SRCH | Errno::INVAL) => return (None, Hold::Not),
            Err(_) => return (None, Hold::Unseen),
        };
        let hold = self.hold(home, parent);
        // As long as it was not reaped, what was asked by its number was about it.
        let reaped = process.send(0) == Err(Errno::SRCH);
        (Some(process), if reaped { Hold::Not } else { hold })
    }

    #[inline(never)]
    fn hold(&self, home: &CStr, parent: Option<&mut i32>) -> Hold {
        let Some(sight) = sight() else { return Hold::Unseen };
        if sight == Sight::Foreign {
            return Hold::Not;
        }
        let Ok(home) = Dir::open_path(home) else { return Hold::Unseen };
        if let Some(parent) = parent {
            *parent = control::parent(read(&home, c"stat", &mut [0; 512])).unwrap_or(0);
        }
        self.hold_of(&home, sight)
    }

    /// Whether a process has the file open, with the lock. Its first thread may have ended while others live; then only
    /// those have descriptors.
    #[inline(never)]
    fn hold_of(&self, home: &Dir, sight: Sight) -> Hold {
        // A file of a user who is neither root nor we may speak for that user's processes only.
        let owner = self.owner;
        let stranger = || !dir::about(home.as_fd()).is_ok_and(|home| home.owner == owner);
        if owner != 0 && owner != identity::effective_uid() && stranger() {
            return Hold::Not;
        }
        let hold = self.hold_of_thread(home, sight);
        if hold != Hold::Not {
            return hold;
        }
        let Ok(threads) = home.inner(c"task") else { return hold };
        let mut found = hold;
        let _ = threads.each(&mut |name| {
            if found == Hold::Not
                && is_number(name)
                && let Ok(thread) = threads.inner(name)
            {
                found = self.hold_of_thread(&thread, sight);
            }
        });
        found
    }

    fn hold_of_thread(&self, home: &Dir, sight: Sight) -> Hold {
        let (Ok(fds), Ok(infos)) = (home.inner(c"fd"), home.inner(c"fdinfo")) else { return Hold::Unseen };
        let mut hold = Hold::Not;
        let listed = fds.each(&mut |fd| match fds.about_target(fd) {
            Ok(about) if about.identity == self.identity => {
                if sight == Sight::Open || has_lock(read(&infos, fd, &mut [0; 512])) {
                    hold = Hold::Held;
                }
            }
            Err(why) if hold == Hold::Not && why == Errno::ACCESS => hold = Hold::Unseen,
            // Another file; or one that has been closed meanwhile.
            Ok(_) | Err(_) => {}
        });
        if listed.is_ok() { hold } else { Hold::Unseen }
    }

    /// Searches all processes for those that have the file open, with the lock. Returns the one whose parent has not: a
    /// manager, where a child of its own still has its descriptors. None: there is none, or /proc does not tell.
    #[inline(never)]
    pub fn search(&self) -> Option<i32> {
        let sight = sight().filter(|sight| *sight != Sight::Foreign)?;
        let proc = Dir::open(c"/proc").ok()?;
        let mut found: Vec<(i32, i32)> = Vec::new();
        let _ = proc.each(&mut |name| {
            if let Some(pid) = number(name.to_bytes()).and_then(|pid| i32::try_from(pid).ok())
                && let Ok(home) = proc.inner(name)
                && self.hold_of(&home, sight) == Hold::Held
            {
                found.push((pid, control::parent(read(&home, c"stat", &mut [0; 512])).unwrap_or(0)));
            }
        });
        let is_first = |(_, parent): &&(i32, i32)| !found.iter().any(|(pid, _)| pid == parent);
        found.iter().find(is_first).map(|(pid, _)| *pid)
    }
}

/// Why a pidfile cannot be had, and which process has it locked. The number in it may be that of a dead server whose lock a
/// child inherited.
#[inline(never)]
pub fn running(path: &CStr, file: BorrowedFd<'_>, about: &About) -> Error {
    let path = Clean(path.to_bytes());
    let mut buffer = [0; 16];
    let count = dir::head(file, &mut buffer).unwrap_or(0);
    let locked = Locked::new(about);
    let refused = |words: fmt::Arguments<'_>| Error::refused(format_args!("already running: {path} is locked{words}"));
    let Line::Pid(pid) = Line::parse(buffer.get(..count).unwrap_or_default()) else {
        return refused(format_args!(", and names no pid (a restart may be under way)"));
    };
    let mut parent = 0;
    let (_, hold) = locked.process(pid, Some(&mut parent));
    // Another namespace's /proc shows nothing of it.
    let sees = sight().is_some_and(|sight| sight != Sight::Foreign);
    if hold != Hold::Not || !sees || locked.process(parent, None).1 != Hold::Not {
        return refused(format_args!(" by pid {pid}"));
    }
    match locked.search() {
        Some(holder) => refused(format_args!(" by pid {holder}, not by pid {pid}, which it names")),
        None => refused(format_args!(", but not by pid {pid}, which it names")),
    }
}

/// The directory of a process in /proc, with a NUL after it.
fn path(pid: i32) -> Text<32> {
    let mut home = Text::new();
    let _ = write!(home, "/proc/{pid}\0");
    home
}

fn is_number(name: &CStr) -> bool {
    number(name.to_bytes()).is_some()
}

/// What a parser finds in a file of a process's directory in /proc.
pub fn of_process<T>(pid: i32, file: &CStr, parse: fn(&[u8]) -> Option<T>) -> Option<T> {
    let home = path(pid);
    let home = Dir::open_path(CStr::from_bytes_until_nul(home.as_bytes()).ok()?).ok()?;
    parse(read(&home, file, &mut [0; 1024]))
}

/// What /proc is good for; None where there is none.
pub fn sight() -> Option<Sight> {
    let ours = Dir::open_path(c"/proc/self").ok()?;
    // Any directory could have such names.
    if !contents::is_procfs(ours.as_fd()) {
        return None;
    }
    Some(Sight::parse(read(&ours, c"status", &mut [0; 8192])))
}

/// The beginning of a file in /proc; nothing where it cannot be read.
pub fn read<'a>(dir: &Dir, name: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    let count = dir.file(name, How::ReadOnly, 0).and_then(|file: OwnedFd| dir::head(file.as_fd(), buffer)).unwrap_or(0);
    buffer.get(..count).unwrap_or_default()
}
