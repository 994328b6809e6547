//! Pidfiles: what is in them, who holds the lock, what is refused, and when they go away.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::call::identity;
use kit::sys::Lock;
use kit::{Mount, Mounts, Place, Running, needs, process, sys, words};
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

/// A server that waits, in its own process or under a manager, with its pidfile written.
#[track_caller]
fn start(place: &Place, options: Vec<OsString>) -> Running {
    let report = place.out("report");
    let line = [options, words!["--", place.probe(), "report", &report, "wait"]].concat();
    let running = place.vsrun(line).start();
    kit::await_file(&report);
    running
}

#[test]
fn it_holds_the_servers_pid_and_is_for_its_owner_alone() {
    let place = Place::new();
    for umask in [0, 0o22, 0o77, 0o377] {
        let file = place.path(&format!("pid-{umask:o}"));
        let report = place.out(&format!("report-{umask:o}"));
        let line = words!["-p", &file, "--", place.probe(), "report", &report, "wait"];
        let server = place.vsrun(line).before(move || sys::umask(umask)).start();
        assert_eq!(place.report(&report).number("pid"), server.pid());
        assert_eq!(kit::text(&file), format!("{}\n", server.pid()));
        let found = fs::metadata(&file).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, sys::user()), "umask {umask:o}");
        server.signal(libc::SIGKILL);
        server.finish();
    }
}

#[test]
fn a_server_alone_keeps_one_descriptor_that_cannot_write() {
    let place = Place::new();
    let (file, report, tried) = (place.path("pid"), place.out("report"), place.out("tried"));
    let actions = words!["scribble", "3", &tried, "report", &report, "wait"];
    let server = place.vsrun([words!["-p", &file, "--", place.probe()], actions].concat()).start();
    let found = place.report(&report);
    assert_eq!(found.descriptor_numbers().len(), 4, "0-2 and the pidfile: {found:?}");
    let kept = found.descriptors().into_iter().find(|fd| fd.identity == identity(&file)).unwrap();
    assert_eq!((kept.access.as_str(), kept.kept), ("r", true));
    assert!(kit::text(&tried).starts_with("refused"), "the server could write: {}", kit::text(&tried));
    assert_eq!(process::locks(server.pid(), kept.number), ["OFDLCK ADVISORY READ"]);
    assert_eq!(lock_of(&file), Lock::Shared);
    assert_eq!(kit::text(&file), format!("{}\n", server.pid()));
    server.signal(libc::SIGKILL);
    server.finish();
    assert_eq!(lock_of(&file), Lock::None, "the lock goes with the server");
}

#[test]
fn a_manager_holds_both_locks_and_nobody_else_has_a_descriptor() {
    let place = Place::new();
    let (pid, monitor) = (place.path("pid"), place.path("monitor"));
    let (server, handler) = (place.out("server"), place.out("handler"));
    let on_death = place.script("on-death", words!["report", &handler, "exit", "0"]);
    let life = place.out("life");
    let actions = words!["life", &life, "report", &server, "at", "1", "exit", "3", "wait"];
    let line = [words!["-p", &pid, "-m", &monitor, on_death, "--", place.probe()], actions].concat();
    let manager = place.vsrun(line).start();
    let second = kit::await_life(&life, 2);
    for path in [&server, &handler] {
        let found = place.report(path);
        assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{found:?}");
    }
    assert_eq!(kit::text(&monitor), format!("{}\n", manager.pid()));
    assert_eq!(kit::text(&pid), format!("{second}\n"));
    for file in [&pid, &monitor] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(lock_of(file), Lock::Exclusive);
        let name = file.display().to_string();
        let holds: Vec<i32> =
            process::descriptors(manager.pid()).into_iter().filter(|(_, to)| *to == name).map(|(fd, _)| fd).collect();
        assert_eq!(holds.len(), 1, "one descriptor on {name}: {:?}", process::descriptors(manager.pid()));
        assert_eq!(process::locks(manager.pid(), holds[0]), ["OFDLCK ADVISORY WRITE"]);
    }
    manager.stop().exited(0);
    assert!(!pid.exists() && !monitor.exists(), "both are removed at the end");
}

