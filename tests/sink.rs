//! Output to syslog, through a logger that may die and come back without the server noticing.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mounts, Place, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// `-s` with a logger that does these actions.
fn logger(place: &Place, actions: &str) -> Vec<OsString> {
    words!["-s", "tag", "--logger", format!("{} {actions}", place.probe().display())]
}

fn numbered(path: &Path) -> Vec<usize> {
    kit::lines(path).iter().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect()
}

#[test]
fn everything_arrives_at_a_real_syslog_under_its_tag() {
    needs!(kit::root(), kit::tool("busybox"), kit::tool("logger"));
    for way in [words![], words!["-u", "12345"]] {
        let place = Place::new();
        let mounts = Mounts::with_syslog(&place);
        let handler = place.script("handler", words!["print", "the handler speaks", "exit", "1"]);
        let options = words!["-s", "the-tag", "-m", "-", handler, "--", place.probe()];
        let actions = words!["print", "to stdout", "complain", "to stderr", "exit", "3"];
        place.vsrun([way, options, actions].concat()).within(&mounts).finish().exited(3).silently();
        kit::await_true("the last record", || kit::text(&place.out("syslog")).contains("shutdown"));
        let lines = kit::lines(&place.out("syslog"));
        for text in ["to stdout", "to stderr", "vsrun: handler: the handler speaks"] {
            let told = format!(" the-tag: {text}");
            assert_eq!(lines.iter().filter(|line| line.ends_with(&told)).count(), 1, "{text:?} once: {lines:#?}");
        }
        for part in ["starting", "exited with status 3", "shutdown"] {
            let told = |line: &String| line.contains(" the-tag: ") && line.contains(part);
            assert!(lines.iter().any(told), "{part:?}: {lines:#?}");
        }
    }
}

#[test]
fn a_server_alone_has_its_lines_logged_too() {
    for way in [words![], words!["-b"]] {
        let place = Place::new();
        let heard = place.out("heard");
        let options =
            logger(&place, &format!("collect {} append {} end", heard.display(), place.out("ended").display()));
        let line = [options, way, words!["--", place.probe(), "lines", "1", "5000"]].concat();
        place.vsrun(line).finish().exited(0).silently();
        kit::await_file(&place.out("ended"));
        assert_eq!(numbered(&heard), (1..=5000).collect::<Vec<_>>());
        place.await_nothing_left();
    }
}

