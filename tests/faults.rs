//! Faults that are real: no process to be had, a full disk, a stderr that nobody reads, a kernel that says no.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, Report, Running, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// A user of this test alone, because the number of processes is counted by user, over the whole machine.
fn lonely_user(test: u32) -> u32 {
    1_000_000 + sys::pid().cast_unsigned() % 100_000 * 10 + test
}

#[track_caller]
fn allow_processes(place: &Place, manager: &Running, most: &str) {
    let words = words!["processes", format!("{}", manager.pid()), most];
    place.program(&place.probe(), words).finish().exited(0);
}

#[test]
fn a_manager_that_cannot_fork_tries_again_and_hears_signals() {
    needs!(kit::root());
    let place = Place::of_user(lonely_user(1));
    let life = place.out("life");
    let line = words!["-p", "pid", "-m", "monitor", "-", "--", place.probe(), "life", &life, "wait"];
    let manager = place.vsrun(line).start();
    let first = kit::await_life(&life, 1);
    allow_processes(&place, &manager, "0");
    sys::kill(first, libc::SIGKILL);
    kit::await_true("the first server's end", || process::reaped(first));
    manager.await_err("Resource temporarily unavailable");
    assert_eq!(kit::lives(&life).len(), 1);
    allow_processes(&place, &manager, "1000");
    let second = kit::await_life(&life, 2);
    assert_eq!(kit::text(&place.path("pid")), format!("{second}\n"));
    allow_processes(&place, &manager, "0");
    sys::kill(second, libc::SIGKILL);
    kit::await_true("the second server's end", || process::reaped(second));
    manager.stop().exited(0);
    assert_eq!(kit::lives(&life).len(), 2);
    assert!(!place.path("pid").exists() && !place.path("monitor").exists());
}

#[test]
fn a_handler_that_cannot_be_forked_is_tried_again() {
    needs!(kit::root());
    let place = Place::of_user(lonely_user(2));
    let (life, handled) = (place.out("life"), place.out("handled"));
    let handler = place.script("handler", words!["life", &handled]);
    let line = words!["-m", "-", handler, "--", place.probe(), "life", &life, "at", "1", "wait", "wait"];
    let manager = place.vsrun(line).start();
    let first = kit::await_life(&life, 1);
    allow_processes(&place, &manager, "0");
    sys::kill(first, libc::SIGKILL);
    kit::await_true("the first server's end", || process::reaped(first));
    manager.await_err("Resource temporarily unavailable");
    assert_eq!(kit::lives(&handled).len(), 0);
    allow_processes(&place, &manager, "1000");
    kit::await_life(&handled, 1);
    kit::await_life(&life, 2);
    manager.stop().exited(0);
}

#[test]
fn a_start_that_cannot_fork_fails() {
    needs!(kit::root());
    let place = Place::of_user(lonely_user(3));
    for options in [words!["-m", "-", "-"], words!["-b"], words!["-b", "-m", "-", "-"]] {
        let line = [options, words!["-p", "pid", "--", place.probe(), "append", place.out("ran"), "x"]].concat();
        let ended = place.vsrun(line).before(|| sys::limit_processes(0)).finish();
        ended.failed(125, &["Resource temporarily unavailable"]);
        assert!(!place.path("pid").exists() && !place.out("ran").exists());
    }
}

#[test]
fn a_stderr_that_nobody_reads_or_has_stops_no_manager() {
    for read in [true, false] {
        let place = Place::new();
        let life = place.out("life");
        let (reader, writer) = sys::pipe();
        sys::fill(&writer);
        let reader = read.then_some(reader);
        let options = words!["--debug", "--restart", "on-failure", "--restart-delay", "0"];
        let line = [options, words!["--", place.probe(), "life", &life, "until", "5", "exit", "1", "wait"]].concat();
        let manager = place.vsrun(line).stderr(writer).start();
        kit::await_life(&life, 6);
        manager.signal(libc::SIGHUP);
        kit::await_life(&life, 7);
        manager.stop().exited(0);
        drop(reader);
    }
}

