//! Signals to a server of another user: with CAP_KILL, with CAP_SETUID alone, and with neither.

use crate::harness::{self, Bundle, Call, PLAIN, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// A call of vsrun as root with only these capabilities. The bounding set is the same, so that no set-user-id program
/// brings others back.
fn with_caps<'a>(sandbox: &'a Sandbox, caps: &str, line: Vec<OsString>) -> Call<'a> {
    let set = format!(
        "-all{}",
        caps.split(' ').filter(|cap| !cap.is_empty()).map(|cap| format!(",+{cap}")).collect::<String>()
    );
    let words = words!["--bounding-set", &set, "--inh-caps", &set, sandbox.path("vsrun")];
    sandbox.program(&harness::find_tool("setpriv").unwrap(), [words, line].concat())
}

fn tools() -> bool {
    harness::root() && harness::tool("setpriv")
}

const IDS: &str = "setuid setgid";

fn user() -> Vec<OsString> {
    words!["-u", PLAIN.to_string()]
}

#[test]
fn setuid_and_setgid_suffice_to_signal_and_stop_a_server_of_another_user() {
    needs!(tools());
    for group in [words![], words!["--group"]] {
        let sandbox = Sandbox::new();
        let seen = sandbox.out("seen");
        let options = [user(), words!["-m", "-", "-"], group, words!["--", sandbox.probe(), "signals", &seen, "15"]];
        let manager = with_caps(&sandbox, IDS, options.concat()).start();
        harness::await_lines(&seen, 1);
        manager.signal(libc::SIGUSR1);
        assert_eq!(harness::await_lines(&seen, 2)[1], "10");
        manager.signal(libc::SIGTERM);
        let ended = manager.finish();
        ended.assert_exited(0);
        assert!(!ended.err.iter().any(|line| line.contains("cannot send")), "{ended:?}");
        // vsrun sends TERM and CONT, and the server may see them in either order.
        let seen = harness::lines(&seen);
        assert!(seen.contains(&"15".to_owned()), "{seen:?}");
    }
}

#[test]
fn hup_restarts_the_server_and_kills_it_if_it_ignores_term() {
    needs!(tools());
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let options = [user(), words!["-m", "-", "-", "--stop-timeout", "100ms", "--", sandbox.probe()]].concat();
    let manager = with_caps(&sandbox, IDS, [options, words!["ignore", "15", "life", &life, "wait"]].concat()).start();
    let first = harness::await_life(&life, 1);
    manager.signal(libc::SIGHUP);
    let second = harness::await_life(&life, 2);
    assert!(harness::gone(first) && first != second);
    manager.stop().assert_exited(0);
    assert!(harness::gone(second));
}

#[test]
fn an_init_forwards_a_signal_once_and_alone_to_another_user() {
    needs!(tools());
    let sandbox = Sandbox::new();
    let seen = sandbox.out("seen");
    let options = [user(), words!["--init", "--", sandbox.probe(), "signals", &seen, "12"]].concat();
    let init = with_caps(&sandbox, IDS, options).start();
    harness::await_lines(&seen, 1);
    for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2] {
        init.signal(signal);
        harness::await_true("the signal", || harness::lines(&seen).contains(&signal.to_string()));
    }
    init.finish().assert_exited(0);
    assert_eq!(harness::lines(&seen), ["ready", "1", "10", "12"]);
}

#[test]
fn the_rest_of_a_group_and_the_handler_are_reached_too() {
    needs!(tools());
    let sandbox = Sandbox::new();
    let (life, child) = (sandbox.out("life"), sandbox.out("child"));
    let options = [user(), words!["-m", "-", "-", "--group", "--stop-timeout", "100ms", "--"]].concat();
    let script = words![sandbox.probe(), "life", &life, "at", "1", "child", &child, "at", "1", "exit", "1", "wait"];
    let manager = with_caps(&sandbox, IDS, [options, script].concat()).start();
    let child: i32 = harness::await_lines(&child, 1)[0].parse().unwrap();
    harness::await_life(&life, 2);
    assert!(harness::gone(child), "the rest of the group ends before the next run");
    manager.stop().assert_exited(0);

    let (asked, handler) = (sandbox.out("asked"), sandbox.path("handler"));
    let path = sandbox.script("handler", words!["ignore", "15", "append", &asked, "x", "wait"]);
    assert_eq!(path, handler);
    let options = words!["-m", "-", path, "--handler-timeout", "50ms", "--stop-timeout", "50ms", "--"];
    let line = [user(), options, words![sandbox.probe(), "exit", "7"]].concat();
    let ended = with_caps(&sandbox, IDS, line).finish();
    ended.assert_exited(7);
    assert!(asked.exists(), "it had begun");
    sandbox.await_nothing_left();
}

