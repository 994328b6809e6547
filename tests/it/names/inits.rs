//! What vsrun does with signals, orphans and process groups under the names of init tools.

use super::{INITS, Sandbox, can_run_these_tests, command, for_link_and_tool, link, needs, process, sys, words};
use crate::harness::{self, Bundle, Running};
use std::path::{Path, PathBuf};

/// Signals that the kernel sends to a program for an error of its own.
const OWN: [i32; 7] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];
const STOPS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// Signals that no tool forwards: KILL and STOP cannot be caught, and each tool needs CHLD for itself.
const NEVER_FORWARDED: [i32; 3] = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];

fn listener(sandbox: &Sandbox, program: &Path, options: &[&str]) -> (Running, PathBuf) {
    let seen = sandbox.out("seen");
    let script = words![sandbox.probe(), "signals", &seen, "64", "exit", "3"];
    let line = options.iter().map(Into::into).chain(script).collect();
    let called = sandbox.program(program, line).env("TINI_SUBREAPER", "").start();
    harness::await_lines(&seen, 1);
    (called, seen)
}

#[test]
fn signals_are_forwarded_once_and_alone() {
    needs!(can_run_these_tests());
    for name in INITS {
        for_link_and_tool(name, |sandbox, program| {
            let (called, seen) = listener(sandbox, program, &["--"]);
            let mut expected = vec!["ready".to_owned()];
            let skipped =
                |signal: &i32| NEVER_FORWARDED.contains(signal) || OWN.contains(signal) || STOPS.contains(signal);
            for signal in (1..=31).chain([34, 50, 64]).filter(|signal| !skipped(signal)) {
                called.signal(signal);
                expected.push(signal.to_string());
                assert_eq!(harness::await_lines(&seen, expected.len()), expected, "{program:?}");
            }
            called.finish().assert_exited(3);
        });
    }
}

#[test]
fn signals_of_the_terminal_are_treated_as_each_tool_treats_them() {
    needs!(can_run_these_tests());
    for (name, seen_ones) in [("tini", &["20"][..]), ("catatonit", &[])] {
        for_link_and_tool(name, |sandbox, program| {
            let (called, seen) = listener(sandbox, program, &["--"]);
            STOPS.iter().for_each(|signal| called.signal(*signal));
            // Signal 64 is delivered last, so the signals before it have been handled when the command exits.
            called.signal(64);
            called.finish().assert_exited(3);
            let mut lines = harness::lines(&seen);
            lines.retain(|line| !["ready", "64"].contains(&line.as_str()));
            assert_eq!(lines, seen_ones, "{program:?}");
        });
    }
}

/// A signal that reports an error of the init itself kills tini and catatonit, and vsrun under their names, and the
/// command goes on. dumb-init forwards the signal instead.
#[test]
fn a_signal_of_the_kernel_ends_tini_and_catatonit_and_reaches_the_command_of_dumb_init() {
    needs!(can_run_these_tests());
    for name in INITS {
        for signal in [libc::SIGABRT, libc::SIGSYS] {
            for_link_and_tool(name, |sandbox, program| {
                let (called, seen) = listener(sandbox, program, &["--"]);
                let server = command(&called);
                called.signal(signal);
                if name == "dumb-init" {
                    assert_eq!(harness::await_lines(&seen, 2)[1], signal.to_string());
                    sys::kill(server, 64);
                    called.finish().assert_exited(3);
                } else {
                    assert_eq!(called.finish().signal(), Some(signal), "{program:?}");
                    assert!(!process::gone(server) && harness::lines(&seen).len() == 1, "{program:?}");
                }
            });
        }
    }
}

/// Starts an init with a command and the command's child in one process group. Returns the two files to which they
/// append the signals that they get.
fn family(sandbox: &Sandbox, program: &Path, options: &[&str], env: &str) -> (Running, [PathBuf; 2]) {
    let script = "$P signals $O/child 64 & exec $P signals $O/parent 64";
    let line = options.iter().map(Into::into).chain(words!["--", "sh", "-c", script]).collect();
    let call = sandbox.program(program, line).env("P", sandbox.probe()).env("O", sandbox.path("out"));
    let call = if env.is_empty() { call } else { call.env(env, "") };
    let called = call.env("TINI_SUBREAPER", "").start();
    let files = ["parent", "child"].map(|name| sandbox.out(name));
    files.iter().for_each(|file| drop(harness::await_lines(file, 1)));
    (called, files)
}

