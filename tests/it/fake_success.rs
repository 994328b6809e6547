//! A kernel, filter or tracer that reports success without executing the call: vsrun verifies each step that protects
//! the server, and does not start the server if one was not done. And until its exec, the process that becomes the
//! server is out of reach of the server's user.

use crate::harness::{self, Call, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Runs a command line under strace, with these options for strace itself.
fn strace(sandbox: &Sandbox, options: Vec<OsString>, line: Vec<OsString>) -> Call<'_> {
    let words = [words!["-f", "-qq", "-o", sandbox.path("trace")], options, line].concat();
    sandbox.program(&harness::find_tool("strace").unwrap(), words)
}

/// A system call that reports success without being executed, the options of vsrun with which that matters, and a part
/// of the error that vsrun must then report.
struct FakedCall {
    call: &'static str,
    options: &'static [&'static str],
    says: &'static str,
}

const USER: &[&str] = &["-u", "12345:23456"];
const CAPS: &[&str] = &["-u", "12345:23456", "--caps", "net_bind_service"];
const NONE: &[&str] = &["--caps", "none"];

#[rustfmt::skip]
const LIES: &[FakedCall] = &[
    FakedCall { call: "setgroups", options: USER, says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "setresgid", options: USER, says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "setresuid", options: USER, says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "getresuid", options: USER, says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "getresgid", options: USER, says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "getgroups", options: USER, says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "capget", options: USER, says: "drop the capabilities" },
    FakedCall { call: "setresuid", options: &["-u", "12345", "--caps", "none"], says: "verify that the server has only the IDs of user 12345" },
    FakedCall { call: "capget", options: CAPS, says: "drop the capabilities" },
    FakedCall { call: "capset", options: CAPS, says: "--caps net_bind_service" },
    FakedCall { call: "prctl", options: CAPS, says: "--caps net_bind_service" },
    FakedCall { call: "prctl", options: NONE, says: "--caps none" },
    FakedCall { call: "capset", options: NONE, says: "--caps none" },
    FakedCall { call: "capget", options: NONE, says: "--caps none" },
    FakedCall { call: "prctl", options: &["-u", "0:0", "--caps", "none"], says: "--caps none" },
    FakedCall { call: "prctl", options: &["--no-new-privs"], says: "--no-new-privs" },
    FakedCall { call: "landlock_restrict_self", options: &["--rwx", "/"], says: "confine the server with Landlock" },
    FakedCall { call: "landlock_create_ruleset", options: &["--rwx", "/"], says: "Linux 6.2" },
    FakedCall { call: "prctl", options: &["--rwx", "/"], says: "--no-new-privs" },
    FakedCall { call: "setpriority", options: &["--nice", "17"], says: "nice value" },
    FakedCall { call: "prlimit64", options: &["--limit", "core=5"], says: "--limit core=5" },
    FakedCall { call: "umask", options: &["--umask", "077"], says: "umask" },
];

