//! Parses addresses of listening sockets, such as `[::1]:80/udp` and `/run/x.sock`.
//!
//! Addresses are numeric only: a host name would have to be looked up, and may mean another address tomorrow.

use alloc::vec::Vec;

use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::text::split_byte;
use crate::logic::base::time::parse_number;

/// The name of a socket whose option gives no name.
const DEFAULT_SOCKET_NAME: &[u8] = b"vsrun";
/// The longest path of a socket, in bytes: the kernel has room for 108, and the last one is a NUL.
const MAX_PATH_BYTES: usize = 107;
/// The longest name of a socket, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// A listening socket, parsed from `[NAME=][ADDRESS:]PORT[/udp]` or `[NAME=]/PATH`.
#[derive(Clone)]
pub struct Listener<'a> {
    /// The name of the socket, which the server finds in `LISTEN_FDNAMES`.
    pub name: &'a [u8],
    /// The socket's address, as it was written on the command line.
    pub address_text: &'a [u8],
    /// The socket's address as the bytes of a sockaddr, for bind(2).
    pub sockaddr: Vec<u8>,
    /// The transport of the socket.
    pub transport: Transport,
}

/// The transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Connections: TCP, or a Unix stream socket.
    Stream,
    /// Packets: UDP.
    Datagram,
}

impl<'a> Listener<'a> {
    /// Parses `[NAME=][ADDRESS:]PORT[/udp]` or `[NAME=]/PATH`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut listener =
            Self { name: DEFAULT_SOCKET_NAME, address_text: text, sockaddr: Vec::new(), transport: Transport::Stream };
        if let Some(at) = text.iter().position(|byte| *byte == b'=')
            && !text.starts_with(b"/")
        {
            (listener.name, listener.address_text) = (valid_name(text.get(..at)?)?, text.get(at + 1..)?);
        }
        let text = listener.address_text;
        if text.starts_with(b"/") {
            listener.sockaddr = [&1u16.to_ne_bytes()[..], text, b"\0"].concat();
            return (text.len() <= MAX_PATH_BYTES).then_some(listener);
        }
        let mut rest = text;
        if let Some(shorter) = text.strip_suffix(b"/udp") {
            (rest, listener.transport) = (shorter, Transport::Datagram);
        }
        // In the value of `--listen`, the port follows the last colon; an IPv6 address with its colons is in brackets
        // before it.
        let digits = rest.rsplit(|byte| *byte == b':').next()?;
        let port = u16::try_from(parse_number(digits)?).ok().filter(|port| *port > 0)?.to_be_bytes();
        match rest.get(..rest.len() - digits.len())? {
            [] => listener.sockaddr = sockaddr_in6([0; 16], port),
            [b'[', ip @ .., b']', b':'] => listener.sockaddr = sockaddr_in6(parse_v6(ip)?, port),
            [ip @ .., _] => listener.sockaddr = sockaddr_in(parse_v4(ip)?, port),
        }
        Some(listener)
    }

    /// The IPv4 address to use if no ADDRESS was given and the kernel has no IPv6. None if an ADDRESS or a path was
    /// given.
    pub fn ipv4_fallback(&self) -> Option<Vec<u8>> {
        match self.sockaddr.as_slice() {
            [_, _, high, low, ..]
                if self.address_text.first()?.is_ascii_digit() && !self.address_text.contains(&b':') =>
            {
                Some(sockaddr_in([0; 4], [*high, *low]))
            }
            _ => None,
        }
    }

    /// True if this is a Unix socket, whose address is a path.
    pub fn is_path(&self) -> bool {
        self.address_text.starts_with(b"/")
    }

    /// The path of a Unix socket.
    pub fn path(&self) -> StaticCStr {
        leak_cstr(self.address_text.into())
    }
}

/// Returns the value of `--listen`, or None if it is malformed.
pub fn parse_listen_option(text: &[u8]) -> Option<StaticCStr> {
    Listener::parse(text).map(|_| leak_cstr(text.into()))
}

