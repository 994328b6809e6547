//! Who outlives the server: the rest of its group with `--group`, everybody with `--linger`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Call, Place, Running, await_gone, gone, needs, process, sys, words};
use std::ffi::OsString;
use std::path::Path;

/// vsrun as PID 1 of a pid namespace, with a /proc of that namespace or with the one of the machine.
fn first(place: &Place, proc: bool, line: Vec<OsString>) -> Call<'_> {
    let mut unshare = words!["--pid", "--fork", "--kill-child"];
    if proc {
        unshare.extend(words!["--mount-proc"]);
    }
    unshare.extend(words!["--", place.path("vsrun")]);
    place.program(&kit::find_tool("unshare").unwrap(), [unshare, line].concat())
}

fn able() -> bool {
    kit::root() && kit::tool("unshare") && kit::tool("setsid") && kit::tool("busybox")
}

/// The number in a file, once it is there.
#[track_caller]
fn number(file: &Path) -> i32 {
    kit::await_lines(file, 1)[0].parse().unwrap()
}

/// A server by a shell's words. `$P` is the probe, `$O` the directory to write to.
fn shell(place: &Place, script: &str) -> Vec<OsString> {
    let set = format!("export P={} O={}; ", place.probe().display(), place.path("out").display());
    words!["--", "busybox", "sh", "-c", set + script]
}

#[test]
fn the_rest_of_a_group_ends_before_the_next_life() {
    let place = Place::new();
    let (life, child) = (place.out("life"), place.out("child"));
    let handler = place.script("handler", words!["append", place.out("asked"), "x", "exit", "0"]);
    let options = words!["--group", "--stop-timeout", "100ms", "-m", "-", &handler, "-p", "server"];
    let script = words!["life", &life, "until", "2", "child", &child, "until", "2", "exit", "7", "wait"];
    let called = place.vsrun([options, words!["--", place.probe()], script].concat()).start();
    kit::await_lines(&child, 1);
    kit::await_true("the end, told in the pidfile at once", || kit::text(&place.path("server")).is_empty());
    kit::await_lines(&place.out("asked"), 1);
    let stubborn: i32 = kit::lines(&child)[0].parse().unwrap();
    assert!(gone(stubborn), "the handler runs after the rest of the group");
    kit::await_life(&life, 3);
    for line in kit::await_lines(&child, 2) {
        assert!(gone(line.parse().unwrap()), "the server runs after the rest of the last one's group");
    }
    let records = called.stop();
    records.exited(0);
    let told = |part: &str| records.err.iter().filter(|line| line.contains(part)).count();
    assert_eq!(told("sending SIGKILL to the process group"), 2, "{records:?}");
    assert_eq!(told("exited with status 7"), 2, "{records:?}");
    place.await_nothing_left();
}

#[test]
fn without_the_option_the_rest_lives_on() {
    let place = Place::new();
    let child = place.out("child");
    place.vsrun(words!["--init", "--", place.probe(), "child", &child, "exit", "7"]).finish().exited(7);
    assert!(!gone(number(&child)));
}

#[test]
fn the_rest_of_a_group_ends_before_vsrun_does() {
    for (options, status) in [(words!["--init"], 5), (words!["--restart", "always", "--restart-limit", "1/1h"], 5)] {
        let place = Place::new();
        let line = words!["--group", "--", place.probe(), "crowd", "50", "exit", "5"];
        let called = place.vsrun([options, line].concat()).start();
        called.finish().exited(status);
        assert_eq!(place.living(), [], "not one that is still to end");
    }
}

#[test]
fn a_stop_reaches_the_group_and_waits_for_it() {
    for (options, status) in [(words!["--init"], 143), (words!["--restart", "on-failure"], 0)] {
        let place = Place::new();
        let child = place.out("child");
        let options = [options, words!["--group", "--stop-timeout", "200ms"]].concat();
        let line = words!["--", place.probe(), "child", &child, "wait"];
        let called = place.vsrun([options, line].concat()).start();
        let stubborn = number(&child);
        called.stop().exited(status);
        assert!(gone(stubborn));
    }
}

