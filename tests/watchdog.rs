//! Servers that are silent for too long, and servers that the kernel kills for lack of memory.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Call, Mount, Mounts, Place, await_life, lives, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A managed server that does these actions. Its handler notes why it was asked, in each life.
fn managed<'place>(place: &'place Place, options: Vec<OsString>, actions: Vec<OsString>) -> Call<'place> {
    let told = |life: &str| words!["at", life, "report", place.out(&format!("told-{life}"))];
    let handler = place.script("handler", [words!["life", place.out("handled")], told("1"), told("2")].concat());
    let line = [options, words!["-m", "-", handler, "--", place.probe(), "life", place.out("life")], actions];
    place.vsrun(line.concat())
}

#[track_caller]
fn reason(place: &Place, life: u32) -> String {
    place.report(&place.out(&format!("told-{life}"))).variable("VSRUN_SERVER_REASON").unwrap()
}

fn watched(span: &str) -> Vec<OsString> {
    words!["--ready", "notify", "--watchdog", span, "--restart-delay", "0"]
}

#[test]
fn a_server_that_falls_silent_is_aborted_and_started_again() {
    let place = Place::new();
    // The second life is never ready, and so is not watched until it has said so.
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
    let ended = managed(&place, watched("100ms"), actions).finish();
    ended.exited(0);
    let lives = lives(&place.out("life"));
    assert_eq!(lives.len(), 3);
    for (life, least) in [(1, 100), (2, 400)] {
        let report = place.report(&place.out(&format!("told-{life}")));
        assert_eq!(report.variable("VSRUN_SERVER_SIGNAME").as_deref(), Some("SIGABRT"));
        assert_eq!(reason(&place, life), "watchdog");
        let lived = lives[life as usize].1 - lives[life as usize - 1].1;
        assert!(lived >= least, "life {life} ended after {lived} ms");
    }
    assert!(ended.err.iter().any(|line| line.contains("the server has been silent for too long")), "{ended:?}");
}

#[test]
fn a_server_that_says_so_in_time_lives() {
    let place = Place::new();
    let beat = words!["nap", "250", "notify", "STATUS=well\nWATCHDOG=1"];
    let beats: Vec<OsString> = (0..16).flat_map(|_| beat.clone()).collect();
    let actions = [words!["notify", "READY=1"], beats, words!["exit", "0"]].concat();
    managed(&place, watched("2s"), actions).finish().exited(0);
    assert!(!place.out("handled").exists());
}

/// A shell wrapper's child beats as well as the server itself.
#[test]
fn a_child_of_the_server_speaks_for_it() {
    let place = Place::new();
    let child = place.out("child");
    let beats = "nap\n100\nnotify\nWATCHDOG=1\n".repeat(20);
    fs::write(&child, format!("{beats}append\n{}\nwell\nwait\n", place.out("done").display())).unwrap();
    let [life, probe, child] = [place.out("life"), place.probe(), child].map(|path| path.display().to_string());
    let script = format!(
        "echo $$ 0 >>{life}; [ $(wc -l <{life}) = 1 ] || exit 0; {probe} run {child} & exec {probe} notify READY=1 wait"
    );
    let line = [watched("1s"), words!["-m", "-", "-", "--", "/bin/sh", "-c", script]].concat();
    let manager = place.vsrun(line).start();
    kit::await_lines(&place.out("done"), 1);
    assert_eq!(lives(&place.out("life")).len(), 1, "it lives as long as its child beats");
    // From then on all are silent.
    manager.finish().exited(0);
    assert_eq!(lives(&place.out("life")).len(), 2);
}

#[test]
fn it_is_told_how_often_it_has_to_say_so() {
    let place = Place::new();
    let reports = [place.out("first"), place.out("second")];
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
    let call = managed(&place, watched("90s"), actions);
    call.env("WATCHDOG_PID", "1").env("WATCHDOG_USEC", "5").finish().exited(0);
    for (report, (pid, _)) in reports.iter().zip(lives(&place.out("life"))) {
        let report = place.report(report);
        assert_eq!(report.variable("WATCHDOG_USEC").as_deref(), Some("90000000"));
        assert_eq!(report.variable("WATCHDOG_PID"), Some(pid.to_string()));
    }
}

