//! vsrun's own records at a real syslog daemon, in addition to their usual destination or instead of it.

use crate::harness::{self, Mount, Mounts, Sandbox, await_life, needs, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

/// Waits for the record of vsrun's exit, and returns all lines that the syslog daemon has written.
fn await_syslog_lines(sandbox: &Sandbox) -> Vec<String> {
    harness::await_true("the last record", || harness::text(&sandbox.out("syslog")).contains("shutdown"));
    harness::lines(&sandbox.out("syslog"))
}

fn has(lines: &[String], part: &str) -> bool {
    lines.iter().any(|line| line.contains(part))
}

/// The arguments for a manager whose server prints a line and exits with 3.
fn server(sandbox: &Sandbox) -> Vec<OsString> {
    words!["--restart", "no", "--debug", "--", sandbox.probe(), "print", "the server speaks", "exit", "3"]
}

#[test]
fn records_go_to_syslog_as_well_or_alone() {
    needs!(harness::root(), harness::tool("busybox"));
    for (usage, there, here) in [("no", false, true), ("yes", true, true), ("only", true, false)] {
        let sandbox = Sandbox::new();
        let mounts = Mounts::with_syslog(&sandbox);
        let line = [words!["--syslog-usage", usage], server(&sandbox)].concat();
        let ended = sandbox.vsrun(line).within(&mounts).finish();
        ended.assert_exited(3);
        assert_eq!(ended.out, ["the server speaks"]);
        assert_eq!(has(&ended.err, "exited with status 3"), here, "{usage}: {ended:?}");
        assert!(has(&ended.err, "debug: "), "steps are for the caller: {ended:?}");
        if !there {
            assert!(!sandbox.out("syslog").exists() || !has(&harness::lines(&sandbox.out("syslog")), "vsrun"));
            continue;
        }
        let lines = await_syslog_lines(&sandbox);
        for part in
            ["daemon.info vsrun[", "starting: ", "daemon.notice vsrun[", "exited with status 3", "daemon.err vsrun["]
        {
            assert!(has(&lines, part), "{part}: {lines:#?}");
        }
        assert!(!has(&lines, "debug") && !lines.iter().any(|line| line.ends_with("the server speaks")), "{lines:#?}");
    }
}

#[test]
fn records_reach_syslog_beside_log_files_and_another_logger() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let mounts = Mounts::with_syslog(&sandbox);
    let line = [words!["--syslog-usage", "yes", "-d", "logs", "1"], server(&sandbox)].concat();
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(3);
    assert!(has(&await_syslog_lines(&sandbox), "exited with status 3"));
    assert!(harness::text(&sandbox.path("logs/vsrun.log")).contains("exited with status 3"));

    let sandbox = Sandbox::new();
    let mounts = Mounts::with_syslog(&sandbox);
    let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("collected").display());
    let line = [words!["--syslog-usage", "only", "-s", "the tag", "--logger", logger], server(&sandbox)].concat();
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(3);
    assert!(has(&await_syslog_lines(&sandbox), "the tag["), "named after the tag");
    let collected = harness::text(&sandbox.out("collected"));
    assert!(collected.contains("the server speaks") && !collected.contains("exited with status"), "{collected}");
}

/// `logger -t TAG` sends the records to syslog already, so vsrun does not send them again. Debug records, which must
/// not reach syslog, are not written to the logger's pipe.
#[test]
fn records_that_logger_sends_to_syslog_are_not_sent_twice() {
    needs!(harness::root(), harness::tool("busybox"), harness::tool("logger"));
    for usage in ["yes", "only"] {
        for way in harness::ways() {
            let sandbox = Sandbox::new();
            let mounts = Mounts::with_syslog(&sandbox);
            let stays = way.iter().any(|word| word == "-m");
            let foreground = !way.iter().any(|word| word == "-b");
            let line = words!["-s", "tag", "--syslog-usage", usage, "--debug", "--", sandbox.probe(), "print", "alive"];
            let ended = sandbox.vsrun([way.clone(), line].concat()).within(&mounts).finish();
            ended.assert_exited(0);
            harness::await_true("the server's words", || harness::text(&sandbox.out("syslog")).contains("alive"));
            let lines = if stays { await_syslog_lines(&sandbox) } else { harness::lines(&sandbox.out("syslog")) };
            assert!(!has(&lines, "debug"), "{usage} {way:?}: {lines:#?}");
            if stays {
                let starts = lines.iter().filter(|line| line.contains("starting: ")).count();
                assert_eq!(starts, 1, "{usage} {way:?}: {lines:#?}");
            }
            assert_eq!(has(&ended.err, "debug: "), foreground, "{usage} {way:?}: {ended:?}");
            assert!(!foreground || has(&ended.err, "execute "), "the last steps too: {usage} {way:?}: {ended:?}");
        }
    }
}

