//! Minimal hosts: a kernel or a container's system call filter without newer system calls, and a read-only root without
//! `/proc`, `/etc` and `/dev`. vsrun gives the same results in slower ways, or reports what is missing.

use crate::harness::filter::{self, Refusal};
use crate::harness::{self, Call, Mount, Mounts, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Three old hosts: new system calls fail with EPERM, new system calls fail with ENOSYS, and close_range(2) knows no
/// flags.
fn old_hosts() -> [Vec<Refusal>; 3] {
    [filter::old_host(libc::EPERM), filter::old_host(libc::ENOSYS), filter::no_close_range_flags()]
}

/// Opens 300 descriptors, as a careless caller may leave them: more than one read of a directory in /proc returns.
fn leak() -> std::io::Result<()> {
    (100..1000).step_by(3).try_for_each(|number| sys::duplicate(2, number))
}

#[test]
fn on_an_old_host_the_server_starts_in_the_same_state() {
    needs!(harness::root(), filter::can_filter_calls());
    for host in old_hosts() {
        let sandbox = Sandbox::new();
        let jail = sandbox.jail();
        let options = words!["-u", "12345:23456", "-p", "pid", "-r", &jail, "-w", "/out", "-d", "logs", "1w"];
        let line = [options, words!["--", "/probe", "report", "/out/report", "print", "x"]].concat();
        for _ in 0..2 {
            let _ = fs::remove_file(jail.join("out/report"));
            sandbox.vsrun(line.clone()).before(leak).refused(&host).finish().assert_exited(0).assert_silent();
            let found = sandbox.report(&jail.join("out/report"));
            assert_eq!((found.one("uids"), found.groups()), ("12345 12345 12345".into(), vec![23456]));
            assert_eq!(found.descriptors().len(), 4, "0 to 2 and the pidfile: {found:?}");
        }
        let logs = sandbox.path("logs");
        assert_eq!(harness::names(&logs), ["logfile", "logfile.1", "vsrun.log", "vsrun.log.1"]);
        // Without a working clock the record would begin with 1970.
        let record = harness::text(&logs.join("vsrun.log"));
        assert!(record.starts_with("20"), "{record}");
    }
}

#[test]
fn on_an_old_host_a_manager_restarts_pauses_and_reaps() {
    needs!(harness::root(), filter::can_filter_calls());
    for host in old_hosts() {
        let sandbox = Sandbox::new();
        let (life, reported) = (sandbox.out("life"), sandbox.out("reported"));
        let handler = sandbox.script("handler", words!["report", &reported]);
        let options = words!["-b", "-p", "pid", "-m", "monitor", handler, "--restart-delay", "100ms:200ms"];
        let actions = words!["life", &life, "until", "3", "exit", "3", "orphans", "5", sandbox.out("orphans"), "wait"];
        let line = [options, words!["--", sandbox.probe()], actions].concat();
        sandbox.vsrun(line).before(leak).refused(&host).finish().assert_exited(0);
        let pid = harness::await_life(&life, 4);
        let since: Vec<i64> = harness::lives(&life).iter().map(|(_, since)| *since).collect();
        assert!(since[2] - since[1] >= 100 && since[3] - since[2] >= 200, "pauses: {since:?}");
        assert_eq!(sandbox.report(&reported).descriptor_numbers(), [0, 1, 2]);
        harness::await_lines(&sandbox.out("orphans"), 5);
        let manager: i32 = harness::text(&sandbox.path("monitor")).trim().parse().unwrap();
        harness::await_true("the server alone to be left", || process::children(manager) == [pid]);
        assert!(process::descriptors(manager).iter().all(|(number, _)| *number < 100), "nothing of the caller's");
        // A manager that cannot sleep would always be in state R (running).
        harness::await_true("a manager that sleeps", || process::state(manager) == "S");
        let order = |words: Vec<OsString>| sandbox.vsrun(words).refused(&host).finish();
        order(words!["--status", sandbox.path("pid")]).assert_exited(0);
        order(words!["--signal", "HUP", sandbox.path("monitor")]).assert_exited(0).assert_silent();
        harness::await_life(&life, 5);
        order(words!["--stop", sandbox.path("pid")]).assert_exited(0).assert_silent();
        sandbox.await_nothing_left();
        order(words!["--status", sandbox.path("pid")]).assert_exited(3);
    }
}

#[test]
fn on_an_old_host_records_reach_a_pipe() {
    needs!(harness::root(), filter::can_filter_calls());
    for host in old_hosts() {
        let sandbox = Sandbox::new();
        let ended = sandbox.vsrun(words!["--debug", "--", sandbox.probe(), "exit", "0"]).refused(&host).finish();
        assert!(ended.assert_exited(0).err.iter().any(|line| line.contains("execute")), "{ended:?}");
        let (reader, writer) = sys::pipe();
        let call = sandbox.vsrun(words!["-m", "-", "-", "--", sandbox.probe()]).stderr(writer).refused(&host);
        call.finish().assert_exited(0);
        let said = std::io::read_to_string(reader).unwrap();
        assert!(said.contains("starting") && said.contains("shutdown"), "{said}");
    }
}

#[test]
fn on_an_old_host_a_command_that_cannot_be_executed_is_explained() {
    needs!(harness::root(), filter::can_filter_calls());
    for host in old_hosts() {
        let sandbox = Sandbox::new();
        let script = sandbox.executable("script", b"#!/no/such/interpreter\n");
        sandbox.vsrun(words!["--", &script]).refused(&host).finish().assert_failed(127, &["/no/such/interpreter"]);
        sandbox.vsrun(words!["--", "no-such-command"]).refused(&host).finish().assert_failed(127, &["no-such-command"]);
        sandbox
            .vsrun(words!["-s", "x", "--logger", "no-such", "--", "y"])
            .refused(&host)
            .finish()
            .assert_failed(125, &["no-such"]);
    }
}

/// A rotation replaces no file of another program and loses none, even without renameat2(2), which guarantees that.
#[test]
fn on_an_old_host_rotation_never_replaces_a_file() {
    needs!(harness::root(), filter::can_filter_calls());
    for host in old_hosts() {
        let sandbox = Sandbox::new();
        let logs = sandbox.path("logs");
        for round in 0..4 {
            let line = words!["-d", &logs, "1w", "--", sandbox.probe(), "print", format!("{round}")];
            sandbox.vsrun(line).refused(&host).finish().assert_exited(0).assert_silent();
        }
        let texts: Vec<String> =
            ["logfile.1", "logfile.2", "logfile.3", "logfile"].map(|name| harness::text(&logs.join(name))).into();
        assert_eq!(texts, ["0\n", "1\n", "2\n", "3\n"]);
    }
}

#[test]
fn a_kernel_without_locks_of_open_files_is_an_error_for_pidfiles_only() {
    needs!(harness::root(), filter::can_filter_calls());
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    for options in [words!["-p", "pid"], words!["-m", "pid", "-"], words!["-b", "-p", "pid"]] {
        let line = [options, words!["--", sandbox.probe(), "append", &ran, "x"]].concat();
        let ended = sandbox.vsrun(line).refused(&filter::no_file_locks()).finish();
        ended.assert_failed(125, &["cannot lock", "pid", "Linux 3.15"]);
        assert!(!ran.exists() && !sandbox.path("pid").exists());
    }
    let line = words!["-m", "-", "-", "--", sandbox.probe(), "append", &ran, "x"];
    sandbox.vsrun(line).refused(&filter::no_file_locks()).finish().assert_exited(0);
    assert_eq!(harness::lines(&ran).len(), 1);
    fs::write(sandbox.path("pid"), "1\n").unwrap();
    let question =
        |order: &str| sandbox.vsrun(words![order, sandbox.path("pid")]).refused(&filter::no_file_locks()).finish();
    question("--status").assert_exited(4);
    question("--stop").assert_failed(4, &["pid"]);
}

/// Whichever error pidfd_open(2) returns, vsrun never reports a running server as dead or as stopped.
#[test]
fn without_pidfd_a_living_server_is_never_called_dead() {
    needs!(harness::root(), filter::can_filter_calls());
    for (error, known) in [(libc::ENOSYS, true), (libc::EPERM, true), (libc::EINVAL, false), (libc::EMFILE, false)] {
        for options in [words!["-p", "pid"], words!["-p", "pid", "-m", "-", "-"]] {
            let sandbox = Sandbox::new();
            let (file, life) = (sandbox.path("pid"), sandbox.out("life"));
            let line = [options, words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
            let running = sandbox.vsrun(line).start();
            let pid = harness::await_life(&life, 1);
            let order = |name: &str| sandbox.vsrun(words![name, &file]).refused(&filter::no_pidfd(error)).finish();
            order("--status").assert_exited(if known { 0 } else { 4 });
            if !known {
                order("--stop").assert_failed(4, &["pid"]);
                assert!(running.is_running() && !harness::gone(pid));
                continue;
            }
            order("--stop").assert_exited(0).assert_silent();
            running.finish();
            assert!(harness::gone(pid));
        }
    }
}

// ------------------------------------------------------------------------------------------------------------------
// A root directory with nothing but the test's own files.

/// A read-only root directory with vsrun, the probe, a handler and the empty directory `out`.
struct Bare {
    mounts: Mounts,
    root: PathBuf,
}

impl Bare {
    #[track_caller]
    fn new(sandbox: &Sandbox) -> Self {
        let root = sandbox.jail();
        harness::sandbox::install(&harness::sandbox::built("vsrun"), &root.join("vsrun"));
        fs::write(root.join("handler"), "#!/probe run\nappend\n-\nhandled\n").unwrap();
        fs::set_permissions(root.join("handler"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let bind = Mount::Bind(root.clone(), root.clone());
        let mounts = Mounts::new(sandbox, &[bind, Mount::Remount(root.clone(), libc::MS_RDONLY)]);
        Self { mounts, root }
    }

    /// Prepares a call of vsrun in this root, without PATH in the environment.
    fn vsrun<'a>(&self, sandbox: &'a Sandbox, words: Vec<OsString>) -> Call<'a> {
        let root = self.root.clone();
        let call = sandbox.program(Path::new("/vsrun"), words).within(&self.mounts).without_env("PATH");
        call.before(move || sys::change_root(root.as_os_str()))
    }
}

#[test]
fn in_a_bare_root_that_is_read_only_a_server_is_started_and_managed() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let bare = Bare::new(&sandbox);
    for closed in harness::CLOSED.iter().filter(|closed| !closed.contains(&1)) {
        let line = words!["-u", "5:6", "--", "/probe", "report", "-"];
        let ended = bare.vsrun(&sandbox, line).before(leak).closed(closed).finish();
        let uids = ended.assert_exited(0).out.iter().filter(|line| *line == "uids 5 5 5").count();
        let fds = ended.out.iter().filter(|line| line.starts_with("fd ")).count();
        assert_eq!((uids, fds), (1, 3), "{ended:?}");
    }
    let options = words!["-m", "-", "/handler", "--restart-limit", "2/1h", "--restart-delay", "0", "-u", "5"];
    let line = [options, words!["--", "/probe", "print", "lived", "exit", "3"]].concat();
    let ended = bare.vsrun(&sandbox, line).before(leak).finish();
    ended.assert_exited(3);
    assert_eq!(ended.out.join(" "), "lived lived lived", "{ended:?}");
    let handled = ended.err.iter().filter(|line| *line == "vsrun: handler: handled").count();
    assert_eq!(handled, 3, "{ended:?}");
}

#[test]
fn in_a_bare_root_that_is_read_only_every_error_names_what_is_missing() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let bare = Bare::new(&sandbox);
    let table: [(&[&str], &[&str]); 8] = [
        (&["-p", "/pid"], &["/pid", "Read-only"]),
        (&["-m", "/run/pid", "-"], &["/run/pid", "No such file"]),
        (&["-d", "/logs", "1"], &["/logs", "Read-only"]),
        (&["-d", "/out", "1"], &["/out", "Read-only"]),
        (&["-u", "web"], &["web", "/etc/passwd"]),
        (&["-s", "web"], &["logger"]),
        (&["--listen", "/out/socket"], &["/out/socket", "Read-only"]),
        (&["-r", "/nowhere"], &["/nowhere"]),
    ];
    for way in [words![], words!["-b"]] {
        for (options, parts) in &table {
            let options: Vec<OsString> = options.iter().map(OsString::from).collect();
            let line = [way.clone(), options, words!["--", "/probe", "print", "ran"]].concat();
            let ended = bare.vsrun(&sandbox, line).finish();
            ended.assert_failed(125, parts);
            assert!(ended.out.is_empty(), "{ended:?}");
        }
    }
    bare.vsrun(&sandbox, words!["--", "probe"]).finish().assert_failed(127, &["probe"]);
    bare.vsrun(&sandbox, words!["--status", "/pid"]).finish().assert_exited(3);
    bare.vsrun(&sandbox, words!["--stop", "/pid"]).finish().assert_exited(0);
    for word in ["--help", "--version", "--help-completion"] {
        assert!(bare.vsrun(&sandbox, words![word]).finish().assert_exited(0).out.len() > 2);
    }
}

