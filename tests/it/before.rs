//! `--before`: commands that run before each start of the server, as its user and in its jail.

use crate::harness::{self, PLAIN, Report, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A command for `--before`: the probe with this script, in which OUT means the output directory.
fn probe(sandbox: &Sandbox, script: &str) -> OsString {
    format!("{} {}", sandbox.probe().display(), script.replace("OUT", sandbox.out("").to_str().unwrap())).into()
}

/// The option `--before` for each script.
fn before(sandbox: &Sandbox, scripts: &[&str]) -> Vec<OsString> {
    scripts.iter().flat_map(|script| words!["--before", probe(sandbox, script)]).collect()
}

/// The ways to run a server, with `-q`: vsrun writes only warnings and errors.
fn ways() -> [Vec<OsString>; 4] {
    harness::ways().map(|way| [words!["-q"], way].concat())
}

fn marks(sandbox: &Sandbox) -> Vec<String> {
    harness::lines(&sandbox.out("marks"))
}

#[test]
fn commands_run_in_order_and_then_the_server() {
    for way in ways() {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["append OUT/marks one", "nap 20 append OUT/marks two"]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        sandbox.vsrun([way, commands, server].concat()).finish().assert_exited(0);
        assert_eq!(harness::await_lines(&sandbox.out("marks"), 3), ["one", "two", "server"]);
    }
}

#[test]
fn a_command_runs_as_the_server_would_and_without_what_is_the_servers_alone() {
    needs!(harness::root());
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let jail = sandbox.jail();
        let options = words![
            "-u",
            PLAIN.to_string(),
            "-r",
            &jail,
            "-w",
            "/out",
            "-p",
            sandbox.path("pid"),
            "-e",
            "ONE=1",
            "--umask",
            "027",
            "--nice",
            "5",
            "--limit",
            "nofile=40",
            "--caps",
            "kill",
            "--no-new-privs",
            "--listen",
            "/tmp/never-used-name",
            "--before",
            "/probe report /out/first"
        ];
        let options: Vec<OsString> = options
            .into_iter()
            .map(|word| if word == "/tmp/never-used-name" { sandbox.path("socket").into() } else { word })
            .collect();
        let ready = if way.is_empty() { words![] } else { words!["--ready", "notify"] };
        let server = words!["--", "/probe", "report", "/out/server", "notify", "READY=1", "exit", "0"];
        let server = if way.is_empty() { words!["--", "/probe", "report", "/out/server"] } else { server };
        let call = sandbox.vsrun([way.clone(), options, ready, server].concat());
        call.env("NOTIFY_SOCKET", "@not-for-commands").finish();
        let (first, server) = (sandbox.report(&jail.join("out/first")), sandbox.report(&jail.join("out/server")));
        for fact in ["uids", "cwd", "umask", "root"] {
            assert_eq!(first.one(fact), server.one(fact), "{way:?}: {fact}");
        }
        assert_eq!(first.groups(), [PLAIN]);
        for name in ["ONE", "HOME", "PATH"] {
            assert_eq!(first.variable(name), server.variable(name), "{name}");
        }
        assert!(server.variable("LISTEN_FDS").is_some() && server.variable("LISTEN_PID").is_some());
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            assert_eq!(first.variable(name), None, "{way:?}: {name}");
        }
        assert!(first.descriptors().iter().all(|fd| fd.number <= 2), "{way:?}: {:?}", first.descriptors());
        assert_eq!(first.descriptor(0).unwrap().kind, server.descriptor(0).unwrap().kind);
        sandbox.await_nothing_left();
    }
}

#[test]
fn commands_run_before_every_restart() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let commands = before(&sandbox, &["append OUT/marks b"]);
    let options = words!["-q", "-m", "-", "-", "--restart-delay", "0"];
    let server = words!["--", sandbox.probe(), "life", &life, "until", "2", "exit", "1", "wait"];
    let manager = sandbox.vsrun([options, commands, server].concat()).start();
    harness::await_life(&life, 3);
    assert_eq!(marks(&sandbox).len(), 3, "two crashes");
    manager.signal(libc::SIGHUP);
    harness::await_life(&life, 4);
    assert_eq!(marks(&sandbox).len(), 4, "a restart by request");
    manager.stop().assert_exited(0);
}

