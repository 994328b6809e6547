//! Listening sockets that a server has shut down, connected or removed, and that its next run can use again.

use crate::harness::{self, PLAIN, Running, Sandbox, await_life, free_port, process, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

/// Starts a managed server that records each run and performs `actions`. Returns when its second run has begun.
fn start(sandbox: &Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> Running {
    let life = sandbox.out("life");
    let server = words!["--", sandbox.probe(), "life", &life];
    let manager =
        sandbox.vsrun([words!["-m", "-", "-", "--restart-delay", "0"], options, server, actions].concat()).start();
    await_life(&life, 2);
    manager
}

/// Makes a copy of `number` at descriptor 3. The detour over 60 is for a `number` that is 3 already: dup2(2) onto
/// itself would leave it close-on-exec.
fn as_descriptor_3(number: i32) -> std::io::Result<()> {
    sys::duplicate(number, 60)?;
    sys::duplicate(60, 3)
}

fn pid_of(mut from: impl Read) -> i32 {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text.trim().parse().unwrap()
}

/// The server's second run answers at the socket that its first run has shut down.
#[test]
fn a_listening_socket_that_was_shut_down_listens_again() {
    let sandbox = Sandbox::new();
    let port = free_port();
    for address in [format!("{port}"), format!("127.0.0.1:{port}")] {
        let actions = words!["at", "1", "shut", "3", "at", "1", "exit", "1", "serve", "3"];
        let manager = start(&sandbox, words!["--listen", address], actions);
        let server = await_life(&sandbox.out("life"), 2);
        harness::await_true("an answer", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|stream| pid_of(stream) == server)
        });
        manager.stop().assert_exited(0);
        std::fs::remove_file(sandbox.out("life")).unwrap();
    }
}

/// A listening socket that vsrun inherited from its own parent.
#[test]
fn inherited_socket_that_was_shut_down_listens_again() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let life = sandbox.out("life");
    let vsrun = words!["-c", script, "sh", sandbox.path("vsrun"), "-m", "-", "-", "--restart-delay", "0", "--"];
    let server = words![sandbox.probe(), "life", &life, "at", "1", "shut", "3", "at", "1", "exit", "1", "serve", "3"];
    let number = listener.as_raw_fd();
    let call = sandbox.program("/bin/sh".as_ref(), [vsrun, server].concat());
    let manager = call.before(move || as_descriptor_3(number)).start();
    drop(listener);
    let server = await_life(&life, 2);
    harness::await_true("an answer", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|stream| pid_of(stream) == server)
    });
    manager.stop().assert_exited(0);
}

/// A connected UDP socket receives only from its peer.
#[test]
fn a_udp_socket_that_was_connected_hears_everyone_again() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let heard = sandbox.out("heard");
    for (address, senders) in [
        (format!("{port}/udp"), vec!["127.0.0.1:0", "[::1]:0"]),
        (format!("127.0.0.1:{port}/udp"), vec!["127.0.0.1:0"]),
    ] {
        let receives: Vec<OsString> = senders.iter().flat_map(|_| words!["receive", "3", &heard]).collect();
        let actions = [words!["at", "1", "connect", "3", "at", "1", "exit", "1"], receives, words!["wait"]].concat();
        let manager = start(&sandbox, words!["--listen", address], actions);
        for (count, sender) in senders.iter().enumerate() {
            let socket = UdpSocket::bind(sender).unwrap();
            let target = (socket.local_addr().unwrap().ip(), port);
            socket.send_to(format!("from {sender}\n").as_bytes(), target).unwrap();
            assert_eq!(harness::await_lines(&heard, count + 1)[count], format!("from {sender}"));
        }
        manager.stop().assert_exited(0);
        std::fs::remove_file(sandbox.out("life")).unwrap();
        std::fs::remove_file(&heard).unwrap();
    }
}

