//! Processes that outlive the server: `--group` ends those of its process group, `--linger` all of them.

use crate::harness::{self, Call, Running, Sandbox, await_gone, gone, needs, process, sys, words};
use std::ffi::OsString;
use std::path::Path;

/// vsrun as PID 1 of a new pid namespace. If `proc` is true, /proc shows that namespace, otherwise the one of the host.
fn as_pid_1(sandbox: &Sandbox, proc: bool, line: Vec<OsString>) -> Call<'_> {
    let mut unshare = words!["--pid", "--fork", "--kill-child"];
    if proc {
        unshare.extend(words!["--mount-proc"]);
    }
    unshare.extend(words!["--", sandbox.path("vsrun")]);
    sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat())
}

fn can_run_these_tests() -> bool {
    harness::root() && harness::tool("unshare") && harness::tool("setsid") && harness::tool("busybox")
}

/// Waits for the first line of a file, and returns the number in it.
#[track_caller]
fn number(file: &Path) -> i32 {
    harness::await_lines(file, 1)[0].parse().unwrap()
}

/// A server that is this shell script. `$P` is the probe, `$O` the directory for its files.
fn shell(sandbox: &Sandbox, script: &str) -> Vec<OsString> {
    let set = format!("export P={} O={}; ", sandbox.probe().display(), sandbox.path("out").display());
    words!["--", "busybox", "sh", "-c", set + script]
}

#[test]
fn rest_of_a_group_ends_before_the_next_run() {
    let sandbox = Sandbox::new();
    let (life, child) = (sandbox.out("life"), sandbox.out("child"));
    let handler = sandbox.script("handler", words!["append", sandbox.out("asked"), "x", "exit", "0"]);
    // The pidfile is empty while the child ignores SIGTERM. The timeout is long enough for the test to see that.
    let options = words!["--group", "--stop-timeout", "1s", "-m", "-", &handler, "-p", "server"];
    let script = words!["life", &life, "until", "2", "child", &child, "until", "2", "exit", "7", "wait"];
    let called = sandbox.vsrun([options, words!["--", sandbox.probe()], script].concat()).start();
    harness::await_lines(&child, 1);
    harness::await_true("the end, reported in the pidfile at once", || {
        harness::text(&sandbox.path("server")).is_empty()
    });
    harness::await_lines(&sandbox.out("asked"), 1);
    let stubborn: i32 = harness::lines(&child)[0].parse().unwrap();
    assert!(gone(stubborn), "the handler runs after the rest of the group");
    harness::await_life(&life, 3);
    for line in harness::await_lines(&child, 2) {
        assert!(gone(line.parse().unwrap()), "the server runs after the rest of the last one's group");
    }
    let records = called.stop();
    records.assert_exited(0);
    let reported = |part: &str| records.err.iter().filter(|line| line.contains(part)).count();
    assert_eq!(reported("sending SIGKILL to the process group"), 2, "{records:?}");
    assert_eq!(reported("exited with status 7"), 2, "{records:?}");
    sandbox.await_nothing_left();
}

#[test]
fn without_the_option_the_rest_lives_on() {
    let sandbox = Sandbox::new();
    let child = sandbox.out("child");
    sandbox.vsrun(words!["--init", "--", sandbox.probe(), "child", &child, "exit", "7"]).finish().assert_exited(7);
    assert!(!gone(number(&child)));
}

#[test]
fn the_rest_of_a_group_ends_before_vsrun_does() {
    for (options, status) in [(words!["--init"], 5), (words!["--restart", "always", "--restart-limit", "1/1h"], 5)] {
        let sandbox = Sandbox::new();
        let line = words!["--group", "--", sandbox.probe(), "crowd", "50", "exit", "5"];
        let called = sandbox.vsrun([options, line].concat()).start();
        called.finish().assert_exited(status);
        assert_eq!(sandbox.living(), [], "not one that is still to end");
    }
}

#[test]
fn a_stop_reaches_the_group_and_waits_for_it() {
    for (options, status) in [(words!["--init"], 143), (words!["--restart", "on-failure"], 0)] {
        let sandbox = Sandbox::new();
        let child = sandbox.out("child");
        let options = [options, words!["--group", "--stop-timeout", "200ms"]].concat();
        let line = words!["--", sandbox.probe(), "child", &child, "wait"];
        let called = sandbox.vsrun([options, line].concat()).start();
        let stubborn = number(&child);
        called.stop().assert_exited(status);
        assert!(gone(stubborn));
    }
}

