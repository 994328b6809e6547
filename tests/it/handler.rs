//! The crash handler: what it gets, which user it runs as, and how vsrun uses its exit status.

use crate::harness::{self, Report, Running, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs;

/// Starts a manager of a server that does `actions`. The crash handler writes a report in each of its first three runs,
/// and does `last` in every run.
fn manage(sandbox: &Sandbox, options: Vec<OsString>, last: Vec<OsString>, actions: Vec<OsString>) -> Running {
    let reported = |life: &str| words!["at", life, "report", sandbox.out(&format!("reported-{life}"))];
    let words = [words!["life", sandbox.out("handled")], reported("1"), reported("2"), reported("3"), last].concat();
    let handler = sandbox.script("handler", words);
    let line =
        [options, words!["-m", "-", handler, "--", sandbox.probe(), "life", sandbox.out("life")], actions].concat();
    sandbox.vsrun(line).env("VSRUN_SERVER_TERMSIG", "99").env("VSRUN_STRANGE", "1").env("KEPT", "yes").start()
}

#[track_caller]
fn reported(sandbox: &Sandbox, life: u32) -> Report {
    sandbox.report(&sandbox.out(&format!("reported-{life}")))
}

#[track_caller]
fn assert_reported(report: &Report, wanted: &[(&str, Option<&str>)]) {
    for (name, value) in wanted {
        assert_eq!(report.variable(&format!("VSRUN_SERVER_{name}")).as_deref(), *value, "{name}");
    }
}

#[test]
fn handler_gets_the_exit_status_and_usage_of_the_server() {
    let sandbox = Sandbox::new();
    manage(&sandbox, words![], words![], words!["at", "1", "exit", "42"]).finish().assert_exited(0);
    let first = harness::lives(&sandbox.out("life"))[0].0.to_string();
    let report = reported(&sandbox, 1);
    assert_reported(
        &report,
        &[
            ("EXITED", Some("1")),
            ("EXITSTATUS", Some("42")),
            ("TERMSIG", None),
            ("SIGNAME", None),
            ("COREDUMP", Some("0")),
            ("EXPLAIN", Some("exited with status 42")),
            ("REASON", Some("exit")),
            ("PID", Some(&first)),
            ("RESTARTS", Some("0")),
        ],
    );
    assert_eq!(report.variable("VSRUN_STRANGE"), None, "no VSRUN_* variable of the caller gets through");
    assert_eq!(report.variable("KEPT").as_deref(), Some("yes"));
    let number = |name: &str| report.variable(&format!("VSRUN_SERVER_{name}")).unwrap().parse::<u64>().unwrap();
    assert!(number("UPTIME") < 20 && number("MAXRSS_KB") > 0 && number("CPU_MS") < 20_000, "{report:?}");
}

#[test]
fn handler_gets_the_signal_that_killed_the_server() {
    let sandbox = Sandbox::new();
    let actions = words!["at", "1", "raise", "11", "at", "2", "raise", "9", "at", "3", "raise", "35"];
    manage(&sandbox, words!["--restart-delay", "0"], words![], actions).finish().assert_exited(0);
    for (life, number, name) in [(1, "11", Some("SIGSEGV")), (2, "9", Some("SIGKILL")), (3, "35", None)] {
        let report = reported(&sandbox, life);
        let explained = format!("killed by signal {number}");
        let restarts = (life - 1).to_string();
        assert_reported(
            &report,
            &[
                ("EXITED", Some("0")),
                ("EXITSTATUS", None),
                ("TERMSIG", Some(number)),
                ("COREDUMP", Some("0")),
                ("EXPLAIN", Some(&explained)),
                ("REASON", Some("signal")),
                ("RESTARTS", Some(&restarts)),
            ],
        );
        if name.is_some() {
            assert_reported(&report, &[("SIGNAME", name)]);
        }
    }
}

#[test]
fn handler_gets_whether_the_server_dumped_core() {
    // A setting of the whole machine decides where core files go. No other test may change it meanwhile.
    let _turn = harness::sysctl::turn();
    let sandbox = Sandbox::new();
    let alone = sandbox.program(&sandbox.probe(), words!["core", "segv"]).directory(&sandbox.path("out")).finish();
    needs!(harness::available(alone.dumped_core(), "core dumps"));
    manage(&sandbox, words!["-w", sandbox.path("out")], words!["exit", "1"], words!["core", "segv"])
        .finish()
        .assert_exited(139);
    assert_reported(
        &reported(&sandbox, 1),
        &[
            ("EXITED", Some("0")),
            ("TERMSIG", Some("11")),
            ("COREDUMP", Some("1")),
            ("EXPLAIN", Some("dumped core with signal 11")),
            ("REASON", Some("core")),
            ("SIGNAME", Some("SIGSEGV")),
        ],
    );
}

#[test]
fn hangups_are_not_counted_as_restarts() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words![], words!["exit", "1"], words!["at", "3", "exit", "1", "wait"]);
    for life in 1..3 {
        harness::await_life(&sandbox.out("life"), life);
        manager.signal(libc::SIGHUP);
    }
    manager.finish().assert_exited(1);
    assert_reported(&reported(&sandbox, 1), &[("RESTARTS", Some("0"))]);
}

