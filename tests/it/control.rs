//! `--status`, `--stop` and `--signal`: what the pidfile's lock shows them, and which processes they never signal.

use crate::harness::sys::Lock;
use crate::harness::{self, Call, Mount, Mounts, PLAIN, ProcessResult, Running, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

/// Runs `--status`, asserts its exit status, and returns the one line that it prints.
#[track_caller]
fn status(sandbox: &Sandbox, file: &Path, code: i32) -> String {
    said(sandbox.vsrun(words!["--status", file]), code)
}

#[track_caller]
fn said(call: Call<'_>, code: i32) -> String {
    let ended = call.finish();
    ended.assert_exited(code);
    assert!(ended.err.is_empty() && ended.out.len() == 1, "one line: {ended:?}");
    ended.out[0].clone()
}

#[track_caller]
fn stop(sandbox: &Sandbox, file: &Path) -> ProcessResult {
    sandbox.vsrun(words!["--stop", file]).finish()
}

#[track_caller]
fn signal(sandbox: &Sandbox, name: &str, file: &Path) -> ProcessResult {
    sandbox.vsrun(words!["--signal", name, file]).finish()
}

/// Asserts that `--status`, `--stop` and `--signal` exit with status 4 and report this reason.
#[track_caller]
fn assert_unknown(sandbox: &Sandbox, file: &Path, why: &str) {
    let line = status(sandbox, file, 4);
    assert!(line.starts_with("state unknown: ") && line.contains(why), "{why:?}: {line}");
    stop(sandbox, file).assert_failed(4, &[why]);
    signal(sandbox, "KILL", file).assert_failed(4, &[why]);
}

/// Starts a server with a pidfile, which does `actions` after it has written its pid. Returns that pid and the vsrun
/// process.
#[track_caller]
fn start(sandbox: &Sandbox, options: Vec<OsString>, actions: Vec<OsString>) -> (i32, Running) {
    let life = sandbox.out("life");
    let begun = harness::lives(&life).len();
    let line = [options, words!["--", sandbox.probe(), "life", &life], actions].concat();
    let running = sandbox.vsrun(line).start();
    (harness::await_life(&life, begun + 1), running)
}

/// Asserts that the line says that this pid is running; the uptime may be missing, since /proc may not show it.
#[track_caller]
fn assert_runs(line: &str, pid: i32, file: &Path) {
    let rest = line.strip_prefix(&format!("running: pid {pid} ({})", file.display()));
    let rest = rest.unwrap_or_else(|| panic!("pid {pid}: {line}"));
    assert!(rest.is_empty() || rest.starts_with(", up "), "{line}");
}

/// Asserts that `--stop` exited with 0 and reported that nothing is running.
#[track_caller]
fn assert_not_running(ended: &ProcessResult, file: &Path) {
    ended.assert_exited(0);
    assert_eq!((ended.out.len(), &ended.err[..]), (0, &[format!("vsrun: not running: {}", file.display())][..]));
}

#[test]
fn status_reports_what_the_lock_shows() {
    let sandbox = Sandbox::new();
    let (file, monitor) = (sandbox.path("pid"), sandbox.path("monitor"));
    let none = format!("not running: {}: there is no such file", file.display());
    assert_eq!(status(&sandbox, &file, 3), none);
    let (pid, server) = start(&sandbox, words!["-p", &file], words!["wait"]);
    assert_runs(&status(&sandbox, &file, 0), pid, &file);
    server.signal(libc::SIGKILL);
    server.finish();
    assert_eq!(status(&sandbox, &file, 1), format!("dead: {}: not locked", file.display()));
    let (pid, manager) = start(&sandbox, words!["-p", &file, "-m", &monitor, "-"], words!["wait"]);
    harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
    assert_runs(&status(&sandbox, &file, 0), pid, &file);
    assert_runs(&status(&sandbox, &monitor, 0), manager.pid(), &monitor);
    manager.stop().assert_exited(0);
    assert_eq!(status(&sandbox, &file, 3), none);
    assert_eq!(status(&sandbox, &sandbox.path("no/such/pid"), 3).split(':').next(), Some("not running"));
}

#[test]
fn a_dead_manager_is_dead_though_its_server_lives() {
    let sandbox = Sandbox::new();
    let (file, monitor) = (sandbox.path("pid"), sandbox.path("monitor"));
    let (pid, manager) = start(&sandbox, words!["-p", &file, "-m", &monitor, "-"], words!["wait"]);
    manager.signal(libc::SIGKILL);
    manager.finish();
    for file in [&file, &monitor] {
        assert!(status(&sandbox, file, 1).starts_with("dead: "));
        assert_not_running(&stop(&sandbox, file), file);
        signal(&sandbox, "KILL", file).assert_failed(3, &["not locked"]);
    }
    assert!(!harness::gone(pid), "a number without a lock is never signalled");
}

#[test]
fn between_two_starts_there_is_no_process_to_signal() {
    let sandbox = Sandbox::new();
    let (file, monitor) = (sandbox.path("pid"), sandbox.path("monitor"));
    let options = words!["-p", &file, "-m", &monitor, "-", "--restart-delay", "1h"];
    let (_, manager) = start(&sandbox, options, words!["exit", "1"]);
    harness::await_life(&sandbox.out("life"), 2);
    harness::await_true("the pause", || harness::text(&file).is_empty());
    assert_eq!(
        status(&sandbox, &file, 0),
        format!("restarting: {}: a start or restart is under way (locked, and contains no pid)", file.display())
    );
    assert_runs(&status(&sandbox, &monitor, 0), manager.pid(), &monitor);
    signal(&sandbox, "TERM", &file).assert_failed(3, &["restarting"]);
    assert!(manager.is_running());
    stop(&sandbox, &monitor).assert_exited(0).assert_silent();
    manager.finish().assert_exited(0);
}

#[test]
fn what_is_no_pidfile_is_unknown() {
    let sandbox = Sandbox::new();
    let (fifo, link, target) = (sandbox.path("fifo"), sandbox.path("link"), sandbox.path("target"));
    sys::make_fifo(fifo.as_os_str()).unwrap();
    fs::write(&target, "").unwrap();
    symlink(&target, &link).unwrap();
    assert_unknown(&sandbox, &sandbox.path("out"), "is not a regular file");
    assert_unknown(&sandbox, &fifo, "is not a regular file");
    assert_unknown(&sandbox, Path::new("/dev/null"), "is not a regular file");
    assert_unknown(&sandbox, &link, "is a symbolic link");
    assert_unknown(&sandbox, &target.join("pid"), "Not a directory");
}

#[test]
fn what_cannot_be_read_is_unknown() {
    needs!(harness::root());
    let sandbox = Sandbox::plain();
    let roots = Sandbox::new();
    let file = roots.path("pid");
    let (_, server) = start(&roots, words!["-p", &file], words!["wait"]);
    assert_unknown(&sandbox, &file, "Permission denied");
    assert!(server.is_running());
}

#[test]
fn a_locked_file_that_names_no_pid_is_unknown() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    for kind in [libc::F_RDLCK, libc::F_WRLCK] {
        for text in ["0\n", "-1\n", "+7\n", "7", "7\n\n", "1 2\n", "99999999999999999999\n", "pid\n", "\n", "\0\0\0"] {
            fs::write(&file, text).unwrap();
            let held = File::options().read(true).write(true).open(&file).unwrap();
            sys::lock(&held, kind).unwrap();
            assert!(status(&sandbox, &file, 4).contains("contains no pid"), "{text:?}");
        }
    }
    fs::write(&file, "").unwrap();
    let held = File::open(&file).unwrap();
    sys::lock(&held, libc::F_RDLCK).unwrap();
    assert_unknown(&sandbox, &file, "contains no pid");
}

