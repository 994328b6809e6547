//! Closes inherited descriptors before an exec, and returns to the directory in which vsrun was called.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use super::child_io::{ChildIo, ExecState, move_off_ready_number};
use super::exec_image::ExecImage;
use crate::logic::plan::step::Step;
use crate::sys::{Errno, Result, close, close_check, credentials, dir, fd};

/// Closes every descriptor except 0 to 2, those that the program inherits, and the pipes that report a failed step.
/// These pipes are harmless: a path through /proc/self/fd leads nowhere from a pipe.
///
/// # Errors
/// EPERM if a descriptor was not closed; EISDIR if the root is changed and the program would inherit a directory,
/// through which it could leave the root.
pub fn close_descriptors(program: &ExecImage, io: &ChildIo<'_>, state: &mut ExecState) -> Result<()> {
    if program.steps.iter().any(|step| matches!(step, Step::Chroot(_))) {
        close::verify_no_directory_fd(state.socket_count)?;
    }
    fd::clear_cloexec_above_stdio(state.socket_count)?;
    if let Some(lock_fd) = state.pidfile_lock_fd.take() {
        let moved = move_off_ready_number(lock_fd.as_fd(), io)?;
        fd::clear_cloexec(state.pidfile_lock_fd.insert(moved.unwrap_or(lock_fd)).as_fd())?;
    }
    let ready = io.ready_pipe_and_number.map(|(ready, _)| ready);
    let [first, second] = io.cleanup_helper_pipes;
    let [a, b, c, d, e] = [io.report, first, second, ready, state.pidfile_lock_fd.as_ref().map(AsFd::as_fd)]
        .map(|fd| fd.map_or(0..0, close::single_fd_range));
    close::close_above_stdio_verified(&[
        fd::FIRST_AFTER_STDIO..fd::FIRST_AFTER_STDIO + RawFd::from(state.socket_count),
        a,
        b,
        c,
        d,
        e,
    ])?;
    state.close_check_fd.take().map_or(Ok(()), close_check::verify_check_fd_closed)
}

/// Makes every descriptor close-on-exec, except 0 to 2 and those that the program inherits.
///
/// # Errors
/// EPERM if a descriptor would survive the exec.
pub fn cloexec_descriptors(state: &mut ExecState) -> Result<()> {
    fd::set_cloexec_above_stdio()?;
    state.close_check_fd.take().map_or(Ok(()), close_check::verify_check_fd_cloexec)?;
    fd::clear_cloexec_above_stdio(state.socket_count)?;
    state.pidfile_lock_fd.as_ref().map_or(Ok(()), |lock_fd| fd::clear_cloexec(lock_fd.as_fd()))
}

/// Moves the ready pipe to the descriptor number at which the program expects it, and closes vsrun's own descriptor of
/// it.
///
/// # Errors
/// The errors of dup2(2) and close(2).
pub fn move_ready_pipe((ready, number): (BorrowedFd<'_>, RawFd)) -> Result<()> {
    fd::dup_onto(ready, number)?;
    if close::single_fd_range(ready).contains(&number) { Ok(()) } else { close::close(ready) }
}

/// Changes back to the directory in which vsrun was called, by its path. Returns true if the path leads to another
/// directory now, or cannot be followed; the working directory of this process is then `/`. A user may have replaced
/// the directory so that root enters one that the user may not search. So a later step enters it with the user's
/// rights.
///
/// # Errors
/// When the path cannot be followed for another reason than a missing directory, no permission or a symbolic link loop,
/// or when `/` cannot be entered.
pub fn return_to_callers_dir(path: &CStr, expected_id: (u64, u64)) -> Result<bool> {
    let is_there = || dir::stat_path(c".").is_ok_and(|about| about.id == expected_id);
    if is_there() {
        return Ok(false);
    }
    match credentials::change_dir(path) {
        Ok(()) if is_there() => Ok(false),
        Ok(()) | Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR | Errno::LOOP | Errno::PERM) => {
            credentials::change_dir(c"/").map(|()| true)
        }
        Err(why) => Err(why),
    }
}