#[test]
fn signals_reach_the_group() {
    needs!(kit::tool("busybox"));
    let place = Place::new();
    let line = shell(&place, "$P signals $O/a 12 & exec $P signals $O/b 12 wait");
    let called = place.vsrun([words!["--init", "--group"], line].concat()).start();
    for file in ["a", "b"] {
        kit::await_lines(&place.out(file), 1);
    }
    for signal in [libc::SIGUSR1, libc::SIGHUP, libc::SIGUSR2] {
        called.signal(signal);
    }
    for file in ["a", "b"] {
        kit::await_true("each at each", || {
            let mut seen = kit::lines(&place.out(file));
            seen.sort();
            seen == ["1", "10", "12", "ready"]
        });
    }
    called.stop().exited(143);
}

/// While the dead server keeps its group's number, it is the first child that the kernel names, again and again.
#[test]
fn others_are_reaped_while_the_rest_of_a_group_is_awaited() {
    needs!(able());
    let place = Place::new();
    let script = "setsid $P child $O/x life $O/orphan wait & while [ ! -s $O/orphan ]; do :; done; $P child $O/child";
    let options = words!["--init", "--no-quiet", "--group", "--stop-timeout", "0"];
    let called = place.vsrun([options, shell(&place, script)].concat()).start();
    let stubborn = number(&place.out("child"));
    let orphan = kit::await_life(&place.out("orphan"), 1);
    called.await_err("sending SIGTERM to the process group");
    let theirs = || process::children(called.pid()).contains(&orphan);
    kit::await_true("the orphan to be vsrun's", theirs);
    sys::kill(orphan, libc::SIGKILL);
    kit::await_true("it to be reaped", || process::reaped(orphan));
    assert!(called.lives() && !gone(stubborn), "a timeout of 0 kills nobody");
    sys::kill(stubborn, libc::SIGKILL);
    called.finish().exited(0);
    assert!(!gone(number(&place.out("x"))), "who has left the group goes on");
}

#[test]
fn who_is_left_is_ended() {
    needs!(able());
    // A daemon of its own session, its child, which ignores TERM, and one below a process that lives on.
    let script = "setsid $P life $O/daemon wait & setsid sh -c '$P life $O/deep wait & wait' & setsid $P child \
                  $O/stubborn wait & for f in daemon deep stubborn; do while [ ! -s $O/$f ]; do :; done; done; exit 6";
    for how in ["child", "first", "first with /proc"] {
        for (span, stubborn) in [("20s", false), ("100ms", true)] {
            let place = Place::new();
            let script = if stubborn { script } else { &script.replace("child $O/stubborn", "life $O/stubborn") };
            let line = [words!["--init", "--no-quiet", "--linger", span], shell(&place, script)].concat();
            let stranger = place.program(&place.probe(), words!["wait"]).start();
            let called = match how {
                "child" => place.vsrun(line).start(),
                how => first(&place, how != "first", line).start(),
            };
            let ended = called.finish();
            ended.exited(6);
            kit::await_true("nobody but the stranger", || place.living() == [stranger.pid()]);
            let killed = ended.err.iter().any(|line| line.contains("sending SIGKILL to every process"));
            assert_eq!(killed, stubborn, "{how}: {ended:?}");
        }
    }
}

#[test]
fn who_is_left_is_left_alone_without_the_option() {
    needs!(able());
    for options in [words![], words!["--linger", "0"]] {
        let place = Place::new();
        let script = "setsid $P life $O/daemon wait & while [ ! -s $O/daemon ]; do :; done";
        place.vsrun([words!["--init"], options, shell(&place, script)].concat()).finish().exited(0);
        assert!(!gone(kit::await_life(&place.out("daemon"), 1)));
    }
}

#[test]
fn a_failed_start_leaves_nobody_either() {
    needs!(able());
    let place = Place::new();
    let options = words!["--init", "--linger", "20s", "--ready", "fd:3"];
    let script = "setsid $P life $O/daemon wait 3>&- & while [ ! -s $O/daemon ]; do :; done; exec 3>&-; $P wait";
    let ended = place.vsrun([options, shell(&place, script)].concat()).finish();
    ended.exited(125);
    assert!(ended.err.last().unwrap().contains("ready descriptor"), "{ended:?}");
    place.await_nothing_left();
}

