//! The manager keeps working while the output of its terminal is stopped (Ctrl-S).

use crate::harness::{self, Sandbox, await_life, process, words};
use std::io::Write;

#[test]
fn a_manager_goes_on_while_the_output_is_stopped() {
    for options in [words!["--restart", "always"], words!["--init", "--no-quiet", "--on-signal", "HUP=restart"]] {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let line = [options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
        let (call, mut terminal) = sandbox.vsrun(line).on_terminal();
        let manager = call.start();
        await_life(&life, 1);
        // Ctrl-S stops the output of the terminal. A server can do the same with tcflow(3).
        terminal.master.write_all(b"\x13").unwrap();
        for run in 2..30 {
            manager.signal(libc::SIGHUP);
            await_life(&life, run);
        }
        manager.signal(libc::SIGTERM);
        harness::await_true("the end", || !manager.is_running());
    }
}

/// vsrun opens the terminal once more to set O_NONBLOCK: on the open file that it shares with the server and the
/// caller, the flag would change their writes too.
#[test]
fn vsrun_writes_records_through_its_own_open_file_description() {
    let sandbox = Sandbox::new();
    let life = sandbox.out("life");
    let (call, _terminal) =
        sandbox.vsrun(words!["--restart", "always", "--", sandbox.probe(), "life", &life, "wait"]).on_terminal();
    let manager = call.start();
    await_life(&life, 1);
    let flags = |fd: i32| {
        let info = harness::text(format!("/proc/{}/fdinfo/{fd}", manager.pid()).as_ref());
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        i32::from_str_radix(&flags, 8).unwrap()
    };
    let terminals: Vec<i32> = process::descriptors(manager.pid())
        .into_iter()
        .filter(|(_, target)| target.starts_with("/dev/pts/"))
        .map(|(fd, _)| fd)
        .collect();
    let own: Vec<i32> = terminals.iter().copied().filter(|fd| *fd > 2).collect();
    assert_eq!(own.len(), 1, "{terminals:?}");
    assert_ne!(flags(own[0]) & libc::O_NONBLOCK, 0);
    assert_eq!(flags(2) & libc::O_NONBLOCK, 0);
    manager.signal(libc::SIGTERM);
    harness::await_true("the end", || !manager.is_running());
}
