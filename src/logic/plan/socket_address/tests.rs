//! Every form of an endpoint. Addresses are compared with the parser of `core`.

use super::*;
use crate::logic::plan::env::Env;

use crate::logic::plan::socket_activation::InheritedSockets;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name, IP address, port and transport of an endpoint, decoded from the parsed socket address.
fn parsed(text: &str) -> Option<(&str, IpAddr, u16, Transport)> {
    let listener = Listener::parse(text.as_bytes())?;
    let bytes = &listener.sockaddr[..];
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let ip = match u16::from_ne_bytes([bytes[0], bytes[1]]) {
        2 => {
            assert_eq!(bytes.len(), 16, "{text}");
            IpAddr::from(<[u8; 4]>::try_from(&bytes[4..8]).unwrap())
        }
        _ => {
            assert_eq!(bytes.len(), 28, "{text}");
            IpAddr::from(<[u8; 16]>::try_from(&bytes[8..24]).unwrap())
        }
    };
    assert_eq!(listener.ipv4_fallback().is_some(), !listener.address_text.contains(&b':'), "{text}");
    Some((core::str::from_utf8(listener.name).unwrap(), ip, port, listener.transport))
}

#[test]
fn numeric_endpoints_are_parsed() {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let local_6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    for (text, name, ip, port, traffic) in [
        ("80", "vsrun", any, 80, Transport::Stream),
        ("65535", "vsrun", any, 65535, Transport::Stream),
        ("127.0.0.1:80", "vsrun", local, 80, Transport::Stream),
        ("[::1]:80", "vsrun", local_6, 80, Transport::Stream),
        ("web=80", "web", any, 80, Transport::Stream),
        ("a/b c=[::1]:1", "a/b c", local_6, 1, Transport::Stream),
        ("53/udp", "vsrun", any, 53, Transport::Datagram),
        ("n=[::1]:53/udp", "n", local_6, 53, Transport::Datagram),
    ] {
        assert_eq!(parsed(text), Some((name, ip, port, traffic)), "{text}");
    }
}

#[test]
fn absolute_paths_are_unix_sockets() {
    for (text, name, path) in [
        ("/run/x", "vsrun", "/run/x"),
        ("/run/a=b:80", "vsrun", "/run/a=b:80"),
        ("/run/80/udp", "vsrun", "/run/80/udp"),
        ("n=/run/x", "n", "/run/x"),
    ] {
        let found = Listener::parse(text.as_bytes()).unwrap();
        assert_eq!((found.name, found.address_text), (name.as_bytes(), path.as_bytes()), "{text}");
        assert_eq!(found.sockaddr, [&1u16.to_ne_bytes()[..], path.as_bytes(), b"\0"].concat(), "{text}");
        assert!(found.ipv4_fallback().is_none() && found.transport == Transport::Stream, "{text}");
    }
}

#[test]
fn anything_else_is_refused() {
    let long = format!("/{}", "x".repeat(MAX_PATH_BYTES));
    let long_name = format!("{}=80", "x".repeat(MAX_NAME_BYTES + 1));
    assert!(parse_listen_option(&long.as_bytes()[..MAX_PATH_BYTES]).is_some() && parsed(&long_name[1..]).is_some());
    for text in [
        "",
        "0",
        "65536",
        "-1",
        "+1",
        "80x",
        "80/tcp",
        "80/udp/udp",
        "/udp=80/",
        ":80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[127.0.0.1]:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "localhost:80",
        "*:80",
        "[fe80::1%eth0]:80",
        "run/x",
        "=80",
        "a:b=80",
        "a\n=80",
        "a\u{e9}=80",
        "a=",
        "a=b=80",
        "x=/udp80",
        &long,
        &long_name,
    ] {
        let path = text.starts_with('/') || text.contains("=/");
        assert!(parsed_or_path(text).is_none() || (path && text.len() < MAX_PATH_BYTES), "{text:?}");
    }
}

fn parsed_or_path(text: &str) -> Option<Listener<'_>> {
    Listener::parse(text.as_bytes())
}

