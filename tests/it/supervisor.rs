//! The manager: after which exits it restarts the server, how long it waits before that, and what each signal does in
//! each state.

use crate::harness::{self, Running, Sandbox, await_gone, await_life, await_lines, lives, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Starts a manager whose server appends a line to `life` in each life and then does these actions.
#[track_caller]
fn manage(sandbox: &Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> Running {
    let command = words!["--", sandbox.probe(), "life", sandbox.out("life")];
    sandbox.vsrun([options, command, actions].concat()).start()
}

/// Makes a handler that appends a line to `handled` and exits with this status.
fn handler(sandbox: &Sandbox, status: &str) -> OsString {
    sandbox.script("handler", words!["life", sandbox.out("handled"), "exit", status]).into()
}

fn count_lives_and_handler_runs(sandbox: &Sandbox) -> (usize, usize) {
    (lives(&sandbox.out("life")).len(), lives(&sandbox.out("handled")).len())
}

#[test]
fn a_server_that_exits_with_0_is_not_restarted() {
    let sandbox = Sandbox::new();
    manage(&sandbox, words!["-m", "-", handler(&sandbox, "0")], words!["exit", "0"]).finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
    sandbox.await_nothing_left();
}

#[test]
fn each_restart_policy_restarts_after_its_kinds_of_exit() {
    // Policy, action of the server's first life, exit status of vsrun, number of lives, number of handler runs.
    let table = [
        ("", words!["exit", "1"], 0, 2, 1),
        ("", words!["raise", "9"], 0, 2, 1),
        ("on-failure", words!["exit", "255"], 0, 2, 1),
        ("on-failure", words!["raise", "15"], 0, 2, 1),
        ("on-failure", words!["exit", "0"], 0, 1, 0),
        ("on-abort", words!["exit", "1"], 1, 1, 0),
        ("on-abort", words!["raise", "9"], 0, 2, 1),
        ("on-abort", words!["exit", "0"], 0, 1, 0),
        ("always", words!["exit", "0"], 0, 2, 2),
        ("always", words!["exit", "1"], 0, 2, 2),
        ("always", words!["raise", "10"], 0, 2, 2),
        ("no", words!["exit", "1"], 1, 1, 0),
        ("no", words!["raise", "9"], 137, 1, 0),
        ("no", words!["exit", "0"], 0, 1, 0),
    ];
    for (policy, first, status, server_lives, handled) in table {
        let sandbox = Sandbox::new();
        // With `always`, only the handler can end the restarts: its second run refuses.
        let agree_once = words!["life", sandbox.out("handled"), "at", "2", "exit", "1"];
        let agree = words!["life", sandbox.out("handled")];
        let handler = sandbox.script("handler", if policy == "always" { agree_once } else { agree });
        let options = if policy.is_empty() { words![] } else { words!["--restart", policy] };
        let actions = [words!["at", "1"], first.clone(), words!["exit", "0"]].concat();
        manage(&sandbox, [words!["-m", "-", handler], options].concat(), actions).finish().assert_exited(status);
        assert_eq!(count_lives_and_handler_runs(&sandbox), (server_lives, handled), "{policy:?} {first:?}");
    }
}

#[test]
fn restart_alone_means_a_manager_without_files() {
    let sandbox = Sandbox::new();
    manage(&sandbox, words!["--restart", "on-failure"], words!["at", "1", "exit", "1"]).finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (2, 0));
}

#[test]
fn success_exit_adds_statuses_and_signals_without_restart() {
    let table = [
        ("3", words!["exit", "3"], 0),
        ("3,SIGUSR1", words!["raise", "10"], 0),
        ("usr1", words!["raise", "10"], 0),
        ("7,kill", words!["raise", "9"], 0),
        ("RTMIN+1", words!["raise", "35"], 0),
        ("255,0", words!["exit", "255"], 0),
    ];
    for (list, end, status) in table {
        let sandbox = Sandbox::new();
        let options = words!["-m", "-", handler(&sandbox, "0"), "--success-exit", list];
        manage(&sandbox, options, end).finish().assert_exited(status);
        assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0), "{list}");
    }
    // An exit status does not stand for the signal of that number, and a signal not for an exit status.
    for (list, end) in [("15", words!["raise", "15"]), ("TERM", words!["exit", "15"]), ("143", words!["raise", "15"])] {
        let sandbox = Sandbox::new();
        let options = words!["-m", "-", handler(&sandbox, "0"), "--success-exit", list];
        manage(&sandbox, options, [words!["at", "1"], end].concat()).finish().assert_exited(0);
        assert_eq!(count_lives_and_handler_runs(&sandbox), (2, 1), "{list}");
    }
}

