//! Output to syslog, through a logger that may exit and be restarted without an effect on the server.

use crate::harness::{self, Mounts, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// The options for output to a logger that performs these actions.
fn logger(sandbox: &Sandbox, actions: &str) -> Vec<OsString> {
    words!["-s", "tag", "--logger", format!("{} {actions}", sandbox.probe().display())]
}

fn numbered(path: &Path) -> Vec<usize> {
    harness::lines(path).iter().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect()
}

#[test]
fn everything_arrives_at_a_real_syslog_under_its_tag() {
    needs!(harness::root(), harness::tool("busybox"), harness::tool("logger"));
    for way in [words![], words!["-u", "12345"]] {
        let sandbox = Sandbox::new();
        let mounts = Mounts::with_syslog(&sandbox);
        let handler = sandbox.script("handler", words!["print", "the handler speaks", "exit", "1"]);
        let options = words!["-s", "the-tag", "-m", "-", handler, "--", sandbox.probe()];
        let actions = words!["print", "to stdout", "complain", "to stderr", "exit", "3"];
        sandbox.vsrun([way, options, actions].concat()).within(&mounts).finish().assert_exited(3).assert_silent();
        harness::await_true("the last record", || harness::text(&sandbox.out("syslog")).contains("shutdown"));
        let lines = harness::lines(&sandbox.out("syslog"));
        for text in ["to stdout", "to stderr", "vsrun: handler: the handler speaks"] {
            let reported = format!(" the-tag: {text}");
            assert_eq!(lines.iter().filter(|line| line.ends_with(&reported)).count(), 1, "{text:?} once: {lines:#?}");
        }
        for part in ["starting", "exited with status 3", "shutdown"] {
            let reported = |line: &String| line.contains(" the-tag: ") && line.contains(part);
            assert!(lines.iter().any(reported), "{part:?}: {lines:#?}");
        }
    }
}

#[test]
fn output_of_an_unmanaged_server_reaches_the_logger() {
    for way in [words![], words!["-b"]] {
        let sandbox = Sandbox::new();
        let heard = sandbox.out("heard");
        let options =
            logger(&sandbox, &format!("collect {} append {} end", heard.display(), sandbox.out("ended").display()));
        let line = [options, way, words!["--", sandbox.probe(), "lines", "1", "5000"]].concat();
        sandbox.vsrun(line).finish().assert_exited(0).assert_silent();
        harness::await_file(&sandbox.out("ended"));
        assert_eq!(numbered(&heard), (1..=5000).collect::<Vec<_>>());
        sandbox.await_nothing_left();
    }
}

#[test]
fn the_logger_is_no_child_of_the_server_and_ends_with_it() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let (reported, report) = (sandbox.out("logger"), sandbox.out("report"));
        let options = logger(&sandbox, &format!("report {} collect /dev/null", reported.display()));
        let line =
            [options, way.clone(), words!["--", sandbox.probe(), "report", &report, "await", sandbox.out("gate")]]
                .concat();
        let running = sandbox.vsrun(line).start();
        let (server, logger) = (sandbox.report(&report), sandbox.report(&reported));
        let (pid, logger_pid) = (server.number("pid"), logger.number("pid"));
        assert_ne!(process::parent(logger_pid), pid, "{way:?}");
        assert!(process::children(pid).is_empty(), "{way:?}");
        assert_eq!(server.descriptor_numbers(), [0, 1, 2]);
        assert_eq!(server.descriptor(1).unwrap().identity, logger.descriptor(0).unwrap().identity, "one pipe");
        assert_eq!(server.descriptor(2).unwrap().identity, logger.descriptor(0).unwrap().identity);
        assert_eq!(server.descriptor(1).unwrap().access, "w");
        assert_eq!(logger.descriptor_numbers(), [0, 1, 2], "{logger:?}");
        fs::write(sandbox.out("gate"), "").unwrap();
        harness::await_gone(pid);
        harness::await_gone(logger_pid);
        running.finish().assert_exited(0);
        sandbox.await_nothing_left();
        [reported, report, sandbox.out("gate")].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn each_word_reaches_the_logger_however_the_callers_descriptors_were_closed() {
    let sandbox = Sandbox::new();
    let heard = sandbox.out("heard");
    for (way, closed) in harness::ways().into_iter().flat_map(|way| harness::CLOSED.map(|closed| (way.clone(), closed)))
    {
        let options = logger(&sandbox, &format!("collect {}", heard.display()));
        let words = words!["--", sandbox.probe(), "print", "out", "complain", "err"];
        sandbox.vsrun([options, way.clone(), words].concat()).closed(closed).finish().assert_exited(0);
        harness::await_true("both words", || {
            ["out", "err"].iter().all(|word| harness::lines(&heard).contains(&(*word).to_owned()))
        });
        sandbox.await_nothing_left();
        fs::remove_file(&heard).unwrap();
    }
}

#[test]
fn logger_runs_as_the_servers_user_outside_the_jail() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let reported = sandbox.out("logger");
    let options = logger(&sandbox, &format!("report {} collect /dev/null", reported.display()));
    let line = [options, words!["-u", "12345:23456", "-r", &jail, "-m", "monitor", "-", "--", "/probe"]].concat();
    sandbox.vsrun(line).before(sys::block_and_ignore_signals).finish().assert_exited(0);
    let found = sandbox.report(&reported);
    assert_eq!(
        (found.one("uids"), found.one("gids")),
        ("12345 12345 12345".to_owned(), "23456 23456 23456".to_owned())
    );
    assert_eq!(found.groups(), [23456]);
    assert_eq!(found.one("root"), harness::call::identity("/".as_ref()));
    assert_eq!(found.one("ignored"), "1", "a SIGHUP that is ignored in the foreground stays so");
    for set in ["blocked", "pending"] {
        assert_eq!(found.one(set), "", "{set} signals");
    }
}

