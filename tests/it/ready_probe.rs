//! `--ready alive:` and `--ready probe:`: when a server that does not report its own readiness counts as started.

use crate::harness::web::{Answer, OK, UNAVAILABLE};
use crate::harness::{self, PLAIN, Sandbox, Web, await_life, needs, process, root, sys, words};
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// A server that records each run in `life` and then waits.
fn server(sandbox: &Sandbox) -> Vec<OsString> {
    words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"]
}

fn probed(web: &Web) -> OsString {
    format!("probe:{}", web.probe).into()
}

/// Waits for a process that probes the server, the manager's other child, and returns its pid.
#[track_caller]
fn try_of(manager: i32, server: i32) -> i32 {
    let other = || process::children(manager).into_iter().find(|pid| *pid != server && !process::gone(*pid));
    harness::await_some("a try of the probe", other)
}

#[test]
fn the_caller_waits_until_the_probe_succeeds() {
    for options in [words!["-b"], words!["-b", "-m", "keeper", "-"], words!["-b", "--init"]] {
        let sandbox = Sandbox::new();
        for web in [Web::new(UNAVAILABLE), Web::on_unix_socket(&sandbox.out("socket"), UNAVAILABLE)] {
            let line = [options.clone(), words!["-p", "pid", "--ready", probed(&web)], server(&sandbox)].concat();
            let caller = sandbox.vsrun(line).start();
            web.await_requests(3);
            assert!(caller.is_running(), "{:?}", caller.err());
            web.answers(OK);
            caller.finish().assert_exited(0);
            let server = await_life(&sandbox.out("life"), 1);
            sys::kill(if options.len() > 1 { process::parent(server) } else { server }, libc::SIGTERM);
            sandbox.await_nothing_left();
            std::fs::remove_file(sandbox.out("life")).unwrap();
            let _ = std::fs::remove_file(sandbox.path("pid"));
        }
    }
}

#[test]
fn every_answer_of_200_to_399_is_ready_however_it_comes() {
    let sandbox = Sandbox::new();
    for answer in [
        Answer::Text("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"),
        Answer::Bytes("HTTP/1.1 204 No Content\r\n\r\n"),
        // Longer than the time limit of the first attempt, 1 s.
        Answer::Slow("HTTP/1.1 200 OK\r\n\r\n", Duration::from_millis(1300)),
    ] {
        let web = Web::new(answer);
        let line = [words!["-b", "--ready", probed(&web), "--ready-timeout", "20"], server(&sandbox)].concat();
        sandbox.vsrun(line).finish().assert_exited(0);
        sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGKILL);
        std::fs::remove_file(sandbox.out("life")).unwrap();
    }
}

#[test]
fn a_server_that_is_not_ready_in_time_is_ended_and_the_last_failure_is_named() {
    for (answer, reason) in [
        (UNAVAILABLE, "HTTP status 503"),
        (Answer::Text("220 mail ESMTP\r\n"), "the answer is not HTTP"),
        (Answer::Never, "no answer in time"),
    ] {
        let sandbox = Sandbox::new();
        let web = Web::new(answer);
        // The first attempt that hangs is aborted after 1 s.
        let options = words!["-p", "pid", "--ready", probed(&web), "--ready-timeout", "3500ms"];
        for way in [words!["-b"], words!["-b", "-m", "keeper", "-"]] {
            let ended = sandbox.vsrun([way, options.clone(), server(&sandbox)].concat()).finish();
            ended.assert_exited(125);
            let last = ended.err.last().unwrap();
            let words = format!("not ready in time: --ready probe:{}, --ready-timeout 3.5 s: {reason}", web.probe);
            assert!(last.contains(&words), "{ended:?}");
            sandbox.await_nothing_left();
            assert!(!sandbox.path("pid").exists() && !sandbox.path("keeper").exists());
        }
    }
}

#[test]
fn a_failure_is_recorded_once_until_it_changes() {
    let sandbox = Sandbox::new();
    let web = Web::new(UNAVAILABLE);
    let line = [words!["-m", "-", "-", "--ready", probed(&web)], server(&sandbox)].concat();
    let manager = sandbox.vsrun(line).start();
    web.await_requests(5);
    web.answers(Answer::Text("HTTP/1.1 404 Not Found\r\n\r\n"));
    manager.await_err("failed: HTTP status 404");
    web.answers(OK);
    manager.await_err("succeeds");
    let requests = web.requests();
    let ended = manager.stop();
    let about = |part: &str| ended.err.iter().filter(|line| line.contains(part)).count();
    assert_eq!((about("HTTP status 503"), about("HTTP status 404"), about("succeeds")), (1, 1, 1), "{ended:?}");
    assert_eq!(web.requests(), requests, "it is ready, so it is not probed again");
}