#[test]
fn a_server_killed_by_another_process_is_restarted() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["-m", "-", handler(&sandbox, "0")], words!["wait"]);
    sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGTERM);
    sys::kill(await_life(&sandbox.out("life"), 2), libc::SIGHUP);
    await_life(&sandbox.out("life"), 3);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (3, 2));
    manager.stop().assert_exited(0);
}

#[test]
fn the_first_restart_is_at_once_and_the_second_waits() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["--restart", "on-failure", "--restart-delay", "1h"], words!["exit", "1"]);
    let second = await_life(&sandbox.out("life"), 2);
    harness::await_true("the second server's end", || process::reaped(second));
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 2, "the third would have come an hour later");
}

#[test]
fn the_delay_between_restarts_doubles() {
    let sandbox = Sandbox::new();
    let options = words!["--restart", "on-failure", "--restart-delay", "50ms:1h"];
    manage(&sandbox, options, words!["until", "5", "exit", "1"]).finish().assert_exited(0);
    let begins: Vec<i64> = lives(&sandbox.out("life")).iter().map(|(_, since)| *since).collect();
    assert_eq!(begins.len(), 6);
    for (index, least) in [0, 50, 100, 200, 400].into_iter().enumerate() {
        let between = begins[index + 1] - begins[index];
        assert!(between >= least, "pause {index} took {between} ms, which is less than {least}");
    }
}

#[test]
fn a_delay_of_zero_is_none() {
    let sandbox = Sandbox::new();
    let options = words!["--restart", "on-failure", "--restart-delay", "0"];
    manage(&sandbox, options, words!["until", "50", "exit", "1"]).finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 51);
}

#[test]
fn the_restart_limit_ends_the_manager_after_the_handler_has_run() {
    for (limit, server_lives) in [("1/1h", 2), ("3/1h", 4)] {
        let sandbox = Sandbox::new();
        let options = words!["-m", "-", handler(&sandbox, "0"), "--restart-delay", "0", "--restart-limit", limit];
        manage(&sandbox, options, words!["exit", "6"]).finish().assert_exited(6);
        assert_eq!(count_lives_and_handler_runs(&sandbox), (server_lives, server_lives));
        sandbox.await_nothing_left();
    }
}

#[test]
fn restarts_that_lie_long_enough_apart_have_no_limit() {
    let sandbox = Sandbox::new();
    // Each pause (40 ms) is longer than the period in which restarts are counted (30 ms).
    let options = words!["--restart", "on-failure", "--restart-delay", "40ms:40ms", "--restart-limit", "2/30ms"];
    manage(&sandbox, options, words!["until", "8", "exit", "6"]).finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 9);
}

#[test]
fn hangup_restarts_without_handler_and_without_counting() {
    let sandbox = Sandbox::new();
    let limit = words!["-m", "-", handler(&sandbox, "1"), "--restart-delay", "1h", "--restart-limit", "1/1h"];
    let manager = manage(&sandbox, limit, words!["wait"]);
    for life in 1..6 {
        let server = await_life(&sandbox.out("life"), life);
        manager.signal(libc::SIGHUP);
        await_gone(server);
    }
    await_life(&sandbox.out("life"), 6);
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (6, 0));
}

