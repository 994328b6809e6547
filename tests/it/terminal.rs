//! A server on a terminal, with `--stdin`: job control of an interactive shell, and the caller's terminal afterwards.

use crate::harness::terminal::Terminal;
use crate::harness::{self, Sandbox, needs, process, sys, words};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

/// The user of a terminal: types, and records what appears on the screen.
struct Person {
    keys: File,
    screen: Arc<Mutex<String>>,
}

impl Person {
    fn at(terminal: &Terminal) -> Self {
        let (keys, mut side) = (terminal.master.try_clone().unwrap(), terminal.master.try_clone().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            // read(2) fails after all processes have closed the other side of the terminal.
            while let Ok(count @ 1..) = side.read(&mut block) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&block[..count]));
            }
        });
        Self { keys, screen }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }
}

#[test]
fn an_interactive_shell_has_job_control() {
    needs!(harness::root(), harness::tool("busybox"), harness::tool("unshare"));
    for first in [false, true] {
        let sandbox = Sandbox::new();
        let shell = words!["--init", "--stdin", "--", "busybox", "sh", "-i"];
        let call = if first {
            let unshare = words!["--pid", "--fork", "--kill-child", "--mount-proc", "--", sandbox.path("vsrun")];
            sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, shell].concat())
        } else {
            sandbox.vsrun(shell)
        };
        let (call, terminal) = call.env("P", sandbox.probe()).env("O", sandbox.path("out")).on_terminal();
        let called = call.start();
        let mut person = Person::at(&terminal);

        // Ctrl-C sends SIGINT to the foreground job, and neither to the shell nor to vsrun.
        person.types("$P signals $O/int 2; $P append $O/log int\n");
        harness::await_lines(&sandbox.out("int"), 1);
        person.types("\x03");
        harness::await_lines(&sandbox.out("log"), 1);
        assert_eq!(harness::lines(&sandbox.out("int")), ["ready", "2"]);

        person.types("$P life $O/job report $O/report wait\n");
        let report = sandbox.report(&sandbox.out("report"));
        harness::await_life(&sandbox.out("job"), 1);
        let server = harness::await_some("the shell", || {
            let vsrun = if first { process::children(called.pid()).first().copied()? } else { called.pid() };
            process::children(vsrun).first().copied()
        });
        let job = harness::await_some("the job", || process::children(server).first().copied());
        assert_eq!(process::foreground(job), process::group(job), "{report:?}");
        assert_ne!(process::group(job), process::group(server));
        person.types("\x1a");
        harness::await_true("the job to stop", || process::state(job) == "T");
        person.types("jobs >$O/jobs; $P append $O/log stopped; fg\n");
        harness::await_lines(&sandbox.out("log"), 2);
        assert!(harness::text(&sandbox.out("jobs")).contains("Stopped"), "{}", person.screen());
        harness::await_true("the job to go on", || process::state(job) == "S");
        person.types("\x03");
        harness::await_gone(job);

        person.types("$P signals $O/size 28; busybox stty size >$O/stty; $P append $O/log size\n");
        harness::await_lines(&sandbox.out("size"), 1);
        sys::resize(&terminal.master, 33, 77);
        harness::await_lines(&sandbox.out("log"), 3);
        assert_eq!(harness::lines(&sandbox.out("stty")), ["33 77"]);
        assert!(!person.screen().contains("received"), "vsrun gets nothing of it: {}", person.screen());

        person.types("exit 5\n");
        called.finish().assert_exited(5);
    }
}

/// After the server has exited, a caller without job control can read from the terminal again.
#[test]
fn the_foreground_is_given_back() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let script = "$V --init --stdin -- $P exit 3; $P append $O/log $?; $P take 1 $O/line";
    let call = sandbox.program(&harness::find_tool("busybox").unwrap(), words!["sh", "-c", script]);
    let call = call.env("V", sandbox.path("vsrun")).env("P", sandbox.probe()).env("O", sandbox.path("out"));
    let (call, terminal) = call.on_terminal();
    let called = call.start();
    let mut person = Person::at(&terminal);
    assert_eq!(harness::await_lines(&sandbox.out("log"), 1), ["3"]);
    person.types("hello\n");
    assert_eq!(harness::await_lines(&sandbox.out("line"), 1), ["hello"], "{}", person.screen());
    called.finish().assert_exited(0);
}

#[test]
fn each_restarted_server_gets_the_terminals_foreground() {
    let sandbox = Sandbox::new();
    let server =
        words!["life", sandbox.out("life"), "at", "1", "exit", "1", "take", "1", sandbox.out("line"), "exit", "0"];
    let line = [words!["--restart", "on-failure", "--stdin", "--", sandbox.probe()], server].concat();
    let (call, terminal) = sandbox.vsrun(line).on_terminal();
    let called = call.start();
    let mut person = Person::at(&terminal);
    harness::await_life(&sandbox.out("life"), 2);
    person.types("hello\n");
    called.finish().assert_exited(0);
    assert_eq!(harness::lines(&sandbox.out("line")), ["hello"]);
}

/// With `stty tostop`, a write to the terminal stops a background process (SIGTTOU). vsrun must not be stopped when it
/// writes a record.
#[test]
fn records_from_the_background_stop_no_process() {
    needs!(harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let script = "busybox stty tostop; $P signals $O/seen 12";
    let server = words!["--init", "--no-quiet", "--stdin", "--", "busybox", "sh", "-c", script];
    let call = sandbox.vsrun(server).env("P", sandbox.probe()).env("O", sandbox.path("out"));
    let (call, terminal) = call.on_terminal();
    let called = call.start();
    let person = Person::at(&terminal);
    harness::await_lines(&sandbox.out("seen"), 1);
    called.signal(libc::SIGUSR2);
    harness::await_true("the record", || person.screen().contains("sending SIGUSR2"));
    assert_ne!(process::state(called.pid()), "T");
    called.finish().assert_exited(0);
}

/// vsrun resumes a server that Ctrl-Z has stopped. The caller only waits for vsrun, and a PID 1 has no caller, so no
/// shell would do it.
#[test]
fn the_suspend_key_stops_no_server() {
    let sandbox = Sandbox::new();
    let server = words!["life", sandbox.out("life"), "take", "1", sandbox.out("line"), "exit", "4"];
    let line = [words!["--init", "--stdin", "--", sandbox.probe()], server].concat();
    let (call, terminal) = sandbox.vsrun(line).on_terminal();
    let called = call.start();
    let mut person = Person::at(&terminal);
    let server = harness::await_life(&sandbox.out("life"), 1);
    // A server that was stopped by SIGSTOP is not resumed.
    sys::kill(server, libc::SIGSTOP);
    harness::await_true("the stop", || process::state(server) == "T");
    sys::kill(server, libc::SIGCONT);
    person.types("\x1a");
    person.types("hello\n");
    called.finish().assert_exited(4);
    assert_eq!(harness::lines(&sandbox.out("line")), ["hello"]);
}
