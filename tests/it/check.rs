//! `--check` reports what would make a start fail, in the words of that start, and changes nothing.

use crate::harness::{self, Mount, Mounts, PLAIN, ProcessResult, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A user ID without an account.
const USER: &str = "1012346";

/// All files below a directory, each with the attributes that a start could change: mode, owner, size, change time.
fn tree(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in harness::names(directory) {
        let path = directory.join(name);
        let about = path.symlink_metadata().unwrap();
        let (mode, owner, group) = (about.mode(), about.uid(), about.gid());
        let (changed, nanos, size) = (about.ctime(), about.ctime_nsec(), about.len());
        found.push(format!("{} {mode:o} {owner}:{group} {size} {changed}.{nanos}", path.display()));
        if about.is_dir() {
            found.extend(tree(&path));
        }
    }
    found
}

/// Creates a directory with a jail and a program `handler`, both of which options of these tests name.
fn make_service_files(sandbox: &Sandbox) -> std::path::PathBuf {
    let world = sandbox.path("world");
    harness::sandbox::make_directory(&world, 0o755);
    if sys::user() == 0 {
        std::os::unix::fs::chown(&world, Some(sandbox.user()), Some(sandbox.user())).unwrap();
    }
    let jail = sandbox.jail();
    // Copy the probe: a hard link to the shared file would change its ctime whenever another test links it.
    harness::sandbox::copy(&sandbox.probe(), &jail.join("copy"));
    fs::rename(jail.join("copy"), jail.join("probe")).unwrap();
    fs::rename(&jail, world.join("jail")).unwrap();
    harness::sandbox::copy(&sandbox.probe(), &world.join("handler"));
    world
}

/// Options that use nearly every feature and pass the check.
fn valid_options(world: &Path) -> Vec<OsString> {
    let path = |name: &str| world.join(name);
    let mut words = words!["-p", path("pid"), "-m", path("monitor"), path("handler"), "-d", path("logs/deep"), "3"];
    words.extend(words!["--listen", path("socket")]);
    words.extend(words!["--port", free_port(), "--bind", "127.0.0.1", "--umask", "027", "-e", "A=1", "-b"]);
    words.extend(words!["--ready", "fd:9", "--syslog-usage", "no"]);
    words
}

/// A port that was free just now.
fn free_port() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// The lines that `--check` prints. Its exit status must be 125 if one is not a warning, otherwise 0.
#[track_caller]
fn findings(sandbox: &Sandbox, options: Vec<OsString>, command: &str) -> Vec<String> {
    let ended = sandbox.vsrun([words!["--check"], options, words!["--", command]].concat()).finish();
    let counted = ended.out.iter().any(|line| !line.starts_with("warning: "));
    ended.assert_exited(if counted { 125 } else { 0 });
    assert!(ended.err.is_empty(), "{ended:?}");
    ended.out
}

/// The one error line of a start, without the prefix `vsrun: `.
#[track_caller]
fn complaint(ended: &ProcessResult) -> String {
    assert_eq!(ended.complaints().len(), 1, "{ended:?}");
    ended.complaints()[0].strip_prefix("vsrun: ").unwrap().to_owned()
}

/// Asserts that `--check` prints the error line of the start and nothing else, without and with a manager.
#[track_caller]
fn assert_check_reports_start_error(sandbox: &Sandbox, options: Vec<OsString>, command: &str, parts: &[&str]) {
    for way in [words![], words!["-m", "-", "-"]] {
        let options = [options.clone(), way].concat();
        let found = findings(sandbox, options.clone(), command);
        let ended = sandbox.vsrun([options, words!["--", command, "exit", "0"]].concat()).finish();
        assert!([Some(125), Some(126), Some(127)].contains(&ended.code()), "{ended:?}, and {found:?}");
        assert_eq!(found[..1], [complaint(&ended)], "{found:?}");
        assert!(found.len() == 1 || found[1..] == ["not checked: everything that depends on this"], "{found:?}");
        for part in parts {
            assert!(found[0].contains(part), "{part:?} is named: {found:?}");
        }
    }
}

#[test]
fn check_of_a_valid_start_is_silent_and_leaves_no_trace() {
    for sandbox in [Sandbox::new(), Sandbox::plain()] {
        let world = make_service_files(&sandbox);
        let jailed = sandbox.user() == 0 && sys::user() == 0;
        let user = if jailed { words!["-u", USER, "-r", world.join("jail")] } else { words![] };
        let command = if jailed { "/probe".into() } else { sandbox.probe().display().to_string() };
        let before = tree(&world);
        let found = findings(&sandbox, [valid_options(&world), user.clone()].concat(), &command);
        assert_eq!(found, [""; 0]);
        assert_eq!(tree(&world), before);
        let logger = words!["-s", "tag", "--logger", format!("{} collect -", world.join("handler").display())];
        assert_eq!(findings(&sandbox, [logger, user].concat(), &command), [""; 0]);
        assert_eq!(tree(&world), before);
        sandbox.await_nothing_left();
    }
}

/// No system call of `--check` creates, changes, locks, listens or signals; the only execve is strace's, of vsrun.
#[test]
fn check_makes_no_system_call_that_changes_anything() {
    needs!(harness::tool("strace"), harness::root());
    let sandbox = Sandbox::new();
    let world = make_service_files(&sandbox);
    let options = [valid_options(&world), words!["-u", USER, "-r", world.join("jail"), "-w", "/out"]].concat();
    let line = [words!["-f", "-qq", "-o", sandbox.path("trace"), sandbox.path("vsrun"), "--check"], options].concat();
    let strace = harness::find_tool("strace").unwrap();
    let wrong = [line.clone(), words!["--", "/none"]].concat();
    sandbox.program(&strace, wrong).finish().assert_exited(125);
    let mut trace = harness::lines(&sandbox.path("trace"));
    sandbox.program(&strace, [line, words!["--", "/probe"]].concat()).finish().assert_exited(0).assert_silent();
    trace.extend(harness::lines(&sandbox.path("trace")));
    let forbidden = [
        "mkdir",
        "mknod",
        "unlink",
        "rmdir",
        "rename",
        "link",
        "symlink",
        "chmod",
        "fchmod",
        "chown",
        "fchown",
        "lchown",
        "truncate",
        "ftruncate",
        "fallocate",
        "utime",
        "setxattr",
        "listen",
        "mount",
        "kill",
        "pwrite",
        "sendto",
        "sendmsg",
        "creat",
    ];
    let call = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    for line in &trace {
        let call = call(line);
        assert!(!forbidden.iter().any(|name| call.starts_with(name)), "{line}");
        for part in ["O_CREAT", "F_OFD_SETLK", "F_SETLK", "TIOCSPGRP"] {
            assert!(!line.contains(part), "{line}");
        }
        assert!(!call.starts_with("bind(") || !line.contains("AF_UNIX"), "{line}");
    }
    let count = |name: &str| trace.iter().filter(|line| call(line).starts_with(name)).count();
    assert_eq!(count("execve("), 2, "{trace:#?}");
    assert!(count("chroot(") > 0 && count("setresuid(") > 0 && count("bind(") > 0, "{trace:#?}");
    assert_eq!(harness::names(&world), ["handler", "jail"]);
}

#[test]
fn all_findings_are_reported() {
    let sandbox = Sandbox::new();
    let world = make_service_files(&sandbox);
    fs::write(world.join("plain"), "").unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let path = |name: &str| world.join(name).display().to_string();
    let mut options = words!["-p", path("no/pid"), "-m", path("none/monitor"), path("plain")];
    options.extend(words![
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--listen",
        path("plain"),
        "-d",
        path("plain/d"),
        "3"
    ]);
    options.extend(words!["-w", path("nowhere")]);
    let before = tree(&world);
    let found = findings(&sandbox, options.clone(), &path("missing"));
    let expected = [
        format!("cannot use pidfile '{}': No such file or directory", path("no/pid")),
        format!("cannot use pidfile '{}': No such file or directory", path("none/monitor")),
        format!("cannot listen on '127.0.0.1:{port}': Address in use (pid {} has it)", sys::pid()),
        format!("cannot listen on '{}': Address in use (the file there is not a socket)", path("plain")),
        format!("handler: cannot execute '{}': Permission denied (", path("plain")),
        format!("cannot use logdir '{}': Not a directory", path("plain/d")),
        format!("cannot change directory to '{}': No such file or directory", path("nowhere")),
        format!("cannot execute '{}': No such file or directory", path("missing")),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
    }
    assert_eq!(tree(&world), before);
    // With `-b` the findings go to standard output too.
    assert_eq!(findings(&sandbox, [options, words!["-b"]].concat(), &path("missing")), found);
    drop(taken);
}

#[test]
fn a_command_is_judged_as_by_its_start() {
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    sandbox.executable("jail/script", b"#!/no/such/interpreter\n");
    sandbox.executable("jail/windows", b"#!/bin/sh\r\n");
    sandbox.executable("jail/text", b"text\n");
    symlink("/no/such/file", jail.join("link")).unwrap();
    fs::write(jail.join("plain"), "").unwrap();
    let mut foreign = fs::read(sandbox.probe()).unwrap();
    foreign[18] = 8;
    sandbox.executable("jail/foreign", &foreign);
    let second = format!("#!{}/script\n", jail.display());
    sandbox.executable("jail/second", second.as_bytes());
    for (name, part) in [
        ("missing", "No such file"),
        ("no/file", "there is no directory"),
        ("text/file", "there is no directory"),
        ("script", "'/no/such/interpreter'"),
        ("second", "interpreter"),
        ("windows", "CR LF"),
        ("text", "neither"),
        ("link", "symbolic link"),
        ("plain", "not executable"),
        ("out", "not a regular file"),
        ("foreign", "another machine"),
    ] {
        let command = jail.join(name).display().to_string();
        assert_check_reports_start_error(&sandbox, words![], &command, &[&command, part]);
        assert_check_reports_start_error(&sandbox, words!["-w", "jail"], &format!("./{name}"), &[name, part]);
        if sys::user() == 0 {
            assert_check_reports_start_error(
                &sandbox,
                words!["-r", &jail, "-u", USER],
                &format!("/{name}"),
                &["on the host '", part],
            );
        }
    }
    assert_check_reports_start_error(&sandbox, words![], "not-in-path", &["PATH"]);
    needs!(harness::root());
    fs::set_permissions(jail.join("out"), fs::Permissions::from_mode(0o700)).unwrap();
    harness::sandbox::install(&sandbox.probe(), &jail.join("out/probe"));
    assert_check_reports_start_error(
        &sandbox,
        words!["-r", &jail, "-u", USER],
        "/out/probe",
        &["'/out' is not searchable"],
    );
    assert_eq!(findings(&sandbox, words!["-r", &jail], "/out/probe"), [""; 0]);
    let shell = fs::canonicalize(harness::find_tool("sh").unwrap()).unwrap();
    harness::sandbox::copy(&shell, &jail.join("sh"));
    assert_check_reports_start_error(&sandbox, words!["-r", &jail], "/sh", &["ELF loader"]);
    assert_eq!(findings(&sandbox, words![], &shell.display().to_string()), [""; 0]);
}

#[test]
fn pidfiles_and_their_locks_are_judged_as_by_a_start() {
    let sandbox = Sandbox::new();
    let command = sandbox.probe().display().to_string();
    symlink("elsewhere", sandbox.path("link")).unwrap();
    fs::write(sandbox.path("file"), "").unwrap();
    fs::hard_link(sandbox.path("file"), sandbox.path("second")).unwrap();
    assert_check_reports_start_error(&sandbox, words!["-p", "no/pid"], &command, &["'no/pid'", "No such file"]);
    assert_check_reports_start_error(&sandbox, words!["-p", "link"], &command, &["symbolic link"]);
    assert_check_reports_start_error(&sandbox, words!["-p", "file"], &command, &["more than one link"]);
    assert_check_reports_start_error(&sandbox, words!["-p", "out"], &command, &["'out'"]);
    assert_check_reports_start_error(&sandbox, words!["-p", "out/"], &command, &["names a directory"]);
    let life = sandbox.out("life");
    let server = sandbox.vsrun(words!["-p", "pid", "--", &command, "life", &life, "wait"]).start();
    let pid = harness::await_life(&life, 1);
    assert_check_reports_start_error(
        &sandbox,
        words!["-p", "pid"],
        &command,
        &[&format!("already running: pid is locked by pid {pid}")],
    );
    assert_eq!(harness::text(&sandbox.path("pid")), format!("{pid}\n"));
    sys::kill(pid, libc::SIGKILL);
    server.finish();
    // A pidfile that a killed server has left is no finding.
    let before = fs::metadata(sandbox.path("pid")).unwrap();
    assert_eq!(findings(&sandbox, words!["-p", "pid"], &command), [""; 0]);
    let after = fs::metadata(sandbox.path("pid")).unwrap();
    assert_eq!((before.ctime(), before.ctime_nsec(), before.len()), (after.ctime(), after.ctime_nsec(), after.len()));
}

#[test]
fn sockets_are_judged_as_by_a_start() {
    let sandbox = Sandbox::new();
    let command = sandbox.probe().display().to_string();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_check_reports_start_error(&sandbox, words!["--port", &port], &command, &[&port, "pid ", "Address in use"]);
    let living = UnixListener::bind(sandbox.path("living")).unwrap();
    let [living_path, dead] = ["living", "dead"].map(|name| sandbox.path(name));
    assert_check_reports_start_error(&sandbox, words!["--bind", &living_path], &command, &["living", "Address in use"]);
    assert_check_reports_start_error(
        &sandbox,
        words!["--bind", &living_path, "-p", "pid"],
        &command,
        &["living", "Address in use"],
    );
    drop(UnixListener::bind(&dead).unwrap());
    assert_check_reports_start_error(&sandbox, words!["--bind", &dead], &command, &["the socket of a dead server"]);
    assert_eq!(findings(&sandbox, words!["--bind", &dead, "-p", "pid"], &command), [""; 0]);
    assert!(dead.exists() && !sandbox.path("pid").exists());
    assert_check_reports_start_error(
        &sandbox,
        words!["--bind", sandbox.path("no/socket")],
        &command,
        &["No such file"],
    );
    drop((taken, living));
    let low = harness::text(Path::new("/proc/sys/net/ipv4/ip_unprivileged_port_start")).trim().parse::<u16>().unwrap();
    let sandbox = Sandbox::plain();
    if low > 1 {
        assert_check_reports_start_error(
            &sandbox,
            words!["--port", "1"],
            &sandbox.probe().display().to_string(),
            &["Permission denied"],
        );
    }
    if sys::user() == 0 {
        let options = words!["--bind", "/root/socket"];
        assert_check_reports_start_error(
            &sandbox,
            options,
            &sandbox.probe().display().to_string(),
            &["Permission denied"],
        );
    }
}

#[test]
fn users_roots_and_outputs_are_judged_as_by_a_start() {
    let sandbox = Sandbox::new();
    let command = sandbox.probe().display().to_string();
    fs::write(sandbox.path("file"), "").unwrap();
    assert_check_reports_start_error(&sandbox, words!["-u", "no-such-user"], &command, &["no-such-user"]);
    assert_check_reports_start_error(&sandbox, words!["-d", "file/logs", "3"], &command, &["Not a directory"]);
    assert_check_reports_start_error(&sandbox, words!["-d", "file", "3", "-w", "."], &command, &["Not a directory"]);
    assert_check_reports_start_error(
        &sandbox,
        words!["-s", "tag", "--logger", "no-such-logger"],
        &command,
        &["no-such-logger"],
    );
    assert_check_reports_start_error(&sandbox, words!["-w", "nowhere"], "./probe", &["nowhere"]);
    let plain = Sandbox::plain();
    let command = plain.probe().display().to_string();
    assert_check_reports_start_error(&plain, words!["-u", "0"], &command, &["started using wrong user ID"]);
    if sys::user() == 0 {
        assert_check_reports_start_error(
            &plain,
            words!["-r", "/"],
            &command,
            &["cannot change root to '/': Operation not permitted"],
        );
        assert_check_reports_start_error(&plain, words!["-d", "/root/logs/x", "3"], &command, &["Permission denied"]);
        assert_check_reports_start_error(
            &plain,
            words!["-p", "/pid"],
            &command,
            &["pidfile '/pid': Permission denied"],
        );
        assert_check_reports_start_error(
            &sandbox,
            words!["-r", "nowhere"],
            "/x",
            &["cannot change root to '", "nowhere': No such file"],
        );
        // Root may execute the handler, the server's user may not.
        let handler = sandbox.script("handler", words!["exit", "0"]);
        fs::set_permissions(&handler, fs::Permissions::from_mode(0o700)).unwrap();
        let options = words!["-m", "-", &handler, "-u", PLAIN.to_string()];
        let found = findings(&sandbox, options, &sandbox.probe().display().to_string());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("handler: ") && found[0].contains("not executable for this user"), "{found:?}");
    }
}