#[test]
fn in_a_bare_root_on_an_old_host_nothing_leaks_and_nothing_is_trusted_blindly() {
    needs!(harness::root(), filter::can_filter_calls());
    for host in old_hosts() {
        let sandbox = Sandbox::new();
        let bare = Bare::new(&sandbox);
        // There is no /proc that lists open descriptors, and they were opened before the limit was lowered below their
        // numbers.
        let call = bare.vsrun(&sandbox, words!["-u", "5:6", "--", "/probe", "report", "-"]);
        let ended = call.before(leak).before(|| sys::limit_descriptors(64)).refused(&host).finish();
        let fds: Vec<&String> = ended.assert_exited(0).out.iter().filter(|line| line.starts_with("fd ")).collect();
        assert_eq!(fds.len(), 3, "{ended:?}");
    }
    // Without a pidfd and without /proc, vsrun refuses to signal a process: its PID alone may have been reused.
    let host = filter::old_host(libc::EPERM);
    let sandbox = Sandbox::new();
    let (file, life) = (sandbox.path("jail/pid"), sandbox.out("life"));
    let bare = Bare::new(&sandbox);
    let manager =
        sandbox.vsrun(words!["-p", &file, "-m", "-", "-", "--", sandbox.probe(), "life", &life, "wait"]).start();
    let pid = harness::await_life(&life, 1);
    bare.vsrun(&sandbox, words!["--stop", "/pid"]).refused(&host).finish().assert_failed(4, &["/pid"]);
    assert!(manager.is_running() && !harness::gone(pid));
    manager.stop().assert_exited(0);
}
