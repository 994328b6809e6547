//! Finds the socket that occupies an address, in /proc/net/tcp, tcp6, udp and udp6.

use crate::logic::base::text::split_byte;
use crate::logic::plan::socket_address::{Listener, Transport, parse_hex};

/// A socket in a table of /proc/net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket<'a> {
    /// The inode of the socket, in digits. It identifies the socket among the open files of a process in /proc.
    pub inode: &'a [u8],
    /// The user id of the socket's owner, in digits.
    pub uid: &'a [u8],
}

/// The sockets of a /proc/net table that [`find_conflicting_socket`] considers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TcpStates {
    /// Listening TCP sockets, and all UDP sockets: they certainly keep their address from being bound.
    Listening,
    /// The sockets of TCP connections too. They keep the address from being bound only if they do not have the
    /// option SO_REUSEADDR, which vsrun's own socket has. The table does not show whether they have it.
    All,
}

/// Finds the socket in a table of /proc/net that keeps `listener` from binding its address. None if the table has none.
pub fn find_conflicting_socket<'a>(table: &'a [u8], listener: &Listener<'_>, search: TcpStates) -> Option<Socket<'a>> {
    for line in split_byte(table, b'\n') {
        let mut words = split_byte(line, b' ').filter(|word| !word.is_empty());
        let mut after = |skipped| words.nth(skipped).unwrap_or_default();
        let (local, state, uid, inode) = (after(1), after(1), after(3), after(1));
        // In the state column of /proc/net/tcp, 0A is TCP_LISTEN.
        let counts = search == TcpStates::All || listener.transport == Transport::Datagram || state == b"0A";
        if counts && addresses_conflict(local, &listener.sockaddr) == Some(true) {
            return Some(Socket { inode, uid });
        }
    }
    None
}

/// `::ffff:0.0.0.0`. It is the prefix of every IPv4 address in its IPv6 form, and the IPv6 form of 0.0.0.0, which means
/// every IPv4 address. As in the kernel's table, the value consists of four 32-bit numbers in native byte order, the
/// first one in the highest bits.
const V4_MAPPED_PREFIX: u128 = (u32::from_ne_bytes([0, 0, 0xff, 0xff]) as u128) << 32;

/// True if a local address of the table conflicts with `address` by the kernel's own rules (`inet_rcv_saddr_equal`).
/// None if one of them is malformed. The table does not show whether a socket at `[::]` is for IPv6 only, so it counts
/// for both families.
fn addresses_conflict(local: &[u8], address: &[u8]) -> Option<bool> {
    let mut halves = split_byte(local, b':');
    let theirs = parse_as_ipv6(halves.next()?, 8, parse_hex)?;
    let [_, _, port_high, port_low] = parse_hex(halves.rest?)?.to_be_bytes();
    let bytes = address.get(if address.len() > 16 { 8..24 } else { 4..8 })?;
    let ours = parse_as_ipv6(bytes, 4, |word| word.first_chunk().copied().map(u32::from_ne_bytes))?;
    let are_v4 = [ours, theirs].iter().all(|address| address >> 32 == V4_MAPPED_PREFIX >> 32);
    let means_all = |address| address == 0 || are_v4 && address == V4_MAPPED_PREFIX;
    let covers = ours == theirs || means_all(ours) || means_all(theirs);
    Some(covers && address.get(2..4)? == [port_high, port_low])
}

/// Parses an address that consists of four 32-bit numbers (IPv6) or one (IPv4, which becomes its IPv6 form). Each
/// number is `word_bytes` bytes long, and `parse_word` parses it.
fn parse_as_ipv6(text: &[u8], word_bytes: usize, parse_word: fn(&[u8]) -> Option<u32>) -> Option<u128> {
    let mut address = if text.len() == word_bytes { V4_MAPPED_PREFIX >> 32 } else { 0 };
    for word in text.chunks(word_bytes) {
        address = address << 32 | u128::from(parse_word(word)?);
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 x 100 0 0 10 0\n\
        \x20  1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000    33        0 101 1 x 100 0 0 10 0\n\
        \x20  2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 102 1 x 100 0 0 10 0\n\
        \x20  3: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    34        0 103 1 x 100 0 0 10 0\n\
        \x20  4: 0100007F:1F91 0100007F:9999 06 00000000:00000000 03:00000000 00000000     0        0 0 3 x\n";
    const TCP6: &[u8] = b"header\n   \
        0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 7 0 200 1\n   \
        1: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0 0 7 0 201 1\n   \
        2: 00000000000000000000000000000000:1F93 00000000000000000000000000000000:0000 0A 0:0 0:0 0 7 0 202 1\n   \
        3: 00000000000000000000000000000000:2F05 00000000000000000000000000000000:0000 0A 0:0 0:0 0 7 0 203 1\n";
    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_lists_are_read() {
        let on = |table, ip: &str, port: u16| {
            let text = if ip.is_empty() { format!("{port}") } else { format!("{ip}:{port}") };
            find_conflicting_socket(table, &Listener::parse(text.as_bytes()).unwrap(), TcpStates::Listening)
                .map(|found| core::str::from_utf8(found.inode).unwrap())
        };
        for (table, ip, port, inode) in [
            (TCP, "", 22, Some("100")),
            (TCP, "127.0.0.1", 22, Some("100")),
            (TCP, "127.0.0.1", 8080, Some("102")),
            (TCP, "127.0.0.2", 8080, Some("103")),
            (TCP, "127.0.0.3", 8080, None),
            (TCP, "0.0.0.0", 8081, None),
            (TCP, "", 23, None),
            (TCP6, "[::1]", 8080, Some("200")),
            (TCP6, "[::2]", 8080, None),
            (TCP6, "[::]", 8080, Some("200")),
            (TCP6, "127.0.0.1", 8082, Some("201")),
            (TCP6, "127.0.0.1", 8083, Some("202")),
            // The high byte of port 12037 is 0x2f, the code of `/`: the port must not be taken for a path.
            (TCP6, "", 12037, Some("203")),
        ] {
            assert_eq!(on(table, ip, port), inode, "{ip} {port}");
        }
        let ssh = Listener::parse(b"22").unwrap();
        assert_eq!(find_conflicting_socket(TCP, &ssh, TcpStates::Listening), Some(Socket { inode: b"100", uid: b"0" }));
        let closed = Listener::parse(b"8081").unwrap();
        assert_eq!(find_conflicting_socket(TCP, &closed, TcpStates::All), Some(Socket { inode: b"0", uid: b"0" }));
    }
}
