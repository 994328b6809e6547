//! Command lines for the names of other tools: the exit status, and what is printed.

use super::{Sandbox, can_run_these_tests, for_link_and_tool, link, needs, process, words};
use crate::harness;

/// The tool's name, its arguments, the exit status, and the lines on standard output.
const CASES: &[(&str, &[&str], i32, &[&str])] = &[
    ("tini", &["--", "sh", "-c", "echo $0; exit 7", "a"], 7, &["a"]),
    ("tini", &["sh", "--", "-c", "echo $0 $#", "a", "--", "b"], 0, &["a 2"]),
    ("tini", &["-s", "-g", "--", "echo", "-g", "--", "x"], 0, &["-g -- x"]),
    ("tini", &["-gs", "-e143", "--", "sh", "-c", "kill $$"], 0, &[]),
    ("tini", &["-e", "3", "-e", "4", "--", "sh", "-c", "exit 4"], 0, &[]),
    ("tini", &["-e", "3", "--", "sh", "-c", "exit 4"], 4, &[]),
    ("tini", &["--", "sh", "-c", "kill -9 $$"], 137, &[]),
    ("tini", &["-p", "SIGTERM", "--", "true"], 0, &[]),
    ("tini", &["-e", "127", "--", "/no/such"], 0, &[]),
    ("tini", &["-e", "126", "--", "/no/such"], 127, &[]),
    ("tini", &["--", "/no/such"], 127, &[]),
    ("tini", &["--", "no-such-command"], 127, &[]),
    ("tini", &["--", "/"], 126, &[]),
    ("tini", &["--", "/dev/null/x"], 1, &[]),
    ("tini", &["--"], 1, &[]),
    ("tini", &[], 1, &[]),
    ("tini", &["-x", "true"], 1, &[]),
    ("tini", &["-p", "TERM", "true"], 1, &[]),
    ("tini", &["-p", "15", "true"], 1, &[]),
    ("tini", &["-p"], 1, &[]),
    ("tini", &["-e", "256", "true"], 1, &[]),
    ("tini", &["-e", "x", "true"], 1, &[]),
    ("tini", &["--version", "true"], 1, &[]),
    ("tini", &["--help"], 1, &[]),
    ("catatonit", &["--", "sh", "-c", "echo $0; exit 7", "a"], 7, &["a"]),
    ("catatonit", &["sh", "--", "-c", "echo $0 $#", "a", "--", "b"], 0, &["a 2"]),
    ("catatonit", &["--", "sh", "-c", "kill -9 $$"], 137, &[]),
    ("catatonit", &["--", "/no/such"], 1, &[]),
    ("catatonit", &["--", "/"], 1, &[]),
    ("catatonit", &[], 1, &[]),
    ("catatonit", &["-x", "true"], 1, &[]),
    ("catatonit", &["--bogus", "true"], 1, &[]),
    ("dumb-init", &["sh", "-c", "echo $0 $#; exit 7", "a", "--", "b"], 7, &["a 2"]),
    ("dumb-init", &["--", "echo", "-c", "--", "x"], 0, &["-c -- x"]),
    ("dumb-init", &["-c", "-r", "15:2", "--rewrite", "1:0", "--rewrite=2:3x", "--", "echo", "x"], 0, &["x"]),
    ("dumb-init", &["--sing", "echo", "x"], 0, &["x"]),
    ("dumb-init", &["sh", "-c", "kill -9 $$"], 137, &[]),
    ("dumb-init", &["/no/such"], 2, &[]),
    ("dumb-init", &["-c", "/"], 2, &[]),
    ("dumb-init", &[], 1, &[]),
    ("dumb-init", &["--"], 1, &[]),
    ("dumb-init", &["--yolo", "true"], 1, &[]),
    ("dumb-init", &["--ver", "true"], 1, &[]),
    ("dumb-init", &["--help=1", "true"], 1, &[]),
    ("dumb-init", &["-r", "15:32", "true"], 1, &[]),
    ("dumb-init", &["-r", "0:15", "true"], 1, &[]),
    ("dumb-init", &["-r", "15", "true"], 1, &[]),
    ("dumb-init", &["-r", "15::2", "true"], 1, &[]),
];

#[test]
fn each_command_line_has_the_status_of_the_tool() {
    needs!(can_run_these_tests());
    for (name, line, status, printed) in CASES {
        for_link_and_tool(name, |sandbox, program| {
            // The variable makes the real tini adopt orphans: without it tini warns unless it is PID 1. vsrun does not
            // need it.
            let call = sandbox.program(program, line.iter().map(Into::into).collect()).env("TINI_SUBREAPER", "");
            let ended = call.finish();
            assert_eq!(
                (ended.code(), &ended.out[..]),
                (Some(*status), &printed.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()[..]),
                "{program:?} {line:?}"
            );
        });
    }
}

