//! Processes that a server leaves when it exits: they are ended before the next run and reported at vsrun's exit, and
//! they cannot keep vsrun from its work.

use crate::harness::{self, Sandbox, await_gone, await_life, gone, needs, process, sys, words};
use std::ffi::OsString;
use std::time::{Duration, Instant};

fn can_run_these_tests() -> bool {
    harness::root() && harness::tool("setsid") && harness::tool("busybox")
}

/// Returns the words `-- COMMAND` for a server that runs this shell script. In the script, `$P` is the probe and `$O`
/// the directory to write to.
fn shell(sandbox: &Sandbox, script: &str) -> Vec<OsString> {
    let set = format!("export P={} O={}; ", sandbox.probe().display(), sandbox.path("out").display());
    words!["--", "busybox", "sh", "-c", set + script]
}

/// A server whose first run leaves two daemons, each in a session of its own, and exits with 7. WHAT is replaced by the
/// action of one daemon.
const LEAVES_ONE: &str = "$P life $O/run & wait; if [ ! -s $O/daemon ]; then setsid $P signals $O/seen 15 & \
    setsid $P WHAT $O/daemon wait & while [ ! -s $O/daemon ] || [ ! -s $O/seen ]; do :; done; exit 7; fi; \
    exec $P life $O/second wait";

#[test]
fn all_descendants_end_before_the_next_run() {
    needs!(can_run_these_tests());
    for helper in [words![], words!["-d", "logs", "1", "--log-size", "1M"]] {
        for (what, linger, killed) in [("life", "20s", false), ("child", "100ms", true)] {
            let sandbox = Sandbox::new();
            let handler = sandbox.script("handler", words!["append", sandbox.out("asked"), "x", "exit", "0"]);
            let options = words!["-m", "-", handler, "--linger", linger, "--stop-signal", "INT"];
            let line = [options, helper.clone(), shell(&sandbox, &LEAVES_ONE.replace("WHAT", what))].concat();
            let manager = sandbox.vsrun(line).start();
            await_life(&sandbox.out("second"), 1);
            let daemon: i32 = harness::lines(&sandbox.out("daemon"))[0].split(' ').next().unwrap().parse().unwrap();
            assert!(gone(daemon), "the next run begins after it");
            assert_eq!(harness::lines(&sandbox.out("seen")), ["ready", "15"], "TERM, whatever the stop signal is");
            assert_eq!(harness::lines(&sandbox.out("asked")).len(), 1);
            let records =
                if helper.is_empty() { manager.err() } else { harness::lines(&sandbox.path("logs/vsrun.log")) };
            let kills = records.iter().any(|line| line.contains("sending SIGKILL to every process that is left"));
            assert_eq!(kills, killed, "{records:?}");
            manager.signal(libc::SIGINT);
            manager.finish().assert_exited(0);
            sandbox.await_nothing_left();
        }
    }
}

/// vsrun is PID 1 here. A process that nsenter(1) has put into the namespace is not signalled between runs.
#[test]
fn a_process_that_entered_the_namespace_survives_restarts() {
    needs!(can_run_these_tests() && harness::tool("unshare") && harness::tool("nsenter"));
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let unshare = words!["--pid", "--fork", "--kill-child", "--mount-proc", "--", sandbox.path("vsrun")];
    let line = words!["--restart", "always", "--linger", "20s", "--", sandbox.probe(), "life", &life, "wait"];
    let called = sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat()).start();
    await_life(&life, 1);
    let pid = harness::await_some("PID 1", || process::children(called.pid()).first().copied());
    let (visits, seen) = (sandbox.out("visits"), sandbox.out("seen"));
    let enter =
        words!["--target", pid.to_string(), "--pid", "--", sandbox.probe(), "life", &visits, "signals", &seen, "15"];
    let visitor = sandbox.program(&harness::find_tool("nsenter").unwrap(), enter).start();
    harness::await_lines(&seen, 1);
    for run in 2..4 {
        let server = harness::await_some("the server", || process::children(pid).first().copied());
        sys::kill(server, libc::SIGKILL);
        await_life(&life, run);
    }
    assert_eq!(harness::lines(&seen), ["ready"], "nothing was sent to the visitor");
    sys::kill(pid, libc::SIGTERM);
    called.finish().assert_exited(0);
    visitor.finish().assert_exited(0);
    assert_eq!(harness::lines(&seen), ["ready", "15"], "at the exit it is asked too");
}

#[test]
fn what_is_left_at_the_exit_is_reported() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let one = "setsid $P life $O/1 wait & while [ ! -s $O/1 ]; do :; done; exit 3";
    let many = "for f in 1 2 3 4; do setsid $P life $O/$f wait & done; for f in 1 2 3 4; do \
        while [ ! -s $O/$f ]; do :; done; done; exit 3";
    for (script, words) in
        [(one, "1 process of the server is left: pid "), (many, "4 processes of the server are left: ")]
    {
        let ended = sandbox.vsrun([words!["--init"], shell(&sandbox, script)].concat()).finish();
        ended.assert_exited(3);
        let found = ended.err.iter().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{ended:?}"));
        assert!(found.matches("(probe)").count() == if script == one { 1 } else { 3 }, "{found}");
        assert_eq!(found.ends_with(", ..."), script == many, "{found}");
        sandbox.living().into_iter().for_each(|pid| sys::kill(pid, libc::SIGKILL));
        (1..5).for_each(|file| drop(std::fs::remove_file(sandbox.out(&file.to_string()))));
    }
}

