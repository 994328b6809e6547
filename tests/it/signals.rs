//! What a signal to vsrun does with `--on-signal`.

use crate::harness::{self, Running, Sandbox, await_life, await_lines, await_true, lives, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// Starts a managed server that records each signal it gets in `signals`, until it gets SIGQUIT.
fn manage(sandbox: &Sandbox, options: Vec<OsString>) -> Running {
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "signals", sandbox.out("signals"), "3"];
    let manager = sandbox.vsrun([words!["-m", "keeper", "-"], options, server].concat()).start();
    await_lines(&sandbox.out("signals"), 1);
    manager
}

#[test]
fn each_signal_action_has_its_effect() {
    let sandbox = Sandbox::new();
    let options =
        ["USR1=forward:USR2", "HUP=forward", "WINCH=ignore", "RTMIN+1=restart", "INT=forward", "TERM=forward"];
    let options = options.into_iter().flat_map(|option| words!["--on-signal", option]).collect();
    let manager = manage(&sandbox, [options, words!["--on-signal", "ALRM=stop", "--stop-signal", "QUIT"]].concat());
    for (sent, seen) in [(10, "12"), (1, "1"), (2, "2"), (15, "15")] {
        let before = harness::lines(&sandbox.out("signals")).len();
        manager.signal(sent);
        assert_eq!(await_lines(&sandbox.out("signals"), before + 1)[before], seen);
    }
    // The server does not get an ignored signal; the next signal still arrives.
    manager.signal(libc::SIGWINCH);
    manager.signal(libc::SIGUSR1);
    let seen = await_lines(&sandbox.out("signals"), 6);
    assert_eq!(seen[5], "12", "{seen:?}");
    manager.signal(35);
    await_life(&sandbox.out("life"), 2);
    await_true("that the second life listens", || {
        harness::lines(&sandbox.out("signals")).iter().filter(|l| *l == "ready").count() == 2
    });
    manager.signal(libc::SIGALRM);
    manager.finish().assert_exited(0);
    assert_eq!(lives(&sandbox.out("life")).len(), 2);
    sandbox.await_nothing_left();
}

#[test]
fn exit_by_a_forwarded_stop_signal_is_never_restarted() {
    for restart in ["always", "on-failure", "on-abort"] {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let options = words!["-m", "keeper", "-", "--on-signal", "TERM=forward:QUIT", "--restart", restart];
        let manager = sandbox.vsrun([options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat()).start();
        await_life(&life, 1);
        sandbox.vsrun(words!["--stop", "keeper"]).finish().assert_exited(0);
        manager.finish().assert_exited(128 + libc::SIGQUIT);
        assert_eq!(lives(&life).len(), 1, "{restart}");
    }
}

#[test]
fn records_go_on_in_a_new_file_after_a_renaming() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["-d", "logs", "1", "--on-signal", "USR1=reopen"]);
    let log = sandbox.path("logs/vsrun.log");
    fs::rename(&log, sandbox.path("logs/rotated")).unwrap();
    manager.signal(libc::SIGUSR1);
    await_true("the new file", || harness::text(&log).contains("reopened"));
    manager.signal(libc::SIGWINCH);
    await_true("records in it", || harness::text(&log).contains("SIGWINCH"));
    assert!(!harness::text(&sandbox.path("logs/rotated")).contains("SIGWINCH"));
    // If the log file has not been renamed, vsrun appends to it.
    manager.signal(libc::SIGUSR1);
    await_true("the second opening", || harness::text(&log).matches("reopened").count() == 2);
}

/// logrotate without `create`: vsrun itself makes the new file, with the owner and mode of the first one.
#[test]
fn the_new_file_is_made_like_the_first() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let options = words!["-u", "12345", "-d", "logs", "1", "--on-signal", "USR1=reopen"];
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
    let line = [words!["-m", "-", "-"], options, server].concat();
    let manager = sandbox.vsrun(line).before(|| sys::umask(0o777)).start();
    await_true("the server", || {
        sandbox.path("logs/vsrun.log").exists() && harness::lines(&sandbox.path("logs/vsrun.log")).len() > 1
    });
    let log = sandbox.path("logs/vsrun.log");
    let kind = || fs::metadata(&log).map(|found| (found.mode(), found.uid(), found.gid()));
    let first = kind().unwrap();
    for _ in 0..2 {
        fs::remove_file(&log).unwrap();
        manager.signal(libc::SIGUSR1);
        await_true("the new file", || harness::text(&log).contains("reopened"));
        assert_eq!(kind().unwrap(), first);
    }
    assert_eq!(harness::names(&sandbox.path("logs")), ["logfile", "vsrun.log"]);
    manager.stop().assert_exited(0);
    assert!(harness::text(&log).contains("shutdown"));
}

