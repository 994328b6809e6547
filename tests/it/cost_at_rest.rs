//! What a start and a manager at rest cost, in numbers that the kernel counts: system calls, descriptors, memory.

use crate::harness::{self, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// Maximum of system calls of a start with `-u`, except `rt_sigaction`. Version 0.1 made 24; protection against hostile
/// processes has added 16: a session keyring of the user's own (4), no core dump after each change of ids (4), signals
/// blocked until the exec (1), the proof that descriptors are closed before the user is changed (2), terminals opened
/// for writing only (2), and no privileged call where nothing changes (3).
const CALLS_OF_A_START: usize = 40;
/// Maximum of rt_sigaction calls of a start: one for each signal whose disposition can be set, one that asks for that
/// of SIGHUP, and two for the signals that a write may cause, which are ignored until the exec.
const ACTIONS_OF_A_START: usize = 65;
/// Maximum of anonymous memory of a manager at rest, in KiB.
const MEMORY_AT_REST: u64 = 20;

/// True if `VSRUN` names the program to test. The budgets hold for the small release binary only, not for the one that
/// cargo builds for tests.
fn is_small() -> bool {
    let small = std::env::var_os("VSRUN").is_some();
    if !small {
        eprintln!("NOT ASKED: VSRUN names no small program");
    }
    small
}

/// Runs strace with these arguments. It writes to the file `trace` of the sandbox.
fn strace(sandbox: &Sandbox, words: Vec<OsString>) -> harness::Call<'_> {
    sandbox
        .program(&harness::find_tool("strace").unwrap(), [words!["-qq", "-o", sandbox.path("trace")], words].concat())
}

#[test]
fn a_start_needs_few_system_calls() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let line = words![sandbox.path("vsrun"), "-u", "65534:65534", "--", "true"];
    strace(&sandbox, line).finish().assert_exited(0);
    let trace = harness::lines(&sandbox.path("trace"));
    // The first line is strace's own execve of vsrun; the start ends with the next execve that succeeds, that of the
    // command.
    let end = trace.iter().skip(1).position(|call| call.starts_with("execve(") && call.ends_with("= 0")).unwrap();
    let (actions, calls): (Vec<&String>, Vec<&String>) =
        trace[1..=end].iter().partition(|call| call.starts_with("rt_sigaction("));
    eprintln!("calls of a start: {}, and {} of rt_sigaction", calls.len(), actions.len());
    if is_small() {
        assert!(calls.len() <= CALLS_OF_A_START, "{} calls: {calls:#?}", calls.len());
        assert!(actions.len() <= ACTIONS_OF_A_START, "{} calls: {actions:#?}", actions.len());
    }
}

/// Starts a manager with both pidfiles and these output options, and waits until it sleeps while its server runs.
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
    // Let time pass: the test measures that nothing happens in these three seconds.
    std::thread::sleep(Duration::from_secs(3));
    let calls = harness::lines(&sandbox.path("trace"));
    tracer.signal(libc::SIGINT);
    tracer.finish();
    assert!(calls.is_empty(), "{calls:#?}");
    manager.stop().assert_exited(0);
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
    // The server may run before the manager has closed the pipe that reports failed steps.
    let has_pipe = || process::descriptors(manager.pid()).iter().any(|(_, target)| target.starts_with("pipe:"));
    harness::await_true("the end of the pipe that reports failed steps", || !has_pipe());
    let mut found = process::descriptors(manager.pid());
    assert!(found.iter().all(|(fd, _)| *fd < 50), "the caller's: {found:#?}");
    found.retain(|(fd, _)| *fd > 2);
    // A file in which the kernel counts its out-of-memory kills, if there is one: the crash handler gets the count.
    let counts = |target: &String| target.ends_with("/memory.oom_control") || target.ends_with("/memory.events");
    assert!(found.iter().filter(|(_, target)| counts(target)).count() <= 1, "{found:#?}");
    found.retain(|(_, target)| !counts(target));
    // Two directories of pidfiles; the server's log twice, once to write and once for the handler to read.
    let needed = ["", "", "/pid", "/monitor", "/logs", "/logs/vsrun.log", "/logs/logfile", "/logs/logfile"];
    let mut needed = needed.map(|name| format!("{}{name}", sandbox.directory().display())).to_vec();
    needed.push("anon_inode:[signalfd]".to_owned());
    // The pidfd shows the server's exit even if a tracer hides it.
    needed.push("anon_inode:[pidfd]".to_owned());
    for (fd, target) in &found {
        let index = needed.iter().position(|name| name == target);
        assert!(index.is_some(), "{fd} is one too many: {found:#?}");
        needed.remove(index.unwrap());
    }
    manager.stop().assert_exited(0);
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
    manager.stop().assert_exited(0);
}

/// Maximum of stack bytes of a manager at rest, counted from the kernel's argv. Because the kernel places the stack at
/// a random offset, each byte costs on average one byte of memory per manager.
const STACK_AT_REST: usize = 960;

#[test]
fn a_manager_at_rest_has_a_short_stack() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let manager = at_rest(&sandbox, words!["-d", "logs", "1"]);
    let read = |name: &str| harness::text(Path::new(&format!("/proc/{}/{name}", manager.pid())));
    // The stack pointer is the last field but one of `syscall`, and the start of the stack is field 28 of `stat`.
    let (call, stat) = (read("syscall"), read("stat"));
    let now = call.split_whitespace().rev().nth(1).and_then(|word| word.strip_prefix("0x")).unwrap();
    let start: usize = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(25).unwrap().parse().unwrap();
    let found = start - usize::from_str_radix(now, 16).unwrap();
    eprintln!("stack of a manager at rest: {found} of {STACK_AT_REST}");
    if is_small() {
        assert!(found <= STACK_AT_REST, "{found} bytes");
    }
    manager.stop().assert_exited(0);
}

#[test]
fn two_thousand_restarts_change_neither_descriptors_nor_memory() {
    const RESTARTS: usize = 2000;
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let options = words!["-p", "pid", "-d", "logs", "1", "--restart-delay", "0", "-m", "monitor", "-"];
    // The child applies these steps in the memory of the manager, which it shares until its exec.
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
    // In the second run, everything that a restart needs has been used once.
    harness::await_life(&life, 2);
    // The server runs before the manager has read from the pipe that its exec has succeeded.
    let waits = || !process::descriptors(manager.pid()).iter().any(|(_, target)| target.starts_with("pipe:"));
    harness::await_true("a manager that waits for nothing but signals", waits);
    // Each run shuts the socket down, so the next one has a new socket with the same descriptor number.
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
    manager.stop().assert_exited(0);
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
    manager.stop().assert_exited(0);
    tracer.finish();
    let calls: Vec<String> = harness::lines(&sandbox.path("trace"))
        .into_iter()
        .filter(|call| call.contains("brk(") || call.contains("map("))
        .collect();
    assert!(calls.is_empty(), "{calls:#?}");
}
