//! A short test of all that must work on every architecture that vsrun is built for, also under an emulator, which then
//! runs vsrun but not its servers (`make test-cross`).

use crate::harness::sys::Lock;
use crate::harness::{self, Sandbox, needs, process, sys, words};
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};

#[test]
fn it_becomes_the_server_as_a_user_in_a_jail() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let options = words!["-u", "12345:23456", "-p", "pid", "-r", &jail, "-w", "/out", "--umask", "027", "--argv0", "x"];
    let line = [options, words!["-e", "A=b", "--", "/probe", "report", "/out/report", "exit", "7"]].concat();
    let call = sandbox.vsrun(line).before(sys::block_and_ignore_signals);
    let running = call.start();
    let pid = running.pid();
    running.finish().assert_exited(7).assert_silent();
    let found = sandbox.report(&jail.join("out/report"));
    assert_eq!(found.number("pid"), pid, "vsrun has become the server");
    assert_eq!((found.one("uids"), found.one("gids")), ("12345 12345 12345".into(), "23456 23456 23456".into()));
    assert_eq!((found.groups(), found.one("umask")), (vec![23456], "23".into()));
    assert_eq!((found.one("root"), found.one("cwd")), (harness::call::identity(&jail), "/out".into()));
    assert_eq!((found.one("ignored"), found.one("blocked")), (kept_signals(), String::new()), "nohup has a say");
    assert_eq!((found.variable("A").as_deref(), found.variable("HOME").as_deref()), (Some("b"), Some("/")));
    assert_eq!(found.all("argument")[0], "x");
    assert_eq!(found.descriptors().len(), 4, "0 to 2 and the pidfile: {found:?}");
    assert_eq!(harness::text(&sandbox.path("pid")), format!("{pid}\n"));
}

/// The signals that the server ignores. SIGHUP stays ignored if the caller of a foreground vsrun ignores it. An
/// emulator catches SIGHUP itself, so that it is at its default after the exec, and leaves signal 32 ignored.
fn kept_signals() -> String {
    if harness::sandbox::emulated() { "32".into() } else { "1".into() }
}

#[test]
fn pidfile_is_locked_only_while_its_server_runs() {
    let sandbox = Sandbox::new();
    let (file, life) = (sandbox.path("pid"), sandbox.out("life"));
    let line = words!["-p", &file, "--", sandbox.probe(), "life", &life, "wait"];
    let server = sandbox.vsrun(line.clone()).start();
    let pid = harness::await_life(&life, 1);
    assert_eq!(
        (harness::text(&file), sys::lock_of(&fs::File::open(&file).unwrap())),
        (format!("{pid}\n"), Lock::Shared)
    );
    sandbox.vsrun(line).finish().assert_failed(125, &["already running", &format!("pid {pid}")]);
    sandbox.vsrun(words!["--status", &file]).finish().assert_exited(0);
    sandbox.vsrun(words!["--signal", "KILL", &file]).finish().assert_exited(0).assert_silent();
    assert_eq!(server.finish().signal(), Some(libc::SIGKILL));
    sandbox.vsrun(words!["--status", &file]).finish().assert_exited(1);
    assert_eq!(harness::lives(&life).len(), 1);
}

#[test]
fn a_manager_restarts_and_informs_the_handler() {
    let sandbox = Sandbox::new();
    let (life, reported) = (sandbox.out("life"), sandbox.out("reported"));
    let handler = sandbox.script("handler", words!["report", &reported]);
    let options = words!["-p", "pid", "-m", "monitor", handler, "--restart-delay", "10ms:20ms"];
    let actions = words!["life", &life, "at", "1", "segv", "until", "3", "exit", "3", "wait"];
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).start();
    let pid = harness::await_life(&life, 4);
    harness::await_true("the number", || harness::text(&sandbox.path("pid")) == format!("{pid}\n"));
    let found = sandbox.report(&reported);
    let variable = |name: &str| found.variable(&format!("VSRUN_SERVER_{name}")).unwrap_or_default();
    assert_eq!(
        (variable("EXITED").as_str(), variable("EXITSTATUS").as_str(), variable("REASON").as_str()),
        ("1", "3", "exit")
    );
    let small = |name: &str, most: u64| variable(name).parse::<u64>().is_ok_and(|number| number <= most);
    assert!(small("UPTIME", 20), "{found:?}");
    assert!(small("MAXRSS_KB", 1 << 20) && variable("MAXRSS_KB") != "0" && small("CPU_MS", 20_000), "{found:?}");
    manager.signal(libc::SIGHUP);
    harness::await_life(&life, 5);
    manager.stop().assert_exited(0);
    assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
}

