//! `--replace`: asks the manager for a replacement, and waits until it is over.

use std::os::fd::AsFd;

use super::{HIDDEN_CHECKS, PAUSE_MS, Pidfile, READ_ATTEMPTS, Server, is_over};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::Span;
use crate::logic::control::Lock;
use crate::logic::supervisor::replacement::{ACCEPTED, Outcome, Refusal, request, token_of};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::os_error;
use crate::runtime::start::deliver;
use crate::sys::lock::{self, Answer};
use crate::sys::{Errno, clock, poll, process};

/// The time that a manager has to acknowledge a request. A manager that does not support such requests ignores them.
const ACK_TIMEOUT: Span = Span::secs(10);
/// After this number of checks the request is repeated. It is lost if the manager has not yet read an earlier SIGCHLD.
const CHECKS_PER_REQUEST: u64 = 5;
/// After this number of checks an acknowledged request is repeated: the kernel may have had no memory for the next
/// answer.
const CHECKS_IF_ACCEPTED: u64 = 100;

/// Replaces the server. Returns vsrun's exit status.
///
/// # Errors
/// The reason why the old server goes on.
pub fn replace(path: &Escaped<'_>, file: &Pidfile, server: Server) -> Result<u8> {
    let fail = |why: &str| Err(Error::setup(format_args!("cannot replace {path}: {why}")));
    if server.lock != Lock::Exclusive {
        return fail("it has no manager");
    }
    let manager = server.owner;
    // The token distinguishes requests that are made at about the same time. Its lowest 20 bits count.
    let new = || {
        let token = clock::monotonic_micros() << 8 ^ u64::from(process::id().number().cast_unsigned());
        request(u32::try_from(token & 0xf_ffff).unwrap_or(0))
    };
    let answer = |value| lock::read_answer(file.file.as_fd(), token_of(value).unwrap_or(0));
    // An answer before the request is one to an earlier request.
    let is_unused = |value: &u32| !matches!(answer(*value), Answer::Number(_));
    let Some(value) = (0..READ_ATTEMPTS).map(|_| new()).find(is_unused) else {
        return fail("its lock cannot be read");
    };
    let (mut until, mut checks, mut hidden) = (now().after(ACK_TIMEOUT), 0, 0);
    loop {
        let repeated = match answer(value) {
            Answer::Unlocked => return fail("its manager has exited"),
            Answer::Number(ACCEPTED) => {
                until = now().after(ACK_TIMEOUT);
                CHECKS_IF_ACCEPTED
            }
            Answer::Number(number) => {
                let outcome = Outcome::from_number(number);
                if outcome == Some(Outcome::Done) {
                    return Ok(exit::OK);
                }
                let refused = outcome == Some(Outcome::Refused(Refusal::NotRunning));
                let code = if refused { exit::NOT_RUNNING } else { exit::SETUP };
                let words = outcome.map_or_else(ArrayText::new, Outcome::words);
                return Err(Error::new(code, format_args!("cannot replace {path}: {}", words.as_str())));
            }
            Answer::Hidden if hidden == HIDDEN_CHECKS => return fail("its lock cannot be read"),
            Answer::Hidden => {
                hidden += 1;
                CHECKS_IF_ACCEPTED
            }
            Answer::None if is_over(Some(until)) => return fail("its manager does not respond"),
            Answer::None => CHECKS_PER_REQUEST,
        };
        if checks % repeated == 0 {
            let queue = || manager.queue(Signal::CHLD.number(), value);
            if let Err(why) = deliver::deliver(manager.number, None, &queue)
                && why != Errno::SRCH
                && repeated == CHECKS_PER_REQUEST
            {
                return Err(os_error(format_args!("cannot send a request to pid {}", manager.number), why));
            }
        }
        checks += 1;
        poll::sleep_ms(PAUSE_MS);
    }
}