#[test]
fn hangup_restarts_a_server_that_ends_by_itself_then() {
    let sandbox = Sandbox::new();
    let (seen, options) = (sandbox.out("seen"), words!["-m", "-", handler(&sandbox, "1")]);
    let manager = manage(&sandbox, options, words!["at", "1", "signals", &seen, "15", "at", "1", "exit", "0", "wait"]);
    await_lines(&seen, 1);
    manager.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 2);
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (2, 0));
}

#[test]
fn hangup_kills_a_server_that_does_not_end_in_time() {
    let sandbox = Sandbox::new();
    let options = words!["-m", "-", handler(&sandbox, "1"), "--stop-timeout", "50ms"];
    let manager = manage(&sandbox, options, words!["ignore", "15", "append", sandbox.out("deaf"), "x", "wait"]);
    await_lines(&sandbox.out("deaf"), 1);
    manager.signal(libc::SIGHUP);
    await_lines(&sandbox.out("deaf"), 2);
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (2, 0));
}

#[test]
fn hangup_cuts_a_pause_short() {
    let sandbox = Sandbox::new();
    let manager = manage(
        &sandbox,
        words!["--restart", "on-failure", "--restart-delay", "1h"],
        words!["until", "2", "exit", "1", "wait"],
    );
    let second = await_life(&sandbox.out("life"), 2);
    harness::await_true("the second server's end", || process::reaped(second));
    manager.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
}

#[test]
fn hangup_while_the_handler_runs_means_no_pause() {
    let sandbox = Sandbox::new();
    let (handled, gate) = (sandbox.out("handled"), sandbox.out("gate"));
    let handler = sandbox.script("handler", words!["life", &handled, "at", "2", "await", &gate]);
    let options = words!["-m", "-", handler, "--restart-delay", "1h"];
    let manager = manage(&sandbox, options, words!["until", "2", "exit", "1", "wait"]);
    await_life(&handled, 2);
    manager.signal(libc::SIGHUP);
    fs::write(&gate, "").unwrap();
    await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (3, 2));
}

#[test]
fn hangup_while_the_handler_runs_does_not_overrule_it() {
    let sandbox = Sandbox::new();
    let (handled, gate) = (sandbox.out("handled"), sandbox.out("gate"));
    let handler = sandbox.script("handler", words!["life", &handled, "await", &gate, "exit", "1"]);
    let manager = manage(&sandbox, words!["-m", "-", handler], words!["exit", "9"]);
    await_life(&handled, 1);
    manager.signal(libc::SIGHUP);
    fs::write(&gate, "").unwrap();
    manager.finish().assert_exited(9);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 1));
}

