//! Which process holds a pidfile: between two runs, when the server's first thread has exited, when a child has
//! inherited the lock of a dead server, and without /proc.

use crate::harness::{self, Mount, Mounts, PLAIN, Sandbox, needs, sys, words};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[test]
fn either_pidfile_stops_a_manager_at_once_between_two_runs() {
    for background in [words![], words!["-b"]] {
        let sandbox = Sandbox::new();
        let (file, life) = (sandbox.path("pid"), sandbox.out("life"));
        let options = [words!["-p", &file, "-m", "monitor", "-", "--restart-delay", "1h"], background].concat();
        let line = [options, words!["--", sandbox.probe(), "life", &life, "exit", "1"]].concat();
        let manager = sandbox.vsrun(line).start();
        harness::await_life(&life, 2);
        harness::await_true("the pause", || harness::text(&file).is_empty());
        let since = Instant::now();
        sandbox.vsrun(words!["--stop", &file]).finish().assert_exited(0).assert_silent();
        assert!(since.elapsed() < Duration::from_secs(40), "it waits for no run");
        assert!(!file.exists() && !sandbox.path("monitor").exists());
        manager.finish().assert_exited(0);
        sandbox.await_nothing_left();
        assert_eq!(harness::lives(&life).len(), 2);
    }
}

#[test]
fn a_manager_is_stopped_while_its_handler_runs() {
    let sandbox = Sandbox::new();
    let (file, asked) = (sandbox.path("pid"), sandbox.out("asked"));
    let handler = sandbox.script("handler", words!["append", &asked, "x", "wait"]);
    let line = words!["-p", &file, "-m", "-", handler, "--", sandbox.probe(), "exit", "1"];
    let manager = sandbox.vsrun(line).start();
    harness::await_file(&asked);
    sandbox.vsrun(words!["--stop", &file]).finish().assert_exited(0).assert_silent();
    manager.finish().assert_exited(0);
}

#[test]
fn without_proc_a_stop_between_two_runs_waits_for_the_next() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(PathBuf::from("/proc"), "")]);
    let (file, gate, asked) = (sandbox.path("pid"), sandbox.out("gate"), sandbox.out("asked"));
    let handler = sandbox.script("handler", words!["append", &asked, "x", "await", &gate]);
    let life = sandbox.out("life");
    let line =
        words!["-p", &file, "-m", "-", handler, "--", sandbox.probe(), "life", &life, "at", "1", "exit", "1", "wait"];
    let manager = sandbox.vsrun(line).start();
    harness::await_file(&asked);
    let stop = sandbox.vsrun(words!["--stop", &file, "--stop-timeout", "50ms"]).within(&mounts).finish();
    stop.assert_failed(125, &["restarting"]);
    assert!(manager.is_running());
    fs::write(&gate, "").unwrap();
    harness::await_life(&life, 2);
    sandbox.vsrun(words!["--stop", &file]).finish().assert_exited(0);
    manager.finish().assert_exited(0);
}

#[test]
fn a_server_whose_first_thread_has_ended_is_seen_and_stopped() {
    needs!(harness::tool("python3"));
    let sandbox = Sandbox::new();
    let (file, up) = (sandbox.path("pid"), sandbox.path("up"));
    let program = "import ctypes, sys, threading, time\n\
        threading.Thread(target=lambda: (time.sleep(0.1), open(sys.argv[1], 'w').close(), time.sleep(600))).start()\n\
        ctypes.CDLL(None).pthread_exit(None)";
    for manager in [words![], words!["-m", "-", "-"]] {
        let python = words!["--", harness::find_tool("python3").unwrap(), "-c", program, &up];
        let server = sandbox.vsrun([words!["-p", &file], manager, python].concat()).start();
        harness::await_file(&up);
        let pid: i32 = harness::text(&file).trim().parse().unwrap();
        harness::await_true("the end of its first thread", || harness::process::state(pid) == "Z");
        let status = sandbox.vsrun(words!["--status", &file]).finish();
        status.assert_exited(0);
        assert!(status.out[0].starts_with(&format!("running: pid {pid} (")), "{status:?}");
        sandbox.vsrun(words!["--signal", "CONT", &file]).finish().assert_exited(0).assert_silent();
        sandbox.vsrun(words!["--stop", &file]).finish().assert_exited(0).assert_silent();
        server.finish();
        fs::remove_file(&up).unwrap();
    }
}

