//! Probes a server through a socket: connects, and may send an HTTP request. No function in this file waits past its
//! deadline, whatever the server does, and none allocates memory.

use core::fmt;
use std::os::fd::{AsFd, OwnedFd};

use crate::logic::base::exit::Exit;
use crate::logic::base::reason::Reason;
use crate::logic::base::time::{Span, Time};
use crate::logic::supervisor::probe::{HttpAnswer, STATUS_LINE_PREFIX_SIZE, evaluate_response};
use crate::runtime::host::clock::now;
use crate::runtime::report::os_error::errno_text;
use crate::sys::{Errno, fd, poll, socket};

/// The pause before another connect(2), which fails at once if the queue of connections of a Unix socket is full.
const RETRY_PAUSE: Span = Span::millis(10);

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// A system call failed. Usually, the connection was refused.
    System(Errno),
    /// The deadline passed.
    TimedOut,
    /// The connection was closed before a status line arrived.
    Closed,
    /// The HTTP status was not between 200 and 399.
    HttpStatus(u16),
    /// The response was not HTTP.
    NotHttp,
    /// The program that the probe executes did not exit with status 0.
    Exited(Exit),
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(why) => errno_text(*why).fmt(f),
            Self::TimedOut => Reason::NoAnswer.fmt(f),
            Self::Closed => Reason::ClosedWithoutAnswer.fmt(f),
            Self::HttpStatus(status) => write!(f, "HTTP status {status}"),
            Self::NotHttp => Reason::NotHttp.fmt(f),
            Self::Exited(exit) => exit.fmt(f),
        }
    }
}

/// Tries the addresses in turn, until one accepts a connection and, if the probe has a request, responds with an HTTP
/// status from 200 to 399.
///
/// # Errors
/// Why the server is not healthy: the failure of the last address that accepted a connection or, if none did, that of
/// the first address.
pub fn probe_network(
    addresses: &[Vec<u8>],
    request: Option<&[u8]>,
    deadline: Time,
) -> core::result::Result<(), ProbeFailure> {
    let mut worst = ProbeFailure::TimedOut;
    for (at, address) in addresses.iter().enumerate() {
        let failed = match connect(address, deadline) {
            Ok(connection) => match request.map_or(Ok(()), |request| request_and_check(&connection, request, deadline))
            {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            },
            // The error of a further address, such as EAFNOSUPPORT for ::1, must not hide why the first address failed.
            Err(_) if at > 0 => continue,
            Err(failed) => failed,
        };
        worst = failed;
    }
    Err(worst)
}

fn connect(address: &[u8], deadline: Time) -> core::result::Result<OwnedFd, ProbeFailure> {
    loop {
        match socket::connect_within(address, millis_left(deadline)?) {
            Ok(connection) => return Ok(connection),
            Err(Errno::TIMEDOUT) => return Err(ProbeFailure::TimedOut),
            Err(Errno::AGAIN) => poll::sleep_ms(RETRY_PAUSE.0),
            Err(why) => return Err(ProbeFailure::System(why)),
        }
    }
}

/// Sends the request, and reads the response up to its status code. Succeeds if that is from 200 to 399.
fn request_and_check(connection: &OwnedFd, request: &[u8], deadline: Time) -> core::result::Result<(), ProbeFailure> {
    // An HTTP request is far smaller than any send buffer, so the kernel takes it whole or not at all.
    socket::send(connection.as_fd(), request).map_err(ProbeFailure::System)?;
    let mut bytes = [0; STATUS_LINE_PREFIX_SIZE];
    let mut count = 0;
    loop {
        match evaluate_response(bytes.get(..count).unwrap_or_default()) {
            HttpAnswer::Incomplete => {}
            HttpAnswer::Healthy => return Ok(()),
            HttpAnswer::UnhealthyStatus(status) => return Err(ProbeFailure::HttpStatus(status)),
            HttpAnswer::NotHttp => return Err(ProbeFailure::NotHttp),
        }
        let readable = poll::poll_last_for_hangup(&[Some(connection.as_fd()), None], Some(millis_left(deadline)?)) != 0;
        if !readable {
            continue;
        }
        match fd::read_some(connection.as_fd(), bytes.get_mut(count..).unwrap_or_default()) {
            Ok(0) => return Err(ProbeFailure::Closed),
            Ok(more) => count += more,
            Err(Errno::AGAIN) => {}
            Err(why) => return Err(ProbeFailure::System(why)),
        }
    }
}

/// Milliseconds until the deadline.
///
/// # Errors
/// `TimedOut` if the deadline has passed.
fn millis_left(deadline: Time) -> core::result::Result<u64, ProbeFailure> {
    match deadline.since(now()) {
        Span::ZERO => Err(ProbeFailure::TimedOut),
        millis_left => Ok(millis_left.0),
    }
}
