//! The server's control group: creates, enters, kills, and removes it.
//!
//! A process can leave its process group and its session, but not its control group: no process of a server is left
//! after its control group has been killed.

use core::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::parse_number;
use crate::logic::formats::cgroup::{self as group, ServerCgroup};
use crate::runtime::report::os_error::{add_errno, os_error_of};
use crate::runtime::resources::walk::PathWalk;
use crate::sys::dir::{Dir, OpenMode};
use crate::sys::process::{Pid, SignalTarget};
use crate::sys::{self, Errno, access, cgroup, poll, process};

/// The server's control group, created or found.
pub struct Cgroup {
    parent: Dir,
    name: StaticCStr,
    dir: Dir,
    /// True if vsrun has created the group.
    was_created: bool,
}

/// The file that shows whether processes are in a group or its subgroups.
const EVENTS_FILE: &CStr = c"cgroup.events";
/// The file that lists the processes of a group; writing a pid to it moves that process into the group.
const PROCS_FILE: &CStr = c"cgroup.procs";
/// The number of attempts to remove the group, and the pause between two attempts in milliseconds: its
/// killed processes have one second to exit.
const REMOVE_ATTEMPTS: u32 = 100;
const REMOVE_RETRY_PAUSE_MS: u64 = 10;
/// On a kernel without `cgroup.kill`: to what depth nested groups are searched for processes to kill, and how many
/// times.
const MAX_DEPTH: u32 = 16;
const KILL_ROUNDS: u32 = 100;

impl Cgroup {
    /// Creates the group or verifies that it is empty, and writes its settings.
    ///
    /// # Errors
    /// When it cannot be created or written to, or other processes are in it. A group that was created is then removed.
    pub fn acquire(wanted: &ServerCgroup) -> Result<Self> {
        let (parent, name) = open_parent(wanted.dir)?;
        let fail = |why| cgroup_error(wanted.dir, why);
        let made = cgroup::create_if_missing(&parent, name).map_err(fail)?;
        let dir = match parent.open_dir(name) {
            Ok(dir) => dir,
            Err(why) => {
                let _ = if made { cgroup::remove(&parent, name) } else { Ok(()) };
                return Err(fail(why));
            }
        };
        let claimed = Self { parent, name, dir, was_created: made };
        match claimed.verify_and_configure(wanted) {
            Ok(()) => Ok(claimed),
            Err(error) => {
                claimed.remove_if_created();
                Err(error)
            }
        }
    }

    fn verify_and_configure(&self, wanted: &ServerCgroup) -> Result<()> {
        verify_unused(&self.dir).map_err(|why| cgroup_error(wanted.dir, why))?;
        for (file, value) in &wanted.settings {
            if let Err(why) = cgroup::write(&self.dir, file, value.to_bytes()) {
                return Err(setting_error(&self.parent, wanted.dir, file, value, why));
            }
        }
        Ok(())
    }

