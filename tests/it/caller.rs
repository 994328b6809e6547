//! What vsrun and its server inherit from the caller, and what they do not: an ignored SIGHUP, the working directory,
//! the terminal's foreground, unneeded privileges.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, process, sys, words};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

const USER: u32 = 12345;

/// vsrun ignores SIGHUP if its caller does, as nohup(1) arranges it; only `--on-signal HUP=...` overrides that.
#[test]
fn a_hangup_that_the_caller_ignores_ends_neither_vsrun_nor_server() {
    for (way, ends) in [
        (words!["--init"], false),
        (words!["-m", "-", "-"], false),
        (words!["-m", "-", "-", "--on-signal", "HUP=stop"], true),
    ] {
        let sandbox = Sandbox::new();
        let ready = sandbox.out("ready");
        let line = [way.clone(), words!["--", sandbox.probe(), "append", &ready, "x", "wait"]].concat();
        let running = sandbox.vsrun(line).before(|| sys::ignore_signal(libc::SIGHUP)).start();
        harness::await_file(&ready);
        let server = process::children(running.pid())[0];
        if ends {
            running.signal(libc::SIGHUP);
            running.finish().assert_exited(0);
            continue;
        }
        sys::kill(server, libc::SIGHUP);
        running.signal(libc::SIGHUP);
        // vsrun handles a pending SIGHUP before SIGTERM: when it exits, it has handled both.
        running.signal(libc::SIGTERM);
        let ended = running.finish();
        assert_eq!(harness::lines(&ready).len(), 1, "one life: {ended:?}");
        assert!(matches!(ended.code(), Some(0 | 143)), "{way:?}: {ended:?}");
    }
    // Without a manager, the server ignores SIGHUP if the caller does.
    let sandbox = Sandbox::new();
    let line = words!["--", sandbox.probe(), "raise", "1", "exit", "7"];
    sandbox.vsrun(line.clone()).before(|| sys::ignore_signal(libc::SIGHUP)).finish().assert_exited(7);
    assert_eq!(sandbox.vsrun(line).finish().signal(), Some(libc::SIGHUP));
}

#[test]
fn numeric_user_and_group_need_no_account_files() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let none = sandbox.path("none");
    harness::sandbox::make_directory(&none, 0o755);
    let file = |name: &str| PathBuf::from("/etc").join(name);
    fs::write(sandbox.path("group"), "").unwrap();
    // A FIFO in place of an account file cannot be read.
    let fifo = sandbox.path("fifo");
    sys::make_fifo(fifo.as_os_str()).unwrap();
    let binds = [Mount::Bind(fifo.clone(), file("passwd")), Mount::Bind(fifo, file("group"))];
    let mounts = Mounts::new(&sandbox, &binds);
    let report = sandbox.out("report");
    let line = words!["-u", "33:44", "--", sandbox.probe(), "report", &report];
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(0);
    assert_eq!(sandbox.report(&report).one("uids"), "33 33 33");
    let line = words!["-u", "33", "--", sandbox.probe()];
    sandbox.vsrun(line).within(&mounts).finish().assert_failed(125, &["cannot read /etc/passwd"]);
}

/// setgroups(2) fails here, as it does for a plain user in a user namespace.
#[test]
fn a_user_that_changes_nothing_needs_no_privilege() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    for way in harness::ways() {
        let refuse = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", "inject=setgroups:error=EPERM"];
        let line = [refuse, words![sandbox.path("vsrun")], way, words!["-u", "0:0"]].concat();
        let line = [line, words!["--", sandbox.probe(), "report", &report]].concat();
        let call = sandbox.program(&harness::find_tool("strace").unwrap(), line);
        call.before(|| sys::set_groups(&[0])).finish().assert_exited(0);
        assert_eq!(sandbox.report(&report).one("uids"), "0 0 0");
        fs::remove_file(&report).unwrap();
        assert!(!harness::text(&sandbox.path("trace")).contains("setgroups"), "not even tried");
    }
    // The caller has a supplementary group, which `-u 0:0` must drop.
    let line = words!["-u", "0:0", "--", sandbox.probe(), "report", &report];
    sandbox.vsrun(line).before(|| sys::set_groups(&[0, 44])).finish().assert_exited(0);
    assert_eq!(sandbox.report(&report).groups(), [0]);
}

#[test]
fn a_manager_leaves_the_callers_directory_and_its_server_does_not() {
    let sandbox = Sandbox::new();
    let lives = sandbox.out("lives");
    let reports = words!["report", sandbox.out("report"), "until", "1", "exit", "3", "wait"];
    let line = words!["-m", "-", "-", "--restart-delay", "0", "-p", "pid", "--", "./probe", "life", &lives];
    let running = sandbox.vsrun([line, reports].concat()).directory(sandbox.directory()).start();
    harness::await_lines(&lives, 2);
    harness::await_true("the manager's directory", || process::directory(running.pid()) == "/");
    let server = harness::await_life(&lives, 2);
    assert_eq!(process::directory(server), sandbox.directory().display().to_string());
    running.stop();
    assert!(!sandbox.path("pid").exists());
}

