//! vsrun as an init, mostly with `--init`, which never restarts the server: as PID 1 of a PID namespace, and as an
//! ordinary child process.

use crate::harness::{self, Call, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;

/// Whether the init is an ordinary child process or PID 1 of a PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitPlace {
    Child,
    First,
}

const BOTH: [InitPlace; 2] = [InitPlace::Child, InitPlace::First];

/// Prepares a call of vsrun in this place. As PID 1 its parent is unshare(1), which exits with the same status.
fn call(sandbox: &Sandbox, place_of: InitPlace, line: Vec<OsString>) -> Call<'_> {
    match place_of {
        InitPlace::Child => sandbox.vsrun(line),
        InitPlace::First => {
            let unshare = words!["--pid", "--fork", "--kill-child", "--", sandbox.path("vsrun")];
            sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat())
        }
    }
}

/// Returns vsrun's PID in the PID namespace of the test.
#[track_caller]
fn vsrun(called: &Running, place_of: InitPlace) -> i32 {
    match place_of {
        InitPlace::Child => called.pid(),
        InitPlace::First => harness::await_some("PID 1", || process::children(called.pid()).first().copied()),
    }
}

fn can_run_these_tests() -> bool {
    harness::root() && harness::tool("unshare")
}

/// All signals that a process can catch, except SIGCHLD, which vsrun itself needs.
fn signals() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD].contains(signal))
}

/// All signals whose default action ends a process.
fn deadly() -> impl Iterator<Item = i32> {
    let harmless = [libc::SIGCONT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGURG, libc::SIGWINCH];
    signals().chain([libc::SIGKILL]).filter(move |signal| !harmless.contains(signal))
}

#[test]
fn every_signal_is_forwarded() {
    needs!(can_run_these_tests());
    for place_of in BOTH {
        let sandbox = Sandbox::new();
        let seen = sandbox.out("seen");
        let line = words!["--init", "--", sandbox.probe(), "signals", &seen, "64", "exit", "3"];
        let called = call(&sandbox, place_of, line).start();
        let pid = vsrun(&called, place_of);
        let mut expected = vec!["ready".to_owned()];
        harness::await_lines(&seen, 1);
        for signal in signals() {
            sys::kill(pid, signal);
            expected.push(signal.to_string());
            // The server gets each signal once and no other one: no SIGCONT follows a forwarded SIGTERM.
            assert_eq!(harness::await_lines(&seen, expected.len()), expected, "{place_of:?}");
        }
        called.finish().assert_exited(3);
    }
}

#[test]
fn every_status_of_the_server_is_that_of_vsrun() {
    let sandbox = Sandbox::new();
    for code in 0..=255 {
        sandbox.vsrun(words!["--init", "--", sandbox.probe(), "exit", code.to_string()]).finish().assert_exited(code);
    }
    for signal in deadly() {
        let line = words!["--init", "--", sandbox.probe(), "raise", signal.to_string(), "wait"];
        sandbox.vsrun(line).finish().assert_exited(128 + signal);
    }
    needs!(can_run_these_tests());
    for (word, number, status) in [("exit", 0, 0), ("exit", 1, 1), ("exit", 127, 127), ("exit", 255, 255)]
        .into_iter()
        .chain([1, 2, 9, 11, 15, 34, 64].map(|signal| ("raise", signal, 128 + signal)))
    {
        let line = words!["--init", "--", sandbox.probe(), word, number.to_string(), "wait"];
        call(&sandbox, InitPlace::First, line).finish().assert_exited(status);
    }
}