/// The kernel cannot undo the shutdown of a Unix socket, so vsrun makes a new socket, whose file has the same owner and
/// mode. Tested in a directory of vsrun's user and in one that the server's user can write to.
#[test]
fn a_unix_socket_that_was_shut_down_is_made_again_at_its_path() {
    let sandbox = Sandbox::new();
    let paths = [sandbox.path("socket"), sandbox.out("socket")];
    for (path, shut) in paths.into_iter().zip(["shut-reading", "shut"]) {
        let user = if sys::user() == 0 { words!["-u", PLAIN.to_string()] } else { words![] };
        let gate = sandbox.out("gate");
        let down = words!["at", "1", "await", &gate, "until", "5", shut, "3", "until", "5", "exit", "1", "serve", "3"];
        let life = sandbox.out("life");
        let line =
            words!["-m", "-", "-", "--restart-delay", "0", "--listen", &path, "--", sandbox.probe(), "life", &life];
        let manager = sandbox.vsrun([user, line, down].concat()).start();
        await_life(&life, 1);
        let before = fs::symlink_metadata(&path).unwrap();
        fs::write(&gate, "").unwrap();
        let server = await_life(&life, 6);
        harness::await_true("an answer", || UnixStream::connect(&path).is_ok_and(|stream| pid_of(stream) == server));
        let after = fs::symlink_metadata(&path).unwrap();
        assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
        // The socket file stays the same if the server has not shut the socket down.
        manager.signal(libc::SIGHUP);
        await_life(&life, 7);
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), after.ino());
        let ended = manager.stop();
        ended.assert_exited(0);
        assert!(!ended.err.iter().any(|line| line.contains("cannot")), "{ended:?}");
        assert!(fs::symlink_metadata(&path).is_err(), "removed at the end");
        let left = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".vsrun-");
        assert!(!fs::read_dir(path.parent().unwrap()).unwrap().flatten().any(|entry| left(&entry)));
        [life, gate].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

/// The socket file is removed while the server runs, as some servers do before they exit.
#[test]
fn a_unix_socket_whose_file_was_removed_is_made_again() {
    let sandbox = Sandbox::new();
    let (path, gate, life) = (sandbox.path("socket"), sandbox.out("gate"), sandbox.out("life"));
    let line = words!["-m", "-", "-", "--restart-delay", "0", "--listen", &path, "--", sandbox.probe(), "life", &life];
    let actions = words!["at", "1", "await", &gate, "at", "1", "exit", "1", "serve", "3"];
    let manager = sandbox.vsrun([line, actions].concat()).start();
    await_life(&life, 1);
    fs::remove_file(&path).unwrap();
    fs::write(&gate, "").unwrap();
    let server = await_life(&life, 2);
    harness::await_true("an answer", || UnixStream::connect(&path).is_ok_and(|stream| pid_of(stream) == server));
    manager.stop().assert_exited(0);
    assert!(fs::symlink_metadata(&path).is_err(), "removed at the end");
}

/// The server has shut its listening socket down and connected it to another port, and that connection is still open.
#[test]
fn a_listening_socket_that_was_connected_listens_again() {
    let sandbox = Sandbox::new();
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, place_port) = (free_port(), place.local_addr().unwrap().port().to_string());
    for address in [format!("{port}"), format!("127.0.0.1:{port}")] {
        let wrong = words!["at", "1", "shut-reading", "3", "at", "1", "connect-to", "3", &place_port];
        let manager = start(
            &sandbox,
            words!["--listen", address],
            [wrong, words!["at", "1", "exit", "1", "serve", "3"]].concat(),
        );
        let (_connection, _) = place.accept().unwrap();
        let server = await_life(&sandbox.out("life"), 2);
        harness::await_true("an answer", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|stream| pid_of(stream) == server)
        });
        let ended = manager.stop();
        ended.assert_exited(0);
        assert!(!ended.err.iter().any(|line| line.contains("cannot listen")), "{ended:?}");
        fs::remove_file(sandbox.out("life")).unwrap();
    }
}

/// The server's user has put another file at the path of the socket. vsrun must not remove it.
#[test]
fn a_file_that_took_the_place_of_a_dead_socket_stays() {
    let sandbox = Sandbox::new();
    let (path, life, gate) = (sandbox.out("socket"), sandbox.out("life"), sandbox.out("gate"));
    let actions = words!["at", "1", "await", &gate, "at", "1", "shut", "3", "at", "1", "exit", "1", "wait"];
    let line = words!["-m", "-", "-", "--restart-delay", "0", "--listen", &path, "--", sandbox.probe(), "life", &life];
    let manager = sandbox.vsrun([line, actions].concat()).start();
    await_life(&life, 1);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    fs::write(&gate, "").unwrap();
    manager.await_err("cannot restore the server's listening socket (descriptor 3): Address in use");
    await_life(&life, 2);
    assert_eq!(harness::text(&path), "mine");
    // When that file has been removed, the next run gets a new socket.
    fs::remove_file(&path).unwrap();
    manager.signal(libc::SIGHUP);
    await_life(&life, 3);
    drop(UnixStream::connect(&path).unwrap());
    manager.stop().assert_exited(0);
    assert!(fs::symlink_metadata(&path).is_err());
}

