//! Replacement of a running server by a new one, with real processes: no connection is lost, and a version that does
//! not work changes nothing.

use crate::harness::{
    self, Call, PLAIN, Running, Sandbox, await_gone, await_life, await_lines, await_true, gone, lives, needs, process,
    root, sys, words,
};
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Writes the server program. It records its run, performs `actions`, reports readiness on descriptor 4, and then
/// answers each connection to the socket on descriptor 3 with its pid.
fn write_server(sandbox: &Sandbox, actions: Vec<OsString>) {
    let begin = words!["life", sandbox.out("life")];
    sandbox.script("server", [begin, actions, words!["tell", "4", "ready", "drain", "3"]].concat());
}

/// Starts a managed server that can be replaced and that answers at `socket`. Returns when it is ready.
fn start(sandbox: &Sandbox, options: Vec<OsString>) -> Running {
    write_server(sandbox, words![]);
    let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "fd:4", "--listen", sandbox.path("socket")];
    let server = words!["--", sandbox.path("server")];
    let manager = sandbox.vsrun([line, options, server].concat()).start();
    await_true("the first server's answer", || answer(sandbox).is_some());
    await_ready(sandbox);
    manager
}

/// The pid of the server that answers now.
fn answer(sandbox: &Sandbox) -> Option<i32> {
    let stream = UnixStream::connect(sandbox.path("socket")).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    read_pid(stream)
}

fn read_pid(mut stream: impl Read) -> Option<i32> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn replace<'place>(sandbox: &'place Sandbox, pidfile: &str) -> Call<'place> {
    sandbox.vsrun(words!["--replace", pidfile])
}

/// Waits until the manager has read that the first server is ready. Before that, it refuses replacements.
fn await_ready(sandbox: &Sandbox) {
    // A request would start a replacement, so this looks at the ready pipe: the manager closes it when it has read the
    // newline.
    let manager = harness::text(&sandbox.path("manager")).trim().parse().unwrap();
    await_true("the closed ready pipe", || !process::has_pipe(manager));
}

/// Requests a replacement until one begins, and returns when the new server runs. The manager refuses requests until it
/// has read that the first server is ready.
fn replace_when_ready(sandbox: &Sandbox) -> Running {
    let life = sandbox.out("life");
    harness::await_some("a replacement that begins", || {
        let replacing = replace(sandbox, "pid").start();
        await_true("a second server, or a refusal", || !replacing.is_running() || lives(&life).len() == 2);
        if lives(&life).len() == 2 {
            return Some(replacing);
        }
        replacing.finish().assert_exited(3);
        None
    })
}

/// The pid in the server's pidfile, or 0 if there is none.
fn pid_in_pidfile(sandbox: &Sandbox) -> i32 {
    harness::text(&sandbox.path("pid")).trim().parse().unwrap_or(0)
}

/// Four clients connect all the time while `during` runs. Returns the results of the failed connections, the number of
/// successful ones, and the longest duration of a connection.
fn under_load(port: u16, during: impl FnOnce()) -> (Vec<String>, usize, Duration) {
    let (over, worked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = || {
        let (mut failed, mut longest) = (Vec::new(), Duration::ZERO);
        while !over.load(Ordering::Relaxed) {
            let since = Instant::now();
            let mut text = String::new();
            let got = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut to| to.read_to_string(&mut text));
            longest = longest.max(since.elapsed());
            match got {
                Ok(count) if count > 1 => worked.fetch_add(1, Ordering::Relaxed),
                other => {
                    failed.push(format!("{other:?}"));
                    0
                }
            };
            std::thread::sleep(Duration::from_millis(1));
        }
        (failed, longest)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        // Stops the clients even if an assertion in `during` fails.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let guard = Over(&over);
        during();
        drop(guard);
        let (mut failed, mut longest) = (Vec::new(), Duration::ZERO);
        for client in clients {
            let (mut also, time) = client.join().unwrap();
            failed.append(&mut also);
            longest = longest.max(time);
        }
        (failed, worked.load(Ordering::Relaxed), longest)
    })
}

