//! The messages (sd_notify(3)) that a manager sends to the service manager that started it, such as systemd.

use crate::harness::{self, Call, Running, Sandbox, await_life, needs, sys, tool, words};
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// A fake service manager, which receives the messages in their order.
struct FakeServiceManager {
    sandbox: Sandbox,
    socket: UnixDatagram,
}

impl FakeServiceManager {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { sandbox, socket }
    }

    /// Calls vsrun with these options and a server that records its lives in `life` and does these actions.
    fn vsrun(&self, options: Vec<OsString>, actions: Vec<OsString>) -> Call<'_> {
        let server = words!["--", self.sandbox.probe(), "life", self.sandbox.out("life")];
        self.sandbox.vsrun([options, server, actions].concat()).env("NOTIFY_SOCKET", self.sandbox.path("notify"))
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 2048];
        let count = harness::receive(&self.socket, &mut buffer);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// Checks that the next messages are these. In `messages`, T is any recent time of the monotonic clock, and % is
    /// the pid of vsrun.
    #[track_caller]
    fn assert_next_messages(&self, manager: &Running, messages: &[&str]) {
        for message in messages {
            let expected = message.replace('%', &manager.pid().to_string());
            let found = self.next();
            let found = match found.split_once("MONOTONIC_USEC=") {
                Some((before, time)) if expected.ends_with('T') => {
                    let time: u64 = time.parse().unwrap();
                    assert!(time <= sys::monotonic() && time > sys::monotonic() - 120_000_000, "{time} is not now");
                    format!("{before}MONOTONIC_USEC=T")
                }
                _ => found,
            };
            assert_eq!(found, expected, "of {messages:?}");
        }
    }

    #[track_caller]
    fn hears_nothing_more(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let more = self.socket.recv(&mut [0; 2048]);
        self.socket.set_nonblocking(false).unwrap();
        assert!(more.is_err(), "there is one more message");
    }
}

const READY: &str = "READY=1\nMAINPID=%";
const RELOADING: &str = "RELOADING=1\nMONOTONIC_USEC=T";

#[test]
fn a_restart_is_over_when_the_new_server_is_ready() {
    let above = FakeServiceManager::new();
    let go = above.sandbox.path("go");
    for (ready, says) in [(words!["fd:5"], words!["tell", "5", ""]), (words!["notify"], words!["notify", "READY=1"])] {
        let actions = [words!["at", "2", "await", &go], says, words!["wait"]].concat();
        let manager = above.vsrun([words!["-m", "-", "-", "--ready"], ready].concat(), actions).start();
        above.assert_next_messages(&manager, &[READY]);
        manager.signal(libc::SIGHUP);
        above.assert_next_messages(&manager, &[RELOADING]);
        await_life(&above.sandbox.out("life"), 2);
        above.hears_nothing_more();
        std::fs::write(&go, "").unwrap();
        above.assert_next_messages(&manager, &[READY]);
        manager.stop().assert_exited(0);
        assert_eq!(above.next(), "STOPPING=1");
        above.hears_nothing_more();
        std::fs::remove_file(&go).unwrap();
        std::fs::remove_file(above.sandbox.out("life")).unwrap();
    }
}

#[test]
fn a_new_server_that_dies_before_it_is_ready_does_not_end_a_restart() {
    let above = FakeServiceManager::new();
    let actions =
        words!["at", "2", "exit", "1", "at", "3", "await", above.sandbox.path("go"), "notify", "READY=1", "wait"];
    let options = words!["-m", "-", "-", "--ready", "notify", "--restart-delay", "0"];
    let manager = above.vsrun(options, actions).start();
    above.assert_next_messages(&manager, &[READY]);
    manager.signal(libc::SIGHUP);
    above.assert_next_messages(&manager, &[RELOADING]);
    await_life(&above.sandbox.out("life"), 3);
    above.hears_nothing_more();
    std::fs::write(above.sandbox.path("go"), "").unwrap();
    above.assert_next_messages(&manager, &[READY]);
    manager.stop().assert_exited(0);
}

