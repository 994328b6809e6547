//! Runs a probe once: a connection, an HTTP request or a program, within a time limit. Nothing here waits longer than
//! its deadline, whatever the other side does.

use alloc::vec::Vec;
use core::fmt;
use std::os::fd::{AsFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit::{self, Exit};
use crate::logic::base::signal::Signal;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::{Span, Time};
use crate::logic::plan::env::Env;
use crate::logic::plan::personality::VSRUN;
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::probe::{Answer, Probe, ProbeRequest, STATUS_LINE, answer};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::os_error;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::StartOutcome;
use crate::runtime::start::spawn::spawn;
use crate::sys::poll::{Mask, Signals};
use crate::sys::process::{self, Target};
use crate::sys::{self, Errno, entry, fd, poll, socket};

/// Pause before a retry when a Unix socket's queue of connections is full: connect(2) fails at once then.
const RETRY_PAUSE: Span = Span::millis(10);

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// A system call failed; mostly, the connection was refused.
    System(Errno),
    /// The deadline passed.
    TimedOut,
    /// The connection was closed before a status line arrived.
    Closed,
    /// The HTTP status was not between 200 and 399.
    Status(u16),
    /// The response was not HTTP.
    NotHttp,
    /// The program did not exit with 0.
    Exited(Exit),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(why) => write!(f, "{}", sys::errno_text(*why)),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Closed => f.write_str("the connection was closed without an answer"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::Exited(exit) => write!(f, "{exit}"),
        }
    }
}

/// `--probe`: runs the probe once. Returns vsrun's exit status.
///
/// # Errors
/// With status 1: why the server is not healthy. With 125: the probe could not be run.
#[inline(never)]
pub fn probe(request: &ProbeRequest) -> Result<u8> {
    let deadline = now().after(request.timeout);
    let result = match Probe::parse(request.text.to_bytes()) {
        Some(Probe::Connect { addresses, request }) => connect(&addresses, request.as_deref(), deadline),
        Some(Probe::Exec(words)) => execute(words, deadline)?,
        None => Ok(()),
    };
    match result {
        Ok(()) => Ok(exit::OK),
        Err(why) => {
            let text = Escaped(request.text.to_bytes());
            Err(Error::new(exit::UNHEALTHY, format_args!("probe '{text}' failed: {why}")))
        }
    }
}

/// Runs a program in a session of its own and waits for its end.
fn execute(words: Vec<StaticCStr>, deadline: Time) -> Result<core::result::Result<(), Failed>> {
    poll::reset_dispositions(0);
    poll::set_mask(Mask::All).map_err(|why| os_error(format_args!("cannot block the signals"), why))?;
    let signals = Signals::open().map_err(|why| os_error(format_args!("cannot listen to signals"), why))?;
    let command = words.first().copied().unwrap_or_default();
    let steps = vec![Step::UnblockSignals, Step::Setsid, Step::CloseDescriptors, Step::Exec(command)];
    let program = Box::new(Program {
        steps,
        paths: vec![command],
        argv: words,
        env: Env(entry::environment()),
        personality: &VSRUN,
    });
    let program = ExecImage::new(program);
    let cannot = |why| os_error(format_args!("cannot start a process"), why);
    let child = spawn(&program, &ChildIo::default()).map_err(cannot)?;
    let mut timed_out = false;
    while !process::has_exited(child.pid) {
        let left = if timed_out { None } else { left(deadline).ok() };
        timed_out |= left.is_none();
        if timed_out {
            let _ = process::send(Signal::KILL.number(), Target::Group(child.pid));
            let _ = process::send(Signal::KILL.number(), Target::Process(child.pid));
        }
        poll::wait([Some(signals.as_fd()), None, None, None], left);
        while signals.next().is_some() {}
    }
    let (status, _) = process::reap(child.pid).map_err(cannot)?;
    if let StartOutcome::Failed(failure) = StartOutcome::await_end(&child.report) {
        return Err(Error::new(exit::UNHEALTHY, format_args!("probe failed: {}", failure.error(&program).text)));
    }
    Ok(match Exit::from_wait(status) {
        _ if timed_out => Err(Failed::TimedOut),
        Exit::SUCCESS => Ok(()),
        exit @ (Exit::Code(_) | Exit::Signal { .. }) => Err(Failed::Exited(exit)),
    })
}

/// Tries to connect, and to get an HTTP response if the probe has a request.
///
/// # Errors
/// Why the server is not healthy; of several addresses, the failure of the one that got furthest.
pub fn connect(addresses: &[Vec<u8>], request: Option<&[u8]>, deadline: Time) -> core::result::Result<(), Failed> {
    let mut worst = Failed::TimedOut;
    for (at, address) in addresses.iter().enumerate() {
        let failed = match open(address, deadline) {
            Ok(connection) => match request.map_or(Ok(()), |request| exchange(&connection, request, deadline)) {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            },
            // "No IPv6 here" must not hide why the first address refused.
            Err(_) if at > 0 => continue,
            Err(failed) => failed,
        };
        worst = failed;
    }
    Err(worst)
}

fn open(address: &[u8], deadline: Time) -> core::result::Result<OwnedFd, Failed> {
    loop {
        match socket::connect_within(address, left(deadline)?) {
            Ok(connection) => return Ok(connection),
            Err(Errno::TIMEDOUT) => return Err(Failed::TimedOut),
            Err(Errno::AGAIN) => poll::sleep_ms(RETRY_PAUSE.0),
            Err(why) => return Err(Failed::System(why)),
        }
    }
}

/// Sends the request and reads as far as the status code.
fn exchange(connection: &OwnedFd, request: &[u8], deadline: Time) -> core::result::Result<(), Failed> {
    // A request is far smaller than any send buffer, so the kernel takes it whole or not at all.
    socket::send(connection.as_fd(), request).map_err(Failed::System)?;
    let mut bytes = [0; STATUS_LINE];
    let mut count = 0;
    loop {
        match answer(bytes.get(..count).unwrap_or_default()) {
            Answer::Incomplete => {}
            Answer::Healthy => return Ok(()),
            Answer::Status(status) => return Err(Failed::Status(status)),
            Answer::Other => return Err(Failed::NotHttp),
        }
        let [readable, ..] = poll::wait([Some(connection.as_fd()), None, None, None], Some(left(deadline)?));
        if !readable {
            continue;
        }
        match fd::read_some(connection.as_fd(), bytes.get_mut(count..).unwrap_or_default()) {
            Ok(0) => return Err(Failed::Closed),
            Ok(more) => count += more,
            Err(Errno::AGAIN) => {}
            Err(why) => return Err(Failed::System(why)),
        }
    }
}

/// Milliseconds until the deadline.
fn left(deadline: Time) -> core::result::Result<u64, Failed> {
    match deadline.since(now()) {
        Span::ZERO => Err(Failed::TimedOut),
        left => Ok(left.0),
    }
}