#[test]
fn pid_of_a_process_without_the_lock_is_unknown() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let stranger = sandbox.program(&sandbox.probe(), words!["wait"]).start();
    for kind in [libc::F_RDLCK, libc::F_WRLCK] {
        // A process that has the file open but not locked, as a reader of the file would.
        let reader = sandbox.program(&sandbox.probe(), words!["wait"]).stdin(File::create(&file).unwrap()).start();
        for pid in [stranger.pid(), reader.pid(), 1, i32::MAX] {
            fs::write(&file, format!("{pid}\n")).unwrap();
            let held = File::options().read(true).write(true).open(&file).unwrap();
            sys::lock(&held, kind).unwrap();
            // The holder of an exclusive lock may be the manager, if it is the parent of the named process. This test
            // holds the lock and is the parent of both processes.
            if kind == libc::F_WRLCK && [stranger.pid(), reader.pid()].contains(&pid) {
                continue;
            }
            assert_unknown(&sandbox, &file, "not by the process that it names");
        }
        assert!(stranger.is_running() && reader.is_running());
    }
}

#[test]
fn a_stale_number_names_no_process() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let stranger = sandbox.program(&sandbox.probe(), words!["wait"]).start();
    fs::write(&file, format!("{}\n", stranger.pid())).unwrap();
    assert!(status(&sandbox, &file, 1).starts_with("dead: "));
    assert_not_running(&stop(&sandbox, &file), &file);
    signal(&sandbox, "KILL", &file).assert_failed(3, &["not locked"]);
    assert!(stranger.is_running());
    signal(&sandbox, "KILL", &sandbox.path("none")).assert_failed(3, &["not running"]);
    assert_not_running(&stop(&sandbox, &sandbox.path("none")), &sandbox.path("none"));
}