/// Mounts a `/dev` that contains only the null device. Returns the mounts, and the path at which the syslog socket is
/// missing.
fn without_syslog(sandbox: &Sandbox) -> (Mounts, PathBuf) {
    let mounts = Mounts::new(sandbox, &[Mount::Memory("/dev".into(), "size=64k,mode=755")]);
    sys::make_null(&mounts.path("/dev/null".as_ref())).unwrap();
    let log = mounts.path("/dev/log".as_ref());
    (mounts, log)
}

/// This includes a vsrun that is about to become the server, and one that has gone to the background.
#[test]
fn a_failed_start_is_at_syslog_and_one_line_to_the_caller() {
    needs!(harness::root(), harness::tool("busybox"));
    for usage in ["yes", "only"] {
        for way in harness::ways() {
            let sandbox = Sandbox::new();
            let mounts = Mounts::with_syslog(&sandbox);
            let line = [way.clone(), words!["--syslog-usage", usage, "--debug", "--", "./missing"]].concat();
            let ended = sandbox.vsrun(line).within(&mounts).finish();
            ended.assert_exited(127);
            let reported = ended.err.iter().filter(|line| line.contains("cannot execute './missing'")).count();
            assert_eq!(reported, 1, "{usage} {way:?}: {ended:?}");
            let why = "cannot execute './missing': No such file";
            harness::await_true("the reason", || harness::text(&sandbox.out("syslog")).contains(why));
            let lines = harness::lines(&sandbox.out("syslog"));
            let reasons: Vec<_> = lines.iter().filter(|line| line.contains(why)).collect();
            assert!(reasons.len() == 1 && reasons[0].contains("daemon.err vsrun["), "{usage} {way:?}: {lines:#?}");
            assert!(has(&lines, "starting: ./missing"), "{usage} {way:?}: {lines:#?}");
            assert!(!has(&lines, "debug"), "{lines:#?}");
        }
    }
}

#[test]
fn a_vsrun_that_becomes_the_server_records_its_start() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let mounts = Mounts::with_syslog(&sandbox);
    let jail = sandbox.jail();
    let options = words!["--syslog-usage", "yes", "-u", "12345", "-r", &jail, "--", "/probe"];
    let ended = sandbox.vsrun([options, words!["report", "/out/report"]].concat()).within(&mounts).finish();
    ended.assert_exited(0).assert_silent();
    let found = sandbox.report(&jail.join("out/report"));
    assert_eq!(found.descriptor_numbers(), [0, 1, 2], "the socket to syslog is not the server's");
    let record = format!("daemon.info vsrun[{}]: starting: /probe report", found.number("pid"));
    harness::await_true(&record, || harness::text(&sandbox.out("syslog")).contains(&record));
}

/// Debug records go only to the usual destination, which is the log files or the logger.
#[test]
fn debug_records_do_not_go_to_syslog() {
    needs!(harness::root(), harness::tool("busybox"));
    for (usage, beside) in [("yes", true), ("only", false)] {
        let sandbox = Sandbox::new();
        let mounts = Mounts::with_syslog(&sandbox);
        let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("collected").display());
        for (output, kept) in [
            (words!["-d", "logs", "1"], sandbox.path("logs/vsrun.log")),
            (words!["-s", "tag", "--logger", logger], sandbox.out("collected")),
        ] {
            let line = [words!["--syslog-usage", usage], output, server(&sandbox)].concat();
            sandbox.vsrun(line).within(&mounts).finish().assert_exited(3).assert_silent();
            let lines = await_syslog_lines(&sandbox);
            assert!(has(&lines, "exited with status 3") && !has(&lines, "debug"), "{lines:#?}");
            let kept = harness::lines(&kept);
            assert_eq!(has(&kept, "exited with status 3"), beside, "{kept:#?}");
            assert!(has(&kept, "debug: "), "{kept:#?}");
            fs::remove_file(sandbox.out("syslog")).unwrap();
            mounts.start_syslog(&sandbox);
        }
    }
}