#[test]
fn a_logdir_that_a_start_could_not_create_is_a_finding() {
    let sandbox = Sandbox::new();
    let command = sandbox.probe().display().to_string();
    symlink("/no/such/directory", sandbox.path("dangling")).unwrap();
    for dir in ["dangling", "dangling/logs"] {
        assert_check_reports_start_error(&sandbox, words!["-d", dir, "3"], &command, &[dir, "No such file"]);
    }
    let plain = Sandbox::plain();
    harness::sandbox::make_directory(&plain.path("unlisted"), 0o333);
    if sys::user() == 0 {
        std::os::unix::fs::chown(plain.path("unlisted"), Some(PLAIN), Some(PLAIN)).unwrap();
    }
    assert_check_reports_start_error(
        &plain,
        words!["-d", "unlisted", "3"],
        &plain.probe().display().to_string(),
        &["Permission denied"],
    );
    needs!(harness::root());
    harness::sandbox::make_directory(&sandbox.path("theirs"), 0o755);
    std::os::unix::fs::chown(sandbox.path("theirs"), Some(12345), Some(12345)).unwrap();
    let says = "would be made in a directory of user 12345";
    for dir in ["theirs/logs", "theirs/deep/logs"] {
        assert_check_reports_start_error(&sandbox, words!["-d", dir, "3"], &command, &[dir, says]);
        assert_check_reports_start_error(&sandbox, words!["-d", dir, "3", "-u", USER], &command, &[dir, says]);
        assert_eq!(findings(&sandbox, words!["-d", dir, "3", "-u", "12345"], &command), [""; 0]);
    }
    assert_eq!(harness::names(&sandbox.path("theirs")), [""; 0]);
}

