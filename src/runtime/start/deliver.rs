//! Sends signals to processes of other users, with CAP_KILL or without it.
//!
//! A container often has the capabilities CAP_SETUID and CAP_SETGID, and not CAP_KILL: then vsrun could start a server
//! as another user, and never stop it. So a signal that kill(2) refuses is sent by a short-lived child that takes the
//! target's user (`sys::signal_as_user`).

use super::exec_image::ExecImage;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::MessageArg;
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::Signal;
use crate::logic::control;
use crate::logic::plan::step::Step;
use crate::runtime::resources::pidfile_lock_holder::read_proc;
use crate::sys::dir;
use crate::sys::pidfd::Process;
use crate::sys::process::{self, Pid, SignalTarget};
use crate::sys::{self, Errno, caps, credentials, signal_as_user};

/// The capabilities that would allow a signal which the kernel has refused with this errno, for the end of a message.
pub fn needed_capability(why: Errno) -> MessageArg<'static> {
    if why == Errno::PERM { MessageArg::Reason(Reason::NeedsKill) } else { MessageArg::None }
}

/// Sends a signal to a process, as the process's own user if necessary.
///
/// # Errors
/// ESRCH if the process has exited; EPERM if the signal can be sent neither directly nor as that user; ETIMEDOUT if
/// that user has stopped the child that sends it.
pub fn to_process(process: Process, signal: u8) -> sys::Result<()> {
    deliver(process.pid, None, &|| process.send(signal))
}

/// Calls `send`, which sends a signal to the process `pid` or its group. If this process may not do that, a child calls
/// `send` as the user of the target. `user` is that user, if it is known.
///
/// # Errors
/// The errors of `send`, and of `signal_as_user::send_as`.
pub fn deliver(pid: i32, user: Option<u32>, send: &dyn Fn() -> sys::Result<()>) -> sys::Result<()> {
    let other = user.filter(|user| *user != credentials::effective_uid() && !caps::may_kill());
    if let Some(user) = other {
        // Become the user before the first attempt: for a group, kill(2) succeeds if it may signal at least one
        // process, and the other processes get no signal.
        let sent = signal_as_user::send_as(user, send);
        if sent != Err(Errno::PERM) {
            return sent;
        }
    }
    match send() {
        Err(Errno::PERM) => {
            let user = read_proc(pid, c"status", control::parse_real_uid);
            user.map_or(Err(Errno::PERM), |user| signal_as_user::send_as(user, send))
        }
        result => result,
    }
}

/// Whether signals reach the server, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The last signal was not refused, or none has been sent yet.
    NotRefused,
    /// The last signal was refused. Of successive refusals, only the first is recorded in the log.
    Refused,
}

/// The user id with which this program runs. None if that is vsrun's own.
pub fn program_uid(program: &ExecImage) -> Option<u32> {
    program.steps().iter().find_map(|step| if let Step::Uid(user, _) = step { Some(*user) } else { None })
}

/// Sends a signal to a child that runs this program, as the program's user if necessary. Errors are ignored, because
/// the child may have exited.
pub fn to_child(child: Pid, signal: Signal, program: &ExecImage) {
    let send = || process::send(signal.number(), SignalTarget::Process(child));
    let _ = deliver(child.number(), program_uid(program), &send);
}

/// Kills the rest of a process group. Its leader must be a child of ours that has not been reaped.
pub fn kill_group(leader: Pid, program: &ExecImage) {
    let kill = || process::send(Signal::KILL.number(), SignalTarget::Group(leader));
    let _ = deliver(leader.number(), program_uid(program), &kill);
}

/// True if signals may not reach the server because its file is set-user-id. That happens if the server makes that user
/// its real user id too, as sudo(8) does. A server with `--user` is started with CAP_SETUID, so signals reach it.
pub fn setuid_may_block_signals(steps: &[Step], paths: &[StaticCStr]) -> bool {
    let hidden = steps.iter().any(|step| matches!(step, Step::Chroot(_) | Step::NoNewPrivileges));
    if hidden || caps::may_kill() || caps::may_change_ids() {
        return false;
    }
    let found = paths.iter().find_map(|path| dir::stat_path(path).ok());
    found.is_some_and(|file| file.mode & 0o4000 != 0 && file.owner != credentials::effective_uid())
}
