//! Ports that no other test gets.

use super::{namespace, sys};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port without a listener, for either protocol, and that no other test gets: not one of those that the kernel
/// gives to a socket without a port, and none twice.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run at the same time, each with its own part.
    let part = sys::pid().cast_unsigned().wrapping_add(namespace().wrapping_mul(31)) % 190;
    let base = 13_000 + u16::try_from(part).unwrap() * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if has_no_listener(port) {
            return port;
        }
    }
}

/// Whether a port has no listener. It is connected to, and not bound: a program that another thread
/// starts has for a moment all that is open here, and would still have the port.
pub fn has_no_listener(port: u16) -> bool {
    [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].into_iter().all(|ip| {
        let refused = |socket: UdpSocket| {
            socket.connect((ip, port)).unwrap();
            // The second reports the response to the first.
            socket.send(b"").and_then(|_| socket.send(b"")).is_err()
        };
        TcpStream::connect((ip, port)).is_err() && UdpSocket::bind((ip, 0)).map_or(true, refused)
    })
}
