//! What PID 1 of a machine does before and after the server: it mounts missing file systems, handles Ctrl-Alt-Del in
//! place of the kernel, and shuts the machine down.

use core::ffi::CStr;
use std::os::fd::AsFd;

use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::{ArrayText, split_byte};
use crate::logic::cli::options::Options;
use crate::logic::formats::pid1_mounts::MountSet;
use crate::logic::supervisor::policy::AtExit;
use crate::runtime::report::log;
use crate::runtime::report::os_error::{add_errno, os_error};
use crate::runtime::resources::cgroup::read;
use crate::runtime::resources::walk::PathWalk;
use crate::sys::dir::{self, Dir};
use crate::sys::mount::{self, Flags};
use crate::sys::power::{self, ShutdownKind};
use crate::sys::{Errno, cgroup, fd, process};

/// If this is PID 1, mounts the requested file systems and, if it supervises a server, lets the kernel report
/// Ctrl-Alt-Del to it. Must be called before anything else, because everything else needs the file systems.
///
/// # Errors
/// When an option for PID 1 is given and this is not PID 1, or when a file system cannot be mounted.
pub fn mount_and_take_ctrl_alt_del(options: &Options) -> Result<()> {
    let option = if options.mounts.is_some() {
        Some(Reason::Mount)
    } else if options.at_exit.is_some() {
        Some(Reason::AtExit)
    } else if options.on_signal_ends_machine() {
        Some(Reason::EndsMachine)
    } else {
        None
    };
    if option.is_none() && !options.is_supervised() {
        return Ok(());
    }
    if !process::is_pid1() {
        return option.map_or(Ok(()), |option| Err(Error::new(Problem::NotPid1).with_reason_arg(option)));
    }
    if let Some(mounts) = options.mounts {
        mount_all(mounts)?;
    }
    if options.is_supervised() {
        power::disable_ctrl_alt_del();
    }
    Ok(())
}

#[inline(never)]
fn mount_all(mounts: MountSet) -> Result<()> {
    for one in mounts.list() {
        if mount::is_mounted(one.target) {
            continue;
        }
        // If the directory of a mount cannot be created, mount(2) fails too.
        let _ = PathWalk::new().go_to_or_create(one.target, None, Some(0o755));
        let flags = Flags { noexec: one.noexec, allow_devices: one.allows_devices };
        match mount::mount(one.fs_type, one.target, flags, one.data) {
            // Another process has already mounted the file system, for example the kernel.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(why) => {
                let error = Error::of(Problem::Mount, one.fs_type.to_bytes()).with_name_arg(one.target.to_bytes());
                return Err(add_errno(error, why));
            }
        }
        if one.target == c"/dev" {
            // udev usually creates the links from /dev/stdin, /dev/stdout, /dev/stderr and /dev/fd to /proc/self/fd.
            // Programs that log to /dev/stdout need them.
            for (to, path) in &[
                (c"/proc/self/fd", c"/dev/fd"),
                (c"fd/0", c"/dev/stdin"),
                (c"fd/1", c"/dev/stdout"),
                (c"fd/2", c"/dev/stderr"),
            ] {
                let _ = mount::symlink(to, path);
            }
        }
        if one.fs_type == c"cgroup2" {
            enable_controllers(one.target);
        }
    }
    Ok(())
}

/// Enables every controller for the control groups below the root group. --cgroup-set needs that, and no other process
/// does it.
fn enable_controllers(root: &CStr) {
    let Ok(root) = Dir::open_for_lookup(root) else { return };
    // The last name in cgroup.controllers ends with a newline, which the kernel ignores when the name is written.
    for name in split_byte(read(&root, c"cgroup.controllers", &mut [0; 512]), b' ') {
        let mut word = ArrayText::<256>::new();
        word.push(b"+");
        word.push(name);
        let _ = cgroup::write(&root, c"cgroup.subtree_control", word.as_bytes());
    }
}

/// Shuts the machine down, instead of letting PID 1 exit. Returns if this is not PID 1, or the kernel refuses. Not
/// inlined: `main` is on the stack as long as the server is supervised, and would need another page of stack for this.
#[inline(never)]
pub fn shut_down_machine(at_exit: AtExit) {
    if process::is_pid1() {
        // The kernel lets PID 1 disable Ctrl-Alt-Del on a machine only, not in a container, whose file systems may be
        // the host's.
        if power::disable_ctrl_alt_del() {
            remount_disks_read_only();
        }
        let why = power::reboot(match at_exit {
            AtExit::Poweroff => ShutdownKind::Off,
            AtExit::Reboot => ShutdownKind::Reboot,
            AtExit::Halt => ShutdownKind::Halt,
        });
        log::print_error(&os_error(Problem::EndMachine, why));
    }
}

/// Makes the file systems of disks read-only, so that they are clean at the next boot. One with a file that is still
/// open for writing stays writable. Allocates nothing.
fn remount_disks_read_only() {
    let mut list = [0; 4096];
    let count =
        dir::open_readonly(c"/proc/self/mounts").and_then(|file| fd::read_full(file.as_fd(), &mut list)).unwrap_or(0);
    let _ = mount::make_read_only(c"/");
    for line in split_byte(list.get(..count).unwrap_or_default(), b'\n') {
        let mut fields = split_byte(line, b' ');
        let is_disk = fields.next().is_some_and(|device| device.starts_with(b"/"));
        if let Some(target) = fields.next().filter(|_| is_disk) {
            let mut path = ArrayText::<256>::new();
            path.push(target);
            path.end_with(0);
            let _ = mount::make_read_only(CStr::from_bytes_until_nul(path.as_bytes()).unwrap_or_default());
        }
    }
}
