//! Real faults: no process can be forked, the disk is full, no process reads stderr, the kernel refuses system calls.

use crate::harness::{self, Mount, Mounts, Report, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// A user that only this test has: the kernel counts the processes of a user on the whole machine.
fn uid_of_this_test(test: u32) -> u32 {
    1_000_000 + sys::pid().cast_unsigned() % 100_000 * 10 + test
}

#[track_caller]
fn allow_processes(sandbox: &Sandbox, manager: &Running, most: &str) {
    let words = words!["processes", format!("{}", manager.pid()), most];
    sandbox.program(&sandbox.probe(), words).finish().assert_exited(0);
}

#[test]
fn manager_that_cannot_fork_retries_and_exits_on_sigterm() {
    needs!(harness::root());
    let sandbox = Sandbox::of_user(uid_of_this_test(1));
    let life = sandbox.out("life");
    let line = words!["-p", "pid", "-m", "monitor", "-", "--", sandbox.probe(), "life", &life, "wait"];
    let manager = sandbox.vsrun(line).start();
    let first = harness::await_life(&life, 1);
    allow_processes(&sandbox, &manager, "0");
    sys::kill(first, libc::SIGKILL);
    harness::await_true("the first server's end", || process::reaped(first));
    manager.await_err("Resource temporarily unavailable");
    assert_eq!(harness::lives(&life).len(), 1);
    allow_processes(&sandbox, &manager, "1000");
    let second = harness::await_life(&life, 2);
    assert_eq!(harness::text(&sandbox.path("pid")), format!("{second}\n"));
    allow_processes(&sandbox, &manager, "0");
    sys::kill(second, libc::SIGKILL);
    harness::await_true("the second server's end", || process::reaped(second));
    manager.stop().assert_exited(0);
    assert_eq!(harness::lives(&life).len(), 2);
    assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
}

#[test]
fn a_handler_that_cannot_be_forked_is_tried_again() {
    needs!(harness::root());
    let sandbox = Sandbox::of_user(uid_of_this_test(2));
    let (life, handled) = (sandbox.out("life"), sandbox.out("handled"));
    let handler = sandbox.script("handler", words!["life", &handled]);
    let line = words!["-m", "-", handler, "--", sandbox.probe(), "life", &life, "at", "1", "wait", "wait"];
    let manager = sandbox.vsrun(line).start();
    let first = harness::await_life(&life, 1);
    allow_processes(&sandbox, &manager, "0");
    sys::kill(first, libc::SIGKILL);
    harness::await_true("the first server's end", || process::reaped(first));
    manager.await_err("Resource temporarily unavailable");
    assert_eq!(harness::lives(&handled).len(), 0);
    allow_processes(&sandbox, &manager, "1000");
    harness::await_life(&handled, 1);
    harness::await_life(&life, 2);
    manager.stop().assert_exited(0);
}

#[test]
fn a_start_that_cannot_fork_fails() {
    needs!(harness::root());
    let sandbox = Sandbox::of_user(uid_of_this_test(3));
    for options in [words!["-m", "-", "-"], words!["-b"], words!["-b", "-m", "-", "-"]] {
        let line = [options, words!["-p", "pid", "--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        let ended = sandbox.vsrun(line).before(|| sys::limit_processes(0)).finish();
        ended.assert_failed(125, &["Resource temporarily unavailable"]);
        assert!(!sandbox.path("pid").exists() && !sandbox.out("ran").exists());
    }
}

#[test]
fn manager_survives_a_stderr_that_no_process_reads() {
    for read in [true, false] {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let (reader, writer) = sys::pipe();
        sys::fill(&writer);
        let reader = read.then_some(reader);
        let options = words!["--debug", "--restart", "on-failure", "--restart-delay", "0"];
        let line = [options, words!["--", sandbox.probe(), "life", &life, "until", "5", "exit", "1", "wait"]].concat();
        let manager = sandbox.vsrun(line).stderr(writer).start();
        harness::await_life(&life, 6);
        manager.signal(libc::SIGHUP);
        harness::await_life(&life, 7);
        manager.stop().assert_exited(0);
        drop(reader);
    }
}

#[test]
fn full_disk_below_the_pidfile_does_not_prevent_a_restart() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    harness::sandbox::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(disk.clone(), "size=4k")]);
    let (pidfile, filler) = (mounts.path(&disk.join("pid")), mounts.path(&disk.join("filler")));
    let (life, gate, began) = (sandbox.out("life"), sandbox.out("gate"), sandbox.out("began"));
    let handler = sandbox.script("handler", words!["life", &began, "at", "1", "await", &gate]);
    let options = words!["--restart-delay", "0", "-p", disk.join("pid"), "-m", "-", handler];
    let actions = words!["life", &life, "at", "1", "exit", "1", "wait"];
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).within(&mounts).start();
    harness::await_life(&began, 1);
    // The manager has emptied the pidfile, which freed the only page of the file system. `filler` takes that page.
    fs::write(&filler, vec![b'x'; 4096]).unwrap();
    fs::write(&gate, "").unwrap();
    let second = harness::await_life(&life, 2);
    manager.await_err("No space left");
    assert!(!harness::text(&pidfile).contains(char::is_numeric), "{:?}", harness::text(&pidfile));
    fs::remove_file(&filler).unwrap();
    sys::kill(second, libc::SIGKILL);
    let third = harness::await_life(&life, 3);
    assert_eq!(harness::text(&pidfile), format!("{third}\n"), "it tries again at the next");
    manager.stop().assert_exited(0);
}

