//! Checks of the probes of `--ready` and `--health` against the other options.

use super::options::Options;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::plan::socket_address::{Listener, Transport};
use crate::logic::supervisor::probe::Probe;
use crate::logic::supervisor::readiness::ReadyCondition;

/// Refuses probes that would succeed whatever the server does.
///
/// # Errors
/// Wrong usage, in one line that names the option.
#[inline(never)]
pub fn reject_infallible_probes(options: &Options) -> Result<()> {
    let ready = if let Some(ReadyCondition::Probe(text)) = options.ready { Some(text) } else { None };
    for (problem, text) in [(Problem::ReadyNeedsPath, ready), (Problem::HealthNeedsPath, options.health)] {
        if let Some(text) = text.filter(|text| connects_to_own_socket(text, options)) {
            return Err(Error::of(problem, text.to_bytes()));
        }
    }
    Ok(())
}

/// True if the probe only connects to a socket that vsrun itself opens. The kernel accepts such a connection whatever
/// the server does.
fn connects_to_own_socket(text: &StaticCStr, options: &Options) -> bool {
    let Some(Probe::Connect { addresses, request: None }) = Probe::parse(text.to_bytes()) else { return false };
    let listeners = options.listen.iter().filter_map(|text| Listener::parse(text.to_bytes()));
    let mut streams = listeners.filter(|listener| listener.transport == Transport::Stream);
    streams.any(|Listener { sockaddr: own, .. }| addresses.iter().any(|address| socket_accepts_address(&own, address)))
}

/// True if a socket bound to `own` accepts connections to `address`: the addresses are equal, or `own` is every address
/// with the same port. The families are not compared, because an IPv6 socket can accept IPv4 connections too.
fn socket_accepts_address(own: &[u8], address: &[u8]) -> bool {
    let (head, rest) = own.split_at_checked(4).unwrap_or_default();
    // The first 4 bytes of a socket address are its family and its port. If all further bytes are zero, the
    // socket is bound to every address. A socket bound to [::] also accepts connections to IPv4 addresses. One
    // bound to 0.0.0.0 accepts none to IPv6 addresses; its address structure is shorter than theirs.
    let is_any = rest.iter().all(|byte| *byte == 0) && own.len() >= address.len();
    own == address || is_any && head.get(2..) == address.get(2..4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::base::cstr::leak_cstr;

    #[test]
    fn only_a_plain_connection_to_a_listening_socket_is_refused() {
        for (probe, listen, refused) in [
            ("8080", "8080", true),
            ("8080", "web=8080", true),
            ("8080", "0.0.0.0:8080", true),
            ("8080", "[::1]:8080", true),
            ("127.0.0.1:8080", "8080", true),
            ("/run/x", "web=/run/x", true),
            ("127.0.0.1:8080", "127.0.0.2:8080", false),
            ("127.0.0.1:8080", "0.0.0.0:8080", true),
            ("[::1]:8080", "0.0.0.0:8080", false),
            ("8080", "10.0.0.1:8080", false),
            ("8080", "8081", false),
            ("8080", "8080/udp", false),
            ("8080/", "8080", false),
            ("http:8080", "8080", false),
            ("/run/x:/", "/run/x", false),
            ("/run/x", "/run/xy", false),
            ("exec:/bin/true 8080", "8080", false),
        ] {
            let listen = vec![leak_cstr(listen.into())];
            let text = leak_cstr(probe.into());
            let ready = Options { ready: Some(ReadyCondition::Probe(text)), listen: listen.clone(), ..Options::none() };
            let health = Options { health: Some(text), listen, ..Options::none() };
            assert_eq!(
                [&ready, &health].map(|options| reject_infallible_probes(options).is_err()),
                [refused; 2],
                "{probe}"
            );
        }
    }
}
