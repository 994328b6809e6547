//! Pidfiles: their content, the process that holds the lock, the files that are refused, and when they are removed.

use crate::harness::call::identity;
use crate::harness::sys::Lock;
use crate::harness::{self, Mount, Mounts, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn lock_of(path: &Path) -> Lock {
    sys::lock_of(&open(path))
}

/// Starts a server that waits, with or without a manager. Returns when the server runs, so its pidfile is written.
#[track_caller]
fn start(sandbox: &Sandbox, options: Vec<OsString>) -> Running {
    let report = sandbox.out("report");
    let line = [options, words!["--", sandbox.probe(), "report", &report, "wait"]].concat();
    let running = sandbox.vsrun(line).start();
    harness::await_file(&report);
    running
}

#[test]
fn pidfile_holds_the_servers_pid_and_has_mode_0600() {
    let sandbox = Sandbox::new();
    for umask in [0, 0o22, 0o77, 0o377] {
        let file = sandbox.path(&format!("pid-{umask:o}"));
        let report = sandbox.out(&format!("report-{umask:o}"));
        let line = words!["-p", &file, "--", sandbox.probe(), "report", &report, "wait"];
        let server = sandbox.vsrun(line).before(move || sys::umask(umask)).start();
        assert_eq!(sandbox.report(&report).number("pid"), server.pid());
        assert_eq!(harness::text(&file), format!("{}\n", server.pid()));
        let found = fs::metadata(&file).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, sys::user()), "umask {umask:o}");
        server.signal(libc::SIGKILL);
        server.finish();
    }
}

#[test]
fn a_server_alone_keeps_one_descriptor_that_cannot_write() {
    let sandbox = Sandbox::new();
    let (file, report, tried) = (sandbox.path("pid"), sandbox.out("report"), sandbox.out("tried"));
    let actions = words!["scribble", "3", &tried, "report", &report, "wait"];
    let server = sandbox.vsrun([words!["-p", &file, "--", sandbox.probe()], actions].concat()).start();
    let found = sandbox.report(&report);
    assert_eq!(found.descriptor_numbers().len(), 4, "0-2 and the pidfile: {found:?}");
    let kept = found.descriptors().into_iter().find(|fd| fd.identity == identity(&file)).unwrap();
    assert_eq!((kept.access.as_str(), kept.kept), ("r", true));
    assert!(harness::text(&tried).starts_with("refused"), "the server could write: {}", harness::text(&tried));
    assert_eq!(process::locks(server.pid(), kept.number), ["OFDLCK ADVISORY READ"]);
    assert_eq!(lock_of(&file), Lock::Shared);
    assert_eq!(harness::text(&file), format!("{}\n", server.pid()));
    server.signal(libc::SIGKILL);
    server.finish();
    assert_eq!(lock_of(&file), Lock::None, "the lock goes with the server");
}

#[test]
fn a_manager_holds_both_locks_and_no_other_process_has_a_descriptor() {
    let sandbox = Sandbox::new();
    let (pid, monitor) = (sandbox.path("pid"), sandbox.path("monitor"));
    let (server, handler) = (sandbox.out("server"), sandbox.out("handler"));
    let on_death = sandbox.script("on-death", words!["report", &handler, "exit", "0"]);
    let life = sandbox.out("life");
    let actions = words!["life", &life, "report", &server, "at", "1", "exit", "3", "wait"];
    let line = [words!["-p", &pid, "-m", &monitor, on_death, "--", sandbox.probe()], actions].concat();
    let manager = sandbox.vsrun(line).start();
    let second = harness::await_life(&life, 2);
    for path in [&server, &handler] {
        let found = sandbox.report(path);
        assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{found:?}");
    }
    assert_eq!(harness::text(&monitor), format!("{}\n", manager.pid()));
    assert_eq!(harness::text(&pid), format!("{second}\n"));
    for file in [&pid, &monitor] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(lock_of(file), Lock::Exclusive);
        let name = file.display().to_string();
        let holds: Vec<i32> =
            process::descriptors(manager.pid()).into_iter().filter(|(_, to)| *to == name).map(|(fd, _)| fd).collect();
        assert_eq!(holds.len(), 1, "one descriptor on {name}: {:?}", process::descriptors(manager.pid()));
        assert_eq!(process::locks(manager.pid(), holds[0]), ["OFDLCK ADVISORY WRITE"]);
    }
    manager.stop().assert_exited(0);
    assert!(!pid.exists() && !monitor.exists(), "both are removed at the end");
}