#[test]
fn signals_reach_the_group() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let line = shell(&sandbox, "$P signals $O/a 12 & exec $P signals $O/b 12 wait");
    let called = sandbox.vsrun([words!["--init", "--group"], line].concat()).start();
    for file in ["a", "b"] {
        harness::await_lines(&sandbox.out(file), 1);
    }
    for signal in [libc::SIGUSR1, libc::SIGHUP, libc::SIGUSR2] {
        called.signal(signal);
    }
    for file in ["a", "b"] {
        harness::await_true("each at each", || {
            let mut seen = harness::lines(&sandbox.out(file));
            seen.sort();
            seen == ["1", "10", "12", "ready"]
        });
    }
    called.stop().assert_exited(143);
}

/// The dead server is not reaped yet, so that its group id is not reused. waitid(2) reports it first each time, and the
/// other children must be reaped nevertheless.
#[test]
fn others_are_reaped_while_the_rest_of_a_group_is_awaited() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let script = "setsid $P child $O/x life $O/orphan wait & while [ ! -s $O/orphan ]; do :; done; $P child $O/child";
    let options = words!["--init", "--no-quiet", "--group", "--stop-timeout", "0"];
    let called = sandbox.vsrun([options, shell(&sandbox, script)].concat()).start();
    let stubborn = number(&sandbox.out("child"));
    let orphan = harness::await_life(&sandbox.out("orphan"), 1);
    called.await_err("sending SIGTERM to the process group");
    let theirs = || process::children(called.pid()).contains(&orphan);
    harness::await_true("the orphan to be vsrun's", theirs);
    sys::kill(orphan, libc::SIGKILL);
    harness::await_true("it to be reaped", || process::reaped(orphan));
    assert!(called.is_running() && !gone(stubborn), "a timeout of 0 kills no process");
    sys::kill(stubborn, libc::SIGKILL);
    called.finish().assert_exited(0);
    assert!(!gone(number(&sandbox.out("x"))), "a process that has left the group goes on");
}

#[test]
fn remaining_processes_are_ended() {
    needs!(can_run_these_tests());
    // Three sessions of their own: a daemon, a shell that waits for its child, and a daemon with a child that ignores
    // SIGTERM.
    let script = "setsid $P life $O/daemon wait & setsid sh -c '$P life $O/deep wait & wait' & setsid $P child \
                  $O/stubborn wait & for f in daemon deep stubborn; do while [ ! -s $O/$f ]; do :; done; done; exit 6";
    for how in ["child", "first", "first with /proc"] {
        for (span, stubborn) in [("20s", false), ("100ms", true)] {
            let sandbox = Sandbox::new();
            let script = if stubborn { script } else { &script.replace("child $O/stubborn", "life $O/stubborn") };
            let line = [words!["--init", "--no-quiet", "--linger", span], shell(&sandbox, script)].concat();
            let stranger = sandbox.program(&sandbox.probe(), words!["wait"]).start();
            let called = match how {
                "child" => sandbox.vsrun(line).start(),
                how => as_pid_1(&sandbox, how != "first", line).start(),
            };
            let ended = called.finish();
            ended.assert_exited(6);
            harness::await_true("nobody but the stranger", || sandbox.living() == [stranger.pid()]);
            let killed = ended.err.iter().any(|line| line.contains("sending SIGKILL to every process"));
            assert_eq!(killed, stubborn, "{how}: {ended:?}");
        }
    }
}

#[test]
fn remaining_processes_are_left_alone_without_the_option() {
    needs!(can_run_these_tests());
    for options in [words![], words!["--linger", "0"]] {
        let sandbox = Sandbox::new();
        let script = "setsid $P life $O/daemon wait & while [ ! -s $O/daemon ]; do :; done";
        sandbox.vsrun([words!["--init"], options, shell(&sandbox, script)].concat()).finish().assert_exited(0);
        assert!(!gone(harness::await_life(&sandbox.out("daemon"), 1)));
    }
}

#[test]
fn a_failed_start_leaves_no_process_either() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let options = words!["--init", "--linger", "20s", "--ready", "fd:3"];
    let script = "setsid $P life $O/daemon wait 3>&- & while [ ! -s $O/daemon ]; do :; done; exec 3>&-; $P wait";
    let ended = sandbox.vsrun([options, shell(&sandbox, script)].concat()).finish();
    ended.assert_exited(125);
    assert!(ended.err.last().unwrap().contains("ready descriptor"), "{ended:?}");
    sandbox.await_nothing_left();
}

