//! `--check` of a listening socket: finds out why bind(2) would fail. It does not call bind(2), because then another
//! program's bind(2) could fail.

use super::socket_owner;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::time::parse_number;
use crate::logic::formats::net_table::TcpStates;
use crate::logic::plan::socket_address::Listener;
use crate::runtime::report::os_error::os_error_of;
use crate::sys::file_contents::FileContents;
use crate::sys::{self, Errno, caps, socket};

/// Returns the reason why the socket could not be bound. An error with exit status 0 says why that cannot be
/// determined.
#[inline(never)]
pub fn check(listener: &Listener<'_>) -> Option<Error> {
    let unknown = |why| Some(Error::of(Problem::PortUnchecked, listener.address_text).with_reason_arg(why));
    let address = match socket::verify_local_address(&listener.sockaddr) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if let Some(second) = listener.ipv4_fallback() => {
            socket::verify_local_address(&second)
        }
        result => result,
    };
    match address.and_then(|()| verify_may_bind(&listener.sockaddr)) {
        Ok(()) => {}
        Err(Errno::NOPROTOOPT) => return unknown(Reason::NeedsLinux42),
        Err(why) => return Some(bind_error(listener, why)),
    }
    match socket_owner::describe_port_owner(listener) {
        Ok(None) => None,
        Ok(Some((_, TcpStates::Listening))) => Some(bind_error(listener, Errno::ADDRINUSE)),
        Ok(Some((owner, TcpStates::All))) => {
            unknown(Reason::Connection).map(|error| error.with_arg(MessageArg::Cause(owner)))
        }
        Err(_) => unknown(Reason::ProcNetUnreadable),
    }
}

/// Checks whether this process has the right to bind the port.
fn verify_may_bind(address: &[u8]) -> sys::Result<()> {
    let first = FileContents::read(c"/proc/sys/net/ipv4/ip_unprivileged_port_start").ok();
    let first = first.and_then(|text| parse_number(text.trim_ascii_end())).unwrap_or(1024);
    let port = address.get(2..4).and_then(<[u8]>::first_chunk).map_or(0, |port| u16::from_be_bytes(*port));
    if u64::from(port) < first && !caps::may_bind_low_ports() { Err(Errno::ACCESS) } else { Ok(()) }
}

/// Makes the error for a socket that cannot be bound.
pub fn bind_error(listener: &Listener<'_>, why: Errno) -> Error {
    let error = os_error_of(Problem::Listen, listener.address_text, why);
    match why {
        Errno::ADDRINUSE => socket_owner::add_owner(error, listener),
        Errno::ACCESS if !listener.is_path() => error.with_reason_arg(Reason::LowPort),
        _ => error,
    }
}
