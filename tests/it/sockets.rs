//! Sockets that vsrun opens: what the server gets, which users may connect, which addresses are refused, and that no
//! client is refused while there is no server.

use crate::harness::ports::has_no_listener;
use crate::harness::{self, Call, PLAIN, Report, Running, Sandbox, free_port, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads the answer of the probe from a connection: its pid.
#[track_caller]
fn read_pid(mut from: impl Read) -> i32 {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text.trim().parse().unwrap_or_else(|_| panic!("{text:?} is no pid"))
}

fn connect_to_port(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// Starts a manager whose server, the probe, answers the connections to the socket on descriptor 3.
#[track_caller]
fn serve(sandbox: &Sandbox, options: Vec<OsString>) -> Running {
    let life = sandbox.out("life");
    let actions = words!["--", sandbox.probe(), "life", &life, "serve", "3"];
    let manager = sandbox.vsrun([words!["--restart-delay", "0"], options, actions].concat()).start();
    harness::await_life(&life, 1);
    manager
}

/// Runs the probe with these options of vsrun until it has exited, and returns its report.
#[track_caller]
fn report(sandbox: &Sandbox, options: Vec<OsString>) -> Report {
    let file = sandbox.out("report");
    let _ = fs::remove_file(&file);
    sandbox.vsrun([options, words!["--", sandbox.probe(), "report", &file]].concat()).finish().assert_exited(0);
    sandbox.report(&file)
}

/// Checks that the descriptors from 3 on are the sockets that the environment announces, with these names. Returns
/// their targets in /proc/self/fd.
#[track_caller]
fn assert_passed_sockets(found: &Report, names: &str) -> Vec<String> {
    let count = names.split(':').count();
    assert_eq!(found.variable("LISTEN_FDS"), Some(count.to_string()), "{found:?}");
    assert_eq!(found.variable("LISTEN_PID"), Some(found.one("pid")), "{found:?}");
    assert_eq!(found.variable("LISTEN_FDNAMES").as_deref(), Some(names), "{found:?}");
    let all = found.descriptors();
    let given: Vec<_> = all.iter().filter(|fd| (3..3 + i32::try_from(count).unwrap()).contains(&fd.number)).collect();
    assert_eq!(given.len(), count, "{found:?}");
    assert!(given.iter().all(|fd| fd.kind == "socket" && fd.kept), "{found:?}");
    given.iter().map(|fd| fd.target.clone()).collect()
}

#[test]
fn the_server_finds_its_sockets_from_3_on() {
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let [a, b, c] = [free_port(), free_port(), free_port()].map(|port| port.to_string());
        let path = sandbox.path("socket");
        let options = words!["--listen", format!("web={a}"), "--port", b, "--bind", "127.0.0.1", "--listen", &path];
        let more = words!["--listen", format!("dns=[::1]:{c}/udp"), "-p", "pid"];
        let found = report(&sandbox, [way.clone(), options, more].concat());
        assert_eq!(assert_passed_sockets(&found, "web:vsrun:vsrun:dns").len(), 4);
        let rest: Vec<i32> = found.descriptor_numbers().into_iter().filter(|number| *number > 6).collect();
        // A vsrun that becomes the server leaves the locked pidfile open too, on a descriptor after the sockets.
        let becomes = !way.contains(&"-m".into());
        assert_eq!(rest.len(), usize::from(becomes), "{way:?}: {found:?}");
        sandbox.await_nothing_left();
        assert_eq!(path.exists(), becomes, "{way:?}: a vsrun that stays removes its socket");
    }
}

#[test]
fn a_port_without_an_address_listens_on_ipv4_and_ipv6() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let manager = serve(&sandbox, words!["-m", "-", "-", "--port", port.to_string()]);
    let server = harness::lives(&sandbox.out("life"))[0].0;
    assert_eq!(read_pid(connect_to_port(port).unwrap()), server);
    assert_eq!(read_pid(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap()), server);
    let wide = process::descriptors(manager.pid()).into_iter().filter(|(fd, to)| *fd == 3 && to.starts_with("socket:"));
    assert_eq!(wide.count(), 1, "the manager keeps it where it is");
    manager.stop().assert_exited(0);
    assert_eq!(connect_to_port(port).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_socket_with_an_address_listens_only_on_that_address() {
    let sandbox = Sandbox::new();
    for (address, other) in [("127.0.0.2", "[::1]"), ("::1", "127.0.0.1"), ("[::1]", "127.0.0.1")] {
        let port = free_port();
        let _ = fs::remove_file(sandbox.out("life"));
        let manager = serve(&sandbox, words!["-m", "-", "-", "--bind", address, "--port", port.to_string()]);
        let whole = if address.starts_with(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        read_pid(TcpStream::connect(whole).unwrap());
        assert_eq!(TcpStream::connect(format!("{other}:{port}")).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        manager.stop().assert_exited(0);
    }
}

#[test]
fn a_port_listens_on_ipv4_if_the_kernel_has_no_ipv6() {
    needs!(harness::tool("strace"));
    let sandbox = Sandbox::new();
    let port = free_port();
    let strace = harness::find_tool("strace").unwrap();
    let faults = words!["-qq", "-o", "/dev/null", "-e", "inject=socket:error=EAFNOSUPPORT:when=1"];
    let line = words![sandbox.path("vsrun"), "--port", port.to_string(), "--", sandbox.probe(), "serve", "3"];
    let server = sandbox.program(&strace, [faults.clone(), line].concat()).start();
    let client = harness::await_some("a server", || connect_to_port(port).ok());
    read_pid(client);
    assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_err());
    server.signal(libc::SIGKILL);
    // If an IPv6 address was requested, it is not replaced by an IPv4 address.
    let line = words![sandbox.path("vsrun"), "--listen", format!("[::1]:{}", free_port()), "--", "true"];
    sandbox.program(&strace, [faults, line].concat()).finish().assert_failed(125, &["cannot listen on '[::1]:"]);
}

#[test]
fn a_udp_port_belongs_to_one_manager_until_it_exits() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let options = words!["-m", "-", "-", "--listen", format!("{port}/udp"), "--", sandbox.probe(), "life", "out/life"];
    let manager = sandbox.vsrun([options, words!["wait"]].concat()).start();
    harness::await_life(&sandbox.out("life"), 1);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_nonblocking(true).unwrap();
    client.send(b"x").unwrap();
    assert_eq!(client.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "a process is there");
    // A second server on the port is refused, because it would take some of the packets.
    let line = words!["--port", format!("{port}/udp"), "--", "true"];
    sandbox.vsrun(line).finish().assert_failed(125, &["Address in use", &format!("pid {}", manager.pid())]);
    manager.stop().assert_exited(0);
    client.send(b"x").unwrap();
    assert_eq!(client.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_unprivileged_server_gets_a_port_below_1024() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let port = (600..1000).find(|port| has_no_listener(*port)).unwrap();
    for way in [words![], words!["-m", "-", "-"]] {
        let life = sandbox.out("life");
        let _ = fs::remove_file(&life);
        let line = words!["-u", PLAIN.to_string(), "--port", port.to_string(), "--", sandbox.probe(), "life", &life];
        let server = sandbox.vsrun([way, line, words!["serve", "3"]].concat()).start();
        let pid = harness::await_life(&life, 1);
        assert_eq!(read_pid(connect_to_port(port).unwrap()), pid);
        assert_eq!(process::status(pid, "Uid").split_whitespace().next(), Some("65534"));
        server.signal(libc::SIGTERM);
        server.finish();
    }
}

#[test]
fn a_unix_socket_belongs_to_the_user_and_group_of_the_server() {
    needs!(harness::root());
    for umask in [0, 0o77] {
        let sandbox = Sandbox::new();
        let path = sandbox.out("socket");
        let life = sandbox.out("life");
        let line = words!["-u", "65534:65533", "-m", "-", "-", "--bind", &path, "--", sandbox.probe(), "life", &life];
        let line = [line, words!["report", sandbox.out("report"), "serve", "3"]].concat();
        let manager = sandbox.vsrun(line).before(move || sys::umask(umask)).start();
        let found = sandbox.report(&sandbox.out("report"));
        assert_eq!(found.number("umask"), i32::try_from(umask).unwrap(), "the server's own is as it was");
        let about = fs::symlink_metadata(&path).unwrap();
        assert!(about.file_type().is_socket());
        assert_eq!((about.mode() & 0o7777, about.uid(), about.gid()), (0o660, 65534, 65533));
        assert_eq!(read_pid(UnixStream::connect(&path).unwrap()), harness::lives(&life)[0].0);
        manager.stop().assert_exited(0);
        assert!(!path.exists(), "removed at the end");
    }
}

#[test]
fn a_failed_start_leaves_no_socket() {
    let plain = if sys::user() == 0 { words!["-u", PLAIN.to_string()] } else { words![] };
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let port = free_port().to_string();
        let path = sandbox.out("socket");
        let options = [way, plain.clone(), words!["--listen", &path, "--listen", &port]].concat();
        for (more, command, status) in [
            (words![], "/nonexistent", 127),
            (words!["-p", "pid"], "/nonexistent", 127),
            (words![], "/dev", 126),
            (words!["-w", "/nonexistent"], "true", 125),
            (words!["-s", "tag", "--logger", "/nonexistent"], "true", 125),
            (words!["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"], "true", 125),
        ] {
            sandbox.vsrun([options.clone(), more, words!["--", command]].concat()).finish().assert_exited(status);
            assert!(path.symlink_metadata().is_err(), "{options:?} {command}");
            assert!(!sandbox.path("pid").exists(), "{options:?} {command}");
        }
        assert!(sandbox.living().is_empty());
    }
}

/// Leaves a socket at this path on which no process listens.
fn leave_dead_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

#[test]
fn a_dead_socket_is_removed_under_a_lock_only() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("socket");
    leave_dead_socket(&path);
    let before = fs::symlink_metadata(&path).unwrap().ino();
    for way in harness::ways() {
        let line = [way, words!["--bind", &path, "--", "true"]].concat();
        sandbox
            .vsrun(line)
            .finish()
            .assert_failed(125, &["cannot listen on", "Address in use", "socket of a dead server"]);
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before);
    }
    for locks in [words!["-p", "pid"], words!["-m", "monitor", "-"], words!["-p", "pid", "-m", "-", "-"]] {
        if !path.exists() {
            leave_dead_socket(&path);
        }
        let life = sandbox.out("life");
        let _ = fs::remove_file(&life);
        let line = words!["--bind", &path, "--", sandbox.probe(), "life", &life, "serve", "3"];
        let server = sandbox.vsrun([locks, line].concat()).start();
        let pid = harness::await_life(&life, 1);
        assert_eq!(read_pid(UnixStream::connect(&path).unwrap()), pid);
        server.signal(libc::SIGTERM);
        server.finish();
    }
}

