//! `--replace`: asks the manager for a replacement, and waits until it is over.

use std::os::fd::AsFd;

use super::{FoundServer, MAX_UNREADABLE_LOCK_CHECKS, PIDFILE_READ_ATTEMPTS, POLL_PAUSE_MS, Pidfile, has_passed};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;
use crate::logic::control::LockState;
use crate::logic::supervisor::replacement::{ACCEPTED, Outcome, Refusal, decode_request_token, encode_request};
use crate::runtime::host::clock::now;
use crate::runtime::report::os_error::add_errno;
use crate::runtime::start::deliver;
use crate::sys::lock::{self, AnswerInLocks};
use crate::sys::{Errno, clock, poll, process};

/// The time that a manager has to acknowledge a request. A manager that does not support such requests ignores them.
const ACK_TIMEOUT: Span = Span::secs(10);
/// The request is sent again at every check for an answer with a multiple of this number. A request is lost if the
/// manager has not yet read an earlier SIGCHLD.
const RESEND_REQUEST_AFTER_CHECKS: u64 = 5;
/// A request that the manager has acknowledged is sent again at every check with a multiple of this number,
/// and so is one whose answer cannot be read: the kernel may have had no memory for the manager's next
/// answer.
const RESEND_ACCEPTED_AFTER_CHECKS: u64 = 100;

/// Replaces the server. Returns vsrun's exit status.
///
/// # Errors
/// When the server was not replaced, with the reason, or when the outcome cannot be determined.
pub fn replace(path: StaticCStr, file: &Pidfile, server: FoundServer) -> Result<u8> {
    let error = || Error::of(Problem::Replace, path.to_bytes());
    let fail = |why| Err(error().with_reason_arg(why));
    if server.lock != LockState::Exclusive {
        return fail(Reason::NoManager);
    }
    let manager = server.control_target;
    // The token distinguishes requests that are made at about the same time. Only its lowest 20 bits are used.
    let new = || {
        let token = clock::monotonic_micros() << 8 ^ u64::from(process::own_pid().number().cast_unsigned());
        encode_request(u32::try_from(token & 0xf_ffff).unwrap_or(0))
    };
    let answer = |value| lock::read_answer_from_locks(file.file.as_fd(), decode_request_token(value).unwrap_or(0));
    // If the token has an answer already, an earlier request has used it.
    let is_unused = |value: &u32| !matches!(answer(*value), AnswerInLocks::Number(_));
    let Some(value) = (0..PIDFILE_READ_ATTEMPTS).map(|_| new()).find(is_unused) else {
        return fail(Reason::ItsLockUnreadable);
    };
    let (mut until, mut checks, mut hidden) = (now().after(ACK_TIMEOUT), 0, 0);
    loop {
        let repeated = match answer(value) {
            AnswerInLocks::Unlocked => return fail(Reason::ManagerExited),
            AnswerInLocks::Number(ACCEPTED) => {
                until = now().after(ACK_TIMEOUT);
                RESEND_ACCEPTED_AFTER_CHECKS
            }
            AnswerInLocks::Number(number) => {
                let outcome = Outcome::from_number(number);
                if outcome == Some(Outcome::Done) {
                    return Ok(exit::OK);
                }
                let refused = outcome == Some(Outcome::Refused(Refusal::NotRunning));
                let code = if refused { exit::NOT_RUNNING } else { exit::VSRUN_FAILED };
                let [reason, more] = outcome.map_or([MessageArg::None, MessageArg::None], Outcome::describe);
                return Err(error().with_arg(reason).with_arg(more).with_status(code));
            }
            AnswerInLocks::QueryFailed if hidden == MAX_UNREADABLE_LOCK_CHECKS => {
                return fail(Reason::ItsLockUnreadable);
            }
            AnswerInLocks::QueryFailed => {
                hidden += 1;
                RESEND_ACCEPTED_AFTER_CHECKS
            }
            AnswerInLocks::Pending if has_passed(Some(until)) => return fail(Reason::ManagerSilent),
            AnswerInLocks::Pending => RESEND_REQUEST_AFTER_CHECKS,
        };
        if checks % repeated == 0 {
            let queue = || manager.queue(Signal::CHLD.number(), value);
            if let Err(why) = deliver::deliver(manager.pid, None, &queue)
                && why != Errno::SRCH
                && repeated == RESEND_REQUEST_AFTER_CHECKS
            {
                let error = Error::new(Problem::SendRequest).with_number_arg(manager.pid.into());
                return Err(add_errno(error, why));
            }
        }
        checks += 1;
        poll::sleep_ms(POLL_PAUSE_MS);
    }
}