/// Who came into the container from outside is no child of PID 1, and ends with the rest.
#[test]
fn who_came_in_from_outside_is_ended() {
    needs!(able(), kit::tool("nsenter"));
    for proc in [false, true] {
        let place = Place::new();
        let (life, seen) = (place.out("life"), place.out("seen"));
        let line = words!["--init", "--linger", "20s", "--", place.probe(), "life", &life, "wait"];
        let called = first(&place, proc, line).start();
        kit::await_life(&life, 1);
        let pid = kit::await_some("PID 1", || process::children(called.pid()).first().copied());
        let enter = words!["--target", pid.to_string(), "--pid", "--", place.probe(), "signals", &seen, "15"];
        let guest = place.program(&kit::find_tool("nsenter").unwrap(), enter).start();
        kit::await_lines(&seen, 1);
        sys::kill(pid, libc::SIGTERM);
        called.finish().exited(143);
        guest.finish().exited(0);
        assert_eq!(kit::lines(&seen), ["ready", "15"], "asked, and not killed with the namespace");
    }
}

/// The logger is not asked to end, so that it gets the last words of those who are.
#[test]
fn last_words_arrive() {
    needs!(able());
    for place_of in ["child", "first"] {
        let place = Place::new();
        let script = "setsid sh -c 'trap \"echo bye; exit\" TERM; $P append $O/up x; while :; do sleep 0.01; done' & \
                      while [ ! -s $O/up ]; do :; done; echo hello";
        let logger = format!("{} collect {}", place.probe().display(), place.out("log").display());
        let options = words!["--init", "--linger", "20s", "-s", "tag", "--logger", logger];
        let line = [options, shell(&place, script)].concat();
        let called: Running = match place_of {
            "child" => place.vsrun(line).start(),
            _ => first(&place, true, line).start(),
        };
        called.finish().exited(0);
        let log = kit::lines(&place.out("log"));
        let asked = "vsrun: sending SIGTERM to every process that is left";
        let at = |line: &str| log.iter().position(|other| other == line);
        assert!(at("hello").is_some() && at(asked).is_some(), "{log:?}");
        assert!(at("hello") < at("bye") && at(asked) < at("bye"), "{log:?}");
        assert!(!log.iter().any(|line| line.contains("the logger")), "{log:?}");
        place.await_nothing_left();
    }
}

/// A second INT does not wait for the time to be up, and TERM changes nothing.
#[test]
fn impatience() {
    needs!(able());
    let place = Place::new();
    let script = "setsid $P child $O/stubborn wait & while [ ! -s $O/stubborn ]; do :; done";
    let options = words!["--restart", "on-failure", "--linger", "1h"];
    let called = place.vsrun([options, shell(&place, script)].concat()).start();
    called.await_err("sending SIGTERM to every process that is left");
    called.signal(libc::SIGTERM);
    called.await_err("received SIGTERM");
    let stubborn = number(&place.out("stubborn"));
    assert!(called.lives() && !gone(stubborn));
    called.signal(libc::SIGINT);
    called.finish().exited(0);
    await_gone(stubborn);
}

#[test]
fn a_hundred_are_ended_at_once() {
    let place = Place::new();
    let line = words!["--init", "--linger", "20s", "--", place.probe(), "crowd", "300", "exit", "2"];
    place.vsrun(line).finish().exited(2);
    assert_eq!(place.living(), []);
}

/// One who is stopped hears TERM when it goes on, and not before.
#[test]
fn who_is_stopped_can_end_too() {
    needs!(able());
    for (in_namespace, with_helper) in [(false, false), (false, true), (true, false), (true, true)] {
        let place = Place::new();
        let helper = if with_helper { words!["-d", "logs", "1", "--log-size", "1M"] } else { words![] };
        let script = "$P raise 19 wait & P=$!; until grep -q '^State:.T' /proc/$P/status; do :; done; exit 7";
        let line = [words!["--init", "--linger", "1h"], helper, shell(&place, script)].concat();
        let call = if in_namespace { first(&place, true, line) } else { place.vsrun(line) };
        call.finish().exited(7);
        place.await_nothing_left();
    }
}
