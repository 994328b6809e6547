//! Servers that send no heartbeat in time, and servers that the kernel kills for lack of memory.

use crate::harness::{self, Call, Mount, Mounts, Sandbox, await_life, lives, needs, sys, words};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Calls a manager whose server does these actions. The handler saves its environment, which contains the reason of its
/// call, in its first two runs.
fn managed<'place>(sandbox: &'place Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> Call<'place> {
    let reported = |life: &str| words!["at", life, "report", sandbox.out(&format!("reported-{life}"))];
    let handler =
        sandbox.script("handler", [words!["life", sandbox.out("handled")], reported("1"), reported("2")].concat());
    let line = [options, words!["-m", "-", handler, "--", sandbox.probe(), "life", sandbox.out("life")], actions];
    sandbox.vsrun(line.concat())
}

#[track_caller]
fn reason(sandbox: &Sandbox, life: u32) -> String {
    sandbox.report(&sandbox.out(&format!("reported-{life}"))).variable("VSRUN_SERVER_REASON").unwrap()
}

fn watched(span: &str) -> Vec<OsString> {
    words!["--ready", "notify", "--watchdog", span, "--restart-delay", "0"]
}

#[test]
fn a_silent_server_is_aborted_and_started_again() {
    let sandbox = Sandbox::new();
    // The second life sends READY=1 only after 300 ms. Before that the watchdog does not run.
    let actions = words![
        "until",
        "1",
        "notify",
        "READY=1",
        "at",
        "2",
        "notify",
        "WATCHDOG=1",
        "at",
        "2",
        "nap",
        "300",
        "at",
        "2",
        "notify",
        "READY=1",
        "at",
        "3",
        "exit",
        "0",
        "wait"
    ];
    let ended = managed(&sandbox, watched("100ms"), actions).finish();
    ended.assert_exited(0);
    let lives = lives(&sandbox.out("life"));
    assert_eq!(lives.len(), 3);
    for (life, least) in [(1, 100), (2, 400)] {
        let report = sandbox.report(&sandbox.out(&format!("reported-{life}")));
        assert_eq!(report.variable("VSRUN_SERVER_SIGNAME").as_deref(), Some("SIGABRT"));
        assert_eq!(reason(&sandbox, life), "watchdog");
        let lived = lives[life as usize].1 - lives[life as usize - 1].1;
        assert!(lived >= least, "life {life} ended after {lived} ms");
    }
    assert!(
        ended.err.iter().any(|line| line.contains("the server has not sent WATCHDOG=1 in time (--watchdog)")),
        "{ended:?}"
    );
}

#[test]
fn a_server_that_sends_heartbeats_in_time_is_not_killed() {
    let sandbox = Sandbox::new();
    // All heartbeats together take longer (6 s) than the watchdog waits (5 s), but a single one takes much less.
    let beat = words!["nap", "250", "notify", "STATUS=well\nWATCHDOG=1"];
    let beats: Vec<OsString> = (0..24).flat_map(|_| beat.clone()).collect();
    let actions = [words!["notify", "READY=1"], beats, words!["exit", "0"]].concat();
    managed(&sandbox, watched("5s"), actions).finish().assert_exited(0);
    assert!(!sandbox.out("handled").exists());
}

/// A shell wrapper becomes the server, and its child sends the heartbeats.
#[test]
fn heartbeats_of_a_child_count_for_the_server() {
    let sandbox = Sandbox::new();
    let child = sandbox.out("child");
    let beats = "nap\n100\nnotify\nWATCHDOG=1\n".repeat(60);
    fs::write(&child, format!("{beats}append\n{}\nwell\nwait\n", sandbox.out("done").display())).unwrap();
    let [life, probe, child] = [sandbox.out("life"), sandbox.probe(), child].map(|path| path.display().to_string());
    let script = format!(
        "echo $$ 0 >>{life}; [ $(wc -l <{life}) = 1 ] || exit 0; {probe} run {child} & exec {probe} notify READY=1 wait"
    );
    let line = [watched("5s"), words!["-m", "-", "-", "--", "/bin/sh", "-c", script]].concat();
    let manager = sandbox.vsrun(line).start();
    harness::await_lines(&sandbox.out("done"), 1);
    assert_eq!(lives(&sandbox.out("life")).len(), 1, "it lives as long as its child beats");
    // After 60 heartbeats the child sends no more, and the watchdog ends the server.
    manager.finish().assert_exited(0);
    assert_eq!(lives(&sandbox.out("life")).len(), 2);
}

#[test]
fn the_server_gets_the_watchdog_time_in_its_environment() {
    let sandbox = Sandbox::new();
    let reports = [sandbox.out("first"), sandbox.out("second")];
    let actions = words![
        "at",
        "1",
        "report",
        &reports[0],
        "at",
        "2",
        "report",
        &reports[1],
        "notify",
        "READY=1",
        "at",
        "1",
        "exit",
        "1"
    ];
    let call = managed(&sandbox, watched("90s"), actions);
    call.env("WATCHDOG_PID", "1").env("WATCHDOG_USEC", "5").finish().assert_exited(0);
    for (report, (pid, _)) in reports.iter().zip(lives(&sandbox.out("life"))) {
        let report = sandbox.report(report);
        assert_eq!(report.variable("WATCHDOG_USEC").as_deref(), Some("90000000"));
        assert_eq!(report.variable("WATCHDOG_PID"), Some(pid.to_string()));
    }
}

