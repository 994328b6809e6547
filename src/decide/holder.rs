//! Which socket occupies an address: the lines of /proc/net/tcp, tcp6, udp and udp6, which hold numbers only.

use super::endpoint::{Listener, Traffic, hex};
use super::text::parts;

/// A socket, as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket<'a> {
    /// Its inode, by which a process that has it is found.
    pub inode: &'a [u8],
    /// The user it belongs to.
    pub uid: &'a [u8],
}

/// The socket in a list that keeps others from an address.
pub fn find<'a>(table: &'a [u8], listener: &Listener<'_>) -> Option<Socket<'a>> {
    let socket = |line: &'a [u8]| {
        let mut words = parts(line, b' ').filter(|word| !word.is_empty());
        let mut word = |skip| words.nth(skip);
        let (local, state, uid, inode) = (word(1)?, word(1)?, word(3)?, word(1)?);
        // Of TCP only what listens counts: with SO_REUSEADDR, connections keep no one from a port. Of UDP, everything.
        if listener.traffic == Traffic::Connections && state != b"0A" {
            return None;
        }
        overlaps(local, &listener.address)?.then_some(Socket { inode, uid })
    };
    parts(table, b'\n').find_map(socket)
}

/// IPv4 in IPv6: `::ffff:0.0.0.0`, which means every address of IPv4.
const MAPPED: u128 = 0xffff << 32;

/// Whether a local address of the list is on the same port and excludes ours, by the kernel's own rules
/// (`inet_rcv_saddr_equal`). Whether a `[::]` is for IPv6 only is not listed: it is taken for both families.
fn overlaps(local: &[u8], address: &[u8]) -> Option<bool> {
    let (theirs, port) = local.split_at_checked(local.len().checked_sub(5)?)?;
    let [_, _, port_high, port_low] = hex(port.get(1..)?)?.to_be_bytes();
    if address.get(2..4)? != [port_high, port_low] {
        return Some(false);
    }
    // Each 32 bits are listed as a number of this machine.
    let words = theirs.chunks(8).map(|word| hex(word).map(|number| u32::from_be_bytes(number.to_ne_bytes())));
    let theirs = joined(words, theirs.len() == 8)?;
    let bytes = address.get(if address.len() > 16 { 8..24 } else { 4..8 })?;
    let words = bytes.chunks(4).map(|word| word.first_chunk().map(|word| u32::from_be_bytes(*word)));
    let ours = joined(words, bytes.len() == 4)?;
    let are_v4 = ours >> 32 == 0xffff && theirs >> 32 == 0xffff;
    Some(ours == theirs || ours == 0 || theirs == 0 || are_v4 && [ours, theirs].contains(&MAPPED))
}

/// Words of 32 bits as one number; a single one is an address of IPv4.
fn joined(words: impl Iterator<Item = Option<u32>>, is_v4: bool) -> Option<u128> {
    let start = if is_v4 { 0xffff } else { 0 };
    words.into_iter().try_fold(start, |sum, word| Some(sum << 32 | u128::from(word?)))
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
            find(table, &Listener::parse(text.as_bytes()).unwrap())
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
            // Its higher byte is a slash.
            (TCP6, "", 12037, Some("203")),
        ] {
            assert_eq!(on(table, ip, port), inode, "{ip} {port}");
        }
        let ssh = Listener::parse(b"22").unwrap();
        assert_eq!(find(TCP, &ssh), Some(Socket { inode: b"100", uid: b"0" }));
    }
}