#[test]
fn a_file_or_a_live_socket_at_the_path_is_not_removed() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("taken");
    let refused = |parts: &[&str]| {
        for way in harness::ways() {
            let line = [way, words!["-p", "pid", "--bind", &path, "--", "true"]].concat();
            sandbox
                .vsrun(line)
                .finish()
                .assert_failed(125, &[&[&path.display().to_string()[..], "Address in use"], parts].concat());
        }
    };
    fs::write(&path, "mine").unwrap();
    refused(&["not a socket"]);
    assert_eq!(harness::text(&path), "mine");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    refused(&["not a socket"]);
    fs::remove_dir(&path).unwrap();

    symlink("nowhere", &path).unwrap();
    refused(&[]);
    assert!(path.is_symlink() && !sandbox.path("nowhere").exists());
    fs::remove_file(&path).unwrap();

    let live = UnixListener::bind(&path).unwrap();
    refused(&[&format!("pid {}", sys::pid())]);
    drop(live);
}

#[test]
fn the_holder_of_a_port_is_named() {
    let sandbox = Sandbox::new();
    let me = format!("(pid {} has it)", sys::pid());
    let refused = |line: Vec<OsString>| {
        let said = sandbox.vsrun([line, words!["--", "append", "ran", "x"]].concat()).finish();
        said.assert_failed(125, &["cannot listen on", "Address in use", &me]);
    };
    // The high byte of the second port is 0x2f, the code of `/`: the port must not be taken for a path.
    for port in [free_port(), (0x2f00..0x3000).find(|port| has_no_listener(*port)).unwrap()] {
        let text = port.to_string();
        let _v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        refused(words!["--port", &text]);
        refused(words!["--port", &text, "--bind", "127.0.0.1", "-m", "-", "-"]);
        refused(words!["--port", &text, "--bind", "0.0.0.0", "-b"]);
    }
    let port = free_port();
    let _v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).unwrap();
    refused(words!["--listen", format!("[::1]:{port}"), "-b", "-m", "-", "-"]);
    refused(words!["--listen", format!("[::]:{port}")]);
    let port = free_port();
    let _udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    refused(words!["--port", format!("{port}/udp")]);
    if sys::user() == 0 {
        // Without the right to read the descriptors of the process that has the port, vsrun reports only its user.
        let port = free_port();
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let plain = Sandbox::plain();
        let line = words!["--port", port.to_string(), "--", "true"];
        plain.vsrun(line).finish().assert_failed(125, &["Address in use", "(a process of user 0 has it)"]);
    }
}

