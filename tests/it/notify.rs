//! Messages to the notify socket: all kinds of messages of the server, and those of hostile senders.

use crate::harness::{self, PLAIN, Running, Sandbox, await_life, lives, needs, process, root, sys, tool, words};
use std::ffi::OsString;
use std::time::Instant;

/// A call that starts a managed server. The server records its state in `report` and each run in `life`, and then
/// performs `actions`.
fn managed<'place>(sandbox: &'place Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> harness::Call<'place> {
    let line = words!["-m", "-", "-", "--restart-delay", "0", "--ready", "notify"];
    let server = words!["--", sandbox.probe(), "report", sandbox.out("report"), "life", sandbox.out("life")];
    sandbox.vsrun([line, options, server, actions].concat())
}

/// The value of the server's `$NOTIFY_SOCKET`.
fn socket(sandbox: &Sandbox) -> String {
    sandbox.report(&sandbox.out("report")).variable("NOTIFY_SOCKET").unwrap()
}

/// Starts a process of another user, which knows the address of the notify socket, with these actions.
fn start_as_other_user(other: &Sandbox, socket: &str, actions: Vec<OsString>) -> Running {
    other.program(&other.probe(), actions).env("NOTIFY_SOCKET", socket).start()
}

/// The number of lines in the manager's standard error that contain `part`.
fn count_records_with(manager: &Running, part: &str) -> usize {
    manager.err().iter().filter(|line| line.contains(part)).count()
}

/// Stops the manager with SIGSTOP while `act` runs, so that messages wait in the queue of the notify socket.
fn while_stopped(manager: &Running, act: impl FnOnce()) {
    manager.signal(libc::SIGSTOP);
    harness::await_true("that the manager is stopped", || process::state(manager.pid()) == "T");
    act();
    manager.signal(libc::SIGCONT);
}

/// Another user sends sockets whose close(2) sleeps. They delay neither the server's messages nor signals.
#[test]
fn slowly_closing_descriptors_of_another_user_delay_nothing() {
    needs!(root());
    let (sandbox, other) = (Sandbox::new(), Sandbox::of_user(PLAIN));
    let actions = words!["await", sandbox.path("go"), "notify", "READY=1", "append", sandbox.out("said"), "x", "wait"];
    let manager = managed(&sandbox, words!["-u", "12345", "--ready-timeout", "20"], actions).start();
    let server = await_life(&sandbox.out("life"), 1);
    let address = socket(&sandbox);
    let actions = words!["hang", "9", "1", "append", other.out("sent"), "x", "wait"];
    let mut hostile = None;
    while_stopped(&manager, || {
        hostile = Some(start_as_other_user(&other, &address, actions));
        harness::await_lines(&other.out("sent"), 1);
    });
    manager.await_err("ignored a notify message from pid");
    std::fs::write(sandbox.path("go"), "").unwrap();
    harness::await_lines(&sandbox.out("said"), 1);
    let begin = Instant::now();
    sys::kill(server, libc::SIGKILL);
    await_life(&sandbox.out("life"), 2);
    manager.stop().assert_exited(0);
    assert!(begin.elapsed().as_secs() < 20);
    assert!(hostile.is_some_and(|sender| sender.is_running()));
}

/// The server, which may be hostile too, sends sockets whose close(2) sleeps. They delay neither its messages nor a
/// stop.
#[test]
fn slowly_closing_descriptors_of_the_server_delay_nothing() {
    for options in [words![], words!["--group"], words!["--linger", "1s"]] {
        let sandbox = Sandbox::new();
        let hangs = words!["await", sandbox.path("go"), "hang", "9", "1", "append", sandbox.out("sent"), "x"];
        let actions = [hangs, words!["notify", "READY=1", "append", sandbox.out("said"), "x", "wait"]].concat();
        let manager = managed(&sandbox, options, actions).start();
        await_life(&sandbox.out("life"), 1);
        while_stopped(&manager, || {
            std::fs::write(sandbox.path("go"), "").unwrap();
            harness::await_lines(&sandbox.out("sent"), 1);
        });
        harness::await_lines(&sandbox.out("said"), 1);
        let begin = Instant::now();
        manager.stop().assert_exited(0);
        assert!(begin.elapsed().as_secs() < 20);
        sandbox.await_nothing_left();
    }
}

/// The limit is below the number of descriptors in the message, so the kernel closes the rest while the child receives
/// it, and that close sleeps. A timer ends the child after one second.
#[test]
fn low_descriptor_limit_only_delays_the_messages() {
    let sandbox = Sandbox::plain();
    let hangs = words!["await", sandbox.path("go"), "hang", "1", "60", "append", sandbox.out("sent")];
    let actions = [hangs, words!["x", "notify", "READY=1", "append", sandbox.out("said"), "x", "wait"]].concat();
    let manager = managed(&sandbox, words![], actions).before(|| sys::limit_descriptors(40)).start();
    await_life(&sandbox.out("life"), 1);
    while_stopped(&manager, || {
        std::fs::write(sandbox.path("go"), "").unwrap();
        harness::await_lines(&sandbox.out("sent"), 1);
    });
    harness::await_lines(&sandbox.out("said"), 1);
    let begin = Instant::now();
    manager.stop().assert_exited(0);
    assert!(begin.elapsed().as_secs() < 20);
}

