//! Containers of runc's: a bundle with a root directory, and what runs in it.
//!
//! The settings are those of `runc spec`, changed by a filter of jq's. A container sees the test's `out` under `/out`
//! and has a `/run` of its own; all else is read-only.

use super::{Call, Ended, Running, Sandbox, process, text, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Bundle<'place> {
    sandbox: &'place Sandbox,
    directory: PathBuf,
    id: String,
}

/// A plain user without any right, who can get none, and a root to which nothing is written.
const POOR: &str = ".process.user = {uid: 1000, gid: 1000} | .process.capabilities = {} | .process.rlimits = []
    | .process.noNewPrivileges = true | .root.readonly = true";

const MOUNTS: &str = r#".mounts += [
    {destination: "/out", type: "bind", source: $out, options: ["bind", "rw"]},
    {destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777", "size=64k"]}]"#;

/// Where runc keeps what it knows of its containers.
fn state(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("runc")
}

impl<'place> Bundle<'place> {
    /// Runs these words as PID 1 in a root directory that has vsrun and the probe, and nothing else.
    #[track_caller]
    pub fn new(sandbox: &'place Sandbox, line: Vec<OsString>) -> Self {
        let bundle = Self::empty(sandbox, "bundle");
        let root = bundle.directory.join("rootfs");
        fs::create_dir_all(&root).unwrap();
        for program in ["vsrun", "probe"] {
            super::sandbox::install(&super::sandbox::built(program), &root.join(program));
        }
        sandbox.program(&runc(), words!["spec", "--bundle", &bundle.directory]).finish().exited(0);
        bundle.change(".process.args = $ARGS.positional | .process.terminal = false", line);
        bundle.change(POOR, words![]);
        bundle.finished()
    }

    /// What `umoci unpack` makes of an image (`LAYOUT:TAG`): it says itself what is run, and as whom.
    #[track_caller]
    pub fn of_image(sandbox: &'place Sandbox, image: &str) -> Self {
        let bundle = Self::empty(sandbox, "unpacked");
        let unpack = words!["unpack", "--image", image, &bundle.directory];
        sandbox.program(&super::find_tool("umoci").unwrap(), unpack).finish().exited(0);
        bundle.change(".process.terminal = false", words![]);
        bundle.finished()
    }

    /// A link of that name in the root directory.
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
        // The place ends every process that bears its mark.
        self.change(".process.env += $ARGS.positional", words![self.sandbox.mark()]);
        self
    }

    /// Changes the settings, before the start: the words are `$ARGS.positional`.
    #[track_caller]
    pub fn change(&self, filter: &str, arguments: Vec<OsString>) {
        let config = self.config();
        let out = self.sandbox.path("out");
        let line = words!["--arg", "out", out, filter, &config, "--args", "--"];
        let changed = self.sandbox.path("config.json");
        let call = self.sandbox.program(&super::find_tool("jq").unwrap(), [line, arguments].concat());
        call.stdout(fs::File::create(&changed).unwrap()).finish().exited(0);
        fs::rename(changed, config).unwrap();
    }

    /// The file with the settings.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    pub fn root(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// The call that runs the container and ends as it does.
    pub fn run(&self) -> Call<'place> {
        let pidfile = self.directory.join("pid");
        self.runc(words!["run", "--bundle", &self.directory, "--pid-file", pidfile, &self.id])
    }

    #[track_caller]
    pub fn start(&self) -> Running {
        self.run().start()
    }

    /// PID 1 of the started container, as we see it.
    #[track_caller]
    pub fn first(&self) -> i32 {
        super::await_some("PID 1", || text(&self.directory.join("pid")).parse().ok())
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) {
        self.runc(words!["kill", &self.id, signal]).finish().exited(0);
    }

    /// One more command in the container, as `kubectl exec` and its probes do it.
    pub fn exec(&self, line: Vec<OsString>) -> Call<'place> {
        self.runc([words!["exec", &self.id], line].concat())
    }

    fn runc(&self, line: Vec<OsString>) -> Call<'place> {
        // Go's runtime interrupts its own threads with SIGURG, and runc would pass that on to the container.
        let call = self.sandbox.program(&runc(), [words!["--root", state(self.sandbox)], line].concat());
        call.env("GODEBUG", "asyncpreemptoff=1")
    }

    /// The processes in the container, zombies too, but for PID 1.
    pub fn others(&self) -> Vec<i32> {
        let namespace = |pid: i32| process::link(pid, "ns/pid");
        let (first, wanted) = (self.first(), namespace(self.first()));
        // A zombie has no link any more, but its parent is in there: everybody's is, or it is PID 1.
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
        // Nothing is left of one that has ended; of one that a failed test left, its cgroup would be.
        let _ = self.runc(words!["delete", "--force", &self.id]).finish();
    }
}

fn runc() -> PathBuf {
    super::find_tool("runc").unwrap()
}

/// Whether containers can be run here: as root, with runc and what writes its settings.
pub fn containers() -> bool {
    super::root() && super::tool("runc") && super::tool("jq")
}

/// Ends a call of buildah, whose images all lie in the place; it asks no registry.
#[track_caller]
pub fn buildah(sandbox: &Sandbox, line: Vec<OsString>) -> Ended {
    let store =
        words!["--root", sandbox.path("store"), "--runroot", sandbox.path("store-run"), "--storage-driver", "vfs"];
    sandbox.program(&super::find_tool("buildah").unwrap(), [store, line].concat()).finish()
}

/// Whether the root directory of that process cannot be written to.
pub fn read_only(pid: i32) -> bool {
    let mounts = text(Path::new(&format!("/proc/{pid}/mountinfo")));
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    root.and_then(|line| line.split(' ').nth(5)).is_some_and(|options| options.split(',').any(|option| option == "ro"))
}