/// A free port, outside the range that the kernel assigns ports from, and outside the ranges of other tests.
fn free_port(part: u16) -> u16 {
    let base = 26_000 + part * 10 + u16::try_from(sys::pid() % 100).unwrap() * 20;
    (base..base + 10).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

#[test]
fn sixty_replacements_under_load_lose_no_connection() {
    let sandbox = Sandbox::new();
    let port = free_port(0);
    write_server(&sandbox, words!["nap", "50"]);
    let listen = format!("127.0.0.1:{port}");
    let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "fd:4", "--listen", listen];
    let manager = sandbox.vsrun([line, words!["--", sandbox.path("server")]].concat()).start();
    let server = await_life(&sandbox.out("life"), 1);
    await_true("the first server", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|stream| read_pid(stream) == Some(server))
    });
    await_ready(&sandbox);
    let (failed, worked, longest) = under_load(port, || {
        for round in 0..60 {
            let old = pid_in_pidfile(&sandbox);
            replace(&sandbox, if round % 2 == 0 { "pid" } else { "manager" }).finish().assert_exited(0).assert_silent();
            assert!(gone(old) && pid_in_pidfile(&sandbox) != old, "round {round}");
        }
    });
    println!("{worked} connections, the longest {longest:?}");
    assert!(failed.is_empty() && worked > 60, "{worked} worked, and these failed: {failed:?}");
    assert_eq!(lives(&sandbox.out("life")).len(), 61);
    manager.stop().assert_exited(0);
}

#[test]
fn sixty_broken_versions_under_load_fail_no_request() {
    let sandbox = Sandbox::new();
    let port = free_port(1);
    write_server(&sandbox, words![]);
    let (listen, timeout) = (format!("127.0.0.1:{port}"), words!["--ready-timeout", "500ms"]);
    let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "fd:4", "--listen", listen];
    let manager = sandbox.vsrun([line, timeout, words!["--", sandbox.path("server")]].concat()).start();
    let server = await_life(&sandbox.out("life"), 1);
    await_true("the first server", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|stream| read_pid(stream) == Some(server))
    });
    await_ready(&sandbox);
    let broken: [(&str, Vec<OsString>, usize); 5] = [
        ("exited with status 3", words!["exit", "3"], 15),
        ("killed by SIGSEGV (11)", words!["raise", "11"], 15),
        ("closed its ready descriptor without a newline", words!["close", "4", "wait"], 15),
        ("was not ready in time", words!["wait"], 5),
        ("was not ready in time", words!["ignore", "15", "nap", "600", "exit", "0"], 5),
    ];
    let (failed, worked, _) = under_load(port, || {
        for (why, actions, count) in broken {
            write_server(&sandbox, actions);
            for _ in 0..count {
                replace(&sandbox, "pid").finish().assert_failed(125, &["cannot replace the server of pid", why]);
                assert_eq!(pid_in_pidfile(&sandbox), server);
            }
        }
        fs::remove_file(sandbox.path("server")).unwrap();
        for _ in 0..5 {
            replace(&sandbox, "manager").finish().assert_failed(125, &["could not be started"]);
        }
    });
    assert!(failed.is_empty() && worked > 60, "{worked} worked, and these failed: {failed:?}");
    assert!(!gone(server) && pid_in_pidfile(&sandbox) == server, "the old server goes on");
    let ended = manager.stop();
    ended.assert_exited(0);
    assert!(ended.err.iter().any(|line| line.contains("replacement failed: the new server exited with status 3")));
    assert!(ended.err.iter().any(|line| line.contains("cannot execute")), "why it could not be started: {ended:?}");
}