#[test]
fn no_connection_is_refused_while_servers_die() {
    let sandbox = Sandbox::new();
    let (port, life) = (free_port(), sandbox.out("life"));
    let manager = serve(&sandbox, words!["-m", "-", "-", "--port", port.to_string()]);
    let done = AtomicBool::new(false);
    let client = || {
        let (mut calls, mut answered) = (0, 0);
        while calls < 2000 || !done.load(Ordering::Relaxed) {
            let mut connection = connect_to_port(port).unwrap_or_else(|error| panic!("call {calls}: {error}"));
            // A server may be killed while it answers. Then the answer is lost, but the connection was not refused.
            answered += u32::from(connection.read_to_string(&mut String::new()).is_ok_and(|count| count > 0));
            calls += 1;
        }
        (calls, answered)
    };
    let (calls, answered) = std::thread::scope(|scope| {
        let client = scope.spawn(client);
        for restart in 0..60 {
            let server = harness::await_life(&life, restart + 1);
            if restart % 6 == 5 { manager.signal(libc::SIGHUP) } else { sys::kill(server, libc::SIGKILL) }
        }
        harness::await_life(&life, 61);
        done.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    assert!(calls >= 2000 && answered + 60 >= calls, "{answered} of {calls} calls were answered");
    manager.stop().assert_exited(0);
}

#[test]
fn a_call_while_the_server_is_down_is_answered_later() {
    let sandbox = Sandbox::new();
    let (port, life, again) = (free_port(), sandbox.out("life"), sandbox.out("again"));
    let asked = sandbox.out("asked");
    let handler = sandbox.script("handler", words!["append", &asked, "x", "await", &again]);
    let line = words!["-m", "-", handler, "--port", port.to_string(), "--", sandbox.probe(), "life", &life];
    let manager = sandbox.vsrun([line, words!["at", "1", "raise", "9", "serve", "3"]].concat()).start();
    harness::await_file(&asked);
    let clients: Vec<TcpStream> = (0..20).map(|_| connect_to_port(port).unwrap()).collect();
    assert_eq!(harness::lives(&life).len(), 1, "there is no server");
    fs::write(&again, "").unwrap();
    let second = harness::await_life(&life, 2);
    clients.into_iter().for_each(|client| assert_eq!(read_pid(client), second));
    manager.stop().assert_exited(0);
}

/// Calls vsrun with these sockets from descriptor 3 on, as systemd does. A shell sets `variables` and then becomes
/// vsrun, so `$$` in them is the pid of vsrun.
fn call_with_sockets<'a>(sandbox: &'a Sandbox, sockets: &[i32], variables: &str, line: Vec<OsString>) -> Call<'a> {
    let script = format!("{variables} exec \"$0\" \"$@\"");
    let sockets = sockets.to_vec();
    sandbox.program(Path::new("/bin/sh"), [words!["-c", script, sandbox.path("vsrun")], line].concat()).before(
        move || {
            // The first copies go to high numbers, so that no later copy overwrites a descriptor that is still needed.
            sockets.iter().zip(50..).try_for_each(|(from, to)| sys::duplicate(*from, to))?;
            sockets.iter().zip(3..).zip(50..).try_for_each(|((_, to), from)| sys::duplicate(from, to))
        },
    )
}