#[test]
fn a_flood_of_descriptors_leaves_nothing_open_and_no_process() {
    needs!(root());
    let (sandbox, other) = (Sandbox::new(), Sandbox::of_user(PLAIN));
    let actions = words!["notify", "READY=1", "append", sandbox.out("said"), "x", "wait"];
    let manager = managed(&sandbox, words!["-u", "12345"], actions).start();
    harness::await_lines(&sandbox.out("said"), 1);
    // The server may write its line before the manager has closed the pipe on which the new process reports failed
    // steps.
    let has_pipe = || process::descriptors(manager.pid()).iter().any(|(_, target)| target.starts_with("pipe:"));
    harness::await_true("the end of the pipe that reports failed steps", || !has_pipe());
    let before = process::descriptors(manager.pid());
    start_as_other_user(&other, &socket(&sandbox), words!["carry", "2000", "READY=1"]).finish().assert_exited(0);
    // The last messages may still be queued, and each one opens descriptors until a child has closed them. So the same
    // descriptors are awaited again after the last child has exited.
    harness::await_true("the descriptors of before", || process::descriptors(manager.pid()) == before);
    harness::await_true("the end of each child", || process::children(manager.pid()).len() == 1);
    harness::await_true("the descriptors of before", || process::descriptors(manager.pid()) == before);
    assert_eq!(count_records_with(&manager, "ignored a notify message"), 1, "one record in each run");
    manager.stop().assert_exited(0);
}

/// Four processes of another user send messages without a pause. The server's messages and a signal still arrive in
/// time.
#[test]
fn flood_of_messages_delays_neither_watchdog_messages_nor_signals() {
    needs!(root());
    let (sandbox, other) = (Sandbox::new(), Sandbox::of_user(PLAIN));
    let beats: Vec<OsString> = (0..30).flat_map(|_| words!["nap", "200", "notify", "WATCHDOG=1"]).collect();
    let actions = [words!["notify", "READY=1"], beats, words!["append", sandbox.out("said"), "x", "wait"]].concat();
    let manager = managed(&sandbox, words!["-u", "12345", "--watchdog", "4s", "--stop-timeout", "5s"], actions).start();
    await_life(&sandbox.out("life"), 1);
    let address = socket(&sandbox);
    let flood = words!["deluge", "100000000", "STOPPING=1\nWATCHDOG=trigger\nREADY=1"];
    let hostile: Vec<Running> = (0..4).map(|_| start_as_other_user(&other, &address, flood.clone())).collect();
    harness::await_lines(&sandbox.out("said"), 1);
    assert_eq!(lives(&sandbox.out("life")).len(), 1, "a message of the server was lost or late");
    // The watchdog still detects a server that has become silent.
    await_life(&sandbox.out("life"), 2);
    manager.await_err("not sent WATCHDOG=1 in time");
    let begin = Instant::now();
    manager.stop().assert_exited(0);
    assert!(begin.elapsed().as_secs() < 20);
    hostile.into_iter().for_each(|one| drop(one.finish()));
}

/// Processes of the server's user that send without a pause delay neither signals nor the server's exit.
#[test]
fn flood_of_messages_by_the_server_does_not_delay_a_stop() {
    let sandbox = Sandbox::new();
    let flood = sandbox.script("flood", words!["deluge", "100000000", "WATCHDOG=1\nSTATUS=x"]);
    let script = format!("{0} & {0} & {0} & exec {1} notify READY=1 wait", flood.display(), sandbox.probe().display());
    let line = words!["-m", "-", "-", "--ready", "notify", "--watchdog", "1s", "--restart", "no"];
    let manager = sandbox.vsrun([line, words!["--", "/bin/sh", "-c", script]].concat()).start();
    manager.await_err("started");
    let begin = Instant::now();
    manager.stop().assert_exited(0);
    assert!(begin.elapsed().as_secs() < 20);
}

/// The messages of systemd's own tool, including its barrier: the tool exits when all earlier messages have been
/// handled.
#[test]
fn systemd_notify_works_as_it_is() {
    needs!(tool("systemd-notify"));
    let sandbox = Sandbox::new();
    let said = sandbox.out("said");
    let script = format!(
        "echo $$ 0 >>{}; systemd-notify --ready --status=up && echo ready >>{}; exec sleep 1000",
        sandbox.out("life").display(),
        said.display()
    );
    let options = words!["-b", "-m", "keeper", "-", "--ready", "notify", "--ready-timeout", "10"];
    sandbox.vsrun([options, words!["--", "/bin/sh", "-c", script]].concat()).finish().assert_exited(0);
    assert_eq!(harness::await_lines(&said, 1), ["ready"]);
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
}