#[test]
fn every_call_that_only_says_it_was_done_is_found_out() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    let mut wrong = Vec::new();
    for lie in LIES {
        for way in harness::ways() {
            let options = lie.options.iter().map(OsString::from).collect();
            let line = [words![sandbox.path("vsrun"), "-p", "pid"], way, options].concat();
            let line = [line, words!["--", sandbox.probe(), "append", &ran, "x"]].concat();
            let inject = words!["-e", format!("inject={}:retval=0", lie.call)];
            let ended = strace(&sandbox, inject, line.clone()).finish();
            let reported = harness::text(&sandbox.path("trace")).contains("(INJECTED)");
            let says = ended.complaints().len() == 1 && ended.complaints()[0].contains(lie.says);
            if !(reported && says && ended.code() == Some(125) && !ran.exists() && !sandbox.path("pid").exists()) {
                wrong.push(format!("{}: {line:?}: injected {reported}: {ended:?}", lie.call));
            }
            let _ = fs::remove_file(&ran);
            let _ = fs::remove_file(sandbox.path("pid"));
            sandbox.await_nothing_left();
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Fakes only one of many calls: the first, the second, and so on.
#[test]
fn one_faked_capability_call_is_detected_or_harmless() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let out = sandbox.out("status");
    let line = words![
        sandbox.path("vsrun"),
        "-u",
        "12345",
        "--caps",
        "kill",
        "--no-new-privs",
        "--",
        sandbox.probe(),
        "copy",
        "/proc/self/status",
        &out
    ];
    strace(&sandbox, words!["-e", "trace=prctl,capset,capget"], line.clone()).finish().assert_exited(0);
    let calm = harness::lines(&sandbox.path("trace"));
    assert!(calm.len() > 80, "{calm:#?}");
    let wanted: Vec<String> = essence(&out);
    let mut wrong = Vec::new();
    for name in ["prctl", "capset", "capget"] {
        let count = calm.iter().filter(|call| call.contains(&format!("{name}("))).count();
        for number in 1..=count {
            for answer in [0, 1] {
                let _ = fs::remove_file(&out);
                let inject = words!["-e", "trace=none", "-e", format!("inject={name}:retval={answer}:when={number}")];
                let ended = strace(&sandbox, inject, line.clone()).finish();
                let well = match ended.code() {
                    Some(0) => essence(&out) == wanted,
                    Some(125) => !out.exists() && ended.err.len() == 1,
                    _ => false,
                };
                if !well {
                    wrong.push(format!("{name} number {number} answers {answer}: {ended:?} {:?}", essence(&out)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn essence(status: &Path) -> Vec<String> {
    harness::lines(status)
        .into_iter()
        .filter(|line| ["Cap", "NoNew", "Uid", "Gid"].iter().any(|name| line.starts_with(name)))
        .collect()
}

#[test]
fn a_root_or_directory_that_did_not_change_is_found_out() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    for way in harness::ways() {
        for (call, says) in [("chroot", "change root"), ("chdir", "not permitted")] {
            // The path of the command also exists outside of the jail: without the change of root, it would run.
            let options = words!["-r", &jail, "-w", "/out", "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
            let line = [words![sandbox.path("vsrun")], way.clone(), options].concat();
            let ended = strace(&sandbox, words!["-e", format!("inject={call}:retval=0")], line).finish();
            ended.assert_failed(125, &[says]);
            assert!(!sandbox.out("ran").exists());
        }
    }
}

#[test]
fn a_session_or_terminal_that_was_not_left_is_found_out() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let action = || words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
    let line = [words![sandbox.path("vsrun"), "-m", "-", "-"], action()].concat();
    strace(&sandbox, words!["-e", "inject=setsid:retval=0"], line).finish().assert_failed(125, &["start a session"]);
    let line = [words![sandbox.path("vsrun"), "--stdin", "-u", "12345"], action()].concat();
    // Standard error is the terminal, which the test does not read: check the exit status only.
    let (call, _terminal) = strace(&sandbox, words!["-e", "inject=ioctl:retval=0"], line).on_terminal();
    call.finish().assert_exited(125);
    assert!(!sandbox.out("ran").exists());
}

#[test]
fn descriptors_that_were_not_closed_are_found_out() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    let file = fs::File::open(sandbox.directory()).unwrap();
    for way in harness::ways() {
        let fd = file.as_raw_fd();
        let line = [words![sandbox.path("vsrun")], way, words!["--", sandbox.probe(), "append", &ran, "x"]].concat();
        let call = strace(&sandbox, words!["-e", "inject=close_range:retval=0"], line);
        call.before(move || sys::duplicate(fd, 77))
            .finish()
            .assert_failed(125, &["close the descriptors", "not permitted"]);
        assert!(!ran.exists());
    }
}

#[test]
fn output_that_still_goes_elsewhere_is_found_out() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let line = [words![sandbox.path("vsrun"), "-p", "pid", "-d", sandbox.path("logs"), "1w"], way].concat();
        let line = [line, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        strace(&sandbox, words!["-e", "inject=dup2:retval=0"], line).finish().assert_failed(125, &["not permitted"]);
        assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists());
        sandbox.await_nothing_left();
    }
}

/// The system calls of vsrun itself, up to the exec of the server.
fn calls(sandbox: &Sandbox) -> Vec<String> {
    let trace = harness::lines(&sandbox.path("trace"));
    let end = trace.iter().skip(1).position(|call| call.contains("execve(") && call.ends_with("= 0")).unwrap();
    trace[1..=end].to_vec()
}

#[test]
fn a_limit_of_a_million_descriptors_costs_nothing() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let file = fs::File::open(sandbox.directory()).unwrap();
    let fd = file.as_raw_fd();
    for inject in [words![], words!["-e", "inject=close_range:error=ENOSYS"]] {
        let leak = move || {
            let _ = sys::limit_descriptors(1_000_000);
            [3, 7, 300, 3000].into_iter().try_for_each(|to| sys::duplicate(fd, to))
        };
        let line = words![sandbox.path("vsrun"), "-u", "12345", "--", sandbox.probe(), "report", &report];
        strace(&sandbox, inject, line).before(leak).finish().assert_exited(0);
        assert_eq!(sandbox.report(&report).descriptor_numbers(), [0, 1, 2]);
        let calls = calls(&sandbox);
        assert!(calls.len() < 200, "{}: {calls:#?}", calls.len());
        fs::remove_file(&report).unwrap();
    }
}

/// Between the change of the user and the exec, /proc shows the process as root's: the server's user can neither trace
/// it nor reach the files that it still has open.
#[test]
fn server_before_its_exec_is_out_of_its_users_reach() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    for way in [words![], words!["-m", "-", "-"]] {
        let ran = sandbox.out("ran");
        let line = [words![sandbox.path("vsrun"), "-p", "pid"], way, words!["-u", "12345", "--umask", "22"]].concat();
        let line = [line, words!["--", sandbox.probe(), "append", &ran, "x", "wait"]].concat();
        // strace delays umask(2), which comes after the change of the ids.
        let slow = words!["-e", "trace=umask", "-e", "inject=umask:delay_enter=3000000"];
        let tracer = strace(&sandbox, slow, line).start();
        let found = harness::await_some("a process that is the user already", || {
            let mut living = sandbox.living().into_iter();
            living.find(|pid| !process::gone(*pid) && process::status(*pid, "Uid").starts_with("12345"))
        });
        assert!(!ran.exists(), "it is still on its way");
        for name in ["fd", "mem", "environ", "root"] {
            let owner = fs::symlink_metadata(format!("/proc/{found}/{name}")).unwrap().uid();
            assert_eq!(owner, 0, "/proc/PID/{name}");
        }
        harness::await_file(&ran);
        // After the exec, the server is an ordinary process of the user, which may dump core.
        assert_eq!(fs::symlink_metadata(format!("/proc/{found}/mem")).unwrap().uid(), 12345);
        assert_ne!(tracer.pid(), found);
        sys::kill(found, libc::SIGTERM);
        for pid in sandbox.living() {
            sys::kill(pid, libc::SIGKILL);
        }
        tracer.finish();
        fs::remove_file(&ran).unwrap();
    }
}
