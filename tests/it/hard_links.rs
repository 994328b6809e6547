//! Attacks with hard links to root's files, which an unprivileged user makes as fast as it can where the kernel permits
//! it (`fs.protected_hardlinks=0`, the kernel's default): vsrun neither writes to the linked files nor changes their
//! owner.

use crate::harness::{self, Running, Sandbox, Sysctl, await_life, needs, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

const USER: u32 = 12345;

/// Hard-links the victim under the names of log files, or under every name that can be moved away, and counts the
/// links.
const PLANT: &str = "import os, sys
where, victim, loot, count = *sys.argv[1:4], 0
reported = os.open(sys.argv[4], os.O_WRONLY | os.O_CREAT)
def tries(act, *paths):
    try: act(*paths)
    except OSError: return 0
    return 1
while True:
    for name in os.listdir(where) if loot else ['vsrun.log', 'logfile']:
        path = os.path.join(where, name)
        tries(os.rename, path, loot) if loot else tries(os.unlink, path)
        count += tries(os.link, victim, path)
        tries(os.unlink, path)
    os.pwrite(reported, str(count).encode(), 0)
";

/// The process of the attacker, which runs as the server's user.
struct Attacker<'a> {
    sandbox: &'a Sandbox,
    running: Option<Running>,
}

impl<'a> Attacker<'a> {
    /// Makes the links in `place`. With `loot`, first moves every file found in `place` to that directory.
    #[track_caller]
    fn start(sandbox: &'a Sandbox, place: &Path, victim: &Path, loot: Option<&Path>) -> Self {
        let loot = loot.map_or(OsString::new(), |loot| loot.join("taken").into());
        let line = words!["-c", PLANT, place, victim, loot, sandbox.out("count")];
        let running = sandbox.program(&harness::find_tool("python3").unwrap(), line).start();
        Self { sandbox, running: Some(running) }
    }

    /// The number of links made so far.
    fn count(&self) -> u64 {
        harness::text(&self.sandbox.out("count")).parse().unwrap_or(0)
    }

    /// Kills the attacker. Asserts that it was still running and has made at least one link.
    #[track_caller]
    fn stop(mut self) {
        let running = self.running.take().unwrap();
        assert!(running.is_running(), "the attacker has ended: {:?}", running.err());
        running.signal(libc::SIGKILL);
        running.finish();
        assert!(self.count() > 0, "not one second name was planted");
    }
}

fn can_run_these_tests() -> bool {
    harness::root() && harness::tool("python3")
}

/// Starts a manager, and waits until its server is running.
#[track_caller]
fn manage(sandbox: &Sandbox, options: Vec<OsString>) -> Running {
    let life = sandbox.out("life");
    let line = [options, words!["--restart", "on-failure", "--", sandbox.probe(), "life", &life, "wait"]].concat();
    let manager = sandbox.vsrun(line).start();
    await_life(&life, 1);
    manager
}

/// Writes the victim: a file of root's that the attacker can reach only through a hard link.
fn write_victim_file(path: &Path) {
    fs::write(path, "precious\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The server's user, its group or every user can write to the log directory, and the attacker fills it with hard
/// links.
#[test]
fn hard_link_race_writes_no_record_into_a_file_of_root() {
    needs!(can_run_these_tests());
    let turn = harness::sysctl::turn();
    let Some(_setting) = Sysctl::set(&turn, "fs.protected_hardlinks", "0") else { return };
    for (mode, owner) in [(0o755, USER), (0o775, 0), (0o1777, 0)] {
        for size in [words![], words!["--log-size", "1k"]] {
            let (sandbox, hostile) = (Sandbox::new(), Sandbox::of_user(USER));
            let (logs, victim) = (sandbox.path("logs"), sandbox.path("victim"));
            harness::sandbox::make_directory(&logs, mode);
            chown(&logs, Some(owner), Some(USER)).unwrap();
            fs::set_permissions(&logs, fs::Permissions::from_mode(mode)).unwrap();
            write_victim_file(&victim);
            let options = words!["-u", USER.to_string(), "-d", "logs", "1", "--on-signal", "USR1=reopen"];
            let manager = manage(&sandbox, [options, size].concat());
            let attacker = Attacker::start(&hostile, &logs, &victim, None);
            if mode == 0o1777 {
                // In a sticky directory the attacker cannot remove root's log file, so the test removes it.
                fs::remove_file(logs.join("vsrun.log")).unwrap();
            }
            harness::await_true("the attack", || attacker.count() > 0);
            for round in 0..60 {
                manager.signal(if round % 5 == 4 { libc::SIGHUP } else { libc::SIGUSR1 });
                std::thread::sleep(Duration::from_millis(5));
            }
            attacker.stop();
            manager.stop().assert_exited(0);
            let about = fs::metadata(&victim).unwrap();
            assert_eq!(harness::text(&victim), "precious\n", "mode {mode:o}");
            assert_eq!((about.uid(), about.mode() & 0o7777), (0, 0o600), "mode {mode:o}");
        }
    }
}

/// The attacker replaces the new socket with a hard link to one of root's sockets.
#[test]
fn hard_link_race_changes_no_owner_of_a_socket_of_root() {
    needs!(can_run_these_tests());
    let turn = harness::sysctl::turn();
    let Some(_setting) = Sysctl::set(&turn, "fs.protected_hardlinks", "0") else { return };
    let (sandbox, hostile) = (Sandbox::new(), Sandbox::of_user(USER));
    let (home, loot, victim) = (sandbox.path("home"), sandbox.path("loot"), sandbox.path("victim"));
    for dir in [&home, &loot] {
        harness::sandbox::make_directory(dir, 0o755);
        chown(dir, Some(USER), Some(USER)).unwrap();
    }
    let _precious = UnixListener::bind(&victim).unwrap();
    let before = fs::metadata(&victim).unwrap();
    let attacker = Attacker::start(&hostile, &home, &victim, Some(&loot));
    for _ in 0..100 {
        let line = words!["-u", USER.to_string(), "--listen", home.join("socket"), "--", sandbox.probe(), "exit", "0"];
        let _ = sandbox.vsrun(line).finish();
        let about = fs::metadata(&victim).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode()), (before.uid(), before.gid(), before.mode()));
    }
    attacker.stop();
}

/// The attacker gives a file of root's the name of the pidfile, by a hard link.
#[test]
fn hard_link_race_writes_no_pid_into_a_file_of_root() {
    needs!(can_run_these_tests());
    let turn = harness::sysctl::turn();
    let Some(_setting) = Sysctl::set(&turn, "fs.protected_hardlinks", "0") else { return };
    let (sandbox, hostile) = (Sandbox::new(), Sandbox::of_user(USER));
    let (home, victim) = (sandbox.path("home"), sandbox.path("victim"));
    harness::sandbox::make_directory(&home, 0o755);
    chown(&home, Some(USER), Some(USER)).unwrap();
    write_victim_file(&victim);
    let attacker = Attacker::start(&hostile, &home, &victim, None);
    harness::await_true("the attack", || attacker.count() > 0);
    for name in ["vsrun.log", "logfile"].into_iter().cycle().take(100) {
        let pidfile = home.join(name);
        let line = words!["-u", USER.to_string(), "-p", pidfile, "--", sandbox.probe(), "exit", "0"];
        let _ = sandbox.vsrun(line).finish();
        assert_eq!(harness::text(&victim), "precious\n");
    }
    attacker.stop();
    let about = fs::metadata(&victim).unwrap();
    assert_eq!((about.uid(), about.mode() & 0o7777), (0, 0o600));
}