#[test]
fn a_server_may_ask_for_more_time_to_be_ready_and_to_stop() {
    let sandbox = Sandbox::new();
    let more = words!["notify", "EXTEND_TIMEOUT_USEC=20000000"];
    // Both timeouts are 2 s and both pauses 2.5 s, so only the extensions prevent a timeout.
    let late = words!["nap", "2500", "notify", "READY=1", "signals", sandbox.out("seen"), "15"];
    let slow = words!["nap", "2500", "exit", "0"];
    let options = words!["--ready-timeout", "2s", "--stop-timeout", "2s"];
    let manager = managed(&sandbox, options, [more.clone(), late, more, slow].concat()).start();
    harness::await_lines(&sandbox.out("seen"), 1);
    manager.signal(libc::SIGTERM);
    let ended = manager.finish();
    ended.assert_exited(0);
    assert!(!ended.err.iter().any(|line| line.contains("SIGKILL")), "{ended:?}");
}

#[test]
fn a_server_may_change_its_watchdog_or_fire_it() {
    let sandbox = Sandbox::new();
    let actions = words![
        "at",
        "1",
        "notify",
        "WATCHDOG_USEC=60000000\nREADY=1",
        "at",
        "1",
        "nap",
        "600",
        "at",
        "1",
        "notify",
        "WATCHDOG=trigger",
        "at",
        "2",
        "notify",
        "READY=1\nSTOPPING=1",
        "at",
        "2",
        "notify",
        "STOPPING=1",
        "at",
        "2",
        "nap",
        "600",
        "at",
        "2",
        "exit",
        "0",
        "wait"
    ];
    let ended = managed(&sandbox, words!["--watchdog", "200ms"], actions).finish();
    ended.assert_exited(0);
    let lives = lives(&sandbox.out("life"));
    assert_eq!(lives.len(), 2);
    assert!(lives[1].1 - lives[0].1 >= 600, "the new watchdog time counts");
}

#[test]
fn ignored_message_is_recorded_with_its_reason_once_in_each_run() {
    let sandbox = Sandbox::new();
    let ignored = words!["notify", "MAINPID=1", "notify", "FDSTORE=1", "notify", "EXTEND_TIMEOUT_USEC=5s"];
    let actions = [ignored, words!["notify", "READY=1", "append", sandbox.out("said"), "x"]].concat();
    let actions = [actions, words!["at", "2", "exit", "0", "wait"]].concat();
    let manager = managed(&sandbox, words![], actions).start();
    let server = await_life(&sandbox.out("life"), 1);
    manager.await_err("microseconds");
    for reason in ["MAINPID and FDSTORE are not supported", "not a number of microseconds"] {
        let record = format!("ignored a notify message from pid {server} (uid {}): {reason}", sys::user());
        assert_eq!(count_records_with(&manager, &record), 1, "{:?}", manager.err());
    }
    // Wait for READY=1: the death of a server that is not ready would be a failed start.
    harness::await_lines(&sandbox.out("said"), 1);
    sys::kill(server, libc::SIGKILL);
    let ended = manager.finish();
    ended.assert_exited(0);
    assert_eq!(ended.err.iter().filter(|line| line.contains("not a number of micro")).count(), 2, "{ended:?}");
}

/// While fork(2) fails, the descriptors of messages cannot be closed, so no message is read. The manager cannot know
/// then whether the server is alive, so it suspends the watchdog. It still handles signals.
#[test]
fn watchdog_is_suspended_while_fork_fails() {
    needs!(root());
    // The process limit counts all processes of a user, so this user must have no others.
    let sandbox = Sandbox::of_user(3_000_000_000 + sys::pid().unsigned_abs() * 8);
    let beats: Vec<OsString> = (0..15).flat_map(|_| words!["nap", "100", "notify", "WATCHDOG=1"]).collect();
    // READY=1 arms the watchdog. The server sends the descriptors immediately afterwards.
    let ready = words!["await", sandbox.path("go"), "notify", "READY=1", "carry", "1", "STATUS=x", "notify"];
    let rest = words!["WATCHDOG=1", "append", sandbox.out("sent"), "x", "await", sandbox.path("more")];
    let actions = [ready, rest, beats, words!["append", sandbox.out("said"), "x", "wait"]].concat();
    let manager = managed(&sandbox, words!["--watchdog", "1500ms"], actions).start();
    await_life(&sandbox.out("life"), 1);
    let allow = |count: &str| {
        let line = words!["processes", manager.pid().to_string(), count];
        sandbox.program(&sandbox.probe(), line).finish().assert_exited(0);
    };
    allow("0");
    std::fs::write(sandbox.path("go"), "").unwrap();
    harness::await_lines(&sandbox.out("sent"), 1);
    manager.await_err("descriptors came with it and cannot be closed now");
    // More than twice the watchdog time of 1.5 s: without the suspension the watchdog would fire.
    std::thread::sleep(std::time::Duration::from_millis(3200));
    assert!(count_records_with(&manager, "not sent WATCHDOG=1 in time") == 0, "{:?}", manager.err());
    std::fs::write(sandbox.path("more"), "").unwrap();
    allow("1000");
    harness::await_lines(&sandbox.out("said"), 1);
    assert_eq!(lives(&sandbox.out("life")).len(), 1);
    // From here on the server is silent, so the watchdog fires.
    await_life(&sandbox.out("life"), 2);
    allow("0");
    manager.stop().assert_exited(0);
}
