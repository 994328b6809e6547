//! TCP and UDP ports on which no other test listens.

use super::{namespace, sys};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port without a TCP or UDP listener, from outside the range of ports that the kernel chooses itself. Each test
/// process takes its ports in turn from a hundred that hardly any other test process has.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes run at the same time, each with a part of the ports.
    let part = sys::pid().cast_unsigned().wrapping_add(namespace().wrapping_mul(31)) % 190;
    let base = 13_000 + u16::try_from(part).unwrap() * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if has_no_listener(port) {
            return port;
        }
    }
}

/// True if connections to the port of the loopback are refused. Binding the port would not do: a process that another
/// thread forks meanwhile inherits the bound socket, and keeps the port until its exec.
pub fn has_no_listener(port: u16) -> bool {
    [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].into_iter().all(|ip| {
        let refused = |socket: UdpSocket| {
            socket.connect((ip, port)).unwrap();
            // An ICMP response to the first datagram makes the second send fail.
            socket.send(b"").and_then(|_| socket.send(b"")).is_err()
        };
        TcpStream::connect((ip, port)).is_err() && UdpSocket::bind((ip, 0)).map_or(true, refused)
    })
}
