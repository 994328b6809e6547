//! Real containers of runc: a read-only root directory with two static programs, and a user without privileges.

use crate::harness::{self, Bundle, Sandbox, needs, process, words};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// The server's pid outside the container: it is the only child of the container's PID 1.
#[track_caller]
fn server(bundle: &Bundle<'_>) -> i32 {
    harness::await_some("one server", || <[i32; 1]>::try_from(process::children(bundle.pid1())).ok())[0]
}

/// Asserts that this process of a container has no privileges, and a read-only root directory.
#[track_caller]
fn assert_unprivileged(pid: i32) {
    assert_eq!(process::status(pid, "Uid"), "1000\t1000\t1000\t1000");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(process::status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(process::status(pid, "NoNewPrivs"), "1");
    assert!(harness::bundle::read_only(pid));
}

#[test]
fn vsrun_becomes_the_server_of_an_unprivileged_container() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let script = words!["/probe", "report", "/out/report", "append", "/out/life", "1", "await", "/out/go", "exit", "9"];
    let bundle = Bundle::new(&sandbox, [words!["/vsrun", "-p", "/run/pid", "--"], script].concat());
    let runc = bundle.start();
    harness::await_file(&sandbox.out("life"));
    assert_unprivileged(bundle.pid1());
    let found = sandbox.report(&sandbox.out("report"));
    assert_eq!((found.number("pid"), found.one("uids")), (1, "1000 1000 1000".to_owned()));
    assert!(found.descriptor(0).unwrap().is_null());
    bundle.exec(words!["/vsrun", "--status", "/run/pid"]).finish().assert_exited(0);
    std::fs::write(sandbox.out("go"), "").unwrap();
    runc.finish().assert_exited(9).assert_silent();
}

#[test]
fn it_restarts_the_server_and_not_the_container() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let options = words!["/vsrun", "-p", "/run/server.pid", "-m", "/run/manager.pid", "-", "--"];
    let script = words!["/probe", "life", "/out/life", "at", "1", "segv", "report", "/out/report"];
    let end = words!["signals", "/out/seen", "15", "await", "/out/go", "exit", "3"];
    let bundle = Bundle::new(&sandbox, [options, script, end].concat());
    let runc = bundle.start();
    let seen = sandbox.out("seen");

    // The server has crashed once, and now is in its second run.
    harness::await_lines(&seen, 1);
    let first = bundle.pid1();
    let second_life = server(&bundle);
    assert_eq!(sandbox.report(&sandbox.out("report")).descriptor_numbers(), [0, 1, 2]);
    assert_unprivileged(first);
    assert_unprivileged(second_life);
    let running = bundle.exec(words!["/vsrun", "--status", "/run/server.pid"]).finish();
    assert!(running.assert_exited(0).out[0].contains("running"), "{running:?}");

    // HUP: the server takes its time to exit, and the container stays the same.
    bundle.kill("HUP");
    assert_eq!(harness::await_lines(&seen, 2)[1], "15");
    std::fs::write(sandbox.out("go"), "").unwrap();
    harness::await_life(&sandbox.out("life"), 3);
    harness::await_lines(&seen, 3);
    std::fs::remove_file(sandbox.out("go")).unwrap();
    assert_ne!(server(&bundle), second_life);
    assert_eq!((bundle.pid1(), process::gone(first)), (first, false));
    assert!(process::reaped(second_life));

    // USR1 is forwarded.
    bundle.kill("USR1");
    assert_eq!(harness::await_lines(&seen, 4)[3], "10");

    // TERM: the server takes its time to exit again, and then the container ends.
    bundle.kill("TERM");
    assert_eq!(harness::await_lines(&seen, 5)[4], "15");
    assert!(runc.is_running() && !process::gone(first), "the server is not yet ready to end");
    std::fs::write(sandbox.out("go"), "").unwrap();
    runc.finish().assert_exited(0);
    assert_eq!(harness::lives(&sandbox.out("life")).len(), 3);
}