/// While the new server starts, the old one answers, is named in the pidfile and gets forwarded signals. When the new
/// server is ready, it takes over all three.
#[test]
fn no_request_waits_for_the_start_of_the_new_server() {
    let sandbox = Sandbox::new();
    let manager = start(&sandbox, words!["--on-signal", "USR1=forward"]);
    let old = pid_in_pidfile(&sandbox);
    write_server(&sandbox, words!["await", sandbox.path("gate")]);
    let replacing = replace(&sandbox, "pid").start();
    let new = await_life(&sandbox.out("life"), 2);
    for _ in 0..20 {
        assert_eq!(answer(&sandbox), Some(old), "the old server serves");
    }
    assert_eq!(pid_in_pidfile(&sandbox), old, "the pidfile names it");
    manager.signal(libc::SIGUSR1);
    manager.await_err(&format!("sending SIGUSR1 to pid {old}"));
    replace(&sandbox, "manager").finish().assert_failed(125, &["a replacement is under way"]);
    fs::write(sandbox.path("gate"), "").unwrap();
    replacing.finish().assert_exited(0).assert_silent();
    assert!(gone(old) && pid_in_pidfile(&sandbox) == new && answer(&sandbox) == Some(new));
    manager.signal(libc::SIGUSR1);
    manager.await_err(&format!("sending SIGUSR1 to pid {new}"));
    sandbox.vsrun(words!["--stop", "pid"]).finish().assert_exited(0);
    manager.finish().assert_exited(0);
    sandbox.await_nothing_left();
}

/// The manager keeps only a few answers, so the refusals displace its answer to the accepted request.
#[test]
fn many_refused_requests_do_not_disturb_the_one_under_way() {
    let sandbox = Sandbox::new();
    let manager = start(&sandbox, words![]);
    write_server(&sandbox, words!["await", sandbox.path("gate")]);
    let replacing = replace(&sandbox, "pid").start();
    let new = await_life(&sandbox.out("life"), 2);
    for _ in 0..20 {
        replace(&sandbox, "manager").finish().assert_failed(125, &["a replacement is under way"]);
    }
    // The caller repeats its request when the answer is gone. The manager must not refuse that as another request.
    let under_way = |manager: &Running| manager.err().iter().filter(|line| line.contains("under way")).count();
    assert_eq!(under_way(&manager), 20);
    fs::write(sandbox.path("gate"), "").unwrap();
    replacing.finish().assert_exited(0).assert_silent();
    assert_eq!((pid_in_pidfile(&sandbox), lives(&sandbox.out("life")).len(), under_way(&manager)), (new, 2, 20));
    manager.stop().assert_exited(0);
}

#[test]
fn a_signal_replaces_where_an_option_says_so() {
    let sandbox = Sandbox::new();
    let manager = start(&sandbox, words!["--on-signal", "HUP=replace"]);
    let old = pid_in_pidfile(&sandbox);
    manager.signal(libc::SIGHUP);
    manager.await_err("the server has been replaced");
    assert!(gone(old) && answer(&sandbox) == Some(pid_in_pidfile(&sandbox)));
    manager.stop().assert_exited(0);
    for ready in [words![], words!["--ready", "exec"]] {
        let line = words!["-m", "-", "-", "--on-signal", "HUP=replace"];
        let refused = sandbox.vsrun([line, ready, words!["--", "true"]].concat()).finish();
        refused.assert_failed(
            2,
            &["--on-signal with replace needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM"],
        );
    }
}

#[test]
fn only_a_manager_whose_server_has_a_readiness_can_replace() {
    let sandbox = Sandbox::new();
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
    let manager = sandbox.vsrun([words!["-p", "pid", "-m", "-", "-"], server.clone()].concat()).start();
    await_life(&sandbox.out("life"), 1);
    replace(&sandbox, "pid")
        .finish()
        .assert_failed(125, &["needs --ready fd:N, notify, alive:DURATION or probe:exec:/PROGRAM"]);
    manager.stop().assert_exited(0);
    replace(&sandbox, "pid").finish().assert_failed(3, &["not running"]);
    sandbox.vsrun([words!["-b", "-p", "alone"], server].concat()).finish().assert_exited(0);
    replace(&sandbox, "alone").finish().assert_failed(125, &["it has no manager"]);
    sandbox.vsrun(words!["--stop", "alone"]).finish().assert_exited(0);
}

