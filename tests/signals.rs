//! What a signal to vsrun does when it was told so.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Place, Running, await_life, await_lines, await_true, lives, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;

/// A managed server that writes each signal it gets, until it gets QUIT.
fn manage(place: &Place, options: Vec<OsString>) -> Running {
    let server = words!["--", place.probe(), "life", place.out("life"), "signals", place.out("signals"), "3"];
    let manager = place.vsrun([words!["-m", "keeper", "-"], options, server].concat()).start();
    await_lines(&place.out("signals"), 1);
    manager
}

#[test]
fn each_action() {
    let place = Place::new();
    let options =
        ["USR1=forward:USR2", "HUP=forward", "WINCH=ignore", "RTMIN+1=restart", "INT=forward", "TERM=forward"];
    let options = options.into_iter().flat_map(|option| words!["--on-signal", option]).collect();
    let manager = manage(&place, [options, words!["--on-signal", "ALRM=stop", "--stop-signal", "QUIT"]].concat());
    for (sent, seen) in [(10, "12"), (1, "1"), (2, "2"), (15, "15")] {
        let before = kit::lines(&place.out("signals")).len();
        manager.signal(sent);
        assert_eq!(await_lines(&place.out("signals"), before + 1)[before], seen);
    }
    // An ignored signal leaves no trace; what is sent after it arrives all the same.
    manager.signal(libc::SIGWINCH);
    manager.signal(libc::SIGUSR1);
    let seen = await_lines(&place.out("signals"), 6);
    assert_eq!(seen[5], "12", "{seen:?}");
    manager.signal(35);
    await_life(&place.out("life"), 2);
    await_true("that the second life listens", || {
        kit::lines(&place.out("signals")).iter().filter(|l| *l == "ready").count() == 2
    });
    manager.signal(libc::SIGALRM);
    manager.finish().exited(0);
    assert_eq!(lives(&place.out("life")).len(), 2);
    place.await_nothing_left();
}

#[test]
fn records_go_on_in_a_new_file_after_a_renaming() {
    let place = Place::new();
    let manager = manage(&place, words!["-d", "logs", "1", "--on-signal", "USR1=reopen"]);
    let log = place.path("logs/vsrun.log");
    fs::rename(&log, place.path("logs/rotated")).unwrap();
    manager.signal(libc::SIGUSR1);
    await_true("the new file", || kit::text(&log).contains("reopened"));
    manager.signal(libc::SIGWINCH);
    await_true("records in it", || kit::text(&log).contains("SIGWINCH"));
    assert!(!kit::text(&place.path("logs/rotated")).contains("SIGWINCH"));
    // The file that is there is gone on with.
    manager.signal(libc::SIGUSR1);
    await_true("the second opening", || kit::text(&log).matches("reopened").count() == 2);
}

#[test]
fn a_planted_link_is_not_followed() {
    let place = Place::new();
    let manager = manage(&place, words!["-d", "logs", "1", "--on-signal", "USR1=reopen"]);
    let (log, moved, victim) = (place.path("logs/vsrun.log"), place.path("logs/moved"), place.path("victim"));
    fs::write(&victim, "precious\n").unwrap();
    fs::rename(&log, &moved).unwrap();
    symlink(&victim, &log).unwrap();
    manager.signal(libc::SIGUSR1);
    await_true("the complaint in the old file", || kit::text(&moved).contains("cannot open the log file anew"));
    assert_eq!(kit::text(&victim), "precious\n");
}

#[test]
fn malformed_actions_touch_nothing() {
    let place = Place::new();
    for action in ["KILL=stop", "STOP=ignore", "CHLD=ignore", "USR1", "USR1=", "USR1=halt", "65=stop", "USR1=forward:X"]
    {
        let line = words!["-m", "keeper", "-", "--on-signal", action, "--", "true"];
        place.vsrun(line).finish().failed(2, &["--on-signal", action]);
    }
    let twice = words!["-m", "keeper", "-", "--on-signal", "USR1=stop", "--on-signal", "10=ignore", "--", "true"];
    place.vsrun(twice).finish().failed(2, &["--on-signal", "SIGUSR1", "twice"]);
    place.vsrun(words!["--on-signal", "USR1=stop", "--", "true"]).finish().failed(2, &["--on-signal"]);
    assert!(!place.path("keeper").exists());
}
