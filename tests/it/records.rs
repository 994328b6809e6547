//! Which records vsrun writes, and their wording.

use crate::harness::{self, Sandbox, await_life, words};

#[test]
fn an_init_is_silent_on_standard_error_as_long_as_all_is_well() {
    let sandbox = Sandbox::new();
    for (end, status) in [(words!["exit", "0"], 0), (words!["exit", "7"], 7), (words!["raise", "9", "wait"], 137)] {
        let line = [words!["--init", "--", sandbox.probe()], end].concat();
        sandbox.vsrun(line).finish().assert_exited(status).assert_silent();
    }
    let life = sandbox.out("life");
    let init = sandbox.vsrun(words!["--init", "--", sandbox.probe(), "ignore", "10", "life", &life, "wait"]).start();
    await_life(&life, 1);
    init.signal(libc::SIGUSR1);
    init.stop().assert_exited(143).assert_silent();
    // An init leaves out notices, but not errors.
    sandbox.vsrun(words!["--init", "--", "/nothing"]).finish().assert_failed(127, &["/nothing"]);
}

#[test]
fn quiet_and_no_quiet_choose_and_the_last_one_counts() {
    let sandbox = Sandbox::new();
    for (options, quiet) in [
        (words!["--init", "--no-quiet"], false),
        (words!["--init", "-q", "--no-quiet"], false),
        (words!["--init", "--no-quiet", "--quiet"], true),
        (words!["--init", "--debug"], false),
        (words!["--restart", "no"], false),
        (words!["--restart", "no", "-q"], true),
    ] {
        let ended = sandbox.vsrun([options, words!["--", sandbox.probe(), "exit", "0"]].concat()).finish();
        ended.assert_exited(0);
        assert_eq!(!ended.err.iter().any(|line| line.contains("starting")), quiet, "{ended:?}");
    }
    for (options, quiet) in [(words![], false), (words!["-q"], true)] {
        let line = [words!["--init", "-d", "logs", "1"], options, words!["--", sandbox.probe(), "exit", "7"]].concat();
        sandbox.vsrun(line).finish().assert_exited(7);
        let log = harness::text(&sandbox.path("logs/vsrun.log"));
        assert_eq!(log.is_empty(), quiet, "{log}");
    }
}

#[test]
fn a_pause_is_announced_and_signals_have_names() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let options = words!["-m", "-", "-", "--restart-delay", "200ms", "--restart-limit", "2/1min"];
    let ended =
        sandbox.vsrun([options, words!["--", sandbox.probe(), "life", &life, "raise", "11", "wait"]].concat()).finish();
    ended.assert_exited(139);
    for part in [
        "killed by SIGSEGV (11)",
        " after 0.",
        "restarting the server (restart 1)",
        "restarting in 0.2 s (restart 2)",
        "giving up: --restart-limit allows 2 restarts within 1 min",
    ] {
        assert!(ended.err.iter().any(|line| line.contains(part)), "{part}: {ended:?}");
    }
}

#[test]
fn a_start_that_is_not_ready_in_time_names_the_option_and_the_time() {
    let sandbox = Sandbox::new();
    for (ready, how) in [("fd:4", "--ready fd:4"), ("notify", "--ready notify")] {
        let options = words!["-m", "-", "-", "--ready", ready, "--ready-timeout", "100ms"];
        let ended = sandbox.vsrun([options, words!["--", sandbox.probe(), "wait"]].concat()).finish();
        ended.assert_exited(125);
        let words = format!("the server was not ready in time: {how}, --ready-timeout 0.1 s");
        assert!(ended.err.iter().any(|line| line.contains(&words)), "{ended:?}");
    }
}

/// A limit of the file size costs records and nothing else: neither SIGXFSZ nor a failed write ends the manager.
#[test]
fn a_limit_of_file_size_ends_no_manager() {
    needs_bash(|| {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let script = format!(
            "ulimit -S -f 1; exec {} --restart always --restart-delay 0 -d logs 1 --limit fsize=unlimited -- {} life {} until 30 exit 1 wait",
            sandbox.path("vsrun").display(),
            sandbox.probe().display(),
            life.display()
        );
        let manager = sandbox.program("/bin/bash".as_ref(), words!["-c", script]).start();
        await_life(&life, 31);
        assert!(harness::text(&sandbox.path("logs/vsrun.log")).len() <= 1024);
        manager.stop().assert_exited(0);
    });
}

fn needs_bash(test: impl FnOnce()) {
    if harness::available(harness::root() && harness::tool("bash"), "root and bash") {
        test();
    }
}
