//! The options for listening sockets that the server inherits.

macro_rules! sockets {
    ($join:ident $($joined:tt)*) => { $join! { $($joined)*

    /// Options for listening sockets that the server inherits.
    Sockets "Sockets" {

    Port "port" {
        line: "open a listening socket for the server",
        manual:
            "Open a listening socket on PORT, 1 to 65535, for TCP or, with /udp, for UDP, and pass it to the server "
            "as descriptor 3. Without --bind it listens on every address, of IPv6 and IPv4. See SOCKETS.",
        takes: ["PORT[/udp]" "integer"],
        wrong: "is not PORT[/udp] with PORT of 1 to 65535",
        accepts: ["80", "53/udp", "65535"],
        rejects: ["0", "65536", "-1", "80x", "80/tcp", "99999": "a port is 1 to 65535", "http": "a port is 1 to 65535"],
        sets: port = socket_address::parse_port_option,
    }

    Bind "bind" {
        line: "IP address for --port, or Unix socket /PATH",
        manual:
            "Listen on ADDRESS only, which is numeric and needs --port; [::] means both families. A path from / on, "
            "without --port, is a Unix socket.",
        takes: ["ADDRESS" "inetaddr"],
        wrong: "is not an IP address without port, or /PATH of at most 107 bytes",
        accepts: ["127.0.0.1", "::1", "[::]", "/run/web.sock"],
        rejects: ["256.1.1.1", "localhost": "an address is numeric"],
        sets: bind = socket_address::parse_bind_option,
    }

    Listen "listen" {
        line: "as --port and --bind, or /PATH (repeatable)",
        manual:
            "Open a listening socket, as --port and --bind do; an IPv6 address is written in brackets. [NAME=]/PATH "
            "is a Unix socket of mode 0660 that belongs to USER. Repeatable: the server gets the sockets as "
            "descriptors from 3 on, in the order of the command line, and the variables LISTEN_FDS, LISTEN_PID and "
            "LISTEN_FDNAMES. The name of a socket is NAME, or vsrun. See SOCKETS.",
        takes: ["[NAME=][ADDRESS:]PORT[/udp]" "inetaddr"] repeatable,
        wrong: "is not [NAME=][ADDRESS:]PORT[/udp], or [NAME=]/PATH of at most 107 bytes",
        accepts: ["80", "53/udp", "127.0.0.1:80", "[::1]:80", "http=80", "api=/run/api.sock"],
        rejects: [
            "a:b=80": "a NAME is printable ASCII without ':'",
            "a	b=80": "'a\\x09b=80' is not [NAME=][ADDRESS:]PORT[/udp]",
            "=80": "a NAME is printable ASCII without ':'",
            "http=99999": "a port is 1 to 65535",
            "localhost:80": "an address is numeric, as in 127.0.0.1",
            "99999": "a port is 1 to 65535",
            "127.0.0.1:99999": "a port is 1 to 65535",
            "127.0.0.1": "a port is 1 to 65535",
            "::1:80": "an IPv6 address needs brackets, as in [::1]:80",
            ":80": "for every address, write the port alone",
            "*:80": "for every address, write the port alone",
        ],
        sets: |options, value, _| {
            options.listen_count_before_port += usize::from(options.port.is_none() && options.bind.is_none());
            append_if_some(&mut options.listen, socket_address::parse_listen_option(value))
        },
    }

    } } };
}
