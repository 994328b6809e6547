//! `--health`: a server that runs but fails its health probes is stopped and restarted.

use crate::harness::web::{Answer, OK, UNAVAILABLE};
use crate::harness::{self, Call, Sandbox, Web, await_life, lives, needs, process, root, words};
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Returns options for a probe every 50 ms, three failures in a row, and this timeout of a probe. A long timeout keeps
/// a busy machine from failing a healthy server.
fn health(probe: &str, timeout: &str) -> Vec<OsString> {
    words!["--health", probe, "--health-interval", "50ms", "--health-timeout", timeout, "--health-retries", "3"]
}

/// Prepares a manager whose server appends a line to `life` at each start and then does `actions`. The handler reports
/// its environment and appends a line to `asked`.
fn managed<'place>(sandbox: &'place Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> Call<'place> {
    let handler =
        sandbox.script("handler", words!["report", sandbox.out("reported"), "append", sandbox.out("asked"), "x"]);
    let stay = words!["-m", "-", handler, "--", sandbox.probe(), "life", sandbox.out("life")];
    sandbox.vsrun([options, stay, actions].concat())
}

#[test]
fn a_server_that_fails_some_probes_in_a_row_is_ended_and_started_again() {
    let sandbox = Sandbox::new();
    for web in [Web::new(OK), Web::on_unix_socket(&sandbox.out("socket"), OK)] {
        // The handler waits, so that the requests of the next run are not counted.
        let [reported, asked, go] = ["reported", "asked", "go"].map(|name| sandbox.out(name));
        let handler = sandbox.script("handler", words!["report", &reported, "append", &asked, "x", "await", &go]);
        let server = words!["-m", "-", handler, "--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
        let manager = sandbox.vsrun([health(&web.probe, "20s"), server].concat()).start();
        web.await_requests(5);
        assert_eq!(lives(&sandbox.out("life")).len(), 1, "a healthy server goes on");
        web.answers(UNAVAILABLE);
        let before = web.requests();
        harness::await_lines(&asked, 1);
        // When the response changes, one request may already have been answered and another one be in progress.
        let count = web.requests() - before;
        assert!((3..=5).contains(&count), "{count} requests");
        web.answers(OK);
        std::fs::write(&go, "").unwrap();
        await_life(&sandbox.out("life"), 2);
        let report = sandbox.report(&reported);
        assert_eq!(report.variable("VSRUN_SERVER_REASON").as_deref(), Some("health"));
        assert_eq!(report.variable("VSRUN_SERVER_SIGNAME").as_deref(), Some("SIGTERM"));
        let requests = web.requests();
        web.await_requests(requests + 3);
        let ended = manager.stop();
        ended.assert_exited(0);
        let count = |part: &str| ended.err.iter().filter(|line| line.contains(part)).count();
        let failed = format!("--health {} failed: HTTP status 503", web.probe);
        assert!(count(&failed) >= 1 && count(&failed) <= lives(&sandbox.out("life")).len(), "{ended:?}");
        assert!(count("the server is not healthy") >= 1, "{ended:?}");
        sandbox.await_nothing_left();
        for name in ["life", "reported", "asked", "go"] {
            std::fs::remove_file(sandbox.out(name)).unwrap();
        }
    }
}

#[test]
fn a_failure_between_successes_is_recorded_and_ends_nothing() {
    let sandbox = Sandbox::new();
    let web = Web::new(OK);
    let options = words!["--health-retries", "1000000", "--health-interval", "20ms", "--health", &web.probe];
    let manager = managed(&sandbox, options, words!["wait"]).start();
    web.await_requests(2);
    web.answers(UNAVAILABLE);
    manager.await_err("failed: HTTP status 503");
    let requests = web.requests();
    web.await_requests(requests + 3);
    web.answers(OK);
    manager.await_err("succeeds");
    let ended = manager.stop();
    ended.assert_exited(0);
    let count = |part: &str| ended.err.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count("HTTP status 503"), count("succeeds")), (1, 1), "once for each change: {ended:?}");
    assert_eq!(lives(&sandbox.out("life")).len(), 1);
}

