//! Servers and handlers that die while another process traces them. Until the tracer detaches from the dead process,
//! the kernel does not report its exit to vsrun.

use crate::harness::{self, Sandbox, await_life, needs, process, sys, words};

fn can_run_these_tests() -> bool {
    // If an emulator runs the programs of another architecture, the traced process is the emulator.
    harness::root() && !harness::sandbox::emulated()
}

#[test]
fn a_server_that_died_under_a_tracer_is_restarted_and_can_be_stopped() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let (life, pidfile) = (sandbox.out("life"), sandbox.path("server"));
    // A second restart would come after one hour, so none happens before this test requests the stop.
    let options = words!["-m", "-", "-", "-p", &pidfile, "--restart-delay", "1h"];
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat()).start();
    let server = await_life(&life, 1);
    manager.await_err("started: pid");
    let tracer = sys::trace_without_waiting(server);
    sys::kill(server, libc::SIGKILL);
    let second = await_life(&life, 2);
    manager.await_err("a process that traces it hides its exit");
    assert_eq!(process::state(server), "Z", "the tracer keeps it");
    harness::await_true("the pidfile to name the new server", || harness::text(&pidfile) == format!("{second}\n"));

    // After the tracer has detached, the manager reaps the old server.
    drop(tracer);
    harness::await_true("the old server to be reaped", || process::reaped(server));
    assert!(manager.is_running() && !harness::gone(second));

    // A stop does not wait for the tracer.
    let tracer = sys::trace_without_waiting(second);
    sys::kill(second, libc::SIGKILL);
    manager.stop().assert_exited(0);
    drop(tracer);
    assert_eq!(harness::lives(&life).len(), 2);
}

#[test]
fn an_init_ends_although_its_server_died_under_a_tracer() {
    needs!(can_run_these_tests());
    for options in [words![], words!["--group"], words!["--linger", "30s"]] {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let line = [words!["--init"], options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
        let init = sandbox.vsrun(line).start();
        let server = await_life(&life, 1);
        let tracer = sys::trace_without_waiting(server);
        sys::kill(server, libc::SIGKILL);
        // As root, vsrun reads the wait status of the zombie in /proc.
        init.finish().assert_exited(137);
        drop(tracer);
    }
}

#[test]
fn a_handler_that_died_under_a_tracer_has_refused() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let asked = sandbox.out("asked");
    let handler = sandbox.script("handler", words!["life", &asked, "wait"]);
    let manager = sandbox.vsrun(words!["-m", "-", handler, "--", sandbox.probe(), "exit", "3"]).start();
    let handler = await_life(&asked, 1);
    let tracer = sys::trace_without_waiting(handler);
    sys::kill(handler, libc::SIGKILL);
    let ended = manager.finish();
    ended.assert_exited(3);
    assert!(
        ended.err.iter().any(|line| line.contains("the handler refuses the restart: was killed by SIGKILL (9)")),
        "{ended:?}"
    );
    drop(tracer);
}

/// strace and gdb detach within milliseconds. Then vsrun handles the exit like any other.
#[test]
fn a_tracer_that_lets_go_in_time_changes_nothing() {
    needs!(can_run_these_tests() && harness::tool("strace"));
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let line = words!["-m", "-", "-", "--", sandbox.probe(), "life", &life, "wait"];
    let manager = sandbox.vsrun(line).start();
    let server = await_life(&life, 1);
    let strace = words!["-o", sandbox.path("trace"), "-p", server.to_string()];
    let strace = sandbox.program(&harness::find_tool("strace").unwrap(), strace).start();
    harness::await_true("strace", || process::status(server, "TracerPid") == strace.pid().to_string());
    sys::kill(server, libc::SIGKILL);
    await_life(&life, 2);
    let ended = manager.stop();
    assert!(!ended.err.iter().any(|line| line.contains("traces")), "{ended:?}");
    assert!(ended.err.iter().any(|line| line.contains("killed by SIGKILL (9)")), "{ended:?}");
}