#[test]
fn a_second_start_is_refused_and_changes_nothing() {
    for options in harness::ways() {
        let sandbox = Sandbox::new();
        let (file, life, logs) = (sandbox.path("pid"), sandbox.out("life"), sandbox.path("logs"));
        let line = words!["-p", &file, "-d", &logs, "7", "--", sandbox.probe(), "life", &life, "wait"];
        let first = sandbox.vsrun([options.clone(), line.clone()].concat()).start();
        harness::await_life(&life, 1);
        // Wait until vsrun has written its last record of the start, which may be after the start of the server.
        if !options.is_empty() {
            harness::await_true("the last record of the start", || {
                harness::text(&logs.join("vsrun.log")).contains("started")
            });
        }
        let pid = harness::text(&file).trim().to_owned();
        let state = || {
            let written = fs::metadata(&file).unwrap().modified().unwrap();
            (written, harness::text(&file), harness::names(&logs), harness::text(&logs.join("vsrun.log")))
        };
        let before = state();
        let said = format!("vsrun: already running: {} is locked by pid {pid}", file.display());
        for again in harness::ways() {
            let second = sandbox.vsrun([again, line.clone()].concat()).finish();
            assert_eq!(*second.assert_failed(125, &[]).complaints()[0], said);
        }
        assert_eq!(before, state(), "{options:?}");
        assert_eq!(harness::lines(&life).len(), 1, "no second server");
        assert!(!harness::gone(pid.parse().unwrap()), "the first one lives");
        drop(first);
    }
}

#[test]
fn a_monitor_pidfile_is_locked_like_the_other() {
    let sandbox = Sandbox::new();
    let monitor = sandbox.path("monitor");
    let first = start(&sandbox, words!["-m", &monitor, "-"]);
    let said = format!("already running: {} is locked by pid {}", monitor.display(), first.pid());
    let line = words!["-p", "pid", "-m", &monitor, "-", "--", sandbox.probe(), "append", "ran", "x"];
    sandbox.vsrun(line).finish().assert_failed(125, &[&said]);
    assert!(!sandbox.path("pid").exists() && !sandbox.path("ran").exists(), "what the second one made is gone");
}

#[test]
fn a_classic_lock_of_another_process_counts() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    fs::write(&file, "4242\n").unwrap();
    let locked = sandbox.out("locked");
    let holder = sandbox.program(&sandbox.probe(), words!["lock", &file, "append", &locked, "x", "wait"]).start();
    harness::await_file(&locked);
    let said = format!("already running: {} is locked by pid {}, not by pid 4242", file.display(), holder.pid());
    sandbox.vsrun(words!["-p", &file, "--", sandbox.probe()]).finish().assert_failed(125, &[&said]);
    assert_eq!(harness::text(&file), "4242\n");
}

#[test]
fn a_shared_lock_of_another_process_counts() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    fs::write(&file, "77777\n").unwrap();
    let held = open(&file);
    sys::lock(&held, libc::F_RDLCK).unwrap();
    let said = format!("already running: {} is locked by pid {}, not by pid 77777", file.display(), sys::pid());
    sandbox.vsrun(words!["-p", &file, "-m", "-", "-", "--", sandbox.probe()]).finish().assert_failed(125, &[&said]);
    assert_eq!(harness::text(&file), "77777\n");
}

/// Tries to start with this file as `-p` and as the manager's pidfile, and expects each error to name the file.
#[track_caller]
fn assert_refused(sandbox: &Sandbox, file: &Path) {
    let name = file.display().to_string();
    let command = words!["--", sandbox.probe(), "append", "ran", "x"];
    for options in [words!["-p", file], words!["-m", file, "-"], words!["-b", "-p", file]] {
        sandbox.vsrun([options, command.clone()].concat()).finish().assert_failed(125, &[&name]);
        assert!(!sandbox.path("ran").exists(), "{name}: no server was started");
    }
}

#[test]
fn a_directory_is_refused() {
    let sandbox = Sandbox::new();
    assert_refused(&sandbox, &sandbox.path("out"));
    assert!(sandbox.path("out").is_dir());
}

#[test]
fn a_fifo_is_refused_without_blocking() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    sys::make_fifo(fifo.as_os_str()).unwrap();
    assert_refused(&sandbox, &fifo);
}

#[test]
fn a_device_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    // A device of the test's own: a vsrun that fails this test would remove it.
    let device = sandbox.path("device");
    sys::make_null(&device).unwrap();
    assert_refused(&sandbox, &device);
}