#[test]
fn sockets_from_the_parent_are_passed_before_vsruns_own() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = UnixListener::bind_addr(&std::os::unix::net::SocketAddr::from_pathname("").unwrap()).unwrap();
    let given = [listener.as_raw_fd(), other.as_raw_fd()];
    for way in harness::ways() {
        for (variables, names) in [
            ("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b", "a:b"),
            ("LISTEN_PID=$$ LISTEN_FDS=2", "unknown:unknown"),
            ("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=a", "a"),
        ] {
            let sandbox = Sandbox::new();
            let file = sandbox.out("report");
            for own in [None, Some(free_port())] {
                let listen = own.map_or(words![], |port| words!["--listen", format!("own={port}")]);
                let line = [way.clone(), listen, words!["-p", "pid", "--", sandbox.probe(), "report", &file]].concat();
                call_with_sockets(&sandbox, &given, variables, line).finish().assert_exited(0);
                let found = sandbox.report(&file);
                let names = if own.is_some() { format!("{names}:own") } else { names.to_owned() };
                let targets = assert_passed_sockets(&found, &names);
                let mine = process::descriptors(sys::pid());
                let first = mine.iter().find(|(fd, _)| *fd == given[0]).unwrap();
                assert_eq!(targets[0], first.1, "the one that was handed in");
                fs::remove_file(&file).unwrap();
                sandbox.await_nothing_left();
            }
        }
    }
}