#[test]
fn handler_gets_the_server_command_quoted_for_a_shell() {
    let sandbox = Sandbox::new();
    let odd =
        ["a b", "", "it's", "$HOME", "`x`", "*", "new\nline", "#", "~", "a\\b", "\"", "plain-1.2/3_4:5,6=7@8%9+0"];
    let mut actions = words!["exit", "1"];
    actions.extend(odd.iter().map(OsString::from));
    let begin = words![sandbox.probe(), "life", sandbox.out("life")];
    manage(&sandbox, words![], words!["exit", "1"], actions.clone()).finish().assert_exited(1);
    let command = reported(&sandbox, 1).variable("VSRUN_SERVER_COMMAND").unwrap();
    assert!(command.starts_with(&format!(
        "{} life {} exit 1 'a b' '' ",
        sandbox.probe().display(),
        sandbox.out("life").display()
    )));
    assert!(command.ends_with(" plain-1.2/3_4:5,6=7@8%9+0"), "{command}");
    // The words that a shell makes of the command are the arguments that the server got.
    needs!(harness::tool("sh"));
    let script = format!("set -f; set -- {command}; for word; do printf '%s\\0' \"$word\"; done");
    let ended = sandbox.program(&harness::find_tool("sh").unwrap(), words!["-c", format!("({script}) >read")]).finish();
    ended.assert_exited(0);
    let wanted: Vec<String> = [begin, actions].concat().iter().map(|word| word.to_str().unwrap().to_owned()).collect();
    assert_eq!(harness::text(&sandbox.path("read")).trim_end_matches('\0'), wanted.join("\0"));
}

#[test]
fn handler_is_run_if_the_server_cannot_be_restarted() {
    for (mode, status, explained) in
        [(None, "127", "exited with status 127"), (Some(0o644), "126", "exited with status 126")]
    {
        let sandbox = Sandbox::new();
        let copy = sandbox.path("server");
        harness::sandbox::copy(&sandbox.probe(), &copy);
        let handler = sandbox.script(
            "handler",
            words![
                "life",
                sandbox.out("handled"),
                "at",
                "2",
                "report",
                sandbox.out("reported-2"),
                "at",
                "2",
                "exit",
                "1"
            ],
        );
        let line = words!["-m", "-", handler, "--", &copy, "life", sandbox.out("life"), "wait"];
        let manager = sandbox.vsrun(line).start();
        let server = harness::await_life(&sandbox.out("life"), 1);
        match mode {
            None => fs::remove_file(&copy).unwrap(),
            Some(mode) => fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap(),
        }
        sys::kill(server, libc::SIGKILL);
        manager.finish().assert_exited(status.parse().unwrap());
        assert_reported(
            &reported(&sandbox, 2),
            &[
                ("REASON", Some("exec")),
                ("EXITED", Some("1")),
                ("EXITSTATUS", Some(status)),
                ("EXPLAIN", Some(explained)),
                ("RESTARTS", Some("1")),
            ],
        );
    }
}

#[test]
fn handler_runs_as_the_server_user_outside_the_chroot() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let handler = sandbox.script("handler", words!["report", sandbox.out("reported-1"), "exit", "1"]);
    let options = words!["-u", "12345:23456", "-r", &jail, "-p", "pid", "-m", "monitor", handler, "-e", "ONLY=server"];
    let line = [options, words!["--", "/probe", "exit", "3"]].concat();
    let (input, _typed) = sys::pipe();
    let call = sandbox.vsrun(line).stdin(input).env("HOME", "/root").before(sys::block_and_ignore_signals);
    call.finish().assert_exited(3);
    let report = reported(&sandbox, 1);
    assert_eq!(report.one("uids"), "12345 12345 12345");
    assert_eq!(report.one("gids"), "23456 23456 23456");
    assert_eq!(report.groups(), [23456]);
    assert_eq!(report.one("cwd"), "/");
    assert_eq!(report.one("root"), harness::call::identity("/".as_ref()));
    assert_eq!(report.descriptor_numbers(), [0, 1, 2]);
    assert!(report.descriptor(0).unwrap().is_null());
    assert_eq!(report.one("ignored"), "1", "a SIGHUP that is ignored in the foreground stays so");
    for set in ["blocked", "caught", "pending"] {
        assert_eq!(report.one(set), "", "{set} signals");
    }
    assert_eq!(report.variable("HOME").as_deref(), Some("/"));
    assert_eq!(report.variable("SHELL").as_deref(), Some("/bin/sh"));
    assert_eq!(report.variable("ONLY"), None, "-e is for the server alone");
    let script = sandbox.path("handler").display().to_string();
    assert_eq!(report.all("argument").last(), Some(&script), "the path alone, no arguments");
}