#[test]
fn a_second_start_names_the_process_that_has_the_lock() {
    let sandbox = Sandbox::new();
    let (file, child, life) = (sandbox.path("pid"), sandbox.out("child"), sandbox.out("life"));
    let line = words!["-p", &file, "--", sandbox.probe(), "life", &life, "child", &child, "wait"];
    let server = sandbox.vsrun(line).start();
    let child: i32 = harness::await_lines(&child, 1)[0].parse().unwrap();
    let pid = harness::await_life(&life, 1);
    let start = || sandbox.vsrun(words!["-p", &file, "--", sandbox.probe()]).finish();
    start().assert_failed(125, &[&format!("is locked by pid {pid}")]);
    server.signal(libc::SIGKILL);
    server.finish();
    start().assert_failed(125, &[&format!("is locked by pid {child}, not by pid {pid}, which it names")]);
    let check = sandbox.vsrun(words!["--check", "-p", &file, "--", sandbox.probe()]).finish();
    check.assert_exited(125);
    assert!(check.out[0].contains(&format!("by pid {child},")), "{check:?}");
    let status = sandbox.vsrun(words!["--status", &file]).finish();
    status.assert_exited(4);
    assert!(status.out[0].contains(&format!("by pid {child}")), "{status:?}");
    // PID reuse: the file now contains the PID of an unrelated process.
    let stranger = sandbox.program(&sandbox.probe(), words!["wait"]).start();
    fs::write(&file, format!("{}\n", stranger.pid())).unwrap();
    start().assert_failed(125, &[&format!("by pid {child}, not by pid {}", stranger.pid())]);
    sys::kill(child, libc::SIGKILL);
    harness::await_gone(child);
    start().assert_exited(0);
    assert!(stranger.is_running());
}

/// A user locks a file that it may write to and that contains the PID of a process of root. /proc is empty, so vsrun
/// cannot find the lock's holder.
#[test]
fn without_proc_only_pidfiles_of_root_and_of_the_caller_are_believed() {
    needs!(harness::root());
    let (sandbox, roots) = (Sandbox::plain(), Sandbox::new());
    let victim = roots.program(&roots.probe(), words!["wait"]).start();
    let mounts = Mounts::new(&roots, &[Mount::Memory(PathBuf::from("/proc"), "")]);
    let file = sandbox.path("pid");
    for (owner, mode) in [(PLAIN, 0o600), (0, 0o666), (0, 0o660)] {
        fs::write(&file, format!("{}\n", victim.pid())).unwrap();
        chown(&file, Some(owner), Some(PLAIN)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let locked = sandbox.out("locked");
        let _ = fs::remove_file(&locked);
        let liar = sandbox.program(&sandbox.probe(), words!["lock", &file, "append", &locked, "x", "wait"]).start();
        harness::await_file(&locked);
        for order in [words!["--stop", &file], words!["--signal", "KILL", &file]] {
            roots.vsrun(order).within(&mounts).finish().assert_failed(4, &["users other than root and the caller"]);
        }
        assert!(victim.is_running() && liar.is_running());
        liar.signal(libc::SIGKILL);
        liar.finish();
    }
    // A pidfile that only root can write to is still trusted.
    let (own, life) = (roots.path("pid"), roots.out("life"));
    let line = words!["-p", &own, "-m", roots.path("monitor"), "-", "--", roots.probe(), "life", &life, "wait"];
    let manager = roots.vsrun(line).start();
    harness::await_life(&life, 1);
    roots.vsrun(words!["--stop", roots.path("monitor")]).within(&mounts).finish().assert_exited(0).assert_silent();
    manager.finish().assert_exited(0);
}

/// A directory that imitates /proc is not used to find the lock's holder.
#[test]
fn a_directory_in_place_of_proc_is_not_believed() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (fake, file) = (sandbox.path("fake"), sandbox.path("pid"));
    let victim = sandbox.program(&sandbox.probe(), words!["wait"]).start();
    for home in ["self".to_owned(), victim.pid().to_string()] {
        fs::create_dir_all(fake.join(&home).join("fd")).unwrap();
        fs::create_dir_all(fake.join(&home).join("fdinfo")).unwrap();
        fs::write(fake.join(&home).join("fdinfo/3"), "pos: 0\nlock:\t1: OFDLCK\n").unwrap();
        symlink(&file, fake.join(&home).join("fd/3")).unwrap();
    }
    fs::write(&file, format!("{}\n", victim.pid())).unwrap();
    let held = File::open(&file).unwrap();
    sys::lock(&held, libc::F_RDLCK).unwrap();
    let mounts = Mounts::new(&sandbox, &[Mount::Bind(fake, PathBuf::from("/proc"))]);
    sandbox.vsrun(words!["--stop", &file]).within(&mounts).finish().assert_failed(4, &["/proc does not show"]);
    assert!(victim.is_running());
}

