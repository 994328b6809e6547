//! PID 1 of a container that has nothing: no shell, no `/etc`, no `/proc`, no `/dev`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Place, Running, needs, process, sys, words};
use std::ffi::OsString;
use std::path::PathBuf;

/// A container with vsrun, the probe and a directory to write to.
fn container(place: &Place) -> PathBuf {
    let root = place.jail();
    kit::place::install(&kit::place::built("vsrun"), &root.join("vsrun"));
    root
}

/// Runs vsrun as PID 1 in it, with closed descriptors and no environment to speak of. Answers the one outside who
/// waits, and the pid that PID 1 has out here.
#[track_caller]
fn run(place: &Place, root: &PathBuf, line: Vec<OsString>) -> Running {
    let unshare = kit::find_tool("unshare").unwrap();
    let wrapped = words!["--pid", "--fork", "--kill-child", "--root", root, "--", "/vsrun"];
    place.program(&unshare, [wrapped, line].concat()).without_env("PATH").closed(&[0]).start()
}

#[track_caller]
fn first(outside: &Running) -> i32 {
    kit::await_some("PID 1", || process::children(outside.pid()).first().copied())
}

#[test]
fn it_becomes_the_server() {
    needs!(kit::root(), kit::tool("unshare"));
    let place = Place::new();
    let root = container(&place);
    let line = words!["-u", "5:6", "-p", "/out/pid", "--", "/probe", "report", "/out/report", "exit", "9"];
    run(&place, &root, line).finish().exited(9);
    let found = place.report(&root.join("out/report"));
    assert_eq!((found.number("pid"), found.one("uids")), (1, "5 5 5".to_owned()));
    assert_eq!(found.descriptors().iter().filter(|fd| fd.number < 3).count(), 3);
    assert_eq!(found.descriptor(0).unwrap().kind, "pipe", "there is no null device");
    assert_eq!(kit::text(&root.join("out/pid")), "1\n");
}

#[test]
fn it_manages_a_server_restarts_it_and_hears_term() {
    needs!(kit::root(), kit::tool("unshare"));
    let place = Place::new();
    let root = container(&place);
    let line = words!["-u", "5:6", "-p", "/out/pid", "-m", "/out/monitor", "-", "--", "/probe", "life", "/out/life"];
    let outside = run(&place, &root, [line, words!["at", "1", "segv", "report", "/out/report", "wait"]].concat());
    kit::await_life(&root.join("out/life"), 2);
    let found = place.report(&root.join("out/report"));
    assert_eq!((found.number("ppid"), found.one("uids")), (1, "5 5 5".to_owned()));
    assert_eq!(found.descriptor_numbers(), [0, 1, 2]);
    assert_eq!(kit::text(&root.join("out/monitor")), "1\n");
    assert_eq!(kit::text(&root.join("out/pid")), format!("{}\n", found.one("pid")));
    sys::kill(first(&outside), libc::SIGTERM);
    outside.finish().exited(0);
    assert!(!root.join("out/pid").exists() && !root.join("out/monitor").exists());
}

#[test]
fn orphans_of_pid_1_are_reaped() {
    needs!(kit::root(), kit::tool("unshare"));
    let place = Place::new();
    let root = container(&place);
    let line = words!["-m", "-", "-", "--", "/probe", "orphans", "20", "/out/orphans", "wait"];
    let outside = run(&place, &root, line);
    for line in kit::await_lines(&root.join("out/orphans"), 20) {
        assert!(line.ends_with(" 1"), "its parent is PID 1: {line}");
    }
    let manager = first(&outside);
    kit::await_true("the server alone to be left", || process::children(manager).len() == 1);
    sys::kill(manager, libc::SIGTERM);
    outside.finish().exited(0);
}

#[test]
fn signals_reach_the_server() {
    needs!(kit::root(), kit::tool("unshare"));
    let place = Place::new();
    let root = container(&place);
    let seen = root.join("out/seen");
    let line = words!["-m", "-", "-", "--", "/probe", "signals", "/out/seen", "64", "exit", "0"];
    let outside = run(&place, &root, line);
    kit::await_lines(&seen, 1);
    for (count, signal) in [libc::SIGUSR1, libc::SIGWINCH, libc::SIGQUIT, 34, 64].into_iter().enumerate() {
        sys::kill(first(&outside), signal);
        assert_eq!(kit::await_lines(&seen, count + 2)[count + 1], signal.to_string());
    }
    outside.finish().exited(0);
}