#[test]
fn a_good_run_prints_nothing_and_a_bad_one_prints_one_line() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    for name in ["docker-init", "podman-init", "tini", "tini-static", "catatonit", "dumb-init"] {
        let call = |line| sandbox.program(&link(&sandbox, name), line).finish();
        call(words!["--", "true"]).assert_exited(0).assert_silent();
        call(words!["--", "sh", "-c", "sleep 60 & exit 3"]).assert_exited(3).assert_silent();
        call(words!["--", "sh", "-c", "kill -SEGV $$"]).assert_exited(139).assert_silent();
        for line in [words!["-x", "true"], words!["--", "/no/such"]] {
            let ended = call(line);
            assert!(ended.err.len() == 1 && ended.out.is_empty(), "{name}: {ended:?}");
            assert!(ended.err[0].starts_with(&format!("{name}: ")), "{name}: {ended:?}");
        }
    }
}

#[test]
fn help_version_and_license_are_printed() {
    needs!(can_run_these_tests());
    for (name, line, to_stderr) in [
        ("tini", words!["-h"], false),
        ("tini", words!["--version"], false),
        ("tini", words!["-l"], false),
        ("catatonit", words!["-h"], true),
        ("catatonit", words!["-V"], false),
        ("catatonit", words!["-L"], false),
        ("dumb-init", words!["--help"], true),
        ("dumb-init", words!["-V"], true),
        ("gosu", words!["--version"], false),
        ("gosu", words!["-h"], false),
    ] {
        for_link_and_tool(name, |sandbox, program| {
            let ended = sandbox.program(program, line.clone()).finish();
            ended.assert_exited(0);
            assert_eq!((ended.err.is_empty(), ended.out.is_empty()), (!to_stderr, to_stderr), "{program:?} {ended:?}");
        });
    }
    // The Docker daemon parses this version text.
    let sandbox = Sandbox::new();
    let ended = sandbox.program(&link(&sandbox, "docker-init"), words!["--version"]).finish();
    assert!(ended.out[0].starts_with("tini version 0.19.0"), "{ended:?}");
}

#[test]
fn what_tini_reports_is_adjustable() {
    needs!(can_run_these_tests());
    let run = |options: &[&str], level: Option<&str>| {
        let sandbox = Sandbox::new();
        let (seen, go) = (sandbox.out("seen"), sandbox.out("go"));
        let script = words!["--", sandbox.probe(), "orphans", "1", &seen, "await", &go];
        let line = options.iter().map(Into::into).chain(script).collect();
        let call = sandbox.program(&link(&sandbox, "tini"), line);
        let called = match level {
            Some(level) => call.env("TINI_VERBOSITY", level),
            None => call,
        }
        .start();
        let orphan = harness::await_lines(&seen, 1)[0].split(' ').next().unwrap().parse().unwrap();
        harness::await_true("the orphan to be reaped", || process::reaped(orphan));
        std::fs::write(go, "").unwrap();
        let ended = called.finish();
        ended.assert_exited(0);
        assert!(ended.out.is_empty(), "{ended:?}");
        ended.err
    };
    let has = |lines: &[String], part: &str| lines.iter().any(|line| line.contains(part));
    assert!(run(&[], None).is_empty() && run(&["-vvv"], Some("1")).is_empty());
    let reaped = run(&["-w"], None);
    assert!(has(&reaped, "Reaped zombie process with pid=") && !has(&reaped, "started"), "{reaped:?}");
    assert!(run(&["-w"], Some("0")).is_empty());
    assert!(has(&run(&["-v"], None), "started: pid"));
    let steps = run(&["-vvv"], None);
    assert!(has(&steps, "debug: ") && has(&steps, "started: pid"), "{steps:?}");
}

#[test]
fn links_are_made_only_on_request() {
    needs!(harness::tool("make"));
    let sandbox = Sandbox::new();
    let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let make = |line: Vec<std::ffi::OsString>| {
        let destination = format!("DESTDIR={}", sandbox.path("root").display());
        sandbox
            .program(&harness::find_tool("make").unwrap(), [words!["-s", destination], line].concat())
            .directory(project)
            .finish()
    };
    make(words!["install-links", "DIR=/usr/local/bin"]).assert_exited(0);
    let names = ["catatonit", "docker-init", "dumb-init", "gosu", "podman-init", "su-exec", "tini", "tini-static"];
    let directory = sandbox.path("root/usr/local/bin");
    assert_eq!(harness::names(&directory), names);
    for name in names {
        let target = std::fs::read_link(directory.join(name)).unwrap();
        assert_eq!(target, std::path::Path::new("/usr/local/sbin/vsrun"), "{name}");
    }
    let ended = make(words!["install-links"]);
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    assert!(ended.err.iter().any(|line| line.contains("DIR=")), "{ended:?}");
}
