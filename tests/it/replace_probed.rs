//! Replacement of a server that does not report its own readiness: `--ready alive:` and `--ready probe:exec:`.

use crate::harness::{
    self, Running, Sandbox, Web, await_gone, await_life, await_lines, await_true, gone, lives, sys, web, words,
};
use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

/// Starts a manager in the background, and returns its pid when its first server is ready. Each server records its run
/// in `life` and then performs `actions`.
fn start(sandbox: &Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> i32 {
    let line = words!["-b", "-d", "logs", "1", "-p", "pid", "-m", "manager", "-"];
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life")];
    let wait = words!["wait"];
    sandbox.vsrun([line, options, server, actions, wait].concat()).finish().assert_exited(0);
    harness::text(&sandbox.path("manager")).trim().parse().unwrap()
}

/// The option `--ready` with a program that records the pid of the server that it tests, and its own. It succeeds for
/// every server if the file `all` exists, and for a single server if a file has that server's pid as its name. It
/// hangs, with a child, if `hang` exists.
fn probed(sandbox: &Sandbox) -> Vec<OsString> {
    let script = format!(
        "#!/bin/sh\necho $VSRUN_SERVER_PID $$ >>{0}/tried\n[ -e {0}/hang ] && {{ trap '' TERM; sleep 1000 & wait; }}\n\
         [ -e {0}/all ] || [ -e {0}/$VSRUN_SERVER_PID ]\n",
        sandbox.path("out").display()
    );
    let program = sandbox.executable("program", script.as_bytes());
    fs::write(sandbox.out("all"), "").unwrap();
    words!["--ready", format!("probe:exec:{}", program.display())]
}

/// From now on the program succeeds only for a server whose pid is the name of a file.
fn be_strict(sandbox: &Sandbox) {
    fs::remove_file(sandbox.out("all")).unwrap();
}

fn make_ready(sandbox: &Sandbox, server: i32) {
    fs::write(sandbox.out(&server.to_string()), "").unwrap();
}

fn replace(sandbox: &Sandbox) -> Running {
    sandbox.vsrun(words!["--replace", "pid"]).start()
}

fn pid_in_pidfile(sandbox: &Sandbox) -> i32 {
    harness::text(&sandbox.path("pid")).trim().parse().unwrap_or(0)
}

fn log(sandbox: &Sandbox) -> String {
    harness::text(&sandbox.path("logs/vsrun.log"))
}

/// The pid of the tested server and of the program that tested it, for each attempt.
fn tries(sandbox: &Sandbox) -> Vec<(i32, i32)> {
    let try_of =
        |line: &String| line.split_once(' ').map(|(one, other)| (one.parse().unwrap(), other.parse().unwrap()));
    harness::lines(&sandbox.out("tried")).iter().filter_map(try_of).collect()
}

/// Waits for an attempt to test this server, and returns the pid of the program.
#[track_caller]
fn await_try(sandbox: &Sandbox, server: i32) -> i32 {
    let of_server = || tries(sandbox).into_iter().rev().find(|(tested, _)| *tested == server);
    harness::await_some("a try for this server", of_server).1
}

/// Waits until exactly these processes of the test are left.
#[track_caller]
fn await_only(sandbox: &Sandbox, mut wanted: Vec<i32>) {
    wanted.sort_unstable();
    await_true("the end of every other process", || {
        let mut living = sandbox.living();
        living.sort_unstable();
        living == wanted
    });
}

fn stop(sandbox: &Sandbox) {
    sandbox.vsrun(words!["--stop", "manager"]).finish().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn a_candidate_is_ready_when_it_has_lived_that_long() {
    let sandbox = Sandbox::new();
    let exits = words!["at", "3", "exit", "3"];
    let manager = start(&sandbox, words!["--ready", "alive:1500ms"], exits);
    let old = pid_in_pidfile(&sandbox);
    let since = Instant::now();
    replace(&sandbox).finish().assert_exited(0).assert_silent();
    assert!(since.elapsed() >= Duration::from_millis(1500), "{:?}", since.elapsed());
    let new = pid_in_pidfile(&sandbox);
    assert!(gone(old) && new == await_life(&sandbox.out("life"), 2));
    // The next candidate exits before the time of `alive:` is over.
    replace(&sandbox).finish().assert_failed(125, &["the new server exited with status 3"]);
    assert!(pid_in_pidfile(&sandbox) == new && !gone(new));
    await_only(&sandbox, vec![manager, new]);
    replace(&sandbox).finish().assert_exited(0);
    assert!(gone(new));
    stop(&sandbox);
}

#[test]
fn a_program_tests_the_new_server_and_the_old_one_serves_until_then() {
    let sandbox = Sandbox::new();
    start(&sandbox, probed(&sandbox), words![]);
    let old = pid_in_pidfile(&sandbox);
    be_strict(&sandbox);
    // A success for the old server must not count for the new one.
    make_ready(&sandbox, old);
    let replacing = replace(&sandbox);
    let new = await_life(&sandbox.out("life"), 2);
    let before = tries(&sandbox).len();
    await_lines(&sandbox.out("tried"), before + 3);
    assert!(tries(&sandbox).iter().skip(before).all(|(tested, _)| *tested == new), "{:?}", tries(&sandbox));
    assert!(pid_in_pidfile(&sandbox) == old && !gone(old) && replacing.is_running());
    make_ready(&sandbox, new);
    replacing.finish().assert_exited(0).assert_silent();
    assert!(pid_in_pidfile(&sandbox) == new && gone(old) && !gone(new));
    stop(&sandbox);
}

/// A replacement is rolled back because the program fails or hangs. After that, another one succeeds.
fn roll_back(options: Vec<OsString>, hangs: bool) {
    let sandbox = Sandbox::new();
    let manager = start(&sandbox, [probed(&sandbox), options, words!["--ready-timeout", "6"]].concat(), words![]);
    let old = pid_in_pidfile(&sandbox);
    be_strict(&sandbox);
    if hangs {
        fs::write(sandbox.out("hang"), "").unwrap();
    }
    replace(&sandbox).finish().assert_failed(125, &["the new server was not ready in time"]);
    let candidate = await_life(&sandbox.out("life"), 2);
    assert!(pid_in_pidfile(&sandbox) == old && !gone(old) && gone(candidate));
    await_only(&sandbox, vec![manager, old]);
    let of_candidate = tries(&sandbox).iter().filter(|(tested, _)| *tested == candidate).count();
    assert!(of_candidate > 1, "it was given up, and tried again: {:?}", tries(&sandbox));
    let why = if hangs { "failed: no answer in time" } else { "failed: exited with status 1" };
    assert!(log(&sandbox).contains(why), "{}", log(&sandbox));
    let _ = fs::remove_file(sandbox.out("hang"));
    fs::write(sandbox.out("all"), "").unwrap();
    replace(&sandbox).finish().assert_exited(0);
    assert!(gone(old));
    stop(&sandbox);
}

#[test]
fn a_program_that_fails_is_a_rollback() {
    roll_back(words![], false);
}

/// Whichever option ends the remaining processes of a server, no process of an attempt is left.
#[test]
fn a_program_that_hangs_is_killed_and_a_rollback() {
    for options in [words![], words!["--group", "--stop-timeout", "20"], words!["--linger", "20"]] {
        roll_back(options, true);
    }
}

#[test]
fn a_candidate_that_exits_during_a_try_takes_the_try_with_it() {
    for more in [words![], words!["--group"], words!["--linger", "20"]] {
        let sandbox = Sandbox::new();
        let actions = words!["at", "2", "await", sandbox.out("exit"), "at", "2", "exit", "3"];
        let manager = start(&sandbox, [probed(&sandbox), more].concat(), actions);
        let old = pid_in_pidfile(&sandbox);
        fs::write(sandbox.out("hang"), "").unwrap();
        let replacing = replace(&sandbox);
        let tried = await_try(&sandbox, await_life(&sandbox.out("life"), 2));
        fs::write(sandbox.out("exit"), "").unwrap();
        replacing.finish().assert_failed(125, &["the new server exited with status 3"]);
        await_gone(tried);
        await_only(&sandbox, vec![manager, old]);
        assert!(pid_in_pidfile(&sandbox) == old);
        stop(&sandbox);
    }
}

#[test]
fn a_stop_or_a_restart_during_a_try_leaves_nothing_of_it() {
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        let sandbox = Sandbox::new();
        let manager = start(&sandbox, probed(&sandbox), words![]);
        let old = pid_in_pidfile(&sandbox);
        fs::write(sandbox.out("hang"), "").unwrap();
        let replacing = replace(&sandbox);
        let candidate = await_life(&sandbox.out("life"), 2);
        let tried = await_try(&sandbox, candidate);
        if signal == libc::SIGHUP {
            fs::remove_file(sandbox.out("hang")).unwrap();
        }
        sys::kill(manager, signal);
        replacing.finish().assert_exited(125);
        [tried, candidate, old].into_iter().for_each(await_gone);
        if signal == libc::SIGHUP {
            let third = await_life(&sandbox.out("life"), 3);
            await_try(&sandbox, third);
            await_only(&sandbox, vec![manager, third]);
            stop(&sandbox);
        }
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_candidate_that_takes_the_place_of_a_crashed_server_is_tested_further() {
    let sandbox = Sandbox::new();
    start(&sandbox, [probed(&sandbox), words!["--ready-timeout", "8"]].concat(), words![]);
    let old = pid_in_pidfile(&sandbox);
    be_strict(&sandbox);
    let replacing = replace(&sandbox);
    let new = await_life(&sandbox.out("life"), 2);
    await_try(&sandbox, new);
    sys::kill(old, libc::SIGKILL);
    await_true("the new name", || pid_in_pidfile(&sandbox) == new);
    make_ready(&sandbox, new);
    replacing.finish().assert_exited(0);
    assert_eq!((pid_in_pidfile(&sandbox), gone(new)), (new, false));
    // The next candidate takes the place of the killed server and does not become ready. That is an unexpected exit, so
    // the manager restarts the server.
    let replacing = replace(&sandbox);
    let third = await_life(&sandbox.out("life"), 3);
    await_try(&sandbox, third);
    sys::kill(new, libc::SIGKILL);
    await_true("the third name", || pid_in_pidfile(&sandbox) == third);
    let count = tries(&sandbox).len();
    await_lines(&sandbox.out("tried"), count + 1);
    replacing.finish().assert_failed(125, &["the new server was not ready in time"]);
    let fourth = await_life(&sandbox.out("life"), 4);
    await_gone(third);
    await_true("the fourth name", || pid_in_pidfile(&sandbox) == fourth);
    stop(&sandbox);
}

/// The options for a health probe that records the pid of the server that it tests, and fails while the file `sick`
/// exists.
fn health(sandbox: &Sandbox, interval: &str) -> Vec<OsString> {
    let script =
        format!("#!/bin/sh\necho $VSRUN_SERVER_PID >>{0}/health\n! [ -e {0}/sick ]\n", sandbox.path("out").display());
    let program = sandbox.executable("health", script.as_bytes());
    let probe = format!("exec:{}", program.display());
    words!["--health", probe, "--health-interval", interval, "--health-timeout", "20", "--health-retries", "2"]
}

#[test]
fn the_old_server_is_probed_for_health_until_the_new_one_is_ready() {
    let sandbox = Sandbox::new();
    let options = [probed(&sandbox), health(&sandbox, "500ms")].concat();
    start(&sandbox, options, words![]);
    let old = pid_in_pidfile(&sandbox);
    let tested = || harness::lines(&sandbox.out("health"));
    await_lines(&sandbox.out("health"), 1);
    be_strict(&sandbox);
    let replacing = replace(&sandbox);
    let new = await_life(&sandbox.out("life"), 2);
    await_try(&sandbox, new);
    let before = tested().len();
    await_lines(&sandbox.out("health"), before + 2);
    assert!(tested().iter().all(|pid| *pid == old.to_string()), "{:?}", tested());
    let since = Instant::now();
    make_ready(&sandbox, new);
    replacing.finish().assert_exited(0);
    await_true("a health probe of the new server", || tested().contains(&new.to_string()));
    assert!(since.elapsed() >= Duration::from_millis(500), "one interval after it is ready: {:?}", since.elapsed());
    let tested = tested();
    let first = tested.iter().position(|pid| *pid == new.to_string()).unwrap();
    assert!(tested[first..].iter().all(|pid| *pid == new.to_string()), "{tested:?}");
    // After a rollback, the running server's health probes continue.
    fs::write(sandbox.out("hang"), "").unwrap();
    let replacing = replace(&sandbox);
    let third = await_life(&sandbox.out("life"), 3);
    await_try(&sandbox, third);
    sys::kill(third, libc::SIGKILL);
    replacing.finish().assert_failed(125, &["the new server was killed by SIGKILL"]);
    let count = harness::lines(&sandbox.out("health")).len();
    let lines = await_lines(&sandbox.out("health"), count + 2);
    assert_eq!(lines.last(), Some(&new.to_string()));
    stop(&sandbox);
}

#[test]
fn a_candidate_takes_the_place_of_a_server_that_is_not_healthy() {
    let sandbox = Sandbox::new();
    start(&sandbox, [probed(&sandbox), health(&sandbox, "200ms")].concat(), words![]);
    let old = pid_in_pidfile(&sandbox);
    be_strict(&sandbox);
    let replacing = replace(&sandbox);
    let new = await_life(&sandbox.out("life"), 2);
    await_try(&sandbox, new);
    fs::write(sandbox.out("sick"), "").unwrap();
    await_gone(old);
    await_true("the new name", || pid_in_pidfile(&sandbox) == new);
    fs::remove_file(sandbox.out("sick")).unwrap();
    make_ready(&sandbox, new);
    replacing.finish().assert_exited(0);
    assert!(log(&sandbox).contains("the server is not healthy"), "{}", log(&sandbox));
    assert_eq!(lives(&sandbox.out("life")).len(), 2, "{}", log(&sandbox));
    stop(&sandbox);
}

#[test]
fn a_server_with_a_probe_of_the_network_is_not_replaced() {
    let sandbox = Sandbox::new();
    let web = Web::new(web::OK);
    let ready = format!("probe:{}", web.probe);
    let needs = "needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM";
    let line = words!["-m", "-", "-", "--on-signal", "HUP=replace", "--ready", &ready, "--", "true"];
    sandbox.vsrun(line).finish().assert_failed(2, &["--on-signal with replace", needs]);
    start(&sandbox, words!["--ready", ready], words![]);
    let server = pid_in_pidfile(&sandbox);
    replace(&sandbox).finish().assert_failed(125, &[needs]);
    assert!(pid_in_pidfile(&sandbox) == server && lives(&sandbox.out("life")).len() == 1);
    stop(&sandbox);
}

#[test]
fn a_signal_replaces_a_server_that_reports_nothing() {
    for ready in ["alive:1ms", "probe"] {
        let sandbox = Sandbox::new();
        let ready = if ready == "probe" { probed(&sandbox) } else { words!["--ready", ready] };
        let manager = start(&sandbox, [ready, words!["--on-signal", "HUP=replace"]].concat(), words![]);
        let old = pid_in_pidfile(&sandbox);
        sys::kill(manager, libc::SIGHUP);
        await_gone(old);
        await_true("the end of the replacement", || log(&sandbox).contains("the server has been replaced"));
        assert_eq!(pid_in_pidfile(&sandbox), await_life(&sandbox.out("life"), 2));
        stop(&sandbox);
    }
}