#[test]
fn a_containers_pids_mean_no_process_outside() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    for manager in [words![], words!["-m", "-", "-"]] {
        let line = [words!["/vsrun", "-p", "/out/pid"], manager, words!["--", "/probe", "signals", "/out/seen", "15"]];
        let bundle = Bundle::new(&sandbox, line.concat());
        let runc = bundle.start();
        harness::await_lines(&sandbox.out("seen"), 1);
        bundle.exec(words!["/vsrun", "--status", "/out/pid"]).finish().assert_exited(0);
        // Outside the container, the same pid is another process, or none.
        for ask in [words!["--status"], words!["--signal", "USR1"], words!["--stop"]] {
            sandbox.vsrun([ask, words![sandbox.out("pid")]].concat()).finish().assert_exited(4);
        }
        // When the container's PID 1 exits, the kernel also kills the process that sent the signal, if it has not
        // exited yet.
        let asked = bundle.exec(words!["/vsrun", "--signal", "15", "/out/pid"]).finish();
        assert!(matches!(asked.code(), Some(0 | 137)), "{asked:?}");
        runc.finish().assert_exited(0);
        assert_eq!(harness::lines(&sandbox.out("seen")), ["ready", "15"]);
        std::fs::remove_file(sandbox.out("seen")).unwrap();
    }
}

#[test]
fn no_zombie_remains_of_a_hundred_orphans() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let script = words!["/probe", "orphans", "100", "/out/orphans", "wait"];
    let bundle = Bundle::new(&sandbox, [words!["/vsrun", "-m", "-", "-", "--"], script].concat());
    let runc = bundle.start();
    for line in harness::await_lines(&sandbox.out("orphans"), 100) {
        assert!(line.ends_with(" 1"), "its parent is PID 1: {line}");
    }
    harness::await_true("the server alone to be left", || bundle.pids_except_pid1() == [server(&bundle)]);
    bundle.kill("TERM");
    runc.finish().assert_exited(0);
}

#[test]
fn a_terminal_is_the_servers() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let script = words!["/probe", "report", "/out/report", "print", "what?", "take", "1", "/out/typed"];
    let end = words!["signals", "/out/seen", "2", "exit", "4"];
    let bundle = Bundle::new(&sandbox, [words!["/vsrun", "--restart", "no", "--stdin", "--"], script, end].concat());
    bundle.change(".process.terminal = true", words![]);
    let (call, mut terminal) = bundle.run().on_terminal();
    let runc = call.start();

    let found = sandbox.report(&sandbox.out("report"));
    assert_eq!((found.number("terminal"), found.descriptor(0).unwrap().kind.as_str()), (1, "character"));
    assert_eq!(found.number("pgid"), found.number("pid"));
    terminal.master.write_all(b"something\n").unwrap();
    assert_eq!(harness::await_lines(&sandbox.out("typed"), 1), ["something"]);
    harness::await_lines(&sandbox.out("seen"), 1);
    let server = server(&bundle);
    assert_eq!(process::foreground(server), process::group(server), "Ctrl-C goes to it");
    // Ctrl-C interrupts only the server. SIGINT to vsrun would stop the server.
    terminal.master.write_all(b"\x03").unwrap();
    assert_eq!(harness::await_lines(&sandbox.out("seen"), 2)[1], "2");
    runc.finish().assert_exited(4);
}

#[test]
fn a_user_is_changed_where_the_container_may() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let line = words!["/vsrun", "-u", "5:6", "--", "/probe", "report", "/out/report", "regain", "/out/regained"];
    let root = ".process.user = {uid: 0, gid: 0} | .process.capabilities = ($ARGS.positional as $caps
        | {bounding: $caps, effective: $caps, permitted: $caps})";
    let bundle = Bundle::new(&sandbox, line);
    bundle.change(root, words!["CAP_SETUID", "CAP_SETGID"]);
    bundle.run().finish().assert_exited(0).assert_silent();
    let found = sandbox.report(&sandbox.out("report"));
    assert_eq!((found.one("uids"), found.one("gids")), ("5 5 5".to_owned(), "6 6 6".to_owned()));
    let ways = harness::lines(&sandbox.out("regained"));
    assert!(ways.iter().all(|way| way.ends_with(" refused")), "{ways:?}");

    // Without the necessary capabilities, an error names the step that was refused.
    bundle.change(root, words!["CAP_KILL"]);
    bundle.run().finish().assert_failed(125, &["groups", "Operation not permitted"]);
    // If the container already runs as this user, no capability is needed.
    bundle.change(".process.user = {uid: 5, gid: 6} | .process.capabilities = {}", words![]);
    bundle.run().finish().assert_exited(0);
}