#[test]
fn a_signal_reaches_the_command_or_its_group() {
    needs!(can_run_these_tests());
    for (name, options, env, group) in [
        ("tini", &[][..], "", false),
        ("tini", &["-g"], "", true),
        ("tini", &[], "TINI_KILL_PROCESS_GROUP", true),
        ("catatonit", &[], "", false),
        ("catatonit", &["-g"], "", true),
        ("dumb-init", &[], "", true),
        ("dumb-init", &["-c"], "", false),
    ] {
        // The real catatonit may be version 0.1 of Debian 12, which has no -g.
        let only_link = name == "catatonit" && group;
        for_link_and_tool(name, |sandbox, program| {
            if only_link && program != link(sandbox, name) {
                return;
            }
            let (called, [parent, child]) = family(sandbox, program, options, env);
            called.signal(libc::SIGUSR1);
            assert_eq!(harness::await_lines(&parent, 2), ["ready", "10"], "{program:?}");
            if group {
                assert_eq!(harness::await_lines(&child, 2), ["ready", "10"], "{program:?}");
            }
            sys::kill(command(&called), 64);
            called.finish().assert_exited(0);
            // dumb-init sends SIGTERM to the rest of the group when its command has exited. The other tools do not, and
            // the child goes on.
            let mut expected = vec!["ready"];
            expected.extend(group.then_some("10"));
            if name == "dumb-init" && group {
                expected.push("15");
                harness::await_lines(&child, 3);
            }
            assert_eq!(harness::lines(&child), expected, "{program:?} {options:?}");
        });
    }
}

#[test]
fn dumb_init_rewrites_signals() {
    needs!(can_run_these_tests());
    for_link_and_tool("dumb-init", |sandbox, program| {
        let options = ["-r", "15:2", "-r", "15:3", "-r", "10:0", "--rewrite=20:12"];
        let (called, [parent, child]) = family(sandbox, program, &options, "");
        for signal in [libc::SIGUSR1, libc::SIGTERM] {
            called.signal(signal);
        }
        // USR1 (10) is rewritten to 0, so it is not forwarded. For TERM (15) the second rule applies.
        for file in [&parent, &child] {
            assert_eq!(harness::await_lines(file, 2), ["ready", "3"], "{program:?}");
        }
        sys::kill(command(&called), 64);
        called.finish().assert_exited(0);
        // The SIGTERM that dumb-init sends after the command's exit is rewritten, too.
        assert_eq!(harness::await_lines(&child, 3), ["ready", "3", "3"], "{program:?}");
    });
}

/// dumb-init acts like a job of a shell: TSTP stops it and its command, CONT resumes both.
#[test]
fn dumb_init_stops_itself_with_its_command() {
    needs!(can_run_these_tests());
    for (options, stops) in [(&["--"][..], true), (&["-r", "20:0", "--"], false)] {
        for_link_and_tool("dumb-init", |sandbox, program| {
            let (called, seen) = listener(sandbox, program, options);
            let server = command(&called);
            called.signal(libc::SIGTSTP);
            harness::await_true("dumb-init to stop", || process::state(called.pid()) == "T");
            if stops {
                harness::await_true("the command to stop", || process::state(server) == "T");
            }
            called.signal(libc::SIGCONT);
            assert_eq!(harness::await_lines(&seen, 2), ["ready", "18"], "{program:?}");
            assert_eq!((process::state(called.pid()) == "T", process::state(server) == "T"), (false, false));
            called.signal(64);
            called.finish().assert_exited(3);
        });
    }
    for_link_and_tool("dumb-init", |sandbox, program| {
        let (called, seen) = listener(sandbox, program, &["-c"]);
        called.signal(libc::SIGTSTP);
        assert_eq!(harness::await_lines(&seen, 2), ["ready", "20"], "{program:?}");
        harness::await_true("dumb-init to stop", || process::state(called.pid()) == "T");
        called.signal(libc::SIGCONT);
        harness::await_lines(&seen, 3);
        called.signal(64);
        called.finish().assert_exited(3);
    });
}