#[test]
fn a_command_that_fails_is_a_failed_start() {
    for way in ways() {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path("plain"), "").unwrap();
        let socket = sandbox.path("socket");
        for (command, reason) in [
            (probe(&sandbox, "exit 1"), "exited with status 1"),
            (probe(&sandbox, "raise 9"), "killed by SIGKILL (9)"),
            (probe(&sandbox, "exit 127"), "exited with status 127"),
            (
                "/no/such/program a b".into(),
                "--before '/no/such/program a b': cannot execute '/no/such/program': No such file",
            ),
            ("./plain".into(), "--before './plain': cannot execute './plain': Permission denied"),
            ("no-such-program-in-path".into(), "in no directory of the server's PATH"),
        ] {
            let options = words!["-p", "pid", "--listen", &socket, "--before", probe(&sandbox, "exit 0")];
            let rest = words![
                "--before",
                &command,
                "--before",
                probe(&sandbox, "append OUT/marks never"),
                "--",
                sandbox.probe(),
                "append",
                sandbox.out("marks"),
                "server"
            ];
            sandbox
                .vsrun([way.clone(), options, rest].concat())
                .finish()
                .assert_failed(125, &["vsrun: --before '", reason]);
            assert_eq!(marks(&sandbox), Vec::<String>::new());
            assert!(!sandbox.path("pid").exists() && !socket.exists());
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn a_failure_before_a_restart_is_an_unexpected_end_with_status_125() {
    let sandbox = Sandbox::new();
    let handler = sandbox
        .script("handler", words!["report", sandbox.out("handler"), "life", sandbox.out("h"), "at", "2", "exit", "1"]);
    let commands = before(&sandbox, &["life OUT/runs at 2 exit 7"]);
    let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server", "exit", "3"];
    let manager = sandbox.vsrun([words!["-m", "-", &handler], commands, server].concat()).finish();
    manager.assert_exited(125);
    assert!(
        manager.err.iter().any(|line| line.contains("--before '") && line.ends_with("exited with status 7")),
        "{manager:?}"
    );
    assert_eq!(marks(&sandbox), ["server"], "the second run had no server");
    let reported = Report::read(&sandbox.out("handler"));
    for (name, value) in [("VSRUN_SERVER_EXITSTATUS", "125"), ("VSRUN_SERVER_REASON", "exec")] {
        assert_eq!(reported.variable(name).as_deref(), Some(value));
    }
}

#[test]
fn a_manager_tries_again_after_a_failed_command() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let commands = before(&sandbox, &["life OUT/runs at 2 exit 7 at 3 exit 8"]);
    let server = words!["--", sandbox.probe(), "life", &life, "at", "1", "exit", "3", "wait"];
    let options = words!["-q", "-m", "-", "-", "--restart-delay", "1ms"];
    let manager = sandbox.vsrun([options, commands, server].concat()).start();
    harness::await_life(&life, 2);
    assert_eq!(harness::lives(&sandbox.out("runs")).len(), 4);
    manager.stop().assert_exited(0);
}

/// A script for the probe: starts a child, writes a line to `marks`, and waits.
const HANGS: &str = "child OUT/child append OUT/marks running wait";
/// A script for the probe: ignores TERM, starts a child, writes a line to `marks`, and waits.
const STUBBORN: &str = "ignore 15 child OUT/child append OUT/marks running wait";

/// Waits until the command runs, and returns the pid of its child.
#[track_caller]
fn await_child(sandbox: &Sandbox) -> i32 {
    harness::await_lines(&sandbox.out("marks"), 1);
    harness::text(&sandbox.out("child")).trim().parse().unwrap()
}

#[test]
fn a_stop_ends_the_command_and_starts_nothing() {
    for (way, status) in [
        (words![], 128 + 15),
        (words!["--init"], 128 + 15),
        (words!["--init", "--stop-timeout", "20"], 128 + 15),
        (words!["-m", "-", "-"], 0),
        (words!["--restart", "always", "--group", "--stop-signal", "WINCH"], 0),
    ] {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &[HANGS, "append OUT/marks never"]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        let running = sandbox.vsrun([way.clone(), words!["-p", "pid"], commands, server].concat()).start();
        let child = await_child(&sandbox);
        running.stop().assert_exited(status);
        harness::await_gone(child);
        assert_eq!(marks(&sandbox), ["running"], "{way:?}");
        assert!(!sandbox.path("pid").exists(), "{way:?}");
        sandbox.await_nothing_left();
    }
}

/// The caller that waits must not get exit status 0, which would mean that the server runs.
#[test]
fn the_caller_of_a_start_in_the_background_learns_that_it_was_stopped() {
    for (script, end) in
        [(HANGS, "killed by SIGTERM (15)"), ("ignore 15 append OUT/marks running wait", "killed by SIGKILL (9)")]
    {
        for way in [words!["-b"], words!["-b", "--init"], words!["-b", "-m", "monitor", "-"]] {
            let sandbox = Sandbox::new();
            let file = if way.contains(&"-m".into()) { "monitor" } else { "pid" };
            let options = words!["-q", "-p", "pid", "--stop-timeout", "50ms", "--ready", "fd:5"];
            let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
            let caller = sandbox.vsrun([options, way.clone(), before(&sandbox, &[script]), server].concat()).start();
            harness::await_lines(&sandbox.out("marks"), 1);
            sandbox.vsrun(words!["--stop", file]).finish().assert_exited(0);
            let ended = caller.finish();
            let status = if way.contains(&"--init".into()) && end.contains("KILL") { 128 + 9 } else { 128 + 15 };
            ended.assert_exited(status);
            let error = ended.err.last().unwrap();
            let says = error.starts_with("vsrun: the start was stopped by SIGTERM: --before '") && error.ends_with(end);
            assert!(says, "{way:?}: {ended:?}");
            assert_eq!(marks(&sandbox), ["running"], "{way:?}");
            sandbox.await_nothing_left();
        }
    }
    // A stop after the commands, before the server is ready. Without a manager, the request goes to the server itself.
    for (way, file, status, says) in [
        (
            words!["-b", "-m", "monitor", "-"],
            "monitor",
            128 + 15,
            "the start was stopped by SIGTERM: the server was killed by SIGTERM (15)",
        ),
        (words!["-b"], "pid", 125, "vsrun: the server "),
    ] {
        let sandbox = Sandbox::new();
        let options = words!["-p", "pid", "--ready", "fd:5", "--", sandbox.probe(), "append", sandbox.out("marks")];
        let caller = sandbox.vsrun([way.clone(), options, words!["running", "wait"]].concat()).start();
        harness::await_lines(&sandbox.out("marks"), 1);
        sandbox.vsrun(words!["--stop", file]).finish().assert_exited(0);
        let ended = caller.finish();
        ended.assert_exited(status);
        assert!(ended.err.last().unwrap().contains(says), "{way:?}: {ended:?}");
        sandbox.await_nothing_left();
    }
}

/// The caller gets the error of the start after the restart request, not of the start that the request ended.
#[test]
fn a_restart_in_the_background_before_the_server_is_ready_is_no_stop() {
    let sandbox = Sandbox::new();
    let commands = before(&sandbox, &["append OUT/marks running await OUT/go exit 3"]);
    let line = words!["-b", "-m", "monitor", "-", "--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
    let caller = sandbox.vsrun([commands, line].concat()).start();
    harness::await_lines(&sandbox.out("marks"), 1);
    let manager = harness::await_lines(&sandbox.path("monitor"), 1)[0].parse().unwrap();
    sys::kill(manager, libc::SIGHUP);
    harness::await_lines(&sandbox.out("marks"), 2);
    fs::write(sandbox.out("go"), "").unwrap();
    let ended = caller.finish();
    ended.assert_exited(125);
    assert!(ended.err.last().unwrap().ends_with("exited with status 3"), "{ended:?}");
    assert!(!ended.err.last().unwrap().contains("stopped by"), "{ended:?}");
}

#[test]
fn a_command_that_handles_term_does_not_let_the_server_start() {
    for (way, status) in [(words![], 128 + 15), (words!["--init"], 125), (words!["-m", "-", "-"], 0)] {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["signals OUT/signals 15 exit 0"]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        let running = sandbox.vsrun([way.clone(), commands, server].concat()).start();
        harness::await_lines(&sandbox.out("signals"), 1);
        running.stop().assert_exited(status);
        assert_eq!(marks(&sandbox), Vec::<String>::new(), "{way:?}");
    }
}

#[test]
fn other_signals_do_not_reach_a_command() {
    for way in [words![], words!["--init"], words!["-m", "-", "-"]] {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["append OUT/marks running await OUT/go"]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        let running = sandbox.vsrun([words!["-q"], way.clone(), commands, server].concat()).start();
        harness::await_lines(&sandbox.out("marks"), 1);
        running.signal(libc::SIGUSR1);
        running.signal(libc::SIGWINCH);
        // vsrun must read both signals before the command ends.
        harness::await_true("the signal", || process::pending(running.pid()) == 0);
        fs::write(sandbox.out("go"), "").unwrap();
        running.finish().assert_exited(0);
        assert_eq!(marks(&sandbox), ["running", "server"], "{way:?}");
    }
}

#[test]
fn a_command_that_ignores_term_is_killed_after_the_stop_timeout() {
    let sandbox = Sandbox::new();
    let commands = before(&sandbox, &[STUBBORN]);
    let options = words!["-m", "-", "-", "--stop-timeout", "50ms"];
    let running = sandbox.vsrun([options, commands, words!["--", sandbox.probe(), "exit", "0"]].concat()).start();
    let child = await_child(&sandbox);
    running.stop().assert_exited(0);
    harness::await_gone(child);
    sandbox.await_nothing_left();
}

#[test]
fn a_restart_request_ends_the_command_and_begins_with_the_first() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let commands = before(&sandbox, &["append OUT/marks first", "life OUT/runs at 1 wait"]);
    let server = words!["--", sandbox.probe(), "life", &life, "wait"];
    let manager = sandbox.vsrun([words!["-q", "-m", "-", "-"], commands, server].concat()).start();
    harness::await_life(&sandbox.out("runs"), 1);
    manager.signal(libc::SIGHUP);
    harness::await_life(&life, 1);
    assert_eq!(marks(&sandbox), ["first", "first"]);
    manager.stop().assert_exited(0);
}

#[test]
fn the_ready_timeout_limits_the_commands_of_the_first_start() {
    for way in ways() {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["exit 0", HANGS]);
        let options = words!["--ready-timeout", "300ms", "-p", "pid"];
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        let ended = sandbox.vsrun([way.clone(), options, commands, server].concat()).finish();
        ended.assert_exited(125);
        let said = ended.err.iter().any(|line| line.contains("was not done in time: --ready-timeout 0.3 s"));
        assert!(said, "{way:?}: {ended:?}");
        assert!(!marks(&sandbox).contains(&"server".to_owned()) && !sandbox.path("pid").exists());
        sandbox.await_nothing_left();
    }
}

