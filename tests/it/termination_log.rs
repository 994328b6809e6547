//! `--termination-log`: vsrun writes the reason of its exit to a file, a terminal or a FIFO.

use crate::harness::{self, Mount, Mounts, PLAIN, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

#[test]
fn a_server_that_ends_is_explained_in_one_line() {
    for way in [words!["--init"], words!["--restart", "no"], words!["-m", "-", "-", "--restart", "no"]] {
        for (script, line) in [
            (words!["exit", "3"], "vsrun: the server exited with status 3 after 0.0 s, restarts: 0"),
            (words!["raise", "9"], "vsrun: the server killed by signal 9 after 0.0 s, restarts: 0"),
        ] {
            let sandbox = Sandbox::new();
            let file = sandbox.path("log");
            fs::write(&file, "of an earlier start, and much longer than what is written now\n".repeat(50)).unwrap();
            let call = [way.clone(), words!["--termination-log", &file, "--", sandbox.probe()], script].concat();
            sandbox.vsrun(call).finish();
            let found = harness::text(&file);
            let (begin, end) = line.split_once("0.0").unwrap();
            assert!(found.starts_with(begin) && found.ends_with(&format!("{end}\n")), "{found}");
            assert_eq!(found.lines().count(), 1);
        }
    }
}

#[test]
fn restarts_are_counted_and_giving_up_is_named() {
    let sandbox = Sandbox::new();
    let options =
        words!["-q", "-m", "-", "-", "--restart-delay", "0", "--restart-limit", "3/1h", "--termination-log", "log"];
    sandbox.vsrun([options, words!["--", sandbox.probe(), "exit", "7"]].concat()).finish().assert_exited(7);
    let found = harness::text(&sandbox.path("log"));
    assert!(found.starts_with("vsrun: giving up after too many restarts: the server exited with status 7"), "{found}");
    assert!(found.ends_with(", restarts: 3\n"), "{found}");
}

#[test]
fn a_start_that_fails_is_explained_in_all_ways() {
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path("plain"), "").unwrap();
        for (options, command, status, reason) in [
            (words!["-u", "no-such-user"], "/bin/true", 125, "no-such-user"),
            (words!["--at-exit", "halt", "--restart", "no", "-f"], "/bin/true", 125, "--at-exit"),
            (words!["-w", "/no/such/dir"], "/bin/true", 125, "cannot change directory to '/no/such/dir'"),
            (words!["-p", "/no/such/dir/pid"], "/bin/true", 125, "/no/such/dir"),
            (words!["-p", "pid"], "/no/such/command", 127, "cannot execute '/no/such/command'"),
            (words![], "./plain", 126, "cannot execute './plain'"),
            (words!["--before", "/no/such/before"], "/bin/true", 125, "--before '/no/such/before'"),
        ] {
            let way = if options.contains(&OsString::from("--at-exit")) { words![] } else { way.clone() };
            let call = [way.clone(), options, words!["--termination-log", "log", "--", command]].concat();
            let ended = sandbox.vsrun(call).finish();
            let found = harness::text(&sandbox.path("log"));
            assert!(found.starts_with("vsrun: ") && found.contains(reason), "{way:?} {command}: {found:?} {ended:?}");
            assert_eq!((ended.assert_exited(status).code(), found.lines().count()), (Some(status), 1));
            fs::remove_file(sandbox.path("log")).unwrap();
        }
    }
}

#[test]
fn a_failed_start_of_a_jailed_user_is_explained_too() {
    needs!(harness::root());
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let jail = sandbox.jail();
        let options = words!["-u", PLAIN.to_string(), "-r", &jail, "--termination-log", "log", "--", "/no/such"];
        sandbox.vsrun([way.clone(), options].concat()).finish().assert_exited(127);
        let found = harness::text(&sandbox.path("log"));
        assert!(found.starts_with("vsrun: cannot execute '/no/such'"), "{way:?}: {found:?}");
    }
}