#[test]
fn one_that_does_not_heed_the_abort_is_killed_and_one_that_exits_well_has_died_too() {
    for (deaf, name) in [
        (words!["ignore", "6", "notify", "READY=1", "wait"], Some("SIGKILL")),
        (words!["notify", "READY=1", "signals", "/dev/null", "6", "exit", "0"], None),
    ] {
        let place = Place::new();
        let actions = [words!["at", "2", "exit", "0"], deaf].concat();
        let options = [watched("50ms"), words!["--stop-timeout", "50ms", "--restart", "on-abort"]].concat();
        managed(&place, options, actions).finish().exited(0);
        let report = place.report(&place.out("told-1"));
        assert_eq!(
            (report.variable("VSRUN_SERVER_SIGNAME").as_deref(), reason(&place, 1).as_str()),
            (name, "watchdog")
        );
        assert_eq!(lives(&place.out("life")).len(), 2);
    }
}

#[test]
fn wrong_usage() {
    let place = Place::new();
    for options in [
        words!["-m", "-", "-", "--watchdog", "1s"],
        words!["-m", "-", "-", "--ready", "fd:5", "--watchdog", "1s"],
        words!["-b", "--ready", "notify", "--watchdog", "1s"],
        words!["-m", "-", "-", "--ready", "notify", "--watchdog", "0"],
        words!["-m", "-", "-", "--ready", "notify", "--watchdog", "often"],
    ] {
        let command = words!["--", place.probe(), "append", place.out("ran"), "x"];
        place.vsrun([options, command].concat()).finish().failed(2, &["--watchdog"]);
    }
    assert!(!place.out("ran").exists());
}

#[test]
fn a_count_that_has_risen_is_the_reason() {
    needs!(kit::root());
    let place = Place::new();
    let mounts = Mounts::new(&place, &[Mount::Memory("/sys/fs/cgroup".into(), "size=64k")]);
    let root = mounts.path("/sys/fs/cgroup".as_ref());
    fs::create_dir(root.join("memory")).unwrap();
    let write = |count: u32| {
        for (name, before) in [("memory.events", "max 1\noom 9\n"), ("memory/memory.oom_control", "under_oom 0\n")] {
            // In place, as the kernel's own: vsrun has it open.
            let mut file = fs::File::options().create(true).truncate(false).write(true).open(root.join(name)).unwrap();
            file.write_all(format!("{before}oom_kill {count}\n").as_bytes()).unwrap();
        }
    };
    write(3);
    let manager = managed(&place, words!["--restart-delay", "0"], words!["wait"]).within(&mounts).start();
    for (life, count, wanted) in [(1, 4, "oom"), (2, 4, "signal")] {
        let server = await_life(&place.out("life"), life);
        write(count);
        sys::kill(server, libc::SIGKILL);
        kit::await_file(&place.out(&format!("told-{life}")));
        assert_eq!(reason(&place, u32::try_from(life).unwrap()), wanted);
    }
    await_life(&place.out("life"), 3);
    manager.stop().exited(0);
}

/// A control group with little memory, below our own.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let own = kit::text(Path::new("/proc/self/cgroup"));
        let path = |line: &str| line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/').to_owned());
        let one = own
            .lines()
            .find(|line| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == "memory")));
        let (mount, line, limit) = match one {
            Some(line) => ("/sys/fs/cgroup/memory", line, "memory.limit_in_bytes"),
            None => ("/sys/fs/cgroup", own.lines().find(|line| line.starts_with("0::"))?, "memory.max"),
        };
        let group = Path::new(mount).join(path(line)?).join(format!("vsrun-{}", sys::pid()));
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        fs::write(group.0.join(limit), "48M").ok()?;
        // Where there is swap, that too.
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), "48M");
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kit::await_true("the end of the group", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn the_kernels_own_killing_is_told() {
    needs!(kit::root());
    let Some(group) = Group::new() else {
        eprintln!("CANNOT RUN: no control group for memory can be made here; the test above has files in place of it");
        return;
    };
    let place = Place::new();
    let join = group.0.join("cgroup.procs");
    let actions = words!["at", "1", "hoard", "200", "at", "2", "exit", "1", "at", "3", "exit", "0"];
    let call = managed(&place, words!["--restart-delay", "0"], actions);
    call.before(move || fs::write(&join, "0")).finish().exited(0);
    assert_eq!((reason(&place, 1), reason(&place, 2)), ("oom".to_owned(), "exit".to_owned()));
    place.await_nothing_left();
    assert!(!process::any_ends());
}