#[test]
fn handler_output_goes_to_the_log_of_vsrun() {
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["print", "handler's out", "complain", "handler's err", "exit", "1"]);
    let ended = sandbox.vsrun(words!["-m", "-", handler, "--", sandbox.probe(), "exit", "3"]).finish();
    ended.assert_exited(3);
    for words in ["vsrun: handler: handler's out", "vsrun: handler: handler's err"] {
        assert!(ended.err.contains(&words.to_owned()), "{ended:?}");
    }

    let handler = sandbox.path("handler");
    let ended =
        sandbox.vsrun(words!["-d", "logs", "1", "-m", "-", handler, "--", sandbox.probe(), "exit", "3"]).finish();
    ended.assert_exited(3);
    let log = harness::text(&sandbox.path("logs/vsrun.log"));
    assert!(log.contains("notice: handler: handler's out\n") && log.contains("handler's err\n"), "{log}");
}

#[test]
fn handler_reads_the_log_of_the_last_run_from_stdin() {
    let sandbox = Sandbox::new();
    let heard = sandbox.out("heard");
    let handler =
        sandbox.script("handler", words!["life", sandbox.out("handled"), "collect", &heard, "at", "3", "exit", "1"]);
    let options = words!["-d", "logs", "1", "--restart-delay", "0", "-m", "-", handler];
    let actions =
        words!["life", sandbox.out("life"), "at", "1", "lines", "1", "3", "at", "2", "lines", "4", "5", "exit", "1"];
    sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).finish().assert_exited(1);
    // Each run of the handler read only what the life before it had written. The third life wrote nothing.
    assert_eq!(harness::lines(&heard), ["line 1", "line 2", "line 3", "line 4", "line 5"]);
    assert_eq!(harness::lines(&sandbox.path("logs/logfile")).len(), 5);
}

#[test]
fn vsrun_exits_with_the_server_status_if_the_handler_refuses() {
    let table = [
        (words!["exit", "1"], words!["exit", "5"], 5),
        (words!["exit", "255"], words!["raise", "6"], 134),
        (words!["raise", "9"], words!["exit", "7"], 7),
        (words!["raise", "15"], words!["raise", "10"], 138),
    ];
    for (answer, end, status) in table {
        let sandbox = Sandbox::new();
        manage(&sandbox, words![], answer, end).finish().assert_exited(status);
        assert_eq!(harness::lives(&sandbox.out("handled")).len(), 1);
        assert_eq!(harness::lives(&sandbox.out("life")).len(), 1);
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_missing_handler_is_an_error_at_the_start() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("no-program"), "").unwrap();
    for handler in ["no-such-handler", "no-program", "out"] {
        let handler = sandbox.path(handler);
        for options in [words![], words!["-b"]] {
            let line = words![
                "-p",
                "pid",
                "-m",
                "monitor",
                &handler,
                "--",
                sandbox.probe(),
                "append",
                sandbox.out("ran"),
                "x"
            ];
            let ended = sandbox.vsrun([options, line].concat()).finish();
            ended.assert_failed(125, &[&handler.display().to_string()]);
            assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
        }
    }
}

#[test]
fn a_handler_that_is_gone_when_needed_refuses() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words![], words![], words!["await", sandbox.out("gate"), "exit", "6"]);
    harness::await_life(&sandbox.out("life"), 1);
    fs::remove_file(sandbox.path("handler")).unwrap();
    fs::write(sandbox.out("gate"), "").unwrap();
    manager.finish().assert_exited(6);
    assert_eq!(harness::lives(&sandbox.out("life")).len(), 1);
}

#[test]
fn a_handler_that_takes_too_long_refuses() {
    for deaf in [words![], words!["ignore", "15"]] {
        let sandbox = Sandbox::new();
        let options = words!["--handler-timeout", "50ms", "--stop-timeout", "50ms"];
        let answer = [deaf, words!["append", sandbox.out("began"), "x", "wait"]].concat();
        manage(&sandbox, options, answer, words!["exit", "4"]).finish().assert_exited(4);
        assert_eq!(harness::lives(&sandbox.out("life")).len(), 1);
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_handler_that_exits_0_too_late_refuses() {
    let sandbox = Sandbox::new();
    let seen = sandbox.out("seen");
    // The handler has three seconds to install its signal handler; without one, SIGTERM would kill it.
    let options = words!["--handler-timeout", "3s", "--stop-timeout", "1h"];
    manage(&sandbox, options, words!["signals", &seen, "15", "exit", "0"], words!["exit", "4"])
        .finish()
        .assert_exited(4);
    assert_eq!(harness::lines(&seen), ["ready", "15"]);
    assert_eq!(harness::lives(&sandbox.out("life")).len(), 1);
}

#[test]
fn server_is_restarted_if_the_handler_exits_in_time() {
    let sandbox = Sandbox::new();
    let options = words!["--handler-timeout", "1h"];
    manage(&sandbox, options, words![], words!["at", "1", "exit", "4"]).finish().assert_exited(0);
    assert_eq!(harness::lives(&sandbox.out("life")).len(), 2);
}
