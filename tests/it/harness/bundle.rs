//! Containers that runc runs: a bundle (root directory and settings), and the processes in it.
//!
//! `runc spec` or an image gives the settings, and jq filters change them. A container sees the test's directory `out`
//! as `/out` and has its own `/run`. With [`Bundle::new`] everything else is read-only.

use super::{Call, ProcessResult, Running, Sandbox, process, text, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Bundle<'place> {
    sandbox: &'place Sandbox,
    directory: PathBuf,
    id: String,
}

/// A jq filter: an unprivileged user that cannot gain privileges, and a read-only root directory.
const UNPRIVILEGED: &str = ".process.user = {uid: 1000, gid: 1000} | .process.capabilities = {} | .process.rlimits = []
    | .process.noNewPrivileges = true | .root.readonly = true";

const MOUNTS: &str = r#".mounts += [
    {destination: "/out", type: "bind", source: $out, options: ["bind", "rw"]},
    {destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777", "size=64k"]}]"#;

/// The directory in which runc keeps the state of its containers.
fn state(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("runc")
}

impl<'place> Bundle<'place> {
    /// Runs this command line as PID 1 in a root directory that has only vsrun and the probe.
    #[track_caller]
    pub fn new(sandbox: &'place Sandbox, line: Vec<OsString>) -> Self {
        let bundle = Self::empty(sandbox, "bundle");
        let root = bundle.directory.join("rootfs");
        fs::create_dir_all(&root).unwrap();
        for program in ["vsrun", "probe"] {
            super::sandbox::install(&super::sandbox::built(program), &root.join(program));
        }
        sandbox.program(&runc(), words!["spec", "--bundle", &bundle.directory]).finish().assert_exited(0);
        bundle.change(".process.args = $ARGS.positional | .process.terminal = false", line);
        bundle.change(UNPRIVILEGED, words![]);
        bundle.finished()
    }

    /// The bundle that `umoci unpack` makes of an image (`LAYOUT:TAG`). The image names the command and the user.
    #[track_caller]
    pub fn of_image(sandbox: &'place Sandbox, image: &str) -> Self {
        let bundle = Self::empty(sandbox, "unpacked");
        let unpack = words!["unpack", "--image", image, &bundle.directory];
        sandbox.program(&super::find_tool("umoci").unwrap(), unpack).finish().assert_exited(0);
        bundle.change(".process.terminal = false", words![]);
        bundle.finished()
    }

    /// Makes a symbolic link in the root directory.
    pub fn link(&self, name: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.directory.join("rootfs").join(name)).unwrap();
    }

    fn empty(sandbox: &'place Sandbox, kind: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", sandbox.directory().file_name().unwrap().display());
        Self { sandbox, directory: sandbox.path(&format!("{kind}-{number}")), id }
    }

    fn finished(self) -> Self {
        self.change(MOUNTS, words![]);
        // The sandbox kills every process that has its mark in the environment.
        self.change(".process.env += $ARGS.positional", words![self.sandbox.mark()]);
        self
    }

    /// Changes the settings before the container is started. `arguments` are `$ARGS.positional` in the jq filter.
    #[track_caller]
    pub fn change(&self, filter: &str, arguments: Vec<OsString>) {
        let config = self.config();
        let out = self.sandbox.path("out");
        let line = words!["--arg", "out", out, filter, &config, "--args", "--"];
        let changed = self.sandbox.path("config.json");
        let call = self.sandbox.program(&super::find_tool("jq").unwrap(), [line, arguments].concat());
        call.stdout(fs::File::create(&changed).unwrap()).finish().assert_exited(0);
        fs::rename(changed, config).unwrap();
    }

    /// The file of runc's settings.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    pub fn root(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// A call of `runc run`, which exits with the status of the container.
    pub fn run(&self) -> Call<'place> {
        let pidfile = self.directory.join("pid");
        self.runc(words!["run", "--bundle", &self.directory, "--pid-file", pidfile, &self.id])
    }

    #[track_caller]
    pub fn start(&self) -> Running {
        self.run().start()
    }

    /// The pid of the container's PID 1 outside of the container.
    #[track_caller]
    pub fn pid1(&self) -> i32 {
        super::await_some("PID 1", || text(&self.directory.join("pid")).parse().ok())
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) {
        self.runc(words!["kill", &self.id, signal]).finish().assert_exited(0);
    }

    /// A call that runs one more command in the container, as `kubectl exec` and the probes of Kubernetes do.
    pub fn exec(&self, line: Vec<OsString>) -> Call<'place> {
        self.runc([words!["exec", &self.id], line].concat())
    }

    fn runc(&self, line: Vec<OsString>) -> Call<'place> {
        // Go's runtime interrupts its own threads with SIGURG, and runc would pass that on to the container.
        let call = self.sandbox.program(&runc(), [words!["--root", state(self.sandbox)], line].concat());
        call.env("GODEBUG", "asyncpreemptoff=1")
    }

    /// The pids, outside of the container, of its processes except PID 1; with zombies.
    pub fn pids_except_pid1(&self) -> Vec<i32> {
        let namespace = |pid: i32| process::link(pid, "ns/pid");
        let (first, wanted) = (self.pid1(), namespace(self.pid1()));
        // The link of a zombie is empty. But every process in the container is a descendant of its PID 1.
        let mut found = process::children(first);
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            found.extend(process::children(*pid));
            next += 1;
        }
        assert!(found.iter().all(|pid| [String::new(), wanted.clone()].contains(&namespace(*pid))));
        found
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        // Removes the cgroup of a container that a failed test has left. One that has ended leaves nothing.
        let _ = self.runc(words!["delete", "--force", &self.id]).finish();
    }
}

fn runc() -> PathBuf {
    super::find_tool("runc").unwrap()
}

/// True if containers can be run: the tests run as root, and runc and jq are installed.
pub fn can_run_containers() -> bool {
    super::root() && super::tool("runc") && super::tool("jq")
}

/// Runs buildah to its end, with all of its images in the sandbox.
#[track_caller]
pub fn buildah(sandbox: &Sandbox, line: Vec<OsString>) -> ProcessResult {
    let store =
        words!["--root", sandbox.path("store"), "--runroot", sandbox.path("store-run"), "--storage-driver", "vfs"];
    sandbox.program(&super::find_tool("buildah").unwrap(), [store, line].concat()).finish()
}

/// True if the root directory of the process is mounted read-only.
pub fn read_only(pid: i32) -> bool {
    let mounts = text(Path::new(&format!("/proc/{pid}/mountinfo")));
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    root.and_then(|line| line.split(' ').nth(5)).is_some_and(|options| options.split(',').any(|option| option == "ro"))
}