#[test]
fn status_shows_how_long_the_server_has_been_running() {
    let sandbox = Sandbox::new();
    let (file, life) = (sandbox.path("pid"), sandbox.out("life"));
    let server = sandbox.vsrun(words!["-p", &file, "--", sandbox.probe(), "life", &life, "wait"]).start();
    let pid = harness::await_life(&life, 1);
    let status = sandbox.vsrun(words!["--status", &file]).finish();
    let begin = format!("running: pid {pid} ({}), up ", file.display());
    let up = status.assert_exited(0).out[0].strip_prefix(&begin).unwrap_or_else(|| panic!("{status:?}")).to_owned();
    let seconds: u64 = up.strip_suffix(" s").unwrap().parse().unwrap();
    assert!(seconds < 20, "{up}");
    drop(server);
}

#[test]
fn stopping_a_server_that_is_not_running_succeeds_with_a_message() {
    let sandbox = Sandbox::new();
    for file in [sandbox.path("none"), sandbox.path("no/such"), sandbox.path("stale")] {
        fs::write(sandbox.path("stale"), "1\n").unwrap();
        let stop = sandbox.vsrun(words!["--stop", &file]).finish();
        stop.assert_exited(0);
        assert_eq!((stop.out.len(), &stop.err[..]), (0, &[format!("vsrun: not running: {}", file.display())][..]));
    }
}

#[test]
fn a_service_file_can_be_given_in_place_of_its_pidfile() {
    let sandbox = Sandbox::new();
    let (file, monitor, life) = (sandbox.path("pid"), sandbox.path("monitor"), sandbox.out("life"));
    let text = format!(
        "#!{} --args\n# a server\n--pidfile={}\n--manager\n{}\n-\n--\n{}\nlife\n{}\nwait\n",
        sandbox.path("vsrun").display(),
        file.display(),
        monitor.display(),
        sandbox.probe().display(),
        life.display()
    );
    let service = sandbox.executable("web", text.as_bytes());
    let manager = sandbox.program(&service, words![]).start();
    let pid = harness::await_life(&life, 1);
    harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
    // A symbolic link to the service file, as in rc directories.
    symlink(&service, sandbox.path("S20web")).unwrap();
    let status = sandbox.vsrun(words!["--status", sandbox.path("S20web")]).finish();
    let first = format!("running: pid {} ({})", manager.pid(), monitor.display());
    assert!(status.assert_exited(0).out[0].starts_with(&first), "the manager's comes first: {status:?}");
    sandbox.vsrun(words!["--signal", "HUP", &service]).finish().assert_exited(0).assert_silent();
    harness::await_life(&life, 2);
    sandbox.vsrun(words!["--stop", &service]).finish().assert_exited(0).assert_silent();
    manager.finish().assert_exited(0);
    let status = sandbox.vsrun(words!["--status", &service]).finish();
    assert!(status.assert_exited(3).out[0].contains(&monitor.display().to_string()), "{status:?}");

    let only = sandbox.executable("only", format!("#!x\n-p\n{}\n--\n/bin/x\n", file.display()).as_bytes());
    assert!(
        sandbox.vsrun(words!["--status", only]).finish().assert_exited(3).out[0].contains(&file.display().to_string())
    );
    let none = sandbox.executable("none", b"#!x\n-m\n-\n-\n--\n/bin/x\n");
    sandbox.vsrun(words!["--stop", none]).finish().assert_failed(2, &["names no pidfile"]);
    let help = sandbox.executable("help", b"#!x\n--help\n");
    sandbox.vsrun(words!["--stop", help]).finish().assert_failed(2, &["names no pidfile"]);
    let wrong = sandbox.executable("wrong", b"#!x\n--nosuch\n--\n/bin/x\n");
    sandbox.vsrun(words!["--stop", wrong]).finish().assert_failed(2, &[":2:", "nosuch"]);
}