#[test]
fn a_pidfile_that_cannot_be_written_again_holds_no_restart_up() {
    needs!(kit::root());
    let place = Place::new();
    let disk = place.path("disk");
    kit::place::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&place, &[Mount::Memory(disk.clone(), "size=4k")]);
    let (pidfile, filler) = (mounts.path(&disk.join("pid")), mounts.path(&disk.join("filler")));
    let (life, gate, began) = (place.out("life"), place.out("gate"), place.out("began"));
    let handler = place.script("handler", words!["life", &began, "at", "1", "await", &gate]);
    let options = words!["--restart-delay", "0", "-p", disk.join("pid"), "-m", "-", handler];
    let actions = words!["life", &life, "at", "1", "exit", "1", "wait"];
    let manager = place.vsrun([options, words!["--", place.probe()], actions].concat()).within(&mounts).start();
    kit::await_life(&began, 1);
    // The file is empty now, and its page is ours.
    fs::write(&filler, vec![b'x'; 4096]).unwrap();
    fs::write(&gate, "").unwrap();
    let second = kit::await_life(&life, 2);
    manager.await_err("No space left");
    assert!(!kit::text(&pidfile).contains(char::is_numeric), "{:?}", kit::text(&pidfile));
    fs::remove_file(&filler).unwrap();
    sys::kill(second, libc::SIGKILL);
    let third = kit::await_life(&life, 3);
    assert_eq!(kit::text(&pidfile), format!("{third}\n"), "it tries again at the next");
    manager.stop().exited(0);
}

/// One system call of vsrun before its execve, as strace shows it: its name, and which of that name it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    name: String,
    number: usize,
    shown: String,
}

/// Runs vsrun under strace with these options of strace, and reads the trace of the process that was started first.
fn trace(place: &Place, strace: Vec<OsString>, line: Vec<OsString>) -> (kit::Ended, Vec<String>) {
    let out = place.path("trace");
    let _ = fs::remove_file(&out);
    let words = [words!["-qq", "-o", &out], strace, words![place.path("vsrun")], line].concat();
    let ended = place.program(&kit::find_tool("strace").unwrap(), words).finish();
    (ended, kit::lines(&out))
}

/// Calls that no kernel refuses, and those for memory: a program that gets none at its beginning cannot say much.
const SURE: &[&str] = &[
    "arch_prctl",
    "set_tid_address",
    "brk",
    "mmap",
    "munmap",
    "geteuid",
    "getuid",
    "getpid",
    "umask",
    "fstat",
    "rt_sigaction",
    "rt_sigprocmask",
];

/// The system calls between vsrun's own start and the server's, without those that cannot fail.
fn points(trace: &[String]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for shown in trace.iter().skip(1).take_while(|line| !line.starts_with("execve(")) {
        let Some((name, _)) = shown.split_once('(') else { continue };
        if SURE.contains(&name) {
            continue;
        }
        let number = 1 + points.iter().filter(|point| point.name == name).count();
        points.push(Point { name: name.to_owned(), number, shown: shown.clone() });
    }
    points
}

/// What must be the same however the way there was disturbed.
fn essence(report: &Report) -> Vec<String> {
    let names = ["uids", "gids", "groups", "root", "cwd", "umask", "ignored", "blocked", "pending"];
    names.iter().map(|name| format!("{name} {}", report.one(name))).collect()
}