/// In a replacement, the old server shuts the shared socket down when it exits. The new server already runs, so it
/// cannot get another socket: clients are refused, instead of waiting in a queue that no process reads. The next run
/// has a new socket.
#[test]
fn a_unix_socket_that_a_running_server_has_is_not_replaced() {
    let sandbox = Sandbox::new();
    let (path, life) = (sandbox.path("socket"), sandbox.out("life"));
    let manager = ["-m", "monitor", "-", "--ready", "fd:4", "--restart-delay", "0"];
    let old =
        words!["at", "1", "signals", sandbox.out("signals"), "15", "at", "1", "shut", "3", "at", "1", "exit", "0"];
    let server = words!["--listen", &path, "--", sandbox.probe(), "life", &life, "tell", "4", ""];
    let words = manager.iter().map(OsString::from).collect();
    let manager = sandbox.vsrun([words, server, old, words!["at", "2", "wait", "serve", "3"]].concat()).start();
    await_life(&life, 1);
    harness::await_lines(&sandbox.out("signals"), 1);
    harness::await_true("the closed ready pipe", || !process::has_pipe(manager.pid()));
    let before = fs::symlink_metadata(&path).unwrap().ino();
    sandbox.vsrun(words!["--replace", "monitor"]).finish().assert_exited(0);
    manager.await_err("cannot restore the server's listening socket (descriptor 3");
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before);
    assert!(UnixStream::connect(&path).is_err(), "refused");
    manager.signal(libc::SIGHUP);
    let third = await_life(&life, 3);
    harness::await_true("an answer", || UnixStream::connect(&path).is_ok_and(|stream| pid_of(stream) == third));
    manager.stop().assert_exited(0);
}

/// vsrun does not know the path of a Unix socket that it inherited, so it cannot make it again. A record reports that.
#[test]
fn what_cannot_be_undone_is_recorded() {
    let sandbox = Sandbox::new();
    let listener = UnixListener::bind(sandbox.path("socket")).unwrap();
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let vsrun = words!["-c", script, "sh", sandbox.path("vsrun"), "-m", "-", "-", "--restart-delay", "0", "--"];
    let life = sandbox.out("life");
    let server = words![sandbox.probe(), "life", &life, "at", "1", "shut", "3", "at", "1", "exit", "1", "wait"];
    let number = listener.as_raw_fd();
    let call = sandbox.program("/bin/sh".as_ref(), [vsrun, server].concat());
    let manager = call.before(move || as_descriptor_3(number)).start();
    manager.await_err("cannot restore the server's listening socket (descriptor 3): The socket was shut down");
    await_life(&life, 2);
    manager.stop().assert_exited(0);
}

/// Inherited connections are no listening sockets and are left alone: a stream, and a pair of datagram sockets, which
/// have no address by which they could be connected again.
#[test]
fn inherited_connections_are_left_alone() {
    let (near, far) = UnixStream::pair().unwrap();
    stays_connected(near.as_raw_fd(), far);
    let (near, far) = UnixDatagram::pair().unwrap();
    stays_connected(near.as_raw_fd(), File::from(OwnedFd::from(far)));
}

fn stays_connected(number: i32, mut far: impl Read) {
    let sandbox = Sandbox::new();
    let manager = start_with_socket(&sandbox, number, words!["tell", "3", "here", "until", "2", "exit", "1", "wait"]);
    await_life(&sandbox.out("life"), 3);
    for _ in 0..3 {
        let mut block = [0; 5];
        far.read_exact(&mut block).unwrap();
        assert_eq!(&block, b"here\n");
    }
    let ended = manager.stop();
    ended.assert_exited(0);
    assert!(!ended.err.iter().any(|line| line.contains("cannot listen")), "{ended:?}");
}

/// A netlink socket never listens for connections.
#[test]
fn a_socket_of_another_kind_is_left_alone() {
    let sandbox = Sandbox::new();
    let netlink = sys::netlink_socket().unwrap();
    let manager = start_with_socket(&sandbox, netlink.as_raw_fd(), words!["until", "2", "exit", "1", "wait"]);
    await_life(&sandbox.out("life"), 3);
    let ended = manager.stop();
    ended.assert_exited(0);
    assert!(!ended.err.iter().any(|line| line.contains("cannot listen")), "{ended:?}");
}

/// Starts a managed server whose manager inherits this socket as descriptor 3.
fn start_with_socket(sandbox: &Sandbox, number: i32, actions: Vec<OsString>) -> Running {
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let vsrun = words!["-c", script, "sh", sandbox.path("vsrun"), "-m", "-", "-", "--restart-delay", "0", "--"];
    let server = [words![sandbox.probe(), "life", sandbox.out("life")], actions].concat();
    let call = sandbox.program("/bin/sh".as_ref(), [vsrun, server].concat());
    call.before(move || as_descriptor_3(number)).start()
}