#[test]
fn stop_by_either_pidfile_ends_server_and_manager() {
    for background in [words![], words!["-b"]] {
        for manager in [words![], words!["-m", "monitor", "-"]] {
            for name in ["pid", "monitor"] {
                let sandbox = Sandbox::new();
                let options = [words!["-p", "pid"], background.clone(), manager.clone()].concat();
                let managed = !manager.is_empty();
                if name == "monitor" && !managed {
                    continue;
                }
                let (pid, vsrun) = start(&sandbox, options, words!["wait"]);
                let file = sandbox.path(name);
                if managed {
                    harness::await_true("the number", || harness::text(&sandbox.path("pid")) == format!("{pid}\n"));
                }
                stop(&sandbox, &file).assert_exited(0).assert_silent();
                assert!(harness::gone(pid), "it is gone when that is said");
                if managed {
                    assert!(!sandbox.path("pid").exists() && !sandbox.path("monitor").exists());
                }
                vsrun.finish();
                assert_not_running(&stop(&sandbox, &file), &file);
                sandbox.await_nothing_left();
            }
        }
    }
}

#[test]
fn a_server_stopped_by_a_signal_is_continued_to_end() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let (pid, server) = start(&sandbox, words!["-p", &file], words!["wait"]);
    sys::kill(pid, libc::SIGSTOP);
    harness::await_true("the stop", || process::state(pid) == "T");
    assert_runs(&status(&sandbox, &file, 0), pid, &file);
    stop(&sandbox, &file).assert_exited(0);
    assert_eq!(server.finish().signal(), Some(libc::SIGTERM));

    let (pid, manager) = start(&sandbox, words!["-p", &file, "-m", "-", "-"], words!["wait"]);
    harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
    for pid in [manager.pid(), pid] {
        sys::kill(pid, libc::SIGSTOP);
        harness::await_true("the stop", || process::state(pid) == "T");
    }
    stop(&sandbox, &file).assert_exited(0);
    manager.finish().assert_exited(0);
}

#[test]
fn a_server_that_will_not_end_is_killed_and_a_manager_is_not() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let (_, server) = start(&sandbox, words!["-p", &file], words!["ignore", "15", "append", "deaf", "x", "wait"]);
    harness::await_file(&sandbox.path("deaf"));
    sandbox.vsrun(words!["--stop-timeout", "50ms", "--stop", &file]).finish().assert_exited(0).assert_silent();
    assert_eq!(server.finish().signal(), Some(libc::SIGKILL));

    fs::remove_file(sandbox.path("deaf")).unwrap();
    let options = words!["-p", &file, "-m", "-", "-", "--stop-timeout", "0"];
    let (pid, manager) = start(&sandbox, options, words!["ignore", "15", "append", "deaf", "x", "wait"]);
    harness::await_file(&sandbox.path("deaf"));
    harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
    let ended = sandbox.vsrun(words!["--stop", &file, "--stop-timeout", "50ms"]).finish();
    ended.assert_failed(125, &["has not exited in time", &manager.pid().to_string()]);
    assert!(manager.is_running() && !harness::gone(pid));
    sys::kill(pid, libc::SIGKILL);
    manager.finish().assert_exited(0);
}

