//! The state that a command inherits: descriptors, signals, directory, environment, session and terminal.

use super::{
    INITS, Sandbox, can_run_these_tests, command, for_link_and_tool, link, needs, process, reported, sys, words,
};
use crate::harness::{self, Call, Report};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Blocks SIGUSR1 and SIGALRM; ignores SIGUSR2, SIGPIPE and the real-time signal 40.
fn set_signals() -> io::Result<()> {
    for signal in [libc::SIGUSR2, libc::SIGPIPE, 40] {
        sys::ignore_signal(signal)?;
    }
    sys::block_signals(&[libc::SIGUSR1, libc::SIGALRM])
}

/// A call that hands down more state than usual: descriptors 7 and 300, variables, a directory and signal settings.
fn call_with_extra_state<'place>(
    sandbox: &'place Sandbox,
    program: &Path,
    words: Vec<std::ffi::OsString>,
) -> Call<'place> {
    let file = File::create(sandbox.out("handed")).unwrap();
    let call = sandbox.program(program, words).directory(Path::new("/usr"));
    let call = call.env("NOTIFY_SOCKET", "@no-one").env("WATCHDOG_USEC", "1").env("LISTEN_FDS", "2");
    let call =
        call.env("LISTEN_PID", "1").env("VSRUN_SERVER_PID", "7").env("HOME", "/nowhere").env("TINI_SUBREAPER", "");
    let call =
        call.before(move || [7, 300].into_iter().try_for_each(|number| sys::duplicate(file.as_raw_fd(), number)));
    call.before(set_signals)
}

/// The parts of the report that must be equal, whether the tool itself or vsrun under its name ran the command.
fn comparable(report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    for descriptor in report.descriptors() {
        found.push(format!("{} {} {}", descriptor.number, descriptor.access, descriptor.kind));
    }
    for name in ["umask", "cwd", "here", "root", "uids", "gids", "groups", "argument", "no-new-privs"] {
        // Leave out paths in the sandbox, which differ from call to call.
        let is_same = |value: &String| !value.contains("/out/") && !value.ends_with("/probe");
        found.extend(report.all(name).into_iter().filter(is_same));
    }
    let mut variables = report.all("variable");
    variables.retain(|variable| !variable.starts_with("PLACE="));
    variables.sort();
    found.extend(variables);
    let (pid, group, session) = (report.number("pid"), report.number("pgid"), report.number("sid"));
    found.push(format!("leads its group: {}, its session: {}", pid == group, pid == session));
    found
}

#[test]
fn command_inherits_the_callers_state() {
    needs!(can_run_these_tests());
    for (name, options) in [
        ("tini", words!["--"]),
        ("catatonit", words!["--"]),
        ("dumb-init", words![]),
        ("dumb-init", words!["-c"]),
        ("gosu", words!["12345:0"]),
        ("su-exec", words!["12345:0"]),
    ] {
        if ["gosu", "su-exec"].contains(&name) {
            needs!(harness::root());
        }
        let mut seen = Vec::new();
        for_link_and_tool(name, |sandbox, program| {
            let script = words![sandbox.probe(), "report", sandbox.out("report")];
            let report = reported(sandbox, call_with_extra_state(sandbox, program, [options.clone(), script].concat()));
            // The test process may have more descriptors than 0 to 2, and ignored signals: compare with a direct start.
            let direct = reported(
                sandbox,
                call_with_extra_state(sandbox, &sandbox.probe(), words!["report", sandbox.out("report")]),
            );
            assert_eq!(direct.one("blocked"), "10 14");
            let ignored = direct.one("ignored");
            assert!(["12", "13", "40"].iter().all(|number| ignored.split(' ').any(|other| other == *number)));
            // The real dumb-init and gosu clear blocked and ignored signals, and the real catatonit blocks more: check
            // only vsrun under these names.
            if !["dumb-init", "gosu", "catatonit"].contains(&name) || seen.is_empty() {
                assert_eq!(report.one("blocked"), "10 14", "{program:?}");
                assert_eq!(report.one("ignored"), ignored, "{program:?}");
            }
            assert_eq!(report.descriptor_numbers(), direct.descriptor_numbers(), "{program:?}");
            assert!([7, 300].iter().all(|number| report.descriptor(*number).is_some()), "{program:?}");
            assert_eq!(report.one("cwd"), "/usr");
            seen.push(comparable(&report));
        });
        if let [link, tool] = &seen[..] {
            assert_eq!(link, tool, "{name}");
        }
    }
}

