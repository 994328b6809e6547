//! Attacks by a hostile server user: on the processes beside the server, on the caller's terminal and on root's keys.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

const USER: &str = "12345";

/// The results of ten attacks on process `pid` by a process of the server's user. A successful one ends with DONE.
fn attack_results(sandbox: &Sandbox, pid: i32) -> Vec<String> {
    let file = sandbox.out("reached");
    let line = words!["-u", USER, "--", sandbox.probe(), "reach", pid.to_string(), &file];
    sandbox.vsrun(line).finish().assert_exited(0);
    let found = harness::lines(&file);
    fs::remove_file(&file).unwrap();
    assert_eq!(found.len(), 10);
    found
}

#[track_caller]
fn assert_out_of_reach(sandbox: &Sandbox, pid: i32, what: &str) {
    assert!(process::status(pid, "Uid").starts_with(USER), "{what} is the user");
    let done: Vec<String> = attack_results(sandbox, pid).into_iter().filter(|line| line.ends_with("DONE")).collect();
    assert!(done.is_empty(), "{what}: {done:?}");
}

/// Waits for the child of `manager` whose command line contains `action`, and returns its pid.
#[track_caller]
fn await_child_running(manager: i32, action: &str) -> i32 {
    harness::await_some(action, || {
        let runs = |pid: &i32| harness::text(Path::new(&format!("/proc/{pid}/cmdline"))).contains(action);
        process::children(manager).into_iter().find(runs)
    })
}

#[test]
fn a_server_cannot_get_into_logger_and_handler() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let ready = sandbox.out("ready");
    let handler = sandbox.script("handler", words!["append", sandbox.out("asked"), "x", "wait"]);
    let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("log").display());
    let options = words!["-u", USER, "-s", "tag", "--logger", logger, "-m", "-", handler];
    let go = sandbox.out("go");
    let line = [options, words!["--", sandbox.probe(), "append", &ready, "x", "await", &go, "exit", "3"]].concat();
    let running = sandbox.vsrun(line).start();
    harness::await_file(&ready);
    // The server itself is an ordinary process of its user, so the attacks on it succeed. This shows that they work.
    let server = await_child_running(running.pid(), "await");
    let found = attack_results(&sandbox, server);
    for name in ["root", "cwd", "fd", "environ"] {
        assert!(found.contains(&format!("{name} DONE")), "{found:?}");
    }
    assert_out_of_reach(&sandbox, await_child_running(running.pid(), "collect"), "the logger");
    fs::write(&go, "").unwrap();
    harness::await_file(&sandbox.out("asked"));
    assert_out_of_reach(&sandbox, await_child_running(running.pid(), "handler"), "the handler");
    running.stop();
}

#[test]
fn a_server_cannot_get_into_the_log_writer() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let options = words!["-u", USER, "-d", sandbox.path("logs"), "1", "--log-size", "1M"];
    let action = || words!["--", sandbox.probe(), "append", sandbox.out("ready"), "x", "wait"];
    for way in [words!["-m", "-", "-"], words![]] {
        let running = sandbox.vsrun([way.clone(), options.clone(), action()].concat()).start();
        harness::await_file(&sandbox.out("ready"));
        let is_writer = |pid: &i32| {
            process::status(*pid, "Uid").starts_with(USER) && process::link(*pid, "exe").ends_with("/vsrun")
        };
        let writer = harness::await_some("the log writer", || sandbox.living().into_iter().find(is_writer));
        assert_out_of_reach(&sandbox, writer, "the log writer");
        let _ = fs::remove_file(sandbox.out("ready"));
        running.stop();
        sandbox.await_nothing_left();
    }
}

/// A helper keeps one harmless capability that the server does not have, so the server cannot trace it. Programs that
/// grant rights (sudo) still work in a helper.
#[test]
fn the_helpers_capability_is_harmless_and_never_one_of_the_servers() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for (caps, kept) in [("none", 35), ("wake_alarm", 36), ("wake_alarm,block_suspend", 10)] {
        let status = sandbox.out("status");
        let _ = fs::remove_file(&status);
        let logger = format!("{} copy /proc/self/status {} collect -", sandbox.probe().display(), status.display());
        let options = words!["-u", USER, "--caps", caps, "-s", "tag", "--logger", logger];
        sandbox.vsrun([options, words!["--", sandbox.probe(), "exit", "0"]].concat()).finish().assert_exited(0);
        let text = harness::await_some("the status", || {
            let text = harness::text(&status);
            text.contains("Seccomp").then_some(text)
        });
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(text.contains(&format!("{set}:\t{:016x}", 1_u64 << kept)), "{caps}: {set}: {text}");
        }
        assert!(text.contains("NoNewPrivs:\t0"), "sudo must still work for a handler");
        sandbox.await_nothing_left();
    }
}

