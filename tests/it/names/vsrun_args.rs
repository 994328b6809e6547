//! `VSRUN_ARGS`: options of vsrun for a call under the name of an init tool.

use super::{INITS, Sandbox, can_run_these_tests, link, needs, process, reported, sys, words};
use crate::harness;
use std::fs::File;
use std::os::fd::AsRawFd;

#[test]
fn further_options_are_read_and_removed() {
    needs!(can_run_these_tests());
    for name in INITS {
        let sandbox = Sandbox::new();
        let script = words!["--", sandbox.probe(), "report", sandbox.out("report")];
        let call = sandbox.program(&link(&sandbox, name), script);
        let report = reported(&sandbox, call.env("VSRUN_ARGS", " --env A=1 --umask 027\t--stop-timeout 8s "));
        assert_eq!((report.variable("A").as_deref(), report.variable("VSRUN_ARGS")), (Some("1"), None), "{name}");
        assert_eq!(report.number("umask"), 0o27, "{name}");
        for (value, part) in [("--bogus", "--bogus"), ("--umask 9", "--umask"), ("--stop x", "VSRUN_ARGS")] {
            let call = sandbox.program(&link(&sandbox, name), words!["--", sandbox.probe()]);
            let ended = call.env("VSRUN_ARGS", value).finish();
            ended.assert_exited(2);
            assert!(ended.err.len() == 1 && ended.err[0].starts_with(name) && ended.err[0].contains(part), "{ended:?}");
        }
    }
}

#[test]
fn option_restart_in_vsrun_args_turns_an_init_into_a_manager() {
    needs!(can_run_these_tests());
    for name in INITS {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let file = File::create(sandbox.out("handed")).unwrap();
        let script =
            words!["--", sandbox.probe(), "life", &life, "at", "1", "segv", "report", sandbox.out("report"), "wait"];
        let call = sandbox.program(&link(&sandbox, name), script).env("VSRUN_ARGS", "--restart on-failure -q");
        let called = call.before(move || sys::duplicate(file.as_raw_fd(), 309)).start();
        harness::await_life(&life, 2);
        // The second run of the command has the descriptor that the first one had.
        let report = sandbox.report(&sandbox.out("report"));
        assert!(report.descriptor_numbers().contains(&309), "{name}: {report:?}");
        // SIGTERM asks the manager to stop, which counts as success: it exits with 0.
        called.stop().assert_exited(0).assert_silent();
    }
}

#[test]
fn a_stop_timeout_kills_a_deaf_command() {
    needs!(can_run_these_tests());
    for name in INITS {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let script = words!["--", sandbox.probe(), "ignore", "15", "life", &life, "wait"];
        let call = sandbox.program(&link(&sandbox, name), script).env("VSRUN_ARGS", "--stop-timeout 100ms");
        let called = call.start();
        harness::await_life(&life, 1);
        called.signal(libc::SIGTERM);
        called.finish().assert_exited(137).assert_silent();
    }
}

/// In another root, an inherited descriptor could lead the command out of that root.
#[test]
fn another_root_gets_no_descriptors_and_another_user_no_terminal() {
    needs!(can_run_these_tests(), harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let file = File::open(sandbox.directory()).unwrap();
    let call = sandbox.program(&link(&sandbox, "tini"), words!["--", "/probe", "report", "/out/report"]);
    let call = call.env("VSRUN_ARGS", format!("--root {} -u 12345:1", jail.display()));
    call.before(move || sys::duplicate(file.as_raw_fd(), 9)).finish().assert_exited(0).assert_silent();
    let report = sandbox.report(&jail.join("out/report"));
    assert_eq!(report.descriptor_numbers(), [0, 1, 2]);
    for name in INITS {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let script = words!["--", sandbox.probe(), "life", &life, "wait"];
        let call = sandbox.program(&link(&sandbox, name), script).env("VSRUN_ARGS", "-u 12345:1");
        let (call, _terminal) = call.on_terminal();
        let called = call.start();
        let server = harness::await_life(&life, 1);
        assert_eq!(process::terminal(server), 0, "{name}");
        called.signal(libc::SIGTERM);
        called.finish().assert_exited(143);
    }
}

/// The command reports its readiness to vsrun, not to the service manager above it.
#[test]
fn with_ready_notify_the_command_gets_a_socket_of_vsrun() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    for (value, own) in [("--ready notify", true), ("--stop-timeout 1s", false)] {
        let script = words!["--", sandbox.probe(), "report", sandbox.out("report")];
        let script = if own { [script, words!["notify", "READY=1"]].concat() } else { script };
        let call = sandbox.program(&link(&sandbox, "tini"), script).env("VSRUN_ARGS", value);
        let report = reported(&sandbox, call.env("NOTIFY_SOCKET", "@no-one"));
        assert_eq!(report.variable("NOTIFY_SOCKET").as_deref() != Some("@no-one"), own, "{value}");
    }
}
