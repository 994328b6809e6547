//! What a server and its manager take over from the caller, and what not: hang-ups, the directory, the terminal's
//! foreground, rights that are not needed.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, needs, process, sys, words};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

const USER: u32 = 12345;

/// nohup(1) and vsrun's own option both have a say; the option has the last one.
#[test]
fn a_hangup_that_the_caller_ignores_ends_neither_vsrun_nor_server() {
    for (way, ends) in [
        (words!["--init"], false),
        (words!["-m", "-", "-"], false),
        (words!["-m", "-", "-", "--on-signal", "HUP=stop"], true),
    ] {
        let place = Place::new();
        let ready = place.out("ready");
        let line = [way.clone(), words!["--", place.probe(), "append", &ready, "x", "wait"]].concat();
        let running = place.vsrun(line).before(|| sys::ignore_signal(libc::SIGHUP)).start();
        kit::await_file(&ready);
        let server = process::children(running.pid())[0];
        if ends {
            running.signal(libc::SIGHUP);
            running.finish().exited(0);
            continue;
        }
        sys::kill(server, libc::SIGHUP);
        running.signal(libc::SIGHUP);
        // What comes after it is looked at after it.
        running.signal(libc::SIGTERM);
        let ended = running.finish();
        assert_eq!(kit::lines(&ready).len(), 1, "one life: {ended:?}");
        assert!(matches!(ended.code(), Some(0 | 143)), "{way:?}: {ended:?}");
    }
    // A server alone.
    let place = Place::new();
    let line = words!["--", place.probe(), "raise", "1", "exit", "7"];
    place.vsrun(line.clone()).before(|| sys::ignore_signal(libc::SIGHUP)).finish().exited(7);
    assert_eq!(place.vsrun(line).finish().signal(), Some(libc::SIGHUP));
}

#[test]
fn two_numbers_need_no_account_files() {
    needs!(kit::root());
    let place = Place::new();
    let none = place.path("none");
    kit::place::make_directory(&none, 0o755);
    let file = |name: &str| PathBuf::from("/etc").join(name);
    fs::write(place.path("group"), "").unwrap();
    // A directory where the file should be cannot be read.
    let fifo = place.path("fifo");
    sys::make_fifo(fifo.as_os_str()).unwrap();
    let binds = [Mount::Bind(fifo.clone(), file("passwd")), Mount::Bind(fifo, file("group"))];
    let mounts = Mounts::new(&place, &binds);
    let report = place.out("report");
    let line = words!["-u", "33:44", "--", place.probe(), "report", &report];
    place.vsrun(line).within(&mounts).finish().exited(0);
    assert_eq!(place.report(&report).one("uids"), "33 33 33");
    let line = words!["-u", "33", "--", place.probe()];
    place.vsrun(line).within(&mounts).finish().failed(125, &["cannot read /etc/passwd"]);
}

/// Without setgroups(2), as in a user namespace of a plain user.
#[test]
fn a_user_that_changes_nothing_needs_no_privilege() {
    needs!(kit::root(), kit::tool("strace"));
    let place = Place::new();
    let report = place.out("report");
    for way in kit::ways() {
        let refuse = words!["-f", "-qq", "-o", place.path("trace"), "-e", "inject=setgroups:error=EPERM"];
        let line = [refuse, words![place.path("vsrun")], way, words!["-u", "0:0"]].concat();
        let line = [line, words!["--", place.probe(), "report", &report]].concat();
        let call = place.program(&kit::find_tool("strace").unwrap(), line);
        call.before(|| sys::set_groups(&[0])).finish().exited(0);
        assert_eq!(place.report(&report).one("uids"), "0 0 0");
        fs::remove_file(&report).unwrap();
        assert!(!kit::text(&place.path("trace")).contains("setgroups"), "not even tried");
    }
    // With a group to drop there is something to change.
    let line = words!["-u", "0:0", "--", place.probe(), "report", &report];
    place.vsrun(line).before(|| sys::set_groups(&[0, 44])).finish().exited(0);
    assert_eq!(place.report(&report).groups(), [0]);
}

#[test]
fn a_manager_leaves_the_callers_directory_and_its_server_does_not() {
    let place = Place::new();
    let lives = place.out("lives");
    let reports = words!["report", place.out("report"), "until", "1", "exit", "3", "wait"];
    let line = words!["-m", "-", "-", "--restart-delay", "0", "-p", "pid", "--", "./probe", "life", &lives];
    let running = place.vsrun([line, reports].concat()).directory(place.directory()).start();
    kit::await_lines(&lives, 2);
    kit::await_true("the manager's directory", || process::directory(running.pid()) == "/");
    let server = kit::await_life(&lives, 2);
    assert_eq!(process::directory(server), place.directory().display().to_string());
    running.stop();
    assert!(!place.path("pid").exists());
}

