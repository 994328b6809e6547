//! The lines that the crash handler prints become records in vsrun's own log.

use crate::harness::{self, Sandbox, await_life, needs, process, words};
use std::ffi::OsString;

/// Runs a manager with this crash handler. Its server exits with status 3 at once.
fn run(sandbox: &Sandbox, options: Vec<OsString>, handler: Vec<OsString>) -> harness::call::ProcessResult {
    let handler = sandbox.script("handler", handler);
    sandbox.vsrun([options, words!["-m", "-", handler, "--", sandbox.probe(), "exit", "3"]].concat()).finish()
}

#[test]
fn handler_lines_are_escaped_and_cut() {
    let sandbox = Sandbox::new();
    let long = "y".repeat(700);
    let script = words!["print", "a\x1b[2Jb\\c", "print", long, "print", "last", "exit", "1"];
    let ended = run(&sandbox, words![], script);
    ended.assert_exited(3);
    let said: Vec<&str> = ended.err.iter().filter_map(|line| line.strip_prefix("vsrun: handler: ")).collect();
    assert_eq!(said[0], "a\\x1b[2Jb\\x5cc");
    assert_eq!(said[1], format!("{}...", "y".repeat(500)));
    assert_eq!(said[2..], ["last"]);
    let at = |part: &str| ended.err.iter().position(|line| line.contains(part));
    assert!(at("handler: last") < at("the handler refuses the restart"), "{ended:?}");
}

/// The handler has only its pipe and the server's log open. At most 1000 lines of its output are recorded.
#[test]
fn handler_has_no_log_file_open_and_its_output_is_limited() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let script = words!["report", &report, "lines", "1", "2000", "exit", "1"];
    run(&sandbox, words!["-d", "logs", "1"], script).assert_exited(3);
    let log = harness::text(&sandbox.path("logs/vsrun.log"));
    assert!(!log.contains("handler: line 1001\n") && log.contains("handler: line 1000\n"), "{log}");
    assert!(log.contains("warning: further output of the handler is not recorded"), "{log}");
    let report = sandbox.report(&report);
    assert_eq!(report.descriptor_numbers(), [0, 1, 2]);
    assert!(harness::lines(&report_path(&sandbox)).iter().all(|line| !line.contains("vsrun.log")));
}

fn report_path(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.out("report")
}

/// A background process of the handler may keep the pipe open. The manager closes its end when the next handler starts.
#[test]
fn handlers_with_background_children_leak_no_descriptor() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let script = format!("#!/bin/sh\n{} sleep 30 &\necho asked\n", harness::find_tool("busybox").unwrap().display());
    let handler = sandbox.executable("handler", script.as_bytes());
    let life = sandbox.out("life");
    let options = words!["-m", "-", handler, "--restart-delay", "0"];
    let line = [options, words!["--", sandbox.probe(), "life", &life, "until", "40", "exit", "3", "wait"]].concat();
    let manager = sandbox.vsrun(line).start();
    await_life(&life, 41);
    harness::await_true("the last server", || {
        manager.err().iter().filter(|line| line.ends_with("handler: asked")).count() == 40
    });
    let open = process::descriptors(manager.pid());
    assert!(open.len() < 12, "{open:?}");
    manager.stop().assert_exited(0);
}

/// The kernel executes no program with a variable of more than 128 KiB, and a handler that cannot be executed would
/// count as one that refuses the restart.
#[test]
fn long_server_command_is_cut_for_the_handler() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let handler = sandbox.script("handler", words!["report", &report, "exit", "1"]);
    let words = std::iter::repeat_n(OsString::from("x".repeat(1000)), 300);
    let line = words!["-m", "-", handler, "--", sandbox.probe(), "exit", "3"].into_iter().chain(words).collect();
    sandbox.vsrun(line).finish().assert_exited(3);
    let command = sandbox.report(&report).variable("VSRUN_SERVER_COMMAND").unwrap();
    assert_eq!(command.len(), 64 * 1024);
    assert!(command.ends_with("xxx..."));
}
