//! Budgets of the small binary, in numbers that the kernel counts and that a busy machine does not change: system calls
//! and page faults. `tests/it/cost_at_rest.rs` has those of a manager at rest, `tools/size` the bytes, `make bench` the
//! times.
//!
//! Each budget is a little above what was measured; raise one only with the reason in the commit message.

use crate::harness::{self, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::path::Path;

/// Maximum of page faults that a start with `-u` adds to those of the server alone.
const FAULTS_OF_A_START: usize = 14;
/// Maximum of page faults that `--init` and its child add to those of the server alone.
const FAULTS_OF_AN_INIT: usize = 14;
/// Maximum of system calls with which a manager forwards a signal, until it sleeps again.
const CALLS_OF_A_SIGNAL: usize = 6;
/// Maximum of system calls of a manager from the server's death until it sleeps again, with pidfiles.
/// `tests/it/cost_at_rest.rs` counts those of the child. Two calls open and close a pidfd, which shows an exit that a
/// tracer hides.
const CALLS_OF_A_RESTART: usize = 32;
/// Maximum of system calls of a manager from SIGTERM until it waits for the server's exit.
const CALLS_OF_A_STOP: usize = 11;
/// Maximum of system calls of a manager from the server's exit to its own.
const CALLS_OF_AN_END: usize = 24;
/// Maximum of system calls of `--init` from start to exit, except rt_sigaction, rt_sigprocmask and read. Two of them
/// keep it from pinning a mount: it asks for its working directory, and leaves it by chdir(2).
const CALLS_OF_AN_INIT: usize = 45;

/// True if `VSRUN` names the program to test. The budgets hold for the small release binary only, not for the one that
/// cargo builds for tests.
fn is_small() -> bool {
    let small = std::env::var_os("VSRUN").is_some();
    if !small {
        eprintln!("NOT ASKED: VSRUN names no small program");
    }
    small
}

/// Asserts that the count is within the budget and not 0: then the test would have counted nothing.
#[track_caller]
fn within(what: &str, found: usize, budget: usize, why: &impl std::fmt::Debug) {
    eprintln!("{what}: {found} of {budget}");
    assert!(found > 0, "{what}: none counted: {why:#?}");
    assert!(!is_small() || found <= budget, "{what}: {found}, more than {budget}: {why:#?}");
}

/// The page faults of a program and its children. The program must exit with 0.
fn faults(sandbox: &Sandbox, program: &Path, words: Vec<OsString>) -> usize {
    let (out, run) = (sandbox.path("faults"), words!["-f", "%R", "-o", sandbox.path("faults"), program]);
    sandbox.program(&harness::find_tool("time").unwrap(), [run, words].concat()).finish().assert_exited(0);
    harness::text(&out).trim().parse().unwrap()
}

/// The page faults that vsrun adds to those of the server alone. Each is the minimum of nine runs, because the machine
/// adds faults of its own, for a page that is being written back or moved.
fn page_faults_added(sandbox: &Sandbox, options: Vec<OsString>) -> usize {
    let server = || words![sandbox.probe(), "exit", "0"];
    let alone = (0..9).map(|_| faults(sandbox, &sandbox.probe(), words!["exit", "0"])).min().unwrap();
    let line = [options, words!["--"], server()].concat();
    let with = (0..9).map(|_| faults(sandbox, &sandbox.path("vsrun"), line.clone())).min().unwrap();
    with.saturating_sub(alone)
}

#[test]
fn a_start_touches_few_pages() {
    needs!(harness::root(), harness::tool("time"));
    // Take the minimum of four copies of the program: the page cache places each differently, and one fault maps
    // neighbouring pages together.
    let least =
        |options: Vec<OsString>| (0..4).map(|_| page_faults_added(&Sandbox::new(), options.clone())).min().unwrap();
    within("faults of a start", least(words!["-u", "65534:65534"]), FAULTS_OF_A_START, &());
    within("faults of an init", least(words!["--init"]), FAULTS_OF_AN_INIT, &());
}

/// The system calls of a manager whose server runs: one list for each signal that it receives. None if the machine was
/// so busy that a child needed a second for its exec and the manager started another one.
fn calls_after_each_signal(
    sandbox: &Sandbox,
    options: Vec<OsString>,
    happens: impl FnOnce(&Running),
) -> Option<Vec<Vec<String>>> {
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "signals", sandbox.out("seen"), "15"];
    let manager = sandbox.vsrun([options, server].concat()).start();
    harness::await_lines(&sandbox.out("seen"), 1);
    harness::await_true("the manager to sleep", || process::state(manager.pid()) == "S");
    let line = words!["-qq", "-o", sandbox.path("trace"), "-p", manager.pid().to_string()];
    let tracer = sandbox.program(&harness::find_tool("strace").unwrap(), line).start();
    harness::await_true("the tracer", || process::status(manager.pid(), "TracerPid") != "0");
    happens(&manager);
    manager.stop().assert_exited(0);
    tracer.finish();
    let trace = harness::lines(&sandbox.path("trace"));
    if trace.iter().any(|line| line.contains("SIGALRM")) {
        return None;
    }
    // Some file systems do not support RWF_NOWAIT; then vsrun repeats the write without it.
    let is_call = |line: &String| !line.starts_with(['-', '+']) && !line.contains("EOPNOTSUPP");
    let calls: Vec<String> = trace.into_iter().filter(is_call).collect();
    // Before the first received signal, the trace has only the sleep.
    let is_heard = |call: &String| call.starts_with("rt_sigtimedwait(") && !call.contains(" = -1 ");
    let starts: Vec<usize> = (0..calls.len()).filter(|sandbox| is_heard(&calls[*sandbox])).collect();
    let ends = starts[1..].iter().copied().chain([calls.len()]);
    Some(starts.iter().zip(ends).map(|(start, end)| calls[*start..end].to_vec()).collect())
}

