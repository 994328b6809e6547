//! `--check` of sockets: it finds the same problems as a start, and never occupies a port.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, sys, words};
use std::fs;
use std::io::Read;
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// Whether a start and a `--check`, in this order, accept `--listen` with this value.
#[track_caller]
fn start_and_check_accept(sandbox: &Sandbox, listen: &str) -> (bool, bool) {
    let line = words!["--listen", listen, "--", sandbox.probe()];
    let start = sandbox.vsrun(line.clone()).finish();
    let check = sandbox.vsrun([words!["--check"], line].concat()).finish();
    match (start.code(), check.code()) {
        (Some(0), Some(0)) => {
            let unsure = |line: &String| line.contains("it is the port of a connection (");
            assert!(check.out.iter().all(unsure), "{listen}: {check:?}");
        }
        (Some(125), Some(125)) => assert_eq!(start.err[0], format!("vsrun: {}", check.out[0])),
        _ => {}
    }
    (start.code() == Some(0), check.code() == Some(0))
}

const ADDRESSES: [&str; 5] = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]"];

#[test]
fn a_check_and_a_start_agree_about_every_pair_of_addresses() {
    let sandbox = Sandbox::new();
    for theirs in ADDRESSES {
        let tcp = TcpListener::bind(format!("{theirs}:0")).unwrap();
        let udp = UdpSocket::bind(format!("{theirs}:0")).unwrap();
        let ports = [(tcp.local_addr().unwrap().port(), ""), (udp.local_addr().unwrap().port(), "/udp")];
        for (port, kind) in ports {
            for ours in ADDRESSES.map(|address| format!("{address}:")).iter().chain([&String::new()]) {
                let (start, check) = start_and_check_accept(&sandbox, &format!("{ours}{port}{kind}"));
                assert_eq!(start, check, "theirs {theirs}, ours {ours}{port}{kind}");
            }
        }
    }
}

#[test]
fn connected_udp_socket_blocks_a_port_and_accepted_tcp_does_not() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _client = std::net::TcpStream::connect(address).unwrap();
    let accepted = listener.accept().unwrap();
    drop(listener);
    assert_eq!(start_and_check_accept(&sandbox, &format!("{}", address.port())), (true, true));
    drop(accepted);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect("127.0.0.1:9").unwrap();
    assert_eq!(start_and_check_accept(&sandbox, &format!("{}/udp", udp.local_addr().unwrap().port())), (false, false));
}

/// A connection whose socket is without SO_REUSEADDR keeps its port in use in every TCP state. The kernel's list does
/// not show this option, so a check cannot decide.
#[test]
fn check_reports_a_port_of_a_connection_as_not_checked() {
    let sandbox = Sandbox::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut accepted, port) = (server.accept().unwrap(), client.local_addr().unwrap().port().to_string());
    let says = |listen: &str, owner: &str| {
        let line = words!["--listen", listen, "--", sandbox.probe(), "exit", "0"];
        let start = sandbox.vsrun(line.clone()).finish();
        start.assert_failed(125, &[&format!("cannot listen on '{listen}': Address in use ({owner} has it)")]);
        let check = sandbox.vsrun([words!["--check"], line].concat()).finish();
        let doubt = format!("not checked: whether '{listen}' is free: it is the port of a connection ({owner} has it)");
        assert_eq!(check.assert_exited(0).out, [doubt]);
    };
    for listen in [port.clone(), format!("127.0.0.1:{port}")] {
        says(&listen, &format!("pid {}", sys::pid()));
    }
    assert_eq!(start_and_check_accept(&sandbox, &format!("127.0.0.2:{port}")), (true, true));
    // The client closes first, so its socket enters TIME_WAIT and belongs to no process. shutdown(2) has this effect
    // even if a child of another test still has a copy of the descriptor until its exec.
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(accepted.0.read(&mut [0]).unwrap(), 0);
    accepted.0.shutdown(Shutdown::Write).unwrap();
    let row = format!(":{:04X} ", port.parse::<u16>().unwrap());
    harness::await_true("TIME_WAIT", || {
        let table = harness::text(&PathBuf::from("/proc/self/net/tcp"));
        table.lines().any(|line| line.contains(&row) && line.split_whitespace().nth(3) == Some("06"))
    });
    says(&port, "a closed connection");
}