#[test]
fn a_logger_that_is_killed_again_and_again_loses_no_line() {
    let sandbox = Sandbox::new();
    let (heard, lives) = (sandbox.out("heard"), sandbox.out("loggers"));
    // This logger reads byte by byte, up to the end of a line, so no line is lost when it kills itself.
    let actions = format!(
        "life {} until 3 take 100 {heard} until 3 raise 9 collect {heard}",
        lives.display(),
        heard = heard.display()
    );
    let options = [logger(&sandbox, &actions), words!["-m", "-", "-", "--", sandbox.probe()]].concat();
    let server = words!["lines", "1", "20000", "exit", "0"];
    sandbox.vsrun([options, server].concat()).finish().assert_exited(0).assert_silent();
    assert_eq!(numbered(&heard), (1..=20000).collect::<Vec<_>>());
    assert_eq!(harness::lives(&lives).len(), 4);
    sandbox.await_nothing_left();
}

#[test]
fn a_logger_that_ends_by_itself_is_started_again() {
    let sandbox = Sandbox::new();
    let (heard, lives) = (sandbox.out("heard"), sandbox.out("loggers"));
    let actions = format!("life {} at 1 exit 0 at 2 exit 5 collect {}", lives.display(), heard.display());
    let life = sandbox.out("life");
    let line = words!["-m", "-", "-", "--", sandbox.probe(), "life", &life, "print", "a line", "wait"];
    let manager = sandbox.vsrun([logger(&sandbox, &actions), line].concat()).start();
    harness::await_true("the line, by the third logger", || harness::lines(&heard).contains(&"a line".to_owned()));
    assert_eq!(harness::lives(&life).len(), 1, "the server did not notice");
    manager.stop().assert_exited(0);
    assert_eq!(harness::lives(&lives).len(), 3);
    sandbox.await_nothing_left();
}

