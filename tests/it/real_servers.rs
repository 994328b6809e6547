//! Real servers that were not written for these tests: jailed, logged, managed, crashed and restarted.

use crate::harness::{self, Sandbox, needs, process, sys, words};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

const USER: u32 = 23456;

/// Waits until the pidfile contains another pid than `before`, and returns that pid.
#[track_caller]
fn await_server(pidfile: &Path, before: i32) -> i32 {
    let look = || harness::text(pidfile).trim().parse().ok().filter(|pid| *pid != before);
    harness::await_some("the server's pid in the pidfile", look)
}

/// Sends one request, and returns the answer once it contains `enough`. `None` if no server answers (yet).
fn ask(stream: std::io::Result<impl Read + Write>, request: &str, enough: &str) -> Option<String> {
    let mut stream = stream.ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    while !answer.contains(enough) {
        let mut block = [0; 1024];
        match stream.read(&mut block).ok()? {
            0 => return None,
            count => answer.push_str(&String::from_utf8_lossy(&block[..count])),
        }
    }
    Some(answer)
}

#[test]
fn redis_serves_crashes_and_serves_again() {
    needs!(harness::root(), harness::tool("redis-server"));
    let sandbox = Sandbox::new();
    let socket = sandbox.out("redis.sock");
    let answered =
        || ask(UnixStream::connect(&socket), "PING\r\n", "\r\n").is_some_and(|answer| answer.starts_with("+PONG"));
    let handler = sandbox.script("handler", words!["report", sandbox.out("reported"), "life", sandbox.out("handled")]);
    let options = words![
        "-u",
        format!("{USER}"),
        "-w",
        sandbox.path("out"),
        "-p",
        "pid",
        "-d",
        "logs",
        "1",
        "-m",
        "monitor",
        handler
    ];
    let redis = words!["--", "redis-server", "--port", "0", "--unixsocket", &socket, "--save", "", "--daemonize", "no"];
    let manager = sandbox.vsrun([options, redis].concat()).start();
    let first = await_server(&sandbox.path("pid"), 0);
    harness::await_true("an answer", answered);
    assert_eq!(process::status(first, "Uid").split_whitespace().next(), Some("23456"));
    sys::kill(first, libc::SIGSEGV);
    // Redis catches SIGSEGV, writes a long crash report and then kills itself with the same signal.
    let second = await_server(&sandbox.path("pid"), first);
    harness::await_true("an answer of the next one", || harness::gone(first) && answered());
    let reported = sandbox.report(&sandbox.out("reported"));
    assert_eq!(reported.variable("VSRUN_SERVER_TERMSIG").as_deref(), Some("11"));
    assert!(harness::text(&sandbox.path("logs/logfile")).contains("ready to accept connections"));
    manager.stop().assert_exited(0).assert_silent();
    assert!(harness::gone(second));
    assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
    sandbox.await_nothing_left();
}

#[test]
fn a_web_server_in_a_jail_serves_crashes_and_serves_again() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::install(&harness::find_tool("busybox").unwrap(), &jail.join("busybox"));
    std::fs::write(jail.join("index.html"), "the page in the jail\n").unwrap();
    // An address of this test's own: all of 127.0.0.0/8 belongs to the loopback device.
    let number = sys::pid().cast_unsigned().wrapping_add(harness::namespace());
    let address: SocketAddr =
        format!("127.{}.{}.{}:8080", 1 + (number >> 16) % 250, (number >> 8) & 255, number & 255 | 1).parse().unwrap();
    let get = "GET /index.html HTTP/1.0\r\n\r\n";
    let answered = || ask(TcpStream::connect(address), get, "jail\n").is_some_and(|answer| answer.contains("200 OK"));
    let options =
        words!["-u", format!("{USER}"), "-r", &jail, "-p", "pid", "-d", "logs", "1", "-b", "-m", "monitor", "-"];
    let httpd = words!["--", "/busybox", "httpd", "-f", "-vv", "-p", format!("{address}"), "-h", "/"];
    sandbox.vsrun([options, httpd].concat()).finish().assert_exited(0).assert_silent();
    let manager: i32 = harness::text(&sandbox.path("monitor")).trim().parse().unwrap();
    let first = await_server(&sandbox.path("pid"), 0);
    harness::await_true("the page", answered);
    assert_eq!(process::link(first, "root"), jail.display().to_string());
    sys::kill(first, libc::SIGSEGV);
    let second = await_server(&sandbox.path("pid"), first);
    harness::await_true("the page again", answered);
    assert_eq!(process::status(second, "Uid").split_whitespace().next(), Some("23456"));
    assert!(harness::text(&sandbox.path("logs/logfile")).contains("response:200"));
    assert!(harness::text(&sandbox.path("logs/vsrun.log")).contains("killed by SIGSEGV (11)"));
    sys::kill(manager, libc::SIGTERM);
    harness::await_gone(manager);
    assert!(harness::gone(second) && !sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
    sandbox.await_nothing_left();
}