/// What the owner of the directory may have planted in place of vsrun.log: vsrun neither writes to it nor blocks on it.
#[test]
fn file_planted_at_the_log_path_is_not_opened() {
    let link: fn(&Path, &Path) = |victim, log| symlink(victim, log).unwrap();
    let hard: fn(&Path, &Path) = |victim, log| fs::hard_link(victim, log).unwrap();
    let nowhere: fn(&Path, &Path) = |victim, log| symlink(victim.with_extension("new"), log).unwrap();
    let fifo: fn(&Path, &Path) = |_, log| sys::make_fifo(log.as_os_str()).unwrap();
    let directory: fn(&Path, &Path) = |_, log| fs::create_dir(log).unwrap();
    for plant in [link, hard, nowhere, fifo, directory] {
        let sandbox = Sandbox::new();
        let manager = manage(&sandbox, words!["-d", "logs", "1", "--on-signal", "USR1=reopen"]);
        let (log, moved, victim) = (sandbox.path("logs/vsrun.log"), sandbox.path("logs/moved"), sandbox.path("victim"));
        fs::write(&victim, "precious\n").unwrap();
        fs::rename(&log, &moved).unwrap();
        plant(&victim, &log);
        manager.signal(libc::SIGUSR1);
        await_true("the complaint in the old file", || harness::text(&moved).contains("cannot reopen the log files"));
        manager.signal(libc::SIGWINCH);
        await_true("the old file to go on", || harness::text(&moved).contains("SIGWINCH"));
        assert_eq!(harness::text(&victim), "precious\n");
        assert!(!victim.with_extension("new").exists());
    }
}

#[test]
fn without_files_there_is_nothing_to_reopen() {
    let sandbox = Sandbox::new();
    let logger = format!("{} collect /dev/null", sandbox.probe().display());
    for output in [words![], words!["-s", "tag", "--logger", logger]] {
        let manager = manage(&sandbox, [output, words!["--on-signal", "USR1=reopen"]].concat());
        manager.signal(libc::SIGUSR1);
        manager.signal(libc::SIGQUIT);
        manager.finish().assert_exited(0);
        assert_eq!(harness::lines(&sandbox.out("signals")), ["ready", "3"]);
        fs::remove_file(sandbox.out("signals")).unwrap();
    }
}

/// Every signal that can be caught, whatever its default action is.
#[test]
fn each_catchable_signal_can_have_another_action() {
    for action in ["forward:USR2", "ignore"] {
        let sandbox = Sandbox::new();
        let all = (1..=64).filter(|signal| ![9, 17, 19].contains(signal));
        let options = all.clone().flat_map(|signal| words!["--on-signal", format!("{signal}={action}")]);
        let manager = manage(&sandbox, options.chain(words!["--restart", "no"]).collect());
        for (signal, count) in all.zip(2..) {
            manager.signal(signal);
            if action == "ignore" {
                await_true("the manager to have read it", || process::pending(manager.pid()) == 0);
            } else {
                assert_eq!(await_lines(&sandbox.out("signals"), count)[count - 1], "12", "{signal}");
            }
        }
        sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGKILL);
        manager.finish().assert_exited(137);
        assert_eq!(harness::lines(&sandbox.out("signals")).len(), if action == "ignore" { 1 } else { 62 });
        assert_eq!(lives(&sandbox.out("life")).len(), 1);
    }
}

/// SIGINT during a stop kills the server if its action is `stop`, the default. With any other action it does not.
#[test]
fn an_interrupt_that_means_something_else_kills_no_process() {
    for (action, kills) in [("INT=stop", true), ("INT=forward", false), ("INT=restart", false), ("INT=ignore", false)] {
        let sandbox = Sandbox::new();
        let manager =
            manage(&sandbox, words!["--stop-timeout", "0", "--on-signal", action, "--on-signal", "USR1=stop"]);
        manager.signal(libc::SIGUSR1);
        assert_eq!(await_lines(&sandbox.out("signals"), 3), ["ready", "15", "18"], "a stop is a stop by any name");
        manager.signal(libc::SIGINT);
        if !kills {
            manager.await_err(if action == "INT=forward" { "sending SIGINT" } else { "received SIGINT" });
            manager.signal(libc::SIGQUIT);
        }
        manager.finish().assert_exited(0);
        let seen = harness::lines(&sandbox.out("signals"));
        assert_eq!(seen.contains(&"3".to_owned()), !kills, "{action}: it had its own time: {seen:?}");
        assert_eq!(lives(&sandbox.out("life")).len(), 1);
    }
}

/// The manager forwarded the signal that killed the server, so the exit was requested, and no restart follows.
#[test]
fn a_death_by_a_forwarded_signal_was_asked_for() {
    for (signal, status) in [("KILL", 137), ("HUP", 129), ("INT", 130), ("QUIT", 131), ("TERM", 143)] {
        let sandbox = Sandbox::new();
        let options = words!["-m", "-", "-", "--on-signal", format!("USR1=forward:{signal}")];
        let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
        let manager = sandbox.vsrun([options, server].concat()).start();
        await_life(&sandbox.out("life"), 1);
        manager.signal(libc::SIGUSR1);
        manager.finish().assert_exited(status);
        assert_eq!(lives(&sandbox.out("life")).len(), 1);
    }
}