#[test]
fn a_symbolic_link_is_refused_wherever_it_leads() {
    let sandbox = Sandbox::new();
    let (target, nowhere) = (sandbox.path("target"), sandbox.path("nowhere"));
    fs::write(&target, "precious").unwrap();
    for (link, to) in [("link", &target), ("dangling", &nowhere)] {
        symlink(to, sandbox.path(link)).unwrap();
        assert_refused(&sandbox, &sandbox.path(link));
    }
    assert_eq!(harness::text(&target), "precious");
    assert!(!nowhere.exists());
}

#[test]
fn a_file_with_a_second_name_is_refused() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("file");
    fs::write(&file, "precious").unwrap();
    fs::hard_link(&file, sandbox.path("other-name")).unwrap();
    assert_refused(&sandbox, &file);
    assert_eq!(harness::text(&file), "precious");
}

#[test]
fn a_file_of_another_user_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let file = sandbox.path("file");
    fs::write(&file, "1\n").unwrap();
    chown(&file, Some(harness::PLAIN), Some(harness::PLAIN)).unwrap();
    assert_refused(&sandbox, &file);
    assert_eq!(harness::text(&file), "1\n");

    // An unprivileged caller is refused too, if the file belongs neither to the caller nor to root.
    let sandbox = Sandbox::plain();
    let file = sandbox.path("file");
    fs::write(&file, "1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    chown(&file, Some(1), Some(1)).unwrap();
    assert_refused(&sandbox, &file);
    assert_eq!(harness::text(&file), "1\n");
}

#[test]
fn a_missing_directory_is_an_error() {
    let sandbox = Sandbox::new();
    assert_refused(&sandbox, &sandbox.path("no-such-directory/pid"));
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_file() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    harness::sandbox::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(disk.clone(), "size=4k")]);
    fs::write(mounts.path(&disk.join("filler")), vec![b'x'; 4096]).unwrap();
    let file = disk.join("pid");
    for options in [words!["-p", &file], words!["-p", &file, "-m", "-", "-"], words!["-b", "-m", &file, "-"]] {
        let line = [options, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        sandbox
            .vsrun(line)
            .within(&mounts)
            .finish()
            .assert_failed(125, &[&file.display().to_string(), "No space left"]);
        assert_eq!(harness::names(&mounts.path(&disk)), ["filler"]);
        assert!(!sandbox.out("ran").exists());
    }
}

#[test]
fn a_stale_file_is_overwritten_whatever_it_holds() {
    for stale in ["", "1\n", "-1\n", "999999999999999999999999 and more\nlines\n", "\0\0\0", "not a number"] {
        let sandbox = Sandbox::new();
        let file = sandbox.path("pid");
        fs::write(&file, stale).unwrap();
        let before = identity(&file);
        let server = start(&sandbox, words!["-p", &file]);
        assert_eq!(harness::text(&file), format!("{}\n", server.pid()), "after {stale:?}");
        assert_eq!(identity(&file), before, "it is the same file");
    }
}

#[test]
fn pidfile_is_empty_from_the_servers_death_until_the_next_start() {
    let sandbox = Sandbox::new();
    let (file, life, gate, began) =
        (sandbox.path("pid"), sandbox.out("life"), sandbox.out("gate"), sandbox.out("began"));
    let handler = sandbox.script("handler", words!["append", &began, "x", "await", &gate]);
    let actions = words!["life", &life, "at", "1", "exit", "1", "wait"];
    let line = [words!["-p", &file, "-m", "-", handler, "--", sandbox.probe()], actions].concat();
    let manager = sandbox.vsrun(line).start();
    harness::await_file(&began);
    assert_eq!(harness::text(&file), "", "while the handler runs there is no server");
    assert_eq!(lock_of(&file), Lock::Exclusive);
    fs::write(&gate, "").unwrap();
    let second = harness::await_life(&life, 2);
    assert_eq!(harness::text(&file), format!("{second}\n"));
    manager.stop().assert_exited(0);
    assert!(!file.exists());
}

#[test]
fn pidfile_is_empty_during_a_restart_delay() {
    let sandbox = Sandbox::new();
    let (file, life) = (sandbox.path("pid"), sandbox.out("life"));
    let options = words!["-p", &file, "-m", "monitor", "-", "--restart-delay", "1h"];
    let actions = words!["life", &life, "exit", "1"];
    let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions].concat()).start();
    let last = harness::await_life(&life, 2);
    harness::await_true("the second server's end", || process::reaped(last));
    assert_eq!(harness::text(&file), "");
    assert_eq!(harness::text(&sandbox.path("monitor")), format!("{}\n", manager.pid()));
    manager.stop().assert_exited(0);
    assert!(!file.exists() && !sandbox.path("monitor").exists());
}