#[test]
fn a_server_that_puts_itself_into_the_background_is_named() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let script = "setsid $P life $O/1 wait & while [ ! -s $O/1 ]; do :; done";
    let ready = words!["-b", "-p", "pidfile", "--ready", "notify"];
    for (options, status) in [(words!["--init"], 0), (words!["-m", "-", "-"], 0), (ready, 125)] {
        let ended = sandbox.vsrun([options, shell(&sandbox, script)].concat()).finish();
        ended.assert_exited(status);
        // A vsrun that only waits until the server is ready reports this in its one line of error.
        let name = if status == 0 { "(probe) running: " } else { "before it was ready: " };
        let words = format!("{name}it has most likely put itself into the background");
        assert!(ended.err.iter().any(|line| line.contains(&words)), "{ended:?}");
        sandbox.living().into_iter().for_each(|pid| sys::kill(pid, libc::SIGKILL));
        let _ = std::fs::remove_file(sandbox.out("1"));
    }
    // A server that fails, or that leaves no process, is not reported as in the background.
    for script in [script.to_owned() + "; exit 1", "exit 0".to_owned()] {
        let ended = sandbox.vsrun([words!["--init"], shell(&sandbox, &script)].concat()).finish();
        assert!(!ended.err.iter().any(|line| line.contains("background")), "{ended:?}");
    }
}

/// Orphans that are forked in a loop delay neither signals nor deadlines.
#[test]
fn endless_orphans_delay_neither_signals_nor_deadlines() {
    needs!(can_run_these_tests());
    for options in [words!["--group"], words!["--linger", "300ms"], words!["--group", "--linger", "300ms"]] {
        let sandbox = Sandbox::new();
        let script =
            "(trap '' TERM; echo x >$O/loop; while :; do (: &) done) & while [ ! -s $O/loop ]; do :; done; exit 7";
        let options = [words!["--restart", "always", "--stop-timeout", "300ms"], options].concat();
        let manager = sandbox.vsrun([options, shell(&sandbox, script)].concat()).start();
        manager.await_err("restarting the server (restart 1)");
        let since = Instant::now();
        manager.signal(libc::SIGTERM);
        manager.finish();
        assert!(since.elapsed() < Duration::from_secs(40), "the stop took {:?}", since.elapsed());
    }
}

/// The kernel delivers the pending signal with the lowest number first. Here SIGCHLD is always pending: strace delays
/// each ppoll(2) by 20 ms, and orphans exit more often than that.
#[test]
fn a_loop_of_orphans_hides_no_signal_with_a_higher_number() {
    needs!(can_run_these_tests(), harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let script = "echo x >$O/loop; while :; do (: &) done";
    let slow = words!["-qq", "-o", sandbox.path("trace"), "-e", "trace=ppoll", "-e", "inject=ppoll:delay_enter=20000"];
    let options = words!["-m", "monitor", "-", "--on-signal", "PWR=stop", "--stop-signal", "KILL", "--linger", "1s"];
    let line = [slow, words![sandbox.path("vsrun")], options, shell(&sandbox, script)].concat();
    let running = sandbox.program(&harness::find_tool("strace").unwrap(), line).start();
    harness::await_lines(&sandbox.out("loop"), 1);
    let manager = harness::text(&sandbox.path("monitor")).trim().parse().unwrap();
    sys::kill(manager, libc::SIGPWR);
    running.finish().assert_exited(0);
}

/// A chain of processes, each the child of the previous one, is ended in a time that grows linearly with its length.
#[test]
fn a_long_chain_is_ended_in_linear_time() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let busybox = harness::find_tool("busybox").unwrap();
    // Each process of the chain executes a new shell, because a fork of a fork of a fork becomes slower with each
    // level.
    let chain = sandbox.executable(
        "chain",
        format!(
            "#!{} sh\nif [ $1 -gt 0 ]; then $0 $(($1 - 1)) & wait; else $P life $O/end wait; fi\n",
            busybox.display()
        )
        .as_bytes(),
    );
    let script = format!("{} 800 & while [ ! -s $O/end ]; do busybox sleep 0.05; done; exit 7", chain.display());
    let options = words!["--init", "--linger", "1min", "-d", "logs", "1", "--log-size", "1M"];
    let called = sandbox.vsrun([options, shell(&sandbox, &script)].concat()).start();
    let end = await_life(&sandbox.out("end"), 1);
    let since = Instant::now();
    called.finish().assert_exited(7);
    await_gone(end);
    assert!(since.elapsed() < Duration::from_secs(40), "it took {:?}", since.elapsed());
}