/// A server that is killed by a forwarded SIGUSR2 did not handle it. That signal does not ask for an exit, so this is a
/// crash, with a handler and a restart.
#[test]
fn a_death_by_a_forwarded_signal_that_asks_for_no_end_is_unexpected() {
    for signal in ["USR2", "SEGV", "64"] {
        let sandbox = Sandbox::new();
        let handler = sandbox.script("handler", words!["append", sandbox.out("asked"), "x", "exit", "0"]);
        let options = words!["-m", "-", handler, "--on-signal", format!("USR1=forward:{signal}")];
        let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
        let manager = sandbox.vsrun([options, server].concat()).start();
        await_life(&sandbox.out("life"), 1);
        manager.signal(libc::SIGUSR1);
        await_life(&sandbox.out("life"), 2);
        assert_eq!(harness::lines(&sandbox.out("asked")).len(), 1, "{signal}");
        manager.stop().assert_exited(0);
    }
}

#[test]
fn a_server_can_be_stopped_and_continued() {
    let sandbox = Sandbox::new();
    let options = words!["-m", "-", "-", "--on-signal", "TSTP=forward:STOP", "--on-signal", "USR1=forward:CONT"];
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
    let manager = sandbox.vsrun([options, server].concat()).start();
    let pid = await_life(&sandbox.out("life"), 1);
    manager.signal(libc::SIGTSTP);
    await_true("that the server sleeps", || process::state(pid) == "T");
    manager.signal(libc::SIGUSR1);
    await_true("that it goes on", || process::state(pid) == "S");
    manager.stop().assert_exited(0);
}

/// The pause before the next run is an hour here, and signals must not wait for its end.
#[test]
fn stop_and_restart_have_other_names_during_a_pause_too() {
    let sandbox = Sandbox::new();
    let options = words!["--restart-delay", "1h", "--on-signal", "USR1=restart", "--on-signal", "USR2=stop"];
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "exit", "1"];
    let manager = sandbox.vsrun([words!["-m", "-", "-", "-d", "logs", "1"], options, server].concat()).start();
    let pause = |life| await_true("a pause", || process::reaped(await_life(&sandbox.out("life"), life)));
    pause(2);
    manager.signal(libc::SIGUSR1);
    pause(3);
    assert!(sandbox.path("logs/vsrun.log.1").exists(), "rotated as by HUP");
    manager.signal(libc::SIGUSR2);
    manager.finish().assert_exited(0);
    assert_eq!(lives(&sandbox.out("life")).len(), 3);
}

#[test]
fn a_server_that_ignores_term_cannot_be_stopped_by_it() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["--on-signal", "TERM=ignore"]);
    sandbox.vsrun(words!["--stop", "keeper", "--stop-timeout", "50ms"]).finish().assert_failed(125, &["keeper"]);
    assert!(manager.is_running() && process::children(manager.pid()).len() == 1);
    manager.signal(libc::SIGINT);
    await_lines(&sandbox.out("signals"), 3);
    manager.signal(libc::SIGINT);
    manager.finish().assert_exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn malformed_actions_touch_nothing() {
    let sandbox = Sandbox::new();
    let untrappable = ["KILL=stop", "sigkill=ignore", "9=forward", "STOP=ignore", "19=stop", "CHLD=ignore", "17=stop"];
    let malformed = [
        "",
        "=",
        "=stop",
        "USR1",
        "USR1=",
        "USR1=off",
        "USR1=Halt",
        "USR1=Stop",
        "USR1=stop ",
        "USR1 =stop",
        "USR1:stop",
    ];
    let numbers =
        ["0=stop", "65=stop", "-1=stop", "RTMIN+31=stop", "USR1=forward:X", "USR1=forward:", "USR1=forward:0"];
    for action in [&untrappable[..], &malformed, &numbers].concat() {
        let line = words!["-m", "keeper", "-", "--on-signal", action, "--", "true"];
        sandbox.vsrun(line).finish().assert_failed(2, &["--on-signal", action]);
    }
    for (first, second, name) in [
        ("USR1=stop", "10=ignore", "SIGUSR1"),
        ("USR1=stop", "sigusr1=stop", "SIGUSR1"),
        ("35=ignore", "RTMIN+1=ignore", "SIGRTMIN+1"),
        ("IO=ignore", "POLL=ignore", "SIGIO"),
    ] {
        let twice = words!["-m", "keeper", "-", "--on-signal", first, "--on-signal", second, "--", "true"];
        sandbox.vsrun(twice).finish().assert_failed(2, &["--on-signal", name, "twice"]);
    }
    for nobody_stays in [words![], words!["-b"]] {
        let line = [nobody_stays, words!["--on-signal", "USR1=stop", "--", "true"]].concat();
        sandbox.vsrun(line).finish().assert_failed(2, &["--on-signal"]);
    }
    assert!(!sandbox.path("keeper").exists());
}