#[test]
fn orphans_are_adopted_and_reaped() {
    needs!(can_run_these_tests());
    for name in INITS {
        for_link_and_tool(name, |sandbox, program| {
            let (seen, go) = (sandbox.out("seen"), sandbox.out("go"));
            let script = words!["--", sandbox.probe(), "orphans", "20", &seen, "await", &go];
            let called = sandbox.program(program, script).env("TINI_SUBREAPER", "").start();
            // The real dumb-init adopts orphans only if it is PID 1.
            let adopts = name != "dumb-init" || program == link(sandbox, name);
            for line in harness::await_lines(&seen, 20) {
                let (pid, parent) = line.split_once(' ').unwrap();
                assert_eq!(parent == called.pid().to_string(), adopts, "{program:?} {line}");
                let pid = pid.parse().unwrap();
                harness::await_true("an orphan to be reaped", || !adopts || process::reaped(pid));
            }
            std::fs::write(go, "").unwrap();
            called.finish().assert_exited(0);
        });
    }
}

#[test]
fn tini_gets_a_signal_when_its_parent_exits() {
    needs!(can_run_these_tests());
    for_link_and_tool("tini", |sandbox, program| {
        let seen = sandbox.out("seen");
        let line = "$T -p SIGUSR1 -- $P signals $O/seen 10 & exec $P await $O/seen await $O/go";
        let call = sandbox.program(&harness::find_tool("sh").unwrap(), words!["-c", line]);
        let call = call.env("T", program).env("P", sandbox.probe()).env("O", sandbox.path("out"));
        let called = call.env("TINI_SUBREAPER", "").start();
        harness::await_lines(&seen, 1);
        std::fs::write(sandbox.out("go"), "").unwrap();
        called.finish().assert_exited(0);
        assert_eq!(harness::await_lines(&seen, 2), ["ready", "10"], "{program:?}");
    });
}

#[test]
fn catatonit_waits_for_a_signal_without_a_command() {
    needs!(can_run_these_tests());
    for signal in [libc::SIGTERM, libc::SIGINT] {
        for_link_and_tool("catatonit", |sandbox, program| {
            let called = sandbox.program(program, words!["-P"]).start();
            let caught = |signal: i32| {
                let blocked = u64::from_str_radix(&process::status(called.pid(), "SigBlk"), 16).unwrap();
                blocked & 1 << (signal - 1) != 0
            };
            harness::await_true("its signals to be blocked", || caught(libc::SIGUSR1));
            for other in [libc::SIGHUP, libc::SIGUSR1, libc::SIGTSTP, 50] {
                called.signal(other);
            }
            harness::await_true("the signals to be read", || process::pending(called.pid()) == 0);
            assert!(called.is_running(), "{program:?}");
            // The real catatonit may be version 0.1 of Debian 12, which does not change its directory.
            if program == link(sandbox, "catatonit") {
                harness::await_true("the root directory", || process::directory(called.pid()) == "/");
            }
            called.signal(signal);
            called.finish().assert_exited(0).assert_silent();
        });
    }
}

/// Docker and Podman start an init as PID 1 of the container.
#[test]
fn vsrun_is_the_init_of_a_container_under_docker_and_podman_names() {
    needs!(can_run_these_tests(), harness::can_run_containers());
    for name in ["docker-init", "podman-init"] {
        let sandbox = Sandbox::new();
        let script = words!["--", "/probe", "orphans", "5", "/out/orphans", "signals", "/out/seen", "15", "exit", "9"];
        let bundle = Bundle::new(&sandbox, [words![format!("/{name}")], script].concat());
        bundle.link(name, "vsrun");
        let runc = bundle.start();
        harness::await_lines(&sandbox.out("seen"), 1);
        for line in harness::await_lines(&sandbox.out("orphans"), 5) {
            assert!(line.ends_with(" 1"), "its parent is PID 1: {line}");
        }
        // The kernel discards a signal to PID 1 that PID 1 leaves at its default action.
        bundle.kill("ABRT");
        bundle.kill("TERM");
        runc.finish().assert_exited(9).assert_silent();
        assert_eq!(harness::lines(&sandbox.out("seen")), ["ready", "15"]);
    }
}
