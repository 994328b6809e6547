//! How vsrun ends a server that is not ready in time, also without a manager, when `--background` waits for the server.

use crate::harness::{self, Sandbox, words};

#[test]
fn an_unready_background_server_gets_the_stop_signal_and_is_killed() {
    for ready in ["fd:5", "notify"] {
        let sandbox = Sandbox::new();
        let options = words!["-b", "--ready", ready, "--ready-timeout", "2s", "--stop-signal", "USR1"];
        // The probe catches USR1 and keeps running, so KILL has to end it.
        let server = words!["--", sandbox.probe(), "signals", sandbox.out("seen"), "12", "wait"];
        let ended = sandbox.vsrun([options, words!["--stop-timeout", "200ms"], server].concat()).finish();
        ended.assert_failed(125, &["not ready in time"]);
        assert!(harness::lines(&sandbox.out("seen")).contains(&"10".to_owned()));
        sandbox.await_nothing_left();
    }
}

#[test]
fn stop_options_need_a_server_that_vsrun_waits_for() {
    let sandbox = Sandbox::new();
    for option in [["--stop-signal", "USR1"], ["--stop-timeout", "1s"]] {
        for others in [words![], words!["-b"], words!["-b", "--ready", "exec"], words!["-b", "--ready", "fd:5", "-f"]] {
            let line = [words![option[0], option[1]], others, words!["--", "true"]].concat();
            sandbox.vsrun(line).finish().assert_failed(2, &["--"]);
        }
    }
    for others in [words!["--watchdog", "1s"], words!["--group"], words!["--linger", "1s"]] {
        let line = [words!["-b", "--ready", "notify"], others, words!["--", "true"]].concat();
        sandbox.vsrun(line).finish().assert_failed(2, &["--manager"]);
    }
}