#[test]
fn a_lock_that_a_dead_servers_child_keeps_is_unknown_and_is_waited_for() {
    let sandbox = Sandbox::new();
    let (file, child) = (sandbox.path("pid"), sandbox.out("child"));
    let (_, server) = start(&sandbox, words!["-p", &file], words!["child", &child, "wait"]);
    let child: i32 = harness::await_lines(&child, 1)[0].parse().unwrap();
    let stopping = sandbox.vsrun(words!["--stop", &file]).start();
    server.finish();
    assert!(stopping.is_running(), "no other start succeeds yet");
    assert_unknown(&sandbox, &file, "not by the process that it names");
    sys::kill(child, libc::SIGKILL);
    stopping.finish().assert_exited(0).assert_silent();
    assert!(status(&sandbox, &file, 1).starts_with("dead: "));
}

#[test]
fn a_signal_goes_to_the_process_that_is_named() {
    let sandbox = Sandbox::new();
    let (file, monitor, log) = (sandbox.path("pid"), sandbox.path("monitor"), sandbox.out("log"));
    let all = words!["USR1", "sigwinch", "12", "RTMIN+3", "64"];
    for options in [words!["-p", &file], words!["-p", &file, "-m", &monitor, "-"]] {
        let _ = fs::remove_file(&log);
        let (_, server) = start(&sandbox, options, words!["signals", &log, "64"]);
        harness::await_lines(&log, 1);
        for name in &all {
            sandbox.vsrun(words!["--signal", name, &file]).finish().assert_exited(0).assert_silent();
        }
        server.finish().assert_exited(0);
        let mut got = harness::lines(&log);
        got.sort();
        assert_eq!(got, ["10", "12", "28", "37", "64", "ready"]);
    }
    let (pid, manager) = start(&sandbox, words!["-p", &file, "-m", &monitor, "-"], words!["wait"]);
    signal(&sandbox, "HUP", &monitor).assert_exited(0);
    harness::await_life(&sandbox.out("life"), 4);
    assert!(harness::gone(pid), "what the manager does with a signal is its own");
    stop(&sandbox, &monitor).assert_exited(0);
    manager.finish().assert_exited(0);
}

/// Runs a script in a shell that is PID 1 of a new pid namespace. `$D` is the directory of the test.
#[track_caller]
fn in_namespace<'a>(sandbox: &'a Sandbox, options: &[&str], script: &str) -> Call<'a> {
    let path = sandbox.path("script");
    fs::write(&path, format!("set -u\nD={}\n{script}", sandbox.directory().display())).unwrap();
    let words = [words!["-pf", "--kill-child"], options.iter().map(OsString::from).collect()].concat();
    sandbox.program(&unshare(), [words, words!["/bin/sh", path]].concat())
}

fn unshare() -> PathBuf {
    harness::find_tool("unshare").unwrap_or_else(|| PathBuf::from("unshare"))
}

/// The server is killed while its child keeps the lock, and its pid is used again: in even rounds by a process that has
/// not opened the pidfile, in odd rounds by vsrun, which opens it.
#[test]
fn reused_pid_is_never_signalled() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let script = r#"
        again() { echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; }
        gone() { while kill -0 $1 2>/dev/null; do $D/probe exit 0; done; }
        fail() { echo "round $round: $*"; exit 1; }
        round=0
        while [ $round -lt 500 ]; do
            round=$((round + 1))
            rm -f $D/out/child $D/out/up
            $D/vsrun -b -p $D/pid -- $D/probe child $D/out/child append $D/out/up x wait || fail start
            while [ ! -e $D/out/up ]; do $D/probe exit 0; done
            pid=$(cat $D/pid)
            kill -KILL $pid
            gone $pid
            again $pid
            if [ $((round % 2)) = 0 ]; then
                $D/probe wait &
                [ $! = $pid ] || fail "not used again: $! for $pid"
                for order in "--stop $D/pid" "--signal KILL $D/pid" "--status $D/pid"; do
                    $D/vsrun $order >/dev/null 2>&1
                    [ $? = 4 ] || fail "$order: $?"
                done
                kill -0 $pid || fail "the stranger is gone"
                kill -KILL $pid
            else
                case $((round % 6)) in 1) order="--stop";; 3) order="--signal KILL";; *) order="--status";; esac
                $D/vsrun $order $D/pid >/dev/null 2>&1 &
                [ $! = $pid ] || fail "not used again: $! for $pid"
                wait $!
                [ $? = 4 ] || fail "$order as $pid: $?"
            fi
            kill -KILL $(cat $D/out/child)
            gone $(cat $D/out/child)
            wait
            echo $round >>$D/out/rounds
        done
    "#;
    let running = in_namespace(&sandbox, &["--mount-proc"], script).start();
    for rounds in (50..=500).step_by(50) {
        harness::await_true(&format!("round {rounds}"), || {
            let (lives, done) = (running.is_running(), harness::lines(&sandbox.out("rounds")).len());
            assert!(lives || done == 500, "it has ended: {:?}", running.out());
            done >= rounds
        });
    }
    running.finish().assert_exited(0);
}

