//! vsrun's own records at a real syslog daemon, beside their usual place or instead of it.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, await_life, needs, sys, words};
use std::ffi::OsString;

/// What syslog has got, once there is the record of the end.
fn at_syslog(place: &Place) -> Vec<String> {
    kit::await_true("the last record", || kit::text(&place.out("syslog")).contains("shutdown"));
    kit::lines(&place.out("syslog"))
}

fn has(lines: &[String], part: &str) -> bool {
    lines.iter().any(|line| line.contains(part))
}

/// A managed server that speaks and ends with 3.
fn server(place: &Place) -> Vec<OsString> {
    words!["--restart", "no", "--debug", "--", place.probe(), "print", "the server speaks", "exit", "3"]
}

#[test]
fn records_go_to_syslog_as_well_or_alone() {
    needs!(kit::root(), kit::tool("busybox"));
    for (usage, there, here) in [("no", false, true), ("yes", true, true), ("only", true, false)] {
        let place = Place::new();
        let mounts = Mounts::with_syslog(&place);
        let line = [words!["--syslog-usage", usage], server(&place)].concat();
        let ended = place.vsrun(line).within(&mounts).finish();
        ended.exited(3);
        assert_eq!(ended.out, ["the server speaks"]);
        assert_eq!(has(&ended.err, "exited with status 3"), here, "{usage}: {ended:?}");
        assert!(has(&ended.err, "debug: "), "steps are for the caller: {ended:?}");
        if !there {
            assert!(!place.out("syslog").exists() || !has(&kit::lines(&place.out("syslog")), "vsrun"));
            continue;
        }
        let lines = at_syslog(&place);
        for part in
            ["daemon.info vsrun[", "starting: ", "daemon.notice vsrun[", "exited with status 3", "daemon.err vsrun["]
        {
            assert!(has(&lines, part), "{part}: {lines:#?}");
        }
        assert!(!has(&lines, "debug") && !lines.iter().any(|line| line.ends_with("the server speaks")), "{lines:#?}");
    }
}

#[test]
fn beside_files_and_beside_another_logger() {
    needs!(kit::root(), kit::tool("busybox"));
    let place = Place::new();
    let mounts = Mounts::with_syslog(&place);
    let line = [words!["--syslog-usage", "yes", "-d", "logs", "1"], server(&place)].concat();
    place.vsrun(line).within(&mounts).finish().exited(3);
    assert!(has(&at_syslog(&place), "exited with status 3"));
    assert!(kit::text(&place.path("logs/vsrun.log")).contains("exited with status 3"));

    let place = Place::new();
    let mounts = Mounts::with_syslog(&place);
    let logger = format!("{} collect {}", place.probe().display(), place.out("collected").display());
    let line = [words!["--syslog-usage", "only", "-s", "the tag", "--logger", logger], server(&place)].concat();
    place.vsrun(line).within(&mounts).finish().exited(3);
    assert!(has(&at_syslog(&place), "the tag["), "named after the tag");
    let collected = kit::text(&place.out("collected"));
    assert!(collected.contains("the server speaks") && !collected.contains("exited with status"), "{collected}");
}

/// `logger -t TAG` has them already: once is enough.
#[test]
fn what_goes_through_logger_is_not_said_twice() {
    needs!(kit::root(), kit::tool("busybox"), kit::tool("logger"));
    let place = Place::new();
    let mounts = Mounts::with_syslog(&place);
    let line = words!["-s", "tag", "--syslog-usage", "yes", "--restart", "no", "--", place.probe(), "exit", "3"];
    place.vsrun(line).within(&mounts).finish().exited(3);
    let ends = at_syslog(&place).iter().filter(|line| line.contains("exited with status 3")).count();
    assert_eq!(ends, 1);
}

/// Nobody listens, then somebody does, then another one.
#[test]
fn a_daemon_may_come_and_go() {
    needs!(kit::root(), kit::tool("busybox"));
    let place = Place::new();
    let mounts = Mounts::new(&place, &[Mount::Memory("/dev".into(), "size=64k,mode=755")]);
    let options = words!["--syslog-usage", "only", "--restart", "on-failure", "--restart-delay", "0"];
    let server = words!["--", place.probe(), "life", place.out("life"), "wait"];
    let manager = place.vsrun([options, server].concat()).within(&mounts).start();
    let mut lives = 1;
    let mut killed = || {
        let pid = await_life(&place.out("life"), lives);
        sys::kill(pid, libc::SIGKILL);
        lives += 1;
        await_life(&place.out("life"), lives);
        pid
    };
    killed();
    for _ in 0..2 {
        let daemon = mounts.start_syslog(&place);
        let told = format!("the server (pid {}) killed by signal 9", killed());
        kit::await_true(&told, || kit::text(&place.out("syslog")).contains(&told));
        daemon.stop();
        let _ = std::fs::remove_file(mounts.path("/dev/log".as_ref()));
    }
    manager.stop().exited(0);
}

#[test]
fn wrong_words() {
    let place = Place::new();
    for usage in ["maybe", "", "YES"] {
        place.vsrun(words!["--syslog-usage", usage, "--", "true"]).finish().failed(2, &["--syslog-usage"]);
    }
    let twice = words!["--syslog-usage", "no", "--syslog-usage", "yes", "--", "true"];
    place.vsrun(twice).finish().failed(2, &["--syslog-usage", "twice"]);
}
