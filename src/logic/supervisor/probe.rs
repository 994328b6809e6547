//! Probes of a server: turns a text like `8080/health` into a request, and evaluates the first bytes of the response.
//!
//! A probe is `[http:][ADDRESS:]PORT[/PATH]`, `[http:]/SOCKET[:/PATH]` or `exec:/PROGRAM [ARG]...`. With a PATH, or
//! with `http:`, it is an HTTP/1.1 GET request (RFC 9112), and only the status line of the response is read.

use alloc::vec::Vec;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::cli::value;
use crate::logic::plan::socket_address::{Listener, Transport};

/// How to test whether a server works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Connect to one address after the other until one accepts the connection and, if there is a request, sends a
    /// healthy response.
    Connect {
        /// The addresses as the bytes of a sockaddr, for connect(2). There is at least one.
        addresses: Vec<Vec<u8>>,
        /// The HTTP request. None: a connection is enough.
        request: Option<Vec<u8>>,
    },
    /// Execute this program with these arguments. The server is healthy if the program exits with 0.
    Exec(Vec<StaticCStr>),
}

impl Probe {
    /// Parses a probe as it is written on the command line.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(command) = text.strip_prefix(b"exec:") {
            return value::split_words(command).filter(|_| command.starts_with(b"/")).map(Self::Exec);
        }
        let (http, rest) = match text.strip_prefix(b"http:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (address, path) = if rest.starts_with(b"/") {
            match rest.windows(2).position(|pair| pair == b":/") {
                Some(colon) => (rest.get(..colon)?, rest.get(colon + 1..)),
                None => (rest, None),
            }
        } else {
            match rest.iter().position(|byte| *byte == b'/') {
                Some(slash) => (rest.get(..slash)?, rest.get(slash..)),
                None => (rest, None),
            }
        };
        let path = path.or(http.then_some(&b"/"[..]));
        // The path of an HTTP request must not contain a blank or a control character, which would end it.
        if path.is_some_and(|path| path.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f))) {
            return None;
        }
        let (addresses, host) = parse_addresses_and_host(address)?;
        let request = path.map(|path| {
            let tail = b"\r\nUser-Agent: vsrun\r\nAccept: */*\r\nConnection: close\r\n\r\n";
            [b"GET ", path, b" HTTP/1.1\r\nHost: ", host, tail].concat()
        });
        Some(Self::Connect { addresses, request })
    }
}

/// Parses `[ADDRESS:]PORT` or `/SOCKET`. Returns the addresses, and the value of the HTTP header `Host`.
fn parse_addresses_and_host(text: &[u8]) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let parse = |text: &[u8]| {
        let listener = Listener::parse(text)?;
        (listener.transport == Transport::Stream && listener.address_text.len() == text.len())
            .then_some(listener.sockaddr)
    };
    if text.starts_with(b"/") {
        return Some((vec![parse(text)?], b"localhost"));
    }
    if text.contains(&b':') {
        return Some((vec![parse(text)?], text));
    }
    // Both loopback addresses are tried if no address is given, because a server may listen only on IPv4 or only on
    // IPv6.
    let loopback = |host: &[u8]| parse(&[host, text].concat());
    Some((vec![loopback(b"127.0.0.1:")?, loopback(b"[::1]:")?], b"localhost"))
}

/// What the first bytes of an HTTP response mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpAnswer {
    /// More bytes are needed.
    Incomplete,
    /// An HTTP status from 200 to 399.
    Healthy,
    /// An HTTP status outside of 200 to 399.
    UnhealthyStatus(u16),
    /// The response is not HTTP.
    NotHttp,
}

/// How many bytes of an HTTP response are read: the length of `HTTP/1.1 200`.
pub const STATUS_LINE_PREFIX_SIZE: usize = 12;

