//! Restarts and stops still work if the logger or the rotator is stopped by SIGSTOP, or if the logdir contains very
//! many files.

use crate::harness::{self, Sandbox, await_life, process, sys, words};
use std::fs;
use std::path::Path;

/// The server's user may send SIGSTOP to both: the logger reads the server's output from a pipe, and the rotator writes
/// it to files.
#[test]
fn a_stopped_logger_or_rotator_delays_no_restart_and_no_stop() {
    for is_logger in [true, false] {
        for way in [words!["--restart", "on-failure"], words!["--init", "--on-signal", "HUP=restart"]] {
            let sandbox = Sandbox::new();
            let life = sandbox.out("life");
            let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("log").display());
            let output = if is_logger {
                words!["-s", "tag", "--logger", logger]
            } else {
                words!["-d", "logs", "1", "--log-size", "1M"]
            };
            let server = words!["--", sandbox.probe(), "print", "x", "life", &life, "wait"];
            let manager = sandbox.vsrun([output, way.clone(), server].concat()).start();
            let first = await_life(&life, 1);
            let is_helper = |pid: &i32| {
                let line = harness::text(Path::new(&format!("/proc/{pid}/cmdline")));
                *pid != first && (!is_logger || line.contains("collect"))
            };
            let helper =
                harness::await_some("the helper", || process::children(manager.pid()).into_iter().find(is_helper));
            sys::kill(helper, libc::SIGSTOP);
            manager.signal(libc::SIGHUP);
            await_life(&life, 2);
            let begin = sys::monotonic();
            let ended = manager.stop();
            assert!(ended.code() == Some(0) || ended.code() == Some(143), "{way:?}: {ended:?}");
            assert!(sys::monotonic() - begin < 30_000_000, "{way:?}: a stop while a helper is stopped");
            for pid in sandbox.living() {
                sys::kill(pid, libc::SIGKILL);
            }
            sandbox.await_nothing_left();
        }
    }
}

/// The request to stop comes while vsrun looks for the next free number among the names in the logdir.
#[test]
fn a_stop_works_with_300000_planted_files_in_the_logdir() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    for number in 1..=300_000 {
        fs::File::create(logs.join(format!("logfile.{number}"))).unwrap();
    }
    for size in [words![], words!["--log-size", "1M", "--log-files", "3"]] {
        let life = sandbox.out("life");
        let _ = fs::remove_file(&life);
        let line = [words!["-d", "logs", "1000", "--restart", "on-failure"], size].concat();
        let manager = sandbox.vsrun([line, words!["--", sandbox.probe(), "life", &life, "wait"]].concat()).start();
        await_life(&life, 1);
        let begin = sys::monotonic();
        manager.signal(libc::SIGHUP);
        manager.stop().assert_exited(0);
        assert!(sys::monotonic() - begin < 30_000_000, "a stop among 300,000 names");
    }
    fs::remove_dir_all(logs).unwrap();
}
