//! What the handler writes becomes records of vsrun's own.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Place, await_life, needs, process, words};
use std::ffi::OsString;

/// A manager of a server that exits with 3 at once, with this handler.
fn run(place: &Place, options: Vec<OsString>, handler: Vec<OsString>) -> kit::call::Ended {
    let handler = place.script("handler", handler);
    place.vsrun([options, words!["-m", "-", handler, "--", place.probe(), "exit", "3"]].concat()).finish()
}

#[test]
fn its_lines_are_escaped_and_cut() {
    let place = Place::new();
    let long = "y".repeat(700);
    let script = words!["print", "a\x1b[2Jb\\c", "print", long, "print", "last", "exit", "1"];
    let ended = run(&place, words![], script);
    ended.exited(3);
    let said: Vec<&str> = ended.err.iter().filter_map(|line| line.strip_prefix("vsrun: handler: ")).collect();
    assert_eq!(said[0], "a\\x1b[2Jb\\x5cc");
    assert_eq!(said[1], format!("{}...", "y".repeat(500)));
    assert_eq!(said[2..], ["last"]);
    let at = |part: &str| ended.err.iter().position(|line| line.contains(part));
    assert!(at("handler: last") < at("the handler refuses"), "{ended:?}");
}

/// It holds nothing but its pipe and the log that it may read, and a flood of lines is cut off.
#[test]
fn it_holds_no_file_of_vsruns_and_may_not_flood() {
    let place = Place::new();
    let report = place.out("report");
    let script = words!["report", &report, "lines", "1", "2000", "exit", "1"];
    run(&place, words!["-d", "logs", "1"], script).exited(3);
    let log = kit::text(&place.path("logs/vsrun.log"));
    assert!(!log.contains("handler: line 1001\n") && log.contains("handler: line 1000\n"), "{log}");
    assert!(log.contains("warning: further output of the handler is not recorded"), "{log}");
    let report = place.report(&report);
    assert_eq!(report.descriptor_numbers(), [0, 1, 2]);
    assert!(kit::lines(&report_path(&place)).iter().all(|line| !line.contains("vsrun.log")));
}

fn report_path(place: &Place) -> std::path::PathBuf {
    place.out("report")
}

/// What the handler leaves behind may keep its pipe; the manager lets go of it with the next one.
#[test]
fn many_handlers_leave_no_descriptor() {
    needs!(kit::tool("busybox"));
    let place = Place::new();
    let script = format!("#!/bin/sh\n{} sleep 30 &\necho asked\n", kit::find_tool("busybox").unwrap().display());
    let handler = place.executable("handler", script.as_bytes());
    let life = place.out("life");
    let options = words!["-m", "-", handler, "--restart-delay", "0"];
    let line = [options, words!["--", place.probe(), "life", &life, "until", "40", "exit", "3", "wait"]].concat();
    let manager = place.vsrun(line).start();
    await_life(&life, 41);
    kit::await_true("the last server", || {
        manager.err().iter().filter(|line| line.ends_with("handler: asked")).count() == 40
    });
    let open = process::descriptors(manager.pid());
    assert!(open.len() < 12, "{open:?}");
    manager.stop().exited(0);
}

/// A variable above 128 KiB would keep the kernel from executing it, which would count as a refusal.
#[test]
fn a_very_long_command_is_cut_for_it() {
    let place = Place::new();
    let report = place.out("report");
    let handler = place.script("handler", words!["report", &report, "exit", "1"]);
    let words = std::iter::repeat_n(OsString::from("x".repeat(1000)), 300);
    let line = words!["-m", "-", handler, "--", place.probe(), "exit", "3"].into_iter().chain(words).collect();
    place.vsrun(line).finish().exited(3);
    let command = place.report(&report).variable("VSRUN_SERVER_COMMAND").unwrap();
    assert_eq!(command.len(), 64 * 1024);
    assert!(command.ends_with("xxx..."));
}
