//! `--probe`: one request to a server, exit status 0 or 1, and one line with the reason of a failure.

use crate::harness::{self, ProcessResult, Sandbox, needs, process, sys, words};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

fn probe(sandbox: &Sandbox, probe: &str, timeout: &str) -> ProcessResult {
    sandbox.vsrun(words!["--probe", probe, "--probe-timeout", timeout]).finish()
}

/// Starts a server on 127.0.0.1 that answers one connection with these parts, each in its own write. Returns the port,
/// and the thread, which returns the request.
fn http(parts: &'static [&'static str]) -> (u16, thread::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.set_nodelay(true).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        for part in parts {
            // The write may fail: a probe that has read the status line closes the connection.
            let _ = connection.write_all(part.as_bytes());
        }
        String::from_utf8(request).unwrap()
    });
    (port, server)
}

#[test]
fn a_status_of_200_to_399_is_healthy_and_nothing_else() {
    let sandbox = Sandbox::new();
    for (parts, reason) in [
        (&["HTTP/1.1 200 OK\r\n\r\nbody"][..], None),
        (&["HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n"], None),
        (&["H", "T", "T", "P", "/", "1", ".", "0", " ", "2", "0", "4"], None),
        (&["HTTP/1.1 404 Not Found\r\n\r\n"], Some("HTTP status 404")),
        (&["HTTP/1.1 503 Service Unavailable\r\n\r\n"], Some("HTTP status 503")),
        (&["220 mail ESMTP\r\n"], Some("the answer is not HTTP")),
        (&["HTTP/1.1 20"], Some("closed without an answer")),
        (&[], Some("closed without an answer")),
    ] {
        let (port, server) = http(parts);
        let ended = probe(&sandbox, &format!("{port}/health?x=1"), "20s");
        match reason {
            None => {
                ended.assert_exited(0).assert_silent();
            }
            Some(reason) => {
                ended.assert_failed(1, &[&format!("probe '{port}/health?x=1' failed: "), reason]);
            }
        }
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /health?x=1 HTTP/1.1\r\nHost: localhost\r\n"), "{request}");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let since = Instant::now();
    probe(&sandbox, &format!("http:127.0.0.1:{port}"), "100ms").assert_failed(1, &["no answer in time"]);
    assert!(since.elapsed() >= Duration::from_millis(100));
    // The kernel completes the connection before the server calls accept(2).
    probe(&sandbox, &format!("127.0.0.1:{port}"), "20s").assert_exited(0).assert_silent();
    let slow = thread::spawn(move || {
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(listener.accept().unwrap());
        }
        // A single byte does not extend the timeout.
        let (connection, _) = &mut connections[2];
        let _ = connection.write_all(b"H");
        connections
    });
    probe(&sandbox, &format!("{port}/"), "100ms").assert_failed(1, &["no answer in time"]);
    drop(slow.join().unwrap());
}

#[test]
fn both_loopback_addresses_are_tried() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    probe(&sandbox, &format!("{port}"), "20s").assert_exited(0);
    probe(&sandbox, &format!("[::1]:{port}"), "20s").assert_exited(0);
    probe(&sandbox, &format!("127.0.0.1:{port}"), "20s").assert_failed(1, &["Connection refused"]);
    drop(listener);
    probe(&sandbox, &format!("{port}"), "20s").assert_failed(1, &["Connection refused"]);
}

#[test]
fn a_unix_socket_is_asked_like_a_port() {
    let sandbox = Sandbox::new();
    let path = sandbox.out("socket");
    let text = path.to_str().unwrap().to_owned();
    probe(&sandbox, &text, "20s").assert_failed(1, &["No such file or directory"]);
    let listener = UnixListener::bind(&path).unwrap();
    probe(&sandbox, &text, "20s").assert_exited(0).assert_silent();
    let server = thread::spawn(move || {
        // The first connection is that of the probe above, the second that of the probe below.
        let _ = listener.accept().unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = [0; 16];
        connection.read_exact(&mut request).unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        String::from_utf8(request.to_vec()).unwrap()
    });
    probe(&sandbox, &format!("{text}:/ready"), "20s").assert_exited(0).assert_silent();
    assert_eq!(server.join().unwrap(), "GET /ready HTTP/");
    // The listener is closed, but its socket file remains.
    probe(&sandbox, &text, "20s").assert_failed(1, &["Connection refused"]);
}