#[test]
fn success_and_wrong_usage_leave_the_file_as_it_is() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("log");
    fs::write(&file, "before\n").unwrap();
    let probe = sandbox.probe();
    let log = words!["--termination-log", &file];
    for way in harness::ways() {
        sandbox.vsrun([way, log.clone(), words!["--", &probe, "exit", "0"]].concat()).finish().assert_exited(0);
    }
    let managed =
        [words!["-m", "-", "-"], log.clone(), words!["--", &probe, "life", sandbox.out("life"), "wait"]].concat();
    let manager = sandbox.vsrun(managed).start();
    harness::await_life(&sandbox.out("life"), 1);
    manager.stop().assert_exited(0);
    sandbox.vsrun([log.clone(), words!["--no-such-option", "--", &probe]].concat()).finish().assert_exited(2);
    let same = words!["-p", "x", "-m", "./x", "-", "--", &probe];
    sandbox.vsrun([log.clone(), same].concat()).finish().assert_exited(2);
    sandbox.vsrun([words!["--check"], log, words!["--", "/no/such"]].concat()).finish().assert_exited(125);
    assert_eq!(harness::text(&file), "before\n");
}

#[test]
fn the_last_lines_of_the_log_follow_and_4096_bytes_are_the_limit() {
    for size in [words![], words!["--log-size", "1M"]] {
        let sandbox = Sandbox::new();
        let logs = words!["-d", sandbox.path("logs"), "1", "--termination-log", "log"];
        let server = words!["--", sandbox.probe(), "lines", "1", "1000", "print", "last\x1b[31m", "exit", "4"];
        sandbox.vsrun([words!["--init"], logs, size, server].concat()).finish().assert_exited(4);
        let found = fs::read_to_string(sandbox.path("log")).unwrap();
        assert!(found.len() <= 4096 && found.len() > 4000, "{}", found.len());
        let lines: Vec<&str> = found.lines().collect();
        assert!(lines[0].starts_with("vsrun: the server exited with status 4 after "), "{}", lines[0]);
        assert!(lines[1].starts_with("line "), "a whole line: {}", lines[1]);
        assert_eq!(lines[lines.len() - 2..], ["line 1000", "last?[31m"]);
    }
}

#[test]
fn a_single_long_line_is_cut_at_its_beginning() {
    let sandbox = Sandbox::new();
    let options = words!["--init", "-d", sandbox.path("logs"), "1", "--termination-log", "log"];
    let server = words!["--", sandbox.probe(), "print", format!("{}END", "x".repeat(9000)), "exit", "4"];
    sandbox.vsrun([options, server].concat()).finish().assert_exited(4);
    let found = harness::text(&sandbox.path("log"));
    assert!(found.len() <= 4096 && found.ends_with("xxEND\n"), "{}: {found}", found.len());
}

#[test]
fn a_file_that_cannot_be_opened_is_a_warning_and_nothing_else() {
    let sandbox = Sandbox::new();
    let target = sandbox.path("target");
    fs::write(&target, "untouched\n").unwrap();
    symlink(&target, sandbox.path("link")).unwrap();
    let fifo = sandbox.path("fifo");
    sys::make_fifo(fifo.as_os_str()).unwrap();
    for (file, reason) in [
        (sandbox.path("link"), "symbolic link"),
        (sandbox.path("no/such/log"), "No such file or directory"),
        (sandbox.directory().to_owned(), "Is a directory"),
        (fifo, "No such device or address"),
    ] {
        for way in harness::ways() {
            let call = [way.clone(), words!["--termination-log", &file, "--", sandbox.probe(), "exit", "0"]].concat();
            let ended = sandbox.vsrun(call).finish();
            let about: Vec<_> = ended.err.iter().filter(|line| line.contains("cannot use termination log")).collect();
            assert_eq!(about.len(), 1, "{way:?}: {ended:?}");
            assert!(about[0].contains(reason), "{way:?}: {ended:?}");
            ended.assert_exited(0);
        }
    }
    assert_eq!(harness::text(&target), "untouched\n");
}