#[test]
fn a_stop_ends_with_the_status_of_the_server() {
    let sandbox = Sandbox::new();
    for (options, signal, status) in [
        (words![], libc::SIGTERM, 143),
        (words![], libc::SIGINT, 130),
        (words![], libc::SIGHUP, 129),
        (words!["--on-signal", "USR1=stop"], libc::SIGUSR1, 143),
        (words!["--on-signal", "TERM=stop", "--stop-signal", "QUIT"], libc::SIGTERM, 131),
        (words!["--on-signal", "TERM=forward:USR2"], libc::SIGTERM, 140),
        (words!["-m", "keeper", "-", "-p", "server", "--restart", "no"], libc::SIGTERM, 143),
    ] {
        let life = sandbox.out(&format!("life-{}", options.len() + usize::try_from(signal).unwrap() * 100));
        let line = [words!["--init"], options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
        let called = sandbox.vsrun(line).start();
        harness::await_life(&life, 1);
        called.signal(signal);
        called.finish().assert_exited(status);
        std::fs::remove_file(&life).unwrap();
    }
    sandbox.await_nothing_left();
    assert!(!sandbox.path("keeper").exists() && !sandbox.path("server").exists());
}

#[test]
fn a_server_stopped_by_sigstop_is_still_terminated() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let called =
        sandbox.vsrun(words!["--init", "--stop-timeout", "1h", "--", sandbox.probe(), "life", &life, "wait"]).start();
    let server = harness::await_life(&life, 1);
    sys::kill(server, libc::SIGSTOP);
    harness::await_true("the stop", || process::state(server) == "T");
    assert!(called.is_running());
    called.signal(libc::SIGTERM);
    called.finish().assert_exited(143);
}

#[test]
fn an_init_kills_the_server_only_with_an_explicit_stop_timeout() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let server = words!["--", sandbox.probe(), "ignore", "15", "life", &life, "wait"];
    let called =
        sandbox.vsrun([words!["--init", "--no-quiet", "--stop-timeout", "100ms"], server.clone()].concat()).start();
    harness::await_life(&life, 1);
    // SIGWINCH is forwarded and does not start the stop timeout.
    called.signal(libc::SIGWINCH);
    called.signal(libc::SIGTERM);
    let ended = called.finish();
    ended.assert_exited(137);
    assert!(ended.err.iter().any(|line| line.contains("sending SIGKILL to the process group")), "{ended:?}");

    let called = sandbox.vsrun([words!["--init", "--no-quiet"], server].concat()).start();
    harness::await_life(&life, 2);
    called.signal(libc::SIGTERM);
    called.await_err("sending SIGTERM");
    // vsrun now waits without a time limit, which a unit test of its state machine proves. SIGUSR1 ends the server of
    // this test.
    called.signal(libc::SIGUSR1);
    called.finish().assert_exited(138);
}

#[test]
fn options_that_contradict_init_are_rejected() {
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["exit", "0"]);
    for (options, parts) in [
        (words!["--restart-delay", "1s"], ["--init", "--restart-delay"]),
        (words!["--restart-limit", "1/1s"], ["--init", "--restart-limit"]),
        (words!["--handler-timeout", "1s", "-m", "-", handler.clone()], ["--init", "--handler-timeout"]),
        (words!["--restart", "always"], ["--init", "--restart"]),
        (words!["--restart", "on-failure"], ["--init", "--restart"]),
        (words!["-m", "-", handler], ["--init", "--manager with a handler"]),
        (words!["--at-exit", "halt", "-b"], ["--at-exit", "--background"]),
        (words!["--at-exit", "off"], ["--at-exit", "off"]),
        (words!["--linger", "soon"], ["--linger", "soon"]),
    ] {
        let line = [words!["--init"], options, words!["--", "true"]].concat();
        sandbox.vsrun(line).finish().assert_failed(2, &parts);
    }
    for option in [words!["--group"], words!["--linger", "1s"], words!["--at-exit", "halt"]] {
        let parts = [option[0].to_str().unwrap().to_owned(), "--init".to_owned()];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        sandbox.vsrun([option, words!["--", "true"]].concat()).finish().assert_failed(2, &parts);
    }
}