    /// Moves this process into the group.
    ///
    /// # Errors
    /// The errors of the kernel; EPERM if the kernel reports success and the group is still empty.
    pub fn enter(&self) -> sys::Result<()> {
        cgroup::write(&self.dir, PROCS_FILE, b"0")?;
        // The group was empty before, so if a process is in it now, it is this process.
        if is_populated(&self.dir) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Kills every process in the group. Allocates nothing, and does not wait.
    pub fn kill(&self) {
        // The file cgroup.kill exists since Linux 5.14. Writing to it also kills processes that are just being forked.
        if cgroup::write(&self.dir, c"cgroup.kill", b"1").is_err() {
            for _ in 0..KILL_ROUNDS {
                if !is_populated(&self.dir) {
                    break;
                }
                kill_each(&self.dir, MAX_DEPTH);
            }
        }
    }

    /// Opens the file with the number of processes that the kernel has killed because memory ran out. None if the
    /// memory controller is not enabled.
    pub fn open_memory_events(&self) -> Option<OwnedFd> {
        self.dir.open_file(c"memory.events", OpenMode::ReadOnly, 0).ok()
    }

    /// Removes the group if vsrun has created it. Leaves it if the server has created groups inside, or if its
    /// processes have not exited within a second.
    pub fn remove_if_created(&self) {
        if !self.was_created {
            return;
        }
        for _ in 0..REMOVE_ATTEMPTS {
            // Removing the group fails while killed processes in it have not exited. It also fails if the server has
            // created groups inside; then the group is left.
            if cgroup::remove(&self.parent, self.name).is_ok() || !is_populated(&self.dir) {
                break;
            }
            poll::sleep_ms(REMOVE_RETRY_PAUSE_MS);
        }
    }
}

/// For `--check`: verifies what [`Cgroup::acquire`] would need, and creates nothing.
///
/// # Errors
/// The error that [`Cgroup::acquire`] would return, as far as it can be predicted.
pub fn check(wanted: &ServerCgroup) -> Result<()> {
    let (parent, name) = open_parent(wanted.dir)?;
    let may = match parent.open_dir(name) {
        Ok(dir) => verify_unused(&dir),
        Err(Errno::NOENT) => access::may_write(parent.as_fd(), c"."),
        Err(why) => Err(why),
    };
    may.map_err(|why| cgroup_error(wanted.dir, why))?;
    for (file, value) in &wanted.settings {
        if !is_controller_enabled(&parent, file.to_bytes()) {
            return Err(setting_error(&parent, wanted.dir, file, value, Errno::NOENT));
        }
    }
    Ok(())
}

/// Verifies that a group is empty, and that a process may be moved into it.
///
/// # Errors
/// EBUSY if processes are in the group or its subgroups: vsrun would kill them at the end of a run.
fn verify_unused(dir: &Dir) -> sys::Result<()> {
    let mut room = [0; 512];
    let count = cgroup::read(dir, EVENTS_FILE, &mut room)?;
    if group::has_equal_part(room.get(..count).unwrap_or_default(), b'\n', group::POPULATED_LINE) {
        return Err(Errno::BUSY);
    }
    access::may_write(dir.as_fd(), PROCS_FILE)
}

/// Opens the parent of the group. Returns it with the group's own name.
///
/// A user cannot create a symbolic link in a cgroup 2 file system, but the path to that file system may lead through a
/// user's link: then the user would choose where root creates a group, and which empty group root writes to.
fn open_parent(path: StaticCStr) -> Result<(Dir, StaticCStr)> {
    let (parent, name) = group::split_parent_and_name(path);
    let mut walk = PathWalk::new();
    match walk.go_to(parent).and_then(|()| walk.take()) {
        Ok(dir) if cgroup::is_group(&dir) => Ok((dir, name)),
        Ok(_) => Err(Error::of(Problem::NoCgroup, path.to_bytes()).with_name_arg(parent.to_bytes())),
        Err(why) => Err(walk.error(Problem::UseCgroup, path.to_bytes(), why)),
    }
}

fn cgroup_error(path: StaticCStr, why: Errno) -> Error {
    if why == Errno::BUSY {
        return Error::of(Problem::UseCgroup, path.to_bytes()).with_reason_arg(Reason::OtherProcesses);
    }
    os_error_of(Problem::UseCgroup, path.to_bytes(), why)
}

/// Makes the error for a setting (a file of the group) that could not be written.
fn setting_error(parent: &Dir, path: StaticCStr, file: StaticCStr, value: StaticCStr, why: Errno) -> Error {
    let error = Error::of(Problem::WriteSetting, value.to_bytes())
        .with_name_arg(path.to_bytes())
        .with_name_arg(file.to_bytes());
    let error = add_errno(error, why);
    match group::controller_of_file(file.to_bytes()) {
        Some(controller) if why == Errno::NOENT && !is_controller_enabled(parent, file.to_bytes()) => {
            let (above, _) = group::split_parent_and_name(path);
            Error::new(Problem::ControllerOff)
                .with_arg(MessageArg::Cause(error))
                .with_name_arg(controller)
                .with_name_arg(above.to_bytes())
        }
        _ => error,
    }
}

/// True if the controller to which a settings file belongs, such as memory for `memory.max`, is enabled for the
/// children of the group `parent`. Also true for files that belong to no controller.
fn is_controller_enabled(parent: &Dir, file: &[u8]) -> bool {
    group::controller_of_file(file)
        .is_none_or(|controller| has_equal_part(parent, c"cgroup.subtree_control", b' ', controller))
}

fn is_populated(dir: &Dir) -> bool {
    has_equal_part(dir, EVENTS_FILE, b'\n', group::POPULATED_LINE)
}

/// True if one of the parts of a group's file, split at `separator`, equals `part`.
fn has_equal_part(dir: &Dir, file: &CStr, separator: u8, part: &[u8]) -> bool {
    group::has_equal_part(read(dir, file, &mut [0; 512]), separator, part)
}

/// Reads a file of a group into `room`, and returns what fits. Empty if the file cannot be read.
pub fn read<'a>(dir: &Dir, file: &CStr, room: &'a mut [u8]) -> &'a [u8] {
    let count = cgroup::read(dir, file, room).unwrap_or(0);
    room.get(..count).unwrap_or_default()
}

/// Kills the processes of a group and of the groups nested in it, at most `depth` levels deep, one by one.
fn kill_each(dir: &Dir, depth: u32) {
    for line in split_byte(read(dir, PROCS_FILE, &mut [0; 4096]), b'\n') {
        if let Some(pid) = parse_number(line).and_then(|pid| i32::try_from(pid).ok()) {
            let _ = process::send(Signal::KILL.number(), SignalTarget::Process(Pid::new(pid)));
        }
    }
    if depth > 0 {
        let _ = dir.for_each_name(&mut |name: &CStr| {
            let inner = if name.to_bytes().starts_with(b".") { Err(Errno::NOENT) } else { dir.open_dir(name) };
            if let Ok(inner) = inner {
                kill_each(&inner, depth - 1);
            }
        });
    }
}