#[test]
fn what_is_left_below_vsrun_is_reached_too() {
    needs!(tools());
    let sandbox = Sandbox::new();
    let orphans = sandbox.out("orphans");
    let options = [user(), words!["-m", "-", "-", "--linger", "10s", "--", sandbox.probe()]].concat();
    let manager = with_caps(
        &sandbox,
        IDS,
        [options, words!["child", &orphans, "append", sandbox.out("up"), "x", "wait"]].concat(),
    );
    let manager = manager.start();
    harness::await_file(&sandbox.out("up"));
    let child: i32 = harness::await_lines(&orphans, 1)[0].parse().unwrap();
    manager.stop().assert_exited(0);
    assert!(harness::gone(child));
}

#[test]
fn stop_command_works_with_setuid_and_setgid() {
    needs!(tools());
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let life = sandbox.out("life");
    let line = [user(), words!["-p", &file, "--", sandbox.probe(), "life", &life, "wait"]].concat();
    let server = sandbox.vsrun(line).start();
    harness::await_life(&life, 1);
    // With CAP_SYS_PTRACE vsrun can see which process holds the lock.
    let caps = format!("{IDS} sys_ptrace dac_override");
    with_caps(&sandbox, &caps, words!["--signal", "WINCH", &file]).finish().assert_exited(0).assert_silent();
    let refused = with_caps(&sandbox, "sys_ptrace dac_override", words!["--signal", "WINCH", &file]).finish();
    refused.assert_failed(125, &["cannot send SIGWINCH", "CAP_KILL or CAP_SETUID"]);
    with_caps(&sandbox, &caps, words!["--stop", &file]).finish().assert_exited(0);
    assert_eq!(server.finish().signal(), Some(libc::SIGTERM));
}

/// The server's file is set-user-id, so the server has another user than vsrun, which has no capability to signal it.
#[test]
fn unreachable_server_is_reported_once_and_by_check() {
    needs!(harness::root());
    let sandbox = Sandbox::plain();
    let (program, seen) = (sandbox.path("special"), sandbox.out("seen"));
    harness::sandbox::copy(&sandbox.probe(), &program);
    chown(&program, Some(12345), Some(12345)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    if !sys::grants_special_rights(&program) {
        return;
    }
    let line = |options: Vec<OsString>| {
        let command = words!["--", &program, "assume", "append", &seen, "up", "signals", &seen, "64"];
        [words!["-m", "-", "-"], options, command].concat()
    };
    let check = sandbox.vsrun([words!["--check"], line(words![])].concat()).finish();
    check.assert_exited(0);
    assert!(check.out.iter().any(|line| line.starts_with("warning: ") && line.contains("CAP_KILL")), "{check:?}");
    let manager = sandbox.vsrun(line(words!["--stop-timeout", "50ms"])).start();
    harness::await_lines(&seen, 2);
    manager.await_err("COMMAND is set-user-id");
    for _ in 0..3 {
        manager.signal(libc::SIGUSR1);
    }
    manager.signal(libc::SIGTERM);
    manager.await_err("received SIGTERM");
    let said = manager.err().iter().filter(|line| line.contains("cannot send")).count();
    assert_eq!(said, 1, "{:?}", manager.err());
    manager.await_err("Operation not permitted (needs CAP_KILL or CAP_SETUID)");
    let child = process::children(manager.pid())[0];
    sys::kill(child, libc::SIGKILL);
    manager.finish().assert_exited(0);
    // With --no-new-privs the set-user-id bit has no effect, and nothing is reported.
    let check = sandbox.vsrun([words!["--check"], line(words!["--no-new-privs"])].concat()).finish();
    assert!(check.assert_exited(0).out.is_empty(), "{check:?}");
}

/// A container with these capabilities only; the README recommends SETUID and SETGID.
fn container<'a>(sandbox: &'a Sandbox, caps: &str, line: Vec<OsString>) -> Bundle<'a> {
    let bundle = Bundle::new(sandbox, line);
    let set =
        "($ARGS.positional) as $caps | .process.capabilities = {bounding: $caps, effective: $caps, permitted: $caps}";
    let filter = format!("{set} | .process.user = {{uid: 0, gid: 0}} | .process.noNewPrivileges = false");
    bundle.change(&filter, caps.split(' ').map(OsString::from).collect());
    bundle
}