#[test]
fn the_managers_end_removes_both_whatever_the_reason() {
    for (actions, status) in [(words!["exit", "0"], 0), (words!["exit", "9"], 9), (words!["raise", "11"], 139)] {
        let sandbox = Sandbox::new();
        let handler = sandbox.script("refuse", words!["exit", "1"]);
        let line = words!["-p", "pid", "-m", "monitor", handler, "--", sandbox.probe()];
        sandbox.vsrun([line, actions].concat()).finish().assert_exited(status);
        assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
    }
}

#[test]
fn file_that_replaced_the_pidfile_is_not_removed() {
    let sandbox = Sandbox::new();
    let (pid, monitor) = (sandbox.path("pid"), sandbox.path("monitor"));
    let manager = start(&sandbox, words!["-p", &pid, "-m", &monitor, "-"]);
    fs::rename(&pid, sandbox.path("moved")).unwrap();
    fs::write(&pid, "another's\n").unwrap();
    manager.stop().assert_exited(0);
    assert_eq!(harness::text(&pid), "another's\n");
    assert!(!monitor.exists());
}

#[test]
fn a_relative_path_is_the_callers_also_in_the_background() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let line = words!["-b", "-p", "pid", "-m", "monitor", "-", "--", sandbox.probe(), "report", &report, "wait"];
    sandbox.vsrun(line).finish().assert_exited(0);
    let found = sandbox.report(&report);
    assert_eq!(harness::text(&sandbox.path("pid")), format!("{}\n", found.one("pid")));
    assert_eq!(harness::text(&sandbox.path("monitor")), format!("{}\n", found.one("ppid")));
    sys::kill(found.number("ppid"), libc::SIGTERM);
    harness::await_true("the removal of both", || !sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
    harness::await_gone(found.number("ppid"));
}

#[test]
fn descriptors_that_were_closed_do_not_become_the_pidfile() {
    let sandbox = Sandbox::new();
    for (way, closed) in harness::ways().into_iter().flat_map(|way| harness::CLOSED.map(|closed| (way.clone(), closed)))
    {
        let (file, report) = (sandbox.path("pid"), sandbox.out("report"));
        let actions = words!["print", "1", "complain", "2", "report", &report, "await", sandbox.out("gate")];
        let line = [words!["--debug", "-p", &file], way.clone(), words!["--", sandbox.probe()], actions].concat();
        let running = sandbox.vsrun(line).closed(closed).start();
        let found = sandbox.report(&report);
        let here = format!("{way:?}, {closed:?}: {found:?}");
        assert_eq!(harness::text(&file), format!("{}\n", found.one("pid")), "nothing else was written into it, {here}");
        let mut standard = found.descriptors().into_iter().filter(|fd| fd.number < 3);
        assert!(standard.all(|fd| fd.identity != identity(&file)), "{here}");
        fs::write(sandbox.out("gate"), "").unwrap();
        running.finish().assert_exited(0);
        sandbox.await_nothing_left();
        [report, sandbox.out("gate")].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn the_number_is_there_before_the_servers_first_instruction() {
    for options in [words![], words!["--restart", "on-failure", "--restart-delay", "0"]] {
        let sandbox = Sandbox::new();
        let (life, copies) = (sandbox.out("life"), sandbox.out("copies"));
        let first = words!["-p", "pid", "--", sandbox.probe(), "copy", sandbox.path("pid"), &copies];
        let then = words!["life", &life, "until", "20", "exit", "1"];
        let ended = sandbox.vsrun([options.clone(), first, then].concat()).finish();
        ended.assert_exited(i32::from(options.is_empty()));
        let pids: Vec<String> = harness::lives(&life).iter().map(|(pid, _)| pid.to_string()).collect();
        assert_eq!(harness::lines(&copies), pids);
    }
}

#[test]
fn the_file_goes_when_the_command_cannot_be_executed() {
    let sandbox = Sandbox::new();
    for options in [words![], words!["-b"], words!["-m", "monitor", "-"], words!["-b", "-m", "monitor", "-"]] {
        let line = [words!["-p", "pid"], options, words!["--", sandbox.path("no-such-command")]].concat();
        sandbox.vsrun(line).finish().assert_failed(127, &["no-such-command"]);
        assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
    }
}

/// The cleanup helper may exit a moment later than a server that exits at once. It must not keep the pidfile locked.
#[test]
fn a_server_that_has_just_ended_does_not_block_the_next() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for _ in 0..60 {
        sandbox
            .vsrun(words!["-u", "12345", "-p", "pid", "--", sandbox.probe()])
            .finish()
            .assert_exited(0)
            .assert_silent();
    }
}
