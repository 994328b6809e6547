//! Ports that no other test gets.

use super::{namespace, sys};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens on, for either protocol, and that no other test gets: not one of those that the kernel
/// gives to whoever wants any, and none twice.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run at the same time, each with its own part.
    let part = sys::pid().cast_unsigned().wrapping_add(namespace().wrapping_mul(31)) % 190;
    let base = 13_000 + u16::try_from(part).unwrap() * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if nobody_is_on(port) {
            return port;
        }
    }
}

/// Whether nobody listens on a port. Somebody is called, and the port not tried out: a program that another thread
/// starts has for a moment all that is open here, and would still have the port.
pub fn nobody_is_on(port: u16) -> bool {
    [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].into_iter().all(|ip| {
        let refused = |socket: UdpSocket| {
            socket.connect((ip, port)).unwrap();
            // The answer to the first is told at the second.
            socket.send(b"").and_then(|_| socket.send(b"")).is_err()
        };
        TcpStream::connect((ip, port)).is_err() && UdpSocket::bind((ip, 0)).map_or(true, refused)
    })
}
