//! Sends a signal to another user's process without CAP_KILL.
//!
//! kill(2) compares the sender's effective *and real* user id with the target's real and saved one. So a child with
//! CAP_SETUID that sets its *real* id to the target's user may send the signal. It keeps its effective and saved id, so
//! that the user can neither trace it nor read its memory, which is a copy of ours, and so that we can always kill it.
//! The user can only stop or kill it; so we resume it, wait for it briefly, and try again.

use super::poll::{self, SignalMask};
use super::process::{self, Forked, Pid, SignalTarget};
use super::{Errno, Result, credentials};

/// SIGKILL, which has the same number on every machine.
const SIGKILL: u8 = 9;
/// SIGCONT, with its number on every machine that vsrun is built for.
const SIGCONT: u8 = 18;
/// The largest number of children that are started, one after the other, if the target's user stops or kills them.
const CHILD_ATTEMPTS: usize = 3;
/// How many times vsrun checks whether a child has exited, at intervals of 1 ms. An undisturbed child exits much
/// earlier than after the last check.
const EXIT_CHECKS: usize = 100;

/// Calls `send` in a child with the real user id `user`. The caller waits for 0.3 s at most.
///
/// # Errors
/// The errors of `send`; EPERM without CAP_SETUID; ETIMEDOUT when the user stopped or killed each child in time.
#[inline(never)]
pub fn send_as(user: u32, send: &dyn Fn() -> Result<()>) -> Result<()> {
    for _ in 0..CHILD_ATTEMPTS {
        let child = match process::fork()? {
            Forked::Parent(child) => child,
            Forked::Child => {
                // Block all signals, so that no signal of the user can make the child dump core, which would be a copy
                // of our memory.
                let result = poll::set_mask(SignalMask::All)
                    .and_then(|()| credentials::set_real_uid(user))
                    .and_then(|()| send());
                process::exit(result.map_or_else(errno_to_status, |()| 0));
            }
        };
        // SIGKILL also ends a stopped child, so the wait in `reap` is short.
        for _ in 0..EXIT_CHECKS {
            if process::has_exited(child) {
                break;
            }
            let _ = process::send(SIGCONT, SignalTarget::Process(child));
            poll::sleep_ms(1);
        }
        let _ = process::send(SIGKILL, SignalTarget::Process(child));
        if let Some(result) = reported_result(child)? {
            return result;
        }
    }
    Err(Errno::TIMEDOUT)
}

/// The result that a child has reported by its exit status. None if the child was killed.
fn reported_result(child: Pid) -> Result<Option<Result<()>>> {
    let (status, _) = process::reap(child)?;
    let [signal, code, ..] = status.to_le_bytes();
    let reported = if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code.into())) };
    Ok((signal == 0).then_some(reported))
}

/// Converts an errno to an exit status. The errors of kill(2), setresuid(2) and sigprocmask(2) have small numbers.
fn errno_to_status(error: Errno) -> u8 {
    u8::try_from(error.raw_os_error()).unwrap_or(u8::MAX)
}
