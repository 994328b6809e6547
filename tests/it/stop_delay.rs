//! `--stop-delay`: the server keeps running for some time between the request to stop and the stop signal.

use crate::harness::{self, Running, Sandbox, await_life, gone, process, words};
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Starts vsrun with these options and a server that records its lives in `life` and waits. Returns vsrun and the pid
/// of the server after vsrun has recorded the start.
#[track_caller]
fn started(sandbox: &Sandbox, options: Vec<OsString>) -> (Running, i32) {
    let line = [options, words!["--no-quiet", "--", sandbox.probe(), "life", sandbox.out("life"), "wait"]].concat();
    let vsrun = sandbox.vsrun(line).start();
    let server = await_life(&sandbox.out("life"), 1);
    vsrun.await_err("started");
    (vsrun, server)
}

fn place_of(lines: &[String], part: &str) -> Option<usize> {
    lines.iter().position(|line| line.contains(part))
}

#[test]
fn the_server_runs_through_the_delay_and_stopping_is_sent_at_once() {
    for (options, status) in [(words!["-m", "-", "-"], 0), (words!["--init"], 143)] {
        let sandbox = Sandbox::new();
        let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let next = || {
            let mut buffer = [0; 256];
            let count = harness::receive(&socket, &mut buffer);
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        };
        let line = words!["--stop-delay", "1500ms", "--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
        let vsrun = sandbox.vsrun([options, line].concat()).env("NOTIFY_SOCKET", sandbox.path("notify")).start();
        assert!(next().starts_with("READY=1"));
        let server = await_life(&sandbox.out("life"), 1);
        let since = Instant::now();
        vsrun.signal(libc::SIGTERM);
        assert_eq!(next(), "STOPPING=1");
        let heard = since.elapsed();
        assert!(heard > Duration::from_millis(1400) || !gone(server), "the server goes on");
        let ended = vsrun.finish();
        ended.assert_exited(status);
        assert!(since.elapsed() >= Duration::from_millis(1500), "{:?}", since.elapsed());
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_second_request_skips_the_wait_and_an_interrupt_after_that_kills() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        for options in [words!["-m", "-", "-"], words!["--init", "--on-signal", "TERM=stop", "--on-signal", "INT=stop"]]
        {
            let sandbox = Sandbox::new();
            let script = words!["ignore", "15", "life", sandbox.out("life"), "wait"];
            let delay = words!["--stop-delay", "1h", "--stop-timeout", "1h", "--no-quiet", "--", sandbox.probe()];
            let vsrun = sandbox.vsrun([options, delay, script].concat()).start();
            await_life(&sandbox.out("life"), 1);
            vsrun.await_err("started");
            vsrun.signal(libc::SIGTERM);
            vsrun.await_err("stopping the server in 1 h");
            assert_eq!(place_of(&vsrun.err(), "sending"), None, "{:?}", vsrun.err());
            vsrun.signal(second);
            vsrun.await_err("sending SIGTERM");
            vsrun.signal(libc::SIGINT);
            let ended = vsrun.finish();
            assert!(place_of(&ended.err, "sending SIGTERM") < place_of(&ended.err, "sending SIGKILL"), "{ended:?}");
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn an_init_forwards_the_delayed_signal_and_ends_as_the_server_does() {
    for (first, second) in [(libc::SIGTERM, libc::SIGINT), (libc::SIGINT, libc::SIGTERM)] {
        let sandbox = Sandbox::new();
        let (vsrun, server) = started(&sandbox, words!["--init", "--stop-delay", "1h"]);
        vsrun.signal(first);
        vsrun.await_err("stopping the server in 1 h");
        // A signal other than TERM and INT is forwarded at once.
        vsrun.signal(libc::SIGCONT);
        vsrun.await_err("sending SIGCONT");
        assert!(!gone(server));
        vsrun.signal(second);
        vsrun.finish().assert_exited(128 + first);
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_server_exit_during_the_delay_causes_no_handler_run_or_restart() {
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["append", sandbox.out("asked"), "x"]);
    for (options, status) in [(words!["-m", "-", handler], 0), (words!["--init"], 137)] {
        let (vsrun, server) = started(&sandbox, [options, words!["--stop-delay", "1h"]].concat());
        vsrun.signal(libc::SIGTERM);
        vsrun.await_err("stopping the server in 1 h");
        crate::harness::sys::kill(server, libc::SIGKILL);
        vsrun.finish().assert_exited(status);
        assert_eq!(harness::lives(&sandbox.out("life")).len(), 1);
        std::fs::remove_file(sandbox.out("life")).unwrap();
    }
    assert!(!sandbox.out("asked").exists());
}

#[test]
fn a_stop_between_two_runs_is_not_delayed() {
    let sandbox = Sandbox::new();
    let options = words!["-m", "-", "-", "--restart-delay", "1h", "--stop-delay", "1h", "--no-quiet", "--"];
    let manager = sandbox.vsrun([options, words![sandbox.probe(), "exit", "1"]].concat()).start();
    manager.await_err("restarting in 1 h");
    manager.signal(libc::SIGTERM);
    let ended = manager.finish();
    ended.assert_exited(0);
    assert_eq!(place_of(&ended.err, "stopping the server in"), None, "{ended:?}");
}

#[test]
fn the_group_is_ended_if_its_server_exits_during_the_delay() {
    let sandbox = Sandbox::new();
    let script = format!("sleep 1000 & echo $$ 0 >>{}; exec sleep 1000", sandbox.out("life").display());
    let options = words!["-m", "-", "-", "--group", "--stop-delay", "1h", "--", "/bin/sh", "-c", script];
    let vsrun = sandbox.vsrun(options).start();
    let server = await_life(&sandbox.out("life"), 1);
    vsrun.await_err("started");
    harness::await_true("the child", || !process::children(server).is_empty());
    vsrun.signal(libc::SIGTERM);
    vsrun.await_err("stopping the server in 1 h");
    crate::harness::sys::kill(server, libc::SIGKILL);
    vsrun.finish().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn a_restart_by_request_is_not_delayed() {
    let sandbox = Sandbox::new();
    let (vsrun, _) = started(&sandbox, words!["-m", "-", "-", "--stop-delay", "1h"]);
    vsrun.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 2);
    harness::await_true("both starts", || vsrun.err().iter().filter(|line| line.contains("started")).count() == 2);
    // A stop is delayed, and the second SIGTERM ends the delay.
    vsrun.signal(libc::SIGTERM);
    vsrun.await_err("stopping the server in 1 h");
    vsrun.signal(libc::SIGTERM);
    vsrun.finish().assert_exited(0);
    std::fs::remove_file(sandbox.out("life")).unwrap();
    // The stop of a server that has not been ready is not delayed.
    let (vsrun, _) = started(&sandbox, words!["-m", "-", "-", "--stop-delay", "1h", "--ready", "fd:5"]);
    vsrun.signal(libc::SIGTERM);
    vsrun.finish().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn stop_waits_for_the_given_time() {
    let sandbox = Sandbox::new();
    let service = sandbox.path("service");
    let keeper = sandbox.path("keeper");
    let lines = format!(
        "#!{} --args\n--manager\n{}\n-\n--stop-delay\n3s\n--background\n--\n{}\nwait\n",
        sandbox.path("vsrun").display(),
        keeper.display(),
        sandbox.probe().display()
    );
    std::fs::write(&service, lines).unwrap();
    let start = || {
        sandbox.vsrun(words!["--args", &service]).finish().assert_exited(0);
    };
    let short = words!["--stop-timeout", "100ms"];
    start();
    // With a pidfile alone, `--stop` does not know the delay of 3 s, and gives up too early.
    sandbox
        .vsrun([short.clone(), words!["--stop", &keeper]].concat())
        .finish()
        .assert_failed(125, &["has not exited in time"]);
    sandbox.await_nothing_left();
    for line in [words!["--stop-delay", "20s", "--stop", &keeper], words!["--stop", &service]] {
        start();
        let since = Instant::now();
        sandbox.vsrun([words!["--stop-timeout", "10s"], line].concat()).finish().assert_exited(0);
        assert!(since.elapsed() >= Duration::from_secs(3));
        sandbox.await_nothing_left();
    }
}

#[test]
fn invalid_uses_of_stop_delay_are_refused() {
    let sandbox = Sandbox::new();
    for options in [
        words!["--stop-delay", "1s"],
        words!["-b", "--ready", "notify", "--stop-delay", "1s"],
        words!["-m", "-", "-", "--stop-delay", "5m"],
        words!["--status", "x", "--stop-delay", "1s"],
    ] {
        let command = if options[0] == "--status" { words![] } else { words!["--", "true"] };
        sandbox.vsrun([options, command].concat()).finish().assert_failed(2, &["--stop-delay"]);
    }
    sandbox.vsrun(words!["--restart", "no", "--stop-delay", "0", "--", "true"]).finish().assert_exited(0);
}