/// `--signal` runs again and again while the server dies and is restarted. Another process of the same user, which
/// never opens the pidfile, must not get the signal.
#[test]
fn only_the_restarting_server_is_signalled() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    // Few pids, so that each is soon used again. Before Linux 6.14 the limit would be the whole machine's.
    let few = if harness::kernel_has(6, 14) { "echo 400 >/proc/sys/kernel/pid_max" } else { "" };
    let script = r#"
        $D/vsrun -b -p $D/pid -m $D/monitor - --restart-delay 0 -- $D/probe exit 1 2>/dev/null
        round=0
        while [ $round -lt 500 ]; do
            round=$((round + 1))
            $D/probe wait &
            $D/vsrun --signal USR1 $D/pid >/dev/null 2>&1
            code=$?
            case $code in 0|3) ;; *) echo "round $round: status $code"; exit 1;; esac
            kill -0 $! || { echo "round $round: the stranger is gone"; exit 1; }
            kill -KILL $!
            wait $!
            echo $round >>$D/out/rounds
        done
        $D/vsrun --stop $D/monitor
    "#;
    let running = in_namespace(&sandbox, &["--mount-proc"], &format!("{few}\n{script}")).start();
    for rounds in (50..=500).step_by(50) {
        harness::await_true(&format!("round {rounds}"), || {
            let (lives, done) = (running.is_running(), harness::lines(&sandbox.out("rounds")).len());
            assert!(lives || done == 500, "it has ended: {:?}", running.out());
            done >= rounds
        });
    }
    running.finish().assert_exited(0);
}

#[test]
fn a_pid_of_another_namespace_signals_no_process() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    for manager in ["", "-m $D/monitor -"] {
        let _ = fs::remove_file(sandbox.out("up"));
        let script = format!("exec $D/vsrun -p $D/pid {manager} -- $D/probe append $D/out/up x wait");
        let inside = in_namespace(&sandbox, &["--mount-proc"], &script).start();
        harness::await_file(&sandbox.out("up"));
        assert_unknown(&sandbox, &sandbox.path("pid"), "not by the process that it names");
        assert!(inside.is_running());
        inside.signal(libc::SIGKILL);
        inside.finish();
        // PID 1 of the namespace is killed, but may not have exited yet.
        let file = File::options().read(true).write(true).open(sandbox.path("pid")).unwrap();
        harness::await_true("the end of the lock", || sys::lock_of(&file) == Lock::None);
    }
    // The other direction: in the namespace the pid belongs to another process; first with the namespace's own /proc,
    // then with the host's.
    let file = sandbox.path("pid");
    let _ = fs::remove_file(sandbox.path("monitor"));
    for options in [words!["-p", &file], words!["-p", &file, "-m", "-", "-"]] {
        let (pid, server) = start(&sandbox, options, words!["wait"]);
        harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
        for proc in [&["--mount-proc"][..], &[]] {
            let script = r#"
                pid=$(cat $D/pid)
                echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
                $D/probe wait &
                [ $! = $pid ] || { echo "it is $! and not $pid"; exit 1; }
                for order in "--stop $D/pid" "--signal KILL $D/pid" "--status $D/pid"; do
                    $D/vsrun $order >/dev/null 2>&1
                    [ $? = 4 ] || { echo "$order: $?"; exit 1; }
                done
                kill -0 $pid
            "#;
            let ended = in_namespace(&sandbox, proc, script).finish();
            ended.assert_exited(0);
            assert!(server.is_running());
        }
        stop(&sandbox, &file).assert_exited(0);
        server.finish();
    }
}