#[test]
fn attributes_are_judged_as_by_a_start() {
    let sandbox = Sandbox::plain();
    let command = sandbox.probe().display().to_string();
    fs::create_dir(sandbox.path("out/env")).unwrap();
    assert_check_reports_start_error(&sandbox, words!["--env-dir", "no-dir"], &command, &["--env-dir", "no-dir"]);
    assert_eq!(findings(&sandbox, words!["--env-dir", "out/env", "--no-new-privs"], &command), [""; 0]);
    fs::write(sandbox.path("out/env/A"), "a\n").unwrap();
    fs::create_dir(sandbox.path("out/env/B=C")).unwrap();
    fs::write(sandbox.path("out/env/B=D"), "d\n").unwrap();
    assert_check_reports_start_error(&sandbox, words!["--env-dir", "out/env"], &command, &["out/env/B=D"]);
    assert_check_reports_start_error(
        &sandbox,
        words!["--caps", "net_bind_service"],
        &command,
        &["--caps net_bind_service"],
    );
    let hard = words!["--nice", "-5", "--limit", "nofile=unlimited", "--oom-score-adj", "-5"];
    let found = findings(&sandbox, hard, "/no/such");
    assert_eq!(found.len(), 4, "{found:?}");
    for (found, part) in found.iter().zip(["nice value", "--oom-score-adj", "--limit nofile", "'/no/such'"]) {
        assert!(found.starts_with("cannot ") && found.contains(part), "{part:?} is named: {found:?}");
    }
}

