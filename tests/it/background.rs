//! `--background`: the caller learns how the start really ended, and the server keeps nothing of the caller.

use crate::harness::{self, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;

/// The options for a start in the background: without and with a manager.
fn both() -> [Vec<OsString>; 2] {
    [words!["-b"], words!["-b", "-m", "-", "-"]]
}

#[test]
fn the_caller_returns_and_the_server_stays() {
    let sandbox = Sandbox::new();
    for way in both() {
        let report = sandbox.out("report");
        let line = [way.clone(), words!["-p", "pid", "--", sandbox.probe(), "report", &report, "wait"]].concat();
        let caller = sandbox.vsrun(line).start();
        let called = caller.pid();
        caller.finish().assert_exited(0);
        let found = sandbox.report(&report);
        let server = found.number("pid");
        assert_eq!(harness::text(&sandbox.path("pid")), format!("{server}\n"), "the number is the last process's");
        assert!(!harness::gone(server) && server != called);
        let managed = way.contains(&"-m".into());
        let expected = if managed { vec![found.number("ppid"), server] } else { vec![server] };
        harness::await_true("that only the server and its manager live", || sandbox.living() == expected);
        sys::kill(if managed { found.number("ppid") } else { server }, libc::SIGTERM);
        sandbox.await_nothing_left();
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_background_process_leaves_the_session_and_the_terminal() {
    let sandbox = Sandbox::new();
    for way in both() {
        let report = sandbox.out("report");
        let line = [way.clone(), words!["--", sandbox.probe(), "report", &report, "wait"]].concat();
        let (call, _terminal) = sandbox.vsrun(line).on_terminal();
        let caller = call.start();
        let called = caller.pid();
        caller.finish().assert_exited(0);
        let found = sandbox.report(&report);
        let keeper = if way.contains(&"-m".into()) { found.number("ppid") } else { found.number("pid") };
        assert_ne!(process::session(keeper), called, "not the caller's session");
        assert_ne!(process::session(keeper), keeper, "no leader of a session, so no terminal by accident");
        assert_eq!(process::terminal(keeper), 0);
        assert_eq!(process::terminal(found.number("pid")), 0);
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn the_managers_directory_is_the_root_and_the_servers_is_the_callers() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    sandbox
        .vsrun(words!["-b", "-m", "-", "-", "--", sandbox.probe(), "report", &report, "wait"])
        .finish()
        .assert_exited(0);
    let found = sandbox.report(&report);
    assert_eq!(process::directory(found.number("ppid")), "/");
    assert_eq!(found.one("cwd"), sandbox.directory().display().to_string());
}

#[test]
fn a_relative_command_starts_in_the_callers_directory() {
    let sandbox = Sandbox::new();
    for way in both() {
        let line = [way, words!["--", "./probe", "append", "out/ran", "x"]].concat();
        sandbox.vsrun(line).finish().assert_exited(0);
        harness::await_file(&sandbox.out("ran"));
        fs::remove_file(sandbox.out("ran")).unwrap();
    }
}

#[test]
fn a_manager_keeps_no_descriptor_of_the_caller() {
    let sandbox = Sandbox::new();
    for output in [
        words![],
        words!["-d", "logs", "1"],
        words!["-s", "tag", "--logger", format!("{} collect /dev/null", sandbox.probe().display())],
    ] {
        let report = sandbox.out("report");
        let own_output = !output.is_empty();
        let line =
            [words!["-b", "-m", "-", "-"], output, words!["--", sandbox.probe(), "report", &report, "wait"]].concat();
        let file = File::open(sandbox.directory()).unwrap();
        let hook = move || [3, 7, 100].into_iter().try_for_each(|to| sys::duplicate(file.as_raw_fd(), to));
        sandbox.vsrun(line).before(hook).finish().assert_exited(0);
        let found = sandbox.report(&report);
        let caller = sandbox.directory().display().to_string();
        for (fd, target) in process::descriptors(found.number("ppid")) {
            let foreign = target == caller || target.contains("/.out-") || target.contains("/.err-");
            assert!(!foreign || (fd < 3 && !own_output), "{fd} is still {target}");
        }
        sys::kill(found.number("ppid"), libc::SIGTERM);
        sandbox.await_nothing_left();
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_caller_that_reads_to_the_end_is_not_kept_waiting() {
    let sandbox = Sandbox::new();
    for output in [
        words!["-d", "logs", "1"],
        words!["-s", "tag", "--logger", format!("{} collect /dev/null", sandbox.probe().display())],
    ] {
        for way in both() {
            let life = sandbox.out("life");
            let (out, out_writer) = sys::pipe();
            let (err, err_writer) = sys::pipe();
            let line = [way, output.clone(), words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
            let caller = sandbox.vsrun(line).stdout(out_writer).stderr(err_writer).start();
            harness::await_life(&life, 1);
            harness::await_true("end of file on what was stdout", || sys::at_end(&out));
            harness::await_true("end of file on what was stderr", || sys::at_end(&err));
            caller.finish().assert_exited(0);
            assert!(!harness::gone(harness::await_life(&life, 1)), "the server lives on");
            fs::remove_file(&life).unwrap();
        }
    }
}

/// Runs a command line in the foreground and in the background, which must fail in the same way and leave nothing
/// behind.
#[track_caller]
fn assert_same_failure(sandbox: &Sandbox, options: Vec<OsString>, command: Vec<OsString>, status: i32, part: &str) {
    for stay in [words![], words!["-m", "monitor", "-"]] {
        let line = [stay, options.clone(), words!["--"], command.clone()].concat();
        let before: Vec<String> = harness::names(sandbox.directory());
        sandbox.vsrun(line.clone()).finish().assert_failed(status, &[part]);
        sandbox.vsrun([words!["-b"], line].concat()).finish().assert_failed(status, &[part]);
        let new: Vec<String> = harness::names(sandbox.directory())
            .into_iter()
            .filter(|name| !before.contains(name) && !name.starts_with('.'))
            .collect();
        assert!(new.iter().all(|name| name == "logs"), "left behind: {new:?}");
        assert!(!sandbox.out("ran").exists(), "no server was started");
        sandbox.await_nothing_left();
    }
}

#[test]
fn every_failure_reaches_the_caller() {
    let sandbox = Sandbox::new();
    let probe = words![sandbox.probe(), "append", sandbox.out("ran"), "x"];
    fs::write(sandbox.path("file"), "").unwrap();
    let no_format = sandbox.executable("no-format", b"text\n");
    let fails = |options: Vec<OsString>, command: Vec<OsString>, status, part: &str| {
        assert_same_failure(&sandbox, options, command, status, part);
    };
    fails(words!["-p", "pid"], words!["./no-such-command"], 127, "no-such-command");
    fails(words!["-p", "pid"], words!["./file"], 126, "file");
    fails(words!["-p", "pid"], words![no_format], 126, "no-format");
    fails(words!["-p", "no-such-place/pid"], probe.clone(), 125, "no-such-place/pid");
    fails(words!["-p", "out"], probe.clone(), 125, "out");
    fails(words!["-p", "pid", "-w", "no-such-place"], probe.clone(), 125, "no-such-place");
    fails(words!["-p", "pid", "-w", "file"], probe.clone(), 125, "file");
    fails(words!["-p", "pid", "-r", "no-such-place"], probe.clone(), 125, "no-such-place");
    fails(words!["-p", "pid", "-u", "no-such-user"], probe.clone(), 125, "no-such-user");
    fails(words!["-p", "pid", "-s", "tag", "--logger", "no-such-logger"], probe.clone(), 125, "no-such-logger");
    fails(words!["-p", "pid", "-s", "tag", "--logger", "./file"], probe.clone(), 125, "file");
    fails(words!["-p", "pid", "-d", "file/logs", "1"], probe.clone(), 125, "file/logs");
    fails(words!["-p", "pid", "-d", "file", "1"], probe.clone(), 125, "file");
    fails(words!["-p", "pid", "-d", "logs", "1"], words!["./no-such-command"], 127, "no-such-command");
}

#[test]
fn failures_in_the_jail_reach_the_caller() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let options = words!["-p", "pid", "-u", "12345", "-r", &jail];
    assert_same_failure(&sandbox, options.clone(), words!["/no-such-command"], 127, "no-such-command");
    let inside = [options, words!["-w", "/not-inside"]].concat();
    assert_same_failure(&sandbox, inside, words!["/probe", "append", "/out/ran", "x"], 125, "/not-inside");
    assert!(!jail.join("out/ran").exists());
}

#[test]
fn a_wrong_line_is_refused_before_anything_is_detached() {
    let sandbox = Sandbox::new();
    sandbox.vsrun(words!["-b", "--nonsense", "--", sandbox.probe()]).finish().assert_failed(2, &["--nonsense"]);
    sandbox.await_nothing_left();
}

#[test]
fn a_server_that_ends_at_once_was_ready_all_the_same() {
    let sandbox = Sandbox::new();
    for way in both() {
        let restart = if way.len() > 1 { words!["--restart", "no"] } else { words![] };
        for _ in 0..10 {
            sandbox
                .vsrun([way.clone(), restart.clone(), words!["--", sandbox.probe(), "exit", "3"]].concat())
                .finish()
                .assert_exited(0);
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn it_outlives_the_callers_terminal() {
    let sandbox = Sandbox::new();
    for way in both() {
        let life = sandbox.out("life");
        let (call, terminal) =
            sandbox.vsrun([way, words!["--", sandbox.probe(), "life", &life, "wait"]].concat()).on_terminal();
        call.start().finish().assert_exited(0);
        drop(terminal);
        let server = harness::await_life(&life, 1);
        assert!(!harness::gone(server));
        fs::remove_file(&life).unwrap();
    }
}

/// A signal ends the caller that waits for a slow server, as it ends any other program. The start goes on.
#[test]
fn a_signal_ends_the_waiting_caller_and_not_the_start() {
    let sandbox = Sandbox::new();
    for way in both() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            let life = sandbox.out("life");
            let line = words!["--ready", "fd:3", "--", sandbox.probe(), "life", &life, "wait"];
            let caller = sandbox.vsrun([way.clone(), line].concat()).start();
            let server = harness::await_life(&life, 1);
            sys::kill(caller.pid(), signal);
            assert_eq!(caller.finish().signal(), Some(signal));
            assert!(!harness::gone(server), "the start goes on");
            harness::await_true("the end of the server", || {
                sys::kill(server, libc::SIGKILL);
                harness::gone(server)
            });
            sandbox.await_nothing_left();
            fs::remove_file(&life).unwrap();
        }
    }
}