/// Returns the value of `--port`, or None if it is malformed.
pub fn parse_port_option(text: &[u8]) -> Option<StaticCStr> {
    let plain = text.first()?.is_ascii_digit() && !text.iter().any(|byte| b"=:".contains(byte));
    parse_listen_option(text).filter(|_| plain)
}

/// Returns the value of `--bind`, with an IPv6 address in brackets, or None if it is malformed.
pub fn parse_bind_option(text: &[u8]) -> Option<StaticCStr> {
    match text {
        [b'/', ..] => return parse_listen_option(text),
        [b'[', ip @ .., b']'] => parse_v6(ip).map(drop)?,
        _ if text.contains(&b':') => return parse_v6(text).map(|_| leak_cstr([b"[", text, b"]"].concat())),
        _ => parse_v4(text).map(drop)?,
    }
    Some(leak_cstr(text.into()))
}

/// Joins the values of `--port` and `--bind` into one in the format of `--listen`. If only one is given, returns that
/// one.
pub fn join_port_and_bind(port: Option<StaticCStr>, bind: Option<StaticCStr>) -> Option<StaticCStr> {
    match (port, bind) {
        (Some(port), Some(bind)) => Some(leak_cstr([bind.to_bytes(), b":", port.to_bytes()].concat())),
        (one, other) => one.or(other),
    }
}

/// The bytes of a sockaddr_in.
fn sockaddr_in(ip: [u8; 4], port: [u8; 2]) -> Vec<u8> {
    [&2u16.to_ne_bytes()[..], &port, &ip, &[0; 8]].concat()
}

/// The bytes of a sockaddr_in6.
fn sockaddr_in6(ip: [u8; 16], port: [u8; 2]) -> Vec<u8> {
    [&10u16.to_ne_bytes()[..], &port, &[0; 4], &ip, &[0; 4]].concat()
}

/// Parses an IPv4 address.
fn parse_v4(text: &[u8]) -> Option<[u8; 4]> {
    let (mut ip, mut count) = (0u32, 0);
    for part in split_byte(text, b'.') {
        // A number with a leading zero is refused, because other programs may read it as octal.
        if part.len() > 1 && part.starts_with(b"0") {
            return None;
        }
        ip = ip << 8 | u32::from(u8::try_from(parse_number(part)?).ok()?);
        count += 1;
    }
    (count == 4).then(|| ip.to_be_bytes())
}

/// Parses an IPv6 address without a zone and without a dotted IPv4 part.
fn parse_v6(text: &[u8]) -> Option<[u8; 16]> {
    // If the address begins or ends with `::`, one colon is removed, so that splitting at colons gives one empty group
    // and not two.
    let inner = match text {
        b"::" => return Some([0; 16]),
        [b':', b':', ..] => text.get(1..)?,
        [rest @ .., b':'] if rest.ends_with(b":") => rest,
        [b':', ..] | [.., b':'] | [] => return None,
        _ => text,
    };
    let groups = || split_byte(inner, b':');
    let count = groups().filter(|group| !group.is_empty()).count();
    let (mut ip, mut gaps) = (0u128, 0);
    for group in groups() {
        if group.is_empty() {
            gaps += 1;
            (count..8).for_each(|_| ip <<= 16);
        } else {
            ip = ip << 16 | u128::from(parse_hex(group).filter(|_| group.len() <= 4)?);
        }
    }
    matches!((gaps, count), (0, 8) | (1, 0..=7)).then(|| ip.to_be_bytes())
}

/// Parses a hexadecimal number of one to eight digits.
pub fn parse_hex(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    text.iter().try_fold(0, |sum, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(sum << 4 | u32::from(digit))
    })
}

/// Returns the name, or None if `LISTEN_FDNAMES` cannot contain it.
pub fn valid_name(name: &[u8]) -> Option<&[u8]> {
    let fits = name.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b':');
    (fits && matches!(name.len(), 1..=MAX_NAME_BYTES)).then_some(name)
}

#[cfg(test)]
mod tests;