#[test]
fn manager_can_stop_a_server_whose_logger_reads_nothing() {
    let sandbox = Sandbox::new();
    let options = logger(&sandbox, "wait");
    let (life, handled) = (sandbox.out("life"), sandbox.out("handled"));
    let handler = sandbox.script("handler", words!["life", &handled]);
    let actions = words!["life", &life, "until", "2", "exit", "1", "lines", "1", "100000", "wait"];
    let manager = sandbox
        .vsrun([options, words!["--restart-delay", "0", "-m", "-", handler, "--", sandbox.probe()], actions].concat())
        .start();
    let third = harness::await_life(&life, 3);
    harness::await_true("the server to wait for room in the pipe", || {
        process::link(third, "fd/1").starts_with("pipe") && process::state(third) == "S"
    });
    manager.stop().assert_exited(0);
    assert!(harness::gone(third));
    assert_eq!(harness::lives(&handled).len(), 2);
}

#[test]
fn a_supervisor_waits_until_the_logger_has_written_the_last_line() {
    let sandbox = Sandbox::new();
    let (heard, gate, ended, life) =
        (sandbox.out("heard"), sandbox.out("gate"), sandbox.out("ended"), sandbox.out("life"));
    let [heard_, gate_, ended_] = [&heard, &gate, &ended].map(|path| path.display().to_string());
    let options = logger(&sandbox, &format!("await {gate_} collect {heard_} append {ended_} x"));
    let actions = words!["--", sandbox.probe(), "life", &life, "print", "last words", "exit", "0"];
    let manager = sandbox.vsrun([options, words!["-m", "-", "-"], actions].concat()).start();
    let server = harness::await_life(&life, 1);
    harness::await_true("the server's end, and the manager to wait", || {
        process::reaped(server) && process::state(manager.pid()) != "R"
    });
    fs::write(&gate, "").unwrap();
    manager.finish().assert_exited(0);
    assert!(ended.exists(), "the manager left before its logger");
    assert!(harness::lines(&heard).contains(&"last words".to_owned()));
}

#[test]
fn a_missing_logger_is_an_error_and_nothing_is_started() {
    let sandbox = Sandbox::new();
    let empty = sandbox.path("empty");
    harness::sandbox::make_directory(&empty, 0o755);
    fs::write(empty.join("no-program"), "").unwrap();
    for way in harness::ways() {
        let rest = words!["-p", "pid", "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        let line = [way.clone(), words!["-s", "tag"], rest.clone()].concat();
        sandbox.vsrun(line).env("PATH", &empty).finish().assert_failed(125, &["logger"]);
        for logger in ["no-such-logger", "/no/such/logger with arguments", "no-program"] {
            let line = [way.clone(), words!["-s", "tag", "--logger", logger], rest.clone()].concat();
            let name = logger.split(' ').next().unwrap();
            sandbox.vsrun(line).env("PATH", &empty).finish().assert_failed(125, &[name]);
        }
        for logger in ["\x1b[1m", "/\x1b[1m"] {
            let line = [way.clone(), words!["-s", "tag", "--logger", logger], rest.clone()].concat();
            sandbox.vsrun(line).finish().assert_failed(125, &["\\x1b[1m'"]);
        }
        assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists());
        sandbox.await_nothing_left();
    }
}

#[test]
fn the_loggers_words_are_split_at_blanks() {
    let sandbox = Sandbox::new();
    let reported = sandbox.out("logger");
    let options = logger(&sandbox, &format!("  report   {} collect\t/dev/null 'not  quoted' ", reported.display()));
    sandbox.vsrun([options, words!["-m", "-", "-", "--", sandbox.probe()]].concat()).finish().assert_exited(0);
    let arguments = sandbox.report(&reported).all("argument");
    assert_eq!(arguments[1..], ["report", &reported.display().to_string(), "collect", "/dev/null", "'not", "quoted'"]);
}