#[test]
fn signals_go_to_the_server_and_its_orphans_are_reaped() {
    let sandbox = Sandbox::new();
    let (seen, orphans) = (sandbox.out("seen"), sandbox.out("orphans"));
    let line = words!["-m", "-", "-", "--", sandbox.probe(), "orphans", "9", &orphans, "signals", &seen, "12"];
    let manager = sandbox.vsrun(line).start();
    harness::await_lines(&seen, 1);
    harness::await_lines(&orphans, 9);
    harness::await_true("the server alone to be left", || process::children(manager.pid()).len() == 1);
    for (count, signal) in [libc::SIGWINCH, libc::SIGQUIT, 40, 12].into_iter().enumerate() {
        manager.signal(signal);
        assert_eq!(harness::await_lines(&seen, count + 2)[count + 1], signal.to_string());
    }
    manager.finish().assert_exited(0);
}

#[test]
fn background_server_reports_status_and_stops() {
    for options in [words!["-b", "-p", "pid"], words!["-b", "-p", "pid", "-m", "monitor", "-"]] {
        let sandbox = Sandbox::new();
        let (file, life) = (sandbox.path("pid"), sandbox.out("life"));
        let line = [options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
        sandbox.vsrun(line).finish().assert_exited(0);
        let pid = harness::await_life(&life, 1);
        let status = sandbox.vsrun(words!["--status", &file]).finish();
        let begin = format!("running: pid {pid} ({})", file.display());
        assert!(status.assert_exited(0).out.len() == 1 && status.out[0].starts_with(&begin), "{status:?}");
        assert_eq!(process::terminal(pid), 0);
        sandbox.vsrun(words!["--stop", &file]).finish().assert_exited(0).assert_silent();
        assert!(harness::gone(pid));
        sandbox.await_nothing_left();
    }
    let sandbox = Sandbox::new();
    let missing = sandbox.path("missing");
    sandbox.vsrun(words!["-b", "-m", "-", "-", "--", &missing]).finish().assert_failed(127, &["missing"]);
}

#[test]
fn output_goes_to_files_that_are_renamed() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    for _ in 0..2 {
        sandbox
            .vsrun(words!["-d", "logs", "1h", "--", sandbox.probe(), "print", "x"])
            .finish()
            .assert_exited(0)
            .assert_silent();
    }
    assert_eq!(harness::names(&logs), ["logfile", "logfile.1", "vsrun.log", "vsrun.log.1"]);
    assert_eq!(
        (harness::text(&logs.join("logfile")), harness::text(&logs.join("logfile.1"))),
        ("x\n".into(), "x\n".into())
    );
}

#[test]
fn a_socket_is_kept_over_restarts() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    // No other process takes this free port before vsrun binds it: on loopback the kernel hands out other ports first.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = words!["-m", "-", "-", "--listen", format!("127.0.0.1:{port}")];
    let actions = words!["life", &life, "at", "1", "exit", "1", "serve", "3"];
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).start();
    harness::await_life(&life, 2);
    let mut answer = String::new();
    TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("{}\n", harness::lives(&life)[1].0));
    manager.stop().assert_exited(0);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let sandbox = Sandbox::new();
    sandbox.vsrun(words!["--umask", "9", "--", "x"]).finish().assert_failed(2, &["--umask"]);
    sandbox.vsrun(words!["-p", "no/where/pid", "--", "x"]).finish().assert_failed(125, &["no/where", "No such file"]);
    sandbox.vsrun(words!["--", sandbox.path("none")]).finish().assert_failed(127, &["none"]);
    sandbox.vsrun(words!["--", sandbox.directory()]).finish().assert_failed(126, &["Permission denied"]);
}