#[test]
fn a_server_is_started_after_it_has_lived_that_long() {
    let sandbox = Sandbox::new();
    for way in [words!["-b"], words!["-b", "--restart", "always"]] {
        let since = Instant::now();
        sandbox
            .vsrun([way.clone(), words!["--ready", "alive:300ms"], server(&sandbox)].concat())
            .finish()
            .assert_exited(0);
        assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
        let server = await_life(&sandbox.out("life"), 1);
        let manager = process::parent(server);
        sys::kill(if way.len() > 1 { manager } else { server }, libc::SIGTERM);
        sandbox.await_nothing_left();
        std::fs::remove_file(sandbox.out("life")).unwrap();
        let line = words!["--ready", "alive:1h", "--", sandbox.probe(), "exit", "3"];
        let ended = sandbox.vsrun([way, line].concat()).finish();
        ended.assert_exited(125);
        let last = ended.err.last().unwrap();
        assert!(last.contains("exited with status 3") && last.contains("before it was ready"), "{ended:?}");
    }
}

#[test]
fn a_program_is_tried_as_the_servers_user_in_its_root_with_its_environment() {
    needs!(root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    std::fs::write(sandbox.path("variables"), "TWO=2\nVSRUN_SERVER_PID=1\n").unwrap();
    let report = "probe:exec:/probe report /out/tried";
    let options = words!["-b", "-m", "keeper", "-", "-p", "pid", "-u", "65534", "-r", &jail, "-w", "/out"];
    let more = words!["-e", "ONE=1", "--env-file", sandbox.path("variables"), "--listen", sandbox.path("socket")];
    let last = words!["--umask", "027", "--ready", report, "--", "/probe", "report", "/out/report", "wait"];
    let call = sandbox.vsrun([options, more, last].concat()).env("NOTIFY_SOCKET", "@none").env("WATCHDOG_USEC", "1");
    call.finish().assert_exited(0);
    let (tried, server) = (sandbox.report(&jail.join("out/tried")), sandbox.report(&jail.join("out/report")));
    for name in ["uids", "gids", "groups", "root", "cwd", "umask"] {
        assert_eq!(tried.one(name), server.one(name), "{name}");
    }
    assert_eq!(tried.groups(), [PLAIN]);
    for name in ["ONE", "TWO", "HOME", "PATH"] {
        assert_eq!(tried.variable(name), server.variable(name), "{name}");
    }
    assert_eq!((tried.variable("ONE").as_deref(), tried.variable("TWO").as_deref()), (Some("1"), Some("2")));
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        assert_eq!(tried.variable(name), None, "{name}");
    }
    assert_eq!(tried.variable("VSRUN_SERVER_PID"), Some(server.one("pid")), "which process it tests");
    assert_eq!(server.variable("VSRUN_SERVER_PID").as_deref(), Some("1"), "the server has the caller's");
    assert_eq!(tried.descriptor_numbers(), [0, 1, 2]);
    assert!(tried.descriptor(0).unwrap().is_null() && tried.descriptor(1).unwrap().is_null());
    assert_eq!(tried.one("sid"), tried.one("pid"), "a session of its own");
    sys::kill(harness::text(&sandbox.path("keeper")).trim().parse().unwrap(), libc::SIGTERM);
    sandbox.await_nothing_left();
}

#[test]
fn a_program_says_by_its_status_whether_the_server_is_ready() {
    let sandbox = Sandbox::new();
    let script = format!(
        "#!/bin/sh\necho noise; echo complaint >&2; [ -e {0}/up ] || exit 7; sleep 1000 & exit 0\n",
        sandbox.path("out").display()
    );
    let program = sandbox.executable("tried", script.as_bytes());
    let ready = format!("probe:exec:{} with words", program.display());
    let line = [words!["-m", "-", "-", "-d", "logs", "1", "--ready", ready], server(&sandbox)].concat();
    let manager = sandbox.vsrun(line).start();
    let log = sandbox.path("logs/vsrun.log");
    harness::await_true("a failure", || harness::text(&log).contains("failed: exited with status 7"));
    std::fs::write(sandbox.out("up"), "").unwrap();
    harness::await_true("a success", || harness::text(&log).contains("succeeds"));
    let output = harness::text(&sandbox.path("logs/logfile"));
    assert!(output.contains("complaint") && !output.contains("noise"), "{output}");
    // vsrun has killed the process that the probe program left in its process group.
    let server = await_life(&sandbox.out("life"), 1);
    harness::await_true("nothing but the server", || process::children(manager.pid()) == [server]);
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn a_try_that_hangs_delays_neither_a_stop_nor_a_restart() {
    let sandbox = Sandbox::new();
    let web = Web::new(Answer::Never);
    let exec = OsString::from(format!("probe:exec:{} ignore 15 wait", sandbox.probe().display()));
    for ready in [probed(&web), exec] {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let options = words!["-m", "-", "-", "--group", "--linger", "20", "--ready", &ready];
            let manager = sandbox.vsrun([options, server(&sandbox)].concat()).start();
            let first = await_life(&sandbox.out("life"), 1);
            let tried = try_of(manager.pid(), first);
            let since = Instant::now();
            manager.signal(libc::SIGHUP);
            await_life(&sandbox.out("life"), 2);
            // An attempt is killed together with the server that it probes.
            harness::await_gone(tried);
            manager.signal(signal);
            let ended = manager.finish();
            assert_eq!(ended.code(), Some(0), "{ended:?}");
            assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
            assert!(!ended.err.iter().any(|line| line.contains("is left") || line.contains("are left")), "{ended:?}");
            sandbox.await_nothing_left();
            std::fs::remove_file(sandbox.out("life")).unwrap();
        }
    }
}