#[test]
fn a_server_that_ignores_the_abort_is_killed_and_one_that_exits_with_0_counts_as_dead_too() {
    for (deaf, name, span) in [
        (words!["ignore", "6", "notify", "READY=1", "wait"], Some("SIGKILL"), "50ms"),
        // 3 s are enough time to set up the handling of SIGABRT, which would otherwise kill the probe.
        (words!["notify", "READY=1", "signals", "/dev/null", "6", "exit", "0"], None, "3s"),
    ] {
        let sandbox = Sandbox::new();
        let actions = [words!["at", "2", "exit", "0"], deaf].concat();
        let options = [watched(span), words!["--stop-timeout", "50ms", "--restart", "on-abort"]].concat();
        managed(&sandbox, options, actions).finish().assert_exited(0);
        let report = sandbox.report(&sandbox.out("reported-1"));
        assert_eq!(
            (report.variable("VSRUN_SERVER_SIGNAME").as_deref(), reason(&sandbox, 1).as_str()),
            (name, "watchdog")
        );
        assert_eq!(lives(&sandbox.out("life")).len(), 2);
    }
}

#[test]
fn invalid_uses_of_watchdog_are_refused() {
    let sandbox = Sandbox::new();
    for options in [
        words!["-m", "-", "-", "--watchdog", "1s"],
        words!["-m", "-", "-", "--ready", "fd:5", "--watchdog", "1s"],
        words!["-b", "--ready", "notify", "--watchdog", "1s"],
        words!["-m", "-", "-", "--ready", "notify", "--watchdog", "0"],
        words!["-m", "-", "-", "--ready", "notify", "--watchdog", "often"],
    ] {
        let command = words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        sandbox.vsrun([options, command].concat()).finish().assert_failed(2, &["--watchdog"]);
    }
    assert!(!sandbox.out("ran").exists());
}

#[test]
fn a_risen_oom_kill_count_makes_oom_the_reported_reason() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/sys/fs/cgroup".into(), "size=64k")]);
    let root = mounts.path("/sys/fs/cgroup".as_ref());
    fs::create_dir(root.join("memory")).unwrap();
    let write = |count: u32| {
        for (name, before) in [("memory.events", "max 1\noom 9\n"), ("memory/memory.oom_control", "under_oom 0\n")] {
            // The file is written in place, like the kernel's own one, because vsrun keeps it open.
            let mut file = fs::File::options().create(true).truncate(false).write(true).open(root.join(name)).unwrap();
            file.write_all(format!("{before}oom_kill {count}\n").as_bytes()).unwrap();
        }
    };
    write(3);
    let manager = managed(&sandbox, words!["--restart-delay", "0"], words!["wait"]).within(&mounts).start();
    for (life, count, wanted) in [(1, 4, "oom"), (2, 4, "signal")] {
        let server = await_life(&sandbox.out("life"), life);
        write(count);
        sys::kill(server, libc::SIGKILL);
        harness::await_file(&sandbox.out(&format!("reported-{life}")));
        assert_eq!(reason(&sandbox, u32::try_from(life).unwrap()), wanted);
    }
    await_life(&sandbox.out("life"), 3);
    manager.stop().assert_exited(0);
}

/// A control group below the test's own one, with a memory limit of 48 MiB.
struct MemoryLimitedCgroup(PathBuf);

impl MemoryLimitedCgroup {
    fn new() -> Option<Self> {
        let own = harness::text(Path::new("/proc/self/cgroup"));
        let path = |line: &str| line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/').to_owned());
        let one = own
            .lines()
            .find(|line| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == "memory")));
        let (mount, line, limit) = match one {
            Some(line) => ("/sys/fs/cgroup/memory", line, "memory.limit_in_bytes"),
            None => ("/sys/fs/cgroup", own.lines().find(|line| line.starts_with("0::"))?, "memory.max"),
        };
        let group = Path::new(mount).join(path(line)?).join(harness::unique_name());
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        fs::write(group.0.join(limit), "48M").ok()?;
        // The limit includes swap, if the kernel has it.
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), "48M");
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Some(group)
    }
}

impl Drop for MemoryLimitedCgroup {
    fn drop(&mut self) {
        harness::await_true("the end of the group", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn the_kernels_own_killing_is_reported() {
    needs!(harness::root());
    let Some(group) = MemoryLimitedCgroup::new() else {
        eprintln!("CANNOT RUN: no control group for memory can be made here; the test above has files in place of it");
        return;
    };
    let sandbox = Sandbox::new();
    let join = group.0.join("cgroup.procs");
    let actions = words!["at", "1", "hoard", "200", "at", "2", "exit", "1", "at", "3", "exit", "0"];
    let call = managed(&sandbox, words!["--restart-delay", "0"], actions);
    call.before(move || fs::write(&join, "0")).finish().assert_exited(0);
    assert_eq!((reason(&sandbox, 1), reason(&sandbox, 2)), ("oom".to_owned(), "exit".to_owned()));
    sandbox.await_nothing_left();
}
