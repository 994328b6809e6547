//! A machine with systemd as its init: systemd-nspawn boots the host's own `/usr`, read-only, with an `/etc` and a
//! `/var` of the test's own. No package is unpacked and no image is kept. It boots in a quarter of a second.
//!
//! Its `/usr/local` has only vsrun and the probe; `/out` is the test's directory `out`. There is no D-Bus and no login:
//! commands enter the namespaces of PID 1, and `systemctl` talks to systemd over its private socket.

use super::{Call, ProcessResult, Running, Sandbox, process, sys, text, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nweb:x:800:800::/srv/www:/usr/sbin/nologin
redis:x:801:801::/var/lib/redis:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n";

const GROUP: &str = "root:x:0:\nweb:x:800:\nredis:x:801:\nnogroup:x:65534:\n";

/// SIGRTMIN+4, which makes systemd power a machine off. SIGRTMIN is 34 in glibc (32 in the kernel).
const POWER_OFF: i32 = 38;

/// If several machines ran at once, each would be too slow for systemd's own time limits.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Machine<'place> {
    sandbox: &'place Sandbox,
    directory: PathBuf,
    group: PathBuf,
    running: Option<Running>,
    init: i32,
    _turn: MutexGuard<'static, ()>,
}

/// True if machines can be booted here.
pub fn can_boot_machines() -> bool {
    super::root()
        && super::tool("systemd-nspawn")
        && super::tool("nsenter")
        && super::available(Path::new(SYSTEMD).is_file(), "systemd")
        && super::available(control_groups().is_some(), "a cgroup 2 file system that can be written to")
}

/// The mount point of cgroup version 2, alone or beside version 1. `None` if it is not mounted or is read-only.
fn control_groups() -> Option<PathBuf> {
    let mounts = text(Path::new("/proc/self/mountinfo"));
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let path = PathBuf::from(line.split(' ').nth(4)?);
    fs::OpenOptions::new().write(true).open(path.join("cgroup.procs")).is_ok().then_some(path)
}

impl<'place> Machine<'place> {
    /// Boots the machine. Returns when systemd has started everything.
    #[track_caller]
    pub fn boot(sandbox: &'place Sandbox) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = sandbox.path("machine");
        lay_out(sandbox, &directory);
        let name = sandbox.directory().file_name().unwrap().to_owned();
        let group = control_groups().unwrap().join(&name);
        fs::create_dir_all(&group).unwrap();
        let members = group.join("cgroup.procs");
        let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
        let line = words![
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--kill-signal=RTMIN+4",
            format!("--setenv={}", sandbox.mark()),
            format!("--machine={}", name.display()),
            format!("--directory={}", directory.display()),
            "--bind-ro=/usr",
            format!("--bind-ro={}", bind(&sandbox.path("local"), "/usr/local")),
            format!("--bind={}", bind(&sandbox.path("out"), "/out")),
            "--boot",
            "systemd.log_target=journal",
        ];
        let call = sandbox.program(&super::find_tool("systemd-nspawn").unwrap(), line);
        // This hook runs before systemd-nspawn has threads or children, so the whole machine is in the cgroup.
        let call = call.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").before(move || fs::write(&members, "0"));
        let running = call.start();
        let init = super::await_some("systemd", || {
            assert!(running.is_running(), "systemd-nspawn has ended: {:?} {:?}", running.out(), running.err());
            process::children(running.pid()).into_iter().find(|pid| process::link(*pid, "exe") == SYSTEMD)
        });
        let machine = Self { sandbox, directory, group, running: Some(running), init, _turn: turn };
        let state = words!["systemctl", "is-system-running"];
        super::await_true("a machine that is up", || machine.run(state.clone()).out == ["running"]);
        machine
    }