#[test]
fn term_and_int_stop_the_server_and_exit_0() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        for (first, then) in [(words!["wait"], words![]), (words!["signals", "-", "15"], words!["exit", "7"])] {
            let sandbox = Sandbox::new();
            let actions = [words!["append", sandbox.out("up"), "x"], first, then].concat();
            let manager = manage(&sandbox, words!["-m", "-", handler(&sandbox, "0")], actions);
            await_lines(&sandbox.out("up"), 1);
            manager.signal(signal);
            manager.finish().assert_exited(0);
            assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn the_stop_signal_is_the_one_asked_for_and_cont_follows_it() {
    for (name, number) in [("TERM", 15), ("QUIT", 3), ("sigusr1", 10), ("12", 12), ("RTMIN+3", 37), ("INT", 2)] {
        let sandbox = Sandbox::new();
        let seen = sandbox.out("seen");
        let options = words!["-m", "-", "-", "--stop-signal", name, "--stop-timeout", "1h"];
        let manager = manage(&sandbox, options, words!["signals", &seen, "64"]);
        await_lines(&seen, 1);
        manager.signal(libc::SIGTERM);
        let mut both = await_lines(&seen, 3)[1..].to_vec();
        // If both signals are pending, the kernel delivers the lower number first.
        both.sort_by_key(|found| *found == "18");
        assert_eq!(both, [number.to_string(), "18".to_owned()], "{name}");
        manager.signal(libc::SIGINT);
        manager.finish().assert_exited(0);
    }
}

#[test]
fn a_repeated_term_changes_nothing_and_an_int_kills() {
    let sandbox = Sandbox::new();
    let (seen, children) = (sandbox.out("seen"), sandbox.out("children"));
    let actions = words!["child", &children, "signals", &seen, "64"];
    let manager = manage(&sandbox, words!["-m", "-", handler(&sandbox, "0"), "--stop-timeout", "1h"], actions);
    await_lines(&seen, 1);
    manager.signal(libc::SIGTERM);
    await_lines(&seen, 3);
    for _ in 0..3 {
        manager.signal(libc::SIGTERM);
    }
    manager.signal(libc::SIGINT);
    manager.finish().assert_exited(0);
    assert_eq!(harness::lines(&seen), ["ready", "15", "18"], "one TERM, whatever the caller repeats");
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
    harness::await_true("the end of the whole group", || {
        harness::lines(&children).iter().all(|pid| harness::gone(pid.parse().unwrap()))
    });
}

#[test]
fn the_whole_group_is_killed_when_the_time_is_up() {
    let sandbox = Sandbox::new();
    let children = sandbox.out("children");
    let actions = words!["ignore", "15", "child", &children, "wait"];
    let manager = manage(&sandbox, words!["-m", "-", "-", "--stop-timeout", "50ms"], actions);
    let child: i32 = await_lines(&children, 1)[0].parse().unwrap();
    manager.stop().assert_exited(0);
    await_gone(child);
    sandbox.await_nothing_left();
}

#[test]
fn a_stopped_server_is_not_dead_and_can_end() {
    let sandbox = Sandbox::new();
    let manager = manage(&sandbox, words!["-m", "-", handler(&sandbox, "0"), "--stop-timeout", "1h"], words!["wait"]);
    let server = await_life(&sandbox.out("life"), 1);
    sys::kill(server, libc::SIGSTOP);
    harness::await_true("the server to be stopped", || process::state(server) == "T");
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
    assert!(harness::gone(server));
}

#[test]
fn term_and_int_during_a_pause_end_it_at_once() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let sandbox = Sandbox::new();
        let options = words!["--restart", "on-failure", "--restart-delay", "1h"];
        let manager = manage(&sandbox, options, words!["exit", "1"]);
        let second = await_life(&sandbox.out("life"), 2);
        harness::await_true("the second server's end", || process::reaped(second));
        manager.signal(signal);
        manager.finish().assert_exited(0);
        assert_eq!(count_lives_and_handler_runs(&sandbox).0, 2);
    }
}

#[test]
fn term_and_int_during_the_handler_are_passed_on_and_no_server_follows() {
    for (signal, agrees) in [(libc::SIGTERM, "0"), (libc::SIGTERM, "1"), (libc::SIGINT, "0")] {
        let sandbox = Sandbox::new();
        let seen = sandbox.out("seen");
        let handler = sandbox.script("handler", words!["signals", &seen, "15", "exit", agrees]);
        let manager = manage(&sandbox, words!["-m", "-", handler], words!["exit", "5"]);
        await_lines(&seen, 1);
        manager.signal(signal);
        manager.finish().assert_exited(0);
        assert_eq!(harness::lines(&seen)[1], "15");
        assert_eq!(count_lives_and_handler_runs(&sandbox).0, 1);
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_handler_that_ignores_term_is_killed() {
    let sandbox = Sandbox::new();
    let began = sandbox.out("began");
    let handler = sandbox.script("handler", words!["ignore", "15", "append", &began, "x", "wait"]);
    let manager = manage(&sandbox, words!["-m", "-", handler, "--stop-timeout", "50ms"], words!["exit", "5"]);
    await_lines(&began, 1);
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 1);
    sandbox.await_nothing_left();
}

#[test]
fn term_during_a_restart_by_hangup_wins() {
    let sandbox = Sandbox::new();
    let seen = sandbox.out("seen");
    let manager = manage(
        &sandbox,
        words!["-m", "-", handler(&sandbox, "0"), "--stop-timeout", "1h"],
        words!["signals", &seen, "64"],
    );
    await_lines(&seen, 1);
    manager.signal(libc::SIGHUP);
    await_lines(&seen, 3);
    manager.signal(libc::SIGTERM);
    // The server is killed only after both the restart and the stop have been requested.
    sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGKILL);
    manager.finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
}