#[test]
fn an_address_of_another_machine_and_a_low_port_are_found() {
    let sandbox = Sandbox::plain();
    for listen in ["192.0.2.1:8080", "[2001:db8::1]:8080/udp"] {
        assert_eq!(start_and_check_accept(&sandbox, listen), (false, false), "{listen}");
    }
    let low =
        harness::text(&PathBuf::from("/proc/sys/net/ipv4/ip_unprivileged_port_start")).trim().parse::<u16>().unwrap();
    if low > 1 {
        assert_eq!(start_and_check_accept(&sandbox, "1"), (false, false));
        let line = words!["--check", "--port", "1", "--", sandbox.probe()];
        let check = sandbox.vsrun(line).finish();
        assert!(check.out[0].ends_with("Permission denied (low ports need CAP_NET_BIND_SERVICE)"), "{check:?}");
    }
}

#[test]
fn a_check_never_makes_the_bind_of_another_program_fail() {
    needs!(harness::tool("python3"));
    let sandbox = Sandbox::new();
    let port = harness::free_port();
    let (up, done) = (sandbox.path("up"), sandbox.path("done"));
    // The sockets are in a separate program, because children of the test process keep copies of its sockets until they
    // exec.
    let program = "import os, socket, sys\n\
        while not os.path.exists(sys.argv[3]):\n\
        \x20for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:\n\
        \x20 with socket.socket(socket.AF_INET, kind) as s:\n\
        \x20  if kind == socket.SOCK_STREAM: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
        \x20  s.bind(('127.0.0.1', int(sys.argv[1])))\n\
        \x20open(sys.argv[2], 'w').close()";
    let words = words!["-c", program, port.to_string(), &up, &done];
    let binding = sandbox.program(&harness::find_tool("python3").unwrap(), words).start();
    harness::await_file(&up);
    for _ in 0..40 {
        let (tcp, udp) = (port.to_string(), format!("{port}/udp"));
        sandbox.vsrun(words!["--check", "--listen", tcp, "--listen", udp, "--", sandbox.probe()]).finish();
    }
    fs::write(&done, "").unwrap();
    binding.finish().assert_exited(0).assert_silent();
}

#[test]
fn what_proc_does_not_show_is_said_to_be_unchecked() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(PathBuf::from("/proc"), "")]);
    let port = taken.local_addr().unwrap().port().to_string();
    let line = words!["--check", "--port", &port, "--", sandbox.probe()];
    let check = sandbox.vsrun(line).within(&mounts).finish();
    check.assert_exited(0);
    assert_eq!(check.out, [format!("not checked: whether '{port}' is free: /proc/net cannot be read")]);
}

/// A socket whose name contains a newline and a forged line in the format of /proc/net/unix.
#[test]
fn a_newline_in_a_path_forges_no_holder() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("s");
    let _theirs = UnixListener::bind(&path).unwrap();
    let victim = TcpListener::bind("127.0.0.1:0").unwrap();
    let inode = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&victim))).unwrap();
    let inode = inode.display().to_string();
    let inode = inode.trim_start_matches("socket:[").trim_end_matches(']');
    let line = "0000000000000000: 00000002 00000000 00010000 0001 01";
    let forged = format!("x\n{line} {inode} {}", path.display());
    let name = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&forged);
    let liar = UnixListener::bind_addr(&name.unwrap());
    assert!(liar.is_ok());
    let start = sandbox.vsrun(words!["--listen", &path, "--", sandbox.probe()]).finish();
    start.assert_failed(125, &["Address in use", &format!("(pid {} has it)", sys::pid())]);
}