#[test]
fn a_stop_ends_both_and_a_restart_ends_both_and_starts_one() {
    for (signal, why) in [(libc::SIGTERM, "a stop was requested"), (libc::SIGHUP, "a restart was requested")] {
        let sandbox = Sandbox::new();
        let manager = start(&sandbox, words![]);
        let old = pid_in_pidfile(&sandbox);
        write_server(&sandbox, words!["until", "2", "await", sandbox.path("never")]);
        let replacing = replace(&sandbox, "pid").start();
        let candidate = await_life(&sandbox.out("life"), 2);
        manager.signal(signal);
        await_gone(candidate);
        await_gone(old);
        if signal == libc::SIGHUP {
            let third = await_life(&sandbox.out("life"), 3);
            await_true("the third server", || answer(&sandbox) == Some(third));
            replacing.finish().assert_failed(125, &[why]);
            manager.stop().assert_exited(0);
        } else {
            // The manager may exit before the caller has read its answer, so the reason is not checked.
            let ended = replacing.finish();
            ended.assert_exited(125);
            manager.finish().assert_exited(0);
        }
        sandbox.await_nothing_left();
        assert!(!sandbox.path("pid").exists() && !sandbox.path("manager").exists());
    }
}

/// However the old server ends, the candidate takes its place, and no crash handler runs.
#[test]
fn a_candidate_takes_the_place_of_a_server_that_crashes() {
    let sandbox = Sandbox::new();
    let manager = start(&sandbox, words![]);
    let old = pid_in_pidfile(&sandbox);
    write_server(&sandbox, words!["until", "2", "await", sandbox.path("gate")]);
    let replacing = replace(&sandbox, "pid").start();
    let candidate = await_life(&sandbox.out("life"), 2);
    sys::kill(old, libc::SIGKILL);
    await_true("the new name", || pid_in_pidfile(&sandbox) == candidate);
    fs::write(sandbox.path("gate"), "").unwrap();
    replacing.finish().assert_exited(0);
    assert_eq!(answer(&sandbox), Some(candidate));
    // The next candidate fails after it has taken the place of the killed server. No server is left: an unexpected
    // exit, so the manager restarts it.
    write_server(&sandbox, words!["at", "3", "await", sandbox.path("other"), "at", "3", "exit", "0"]);
    let replacing = replace(&sandbox, "pid").start();
    let third = await_life(&sandbox.out("life"), 3);
    sys::kill(candidate, libc::SIGKILL);
    await_true("the third name", || pid_in_pidfile(&sandbox) == third);
    fs::write(sandbox.path("other"), "").unwrap();
    replacing.finish().assert_failed(125, &["exited with status 0"]);
    let fourth = await_life(&sandbox.out("life"), 4);
    await_true("the restarted server", || answer(&sandbox) == Some(fourth));
    manager.stop().assert_exited(0);
}

#[test]
fn an_old_server_that_ignores_its_stop_signal_is_killed() {
    let sandbox = Sandbox::new();
    write_server(&sandbox, words![]);
    let stubborn = words!["life", sandbox.out("life"), "at", "1", "ignore", "15", "tell", "4", "ready", "wait"];
    sandbox.script("server", stubborn);
    let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "fd:4", "--stop-timeout", "100ms"];
    let manager = sandbox.vsrun([line, words!["--", sandbox.path("server")]].concat()).start();
    manager.await_err("started: pid");
    let old = await_life(&sandbox.out("life"), 1);
    await_true("it is ready and ignores TERM", || process::status(old, "SigIgn").ends_with("4000"));
    // Repeated, because the manager may refuse it until it has read that the server is ready.
    await_true("a replacement", || replace(&sandbox, "pid").finish().code() == Some(0));
    assert!(gone(old));
    manager.await_err(&format!("sending SIGKILL to pid {old}"));
    manager.stop().assert_exited(0);
}

