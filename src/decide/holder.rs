//! Who has an address that cannot be had: the lines of /proc/net/tcp, tcp6, udp, udp6 and unix.

use super::endpoint::{Listener, hex};
use super::text::parts;

/// A socket, as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket<'a> {
    /// Its inode, by which a process that has it is found.
    pub inode: &'a [u8],
    /// Whose it is; empty where the list does not tell.
    pub uid: &'a [u8],
}

/// The socket in a list that keeps others from an address.
pub fn find<'a>(table: &'a [u8], listener: &Listener<'_>) -> Option<Socket<'a>> {
    parts(table, b'\n').find_map(|line| {
        let mut words = parts(line, b' ').filter(|word| !word.is_empty());
        let mut word = |skip| words.nth(skip);
        if listener.is_path() {
            // The calls that wait for a server are listed too, in another state.
            let (state, inode) = (word(5)?, word(0)?);
            return (state == b"01" && word(0)? == listener.text).then_some(Socket { inode, uid: b"" });
        }
        let (local, state, uid, inode) = (word(1)?, word(1)?, word(3)?, word(1)?);
        // Listening for TCP, or not connected for UDP.
        (matches!(state, b"0A" | b"07") && conflict(local, &listener.address)?).then_some(Socket { inode, uid })
    })
}

/// Whether a local address of the list is on the same port, and either of both addresses covers the other.
fn conflict(local: &[u8], address: &[u8]) -> Option<bool> {
    let (theirs, port) = local.split_at_checked(local.len().checked_sub(5)?)?;
    let [_, _, port_high, port_low] = hex(port.get(1..)?)?.to_be_bytes();
    // The last four bytes of an address tell enough, and those of IPv4 are the last of the one of IPv6 that it is mapped
    // to. They are listed as a number of this machine.
    let theirs = hex(theirs.get(theirs.len().checked_sub(8)?..)?)?.to_ne_bytes();
    let ours = address.get(if address.len() > 16 { 20..24 } else { 4..8 })?;
    let covers = theirs == [0; 4] || ours == [0; 4] || ours == theirs;
    Some(covers && address.get(2..4)? == [port_high, port_low])
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
    const UNIX: &[u8] = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
        0000000000000000: 00000002 00000000 00010000 0001 03 0 /run/x\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 300 /run/x\n\
        0000000000000000: 00000003 00000000 00000000 0001 03 301\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 302 /run/a b\n";

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
        assert_eq!(find(UNIX, &ssh), None);
    }

    #[test]
    fn paths_are_whole() {
        let at = |path: &[u8]| find(UNIX, &Listener::parse(path).unwrap()).map(|found| found.inode);
        assert_eq!(at(b"/run/x"), Some(&b"300"[..]));
        assert_eq!(at(b"/x"), None);
        assert_eq!(at(b"/run"), None);
    }
}
