//! vsrun as PID 1 of a container that has no shell, `/etc`, `/proc` or `/dev`.

use crate::harness::{self, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::path::PathBuf;

/// Creates the root directory of a container: vsrun, the probe and a directory to write to.
fn container(sandbox: &Sandbox) -> PathBuf {
    let root = sandbox.jail();
    harness::sandbox::install(&harness::sandbox::built("vsrun"), &root.join("vsrun"));
    root
}

/// Runs vsrun as PID 1 in this root, with standard input closed and without `PATH`. Returns the unshare(1) process
/// outside, whose child is PID 1.
#[track_caller]
fn run(sandbox: &Sandbox, root: &PathBuf, line: Vec<OsString>) -> Running {
    let unshare = harness::find_tool("unshare").unwrap();
    let wrapped = words!["--pid", "--fork", "--kill-child", "--root", root, "--", "/vsrun"];
    sandbox.program(&unshare, [wrapped, line].concat()).without_env("PATH").closed(&[0]).start()
}

#[track_caller]
fn pid_1(outside: &Running) -> i32 {
    harness::await_some("PID 1", || process::children(outside.pid()).first().copied())
}

#[test]
fn vsrun_as_pid_1_becomes_the_server() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let root = container(&sandbox);
    let line = words!["-u", "5:6", "-p", "/out/pid", "--", "/probe", "report", "/out/report", "exit", "9"];
    run(&sandbox, &root, line).finish().assert_exited(9);
    let found = sandbox.report(&root.join("out/report"));
    assert_eq!((found.number("pid"), found.one("uids")), (1, "5 5 5".to_owned()));
    assert_eq!(found.descriptors().iter().filter(|fd| fd.number < 3).count(), 3);
    assert_eq!(found.descriptor(0).unwrap().kind, "pipe", "there is no null device");
    assert_eq!(harness::text(&root.join("out/pid")), "1\n");
}

#[test]
fn manager_as_pid_1_restarts_its_server_and_exits_on_term() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let root = container(&sandbox);
    let line = words!["-u", "5:6", "-p", "/out/pid", "-m", "/out/monitor", "-", "--", "/probe", "life", "/out/life"];
    let outside = run(&sandbox, &root, [line, words!["at", "1", "segv", "report", "/out/report", "wait"]].concat());
    harness::await_life(&root.join("out/life"), 2);
    let found = sandbox.report(&root.join("out/report"));
    assert_eq!((found.number("ppid"), found.one("uids")), (1, "5 5 5".to_owned()));
    assert_eq!(found.descriptor_numbers(), [0, 1, 2]);
    assert_eq!(harness::text(&root.join("out/monitor")), "1\n");
    assert_eq!(harness::text(&root.join("out/pid")), format!("{}\n", found.one("pid")));
    sys::kill(pid_1(&outside), libc::SIGTERM);
    outside.finish().assert_exited(0);
    assert!(!root.join("out/pid").exists() && !root.join("out/monitor").exists());
}

#[test]
fn orphans_of_pid_1_are_reaped() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let root = container(&sandbox);
    let line = words!["-m", "-", "-", "--", "/probe", "orphans", "20", "/out/orphans", "wait"];
    let outside = run(&sandbox, &root, line);
    for line in harness::await_lines(&root.join("out/orphans"), 20) {
        assert!(line.ends_with(" 1"), "its parent is PID 1: {line}");
    }
    let manager = pid_1(&outside);
    harness::await_true("the server alone to be left", || process::children(manager).len() == 1);
    sys::kill(manager, libc::SIGTERM);
    outside.finish().assert_exited(0);
}

#[test]
fn signals_reach_the_server() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let root = container(&sandbox);
    let seen = root.join("out/seen");
    let line = words!["-m", "-", "-", "--", "/probe", "signals", "/out/seen", "64", "exit", "0"];
    let outside = run(&sandbox, &root, line);
    harness::await_lines(&seen, 1);
    for (count, signal) in [libc::SIGUSR1, libc::SIGWINCH, libc::SIGQUIT, 34, 64].into_iter().enumerate() {
        sys::kill(pid_1(&outside), signal);
        assert_eq!(harness::await_lines(&seen, count + 2)[count + 1], signal.to_string());
    }
    outside.finish().assert_exited(0);
}