/// A container may have no harmless capability for the helpers. The server starts anyway, and --check reports the
/// weaker protection.
#[test]
fn check_reports_helpers_without_a_harmless_capability() {
    needs!(harness::root(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let logger = format!("{} collect -", sandbox.probe().display());
    let options = words!["-u", USER, "-s", "tag", "--logger", logger, "--", sandbox.probe(), "exit", "0"];
    let bounds = "-wake_alarm,-block_suspend,-net_bind_service,-audit_write";
    for (bounds, weak) in [(bounds, true), ("-wake_alarm,-block_suspend", false)] {
        let call = |check: Vec<OsString>| {
            let line = [words!["--bounding-set", bounds, sandbox.path("vsrun")], check, options.clone()].concat();
            sandbox.program(&harness::find_tool("setpriv").unwrap(), line).finish()
        };
        let ended = call(words!["--check"]);
        ended.assert_exited(0);
        assert_eq!(ended.out.iter().any(|line| line.contains("no harmless capability")), weak, "{ended:?}");
        call(words![]).assert_exited(0);
    }
}

#[test]
fn a_terminal_is_write_only_and_never_becomes_the_controlling_one() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let handler = sandbox
        .script("handler", words!["terminal", "1", sandbox.out("reported"), "terminal", "2", sandbox.out("reported")]);
    let managed = words!["-m", "-", &handler];
    for (way, status) in [(words![], 0), (words!["--init"], 0), (managed, 1)] {
        let reported = sandbox.out("reported");
        let _ = fs::remove_file(&reported);
        let attack =
            if status == 0 { words!["terminal", "1", &reported, "terminal", "2", &reported] } else { words![] };
        let line = [way.clone(), words!["--restart-limit", "1/1h"]].concat();
        let line = if status == 0 { way.clone() } else { line };
        let line =
            [line, words!["-u", USER, "--", sandbox.probe()], attack, words!["exit", status.to_string()]].concat();
        let (call, _terminal) = sandbox.vsrun(line).on_terminal();
        let running = call.start();
        let found = harness::await_lines(&reported, 8);
        assert!(found.iter().all(|line| line.ends_with("refused")), "{way:?}: {found:?}");
        drop(running);
        for pid in sandbox.living() {
            sys::kill(pid, libc::SIGKILL);
        }
        sandbox.await_nothing_left();
    }
}

/// Without /proc the terminal cannot be reopened for writing only. The server starts anyway, and --check reports the
/// weaker protection.
#[test]
fn a_terminal_that_cannot_be_reopened_is_a_warning_of_check() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/proc".into(), "")]);
    let warning = "warning: the terminal cannot be reopened for writing only: the server can read what is typed there";
    for (options, hidden, weak) in [
        (words!["-u", USER], true, true),
        (words!["-u", USER], false, false),
        // No warning: a server of the caller's own user, or one that gets the terminal with --stdin, may read it
        // anyway.
        (words![], true, false),
        (words!["-u", USER, "--stdin"], true, false),
    ] {
        let found = sandbox.path("found");
        let line = [words!["--check"], options.clone(), words!["--", sandbox.probe(), "exit", "0"]].concat();
        let (call, _terminal) = sandbox.vsrun(line).on_terminal();
        // Standard error stays on the terminal; standard output, with the report of --check, goes to a file.
        let out = fs::File::create(&found).unwrap();
        let call = call.before(move || sys::duplicate(out.as_raw_fd(), 1));
        let call = if hidden { call.within(&mounts) } else { call };
        call.finish().assert_exited(0);
        assert_eq!(
            harness::lines(&found).iter().any(|line| line == warning),
            weak,
            "{options:?}: {:?}",
            harness::lines(&found)
        );
    }
}

/// With --stdin the caller hands the terminal over, and a server of the caller's own user can open it anyway.
#[test]
fn a_terminal_that_was_given_away_can_be_read() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let reported = sandbox.out("reported");
    for options in [words!["--stdin", "-u", USER], words![]] {
        let _ = fs::remove_file(&reported);
        let line = [options.clone(), words!["--", sandbox.probe(), "terminal", "1", &reported]].concat();
        let (call, _terminal) = sandbox.vsrun(line).on_terminal();
        call.finish().assert_exited(0);
        assert_eq!(harness::lines(&reported)[0], "read DONE", "{options:?}");
    }
}