/// A process that entered the pid namespace from outside is not a child of PID 1. It is ended with the others.
#[test]
fn processes_from_outside_are_ended() {
    needs!(can_run_these_tests(), harness::tool("nsenter"));
    for proc in [false, true] {
        let sandbox = Sandbox::new();
        let (life, seen) = (sandbox.out("life"), sandbox.out("seen"));
        let line = words!["--init", "--linger", "20s", "--", sandbox.probe(), "life", &life, "wait"];
        let called = as_pid_1(&sandbox, proc, line).start();
        harness::await_life(&life, 1);
        let pid = harness::await_some("PID 1", || process::children(called.pid()).first().copied());
        let enter = words!["--target", pid.to_string(), "--pid", "--", sandbox.probe(), "signals", &seen, "15"];
        let guest = sandbox.program(&harness::find_tool("nsenter").unwrap(), enter).start();
        harness::await_lines(&seen, 1);
        sys::kill(pid, libc::SIGTERM);
        called.finish().assert_exited(143);
        guest.finish().assert_exited(0);
        assert_eq!(harness::lines(&seen), ["ready", "15"], "asked, and not killed with the namespace");
    }
}

/// The logger is not asked to exit, so it still gets the last output of the processes that are.
#[test]
fn output_of_ending_processes_reaches_the_logger() {
    needs!(can_run_these_tests());
    for place_of in ["child", "first"] {
        let sandbox = Sandbox::new();
        let script = "setsid sh -c 'trap \"echo bye; exit\" TERM; $P append $O/up x; while :; do sleep 0.01; done' & \
                      while [ ! -s $O/up ]; do :; done; echo hello";
        let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("log").display());
        let options = words!["--init", "--linger", "20s", "-s", "tag", "--logger", logger];
        let line = [options, shell(&sandbox, script)].concat();
        let called: Running = match place_of {
            "child" => sandbox.vsrun(line).start(),
            _ => as_pid_1(&sandbox, true, line).start(),
        };
        called.finish().assert_exited(0);
        let log = harness::lines(&sandbox.out("log"));
        let asked = "vsrun: sending SIGTERM to every process that is left";
        let at = |line: &str| log.iter().position(|other| other == line);
        assert!(at("hello").is_some() && at(asked).is_some(), "{log:?}");
        assert!(at("hello") < at("bye") && at(asked) < at("bye"), "{log:?}");
        assert!(!log.iter().any(|line| line.contains("the logger")), "{log:?}");
        sandbox.await_nothing_left();
    }
}

/// While vsrun waits for remaining processes, SIGTERM changes nothing, and SIGINT kills them at once.
#[test]
fn interrupt_kills_remaining_processes_at_once() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let script = "setsid $P child $O/stubborn wait & while [ ! -s $O/stubborn ]; do :; done";
    let options = words!["--restart", "on-failure", "--linger", "1h"];
    let called = sandbox.vsrun([options, shell(&sandbox, script)].concat()).start();
    called.await_err("sending SIGTERM to every process that is left");
    called.signal(libc::SIGTERM);
    called.await_err("received SIGTERM");
    let stubborn = number(&sandbox.out("stubborn"));
    assert!(called.is_running() && !gone(stubborn));
    called.signal(libc::SIGINT);
    called.finish().assert_exited(0);
    await_gone(stubborn);
}

#[test]
fn three_hundred_remaining_processes_are_ended() {
    let sandbox = Sandbox::new();
    let line = words!["--init", "--linger", "20s", "--", sandbox.probe(), "crowd", "300", "exit", "2"];
    sandbox.vsrun(line).finish().assert_exited(2);
    assert_eq!(sandbox.living(), []);
}

/// A stopped process does not handle SIGTERM before it is continued, so vsrun sends SIGCONT too.
#[test]
fn stopped_processes_can_end_too() {
    needs!(can_run_these_tests());
    for (in_namespace, with_helper) in [(false, false), (false, true), (true, false), (true, true)] {
        let sandbox = Sandbox::new();
        let helper = if with_helper { words!["-d", "logs", "1", "--log-size", "1M"] } else { words![] };
        let script = "$P raise 19 wait & P=$!; until grep -q '^State:.T' /proc/$P/status; do :; done; exit 7";
        let line = [words!["--init", "--linger", "1h"], helper, shell(&sandbox, script)].concat();
        let call = if in_namespace { as_pid_1(&sandbox, true, line) } else { sandbox.vsrun(line) };
        call.finish().assert_exited(7);
        sandbox.await_nothing_left();
    }
}