/// A system call of vsrun before it executes the server, as strace prints it. `number` counts the calls of that name
/// from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    name: String,
    number: usize,
    shown: String,
}

/// Runs vsrun under strace with the additional options `strace`. Returns vsrun's result and the lines of the trace.
fn trace(sandbox: &Sandbox, strace: Vec<OsString>, line: Vec<OsString>) -> (harness::ProcessResult, Vec<String>) {
    let out = sandbox.path("trace");
    let _ = fs::remove_file(&out);
    let words = [words!["-qq", "-o", &out], strace, words![sandbox.path("vsrun")], line].concat();
    let ended = sandbox.program(&harness::find_tool("strace").unwrap(), words).finish();
    (ended, harness::lines(&out))
}

/// Calls in which no fault is injected: no kernel refuses them, or they get the memory without which no error can be
/// reported.
const CALLS_NOT_INJECTED: &[&str] = &[
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

/// The system calls of the trace from the execve of vsrun to that of the server, where a fault can be injected.
fn points(trace: &[String]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for shown in trace.iter().skip(1).take_while(|line| !line.starts_with("execve(")) {
        let Some((name, _)) = shown.split_once('(') else { continue };
        if CALLS_NOT_INJECTED.contains(&name) {
            continue;
        }
        let number = 1 + points.iter().filter(|point| point.name == name).count();
        points.push(Point { name: name.to_owned(), number, shown: shown.clone() });
    }
    points
}

/// What must be the same about the server whichever system call failed before it was started.
fn invariant_properties(report: &Report) -> Vec<String> {
    let names = ["uids", "gids", "groups", "root", "cwd", "umask", "ignored", "blocked", "pending"];
    names.iter().map(|name| format!("{name} {}", report.one(name))).collect()
}

#[test]
fn failed_system_call_aborts_the_start_or_changes_nothing() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let (report, pidfile) = (jail.join("out/report"), sandbox.path("pid"));
    let options =
        words!["-p", &pidfile, "-u", "12345:23456", "-r", &jail, "-w", "/out", "--umask", "027", "--argv0", "a"];
    let line = [options, words!["--", "/probe", "report", "/out/report"]].concat();
    let (ended, calm) = trace(&sandbox, words![], line.clone());
    ended.assert_exited(0);
    let wanted = invariant_properties(&sandbox.report(&report));
    let points = points(&calm);
    assert!(points.len() > 15, "{points:?}");
    let mut wrong = Vec::new();
    for point in &points {
        for error in ["EPERM", "ENOMEM"] {
            let _ = fs::remove_file(&report);
            let _ = fs::remove_file(&pidfile);
            let inject = words!["-e", format!("inject={}:error={error}:when={}", point.name, point.number)];
            let (ended, _) = trace(&sandbox, inject, line.clone());
            let complaint = match ended.code() {
                Some(0) if invariant_properties(&sandbox.report(&report)) == wanted => None,
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

/// True if the failed call is the one that removes the pidfile.
fn pidfile_cannot_go(point: &Point) -> bool {
    point.name.starts_with("unlink")
}

#[test]
fn start_fails_if_setuid_chroot_or_setsid_fails() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
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
            let (ended, calls) = trace(&sandbox, inject, line.clone());
            if !calls.iter().any(|call| call.contains("(INJECTED)")) {
                fs::remove_file(jail.join("out/ran")).unwrap();
                continue;
            }
            injected += 1;
            ended.assert_failed(125, &["not permitted"]);
            assert!(!jail.join("out/ran").exists(), "{name}");
            assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists(), "{name}");
            sandbox.await_nothing_left();
        }
        assert!(injected > 0, "one of {family:?} is called");
    }
}