/// The server's user replaces the working directory by a link to a directory that only root may search.
#[test]
fn restart_fails_if_the_user_may_not_enter_the_directory() {
    needs!(harness::root());
    for work_dir in [false, true] {
        let sandbox = Sandbox::new();
        let (secret, own) = (sandbox.path("secret"), sandbox.path("own"));
        harness::sandbox::make_directory(&secret, 0o700);
        harness::sandbox::make_directory(&own, 0o755);
        harness::sandbox::make_directory(&own.join("here"), 0o755);
        for dir in [&own, &own.join("here")] {
            chown(dir, Some(USER), Some(USER)).unwrap();
        }
        let (report, go) = (sandbox.out("report"), sandbox.out("go"));
        let here = own.join("here");
        let options = if work_dir { words!["-w", &here] } else { words![] };
        let action = words!["--", sandbox.probe(), "report", &report, "await", &go, "exit", "3"];
        let user = words!["-u", USER.to_string(), "-m", "-", "-", "--restart-limit", "1/1h", "--restart-delay", "0"];
        let running = sandbox.vsrun([user, options, action].concat()).directory(&here).start();
        assert_eq!(sandbox.report(&report).one("cwd"), here.display().to_string());
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

/// If root calls vsrun in a directory that the server's user cannot reach, the server still starts there.
#[test]
fn server_starts_in_a_directory_that_only_the_caller_can_reach() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let inner = sandbox.path("closed/inner");
    harness::sandbox::make_directory(&inner, 0o755);
    fs::set_permissions(sandbox.path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    for way in harness::ways() {
        let report = sandbox.out("report");
        let line = [way.clone(), words!["-u", USER.to_string(), "--", sandbox.probe(), "report", &report]].concat();
        sandbox.vsrun(line).directory(&inner).finish().assert_exited(0);
        assert_eq!(sandbox.report(&report).one("here"), harness::call::identity(&inner), "{way:?}");
        fs::remove_file(&report).unwrap();
        // A directory that an option names is entered with the rights of the server's user.
        let line =
            [way, words!["-u", USER.to_string(), "-w", &inner, "--", sandbox.probe(), "report", &report]].concat();
        sandbox.vsrun(line).finish().assert_failed(125, &["change directory", "not searchable for this user"]);
        assert!(!report.exists());
    }
    let check = words!["--check", "-u", USER.to_string(), "-w", &inner, "--", sandbox.probe()];
    let ended = sandbox.vsrun(check).finish();
    ended.assert_exited(125);
    assert!(ended.out[0].contains("cannot change directory to"), "{ended:?}");
}

#[test]
fn server_starts_in_a_logdir_that_its_user_may_not_enter() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    harness::sandbox::make_directory(&sandbox.path("closed"), 0o700);
    for way in harness::ways() {
        let report = sandbox.out("report");
        let options = words!["-u", USER.to_string(), "-d", sandbox.path("closed/logs"), "1"];
        sandbox
            .vsrun([way, options, words!["--", sandbox.probe(), "report", &report]].concat())
            .finish()
            .assert_exited(0);
        assert_eq!(sandbox.report(&report).one("here"), harness::call::identity(&sandbox.path("closed/logs")));
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn a_relative_command_that_is_missing_names_the_directory() {
    let sandbox = Sandbox::new();
    let dir = fs::canonicalize(sandbox.directory()).unwrap().display().to_string();
    for way in harness::ways() {
        let line = [way.clone(), words!["--", "./missing"]].concat();
        let ended = sandbox.vsrun(line).finish();
        ended.assert_exited(127);
        let says = |part: &str| ended.err.iter().any(|line| line.contains(part));
        assert!(says(&format!("(looked for in the directory '{dir}')")), "{way:?}: {ended:?}");
        let line = [way.clone(), words!["-d", "logs", "1", "--", "bin/server"]].concat();
        let ended = sandbox.vsrun(line).finish();
        ended.assert_exited(127);
        let reported = format!("there is no directory '{dir}/logs/bin'");
        assert!(ended.err.iter().any(|line| line.contains(&reported)), "{way:?}: {ended:?}");
    }
}

/// As with `cat &` in a shell: the shell's process group stays in the foreground of the terminal.
#[test]
fn a_job_in_the_background_does_not_take_the_terminal() {
    needs!(harness::tool("bash"));
    let sandbox = Sandbox::new();
    let ready = sandbox.out("ready");
    let (vsrun, probe) = (sandbox.path("vsrun"), sandbox.probe());
    let job = format!("{} --init --stdin -- {} append {} x wait", vsrun.display(), probe.display(), ready.display());
    let script = format!("set -m; {job} & echo $! > {}; wait; wait", sandbox.out("pid").display());
    let bash = sandbox.program(&harness::find_tool("bash").unwrap(), words!["-c", script]);
    let (call, _terminal) = bash.on_terminal();
    let shell = call.start();
    harness::await_file(&ready);
    let job: i32 = harness::await_lines(&sandbox.out("pid"), 1)[0].parse().unwrap();
    assert_eq!(process::foreground(shell.pid()), process::group(shell.pid()));
    let server = process::children(job)[0];
    assert_eq!((process::group(server), process::session(server)), (server, process::session(shell.pid())));
    for pid in [server, job, shell.pid()] {
        sys::kill(pid, libc::SIGKILL);
    }
}