    /// The path outside of the machine, for a path inside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.directory.join(inside.trim_start_matches('/'))
    }

    /// The path outside, for a path on a file system that the machine itself has mounted, such as `/run`.
    pub fn mounted(&self, inside: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.init)).join(inside.trim_start_matches('/'))
    }

    /// Writes a unit file.
    pub fn unit(&self, name: &str, text: &str) {
        fs::write(self.path("/etc/systemd/system").join(name), text).unwrap();
    }

    /// Adds a drop-in with these lines to a unit, and reloads systemd's configuration.
    pub fn change(&self, unit: &str, lines: &str) {
        let directory = self.path("/etc/systemd/system").join(format!("{unit}.d"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("test.conf"), lines).unwrap();
        self.systemctl(&["daemon-reload"]).assert_exited(0);
    }

    /// A call of a program in the namespaces of the machine, as its root user.
    pub fn call(&self, line: Vec<OsString>) -> Call<'place> {
        let target = self.init.to_string();
        let enter = words!["--target", target, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"];
        self.sandbox.program(&super::find_tool("nsenter").unwrap(), [enter, line].concat())
    }

    #[track_caller]
    pub fn run(&self, line: Vec<OsString>) -> ProcessResult {
        self.call(line).finish()
    }

    #[track_caller]
    pub fn systemctl(&self, line: &[&str]) -> ProcessResult {
        self.run([words!["systemctl", "--no-pager"], line.iter().map(OsString::from).collect()].concat())
    }

    /// A property of a unit, as `systemctl show` prints it.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--value", "-p", name, unit]).out.concat()
    }

    #[track_caller]
    pub fn await_property(&self, unit: &str, name: &str, wanted: &str) {
        super::await_true(&format!("{name}={wanted} of {unit}, where {}", self.state(unit)), || {
            self.property(unit, name) == wanted
        });
    }

    /// The journal of a unit: the messages of its processes, and systemd's messages about it.
    #[track_caller]
    pub fn journal(&self, unit: &str) -> Vec<String> {
        self.run(words!["journalctl", "--no-pager", "--quiet", "-o", "cat", "-u", unit]).out
    }

    #[track_caller]
    pub fn await_journal(&self, unit: &str, part: &str) {
        let found = || self.journal(unit).iter().any(|line| line.contains(part));
        super::await_true(&format!("{part:?} in the journal of {unit}, where {:#?} is", self.journal(unit)), found);
    }

    /// The pid that a process of the machine has outside, for its pid inside.
    pub fn outer(&self, inner: &str) -> i32 {
        let is = |pid: &i32| process::status(*pid, "NSpid").split_whitespace().last() == Some(inner);
        let namespace = process::link(self.init, "ns/pid");
        super::await_some(&format!("process {inner} of the machine"), || {
            let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
            pids.filter(|pid| process::link(*pid, "ns/pid") == namespace).find(is)
        })
    }

    /// The main process of a unit, as a pid outside of the machine.
    #[track_caller]
    pub fn main(&self, unit: &str) -> i32 {
        self.outer(&self.property(unit, "MainPID"))
    }

    fn state(&self, unit: &str) -> String {
        self.systemctl(&["show", "-p", "ActiveState,SubState,Result,NRestarts,StatusText", unit]).out.join(" ")
    }

    /// Powers the machine off in the ordinary way: systemd stops every unit.
    #[track_caller]
    pub fn power_off(mut self) {
        sys::kill(self.init, POWER_OFF);
        self.running.take().unwrap().finish().assert_exited(0);
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if self.running.is_some() {
            sys::kill(self.init, libc::SIGKILL);
        }
        let _ = self.running.take().map(|running| {
            super::await_gone(self.init);
            running.finish()
        });
        remove_groups(&self.group);
    }
}

/// Removes a cgroup and those in it. Waits up to two seconds for each, until the kernel has removed its last process.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    for _ in 0..1000 {
        if fs::remove_dir(group).is_ok() || !group.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Writes the files that only this machine has.
fn lay_out(sandbox: &Sandbox, root: &Path) {
    for name in ["etc/systemd/system", "etc/systemd/journald.conf.d", "usr", "var/lib/redis", "srv/www", "out"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(Path::new("usr").join(name), root.join(name)).unwrap();
    }
    let etc = |name: &str, text: &str| fs::write(root.join("etc").join(name), text).unwrap();
    etc("passwd", PASSWD);
    etc("group", GROUP);
    etc("os-release", "ID=test\n");
    etc("machine-id", "0123456789abcdef0123456789abcdef\n");
    etc("systemd/journald.conf.d/test.conf", "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n");
    // Some packages of the host need users that are missing here, and there are no temporary files to clean up.
    for unit in ["dbus.socket", "systemd-tmpfiles-setup.service", "systemd-tmpfiles-clean.timer"] {
        symlink("/dev/null", root.join("etc/systemd/system").join(unit)).unwrap();
    }
    symlink("/usr/lib/systemd/system/basic.target", root.join("etc/systemd/system/default.target")).unwrap();
    std::os::unix::fs::chown(root.join("var/lib/redis"), Some(801), Some(801)).unwrap();
    for (name, directory) in [("vsrun", "sbin"), ("probe", "bin")] {
        fs::create_dir_all(sandbox.path("local").join(directory)).unwrap();
        super::sandbox::install(&super::sandbox::built(name), &sandbox.path("local").join(directory).join(name));
    }
}