#[test]
fn hangup_does_not_undo_a_term() {
    let sandbox = Sandbox::new();
    let seen = sandbox.out("seen");
    let manager = manage(
        &sandbox,
        words!["-m", "-", handler(&sandbox, "0"), "--stop-timeout", "1h"],
        words!["signals", &seen, "64"],
    );
    await_lines(&seen, 1);
    manager.signal(libc::SIGTERM);
    await_lines(&seen, 3);
    manager.signal(libc::SIGHUP);
    sys::kill(await_life(&sandbox.out("life"), 1), libc::SIGKILL);
    manager.finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
}

#[test]
fn every_other_signal_is_passed_on() {
    let sandbox = Sandbox::new();
    let seen = sandbox.out("seen");
    let manager = manage(&sandbox, words!["-m", "-", "-"], words!["signals", &seen, "64"]);
    let mut count = await_lines(&seen, 1).len();
    // All signals except KILL and STOP, which cannot be caught, CHLD, and HUP, INT and TERM, which have their own
    // meaning for the manager. They are sent one by one, because CONT discards a pending TSTP.
    let others: Vec<i32> = (1..=64).filter(|signal| ![1, 2, 9, 15, 17, 19].contains(signal)).collect();
    for signal in &others {
        manager.signal(*signal);
        count += 1;
        assert_eq!(await_lines(&seen, count)[count - 1], signal.to_string());
    }
    manager.finish().assert_exited(0);
    assert_eq!(harness::lines(&seen).len(), 1 + others.len(), "each came once");
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 1);
}

#[test]
fn a_signal_without_a_server_is_dropped() {
    let sandbox = Sandbox::new();
    let options = words!["--restart", "on-failure", "--restart-delay", "1h"];
    let manager = manage(&sandbox, options, words!["until", "2", "exit", "1", "wait"]);
    let second = await_life(&sandbox.out("life"), 2);
    harness::await_true("the second server's end", || process::reaped(second));
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGTSTP, libc::SIGPIPE, 34, 64] {
        manager.signal(signal);
    }
    harness::await_true("the manager to have read them all", || process::pending(manager.pid()) == 0);
    manager.signal(libc::SIGHUP);
    await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
}

/// Returns the pids of `count` orphans, and checks that they have become children of the manager.
#[track_caller]
fn orphans_of(manager: &Running, file: &Path, count: usize) -> Vec<i32> {
    let lines = await_lines(file, count);
    let mut pids = Vec::new();
    for line in lines {
        let (pid, parent) = line.split_once(' ').unwrap();
        assert_eq!(parent, manager.pid().to_string(), "the orphan's new parent");
        pids.push(pid.parse().unwrap());
    }
    pids
}

#[test]
fn orphans_are_reaped() {
    let sandbox = Sandbox::new();
    let file = sandbox.out("orphans");
    let manager = manage(&sandbox, words!["-m", "-", "-"], words!["orphans", "20", &file, "wait"]);
    let orphans = orphans_of(&manager, &file, 20);
    harness::await_true("every orphan reaped", || orphans.iter().all(|pid| process::reaped(*pid)));
    assert_eq!(process::children(manager.pid()), [await_life(&sandbox.out("life"), 1)]);
    manager.stop().assert_exited(0);
}