/// `--check` does not have to be PID 1 to accept `--at-exit`; and if it is PID 1, it does not power the machine off.
#[test]
fn check_with_at_exit_does_not_stop_the_machine() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let line = words!["--check", "--init", "--at-exit", "poweroff", "--"];
    sandbox.vsrun([line.clone(), words![sandbox.probe()]].concat()).finish().assert_exited(0).assert_silent();
    for (command, status) in [(sandbox.probe(), 0), ("/no/such".into(), 125)] {
        let line = [words!["-pf", "--kill-child", sandbox.path("vsrun")], line.clone(), words![command]].concat();
        sandbox.program(&harness::find_tool("unshare").unwrap(), line).finish().assert_exited(status);
    }
}

#[test]
fn each_finding_is_reported_once() {
    let sandbox = Sandbox::plain();
    let missing = sandbox.path("missing").display().to_string();
    let options = words!["--env-dir", &missing, "--nice", "-7", "--limit", "core=0", "--caps", "kill"];
    let line = [words!["--check"], options, words!["--", sandbox.probe()]].concat();
    let ended = sandbox.vsrun(line).before(|| sys::limit_descriptors(50)).finish();
    ended.assert_exited(125);
    let parts = [missing.as_str(), "nice value to -7", "--caps kill"];
    for part in parts {
        assert_eq!(ended.out.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {ended:?}");
    }
    let fine = words!["--check", "--nice", "5", "--limit", "core=0", "--no-new-privs", "--", sandbox.probe()];
    sandbox.vsrun(fine).finish().assert_exited(0).assert_silent();
}

#[test]
fn a_service_in_a_file_is_checked() {
    let sandbox = Sandbox::new();
    let probe = sandbox.probe().display().to_string();
    let text = format!("#!/sbin/vsrun --args\n-p\npid\n--\n{probe}\nappend\nran\nx\n");
    fs::write(sandbox.path("service"), &text).unwrap();
    for line in [words!["--check", "--args", "service"], words!["--check", "--args=service", "more"]] {
        sandbox.vsrun(line).finish().assert_exited(0).assert_silent();
    }
    fs::write(sandbox.path("service"), text.replace("-p\npid", "-p\nno/pid\n--check")).unwrap();
    assert!(sandbox.vsrun(words!["--args", "service"]).finish().assert_exited(125).out[0].contains("'no/pid'"));
    assert!(!sandbox.path("ran").exists() && !sandbox.path("pid").exists());
}

#[test]
fn wrong_usage_is_no_finding() {
    let sandbox = Sandbox::new();
    for line in [
        words!["--check"],
        words!["--check", "--"],
        words!["--check", "--no-such-option", "--", "x"],
        words!["--check=yes", "--", "x"],
        words!["--check", "--status", "pid"],
        words!["--check", "-p", "pid", "-m", "./pid", "-", "--", "x"],
        words!["--check", "--port", "70000", "--", "x"],
        words!["--check", "-m", "-", "-", "--ready", "fd:3", "--port", "70", "--", "x"],
    ] {
        let ended = sandbox.vsrun(line).finish();
        ended.assert_failed(2, &[]);
        assert!(ended.out.is_empty(), "{ended:?}");
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = sandbox.vsrun(words!["--check", "--", "/no/such"]).stdout(full).finish();
    ended.assert_failed(125, &["standard output", "No space left"]);
}

#[test]
fn steps_are_shown_on_request() {
    let sandbox = Sandbox::new();
    let ended = sandbox.vsrun(words!["--check", "--debug", "--umask", "022", "--", sandbox.probe()]).finish();
    ended.assert_exited(0);
    assert!(ended.out.is_empty() && ended.err.iter().any(|line| line.contains("set the umask")), "{ended:?}");
}

#[test]
fn a_missing_system_logger_is_a_warning() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let line = words!["--check", "--syslog-usage", "only", "--", sandbox.probe()];
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/dev".into(), "size=64k,mode=755")]);
    let ended = sandbox.vsrun(line.clone()).within(&mounts).finish();
    ended.assert_exited(0);
    assert_eq!(ended.out, ["warning: no process listens at /dev/log, which --syslog-usage needs"]);
    let mounts = Mounts::with_syslog(&sandbox);
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(0).assert_silent();
}