#[test]
fn the_logger_is_no_child_of_the_server_and_ends_with_it() {
    let place = Place::new();
    for way in kit::ways() {
        let (told, report) = (place.out("logger"), place.out("report"));
        let options = logger(&place, &format!("report {} collect /dev/null", told.display()));
        let line =
            [options, way.clone(), words!["--", place.probe(), "report", &report, "await", place.out("gate")]].concat();
        let running = place.vsrun(line).start();
        let (server, logger) = (place.report(&report), place.report(&told));
        let (pid, logger_pid) = (server.number("pid"), logger.number("pid"));
        assert_ne!(process::parent(logger_pid), pid, "{way:?}");
        assert!(process::children(pid).is_empty(), "{way:?}");
        assert_eq!(server.descriptor_numbers(), [0, 1, 2]);
        assert_eq!(server.descriptor(1).unwrap().identity, logger.descriptor(0).unwrap().identity, "one pipe");
        assert_eq!(server.descriptor(2).unwrap().identity, logger.descriptor(0).unwrap().identity);
        assert_eq!(server.descriptor(1).unwrap().access, "w");
        assert_eq!(logger.descriptor_numbers(), [0, 1, 2], "{logger:?}");
        fs::write(place.out("gate"), "").unwrap();
        kit::await_gone(pid);
        kit::await_gone(logger_pid);
        running.finish().exited(0);
        place.await_nothing_left();
        [told, report, place.out("gate")].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn each_word_reaches_the_logger_however_the_callers_descriptors_were_closed() {
    let place = Place::new();
    let heard = place.out("heard");
    for (way, closed) in kit::ways().into_iter().flat_map(|way| kit::CLOSED.map(|closed| (way.clone(), closed))) {
        let options = logger(&place, &format!("collect {}", heard.display()));
        let words = words!["--", place.probe(), "print", "out", "complain", "err"];
        place.vsrun([options, way.clone(), words].concat()).closed(closed).finish().exited(0);
        kit::await_true("both words", || {
            ["out", "err"].iter().all(|word| kit::lines(&heard).contains(&(*word).to_owned()))
        });
        place.await_nothing_left();
        fs::remove_file(&heard).unwrap();
    }
}

#[test]
fn the_logger_is_the_user_outside_the_jail() {
    needs!(kit::root());
    let place = Place::new();
    let jail = place.jail();
    let told = place.out("logger");
    let options = logger(&place, &format!("report {} collect /dev/null", told.display()));
    let line = [options, words!["-u", "12345:23456", "-r", &jail, "-m", "monitor", "-", "--", "/probe"]].concat();
    place.vsrun(line).before(sys::spoil_signals).finish().exited(0);
    let found = place.report(&told);
    assert_eq!(
        (found.one("uids"), found.one("gids")),
        ("12345 12345 12345".to_owned(), "23456 23456 23456".to_owned())
    );
    assert_eq!(found.groups(), [23456]);
    assert_eq!(found.one("root"), kit::call::identity("/".as_ref()));
    assert_eq!(found.one("ignored"), "1", "a SIGHUP that is ignored in the foreground stays so");
    for set in ["blocked", "pending"] {
        assert_eq!(found.one(set), "", "{set} signals");
    }
}

#[test]
fn a_logger_that_is_killed_again_and_again_loses_no_line() {
    let place = Place::new();
    let (heard, lives) = (place.out("heard"), place.out("loggers"));
    // It reads byte by byte, so that it takes no line with it when it dies.
    let actions = format!(
        "life {} until 3 take 100 {heard} until 3 raise 9 collect {heard}",
        lives.display(),
        heard = heard.display()
    );
    let options = [logger(&place, &actions), words!["-m", "-", "-", "--", place.probe()]].concat();
    let server = words!["lines", "1", "20000", "exit", "0"];
    place.vsrun([options, server].concat()).finish().exited(0).silently();
    assert_eq!(numbered(&heard), (1..=20000).collect::<Vec<_>>());
    assert_eq!(kit::lives(&lives).len(), 4);
    place.await_nothing_left();
}

#[test]
fn a_logger_that_ends_by_itself_is_started_again() {
    let place = Place::new();
    let (heard, lives) = (place.out("heard"), place.out("loggers"));
    let actions = format!("life {} at 1 exit 0 at 2 exit 5 collect {}", lives.display(), heard.display());
    let life = place.out("life");
    let line = words!["-m", "-", "-", "--", place.probe(), "life", &life, "print", "a line", "wait"];
    let manager = place.vsrun([logger(&place, &actions), line].concat()).start();
    kit::await_true("the line, by the third logger", || kit::lines(&heard).contains(&"a line".to_owned()));
    assert_eq!(kit::lives(&life).len(), 1, "the server did not notice");
    manager.stop().exited(0);
    assert_eq!(kit::lives(&lives).len(), 3);
    place.await_nothing_left();
}

#[test]
fn a_logger_that_reads_nothing_stops_nobody() {
    let place = Place::new();
    let options = logger(&place, "wait");
    let (life, handled) = (place.out("life"), place.out("handled"));
    let handler = place.script("handler", words!["life", &handled]);
    let actions = words!["life", &life, "until", "2", "exit", "1", "lines", "1", "100000", "wait"];
    let manager = place
        .vsrun([options, words!["--restart-delay", "0", "-m", "-", handler, "--", place.probe()], actions].concat())
        .start();
    let third = kit::await_life(&life, 3);
    kit::await_true("the server to wait for room in the pipe", || {
        process::link(third, "fd/1").starts_with("pipe") && process::state(third) == "S"
    });
    manager.stop().exited(0);
    assert!(kit::gone(third));
    assert_eq!(kit::lives(&handled).len(), 2);
}

#[test]
fn who_stays_waits_until_the_logger_has_written_the_last_line() {
    let place = Place::new();
    let (heard, gate, ended, life) = (place.out("heard"), place.out("gate"), place.out("ended"), place.out("life"));
    let [heard_, gate_, ended_] = [&heard, &gate, &ended].map(|path| path.display().to_string());
    let options = logger(&place, &format!("await {gate_} collect {heard_} append {ended_} x"));
    let actions = words!["--", place.probe(), "life", &life, "print", "last words", "exit", "0"];
    let manager = place.vsrun([options, words!["-m", "-", "-"], actions].concat()).start();
    let server = kit::await_life(&life, 1);
    kit::await_true("the server's end, and the manager to wait", || {
        process::reaped(server) && process::state(manager.pid()) != "R"
    });
    fs::write(&gate, "").unwrap();
    manager.finish().exited(0);
    assert!(ended.exists(), "the manager left before its logger");
    assert!(kit::lines(&heard).contains(&"last words".to_owned()));
}

#[test]
fn a_missing_logger_is_an_error_and_nothing_is_started() {
    let place = Place::new();
    let empty = place.path("empty");
    kit::place::make_directory(&empty, 0o755);
    fs::write(empty.join("no-program"), "").unwrap();
    for way in kit::ways() {
        let rest = words!["-p", "pid", "--", place.probe(), "append", place.out("ran"), "x"];
        let line = [way.clone(), words!["-s", "tag"], rest.clone()].concat();
        place.vsrun(line).env("PATH", &empty).finish().failed(125, &["logger"]);
        for logger in ["no-such-logger", "/no/such/logger with arguments", "no-program"] {
            let line = [way.clone(), words!["-s", "tag", "--logger", logger], rest.clone()].concat();
            let name = logger.split(' ').next().unwrap();
            place.vsrun(line).env("PATH", &empty).finish().failed(125, &[name]);
        }
        for logger in ["\x1b[1m", "/\x1b[1m"] {
            let line = [way.clone(), words!["-s", "tag", "--logger", logger], rest.clone()].concat();
            place.vsrun(line).finish().failed(125, &["\\x1b[1m'"]);
        }
        assert!(!place.out("ran").exists() && !place.path("pid").exists());
        place.await_nothing_left();
    }
}

#[test]
fn the_loggers_words_are_split_at_blanks() {
    let place = Place::new();
    let told = place.out("logger");
    let options = logger(&place, &format!("  report   {} collect\t/dev/null 'not  quoted' ", told.display()));
    place.vsrun([options, words!["-m", "-", "-", "--", place.probe()]].concat()).finish().exited(0);
    let arguments = place.report(&told).all("argument");
    assert_eq!(arguments[1..], ["report", &told.display().to_string(), "collect", "/dev/null", "'not", "quoted'"]);
}