#[test]
fn each_record_has_its_priority() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let mounts = Mounts::with_syslog(&sandbox);
    let logger = format!(
        "{} life {} at 1 exit 1 collect /dev/null",
        sandbox.probe().display(),
        sandbox.out("loggers").display()
    );
    let handler = sandbox.script("handler", words!["await", sandbox.out("loggers"), "exit", "1"]);
    let options = words!["-m", "-", handler, "--syslog-usage", "only", "-s", "tag", "--logger", logger];
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
    let manager = sandbox.vsrun([options, server].concat()).within(&mounts).start();
    let pid = await_life(&sandbox.out("life"), 1);
    harness::await_lines(&sandbox.out("loggers"), 2);
    sys::kill(pid, libc::SIGABRT);
    manager.finish().assert_exited(134);
    let lines = await_syslog_lines(&sandbox);
    for (priority, part) in [
        ("info", "starting: "),
        ("info", "started: pid "),
        ("warn", "the logger exited with status 1"),
        ("notice", "killed by SIGABRT (6)"),
        ("notice", "the handler refuses the restart"),
        ("err", "shutdown of vsrun: "),
    ] {
        let begin = format!("daemon.{priority} tag[");
        let reported = lines.iter().any(|line| line.contains(&begin) && line.contains(part));
        assert!(reported, "{priority}: {part:?} in {lines:#?}");
    }
}

/// A record is always one line, even if an argument or the tag contains a newline.
#[test]
fn no_record_is_forged() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let mounts = Mounts::with_syslog(&sandbox);
    let forged = "x\n<0>kernel: all is lost\x1b[31m";
    let server = words!["--restart", "no", "--", sandbox.probe(), "append", "/dev/null", forged];
    let line = [words!["--syslog-usage", "only", "-s", "tag\n<0>forged", "--logger", "sleep 0"], server].concat();
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(0);
    let lines = await_syslog_lines(&sandbox);
    assert!(has(&lines, "x\\x0a<0>kernel: all is lost\\x1b[31m"), "{lines:#?}");
    assert!(lines.iter().filter(|line| !line.contains("syslogd")).all(|line| line.contains("daemon.")), "{lines:#?}");
}

/// At the path is nothing, a file, a FIFO, a stream socket, or a datagram socket that no process reads.
#[test]
fn an_unusable_syslog_socket_does_not_disturb_the_server() {
    needs!(harness::root());
    let missing: fn(&Path) = |_| {};
    let file: fn(&Path) = |log| fs::write(log, "").unwrap();
    let fifo: fn(&Path) = |log| sys::make_fifo(log.as_os_str()).unwrap();
    let stream: fn(&Path) = |log| std::mem::forget(UnixListener::bind(log).unwrap());
    let deaf: fn(&Path) = |log| std::mem::forget(UnixDatagram::bind(log).unwrap());
    for make in [missing, file, fifo, stream, deaf] {
        for (usage, heard) in [("yes", true), ("only", false)] {
            let sandbox = Sandbox::new();
            let (mounts, log) = without_syslog(&sandbox);
            make(&log);
            // The server is restarted 300 times: a socket that no process reads cannot take so many records.
            let options = words!["--syslog-usage", usage, "--restart", "on-failure", "--restart-delay", "0", "--"];
            let server = words![sandbox.probe(), "life", sandbox.out("life"), "until", "300", "exit", "1", "exit", "0"];
            let ended = sandbox.vsrun([options, server].concat()).within(&mounts).finish();
            ended.assert_exited(0);
            assert_eq!(harness::lives(&sandbox.out("life")).len(), 301);
            assert_eq!(has(&ended.err, "shutdown"), heard, "{usage}");
        }
    }
}

/// At first no daemon listens, then one does, and after its end another one.
#[test]
fn records_reach_a_syslog_daemon_that_starts_later() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/dev".into(), "size=64k,mode=755")]);
    let options = words!["--syslog-usage", "only", "--restart", "on-failure", "--restart-delay", "0"];
    let server = words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"];
    let manager = sandbox.vsrun([options, server].concat()).within(&mounts).start();
    let mut lives = 1;
    let mut killed = || {
        let pid = await_life(&sandbox.out("life"), lives);
        sys::kill(pid, libc::SIGKILL);
        lives += 1;
        await_life(&sandbox.out("life"), lives);
        pid
    };
    killed();
    for _ in 0..2 {
        let daemon = mounts.start_syslog(&sandbox);
        let reported = format!("the server (pid {}) was killed by SIGKILL (9)", killed());
        harness::await_true(&reported, || harness::text(&sandbox.out("syslog")).contains(&reported));
        daemon.stop();
        let _ = std::fs::remove_file(mounts.path("/dev/log".as_ref()));
    }
    manager.stop().assert_exited(0);
}

#[test]
fn invalid_values_of_syslog_usage_are_refused() {
    let sandbox = Sandbox::new();
    for usage in ["maybe", "", "YES"] {
        sandbox.vsrun(words!["--syslog-usage", usage, "--", "true"]).finish().assert_failed(2, &["--syslog-usage"]);
    }
    let twice = words!["--syslog-usage", "no", "--syslog-usage", "yes", "--", "true"];
    sandbox.vsrun(twice).finish().assert_failed(2, &["--syslog-usage", "twice"]);
}