#[test]
fn plain_user_controls_its_own_servers() {
    let sandbox = Sandbox::plain();
    let file = sandbox.path("pid");
    for options in [words!["-p", &file], words!["-p", &file, "-m", "-", "-"]] {
        let (pid, server) = start(&sandbox, options, words!["wait"]);
        harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
        assert_runs(&status(&sandbox, &file, 0), pid, &file);
        stop(&sandbox, &file).assert_exited(0).assert_silent();
        server.finish();
    }
}

#[test]
fn root_has_power_over_the_servers_of_others_and_is_not_misled_by_them() {
    needs!(harness::root(), harness::tool("setpriv"));
    let (sandbox, roots) = (Sandbox::plain(), Sandbox::new());
    let file = sandbox.path("pid");
    let (pid, manager) = start(&sandbox, words!["-p", &file, "-m", "-", "-"], words!["wait"]);
    harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
    assert_runs(&status(&roots, &file, 0), pid, &file);
    stop(&roots, &file).assert_exited(0);
    manager.finish().assert_exited(0);

    // A user locks its own file, which names a process of another user. Root must not be misled, even without
    // CAP_SYS_PTRACE, when it cannot see which process holds the lock.
    let victim = Sandbox::of_user(12345);
    let victim = victim.program(&roots.probe(), words!["wait"]).start();
    fs::write(&file, format!("{}\n", victim.pid())).unwrap();
    chown(&file, Some(PLAIN), Some(PLAIN)).unwrap();
    let locked = sandbox.out("locked");
    let liar = sandbox.program(&sandbox.probe(), words!["lock", &file, "append", &locked, "x", "wait"]).start();
    harness::await_file(&locked);
    assert_unknown(&roots, &file, "not by the process that it names");
    for order in [words!["--stop", &file], words!["--signal", "KILL", &file]] {
        without_sys_ptrace(&roots, order).finish().assert_failed(4, &["not by the process that it names"]);
    }
    assert!(victim.is_running() && liar.is_running());
}

/// vsrun as root without CAP_SYS_PTRACE, as in most containers: it cannot look into the processes of other users.
fn without_sys_ptrace(sandbox: &Sandbox, order: Vec<OsString>) -> Call<'_> {
    let words = words!["--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace", sandbox.path("vsrun")];
    sandbox.program(&harness::find_tool("setpriv").unwrap(), [words, order].concat())
}