#[test]
fn a_program_is_healthy_if_it_exits_with_0() {
    let sandbox = Sandbox::new();
    let program = sandbox.probe();
    let program = program.to_str().unwrap();
    probe(&sandbox, &format!("exec:{program} exit 0"), "20s").assert_exited(0).assert_silent();
    probe(&sandbox, &format!("exec:{program} exit 3"), "20s").assert_failed(1, &["exited with status 3"]);
    probe(&sandbox, "exec:/no/such/program", "20s").assert_failed(1, &["cannot execute '/no/such/program'"]);
    let since = Instant::now();
    probe(&sandbox, &format!("exec:{program} wait"), "100ms").assert_failed(1, &["no answer in time"]);
    assert!(since.elapsed() < Duration::from_secs(20));
    sandbox.await_nothing_left();
}

#[test]
fn a_signal_ends_a_program_that_is_waited_for() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let program = format!("exec:{} ignore 15 life {} wait", sandbox.probe().display(), life.display());
        let asked = sandbox.vsrun(words!["--probe", program, "--probe-timeout", "1h"]).start();
        harness::await_life(&life, 1);
        asked.signal(signal);
        asked.finish().assert_failed(128 + signal, &["stopped by SIG"]);
        sandbox.await_nothing_left();
    }
}

/// vsrun cannot kill a set-user-ID program that runs as another user.
#[test]
fn a_program_that_cannot_be_killed_is_not_waited_for() {
    needs!(harness::root());
    let sandbox = Sandbox::plain();
    let (program, life) = (sandbox.path("special"), sandbox.out("life"));
    harness::sandbox::copy(&sandbox.probe(), &program);
    std::os::unix::fs::chown(&program, Some(0), Some(0)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    needs!(harness::available(sys::grants_special_rights(&program), "a file system without nosuid"));
    let text = format!("exec:{} assume life {} wait", program.display(), life.display());
    let asked = sandbox.vsrun(words!["--probe", &text, "--probe-timeout", "1h"]).start();
    let root = harness::await_life(&life, 1);
    asked.stop().assert_failed(1, &["no answer in time"]);
    assert!(!process::gone(root));
    fs::remove_file(&life).unwrap();
    probe(&sandbox, &text, "2s").assert_failed(1, &["no answer in time"]);
}

/// The kernel may choose the probed port as the local port of the probe, which then connects to itself.
#[test]
fn a_probe_never_connects_to_itself() {
    needs!(harness::root(), harness::tool("unshare"), harness::tool("ip"));
    let sandbox = Sandbox::new();
    let script = "ip link set lo up && echo 40000 40001 >/proc/sys/net/ipv4/ip_local_port_range || exit 9
        for address in 127.0.0.1 '[::1]'; do for at in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
            for port in 40000 40001; do $0 --probe $address:$port && echo $address; done
        done; done 2>/dev/null; exit 0";
    let line = words!["--net", "sh", "-c", script, sandbox.path("vsrun")];
    sandbox.program(&harness::find_tool("unshare").unwrap(), line).finish().assert_exited(0).assert_silent();
}

#[test]
fn a_real_web_server_is_asked() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.out("index.html"), "x").unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let line = words!["httpd", "-f", "-p", format!("127.0.0.1:{port}"), "-h", sandbox.out("")];
    let server = sandbox.program(&harness::find_tool("busybox").unwrap(), line).start();
    harness::await_true("a healthy server", || probe(&sandbox, &format!("{port}/index.html"), "5s").code() == Some(0));
    probe(&sandbox, &format!("{port}/missing"), "20s").assert_failed(1, &["HTTP status 404"]);
    server.signal(libc::SIGTERM);
    server.finish();
}

#[test]
fn malformed_probes_are_wrong_usage() {
    let sandbox = Sandbox::new();
    for text in
        ["", "x", "0", "65536", "localhost:80", "::1:80", "https:80", "exec:true", "80/a b", "80/udp\n", "http:", ":80"]
    {
        sandbox.vsrun(words!["--probe", text]).finish().assert_failed(2, &["option --probe: '"]);
    }
    for line in [
        words!["--probe", "80", "--", "/bin/true"],
        words!["--probe", "80", "-p", "x"],
        words!["--probe-timeout", "1s", "--probe", "80", "--status", "x"],
    ] {
        sandbox.vsrun(line).finish().assert_failed(2, &["option --"]);
    }
    sandbox
        .vsrun(words!["--probe-timeout", "1s", "--", "/bin/true"])
        .finish()
        .assert_failed(2, &["--probe-timeout needs --probe"]);
    sandbox.vsrun(words!["--probe", "80", "--probe-timeout", "0"]).finish().assert_failed(2, &["--probe-timeout"]);
}