#[test]
fn a_file_system_without_locks_is_an_error() {
    needs!(harness::tool("strace"));
    let sandbox = Sandbox::new();
    for stay in [words![], words!["-m", "-", "-"]] {
        let line = [words!["-p", "pid"], stay, words!["--", sandbox.probe(), "append", "ran", "x"]].concat();
        let (ended, calm) = trace(&sandbox, words![], line.clone());
        ended.assert_exited(0);
        fs::remove_file(sandbox.path("ran")).unwrap();
        let _ = fs::remove_file(sandbox.path("pid"));
        let lock = points(&calm).into_iter().find(|point| point.shown.contains("F_OFD_SETLK")).unwrap();
        let inject = words!["-e", format!("inject={}:error=ENOLCK:when={}", lock.name, lock.number)];
        trace(&sandbox, inject, line).0.assert_failed(125, &["pid", "No locks available"]);
        assert!(!sandbox.path("ran").exists() && !sandbox.path("pid").exists());
    }
}

#[test]
fn start_works_on_a_kernel_without_newer_system_calls() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let line = words!["-u", "12345:23456", "-p", "pid", "--", sandbox.probe(), "report", &report];
    for name in ["close_range", "openat2", "faccessat2", "pidfd_open", "pidfd_send_signal"] {
        let (ended, _) = trace(&sandbox, words!["-f", "-e", format!("inject={name}:error=ENOSYS")], line.clone());
        ended.assert_exited(0);
        let found = sandbox.report(&report);
        assert_eq!(found.descriptors().len(), 4, "{name}: {found:?}");
        fs::remove_file(&report).unwrap();
    }
    let (ended, _) = trace(
        &sandbox,
        words!["-f", "-e", "inject=close_range:error=ENOSYS"],
        line_with_proc_hidden(&sandbox, &report),
    );
    ended.assert_exited(0);
    assert_eq!(sandbox.report(&report).descriptor_numbers(), [0, 1, 2]);
}

/// A managed server in a jail without `/proc`, where its descriptors cannot be listed. `report` becomes a link into the
/// jail.
fn line_with_proc_hidden(sandbox: &Sandbox, report: &Path) -> Vec<OsString> {
    let jail = sandbox.jail();
    let inside = jail.join("out/report");
    let _ = fs::remove_file(report);
    std::os::unix::fs::symlink(&inside, report).unwrap();
    words!["-m", "-", "-", "-r", jail, "--", "/probe", "report", "/out/report"]
}