#[test]
fn the_exit_of_an_orphan_is_not_taken_for_the_servers_exit() {
    let sandbox = Sandbox::new();
    let file = sandbox.out("orphans");
    let manager = manage(&sandbox, words!["-m", "-", handler(&sandbox, "0")], words!["orphans", "3", &file, "wait"]);
    let orphans = orphans_of(&manager, &file, 3);
    harness::await_true("every orphan reaped", || orphans.iter().all(|pid| process::reaped(*pid)));
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox), (1, 0));
}

#[test]
fn a_manager_works_although_the_caller_blocks_or_ignores_signals() {
    for spoil in [|| sys::ignore_signal(libc::SIGCHLD), sys::block_and_ignore_signals] {
        let sandbox = Sandbox::new();
        let actions = words!["life", sandbox.out("life"), "at", "1", "exit", "1", "wait"];
        let line = [words!["-m", "-", handler(&sandbox, "0"), "--", sandbox.probe()], actions].concat();
        let manager = sandbox.vsrun(line).before(spoil).start();
        await_life(&sandbox.out("life"), 2);
        manager.stop().assert_exited(0);
        assert_eq!(count_lives_and_handler_runs(&sandbox), (2, 1));
    }
}

#[test]
fn a_manager_notices_all_of_many_simultaneous_exits() {
    let sandbox = Sandbox::new();
    let orphans = sandbox.out("orphans");
    let actions = words!["orphans", "30", &orphans, "until", "5", "exit", "1"];
    manage(&sandbox, words!["--restart", "on-failure", "--restart-delay", "0"], actions).finish().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 6);
    harness::await_true("the end of all", || sandbox.living().is_empty());
}

/// execve(2) may block for a long time, for hours if a file server is dead. The manager still reacts to signals.
#[test]
fn a_slow_exec_delays_no_signal() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let server = sandbox.script("server", words!["life", &life, "until", "1", "exit", "1", "wait"]);
    for first in [true, false] {
        let _ = fs::remove_file(&life);
        let mut held = first.then(|| sys::take_write_lease(&server));
        let manager = sandbox.vsrun(words!["--restart-delay", "1s", "--restart", "on-failure", "--", &server]).start();
        if !first {
            // The second life waits and has not opened the script, so that the lease on it can be taken.
            await_life(&life, 2);
            held = Some(sys::take_write_lease(&server));
            sys::kill(manager.pid(), libc::SIGHUP);
        }
        let held = held.unwrap();
        harness::await_true("an exec that waits", || sys::lease_blocks_a_process(&held));
        sys::kill(manager.pid(), libc::SIGTERM);
        manager.finish().assert_exited(0);
        drop(held);
    }
}

/// While a child of vfork(2) waits in execve(2), the manager is blocked. After one second it kills that child and
/// starts another one with fork(2), which does not block the manager.
#[test]
fn a_child_with_a_slow_exec_is_the_server_after_all() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let server = sandbox.script("server", words!["life", &life, "wait"]);
    let held = sys::take_write_lease(&server);
    let manager = sandbox.vsrun(words!["--restart", "no", "--", &server]).start();
    let child = || process::children(manager.pid()).first().copied();
    // In vfork(2) the manager sleeps in state D, at most for one second. If this test gets no processor time for
    // longer, it sees only the second child.
    let lent = || child().filter(|_| process::state(manager.pid()) == "D");
    let mut first = None;
    harness::await_true("a manager that has been deaf for a second", || {
        first = first.or_else(lent);
        first.is_some() || child().is_some() && process::state(manager.pid()) == "S"
    });
    let second = harness::await_some("another child", || child().filter(|pid| Some(*pid) != first));
    harness::await_true("a manager that hears", || process::state(manager.pid()) == "S");
    drop(held);
    assert_eq!(await_life(&life, 1), second);
    manager.stop().assert_exited(0);
    assert_eq!(count_lives_and_handler_runs(&sandbox).0, 1);
}