#[test]
fn a_log_in_a_users_directory_is_written_only_if_it_is_that_users() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let home = sandbox.path("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(PLAIN), Some(PLAIN)).unwrap();
    let secret = sandbox.path("secret");
    fs::write(&secret, "root's\n").unwrap();
    fs::hard_link(&secret, home.join("log")).unwrap();
    let run = |file: &Path| {
        let call = words!["-u", PLAIN.to_string(), "--termination-log", file, "--", sandbox.probe(), "exit", "5"];
        sandbox.vsrun([words!["--init"], call].concat()).finish()
    };
    let ended = run(&home.join("log"));
    assert!(ended.assert_exited(5).err[0].contains("cannot use termination log"), "{ended:?}");
    assert_eq!(harness::text(&secret), "root's\n");
    // vsrun, as root, creates no file in a directory of another user.
    assert!(run(&home.join("new")).assert_exited(5).err[0].contains("cannot use termination log"));
    assert_eq!(harness::names(&home), ["log"]);
    // A file that belongs to the owner of the directory is written.
    fs::write(home.join("own"), "").unwrap();
    chown(home.join("own"), Some(PLAIN), Some(PLAIN)).unwrap();
    run(&home.join("own")).assert_exited(5).assert_silent();
    assert!(harness::text(&home.join("own")).contains("exited with status 5"));
    // In a directory that all users may write to, a hard link may lead to any user's file.
    let shared = sandbox.path("shared");
    harness::sandbox::make_directory(&shared, 0o1777);
    fs::write(sandbox.path("victim"), "theirs\n").unwrap();
    chown(sandbox.path("victim"), Some(1234), Some(1234)).unwrap();
    fs::hard_link(sandbox.path("victim"), shared.join("log")).unwrap();
    assert!(run(&shared.join("log")).assert_exited(5).err[0].contains("second hard link"));
    assert_eq!(harness::text(&sandbox.path("victim")), "theirs\n");
}

#[test]
fn a_new_file_is_not_for_others_and_the_server_does_not_have_it() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("log");
    for way in harness::ways() {
        let report = sandbox.out("report");
        let call = words!["--termination-log", &file, "--", sandbox.probe(), "report", &report];
        sandbox.vsrun([way, call].concat()).finish().assert_exited(0);
        let identity = harness::call::identity(&file);
        assert!(sandbox.report(&report).descriptors().iter().all(|fd| fd.identity != identity));
        fs::remove_file(&report).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_fifo_with_a_reader_gets_the_message_and_a_full_one_ends_nothing() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    sys::make_fifo(fifo.as_os_str()).unwrap();
    let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let call = || {
        let options = words!["--init", "--termination-log", &fifo, "--", sandbox.probe(), "exit", "6"];
        sandbox.vsrun(options).finish().assert_exited(6).assert_silent();
    };
    call();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("vsrun: the server exited with status 6"), "{text}");
    // The FIFO is full and no process reads it: vsrun does not wait for it.
    let mut writer = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    while std::io::Write::write(&mut writer, &[b'x'; 4096]).is_ok() {}
    call();
}

#[test]
fn a_mount_is_written_in_place() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let outside = sandbox.path("outside");
    fs::write(&outside, "").unwrap();
    fs::write(sandbox.path("log"), "").unwrap();
    let mounts = Mounts::new(&sandbox, &[Mount::Bind(outside.clone(), sandbox.path("log"))]);
    let call = words!["--init", "--termination-log", sandbox.path("log"), "--", sandbox.probe(), "exit", "6"];
    sandbox.vsrun(call).within(&mounts).finish().assert_exited(6);
    assert!(harness::text(&outside).starts_with("vsrun: the server exited with status 6"));
}

#[test]
fn a_check_warns_and_opens_nothing() {
    let sandbox = Sandbox::new();
    let check = |file: &Path| {
        let call = words!["--check", "--termination-log", file, "--", sandbox.probe(), "exit", "0"];
        sandbox.vsrun(call).finish()
    };
    check(&sandbox.path("log")).assert_exited(0).assert_silent();
    assert!(!sandbox.path("log").exists());
    let ended = check(&sandbox.path("no/such/log"));
    assert!(ended.assert_exited(0).out[0].starts_with("warning: cannot use termination log"), "{ended:?}");
    fs::write(sandbox.path("log"), "").unwrap();
    fs::set_permissions(sandbox.path("log"), fs::Permissions::from_mode(0o640)).unwrap();
    check(&sandbox.path("log")).assert_exited(0).assert_silent();
    needs!(harness::root());
    harness::sandbox::make_directory(&sandbox.path("theirs"), 0o755);
    chown(sandbox.path("theirs"), Some(12345), Some(12345)).unwrap();
    let line = check(&sandbox.path("theirs/log")).out.remove(0);
    assert!(line.contains("'log' would be made in a directory of user 12345"), "{line}");
    let call = words!["--init", "--termination-log", "theirs/log", "--", sandbox.probe(), "exit", "0"];
    let ended = sandbox.vsrun(call).finish();
    assert!(ended.err.iter().any(|line| line.contains("'log' would be made in")), "{ended:?}");
    assert_eq!(harness::names(&sandbox.path("theirs")), [""; 0]);
}
