//! What vsrun costs, in numbers that a kernel counts: system calls, descriptors, memory.

use crate::harness::{self, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// The most system calls of a start with a user, besides `rt_sigaction`. Version 0.1 made 24. What the rules about hostile
/// neighbours cost: a session keyring of the user's own (4), no core dump after each change of ids (4), signals held until
/// the exec (1), the proof that descriptors are closed before the user is changed (2), terminals for writing only (2), and
/// no privileged call where nothing changes (3).
const CALLS_OF_A_START: usize = 40;
/// The most calls of rt_sigaction: one for each signal whose disposition can be set, one that asks for that of SIGHUP, and
/// two for the signals that a write may cause, which are ignored until the exec.
const ACTIONS_OF_A_START: usize = 65;
/// The most anonymous memory of a manager at rest, in KiB.
const MEMORY_AT_REST: u64 = 20;

/// What cargo builds for tests is not the small program, whose budgets these are; that one is named by VSRUN.
fn is_small() -> bool {
    let small = std::env::var_os("VSRUN").is_some();
    if !small {
        eprintln!("NOT ASKED: VSRUN names no small program");
    }
    small
}

/// strace, with these options and words, writing to `trace`.
fn strace(sandbox: &Sandbox, words: Vec<OsString>) -> harness::Call<'_> {
    sandbox
        .program(&harness::find_tool("strace").unwrap(), [words!["-qq", "-o", sandbox.path("trace")], words].concat())
}

#[test]
fn a_start_needs_few_system_calls() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let line = words![sandbox.path("vsrun"), "-u", "65534:65534", "--", "true"];
    strace(&sandbox, line).finish().exited(0);
    let trace = harness::lines(&sandbox.path("trace"));
    // The first line is strace's own execve of vsrun; the way ends with the one that finds the command.
    let end = trace.iter().skip(1).position(|call| call.starts_with("execve(") && call.ends_with("= 0")).unwrap();
    let (actions, calls): (Vec<&String>, Vec<&String>) =
        trace[1..=end].iter().partition(|call| call.starts_with("rt_sigaction("));
    eprintln!("calls of a start: {}, and {} of rt_sigaction", calls.len(), actions.len());
    if is_small() {
        assert!(calls.len() <= CALLS_OF_A_START, "{} calls: {calls:#?}", calls.len());
        assert!(actions.len() <= ACTIONS_OF_A_START, "{} calls: {actions:#?}", actions.len());
    }
}

/// A manager with both pidfiles and a log directory, whose server waits.
#[track_caller]
fn at_rest(sandbox: &Sandbox, output: Vec<OsString>) -> Running {
    let life = sandbox.out("life");
    let line = words!["-p", "pid", "-m", "monitor", "-", "--", sandbox.probe(), "life", &life, "wait"];
    let manager = sandbox.vsrun([output, line].concat()).start();
    harness::await_life(&life, 1);
    harness::await_true("the manager to sleep", || process::state(manager.pid()) == "S" && has_seen_the_start(sandbox));
    manager
}

fn has_seen_the_start(sandbox: &Sandbox) -> bool {
    !harness::text(&sandbox.path("pid")).is_empty()
}

#[test]
fn a_manager_at_rest_makes_no_system_call() {
    needs!(harness::tool("strace"));
    let sandbox = Sandbox::new();
    let manager = at_rest(&sandbox, words!["-d", "logs", "1"]);
    let tracer = strace(&sandbox, words!["-p", format!("{}", manager.pid())]).start();
    harness::await_true("the tracer", || process::status(manager.pid(), "TracerPid") != "0");
    // The one place where these tests let time pass: it is what is measured.
    std::thread::sleep(Duration::from_secs(3));
    let calls = harness::lines(&sandbox.path("trace"));
    tracer.signal(libc::SIGINT);
    tracer.finish();
    assert!(calls.is_empty(), "{calls:#?}");
    manager.stop().exited(0);
}