#[test]
fn a_try_in_the_network_runs_as_the_servers_user_and_holds_nothing() {
    needs!(root());
    let sandbox = Sandbox::new();
    let web = Web::new(Answer::Never);
    let options = words!["-m", "keeper", "-", "-p", "pid", "-d", "logs", "1", "-u", "65534", "--ready", probed(&web)];
    let manager = sandbox.vsrun([options, server(&sandbox)].concat()).start();
    let server = await_life(&sandbox.out("life"), 1);
    web.await_requests(1);
    let tried = try_of(manager.pid(), server);
    assert_eq!(process::status(tried, "Uid"), "65534\t65534\t65534\t65534");
    assert_eq!((process::status(tried, "CapPrm"), process::session(tried)), ("0000000000000000".into(), tried));
    let held: Vec<String> = process::descriptors(tried).into_iter().skip(3).map(|(_, target)| target).collect();
    assert!(held.iter().all(|target| target.starts_with("pipe:") || target.starts_with("socket:")), "{held:?}");
    // The hanging attempt is aborted and repeated. Only one attempt runs at a time.
    harness::await_gone(tried);
    harness::await_true("another try", || web.requests() > 1);
    assert!(process::children(manager.pid()).len() <= 2);
    manager.stop().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn after_a_restart_the_service_manager_hears_of_readiness_when_the_probe_succeeds() {
    let sandbox = Sandbox::new();
    let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let count = harness::receive(&socket, &mut buffer);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let web = Web::new(OK);
    let line = [words!["-m", "-", "-", "--ready", probed(&web)], server(&sandbox)].concat();
    let manager = sandbox.vsrun(line).env("NOTIFY_SOCKET", sandbox.path("notify")).start();
    assert!(next().starts_with("READY=1"));
    web.answers(UNAVAILABLE);
    manager.signal(libc::SIGHUP);
    assert!(next().starts_with("RELOADING=1"));
    let requests = web.requests();
    web.await_requests(requests + 3);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "it is not ready yet");
    socket.set_nonblocking(false).unwrap();
    web.answers(OK);
    assert!(next().starts_with("READY=1"));
    manager.stop().assert_exited(0);
}

#[test]
fn a_real_web_server_is_ready_when_it_answers() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let port = harness::free_port();
    let script = format!("sleep 0.3; : >out/x; exec busybox httpd -f -p 127.0.0.1:{port} -h out");
    let options = words!["-b", "-m", "keeper", "-", "--ready", format!("probe:{port}/x"), "--ready-timeout", "20"];
    sandbox.vsrun([options, words!["--", "busybox", "sh", "-c", script]].concat()).finish().assert_exited(0);
    sandbox.vsrun(words!["--probe", format!("{port}/x")]).finish().assert_exited(0);
    sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn check_rehearses_a_program() {
    let sandbox = Sandbox::new();
    let line = words!["--check", "-m", "-", "-", "--ready", "probe:exec:/no/such", "--", sandbox.probe()];
    let ended = sandbox.vsrun(line).finish();
    ended.assert_exited(125);
    assert_eq!(ended.out.len(), 1, "{ended:?}");
    assert!(ended.out[0].starts_with("probe: cannot execute '/no/such': No such file or directory"), "{ended:?}");
}

#[test]
fn wrong_usage() {
    let sandbox = Sandbox::new();
    for (options, part) in [
        (words!["-b", "--ready", "alive:0"], "--ready: 'alive:0' is not"),
        (words!["-b", "--ready", "alive:5m"], "--ready: 'alive:5m' is not"),
        (words!["-b", "--ready", "probe:"], "--ready: 'probe:' is not"),
        (words!["-b", "--ready", "probe:localhost:80"], "is not"),
        (words!["-b", "--ready", "probe:exec:true"], "is not"),
        (words!["--ready", "alive:5"], "--ready needs a process that waits"),
        (words!["--ready", "probe:80"], "--ready needs a process that waits"),
        (words!["-b", "--ready-timeout", "5"], "--ready-timeout needs a --ready other than exec"),
        (words!["-b", "--listen", "8080", "--ready", "probe:8080"], "--ready probe:8080 needs a URL PATH"),
        (words!["-b", "--port", "8080", "--bind", "127.0.0.1", "--ready", "probe:8080"], "needs a URL PATH"),
        (words!["-b", "--listen", "web=/run/x", "--ready", "probe:/run/x"], "needs a URL PATH"),
        (words!["-m", "-", "-", "--ready", "alive:1", "--watchdog", "5"], "--watchdog needs --ready notify"),
    ] {
        let command = words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        sandbox.vsrun([options, command].concat()).finish().assert_failed(2, &[part]);
    }
    assert!(!sandbox.out("ran").exists());
}