#[test]
fn server_of_another_user_cannot_find_roots_keys() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    needs!(
        sandbox.program(&sandbox.probe(), words!["exit", "0"]).before(|| sys::make_key(c"vsrun-test")).finish().code()
            == Some(0)
    );
    let reported = sandbox.out("reported");
    let action = || words!["--", sandbox.probe(), "keys", "vsrun-test", &reported];
    for way in harness::ways() {
        for (user, found) in [(words![], "key DONE"), (words!["-u", "12345:23456"], "key refused")] {
            let _ = fs::remove_file(&reported);
            let line = [way.clone(), user.clone(), action()].concat();
            sandbox.vsrun(line).before(|| sys::make_key(c"vsrun-test")).finish().assert_exited(0);
            let reported = harness::await_lines(&reported, 2);
            assert_eq!(reported[1], found, "{way:?} {user:?}");
            assert!(user.is_empty() || reported[0].starts_with("keyring keyring;12345;23456;"), "{reported:?}");
        }
    }
}

/// In a container, a seccomp filter may refuse keyctl(2). The server must start anyway.
#[test]
fn a_refused_keyring_keeps_no_server_from_starting() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    for (answer, status) in [("error=EPERM", 0), ("error=ENOSYS", 0), ("error=EDQUOT", 0), ("retval=0", 125)] {
        let line = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", format!("inject=keyctl:{answer}")];
        let line = [line, words![sandbox.path("vsrun"), "-u", USER, "--", sandbox.probe(), "exit", "0"]].concat();
        sandbox.program(&harness::find_tool("strace").unwrap(), line).finish().assert_exited(status);
    }
}

/// From the first change of an id to the exec, all signals are blocked, and the process, whose memory is still a copy
/// of root's, leaves no core dump.
#[test]
fn no_signal_and_no_core_between_the_change_of_ids_and_the_exec() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    for way in [words![], words!["-m", "-", "-"]] {
        let trace = words!["-f", "-qq", "-o", sandbox.path("trace")];
        let what = words!["-e", "trace=rt_sigprocmask,setgroups,setresgid,setresuid,prctl,execve"];
        let line = [trace, what, words![sandbox.path("vsrun")], way.clone()].concat();
        let line = [line, words!["-u", USER, "--", sandbox.probe(), "exit", "0"]].concat();
        sandbox.program(&harness::find_tool("strace").unwrap(), line).finish().assert_exited(0);
        let calls = harness::lines(&sandbox.path("trace"));
        let groups = calls.iter().position(|call| call.contains("setgroups(")).unwrap();
        let exec = calls.iter().rposition(|call| call.contains("execve(")).unwrap();
        assert!(calls[groups - 1].contains("rt_sigprocmask(SIG_SETMASK, ~["), "{calls:#?}");
        let within = &calls[groups..exec];
        for (at, call) in within.iter().enumerate() {
            let changes = call.contains("setresgid(") || (call.contains("setresuid(") && call.ends_with("= 0"));
            assert!(!changes || within[at + 1].contains("PR_SET_DUMPABLE, SUID_DUMP_DISABLE"), "{calls:#?}");
        }
        let masks: Vec<usize> = (0..within.len()).filter(|at| within[*at].contains("rt_sigprocmask(")).collect();
        assert_eq!(masks, [within.len() - 1], "unblocked once, right before the exec: {calls:#?}");
    }
}

/// SIGSTOP cannot be blocked: the user can stop a helper as soon as it runs as that user. Root's start must not wait
/// for it.
#[test]
fn a_helper_that_is_stopped_before_its_exec_is_given_up() {
    needs!(harness::root(), harness::tool("strace"));
    type Output = fn(&Sandbox) -> Vec<OsString>;
    let logger: Output = |sandbox| words!["-s", "tag", "--logger", format!("{} collect -", sandbox.probe().display())];
    let writer: Output = |sandbox| words!["-d", sandbox.path("logs"), "1", "--log-size", "1M"];
    let outputs: [(Output, &str); 2] = [(logger, "logger"), (writer, "writer")];
    let mut all = Vec::new();
    for (output, name) in outputs {
        for way in [words![], words!["-m", "-", "-"], words!["-b"]] {
            let sandbox = Sandbox::new();
            let ran = sandbox.out("ran");
            let stop = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", "trace=setresuid"];
            let stop = [stop, words!["-e", "inject=setresuid:signal=STOP:when=1"]].concat();
            let line =
                [stop, words![sandbox.path("vsrun"), "-p", "pid", "-u", USER], way.clone(), output(&sandbox)].concat();
            let line = [line, words!["--", sandbox.probe(), "append", &ran, "x"]].concat();
            let running = sandbox.program(&harness::find_tool("strace").unwrap(), line).start();
            all.push((name, way, running, sandbox));
        }
    }
    for (name, way, running, sandbox) in all {
        let ended = running.finish();
        assert!(ended.err.iter().any(|line| line.contains(name)), "{name} {way:?}: {ended:?}");
        ended.assert_exited(125);
        assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists());
        sandbox.await_nothing_left();
    }
}