#[test]
fn a_second_start_is_refused_and_changes_nothing() {
    for options in kit::ways() {
        let place = Place::new();
        let (file, life, logs) = (place.path("pid"), place.out("life"), place.path("logs"));
        let line = words!["-p", &file, "-d", &logs, "7", "--", place.probe(), "life", &life, "wait"];
        let first = place.vsrun([options.clone(), line.clone()].concat()).start();
        kit::await_life(&life, 1);
        if options.contains(&"-m".into()) {
            kit::await_true("the last record of the start", || kit::text(&logs.join("vsrun.log")).contains("started"));
        }
        let pid = kit::text(&file).trim().to_owned();
        let state = || {
            let written = fs::metadata(&file).unwrap().modified().unwrap();
            (written, kit::text(&file), kit::names(&logs), kit::text(&logs.join("vsrun.log")))
        };
        let before = state();
        let said = format!("vsrun: already running: {} is locked by pid {pid}", file.display());
        for again in kit::ways() {
            let second = place.vsrun([again, line.clone()].concat()).finish();
            assert_eq!(*second.failed(125, &[]).complaints()[0], said);
        }
        assert_eq!(before, state(), "{options:?}");
        assert_eq!(kit::lines(&life).len(), 1, "no second server");
        assert!(!kit::gone(pid.parse().unwrap()), "the first one lives");
        drop(first);
    }
}

#[test]
fn a_monitor_pidfile_is_locked_like_the_other() {
    let place = Place::new();
    let monitor = place.path("monitor");
    let first = start(&place, words!["-m", &monitor, "-"]);
    let said = format!("already running: {} is locked by pid {}", monitor.display(), first.pid());
    let line = words!["-p", "pid", "-m", &monitor, "-", "--", place.probe(), "append", "ran", "x"];
    place.vsrun(line).finish().failed(125, &[&said]);
    assert!(!place.path("pid").exists() && !place.path("ran").exists(), "what the second one made is gone");
}

#[test]
fn a_classic_lock_of_somebody_else_counts() {
    let place = Place::new();
    let file = place.path("pid");
    fs::write(&file, "4242\n").unwrap();
    let locked = place.out("locked");
    let holder = place.program(&place.probe(), words!["lock", &file, "append", &locked, "x", "wait"]).start();
    kit::await_file(&locked);
    let said = format!("already running: {} is locked by pid {}, not by pid 4242", file.display(), holder.pid());
    place.vsrun(words!["-p", &file, "--", place.probe()]).finish().failed(125, &[&said]);
    assert_eq!(kit::text(&file), "4242\n");
}

#[test]
fn a_shared_lock_of_somebody_else_counts() {
    let place = Place::new();
    let file = place.path("pid");
    fs::write(&file, "77777\n").unwrap();
    let held = open(&file);
    sys::lock(&held, libc::F_RDLCK).unwrap();
    let said = format!("already running: {} is locked by pid {}, not by pid 77777", file.display(), sys::pid());
    place.vsrun(words!["-p", &file, "-m", "-", "-", "--", place.probe()]).finish().failed(125, &[&said]);
    assert_eq!(kit::text(&file), "77777\n");
}

/// Tries to start with each of the paths, as `-p` and as the manager's, and expects a refusal that names it.
#[track_caller]
fn assert_refused(place: &Place, file: &Path) {
    let name = file.display().to_string();
    let command = words!["--", place.probe(), "append", "ran", "x"];
    for options in [words!["-p", file], words!["-m", file, "-"], words!["-b", "-p", file]] {
        place.vsrun([options, command.clone()].concat()).finish().failed(125, &[&name]);
        assert!(!place.path("ran").exists(), "{name}: no server was started");
    }
}

#[test]
fn a_directory_is_refused() {
    let place = Place::new();
    assert_refused(&place, &place.path("out"));
    assert!(place.path("out").is_dir());
}

#[test]
fn a_fifo_is_refused_without_waiting_for_anybody() {
    let place = Place::new();
    let fifo = place.path("fifo");
    sys::make_fifo(fifo.as_os_str()).unwrap();
    assert_refused(&place, &fifo);
}

#[test]
fn a_device_is_refused() {
    needs!(kit::root());
    let place = Place::new();
    // Not the machine's own: a vsrun that fails this test would remove it.
    let device = place.path("device");
    sys::make_null(&device).unwrap();
    assert_refused(&place, &device);
}

#[test]
fn a_symbolic_link_is_refused_wherever_it_leads() {
    let place = Place::new();
    let (target, nowhere) = (place.path("target"), place.path("nowhere"));
    fs::write(&target, "precious").unwrap();
    for (link, to) in [("link", &target), ("dangling", &nowhere)] {
        symlink(to, place.path(link)).unwrap();
        assert_refused(&place, &place.path(link));
    }
    assert_eq!(kit::text(&target), "precious");
    assert!(!nowhere.exists());
}