/// Only vsrun is tested: the real tini exits with 1 here, because it finds no terminal to query.
#[test]
fn closed_standard_descriptors_stay_closed() {
    needs!(can_run_these_tests());
    for name in INITS {
        let sandbox = Sandbox::new();
        let script = words!["--", sandbox.probe(), "report", sandbox.out("report")];
        let report = reported(&sandbox, sandbox.program(&link(&sandbox, name), script).closed(&[0, 1]));
        assert!(report.descriptor(0).is_none() && report.descriptor(1).is_none(), "{name}: {report:?}");
    }
}

#[test]
fn a_script_without_a_first_line_is_run_by_the_shell() {
    needs!(can_run_these_tests());
    for name in INITS {
        for_link_and_tool(name, |sandbox, program| {
            let script = sandbox.executable("script", b"echo \"$0 $*\"\n");
            let ended = sandbox.program(program, words!["--", &script, "a", "b c"]).finish();
            assert_eq!(ended.assert_exited(0).out, [format!("{} a b c", script.display())], "{program:?}");
            let found = sandbox.program(program, words!["--", "script", "x"]).env("PATH", sandbox.directory()).finish();
            assert_eq!(found.assert_exited(0).out, [format!("{} x", script.display())], "{program:?}");
        });
    }
}

/// Under the name of catatonit, vsrun sets LISTEN_PID to the command's pid, as catatonit 0.2 does. Under the names of
/// tini and dumb-init it leaves the variable unchanged, as they do.
#[test]
fn only_catatonit_corrects_listen_pid() {
    needs!(can_run_these_tests(), harness::tool("sh"));
    for (name, corrects) in [("catatonit", true), ("tini", false), ("dumb-init", false)] {
        let sandbox = Sandbox::new();
        let report = sandbox.out("report");
        // exec replaces the shell with the init, so `$$` is the init's pid.
        let line = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" -- \"$@\" 3</dev/null";
        let call = words!["-c", line, link(&sandbox, name), sandbox.probe(), "report", &report];
        sandbox.program(&harness::find_tool("sh").unwrap(), call).finish().assert_exited(0);
        let found = sandbox.report(&report);
        let (own, parent) = (found.one("pid"), found.one("ppid"));
        assert_eq!(found.variable("LISTEN_PID"), Some(if corrects { own } else { parent }), "{name}");
        assert!(found.descriptor(3).unwrap().is_null());
    }
}

#[test]
fn command_has_the_foreground_of_the_terminal() {
    needs!(can_run_these_tests());
    for (name, options) in
        [("tini", words!["--"]), ("catatonit", words!["--"]), ("dumb-init", words![]), ("dumb-init", words!["-c"])]
    {
        for_link_and_tool(name, |sandbox, program| {
            let seen = sandbox.out("seen");
            let script = words![sandbox.probe(), "signals", &seen, "64"];
            let (call, terminal) = sandbox.program(program, [options.clone(), script].concat()).on_terminal();
            let called = call.start();
            harness::await_lines(&seen, 1);
            let server = command(&called);
            assert_ne!(process::terminal(server), 0, "{program:?}");
            assert_eq!(process::foreground(server), process::group(server), "{program:?}");
            let own_session = name == "dumb-init" && options.is_empty();
            assert_eq!(process::session(server) == server, own_session, "{program:?}");
            assert_eq!(process::group(server) == server, own_session || name != "dumb-init", "{program:?}");
            // The interrupt key sends SIGINT to the command. With dumb-init -c, the init forwards its own SIGINT as
            // well.
            io::Write::write_all(&mut &terminal.master, b"\x03").unwrap();
            assert_eq!(harness::await_lines(&seen, 2)[1], "2", "{program:?}");
            sys::kill(server, 64);
            called.finish().assert_exited(0);
        });
    }
}