#[test]
fn exclusive_lock_identifies_the_server_without_proc() {
    needs!(harness::root(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let user = words!["-u", PLAIN.to_string(), "-p", &file];
    let life = sandbox.out("life");
    let line = [user.clone(), words!["-m", "-", "-", "--", sandbox.probe(), "life", &life, "wait"]].concat();
    let manager = without_sys_ptrace(&sandbox, line).start();
    let pid = harness::await_life(&life, 1);
    assert_runs(&said(without_sys_ptrace(&sandbox, words!["--status", &file]), 0), pid, &file);
    without_sys_ptrace(&sandbox, words!["--stop", &file]).finish().assert_exited(0).assert_silent();
    manager.finish().assert_exited(0);
    let (_, server) = start(&sandbox, user, words!["wait"]);
    let line = said(without_sys_ptrace(&sandbox, words!["--status", &file]), 4);
    assert!(line.contains("/proc does not show"), "{line}");
    stop(&sandbox, &file).assert_exited(0);
    server.finish();

    let mounts = Mounts::new(&sandbox, &[Mount::Memory(PathBuf::from("/proc"), "")]);
    let monitor = sandbox.path("monitor");
    let (pid, manager) = start(&sandbox, words!["-p", &file, "-m", &monitor, "-"], words!["wait"]);
    harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
    assert_runs(&said(sandbox.vsrun(words!["--status", &file]).within(&mounts), 0), pid, &file);
    let ended = sandbox.vsrun(words!["--stop", &file]).within(&mounts).finish();
    ended.assert_failed(125, &[&pid.to_string(), "its manager still runs"]);
    sandbox.vsrun(words!["--stop", &monitor]).within(&mounts).finish().assert_exited(0).assert_silent();
    manager.finish().assert_exited(0);
    let (pid, server) = start(&sandbox, words!["-p", &file], words!["wait"]);
    assert!(said(sandbox.vsrun(words!["--status", &file]).within(&mounts), 4).contains("/proc does not show"));
    sandbox.vsrun(words!["--stop", &file]).within(&mounts).finish().assert_failed(4, &["/proc does not show"]);
    assert!(!harness::gone(pid) && server.is_running());
}

#[test]
fn pid_of_an_earlier_start_is_never_trusted() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let stranger = sandbox.program(&sandbox.probe(), words!["wait"]).start();
    fs::write(&file, format!("{}\n", stranger.pid())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let held = File::options().read(true).write(true).open(&file).unwrap();
    sys::lock_as_a_starting_vsrun(&held).unwrap();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(PathBuf::from("/proc"), "")]);
    assert!(said(sandbox.vsrun(words!["--status", &file]).within(&mounts), 0).starts_with("restarting: "));
    sandbox.vsrun(words!["--signal", "KILL", &file]).within(&mounts).finish().assert_failed(3, &["contains no pid"]);
    assert!(stranger.is_running());
    // The lock that a start takes first prevents another start, which leaves the file unchanged.
    let line = words!["-p", &file, "--", sandbox.probe(), "exit", "0"];
    sandbox.vsrun(line.clone()).finish().assert_failed(125, &["already running"]);
    assert_eq!(harness::text(&file), format!("{}\n", stranger.pid()));
    drop(held);

    // The order in vsrun: it locks the range beyond the pid, empties the file, and then locks the whole file.
    let trace = sandbox.path("trace");
    let words = words!["-o", &trace, "-e", "trace=fcntl,ftruncate", "-e", "signal=none", sandbox.path("vsrun")];
    needs!(harness::tool("strace"));
    sandbox.program(&harness::find_tool("strace").unwrap(), [words, line].concat()).finish().assert_exited(0);
    let lines = harness::text(&trace);
    let order: Vec<&str> = lines
        .lines()
        .filter_map(|line| {
            let is_lock = line.contains("F_OFD_SETLK") && line.contains("F_WRLCK");
            if line.starts_with("ftruncate") {
                Some("empty")
            } else if is_lock {
                Some(if line.contains("l_start=1048576") { "beyond" } else { "whole" })
            } else {
                None
            }
        })
        .take(3)
        .collect();
    assert_eq!(order, ["beyond", "empty", "whole"], "{lines}");
}

#[test]
fn a_kernel_without_pidfd_is_served_all_the_same() {
    needs!(harness::tool("strace"));
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    let without = |order: Vec<OsString>| {
        let words = words!["-o", "/dev/null", "-e", "inject=pidfd_open:error=ENOSYS", sandbox.path("vsrun")];
        sandbox.program(&harness::find_tool("strace").unwrap(), [words, order].concat())
    };
    for options in [words!["-p", &file], words!["-p", &file, "-m", "-", "-"]] {
        let (pid, server) = start(&sandbox, options, words!["wait"]);
        harness::await_true("the number", || harness::text(&file) == format!("{pid}\n"));
        assert_runs(&said(without(words!["--status", &file]), 0), pid, &file);
        without(words!["--signal", "CONT", &file]).finish().assert_exited(0).assert_silent();
        without(words!["--stop", &file]).finish().assert_exited(0).assert_silent();
        server.finish();
        harness::await_gone(pid);
    }
    let _ = fs::remove_file(sandbox.path("deaf"));
    let (_, server) = start(&sandbox, words!["-p", &file], words!["ignore", "15", "append", "deaf", "x", "wait"]);
    harness::await_file(&sandbox.path("deaf"));
    without(words!["--stop", &file, "--stop-timeout", "50ms"]).finish().assert_exited(0).assert_silent();
    assert_eq!(server.finish().signal(), Some(libc::SIGKILL));
}

#[test]
fn status_does_not_prevent_a_start() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("pid");
    fs::write(&file, "").unwrap();
    let asking: Vec<Running> = (0..8).map(|_| sandbox.vsrun(words!["--status", &file]).start()).collect();
    for _ in 0..20 {
        sandbox.vsrun(words!["-p", &file, "--", sandbox.probe()]).finish().assert_exited(0);
        sandbox.vsrun(words!["--status", &file]).start();
    }
    drop(asking);
}