#[test]
fn a_file_with_a_second_name_is_refused() {
    let place = Place::new();
    let file = place.path("file");
    fs::write(&file, "precious").unwrap();
    fs::hard_link(&file, place.path("other-name")).unwrap();
    assert_refused(&place, &file);
    assert_eq!(kit::text(&file), "precious");
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    needs!(kit::root());
    let place = Place::new();
    let file = place.path("file");
    fs::write(&file, "1\n").unwrap();
    chown(&file, Some(kit::PLAIN), Some(kit::PLAIN)).unwrap();
    assert_refused(&place, &file);
    assert_eq!(kit::text(&file), "1\n");

    // The same with the parts exchanged: neither the caller's nor root's.
    let place = Place::plain();
    let file = place.path("file");
    fs::write(&file, "1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    chown(&file, Some(1), Some(1)).unwrap();
    assert_refused(&place, &file);
    assert_eq!(kit::text(&file), "1\n");
}

#[test]
fn a_missing_directory_is_an_error() {
    let place = Place::new();
    assert_refused(&place, &place.path("no-such-directory/pid"));
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_file() {
    needs!(kit::root());
    let place = Place::new();
    let disk = place.path("disk");
    kit::place::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&place, &[Mount::Memory(disk.clone(), "size=4k")]);
    fs::write(mounts.path(&disk.join("filler")), vec![b'x'; 4096]).unwrap();
    let file = disk.join("pid");
    for options in [words!["-p", &file], words!["-p", &file, "-m", "-", "-"], words!["-b", "-m", &file, "-"]] {
        let line = [options, words!["--", place.probe(), "append", place.out("ran"), "x"]].concat();
        place.vsrun(line).within(&mounts).finish().failed(125, &[&file.display().to_string(), "No space left"]);
        assert_eq!(kit::names(&mounts.path(&disk)), ["filler"]);
        assert!(!place.out("ran").exists());
    }
}

#[test]
fn a_stale_file_is_overwritten_whatever_it_holds() {
    for stale in ["", "1\n", "-1\n", "999999999999999999999999 and more\nlines\n", "\0\0\0", "not a number"] {
        let place = Place::new();
        let file = place.path("pid");
        fs::write(&file, stale).unwrap();
        let before = identity(&file);
        let server = start(&place, words!["-p", &file]);
        assert_eq!(kit::text(&file), format!("{}\n", server.pid()), "after {stale:?}");
        assert_eq!(identity(&file), before, "it is the same file");
    }
}

#[test]
fn it_is_empty_from_the_servers_death_until_the_next_start() {
    let place = Place::new();
    let (file, life, gate, began) = (place.path("pid"), place.out("life"), place.out("gate"), place.out("began"));
    let handler = place.script("handler", words!["append", &began, "x", "await", &gate]);
    let actions = words!["life", &life, "at", "1", "exit", "1", "wait"];
    let line = [words!["-p", &file, "-m", "-", handler, "--", place.probe()], actions].concat();
    let manager = place.vsrun(line).start();
    kit::await_file(&began);
    assert_eq!(kit::text(&file), "", "while the handler runs there is no server");
    assert_eq!(lock_of(&file), Lock::Exclusive);
    fs::write(&gate, "").unwrap();
    let second = kit::await_life(&life, 2);
    assert_eq!(kit::text(&file), format!("{second}\n"));
    manager.stop().exited(0);
    assert!(!file.exists());
}

#[test]
fn it_is_empty_during_a_pause() {
    let place = Place::new();
    let (file, life) = (place.path("pid"), place.out("life"));
    let options = words!["-p", &file, "-m", "monitor", "-", "--restart-delay", "1h"];
    let actions = words!["life", &life, "exit", "1"];
    let manager = place.vsrun([options, words!["--", place.probe()], actions].concat()).start();
    let last = kit::await_life(&life, 2);
    kit::await_true("the second server's end", || process::reaped(last));
    assert_eq!(kit::text(&file), "");
    assert_eq!(kit::text(&place.path("monitor")), format!("{}\n", manager.pid()));
    manager.stop().exited(0);
    assert!(!file.exists() && !place.path("monitor").exists());
}

#[test]
fn the_managers_end_removes_both_whatever_the_reason() {
    for (actions, status) in [(words!["exit", "0"], 0), (words!["exit", "9"], 9), (words!["raise", "11"], 139)] {
        let place = Place::new();
        let handler = place.script("refuse", words!["exit", "1"]);
        let line = words!["-p", "pid", "-m", "monitor", handler, "--", place.probe()];
        place.vsrun([line, actions].concat()).finish().exited(status);
        assert!(!place.path("pid").exists() && !place.path("monitor").exists());
    }
}

#[test]
fn a_path_that_names_another_file_by_now_is_left_alone() {
    let place = Place::new();
    let (pid, monitor) = (place.path("pid"), place.path("monitor"));
    let manager = start(&place, words!["-p", &pid, "-m", &monitor, "-"]);
    fs::rename(&pid, place.path("moved")).unwrap();
    fs::write(&pid, "another's\n").unwrap();
    manager.stop().exited(0);
    assert_eq!(kit::text(&pid), "another's\n");
    assert!(!monitor.exists());
}

#[test]
fn a_relative_path_is_the_callers_also_in_the_background() {
    let place = Place::new();
    let report = place.out("report");
    let line = words!["-b", "-p", "pid", "-m", "monitor", "-", "--", place.probe(), "report", &report, "wait"];
    place.vsrun(line).finish().exited(0);
    let found = place.report(&report);
    assert_eq!(kit::text(&place.path("pid")), format!("{}\n", found.one("pid")));
    assert_eq!(kit::text(&place.path("monitor")), format!("{}\n", found.one("ppid")));
    sys::kill(found.number("ppid"), libc::SIGTERM);
    kit::await_true("the removal of both", || !place.path("pid").exists() && !place.path("monitor").exists());
    kit::await_gone(found.number("ppid"));
}

#[test]
fn descriptors_that_were_closed_do_not_become_the_pidfile() {
    let place = Place::new();
    for (way, closed) in kit::ways().into_iter().flat_map(|way| kit::CLOSED.map(|closed| (way.clone(), closed))) {
        let (file, report) = (place.path("pid"), place.out("report"));
        let actions = words!["print", "1", "complain", "2", "report", &report, "await", place.out("gate")];
        let line = [words!["--debug", "-p", &file], way.clone(), words!["--", place.probe()], actions].concat();
        let running = place.vsrun(line).closed(closed).start();
        let found = place.report(&report);
        let here = format!("{way:?}, {closed:?}: {found:?}");
        assert_eq!(kit::text(&file), format!("{}\n", found.one("pid")), "nothing else was written into it, {here}");
        let mut standard = found.descriptors().into_iter().filter(|fd| fd.number < 3);
        assert!(standard.all(|fd| fd.identity != identity(&file)), "{here}");
        fs::write(place.out("gate"), "").unwrap();
        running.finish().exited(0);
        place.await_nothing_left();
        [report, place.out("gate")].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn the_number_is_there_before_the_servers_first_instruction() {
    for options in [words![], words!["--restart", "on-failure", "--restart-delay", "0"]] {
        let place = Place::new();
        let (life, copies) = (place.out("life"), place.out("copies"));
        let first = words!["-p", "pid", "--", place.probe(), "copy", place.path("pid"), &copies];
        let then = words!["life", &life, "until", "20", "exit", "1"];
        let ended = place.vsrun([options.clone(), first, then].concat()).finish();
        ended.exited(i32::from(options.is_empty()));
        let pids: Vec<String> = kit::lives(&life).iter().map(|(pid, _)| pid.to_string()).collect();
        assert_eq!(kit::lines(&copies), pids);
    }
}

#[test]
fn the_file_goes_when_the_command_cannot_be_executed() {
    let place = Place::new();
    for options in [words![], words!["-b"], words!["-m", "monitor", "-"], words!["-b", "-m", "monitor", "-"]] {
        let line = [words!["-p", "pid"], options, words!["--", place.path("no-such-command")]].concat();
        place.vsrun(line).finish().failed(127, &["no-such-command"]);
        assert!(!place.path("pid").exists() && !place.path("monitor").exists());
    }
}

/// Who would have undone the start ends a moment after a server that ends at once.
#[test]
fn a_server_that_has_just_ended_keeps_nobody_out() {
    needs!(kit::root());
    let place = Place::new();
    for _ in 0..60 {
        place.vsrun(words!["-u", "12345", "-p", "pid", "--", place.probe()]).finish().exited(0).silently();
    }
}