#[test]
fn sockets_meant_for_another_process_are_not_passed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let file = sandbox.out("report");
        let line = [way.clone(), words!["--", sandbox.probe(), "report", &file]].concat();
        let variables = "LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=a";
        call_with_sockets(&sandbox, &[listener.as_raw_fd()], variables, line).finish().assert_exited(0);
        let found = sandbox.report(&file);
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            assert_eq!(found.variable(name), None, "{way:?}");
        }
        assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{way:?}");
        // LISTEN_FDS announces two sockets, but only descriptor 3 is one.
        let line = [way, words!["-p", "pid", "--", "true"]].concat();
        let said = call_with_sockets(&sandbox, &[listener.as_raw_fd()], "LISTEN_PID=$$ LISTEN_FDS=2", line).finish();
        said.assert_failed(125, &["descriptor 4", "Bad file descriptor"]);
        assert!(!sandbox.path("pid").exists());
    }
}

/// systemd's own library accepts the variables that vsrun sets, and Python's web server serves on a socket from vsrun.
#[test]
fn libsystemd_and_a_python_server_accept_the_sockets() {
    needs!(harness::tool("python3"));
    let python = harness::find_tool("python3").unwrap();
    let library = "import ctypes; ctypes.CDLL('libsystemd.so.0')";
    let sandbox = Sandbox::new();
    needs!(harness::available(
        sandbox.program(&python, words!["-c", library]).finish().code() == Some(0),
        "libsystemd.so.0 (Debian: libsystemd0)"
    ));
    let port = free_port();
    let server = format!(
        "{library}
import http.server, socket, sys
names = ctypes.POINTER(ctypes.c_char_p)()
library = ctypes.CDLL('libsystemd.so.0')
count = library.sd_listen_fds_with_names(1, ctypes.byref(names))
assert [names[n] for n in range(count)] == [b'web', b'local'], count
assert library.sd_is_socket_inet(3, 0, socket.SOCK_STREAM, 1, {port}) == 1
assert library.sd_is_socket_unix(4, socket.SOCK_STREAM, 1, sys.argv[1].encode(), 0) == 1
server = http.server.HTTPServer(('', 0), http.server.SimpleHTTPRequestHandler, False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"
    );
    let path = sandbox.path("local");
    let options =
        words!["--restart", "no", "--listen", format!("web={port}"), "--listen", format!("local={}", path.display())];
    let manager = sandbox.vsrun([options, words!["--", &python, "-c", server, &path]].concat()).start();
    let mut client = harness::await_some("a server", || connect_to_port(port).ok());
    std::io::Write::write_all(&mut client, b"GET /out HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    client.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.0 301"), "{page} {:?}", manager.err());
    manager.stop().assert_exited(0);
}