#[test]
fn an_init_ends_as_its_server_does() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let init = |script: Vec<OsString>| [words!["/vsrun", "--init", "--", "/probe"], script].concat();
    let bundle = Bundle::new(&sandbox, init(words!["signals", "/out/seen", "15", "exit", "6"]));
    let runc = bundle.start();
    harness::await_lines(&sandbox.out("seen"), 1);
    // An init forwards HUP and INT too. The server catches TERM, so it exits with its own status.
    for (count, (name, number)) in [("HUP", "1"), ("INT", "2"), ("WINCH", "28"), ("TERM", "15")].iter().enumerate() {
        bundle.kill(name);
        assert_eq!(harness::await_lines(&sandbox.out("seen"), count + 2)[count + 1], *number);
    }
    runc.finish().assert_exited(6);
    Bundle::new(&sandbox, init(words!["segv"])).run().finish().assert_exited(128 + libc::SIGSEGV);
}

#[test]
fn no_process_is_left_running_and_none_is_killed_by_the_kernel() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    // The daemon has its own session and a parent outside the container: it is neither PID 1's child nor in the
    // server's group.
    let init = words!["/vsrun", "--init", "--linger", "20s", "--", "/probe"];
    let bundle = Bundle::new(&sandbox, [init, words!["signals", "/out/seen", "15", "exit", "2"]].concat());
    let runc = bundle.start();
    harness::await_lines(&sandbox.out("seen"), 1);
    let daemon = words!["/vsrun", "-b", "-d", "/run/log", "1", "--", "/probe", "signals", "/out/daemon", "15"];
    let own_end = words!["append", "/out/daemon", "in my own time", "exit", "0"];
    bundle.exec([daemon, own_end].concat()).finish().assert_exited(0);
    harness::await_lines(&sandbox.out("daemon"), 1);
    bundle.kill("TERM");
    runc.finish().assert_exited(2);
    assert_eq!(harness::lines(&sandbox.out("daemon")), ["ready", "15", "in my own time"]);
}

#[test]
fn a_machine_that_is_a_container_ends_at_poweroff() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    // In a pid namespace, reboot(2) does not affect the machine: it kills the namespace's PID 1 with SIGINT (power-off,
    // halt) or SIGHUP (restart).
    let right = ".process.user = {uid: 0, gid: 0} | .process.capabilities = ($ARGS.positional as $caps
        | {bounding: $caps, effective: $caps, permitted: $caps})";
    let end = |how: &str, line: Vec<OsString>| {
        let bundle = Bundle::new(&sandbox, [words!["/vsrun", "--at-exit", how, "--init"], line].concat());
        bundle.change(right, words!["CAP_SYS_BOOT"]);
        bundle.run().finish()
    };
    let poweroff = 128 + libc::SIGINT;
    end("poweroff", words!["--", "/probe", "exit", "5"]).assert_exited(poweroff);
    end("halt", words!["--", "/probe", "segv"]).assert_exited(poweroff);
    end("reboot", words!["--", "/probe"]).assert_exited(128 + libc::SIGHUP);
    // A start that fails for any reason also ends in a power-off: on a real machine, the exit of PID 1 would be a
    // kernel panic.
    end("poweroff", words!["--", "/nothing"]).assert_failed(poweroff, &["/nothing"]);
    end("poweroff", words!["-p", "/nowhere/pid", "--", "/probe"]).assert_failed(poweroff, &["/nowhere"]);
    end("poweroff", words!["--nonsense"]).assert_failed(poweroff, &["--nonsense"]);
    end("poweroff", words!["-u", "nobody", "--", "/probe"]).assert_failed(poweroff, &["nobody"]);
}

#[test]
fn a_poweroff_that_is_not_permitted_is_reported() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    let line = words!["/vsrun", "--at-exit", "poweroff", "--init", "--", "/probe", "exit", "5"];
    let ended = Bundle::new(&sandbox, line).run().finish();
    ended.assert_exited(5);
    assert!(ended.err.iter().any(|line| line.contains("--at-exit")), "{ended:?}");
}

#[test]
fn what_cannot_be_started_ends_the_container() {
    needs!(harness::can_run_containers());
    let sandbox = Sandbox::new();
    for options in [words![], words!["-m", "-", "-"]] {
        let missing = [words!["/vsrun"], options.clone(), words!["--", "/nothing"]].concat();
        Bundle::new(&sandbox, missing).run().finish().assert_failed(127, &["/nothing"]);
        let plain = [words!["/vsrun"], options.clone(), words!["--", "/run"]].concat();
        Bundle::new(&sandbox, plain).run().finish().assert_failed(126, &["/run"]);
        let pidfile = [words!["/vsrun", "-p", "/pid"], options, words!["--", "/probe"]].concat();
        let ended = Bundle::new(&sandbox, pidfile).run().finish();
        ended.assert_failed(125, &["/pid", "Read-only file system"]);
    }
    assert!(!Path::new("/pid").exists());
}
