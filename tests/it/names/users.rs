//! vsrun under the names gosu and su-exec: the command's ids and groups, and the exit statuses.

use super::{Sandbox, can_run_these_tests, for_link_and_tool, link, needs, reported, sys, words};
use crate::harness::{self, PLAIN};

const TOOLS: [&str; 2] = ["gosu", "su-exec"];

#[test]
fn a_user_has_the_ids_and_groups_of_the_tool() {
    needs!(can_run_these_tests(), harness::root());
    for name in TOOLS {
        let su_exec = name == "su-exec";
        // The user argument, uid, gid, the supplementary groups with gosu and with su-exec, and HOME.
        for (word, uid, gid, gosu, su, home) in [
            ("12345", 12345, 77, "", "77", "/"),
            ("12345:5", 12345, 5, "", "5", "/"),
            ("12345:daemon", 12345, 1, "", "1", "/"),
            ("0:0", 0, 0, "", "0", "/root"),
            ("root:", 0, 0, "", "0", "/root"),
            ("daemon", 1, 1, "", "1", "/usr/sbin"),
            ("1", 1, 1, "", "1", "/usr/sbin"),
            ("daemon:root", 1, 0, "", "0", "/usr/sbin"),
            (":5", 0, 5, "", "5", "/root"),
            ("", 0, 0, "", "0", "/root"),
        ] {
            for_link_and_tool(name, |sandbox, program| {
                let call = sandbox.program(program, words![word, sandbox.probe(), "report", sandbox.out("report")]);
                let call = call.env("HOME", "/nowhere").env("USER", "me").env("VSRUN_ARGS", "--bogus");
                let report =
                    reported(sandbox, call.before(|| sys::set_groups(&[4, 5]).and_then(|()| sys::set_group(77))));
                assert_eq!(report.one("uids"), format!("{uid} {uid} {uid}"), "{program:?} {word}");
                assert_eq!(report.one("gids"), format!("{gid} {gid} {gid}"), "{program:?} {word}");
                assert_eq!(report.one("groups"), if su_exec { su } else { gosu }, "{program:?} {word}");
                assert_eq!(report.variable("HOME").as_deref(), Some(home), "{program:?} {word}");
                assert_eq!(report.variable("USER").as_deref(), Some("me"));
                assert_eq!(report.variable("LOGNAME"), None);
                assert_eq!(report.variable("VSRUN_ARGS").as_deref(), Some("--bogus"));
            });
        }
    }
}

#[test]
fn every_failure_has_status_1() {
    needs!(can_run_these_tests(), harness::root());
    for name in TOOLS {
        for line in [
            &[][..],
            &["root"],
            &["bogus", "true"],
            &["0day", "true"],
            &["0:bogus", "true"],
            &["0:0day", "true"],
            &["4294967295", "true"],
            &["root", "/no/such"],
            &["root", "no-such-command"],
            &["root", "/"],
            &["root", "--", "true"],
        ] {
            for_link_and_tool(name, |sandbox, program| {
                let ended = sandbox.program(program, line.iter().map(Into::into).collect()).finish();
                ended.assert_exited(1);
                // su-exec prints its usage to standard output.
                let usage = name == "su-exec" && line.len() < 2;
                assert_eq!((ended.out.is_empty(), ended.err.is_empty()), (!usage, usage), "{program:?} {ended:?}");
            });
        }
    }
}

#[test]
fn without_rights_the_kernel_refuses() {
    needs!(can_run_these_tests(), harness::root());
    for name in TOOLS {
        for at in [false, true] {
            let sandbox = Sandbox::plain();
            let Some(program) = (if at { harness::find_tool(name) } else { Some(link(&sandbox, name)) }) else {
                continue;
            };
            for user in ["0", "65534", "1"] {
                let ended = sandbox.program(&program, words![user, "true"]).finish();
                ended.assert_exited(1);
                assert!(ended.err.len() == 1 && ended.err[0].to_lowercase().contains("not permitted"), "{ended:?}");
            }
        }
    }
    assert_eq!(PLAIN, 65534);
}

#[test]
fn exit_status_or_signal_of_the_command_is_passed_on() {
    needs!(can_run_these_tests(), harness::root());
    for name in TOOLS {
        for_link_and_tool(name, |sandbox, program| {
            sandbox
                .program(program, words!["1:1", sandbox.probe(), "exit", "125"])
                .finish()
                .assert_exited(125)
                .assert_silent();
            let ended = sandbox.program(program, words!["1:1", sandbox.probe(), "raise", "15"]).finish();
            assert_eq!(ended.signal(), Some(15), "{program:?}");
        });
    }
}