#[test]
fn a_request_in_a_pause_or_beside_the_handler_is_answered_at_once() {
    let above = FakeServiceManager::new();
    let actions = words!["at", "1", "await", above.sandbox.path("die"), "until", "2", "exit", "1", "wait"];
    let manager = above.vsrun(words!["--restart", "on-failure", "--restart-delay", "1h"], actions).start();
    above.assert_next_messages(&manager, &[READY]);
    std::fs::write(above.sandbox.path("die"), "").unwrap();
    // The first restart is immediate. The pause comes after the second exit.
    await_life(&above.sandbox.out("life"), 2);
    harness::await_true("the pause", || harness::process::children(manager.pid()).is_empty());
    manager.signal(libc::SIGHUP);
    above.assert_next_messages(&manager, &[RELOADING, READY]);
    await_life(&above.sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
    assert_eq!(above.next(), "STOPPING=1");

    let above = FakeServiceManager::new();
    let asked = above.sandbox.out("asked");
    let handler = above.sandbox.script("handler", words!["append", &asked, "x", "await", above.sandbox.path("agree")]);
    let manager = above.vsrun(words!["-m", "-", handler], words!["at", "1", "exit", "1", "wait"]).start();
    above.assert_next_messages(&manager, &[READY]);
    harness::await_lines(&asked, 1);
    manager.signal(libc::SIGHUP);
    above.assert_next_messages(&manager, &[RELOADING]);
    above.hears_nothing_more();
    std::fs::write(above.sandbox.path("agree"), "").unwrap();
    above.assert_next_messages(&manager, &[READY]);
    manager.stop().assert_exited(0);
    assert_eq!(above.next(), "STOPPING=1");
    above.hears_nothing_more();
}

#[test]
fn what_the_server_says_is_passed_on_and_a_crash_is_not() {
    let above = FakeServiceManager::new();
    let long = format!("STATUS={}", "x".repeat(1500));
    let actions = words![
        "notify",
        "STATUS=half\tway\\\nEXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1",
        "notify",
        "READY=1\nSTATUS=up",
        "notify",
        &long,
        "notify",
        "RELOADING=1\nMONOTONIC_USEC=77",
        "notify",
        "READY=1",
        "notify",
        "READY=1\nBARRIER=1",
        "notify",
        "STOPPING=1",
        "at",
        "1",
        "exit",
        "1",
        "wait"
    ];
    let options = words!["-m", "-", "-", "--restart-delay", "0", "--ready", "notify"];
    let manager = above.vsrun(options, actions).start();
    let cut = format!("STATUS={}", "x".repeat(240));
    let first = ["STATUS=half\\x09way\\x5c", "EXTEND_TIMEOUT_USEC=30000000", "STATUS=up", READY, &cut];
    above.assert_next_messages(&manager, &first);
    above.assert_next_messages(&manager, &["RELOADING=1\nMONOTONIC_USEC=77", READY]);
    // The second life sends the same messages. The crash and the restart themselves are not reported.
    above.assert_next_messages(
        &manager,
        &[first[0], first[1], first[2], first[4], "RELOADING=1\nMONOTONIC_USEC=77", READY],
    );
    above.hears_nothing_more();
    manager.stop().assert_exited(0);
    assert_eq!(above.next(), "STOPPING=1");
}

/// The watchdog of the service manager watches vsrun: vsrun sends WATCHDOG=1 whenever half of the time has passed,
/// whatever the server does.
#[test]
fn the_watchdog_above_is_fed_and_not_inherited() {
    let above = FakeServiceManager::new();
    let report = above.sandbox.out("report");
    for pid in [None, Some(())] {
        let actions = words!["ignore", "15", "report", &report, "wait"];
        let options = words!["-m", "-", "-", "--stop-timeout", "1h"];
        let mut call = above.vsrun(options, actions).env("WATCHDOG_USEC", "200000");
        if pid.is_some() {
            // WATCHDOG_PID has to be the pid of vsrun, so a shell sets it and then becomes vsrun.
            let line = words!["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh", above.sandbox.path("vsrun")];
            let server = words!["--", above.sandbox.probe(), "ignore", "15", "report", &report, "wait"];
            let options = words!["-m", "-", "-", "--stop-timeout", "1h"];
            let sh = above.sandbox.program("/bin/sh".as_ref(), [line, options, server].concat());
            call = sh.env("NOTIFY_SOCKET", above.sandbox.path("notify")).env("WATCHDOG_USEC", "200000");
        }
        let begin = Instant::now();
        let manager = call.start();
        let found = above.sandbox.report(&report);
        for name in ["WATCHDOG_USEC", "WATCHDOG_PID", "NOTIFY_SOCKET"] {
            assert_eq!(found.variable(name), None, "{name}");
        }
        let mut pings = 0;
        while pings < 10 {
            match above.next().as_str() {
                "WATCHDOG=1" => pings += 1,
                other => assert!(other.starts_with("READY=1"), "{other}"),
            }
        }
        assert!(begin.elapsed() >= Duration::from_millis(900), "ten in {:?}", begin.elapsed());
        // vsrun also sends WATCHDOG=1 while it waits for the server to exit.
        manager.signal(libc::SIGTERM);
        while above.next() != "STOPPING=1" {}
        (0..5).for_each(|_| assert_eq!(above.next(), "WATCHDOG=1"));
        // The server ignores SIGTERM for an hour: the second request kills it.
        manager.signal(libc::SIGINT);
        manager.finish().assert_exited(0);
        above.socket.set_nonblocking(true).unwrap();
        while above.socket.recv(&mut [0; 64]).is_ok() {}
        above.socket.set_nonblocking(false).unwrap();
        std::fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let above = FakeServiceManager::new();
    for (usec, pid) in [("20000", "1"), ("0", ""), ("often", "x")] {
        let manager = above
            .vsrun(words!["-m", "-", "-"], words!["nap", "200", "exit", "0"])
            .env("WATCHDOG_USEC", usec)
            .env("WATCHDOG_PID", pid)
            .start();
        above.assert_next_messages(&manager, &[READY]);
        manager.finish().assert_exited(0);
        above.hears_nothing_more();
    }
}

#[test]
fn a_vsrun_that_becomes_the_server_keeps_the_notify_variables() {
    let above = FakeServiceManager::new();
    let report = above.sandbox.out("report");
    let call = above.vsrun(words![], words!["report", &report]).env("WATCHDOG_USEC", "5").env("WATCHDOG_PID", "7");
    call.finish().assert_exited(0);
    let found = above.sandbox.report(&report);
    assert_eq!(found.variable("WATCHDOG_USEC").as_deref(), Some("5"));
    assert_eq!(found.variable("WATCHDOG_PID").as_deref(), Some("7"));
    assert!(found.variable("NOTIFY_SOCKET").is_some());
}

/// A busy service manager does not read its socket, whose queue is full for a while.
#[test]
fn ready_is_sent_again_where_there_was_no_room() {
    let above = FakeServiceManager::new();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let mut count = 0;
    while sender.send_to(b"X=1", above.sandbox.path("notify")).is_ok() {
        count += 1;
    }
    let manager = above.vsrun(words!["-m", "-", "-"], words!["wait"]).start();
    await_life(&above.sandbox.out("life"), 1);
    manager.await_err("started");
    (0..count).for_each(|_| assert_eq!(above.next(), "X=1"));
    above.assert_next_messages(&manager, &[READY]);
    manager.stop().assert_exited(0);
    assert_eq!(above.next(), "STOPPING=1");
    above.hears_nothing_more();
}

/// `systemd-notify`, called by a shell wrapper as the server, sends its messages through vsrun.
#[test]
fn systemd_notify_reaches_the_service_manager() {
    needs!(tool("systemd-notify"));
    let above = FakeServiceManager::new();
    let script = "systemd-notify --ready --status='all is well'; exec sleep 1000";
    let line = words!["-m", "-", "-", "--ready", "notify", "--", "/bin/sh", "-c", script];
    let manager = above.sandbox.vsrun(line).env("NOTIFY_SOCKET", above.sandbox.path("notify")).start();
    above.assert_next_messages(&manager, &["STATUS=all is well", READY]);
    manager.stop().assert_exited(0);
    assert_eq!(above.next(), "STOPPING=1");
}
