//! Detaches vsrun from its caller and the caller's terminal. The calling process waits for the outcome of the start.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit::{self, StatusSet};
use crate::logic::base::problem::Problem;
use crate::runtime::report::error_pipe::{MAX_MESSAGE, parse_error, send_error};
use crate::runtime::report::log::print_error;
use crate::runtime::report::os_error::os_error;
use crate::sys::poll::{self, SignalMask};
use crate::sys::process::{self, Forked};
use crate::sys::{self, credentials, fd};

/// The pipe to the parent process. That process, for which vsrun's caller waits, exits when the outcome of the start is
/// reported.
pub struct WaitingParent(OwnedFd);

/// The role of the detached process in its new session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SessionRole {
    /// The detached process leads the session. That is enough for a process that exits soon.
    Leader,
    /// The parent of the detached process led the session, and has exited. So a terminal that the process opens cannot
    /// become its controlling terminal.
    Orphan,
}

/// What the detached process does with standard output and error. It leaves standard input alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output and error stay those of the caller.
    Keep,
    /// Standard output and error become `/dev/null`.
    Null,
}

/// Forks, and returns in the detached process, after setting `waiting_parent`. The calling process waits for the
/// outcome of the start, prints an error, and exits. Every later error must also be reported through the
/// [`WaitingParent`].
///
/// # Errors
/// When pipe(2), fork(2) or setsid(2) fails.
#[inline(never)]
pub fn daemonize(
    role: SessionRole,
    output: Output,
    statuses: StatusSet,
    waiting_parent: &mut Option<WaitingParent>,
) -> Result<()> {
    let fail = |why| os_error(Problem::Detach, why);
    let (outcome_pipe, write) = fd::pipe().map_err(fail)?;
    if let Forked::Parent(_) = process::fork().map_err(fail)? {
        // Close the write end in the parent, which then reads end of file when the detached process exits.
        drop(write);
        await_report(&outcome_pipe, statuses);
    }
    drop(outcome_pipe);
    *waiting_parent = Some(WaitingParent(write));
    leave_session(role, output).map_err(fail)
}

fn leave_session(role: SessionRole, output: Output) -> sys::Result<()> {
    process::setsid()?;
    if role == SessionRole::Orphan {
        if let Forked::Parent(_) = process::fork()? {
            process::exit(exit::OK);
        }
        credentials::change_dir(c"/")?;
    }
    if output == Output::Null {
        let null = fd::open_null()?;
        fd::dup_onto(null.as_fd(), 1)?;
        fd::dup_onto(null.as_fd(), 2)?;
    }
    Ok(())
}

/// How often the calling process repeats a failed read of the pipe from the detached process, and the pause between two
/// attempts in milliseconds.
const READ_ATTEMPTS: usize = 100;
const READ_RETRY_PAUSE_MS: u64 = 10;

/// Waits for the outcome of the start, in the calling process, prints an error, and exits. This process keeps only the
/// pipe, and no lock or socket. So it can be killed at any time without harm.
fn await_report(outcome_pipe: &OwnedFd, statuses: StatusSet) -> ! {
    let _ = poll::set_mask(SignalMask::None);
    let outcome_number = outcome_pipe.as_raw_fd();
    let _ = fd::close_above_stdio_except(outcome_number..outcome_number + 1);
    let mut message = vec![0; MAX_MESSAGE];
    let (mut count, mut attempts) = (0, READ_ATTEMPTS);
    while let Some(room) = message.get_mut(count..).filter(|room| !room.is_empty()) {
        match fd::read_some(outcome_pipe.as_fd(), room) {
            Ok(0) => break,
            Ok(more) => count += more,
            // A failed read does not mean that the start has failed. Only end of file means that the detached process
            // has exited.
            Err(_) if attempts > 0 => {
                attempts -= 1;
                poll::sleep_ms(READ_RETRY_PAUSE_MS);
            }
            Err(why) => {
                process::exit(print_error(&os_error(Problem::ReadReport, why).convert_status_to(statuses)));
            }
        }
    }
    let status = match message.get(..count) {
        Some([exit::OK]) => exit::OK,
        message => {
            let early = || Error::new(Problem::ExitedEarly);
            print_error(&message.and_then(parse_error).unwrap_or_else(early).convert_status_to(statuses))
        }
    };
    process::exit(status)
}

impl WaitingParent {
    /// Reports to the calling process that the server has been started.
    pub fn report_started(self) {
        let _ = fd::write_all(self.0.as_fd(), &[exit::OK]);
    }

    /// Reports an error to the calling process, and exits with the same status.
    pub fn report_error_and_exit(self, error: &Error) -> ! {
        send_error(error, &self.0);
        process::exit(error.exit_status)
    }
}