/// The manager is suspended until the ready timeout has passed, and then finds that the command has ended in time.
#[test]
fn the_ready_timeout_for_the_commands_ends_no_server() {
    let sandbox = Sandbox::new();
    let commands = before(&sandbox, &["life OUT/command at 1 poke 19 exit 0"]);
    let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server", "wait"];
    let line = words!["-m", "-", "-", "--ready-timeout", "4"];
    let begin = Instant::now();
    let manager = sandbox.vsrun([line, commands, server].concat()).start();
    process::await_gone(harness::await_life(&sandbox.out("command"), 1));
    std::thread::sleep(Duration::from_millis(4100).saturating_sub(begin.elapsed()));
    manager.signal(libc::SIGCONT);
    harness::await_lines(&sandbox.out("marks"), 1);
    // If the deadline had ended the server, the manager would exit instead of restarting the server.
    manager.signal(libc::SIGHUP);
    harness::await_lines(&sandbox.out("marks"), 2);
    manager.stop().assert_exited(0);
}

#[test]
fn the_ready_timeout_limits_the_commands_of_a_restart() {
    for script in ["life OUT/runs at 2 wait", "ignore 15 life OUT/runs at 2 wait"] {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let options = words!["-m", "-", "-", "--restart-delay", "0", "--stop-timeout", "50ms", "--ready-timeout", "20"];
        let commands = before(&sandbox, &[script]);
        let server = words!["--", sandbox.probe(), "life", &life, "at", "1", "exit", "1", "wait"];
        let short: Vec<OsString> =
            options.into_iter().map(|word| if word == "20" { "3500ms".into() } else { word }).collect();
        let manager = sandbox.vsrun([short, commands, server].concat()).start();
        harness::await_life(&life, 2);
        manager.await_err("was not done in time: --ready-timeout 3.5 s");
        assert_eq!(harness::lives(&sandbox.out("runs")).len(), 3);
        manager.stop().assert_exited(0);
    }
}