/// The user has replaced the directory by a link to one that it may not search.
#[test]
fn no_restart_shows_the_server_a_directory_that_is_closed_to_it() {
    needs!(kit::root());
    for work_dir in [false, true] {
        let place = Place::new();
        let (secret, own) = (place.path("secret"), place.path("own"));
        kit::place::make_directory(&secret, 0o700);
        kit::place::make_directory(&own, 0o755);
        kit::place::make_directory(&own.join("here"), 0o755);
        for dir in [&own, &own.join("here")] {
            chown(dir, Some(USER), Some(USER)).unwrap();
        }
        let (report, go) = (place.out("report"), place.out("go"));
        let here = own.join("here");
        let options = if work_dir { words!["-w", &here] } else { words![] };
        let action = words!["--", place.probe(), "report", &report, "await", &go, "exit", "3"];
        let user = words!["-u", USER.to_string(), "-m", "-", "-", "--restart-limit", "1/1h", "--restart-delay", "0"];
        let running = place.vsrun([user, options, action].concat()).directory(&here).start();
        assert_eq!(place.report(&report).one("cwd"), here.display().to_string());
        fs::remove_file(&report).unwrap();
        fs::rename(&here, own.join("away")).unwrap();
        symlink(&secret, &here).unwrap();
        fs::write(&go, "").unwrap();
        running.await_err("cannot change directory");
        let ended = running.finish();
        assert!(ended.err.iter().any(|line| line.contains("Permission denied")), "{ended:?}");
        assert!(!report.exists(), "-w {work_dir}: it was started there");
    }
}

/// A directory that only root can reach is the server's all the same where it was root who called from there.
#[test]
fn a_directory_that_only_the_caller_can_reach_stays_the_servers() {
    needs!(kit::root());
    let place = Place::new();
    let inner = place.path("closed/inner");
    kit::place::make_directory(&inner, 0o755);
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    for way in kit::ways() {
        let report = place.out("report");
        let line = [way.clone(), words!["-u", USER.to_string(), "--", place.probe(), "report", &report]].concat();
        place.vsrun(line).directory(&inner).finish().exited(0);
        assert_eq!(place.report(&report).one("here"), kit::call::identity(&inner), "{way:?}");
        fs::remove_file(&report).unwrap();
        // What is named is entered with the user's rights.
        let line = [way, words!["-u", USER.to_string(), "-w", &inner, "--", place.probe(), "report", &report]].concat();
        place.vsrun(line).finish().failed(125, &["change directory", "not searchable for this user"]);
        assert!(!report.exists());
    }
    let check = words!["--check", "-u", USER.to_string(), "-w", &inner, "--", place.probe()];
    let ended = place.vsrun(check).finish();
    ended.exited(125);
    assert!(ended.out[0].contains("cannot change directory to"), "{ended:?}");
}

#[test]
fn a_logdir_is_entered_where_its_user_may_not() {
    needs!(kit::root());
    let place = Place::new();
    kit::place::make_directory(&place.path("closed"), 0o700);
    for way in kit::ways() {
        let report = place.out("report");
        let options = words!["-u", USER.to_string(), "-d", place.path("closed/logs"), "1"];
        place.vsrun([way, options, words!["--", place.probe(), "report", &report]].concat()).finish().exited(0);
        assert_eq!(place.report(&report).one("here"), kit::call::identity(&place.path("closed/logs")));
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_relative_command_that_is_missing_names_the_directory() {
    let place = Place::new();
    let dir = fs::canonicalize(place.directory()).unwrap().display().to_string();
    for way in kit::ways() {
        let line = [way.clone(), words!["--", "./missing"]].concat();
        let ended = place.vsrun(line).finish();
        ended.exited(127);
        let says = |part: &str| ended.err.iter().any(|line| line.contains(part));
        assert!(says(&format!("(looked for in the directory '{dir}')")), "{way:?}: {ended:?}");
        let line = [way.clone(), words!["-d", "logs", "1", "--", "bin/server"]].concat();
        let ended = place.vsrun(line).finish();
        ended.exited(127);
        let told = format!("there is no directory '{dir}/logs/bin'");
        assert!(ended.err.iter().any(|line| line.contains(&told)), "{way:?}: {ended:?}");
    }
}

/// As `cat &` in a shell: the terminal stays the shell's.
#[test]
fn a_job_in_the_background_does_not_take_the_terminal() {
    needs!(kit::tool("bash"));
    let place = Place::new();
    let ready = place.out("ready");
    let (vsrun, probe) = (place.path("vsrun"), place.probe());
    let job = format!("{} --init --stdin -- {} append {} x wait", vsrun.display(), probe.display(), ready.display());
    let script = format!("set -m; {job} & echo $! > {}; wait; wait", place.out("pid").display());
    let bash = place.program(&kit::find_tool("bash").unwrap(), words!["-c", script]);
    let (call, _terminal) = bash.on_terminal();
    let shell = call.start();
    kit::await_file(&ready);
    let job: i32 = kit::await_lines(&place.out("pid"), 1)[0].parse().unwrap();
    assert_eq!(process::foreground(shell.pid()), process::group(shell.pid()));
    let server = process::children(job)[0];
    assert_eq!((process::group(server), process::session(server)), (server, process::session(shell.pid())));
    for pid in [server, job, shell.pid()] {
        sys::kill(pid, libc::SIGKILL);
    }
}