/// Evaluates the first bytes of an HTTP response.
pub fn evaluate_response(bytes: &[u8]) -> HttpAnswer {
    const STATUS_LINE_PREFIX_PATTERN: &[u8; STATUS_LINE_PREFIX_SIZE] = b"HTTP/1.# ###";
    let fits = |(byte, wanted): (&u8, &u8)| if *wanted == b'#' { byte.is_ascii_digit() } else { byte == wanted };
    if !bytes.iter().zip(STATUS_LINE_PREFIX_PATTERN).all(fits) {
        return HttpAnswer::NotHttp;
    }
    let Some(digits) = bytes.get(STATUS_LINE_PREFIX_SIZE - 3..STATUS_LINE_PREFIX_SIZE) else {
        return HttpAnswer::Incomplete;
    };
    match digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')) {
        200..=399 => HttpAnswer::Healthy,
        status => HttpAnswer::UnhealthyStatus(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(text: &str) -> (usize, Option<String>) {
        match Probe::parse(text.as_bytes()) {
            Some(Probe::Connect { addresses, request }) => {
                let request = request.map(|bytes| String::from_utf8(bytes).unwrap());
                (addresses.len(), request.map(|text| text.split_inclusive("\r\n").take(2).collect()))
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_form_is_read() {
        let get = |path: &str, host: &str| Some(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"));
        for (text, count, request) in [
            ("80", 2, None),
            ("127.0.0.1:80", 1, None),
            ("[::1]:80", 1, None),
            ("/run/x.sock", 1, None),
            ("80/", 2, get("/", "localhost")),
            ("http:80", 2, get("/", "localhost")),
            ("http:80/a?b=c#d", 2, get("/a?b=c#d", "localhost")),
            ("10.0.0.1:8080/health", 1, get("/health", "10.0.0.1:8080")),
            ("[::1]:80//x:/y", 1, get("//x:/y", "[::1]:80")),
            ("http:/run/x.sock", 1, get("/", "localhost")),
            ("/run/x.sock:/ready", 1, get("/ready", "localhost")),
            ("http:/run/x:y.sock:/r:/s", 1, get("/r:/s", "localhost")),
        ] {
            assert_eq!(connect(text), (count, request), "{text}");
        }
        assert_eq!(Probe::parse(b"exec:/bin/redis-cli  ping"), Some(Probe::Exec(vec![c"/bin/redis-cli", c"ping"])));
    }

    #[test]
    fn malformed_probes_are_refused() {
        for text in [
            "",
            "x",
            "0",
            "65536",
            "80/udp x",
            "localhost:80",
            "localhost/x",
            "http:",
            "exec:",
            "exec:true",
            "exec: /x",
            ":80",
            "80:",
            "a=80",
            "x=/run/s",
            "80/a b",
            "80/a\r\nHost: x",
            "80/\0",
            "::1:80",
            "[::1]",
            "1.2.3:80",
            "https:80",
            "HTTP:80",
            "/run/x.sock:/a\tb",
            "*:80",
        ] {
            let parsed = Probe::parse(text.as_bytes());
            assert!(parsed.is_none(), "{text}: {parsed:?}");
        }
        let long = format!("/{}", "x".repeat(108));
        assert_eq!(Probe::parse(long.as_bytes()), None);
    }

    #[test]
    fn a_status_line_is_judged_as_soon_as_it_is_there() {
        for (bytes, expected) in [
            (&b""[..], HttpAnswer::Incomplete),
            (b"H", HttpAnswer::Incomplete),
            (b"HTTP/1.1 20", HttpAnswer::Incomplete),
            (b"HTTP/1.1 200", HttpAnswer::Healthy),
            (b"HTTP/1.0 204 No Content\r\n", HttpAnswer::Healthy),
            (b"HTTP/1.1 302 Found\r\n", HttpAnswer::Healthy),
            (b"HTTP/1.1 399", HttpAnswer::Healthy),
            (b"HTTP/1.1 400", HttpAnswer::UnhealthyStatus(400)),
            (b"HTTP/1.1 503 x", HttpAnswer::UnhealthyStatus(503)),
            (b"HTTP/1.1 100", HttpAnswer::UnhealthyStatus(100)),
            (b"HTTP/1.1 999", HttpAnswer::UnhealthyStatus(999)),
            (b"HTTP/2 200", HttpAnswer::NotHttp),
            (b"220 smtp", HttpAnswer::NotHttp),
            (b"HTTP/1.1 2x0", HttpAnswer::NotHttp),
            (b"\0", HttpAnswer::NotHttp),
        ] {
            assert_eq!(evaluate_response(bytes), expected, "{:?}", bytes.escape_ascii().to_string());
        }
    }
}