/// Many orphans exit at once, while vsrun runs or is stopped by SIGSTOP. In a stopped vsrun their SIGCHLD signals merge
/// into one.
#[test]
fn orphans_are_reaped_even_if_their_signals_merge() {
    needs!(can_run_these_tests());
    for place_of in BOTH {
        for (count, stopped) in [(1000, false), (500, true)] {
            let sandbox = Sandbox::new();
            let ready = sandbox.out("ready");
            let crowd = words!["crowd", count.to_string(), "append", &ready, "x", "wait"];
            let called = call(&sandbox, place_of, [words!["--init", "--", sandbox.probe()], crowd].concat()).start();
            harness::await_file(&ready);
            let pid = vsrun(&called, place_of);
            let server = process::children(pid)[0];
            let orphans: Vec<i32> = process::children(pid).into_iter().filter(|child| *child != server).collect();
            assert_eq!(orphans.len(), count);
            if stopped {
                sys::kill(pid, libc::SIGSTOP);
                harness::await_true("the stop", || process::state(pid) == "T");
            }
            orphans.iter().for_each(|orphan| sys::kill(*orphan, libc::SIGKILL));
            if stopped {
                harness::await_true("the end of them all", || orphans.iter().all(|orphan| process::gone(*orphan)));
                assert_eq!(process::children(pid).len(), count + 1, "nobody has reaped them");
                sys::kill(pid, libc::SIGCONT);
            }
            harness::await_true("the server alone to be left", || process::children(pid) == [server]);
            sys::kill(pid, libc::SIGTERM);
            called.finish().assert_exited(143);
        }
    }
}

/// The server and 100 orphans end while vsrun is stopped, so that their SIGCHLD signals merge into one.
#[test]
fn the_servers_end_is_not_lost_among_others() {
    let sandbox = Sandbox::new();
    let ready = sandbox.out("ready");
    let line = words!["--init", "--", sandbox.probe(), "crowd", "100", "append", &ready, "x", "wait"];
    let called = sandbox.vsrun(line).start();
    harness::await_file(&ready);
    let children = process::children(called.pid());
    called.signal(libc::SIGSTOP);
    harness::await_true("the stop", || process::state(called.pid()) == "T");
    children.iter().rev().for_each(|child| sys::kill(*child, libc::SIGALRM));
    harness::await_true("the end of them all", || children.iter().all(|child| process::gone(*child)));
    called.signal(libc::SIGCONT);
    called.finish().assert_exited(142);
}

#[test]
fn the_server_gets_default_signal_settings_except_an_ignored_sighup() {
    needs!(can_run_these_tests());
    for place_of in BOTH {
        let sandbox = Sandbox::new();
        let report = sandbox.out("report");
        let line = words!["--init", "--", sandbox.probe(), "report", &report, "wait"];
        let called = call(&sandbox, place_of, line).before(sys::block_and_ignore_signals).start();
        let found = sandbox.report(&report);
        assert_eq!(found.one("ignored"), "1", "{place_of:?}: nohup has a say, and it alone");
        for kind in ["blocked", "caught", "pending"] {
            assert_eq!(found.one(kind), "", "{place_of:?}: {kind}");
        }
        sys::kill(vsrun(&called, place_of), libc::SIGTERM);
        called.finish().assert_exited(143);
    }
}

/// The server sends PID 1 every signal. The kernel discards a signal from inside the namespace unless the init blocks
/// or catches it, and vsrun blocks signals.
#[test]
fn no_signal_ends_pid_1() {
    needs!(can_run_these_tests());
    for option in ["--init", "--restart=always"] {
        let sandbox = Sandbox::new();
        let (life, alive) = (sandbox.out("life"), sandbox.out("alive"));
        let ignoring = signals().flat_map(|signal| words!["ignore", signal.to_string()]);
        // SIGHUP, SIGINT and SIGTERM restart or stop a manager; other tests cover them.
        let other = |signal: &i32| option == "--init" || ![1, 2, 15].contains(signal);
        let poking = (1..=64).filter(other).flat_map(|signal| words!["poke", signal.to_string()]);
        let script = words!["life", &life].into_iter().chain(ignoring).chain(poking);
        let script = script.chain(words!["append", &alive, "x", "wait"]).collect();
        let called =
            call(&sandbox, InitPlace::First, [words![option, "--no-quiet", "--", sandbox.probe()], script].concat())
                .start();
        harness::await_file(&alive);
        called.await_err("sending SIGRTMIN+30");
        assert!(process::state(vsrun(&called, InitPlace::First)) != "T");
        assert_eq!(harness::lives(&life).len(), 1);
        assert!(called.is_running());
    }
}