/// The same addresses are accepted as by `core`, which also accepts dots in IPv6 (not tried).
#[test]
fn addresses_are_read_as_core_reads_them() {
    let parts = ["", "1", "256", "01", "0", "00", "9", "255", "-1", "a", "1000"];
    // Miri is about a thousand times slower, so it gets fewer addresses.
    let (parts, rounds, at_least) = if cfg!(miri) { (&parts[..4], 1, 1) } else { (&parts[..], 4, 1000) };
    let mut count = 0;
    let mut check = |text: &str, ours: Option<Vec<u8>>| {
        let theirs: Option<IpAddr> = text.parse().ok();
        let bytes = theirs.map(|ip| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        });
        count += usize::from(bytes.is_some());
        assert_eq!(ours, bytes, "{text:?}");
    };
    for a in parts {
        for b in parts {
            for c in parts {
                for text in [format!("{a}.{b}.{c}"), format!("{a}.{b}.{c}.1"), format!("1.{a}.{b}.{c}.2")] {
                    check(&text, parse_v4(text.as_bytes()).map(|ip| ip.to_vec()));
                }
            }
        }
    }
    let groups = ["", "0", "1", "f00d", "FFFF", "12345", "g", ":", "0001"];
    let words = |from: &[String]| from.iter().flat_map(|word| groups.map(|group| format!("{word}:{group}"))).collect();
    let mut texts: Vec<String> = groups.map(str::to_owned).to_vec();
    for _ in 0..rounds {
        texts = words(&texts);
        for text in &texts {
            check(text, parse_v6(text.as_bytes()).map(|ip| ip.to_vec()));
        }
    }
    for text in ["1:2:3:4:5:6:7:8", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1::3:4:5:6:7:8", "1::2:3:4:5:6:7:8"] {
        check(text, parse_v6(text.as_bytes()).map(|ip| ip.to_vec()));
    }
    for text in ["1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8::"] {
        check(text, parse_v6(text.as_bytes()).map(|ip| ip.to_vec()));
    }
    assert!(count > at_least, "{count} of them are addresses");
}

#[test]
fn port_and_bind_are_one_socket() {
    for (given_port, given_bind, same) in [
        (Some("80"), None, "80"),
        (Some("80"), Some("127.0.0.1"), "127.0.0.1:80"),
        (Some("80/udp"), Some("::1"), "[::1]:80/udp"),
        (Some("80"), Some("[::1]"), "[::1]:80"),
        (None, Some("/run/x"), "/run/x"),
    ] {
        let port = given_port.map(|text: &str| parse_port_option(text.as_bytes()).unwrap());
        let bind = given_bind.map(|text: &str| parse_bind_option(text.as_bytes()).unwrap());
        assert_eq!(join_port_and_bind(port, bind).unwrap().to_bytes(), same.as_bytes());
        assert!(Listener::parse(same.as_bytes()).is_some(), "{same}");
    }
    for text in ["", "0", "65536", "-1", "80x", "127.0.0.1:80", "/x", "a=80"] {
        assert_eq!(parse_port_option(text.as_bytes()), None, "{text}");
    }
    for text in ["", "localhost", "127.0.0.1:80", "::1]", "[::1", "x/y", "1", "[]"] {
        assert_eq!(parse_bind_option(text.as_bytes()), None, "{text}");
    }
}

fn environ(entries: &[&str]) -> Env {
    Env(entries.iter().map(|entry| leak_cstr(entry.as_bytes().to_vec())).collect())
}

#[test]
fn what_the_parent_handed_in_comes_first() {
    for (given, count, names) in [
        (&["LISTEN_PID=7", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b"][..], 3, "a:b:web"),
        (&["LISTEN_PID=7", "LISTEN_FDS=2"], 3, "unknown:unknown:web"),
        (&["LISTEN_PID=7", "LISTEN_FDS=2", "LISTEN_FDNAMES=a"], 3, "a:unknown:web"),
        (&["LISTEN_PID=7", "LISTEN_FDS=2", "LISTEN_FDNAMES=:b"], 3, "unknown:b:web"),
        (&["LISTEN_PID=7", "LISTEN_FDS=1", "LISTEN_FDNAMES=a:b"], 2, "a:web"),
        (&["LISTEN_PID=8", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b"], 1, "web"),
        (&["LISTEN_FDS=2", "LISTEN_PIDFDID=9"], 1, "web"),
        (&["LISTEN_PID=7", "LISTEN_FDS=many"], 1, "web"),
        (&["LISTEN_PID=7", "LISTEN_FDS=-1"], 1, "web"),
        (&[], 1, "web"),
    ] {
        let mut env = environ(given);
        env.apply_entry(c"LISTEN_X=mine");
        let handed = InheritedSockets::take_from_env(&mut env, b"7");
        assert_eq!(env.0.len(), 1, "{given:?}");
        let own = vec![c"web=80"];
        handed.set_listen_vars(&own, &mut env);
        assert_eq!(crate::logic::plan::socket_activation::total_socket_count(handed.count, &own), count, "{given:?}");
        assert_eq!(env.get(b"LISTEN_FDS"), Some(format!("{count}").as_bytes()), "{given:?}");
        assert_eq!(env.get(b"LISTEN_FDNAMES"), Some(names.as_bytes()), "{given:?}");
        assert_eq!(env.get(b"LISTEN_PID"), None, "{given:?}");
    }
    let mut env = environ(&["LISTEN_FDS=mine"]);
    InheritedSockets::default().set_listen_vars(&[], &mut env);
    assert_eq!(env.get(b"LISTEN_FDS"), Some(&b"mine"[..]));
}