#[test]
fn what_a_command_leaves_of_its_process_group_is_killed() {
    for way in ways() {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["ignore 15 child OUT/child exit 0"]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        sandbox.vsrun([way, commands, server].concat()).finish().assert_exited(0);
        harness::await_gone(await_child(&sandbox));
    }
}

#[test]
fn a_command_does_not_take_the_servers_standard_input() {
    for way in [words![], words!["--init"]] {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["collect OUT/taken"]);
        let server = words!["--", sandbox.probe(), "collect", sandbox.out("got")];
        let file = sandbox.path("input");
        fs::write(&file, "for the server\n").unwrap();
        let line = [way, words!["--stdin"], commands, server].concat();
        sandbox.vsrun(line).stdin(fs::File::open(&file).unwrap()).finish().assert_exited(0);
        assert_eq!(harness::text(&sandbox.out("taken")), "");
        assert_eq!(harness::text(&sandbox.out("got")), "for the server\n");
    }
}

#[test]
fn the_output_of_commands_goes_where_the_servers_goes() {
    for way in ways() {
        let sandbox = Sandbox::new();
        let commands = before(&sandbox, &["print from-before complain also-from-before"]);
        let server = words!["-d", sandbox.path("logs"), "1", "--", sandbox.probe(), "print", "from-server"];
        sandbox.vsrun([way, commands, server].concat()).finish().assert_exited(0);
        let log = sandbox.path("logs/logfile");
        assert_eq!(harness::await_lines(&log, 3), ["from-before", "also-from-before", "from-server"]);
    }
}