/// The terminal of PID 1 hangs up, and vsrun goes on to forward signals.
#[test]
fn a_terminal_hangup_does_not_end_pid_1() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let seen = sandbox.out("seen");
    let line = words!["--init", "--", sandbox.probe(), "signals", &seen, "64", "exit", "3"];
    let (call, terminal) = call(&sandbox, InitPlace::First, line).on_terminal();
    // unshare(1), which is outside the PID namespace, leads the terminal's session and must survive the hang-up.
    let call = call.before(|| sys::ignore_signal(libc::SIGHUP));
    let called = call.start();
    harness::await_lines(&seen, 1);
    drop(terminal);
    let pid = vsrun(&called, InitPlace::First);
    for signal in [libc::SIGUSR1, libc::SIGUSR2] {
        sys::kill(pid, signal);
        harness::await_true("it at the server", || harness::lines(&seen).contains(&signal.to_string()));
    }
    sys::kill(pid, 64);
    called.finish().assert_exited(3);
}

#[test]
fn pid_1_restarts_with_every_descriptor_closed() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let line =
        words!["--restart", "on-failure", "--", sandbox.probe(), "life", &life, "until", "3", "exit", "1", "wait"];
    let called = call(&sandbox, InitPlace::First, line).closed(&[0, 1, 2]).start();
    harness::await_life(&life, 4);
    sys::kill(vsrun(&called, InitPlace::First), libc::SIGTERM);
    called.finish().assert_exited(0);
}

/// In a PID namespace reboot(2) kills the init: with SIGHUP for a restart, with SIGINT for poweroff and halt.
#[test]
fn at_exit_ends_the_machine_however_pid_1_would_have_exited() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    for (how, signal) in [("poweroff", libc::SIGINT), ("halt", libc::SIGINT), ("reboot", libc::SIGHUP)] {
        for (options, command) in [
            (words!["--init"], words![sandbox.probe(), "exit", "0"]),
            (words!["--init"], words![sandbox.probe(), "exit", "7"]),
            (words!["--restart", "on-failure"], words![sandbox.probe(), "exit", "0"]),
            (words!["--init"], words!["/nowhere"]),
            (words!["--init", "-u", "nobody-of-that-name"], words![sandbox.probe()]),
            (words!["--init", "--no-such-option"], words![sandbox.probe()]),
            (words!["--args", "/nowhere"], words![]),
            (words!["--restart", "always", "--init"], words![sandbox.probe()]),
            (words!["--init"], words![]),
        ] {
            let line = [words!["--at-exit", how], options, words!["--"], command].concat();
            let ended = call(&sandbox, InitPlace::First, line.clone()).finish();
            assert_eq!(ended.signal(), Some(signal), "{line:?}: {ended:?}");
        }
    }
    // --at-exit takes effect even if one or more options before it are wrong.
    for wrong in [
        words!["--no-such-option"],
        words!["word"],
        words!["--init=yes", "--nice", "x", "--restart", "never"],
        words!["--nice", "1", "--nice", "1"],
    ] {
        let line = [wrong, words!["--at-exit", "halt", "--", "true"]].concat();
        let ended = call(&sandbox, InitPlace::First, line.clone()).finish();
        assert_eq!(ended.signal(), Some(libc::SIGINT), "{line:?}: {ended:?}");
        assert_eq!(ended.err.len(), 1, "{ended:?}");
    }
}

#[test]
fn only_pid_1_ends_the_machine() {
    needs!(can_run_these_tests(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let made = sandbox.out("made");
    let line = words!["--init", "--at-exit", "poweroff", "--", sandbox.probe(), "append", &made, "x"];
    sandbox.vsrun(line).finish().assert_failed(125, &["--at-exit", "PID 1"]);
    sandbox.vsrun(words!["--at-exit", "poweroff", "--init", "--nonsense"]).finish().assert_failed(2, &["--nonsense"]);
    assert!(!made.exists());
    // Without CAP_SYS_BOOT vsrun can only exit.
    let unshare = words!["--bounding-set", "-sys_boot", "--", "unshare", "--pid", "--fork", "--kill-child", "--"];
    let line = words![sandbox.path("vsrun"), "--init", "--at-exit", "poweroff", "--", sandbox.probe(), "exit", "9"];
    let ended = sandbox.program(&harness::find_tool("setpriv").unwrap(), [unshare, line].concat()).finish();
    ended.assert_exited(9);
    assert!(ended.err.iter().any(|line| line.contains("--at-exit")), "{ended:?}");
}