/// The old and the new server have separate notify sockets: a message of the old one does not count for the new one.
#[test]
fn messages_count_for_the_server_that_they_come_from() {
    let sandbox = Sandbox::new();
    let life = words!["life", sandbox.out("life")];
    let first = words!["at", "1", "notify", "READY=1", "at", "1", "await", sandbox.path("again")];
    let again = words!["at", "1", "notify", "READY=1", "at", "1", "append", sandbox.out("sent"), "x"];
    let second = words!["at", "2", "await", sandbox.path("gate"), "at", "2", "notify", "READY=1", "wait"];
    sandbox.script("server", [life, first, again, words!["at", "1", "wait"], second].concat());
    let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "notify"];
    let manager = sandbox.vsrun([line, words!["--", sandbox.path("server")]].concat()).start();
    let old = await_life(&sandbox.out("life"), 1);
    let replacing = replace_when_ready(&sandbox);
    fs::write(sandbox.path("again"), "").unwrap();
    await_lines(&sandbox.out("sent"), 1);
    let new = await_life(&sandbox.out("life"), 2);
    assert_eq!(pid_in_pidfile(&sandbox), old, "the old server's READY=1 is not the candidate's");
    fs::write(sandbox.path("gate"), "").unwrap();
    replacing.finish().assert_exited(0);
    assert!(pid_in_pidfile(&sandbox) == new && gone(old));
    // After a restart, the server has the notify socket of the run before.
    manager.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
}

#[test]
fn a_candidate_takes_the_place_of_a_server_that_its_watchdog_ends() {
    let sandbox = Sandbox::new();
    let first = words!["at", "1", "notify", "READY=1", "at", "1", "await", sandbox.path("silence")];
    let silent = words!["at", "1", "notify", "WATCHDOG=trigger", "at", "1", "wait"];
    let second = words!["at", "2", "await", sandbox.path("gate"), "notify", "READY=1", "wait"];
    sandbox.script("server", [words!["life", sandbox.out("life")], first, silent, second].concat());
    let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "notify", "--watchdog", "1h"];
    let manager = sandbox.vsrun([line, words!["--", sandbox.path("server")]].concat()).start();
    let old = await_life(&sandbox.out("life"), 1);
    let replacing = replace_when_ready(&sandbox);
    let new = await_life(&sandbox.out("life"), 2);
    fs::write(sandbox.path("silence"), "").unwrap();
    await_gone(old);
    await_true("the new name", || pid_in_pidfile(&sandbox) == new);
    fs::write(sandbox.path("gate"), "").unwrap();
    replacing.finish().assert_exited(0);
    let ended = manager.stop();
    ended.assert_exited(0);
    assert!(
        ended.err.iter().any(|line| line.contains("the server has not sent WATCHDOG=1 in time (--watchdog)")),
        "{ended:?}"
    );
}

#[test]
fn a_candidate_that_cannot_be_forked_is_a_rollback() {
    needs!(root());
    let sandbox = Sandbox::of_user(1_900_000 + sys::pid().cast_unsigned() % 100_000);
    let manager = start(&sandbox, words![]);
    let server = pid_in_pidfile(&sandbox);
    for (most, status) in [("0", 125), ("1000", 0)] {
        let limit = words!["processes", manager.pid().to_string(), most];
        sandbox.program(&sandbox.probe(), limit).finish().assert_exited(0);
        replace(&sandbox, "pid").finish().assert_exited(status);
        assert_eq!(pid_in_pidfile(&sandbox) == server, status == 125);
        assert_eq!(answer(&sandbox), Some(pid_in_pidfile(&sandbox)));
    }
    let ended = manager.stop();
    ended.assert_exited(0);
    assert!(ended.err.iter().any(|line| line.contains("the kernel refused to start a process")), "{ended:?}");
}