#[test]
fn a_manager_holds_no_descriptor_it_does_not_need() {
    let sandbox = Sandbox::new();
    let handler = sandbox.script("handler", words!["exit", "1"]);
    let options = words!["-p", "pid", "-m", "monitor", handler, "-d", "logs", "1"];
    let line = [options, words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"]].concat();
    let file = std::fs::File::open(sandbox.directory()).unwrap();
    let leak = move || [50, 51].into_iter().try_for_each(|to| sys::duplicate(file.as_raw_fd(), to));
    let manager = sandbox.vsrun(line).before(leak).start();
    harness::await_life(&sandbox.out("life"), 1);
    // The server may be faster than the manager that has just started it, and still has the pipe between them.
    let has_pipe = || process::descriptors(manager.pid()).iter().any(|(_, target)| target.starts_with("pipe:"));
    harness::await_true("the end of the pipe that reports failed steps", || !has_pipe());
    let mut found = process::descriptors(manager.pid());
    assert!(found.iter().all(|(fd, _)| *fd < 50), "the caller's: {found:#?}");
    found.retain(|(fd, _)| *fd > 2);
    // Where the kernel counts the processes that it killed for lack of memory, if it does: the handler gets it.
    let counts = |target: &String| target.ends_with("/memory.oom_control") || target.ends_with("/memory.events");
    assert!(found.iter().filter(|(_, target)| counts(target)).count() <= 1, "{found:#?}");
    found.retain(|(_, target)| !counts(target));
    // The directory of each pidfile; of the server's log one to write and one that the handler will read.
    let needed = ["", "", "/pid", "/monitor", "/logs", "/logs/vsrun.log", "/logs/logfile", "/logs/logfile"];
    let mut needed = needed.map(|name| format!("{}{name}", sandbox.directory().display())).to_vec();
    needed.push("anon_inode:[signalfd]".to_owned());
    // Shows the server's end even if a tracer hides it.
    needed.push("anon_inode:[pidfd]".to_owned());
    for (fd, target) in &found {
        let index = needed.iter().position(|name| name == target);
        assert!(index.is_some(), "{fd} is one too many: {found:#?}");
        needed.remove(index.unwrap());
    }
    manager.stop().exited(0);
}

/// The anonymous memory of a process, in KiB.
fn memory(pid: i32) -> u64 {
    let rollup = harness::text(Path::new(&format!("/proc/{pid}/smaps_rollup")));
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_manager_at_rest_has_little_memory() {
    let sandbox = Sandbox::new();
    let manager = at_rest(&sandbox, words!["-d", "logs", "1"]);
    let found = memory(manager.pid());
    if is_small() {
        assert!(found <= MEMORY_AT_REST, "{found} KiB");
    }
    manager.stop().exited(0);
}

/// The most bytes of stack that a manager at rest uses, from the kernel's argv on. With the kernel's random offset, each
/// of them is a byte of memory for each manager on average.
const STACK_AT_REST: usize = 960;

#[test]
fn a_manager_at_rest_has_a_short_stack() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let manager = at_rest(&sandbox, words!["-d", "logs", "1"]);
    let read = |name: &str| harness::text(Path::new(&format!("/proc/{}/{name}", manager.pid())));
    // The stack pointer is the last but one in `syscall`, and the start of the stack the 28th field of `stat`.
    let (call, stat) = (read("syscall"), read("stat"));
    let now = call.split_whitespace().rev().nth(1).and_then(|word| word.strip_prefix("0x")).unwrap();
    let start: usize = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(25).unwrap().parse().unwrap();
    let found = start - usize::from_str_radix(now, 16).unwrap();
    eprintln!("stack of a manager at rest: {found} of {STACK_AT_REST}");
    if is_small() {
        assert!(found <= STACK_AT_REST, "{found} bytes");
    }
    manager.stop().exited(0);
}

#[test]
fn two_thousand_restarts_change_neither_descriptors_nor_memory() {
    const RESTARTS: usize = 2000;
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let options = words!["-p", "pid", "-d", "logs", "1", "--restart-delay", "0", "-m", "monitor", "-"];
    // What the server's process does on its way, it does in the manager's memory.
    let steps = words!["-w", "/", "--umask", "022", "--nice", "1", "--oom-score-adj", "10", "--limit", "core=0"];
    let options = [options, steps, words!["--no-new-privs", "--listen", sandbox.path("socket")]].concat();
    let actions = words![
        "life",
        &life,
        "at",
        "2",
        "await",
        sandbox.out("gate"),
        "until",
        format!("{RESTARTS}"),
        "shut",
        "3",
        "until",
        format!("{RESTARTS}"),
        "exit",
        "1",
        "wait"
    ];
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).start();
    // The second life: everything that a restart needs has been used once.
    harness::await_life(&life, 2);
    // The server runs a moment before its manager has heard so.
    let waits = || !process::descriptors(manager.pid()).iter().any(|(_, target)| target.starts_with("pipe:"));
    harness::await_true("a manager that waits for nothing but signals", waits);
    // Each run shuts the socket down, so the next one has another socket with the same number.
    let kind = |target: &str| target.split_once("socket:").map_or(target, |_| "socket").to_string();
    let held = || {
        let descriptors = process::descriptors(manager.pid());
        descriptors.iter().map(|(number, target)| (*number, kind(target))).collect::<Vec<_>>()
    };
    let before = (held(), memory(manager.pid()));
    std::fs::write(sandbox.out("gate"), "").unwrap();
    harness::await_life(&life, RESTARTS + 1);
    harness::await_true("a manager that waits for nothing but signals", waits);
    assert_eq!((held(), memory(manager.pid())), before);
    manager.stop().exited(0);
    sandbox.await_nothing_left();
}

#[test]
fn after_the_first_start_nothing_is_allocated() {
    needs!(harness::tool("strace"));
    let sandbox = Sandbox::new();
    let (life, gate) = (sandbox.out("life"), sandbox.out("gate"));
    let handler = sandbox.script("handler", words!["append", sandbox.out("handled"), "x"]);
    let options = words!["-p", "pid", "-d", "logs", "1", "--restart-delay", "0", "-m", "monitor", handler];
    let options = [options, words!["--listen", sandbox.path("socket")]].concat();
    let down = words!["until", "20", "shut", "3", "until", "20", "exit", "1", "wait"];
    let actions = [words!["life", &life, "at", "1", "await", &gate], down].concat();
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).start();
    harness::await_life(&life, 1);
    let tracer = strace(&sandbox, words!["-e", "trace=brk,mmap,mremap", "-p", format!("{}", manager.pid())]).start();
    harness::await_true("the tracer", || process::status(manager.pid(), "TracerPid") != "0");
    std::fs::write(&gate, "").unwrap();
    harness::await_life(&life, 21);
    manager.signal(libc::SIGHUP);
    harness::await_life(&life, 22);
    manager.stop().exited(0);
    tracer.finish();
    let calls: Vec<String> = harness::lines(&sandbox.path("trace"))
        .into_iter()
        .filter(|call| call.contains("brk(") || call.contains("map("))
        .collect();
    assert!(calls.is_empty(), "{calls:#?}");
}