#[test]
fn every_system_call_of_the_start_may_fail() {
    needs!(kit::root(), kit::tool("strace"));
    let place = Place::new();
    let jail = place.jail();
    let (report, pidfile) = (jail.join("out/report"), place.path("pid"));
    let options =
        words!["-p", &pidfile, "-u", "12345:23456", "-r", &jail, "-w", "/out", "--umask", "027", "--argv0", "a"];
    let line = [options, words!["--", "/probe", "report", "/out/report"]].concat();
    let (ended, calm) = trace(&place, words![], line.clone());
    ended.exited(0);
    let wanted = essence(&place.report(&report));
    let points = points(&calm);
    assert!(points.len() > 15, "{points:?}");
    let mut wrong = Vec::new();
    for point in &points {
        for error in ["EPERM", "ENOMEM"] {
            let _ = fs::remove_file(&report);
            let _ = fs::remove_file(&pidfile);
            let inject = words!["-e", format!("inject={}:error={error}:when={}", point.name, point.number)];
            let (ended, _) = trace(&place, inject, line.clone());
            let complaint = match ended.code() {
                Some(0) if essence(&place.report(&report)) == wanted => None,
                Some(0) => Some("the server is not what it should be"),
                Some(125..=127) if report.exists() => Some("the server was started"),
                Some(125..=127) if pidfile.exists() && !pidfile_cannot_go(point) => Some("the pidfile is left behind"),
                Some(125..=127) if ended.err.len() == 1 && ended.err[0].starts_with("vsrun: ") => None,
                Some(125..=127) => Some("it does not say why in one line"),
                _ => Some("what kind of end is that"),
            };
            wrong.extend(complaint.map(|complaint| format!("{error} for {}: {complaint}: {ended:?}", point.shown)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Where the very call that would remove it is the one that fails.
fn pidfile_cannot_go(point: &Point) -> bool {
    point.name.starts_with("unlink")
}

#[test]
fn what_makes_the_server_safe_is_never_skipped() {
    needs!(kit::root(), kit::tool("strace"));
    let place = Place::new();
    let jail = place.jail();
    let options = words!["-p", "pid", "-u", "12345:23456", "-r", &jail, "-w", "/out", "-m", "monitor", "-"];
    let line = [options, words!["--", "/probe", "append", "/out/ran", "x"]].concat();
    let families: [&[&str]; 5] = [
        &["setgroups"],
        &["setresgid", "setgid", "setregid"],
        &["setresuid", "setuid", "setreuid"],
        &["chroot"],
        &["setsid"],
    ];
    for family in families {
        let mut injected = 0;
        for name in family {
            let inject = words!["-f", "-e", format!("inject={name}:error=EPERM")];
            let (ended, calls) = trace(&place, inject, line.clone());
            if !calls.iter().any(|call| call.contains("(INJECTED)")) {
                fs::remove_file(jail.join("out/ran")).unwrap();
                continue;
            }
            injected += 1;
            ended.failed(125, &["not permitted"]);
            assert!(!jail.join("out/ran").exists(), "{name}");
            assert!(!place.path("pid").exists() && !place.path("monitor").exists(), "{name}");
            place.await_nothing_left();
        }
        assert!(injected > 0, "one of {family:?} is called");
    }
}

#[test]
fn a_file_system_without_locks_is_an_error() {
    needs!(kit::tool("strace"));
    let place = Place::new();
    for stay in [words![], words!["-m", "-", "-"]] {
        let line = [words!["-p", "pid"], stay, words!["--", place.probe(), "append", "ran", "x"]].concat();
        let (ended, calm) = trace(&place, words![], line.clone());
        ended.exited(0);
        fs::remove_file(place.path("ran")).unwrap();
        let _ = fs::remove_file(place.path("pid"));
        let lock = points(&calm).into_iter().find(|point| point.shown.contains("F_OFD_SETLK")).unwrap();
        let inject = words!["-e", format!("inject={}:error=ENOLCK:when={}", lock.name, lock.number)];
        trace(&place, inject, line).0.failed(125, &["pid", "No locks available"]);
        assert!(!place.path("ran").exists() && !place.path("pid").exists());
    }
}

#[test]
fn a_kernel_without_newer_calls_is_served_all_the_same() {
    needs!(kit::root(), kit::tool("strace"));
    let place = Place::new();
    let report = place.out("report");
    let line = words!["-u", "12345:23456", "-p", "pid", "--", place.probe(), "report", &report];
    for name in ["close_range", "openat2", "faccessat2", "pidfd_open", "pidfd_send_signal"] {
        let (ended, _) = trace(&place, words!["-f", "-e", format!("inject={name}:error=ENOSYS")], line.clone());
        ended.exited(0);
        let found = place.report(&report);
        assert_eq!(found.descriptors().len(), 4, "{name}: {found:?}");
        fs::remove_file(&report).unwrap();
    }
    let (ended, _) =
        trace(&place, words!["-f", "-e", "inject=close_range:error=ENOSYS"], line_with_proc_hidden(&place, &report));
    ended.exited(0);
    assert_eq!(place.report(&report).descriptor_numbers(), [0, 1, 2]);
}

/// The same where the jail has no `/proc` to look descriptors up in.
fn line_with_proc_hidden(place: &Place, report: &Path) -> Vec<OsString> {
    let jail = place.jail();
    let inside = jail.join("out/report");
    let _ = fs::remove_file(report);
    std::os::unix::fs::symlink(&inside, report).unwrap();
    words!["-m", "-", "-", "-r", jail, "--", "/probe", "report", "/out/report"]
}