#[test]
fn a_new_server_has_the_new_environment_files() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("env"), "COLOUR=red\n").unwrap();
    let manager = start(&sandbox, words!["--env-file", "env"]);
    fs::write(sandbox.path("env"), "COLOUR=green\n").unwrap();
    let report = sandbox.out("report");
    write_server(&sandbox, words!["report", &report]);
    replace(&sandbox, "pid").finish().assert_exited(0);
    assert_eq!(sandbox.report(&report).variable("COLOUR").as_deref(), Some("green"));
    manager.stop().assert_exited(0);
}

/// A command of `--before` runs before each candidate. If it fails, the replacement is rolled back.
#[test]
fn a_candidate_is_prepared_by_the_commands_before_it() {
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    let count = || harness::text(&ran).matches('x').count();
    let command = sandbox.script("prepare", words!["append", &ran, "x"]);
    let manager = start(&sandbox, words!["--before", &command]);
    let first = pid_in_pidfile(&sandbox);
    assert_eq!(count(), 1);
    write_server(&sandbox, words![]);
    replace(&sandbox, "pid").finish().assert_exited(0);
    let second = pid_in_pidfile(&sandbox);
    assert!(second != first && gone(first), "{first} and {second}");
    assert_eq!(count(), 2);
    // The command fails: the replacement is rolled back, and the running server is not affected.
    sandbox.script("prepare", words!["append", &ran, "x", "exit", "7"]);
    replace(&sandbox, "pid").finish().assert_failed(125, &["could not be started"]);
    assert_eq!((pid_in_pidfile(&sandbox), answer(&sandbox), count()), (second, Some(second), 3));
    manager.stop().assert_exited(0);
}

#[test]
fn the_pidfile_never_names_a_command_before_a_candidate() {
    let sandbox = Sandbox::new();
    let (ran, gate) = (sandbox.out("ran"), sandbox.path("gate"));
    sandbox.script("prepare", words!["append", &ran, "x"]);
    let manager = start(&sandbox, words!["--before", sandbox.path("prepare")]);
    let old = pid_in_pidfile(&sandbox);
    write_server(&sandbox, words![]);
    sandbox.script("prepare", words!["append", &ran, "x", "await", &gate]);
    let replacing = replace(&sandbox, "pid").start();
    await_true("the command", || harness::text(&ran).matches('x').count() == 2);
    // The server crashes while the command runs. The candidate takes its place, and serves when the command has ended.
    sys::kill(old, libc::SIGKILL);
    await_gone(old);
    await_true("no name", || harness::text(&sandbox.path("pid")).is_empty());
    sandbox.vsrun(words!["--signal", "USR1", "pid"]).finish().assert_failed(3, &["contains no pid"]);
    fs::write(&gate, "").unwrap();
    replacing.finish().assert_exited(0);
    let new = await_life(&sandbox.out("life"), 2);
    assert_eq!((pid_in_pidfile(&sandbox), answer(&sandbox)), (new, Some(new)));
    manager.stop().assert_exited(0);
}

#[test]
fn a_stop_ends_a_command_before_a_candidate_by_term() {
    let sandbox = Sandbox::new();
    let (ran, life) = (sandbox.out("ran"), sandbox.out("life"));
    let command = sandbox.script("prepare", words!["append", &ran, "x"]);
    let line =
        words!["-p", "pid", "-m", "manager", "-", "--ready", "fd:4", "--stop-signal", "INT", "--before", command];
    let server = words!["--", sandbox.probe(), "life", &life, "tell", "4", "ready", "wait"];
    let manager = sandbox.vsrun([line, server].concat()).start();
    await_life(&life, 1);
    await_ready(&sandbox);
    // `--stop-signal INT` applies only to the server. The command ignores SIGINT, and is ended by SIGTERM.
    sandbox.script("prepare", words!["ignore", "2", "append", &ran, "x", "wait"]);
    let replacing = replace(&sandbox, "pid").start();
    await_true("the command", || harness::text(&ran).matches('x').count() == 2);
    let ended = manager.stop();
    // The error is that a stop was requested or, if the caller reads the answer too late, that the manager has exited.
    replacing.finish().assert_failed(125, &["cannot replace the server of pid"]);
    let said = ended.assert_exited(0).err.concat();
    assert!(said.contains("sending SIGINT") && said.contains("sending SIGTERM"), "{said}");
    assert!(!said.contains("SIGKILL"), "{said}");
    sandbox.await_nothing_left();
}