#[test]
fn status_and_stop_find_a_server_that_is_being_prepared() {
    for (way, status) in [(words![], "running: pid "), (words!["-m", "-", "-"], "restarting: ")] {
        let sandbox = Sandbox::new();
        // The pid of an earlier server, whose pidfile was left behind.
        fs::write(sandbox.path("pid"), "1\n").unwrap();
        let commands = before(&sandbox, &[HANGS]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        let running = sandbox.vsrun([words!["-p", "pid"], way.clone(), commands, server].concat()).start();
        let child = await_child(&sandbox);
        let reported = sandbox.vsrun(words!["--status", "pid"]).finish();
        assert!(reported.assert_exited(0).out[0].starts_with(status), "{way:?}: {reported:?}");
        sandbox.vsrun(words!["--stop", "pid"]).finish().assert_exited(0);
        running.finish();
        harness::await_gone(child);
        assert_eq!(marks(&sandbox), ["running"]);
    }
}

#[test]
fn a_check_looks_for_the_programs_and_runs_none() {
    let sandbox = Sandbox::new();
    let commands = words!["--before", probe(&sandbox, "append OUT/marks ran"), "--before", "/no/such/init --all"];
    let server = words!["--", sandbox.probe(), "exit", "0"];
    let ended = sandbox.vsrun([words!["--check"], commands.clone(), server].concat()).finish();
    assert_eq!(
        ended.assert_exited(125).out,
        [
            "--before '/no/such/init --all': cannot execute '/no/such/init': No such file or directory (there is no directory '/no')"
        ]
    );
    // A problem of both the commands and the server is reported once.
    let server = words!["-w", "/no/such/dir", "--", sandbox.probe(), "exit", "0"];
    let ended = sandbox.vsrun([words!["--check"], commands, server].concat()).finish();
    let about = |what: &str| ended.assert_exited(125).out.iter().filter(|line| line.contains(what)).count();
    assert_eq!((about("change directory"), about("/no/such/init --all"), about("not checked")), (1, 1, 0), "{ended:?}");
    assert_eq!(marks(&sandbox), Vec::<String>::new());
}

#[test]
fn words_are_neither_expanded_nor_quoted() {
    let sandbox = Sandbox::new();
    let command = words!["--expand", "--before", probe(&sandbox, "report OUT/report exit 0 ${NO} \"a b\" $$")];
    sandbox.vsrun([command, words!["--", sandbox.probe(), "exit", "0"]].concat()).finish().assert_exited(0);
    let words = sandbox.report(&sandbox.out("report")).all("argument");
    assert_eq!(words[words.len() - 4..], ["${NO}", "\"a", "b\"", "$$"]);
    for empty in ["", " ", "\t"] {
        sandbox.vsrun(words!["--before", empty, "--", "/bin/true"]).finish().assert_failed(2, &["option --before: '"]);
    }
    sandbox.vsrun(words!["--ready-timeout", "1", "--", "/bin/true"]).finish().assert_failed(2, &["or --before"]);
}

#[test]
fn files_of_the_environment_are_read_again_for_commands_too() {
    let sandbox = Sandbox::new();
    let (file, life) = (sandbox.path("file"), sandbox.out("life"));
    fs::write(&file, "A=old\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let commands = before(&sandbox, &["report OUT/report"]);
    let options = words!["-q", "-m", "-", "-", "--ready", "notify", "--watchdog", "1h", "--env-file", &file];
    let server =
        words!["--", sandbox.probe(), "notify", "READY=1", "report", sandbox.out("server"), "life", &life, "wait"];
    let manager = sandbox.vsrun([options, commands, server].concat()).start();
    harness::await_life(&life, 1);
    for (life_number, value) in [(2, "new"), (3, "newer")] {
        fs::write(&file, format!("A={value}\nB=1\n")).unwrap();
        manager.signal(libc::SIGHUP);
        harness::await_life(&life, life_number);
        let (first, server) = (sandbox.report(&sandbox.out("report")), sandbox.report(&sandbox.out("server")));
        for found in [&first, &server] {
            assert_eq!((found.variable("A").as_deref(), found.variable("B").as_deref()), (Some(value), Some("1")));
        }
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            assert_eq!((first.variable(name), server.variable(name).is_some()), (None, true), "{name}");
        }
    }
    manager.stop().assert_exited(0);
}

#[test]
fn commands_are_confined_as_the_server() {
    needs!(harness::available(Path::new("/sys/kernel/security").exists(), "security modules"));
    for way in ways() {
        let sandbox = Sandbox::new();
        let options = words!["--rox", sandbox.probe(), "--rw", sandbox.out("")];
        let commands = before(&sandbox, &["report OUT/report try read /etc/hostname"]);
        let server = words!["--", sandbox.probe(), "append", sandbox.out("marks"), "server"];
        let line = [way, options, words!["-d", sandbox.path("logs"), "1"], commands, server].concat();
        sandbox.vsrun(line).finish().assert_exited(0);
        let log = harness::await_lines(&sandbox.path("logs/logfile"), 1);
        assert_eq!(log, ["read /etc/hostname: EACCES"]);
    }
}

#[test]
fn a_pid_1_leaves_its_server_no_orphans_of_commands() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let vsrun = sandbox.path("vsrun");
    let command = probe(&sandbox, "orphans 5 OUT/orphans");
    let line = words![
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        &vsrun,
        "--before",
        command,
        "--",
        sandbox.probe(),
        "report",
        sandbox.out("report"),
        "wait"
    ];
    let outside = sandbox.program(&harness::find_tool("unshare").unwrap(), line).start();
    sandbox.report(&sandbox.out("report"));
    let first = process::children(outside.pid())[0];
    assert_eq!(process::children(first), Vec::<i32>::new());
    sys::kill(first, libc::SIGKILL);
    outside.finish();
}

#[test]
fn a_caller_that_waits_gets_the_output_and_the_error_of_a_command() {
    let sandbox = Sandbox::new();
    let commands = before(&sandbox, &["complain the-reason exit 4"]);
    let line = [words!["-b", "-q"], commands, words!["--", sandbox.probe(), "exit", "0"]].concat();
    let ended = sandbox.vsrun(line).finish();
    ended.assert_exited(125);
    assert_eq!(ended.err[0], "the-reason");
    assert!(
        ended.err[1].starts_with("vsrun: --before '") && ended.err[1].ends_with("exited with status 4"),
        "{ended:?}"
    );
    assert_eq!(ended.err.len(), 2);
}