#[test]
fn docker_stop_works_in_time_with_setuid_and_setgid_alone() {
    needs!(harness::can_run_containers());
    for role in [words!["--init"], words!["-m", "-", "-"], words!["--init", "--group", "--linger", "5s"]] {
        let sandbox = Sandbox::new();
        let seen = sandbox.out("seen");
        let line =
            [words!["/vsrun", "-u", "1000:1000"], role.clone(), words!["--", "/probe", "signals", "/out/seen", "15"]];
        let bundle = container(&sandbox, "CAP_SETUID CAP_SETGID", line.concat());
        let runc = bundle.start();
        harness::await_lines(&seen, 1);
        bundle.kill("TERM");
        runc.finish().assert_exited(0);
        assert!(harness::lines(&seen).contains(&"15".to_owned()), "{role:?}");
    }
}

/// vsrun has no capability, and the server has changed its user by its set-user-id bit: only the kernel can kill it.
#[test]
fn a_first_process_that_cannot_kill_its_server_leaves_so_that_the_kernel_does() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let line = words!["/vsrun", "-m", "-", "-", "--stop-timeout", "100ms", "--", "/special", "assume", "ignore", "15"];
    let bundle = Bundle::new(&sandbox, [line, words!["append", "/out/up", "x", "wait"]].concat());
    bundle.change(".process.noNewPrivileges = false", words![]);
    let special = bundle.root().join("special");
    harness::sandbox::copy(Path::new(&sandbox.probe()), &special);
    chown(&special, Some(12345), Some(12345)).unwrap();
    fs::set_permissions(&special, fs::Permissions::from_mode(0o4755)).unwrap();
    let runc = bundle.start();
    harness::await_file(&sandbox.out("up"));
    bundle.kill("TERM");
    let ended = runc.finish();
    ended.assert_exited(0);
    assert!(
        ended.err.iter().any(|line| line.contains("cannot send SIGKILL") || line.contains("cannot send SIGTERM")),
        "{ended:?}"
    );
    sandbox.await_nothing_left();
}

/// vsrun sends signals from short-lived children; a process of the server's user tries to trace and stop these.
#[test]
fn servers_user_cannot_trace_the_signal_sender_or_block_signals() {
    needs!(tools(), harness::tool("python3"));
    let sandbox = Sandbox::new();
    let (seen, reported) = (sandbox.out("seen"), sandbox.out("reported"));
    let options = [user(), words!["--init", "--", sandbox.probe(), "signals", &seen, "15"]].concat();
    let init = with_caps(&sandbox, IDS, options).start();
    harness::await_lines(&seen, 1);
    let program = "import ctypes, os, signal, sys\n\
        libc, init, reported = ctypes.CDLL(None), int(sys.argv[1]), open(sys.argv[2], 'a', 1)\n\
        reported.write('begun\\n')\n\
        while True:\n\
        \x20try: children = open(f'/proc/{init}/task/{init}/children').read().split()\n\
        \x20except OSError: break\n\
        \x20for child in map(int, children[1:]):\n\
        \x20 if libc.ptrace(16, child, 0, 0) == 0: reported.write('traced\\n')\n\
        \x20 try: os.kill(child, signal.SIGSTOP); reported.write('stopped\\n')\n\
        \x20 except OSError: pass";
    let script = words!["--reuid", PLAIN.to_string(), "--regid", PLAIN.to_string(), "--clear-groups"];
    let python = words![harness::find_tool("python3").unwrap(), "-c", program, init.pid().to_string(), &reported];
    let attacker = sandbox.program(&harness::find_tool("setpriv").unwrap(), [script, python].concat()).start();
    harness::await_lines(&reported, 1);
    for round in 0..200 {
        init.signal(libc::SIGUSR1);
        harness::await_true("the signal", || harness::lines(&seen).len() > round + 1);
    }
    init.signal(libc::SIGTERM);
    init.finish().assert_exited(0);
    attacker.signal(libc::SIGKILL);
    attacker.finish();
    assert!(!harness::lines(&reported).contains(&"traced".to_owned()));
}