#[test]
fn a_server_that_never_answers_fails_too() {
    let sandbox = Sandbox::new();
    let web = Web::new(Answer::Never);
    let manager = managed(&sandbox, health(&web.probe, "50ms"), words!["wait"]).start();
    await_life(&sandbox.out("life"), 2);
    manager.await_err("failed: no answer in time");
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn a_stop_for_failed_health_never_makes_vsrun_exit_with_0() {
    for (options, actions, status) in [
        // The server handles the stop signal and exits with 0.
        (words!["--init"], words!["signals", "/dev/null", "15", "exit", "0"], 143),
        (words!["--restart", "no"], words!["signals", "/dev/null", "15", "exit", "0"], 143),
        (words!["--init", "--stop-signal", "USR1"], words!["signals", "/dev/null", "10", "exit", "0"], 138),
        (words!["--init", "--success-exit", "7"], words!["signals", "/dev/null", "15", "exit", "7"], 143),
        (words!["--init"], words!["signals", "/dev/null", "15", "exit", "9"], 9),
        (words!["--init", "--stop-timeout", "100ms"], words!["ignore", "15", "wait"], 137),
    ] {
        let sandbox = Sandbox::new();
        let web = Web::new(UNAVAILABLE);
        let line = [options, health(&web.probe, "20s"), words!["--", sandbox.probe()], actions].concat();
        sandbox.vsrun(line).finish().assert_exited(status);
        sandbox.await_nothing_left();
    }
    // The status is also the signal's if the handler refuses the restart.
    let sandbox = Sandbox::new();
    let web = Web::new(UNAVAILABLE);
    let handler = sandbox.script("handler", words!["exit", "1"]);
    let server = words!["--", sandbox.probe(), "signals", "/dev/null", "15", "exit", "0"];
    let line = [health(&web.probe, "20s"), words!["-m", "-", handler], server].concat();
    sandbox.vsrun(line).finish().assert_exited(143);
}

#[test]
fn a_watchdog_abort_never_makes_vsrun_exit_with_0() {
    let sandbox = Sandbox::new();
    let options = words!["--init", "--ready", "notify", "--watchdog", "50ms", "--", sandbox.probe()];
    let server = words!["notify", "READY=1", "signals", "/dev/null", "6", "exit", "0"];
    sandbox.vsrun([options, server].concat()).finish().assert_exited(134);
}

#[test]
fn probes_begin_one_interval_after_readiness() {
    let sandbox = Sandbox::new();
    let web = Web::new(OK);
    let actions = words!["await", sandbox.out("go"), "notify", "READY=1", "life", sandbox.out("ready"), "wait"];
    let options = words!["--ready", "notify", "--health", &web.probe, "--health-interval", "400ms"];
    let manager = managed(&sandbox, options, actions).start();
    await_life(&sandbox.out("life"), 1);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(web.requests(), 0, "not before it is ready");
    let since = Instant::now();
    std::fs::write(sandbox.out("go"), "").unwrap();
    web.await_requests(2);
    assert!(since.elapsed() >= Duration::from_millis(800), "{:?}", since.elapsed());
    manager.stop().assert_exited(0);
}

#[test]
fn a_probe_that_hangs_delays_neither_stop_nor_restart_and_outlives_neither() {
    let sandbox = Sandbox::new();
    let web = Web::new(Answer::Never);
    // The probe program and its child ignore SIGTERM.
    let script =
        format!("#!/bin/sh\ntrap '' TERM\nsleep 1000 &\necho $$ 0 >>{}\nwait\n", sandbox.out("tried").display());
    let program = sandbox.executable("tried", script.as_bytes());
    for probe in [web.probe.clone(), format!("exec:{}", program.display())] {
        for more in [words![], words!["--group"], words!["--linger", "20"]] {
            let is_web = probe == web.probe;
            let requests = web.requests();
            let options = [health(&probe, "1h"), more].concat();
            let manager = managed(&sandbox, options, words!["wait"]).start();
            let await_try = |count: usize| {
                if is_web {
                    web.await_requests(requests + count);
                } else {
                    harness::await_lines(&sandbox.out("tried"), count);
                }
            };
            await_try(1);
            let since = Instant::now();
            manager.signal(libc::SIGHUP);
            await_life(&sandbox.out("life"), 2);
            await_try(2);
            let ended = manager.stop();
            ended.assert_exited(0);
            assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
            // With --linger, vsrun may signal a killed program again that has not exited yet. So the test looks only
            // for reports of remaining processes.
            let left = |line: &String| line.contains("of the server is left") || line.contains("are left");
            assert!(!ended.err.iter().any(left), "{ended:?}");
            sandbox.await_nothing_left();
            std::fs::remove_file(sandbox.out("life")).unwrap();
            let _ = std::fs::remove_file(sandbox.out("tried"));
        }
    }
    assert!(!sandbox.out("asked").exists(), "no end was unexpected");
}

#[test]
fn a_server_exit_during_a_probe_is_not_a_failed_probe() {
    let sandbox = Sandbox::new();
    let web = Web::new(Answer::Never);
    let options = [health(&web.probe, "1h"), words!["--linger", "20", "--restart-delay", "0"]].concat();
    let manager =
        managed(&sandbox, options, words!["until", "3", "nap", "200", "until", "3", "exit", "1", "wait"]).start();
    await_life(&sandbox.out("life"), 4);
    let reported = sandbox.report(&sandbox.out("reported"));
    assert_eq!(reported.variable("VSRUN_SERVER_REASON").as_deref(), Some("exit"));
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn a_probe_running_at_the_servers_exit_is_not_reported_as_left() {
    let sandbox = Sandbox::new();
    let web = Web::new(Answer::Never);
    let options = [health(&web.probe, "1h"), words!["--restart", "no"]].concat();
    let line = words!["--", sandbox.probe(), "await", sandbox.out("go"), "exit", "0"];
    let manager = sandbox.vsrun([options, line].concat()).start();
    web.await_requests(1);
    std::fs::write(sandbox.out("go"), "").unwrap();
    let ended = manager.finish();
    ended.assert_exited(0);
    assert!(!ended.err.iter().any(|line| line.contains("left")), "{ended:?}");
    sandbox.await_nothing_left();
}

#[test]
fn an_exec_probe_runs_in_the_jail_of_the_server() {
    needs!(root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let options = health("exec:/probe await /out/healthy", "300ms");
    let more = words!["-u", "65534", "-r", &jail, "--restart-delay", "0", "--restart", "always"];
    std::fs::write(jail.join("out/healthy"), "").unwrap();
    let line = words!["-m", "keeper", "-", "--", "/probe", "life", "/out/life", "wait"];
    let manager = sandbox.vsrun([options, more, line].concat()).start();
    await_life(&jail.join("out/life"), 1);
    std::fs::remove_file(jail.join("out/healthy")).unwrap();
    await_life(&jail.join("out/life"), 2);
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn the_environment_of_a_program_is_read_again_at_a_restart() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("variables"), "WORD=one\n").unwrap();
    let script = format!("#!/bin/sh\necho $WORD >>{}\n", sandbox.out("words").display());
    let program = sandbox.executable("tried", script.as_bytes());
    let options = health(&format!("exec:{}", program.display()), "20s");
    let line = words!["--env-file", sandbox.path("variables")];
    let manager = managed(&sandbox, [options, line].concat(), words!["wait"]).start();
    assert_eq!(harness::await_lines(&sandbox.out("words"), 1)[0], "one");
    std::fs::write(sandbox.path("variables"), "WORD=two\n").unwrap();
    manager.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 2);
    let is_new = || harness::lines(&sandbox.out("words")).iter().any(|word| word == "two");
    harness::await_true("the new word", is_new);
    manager.stop().assert_exited(0);
}

#[test]
fn a_fork_that_is_refused_is_no_failure_of_the_server() {
    needs!(root());
    let sandbox = Sandbox::plain();
    let web = Web::new(OK);
    let options = words!["--health", &web.probe, "--health-interval", "50ms", "--health-retries", "1"];
    // The limit of processes (RLIMIT_NPROC) applies to the manager because its user is not root.
    let manager = managed(&sandbox, options, words!["wait"]).start();
    web.await_requests(2);
    let limit = |most: &str| {
        let line = words!["processes", manager.pid().to_string(), most];
        sandbox.program(&sandbox.probe(), line).finish().assert_exited(0);
    };
    limit("0");
    manager.await_err("cannot start a process: ");
    let requests = web.requests();
    limit("100000");
    web.await_requests(requests + 2);
    assert_eq!(lives(&sandbox.out("life")).len(), 1);
    manager.stop().assert_exited(0);
}

#[test]
fn a_web_server_that_hangs_in_sigstop_is_restarted() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.out("x"), "").unwrap();
    let port = harness::free_port();
    let probe = format!("{port}/x");
    let options = words!["-b", "-p", "pid", "-d", "logs", "1", "--ready", format!("probe:{probe}")];
    let server = words!["--", "busybox", "httpd", "-f", "-p", format!("127.0.0.1:{port}"), "-h", sandbox.out("")];
    let line = [options, health(&probe, "1s"), words!["-m", "keeper", "-"], server].concat();
    sandbox.vsrun(line).finish().assert_exited(0);
    let pid = || harness::text(&sandbox.path("pid")).trim().parse::<i32>().ok();
    let first = pid().unwrap();
    // The kernel still accepts connections for a stopped server, but no process answers them.
    harness::sys::kill(first, libc::SIGSTOP);
    harness::await_true("the next server", || {
        let answers = sandbox.vsrun(words!["--probe", &probe]).finish().code() == Some(0);
        answers && pid().is_some_and(|pid| pid != first)
    });
    assert!(process::gone(first));
    let log = harness::text(&sandbox.path("logs/vsrun.log"));
    assert!(log.contains("failed: no answer in time") && log.contains("the server is not healthy"), "{log}");
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn wrong_health_options_are_rejected_with_status_2() {
    let sandbox = Sandbox::new();
    for (options, part) in [
        (words!["--health", "80/"], "--health needs --manager, --init or --restart"),
        (words!["-b", "--health", "80/"], "--health needs --manager, --init or --restart"),
        (words!["--init", "--health-interval", "1s"], "--health-interval needs --health"),
        (words!["--init", "--health-timeout", "1s"], "--health-timeout needs --health"),
        (words!["--init", "--health-retries", "1"], "--health-retries needs --health"),
        (words!["--init", "--health", "80/", "--health-interval", "0"], "--health-interval"),
        (words!["--init", "--health", "80/", "--health-timeout", "0s"], "--health-timeout"),
        (words!["--init", "--health", "80/", "--health-retries", "0"], "--health-retries"),
        (words!["--init", "--health", "80/", "--health-retries", "x"], "--health-retries"),
        (words!["--init", "--health", "nowhere"], "--health: 'nowhere' is not"),
        (words!["--init", "--listen", "8080", "--health", "8080"], "--health 8080 needs a URL PATH"),
    ] {
        let command = words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        sandbox.vsrun([options, command].concat()).finish().assert_failed(2, &[part]);
    }
    assert!(!sandbox.out("ran").exists());
}
