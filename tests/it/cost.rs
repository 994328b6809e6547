//! What the small binary may cost on its main ways, in numbers that a kernel counts and that are the same on a busy
//! machine: system calls and page faults. `tests/it/cost_at_rest.rs` has those of a manager at rest, `tools/size` the bytes.
//!
//! Times are `make bench`'s. A budget has a little room above what was found; raise one only with the reason in the
//! commit.

use crate::harness::{self, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::path::Path;

/// Page faults of a start as a user, from vsrun's exec to the server's.
const FAULTS_OF_A_START: usize = 14;
/// Page faults of `--init` and its child until the server's exec, and to its own end.
const FAULTS_OF_AN_INIT: usize = 14;
/// System calls of a manager to pass a signal on, and be at rest again.
const CALLS_OF_A_SIGNAL: usize = 6;
/// The same from the server's death until the next one has been started, with pidfiles. Those of
/// the child are in `tests/it/cost_at_rest.rs`.
/// A pidfd, opened and closed, shows an end that a tracer hides.
const CALLS_OF_A_RESTART: usize = 32;
/// From TERM until it waits for the server's end.
const CALLS_OF_A_STOP: usize = 11;
/// From the server's end to its own.
const CALLS_OF_AN_END: usize = 24;
/// Of `--init` in its whole life, besides rt_sigaction and read. Two of them so that it pins no mount: which directory it
/// was called in, and chdir(2) from there.
const CALLS_OF_AN_INIT: usize = 45;

/// What cargo builds for tests is not the small program, whose budgets these are; that one is named by VSRUN.
fn is_small() -> bool {
    let small = std::env::var_os("VSRUN").is_some();
    if !small {
        eprintln!("NOT ASKED: VSRUN names no small program");
    }
    small
}

/// No more than the budget, and something: a count of nothing is a test that does not see.
#[track_caller]
fn within(what: &str, found: usize, budget: usize, why: &impl std::fmt::Debug) {
    eprintln!("{what}: {found} of {budget}");
    assert!(found > 0, "{what}: none counted: {why:#?}");
    assert!(!is_small() || found <= budget, "{what}: {found}, more than {budget}: {why:#?}");
}

/// The page faults of a program that ends with 0, its children's among them.
fn faults(sandbox: &Sandbox, program: &Path, words: Vec<OsString>) -> usize {
    let (out, run) = (sandbox.path("faults"), words!["-f", "%R", "-o", sandbox.path("faults"), program]);
    sandbox.program(&harness::find_tool("time").unwrap(), [run, words].concat()).finish().exited(0);
    harness::text(&out).trim().parse().unwrap()
}

/// What vsrun adds to the faults of the server alone; the least of some runs, since a page that is being written back
/// or moved is a fault of the machine.
fn added(sandbox: &Sandbox, options: Vec<OsString>) -> usize {
    let server = || words![sandbox.probe(), "exit", "0"];
    let alone = (0..9).map(|_| faults(sandbox, &sandbox.probe(), words!["exit", "0"])).min().unwrap();
    let line = [options, words!["--"], server()].concat();
    let with = (0..9).map(|_| faults(sandbox, &sandbox.path("vsrun"), line.clone())).min().unwrap();
    with.saturating_sub(alone)
}

#[test]
fn a_start_touches_few_pages() {
    needs!(harness::root(), harness::tool("time"));
    // Each copy of the program lies in the page cache in its own way, and one fault maps what lies together.
    let least = |options: Vec<OsString>| (0..4).map(|_| added(&Sandbox::new(), options.clone())).min().unwrap();
    within("faults of a start", least(words!["-u", "65534:65534"]), FAULTS_OF_A_START, &());
    within("faults of an init", least(words!["--init"]), FAULTS_OF_AN_INIT, &());
}

/// The system calls of a manager, once its server lives: one list for each time that it hears of a signal. None if the
/// machine had so much else to do that a child took a second to its exec: then another one went the way.
fn heard(sandbox: &Sandbox, options: Vec<OsString>, happens: impl FnOnce(&Running)) -> Option<Vec<Vec<String>>> {
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "signals", sandbox.out("seen"), "15"];
    let manager = sandbox.vsrun([options, server].concat()).start();
    harness::await_lines(&sandbox.out("seen"), 1);
    harness::await_true("the manager to sleep", || process::state(manager.pid()) == "S");
    let line = words!["-qq", "-o", sandbox.path("trace"), "-p", manager.pid().to_string()];
    let tracer = sandbox.program(&harness::find_tool("strace").unwrap(), line).start();
    harness::await_true("the tracer", || process::status(manager.pid(), "TracerPid") != "0");
    happens(&manager);
    manager.stop().exited(0);
    tracer.finish();
    let trace = harness::lines(&sandbox.path("trace"));
    if trace.iter().any(|line| line.contains("SIGALRM")) {
        return None;
    }
    // Some file systems cannot write without waiting; then there is another write.
    let is_call = |line: &String| !line.starts_with(['-', '+']) && !line.contains("EOPNOTSUPP");
    let calls: Vec<String> = trace.into_iter().filter(is_call).collect();
    // Before the first signal that is taken there is only the sleep.
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
        heard(&sandbox, options.clone(), |manager| {
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
    sandbox.program(&harness::find_tool("strace").unwrap(), line).finish().exited(0);
    let trace = harness::lines(&sandbox.path("trace"));
    let others = ["-", "+", "rt_sigaction(", "rt_sigprocmask(", "read("];
    let is_counted = |call: &&String| !others.iter().any(|other| call.starts_with(other));
    let calls: Vec<&String> = trace.iter().filter(is_counted).collect();
    within("calls of an init, besides rt_sigaction and read", calls.len(), CALLS_OF_AN_INIT, &calls);
}