#[test]
fn what_is_left_of_the_old_server_ends_and_the_new_tree_stays() {
    // The servers' children ignore SIGTERM.
    for options in [words!["--linger", "1"], words!["--group", "--stop-timeout", "1"]] {
        let grouped = options[0] == "--group";
        let sandbox = Sandbox::new();
        let child = |life: &str| words!["at", life, "child", sandbox.out(&format!("child-{life}"))];
        sandbox.script(
            "server",
            [words!["life", sandbox.out("life")], child("1"), child("2"), words!["tell", "4", "ready", "drain", "3"]]
                .concat(),
        );
        let line = words!["-p", "pid", "-m", "manager", "-", "--ready", "fd:4", "--listen", sandbox.path("socket")];
        let manager = sandbox.vsrun([line, options, words!["--", sandbox.path("server")]].concat()).start();
        await_true("the first server's answer", || answer(&sandbox).is_some());
        await_ready(&sandbox);
        let pid = |life: &str| await_lines(&sandbox.out(&format!("child-{life}")), 1)[0].parse::<i32>().unwrap();
        let (old, old_child) = (pid_in_pidfile(&sandbox), pid("1"));
        replace(&sandbox, "pid").finish().assert_exited(0);
        assert!(gone(old) && gone(old_child), "the old tree, grouped: {grouped}");
        let new = pid_in_pidfile(&sandbox);
        assert!(!gone(new) && !gone(pid("2")), "the new tree, grouped: {grouped}");
        assert_eq!(answer(&sandbox), Some(new));
        manager.stop().assert_exited(0);
        assert!(gone(pid("2")));
        sandbox.await_nothing_left();
    }
}

/// The server's user cannot request a replacement: neither with --replace, because only the owner can read the pidfile
/// with the answer, nor by sending the manager a SIGCHLD (17), as --replace does.
#[test]
fn the_servers_user_can_not_request_a_replacement() {
    needs!(root());
    let sandbox = Sandbox::new();
    write_server(&sandbox, words!["poke", "17"]);
    let line = words!["-p", "pid", "-m", "manager", "-", "-u", PLAIN.to_string(), "--ready", "fd:4"];
    let listen = words!["--listen", sandbox.path("socket"), "--", sandbox.path("server")];
    let manager = sandbox.vsrun([line, listen].concat()).start();
    await_true("the first server's answer", || answer(&sandbox).is_some());
    await_ready(&sandbox);
    let server = pid_in_pidfile(&sandbox);
    let pidfile = sandbox.path("pid");
    let plain = |words| sandbox.vsrun(words).before(|| sys::become_plain(PLAIN));
    plain(words!["--replace", &pidfile]).finish().assert_failed(4, &["only its owner and root can read it"]);
    // The answer is in the locks of the pidfile, and only a process that can open the file can read or change them.
    let opens = words!["-c", "(: <\"$0\") 2>/dev/null && exit 1; (: >>\"$0\") 2>/dev/null && exit 2; exit 3", &pidfile];
    sandbox.program("/bin/sh".as_ref(), opens).before(|| sys::become_plain(PLAIN)).finish().assert_exited(3);
    assert_eq!((pid_in_pidfile(&sandbox), lives(&sandbox.out("life")).len()), (server, 1));
    replace(&sandbox, "pid").finish().assert_exited(0);
    manager.stop().assert_exited(0);
}