#[test]
fn a_manager_makes_few_system_calls() {
    needs!(harness::tool("strace"));
    let options = words!["-p", "pid", "-m", "monitor", "-", "--restart-delay", "0"];
    let heard = harness::await_some("a quick restart", || {
        let sandbox = Sandbox::new();
        calls_after_each_signal(&sandbox, options.clone(), |manager| {
            manager.signal(libc::SIGUSR1);
            harness::await_lines(&sandbox.out("seen"), 2);
            sys::kill(harness::await_life(&sandbox.out("life"), 1), libc::SIGKILL);
            harness::await_lines(&sandbox.out("seen"), 3);
            let rests = || process::state(manager.pid()) == "S" && !harness::text(&sandbox.path("pid")).is_empty();
            harness::await_true("the manager to sleep", rests);
        })
    });
    let [signal, restart, stop, end] = heard.as_slice() else { panic!("{heard:#?}") };
    within("calls to pass a signal on", signal.len(), CALLS_OF_A_SIGNAL, signal);
    within("calls of a restart", restart.len(), CALLS_OF_A_RESTART, restart);
    within("calls to stop the server", stop.len(), CALLS_OF_A_STOP, stop);
    within("calls from its end to ours", end.len(), CALLS_OF_AN_END, end);
}

#[test]
fn an_init_makes_few_system_calls() {
    needs!(harness::tool("strace"));
    let sandbox = Sandbox::new();
    let line =
        words!["-qq", "-o", sandbox.path("trace"), sandbox.path("vsrun"), "--init", "--", sandbox.probe(), "exit", "0"];
    sandbox.program(&harness::find_tool("strace").unwrap(), line).finish().assert_exited(0);
    let trace = harness::lines(&sandbox.path("trace"));
    let others = ["-", "+", "rt_sigaction(", "rt_sigprocmask(", "read("];
    let is_counted = |call: &&String| !others.iter().any(|other| call.starts_with(other));
    let calls: Vec<&String> = trace.iter().filter(is_counted).collect();
    within("calls of an init, besides rt_sigaction and read", calls.len(), CALLS_OF_AN_INIT, &calls);
}
