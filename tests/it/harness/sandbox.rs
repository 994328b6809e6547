//! A directory of the test's own, and the end of everything that was started in it.

use super::call::{Call, start_locked};
use super::{Report, await_file, await_true, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

pub struct Sandbox {
    directory: PathBuf,
    /// The user and group that vsrun is called as, and that `directory` belongs to.
    user: u32,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::of_user(sys::user())
    }

    /// A place where vsrun is called by a user without any privilege.
    pub fn plain() -> Self {
        Self::of_user(if sys::user() == 0 { super::PLAIN } else { sys::user() })
    }

    /// A place where vsrun is called by this user; another than ourselves needs root.
    pub fn of_user(user: u32) -> Self {
        let directory = fs::canonicalize(std::env::temp_dir()).unwrap().join(super::unique_name());
        // Left by a process of the same number in an earlier namespace of the same number.
        let _ = fs::remove_dir_all(&directory);
        let sandbox = Self { directory, user };
        make_directory(&sandbox.directory, 0o755);
        chown_if_root(&sandbox.directory, user);
        make_directory(&sandbox.path("out"), 0o777);
        install(&built("vsrun"), &sandbox.path("vsrun"));
        install(&built("probe"), &sandbox.path("probe"));
        sandbox
    }

    pub fn user(&self) -> u32 {
        self.user
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A path that every user may write to.
    pub fn out(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }

    pub fn probe(&self) -> PathBuf {
        self.path("probe")
    }

    pub fn mark(&self) -> String {
        format!("PLACE={}", self.directory.display())
    }

    /// A call of vsrun, not yet started.
    pub fn vsrun(&self, words: Vec<OsString>) -> Call<'_> {
        Call::new(self, &self.path("vsrun"), words)
    }

    /// A call of anything else.
    pub fn program(&self, program: &Path, words: Vec<OsString>) -> Call<'_> {
        Call::new(self, program, words)
    }

    /// An executable that runs the probe with this script.
    pub fn script(&self, name: &str, words: Vec<OsString>) -> PathBuf {
        let mut text = format!("#!{} run\n", self.probe().display()).into_bytes();
        for word in words {
            text.extend_from_slice(word.as_bytes());
            text.push(b'\n');
        }
        self.executable(name, &text)
    }

    /// An executable file with these bytes.
    pub fn executable(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        write_executable(&path, bytes);
        path
    }

    /// A root directory that holds the probe and a directory `out` that every user may write to.
    pub fn jail(&self) -> PathBuf {
        let jail = self.path("jail");
        make_directory(&jail, 0o755);
        make_directory(&jail.join("out"), 0o777);
        install(&built("probe"), &jail.join("probe"));
        jail
    }

    /// What the probe's `report` wrote, once it has.
    #[track_caller]
    pub fn report(&self, path: &Path) -> Report {
        await_file(path);
        Report::read(path)
    }

    /// What a server reports that was started with these options.
    #[track_caller]
    pub fn report_with(&self, options: Vec<OsString>) -> Report {
        let report = self.out("report");
        self.vsrun([options, words!["--", self.probe(), "report", &report]].concat()).finish().exited(0);
        let found = self.report(&report);
        fs::remove_file(&report).unwrap();
        found
    }

    /// The processes of this test that still live, zombies left out.
    pub fn living(&self) -> Vec<i32> {
        process::marked(&self.mark())
    }

    #[track_caller]
    pub fn await_nothing_left(&self) {
        await_true("the end of every process of this test", || self.living().is_empty() && !process::any_ends());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A parent may start a child while we look: ask until none is left.
        for _ in 0..1000 {
            let living = self.living();
            if living.is_empty() {
                break;
            }
            for pid in living {
                sys::kill(pid, libc::SIGKILL);
            }
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Where cargo has put what it built for this test.
pub fn built(name: &str) -> PathBuf {
    let path = match (name, option_env!("CARGO_BIN_EXE_probe")) {
        ("vsrun", _) => std::env::var_os("VSRUN").map_or(env!("CARGO_BIN_EXE_vsrun").into(), PathBuf::from),
        (_, Some(server)) => PathBuf::from(server),
        (_, None) => panic!("the tests need `--features test-server`: see tools/test"),
    };
    fs::canonicalize(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether vsrun is made for another machine: what is called is a script then, which calls an emulator. That makes
/// other system calls than vsrun, and keeps some of the signals behind 31 for itself.
pub fn emulated() -> bool {
    !fs::read(built("vsrun")).unwrap().starts_with(b"\x7fELF")
}

pub fn make_directory(path: &Path, mode: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A link where that is possible: the file must not be changed afterwards.
pub fn install(from: &Path, to: &Path) {
    // A copy onto a link would write into what all tests execute.
    assert!(!to.exists(), "{} is there already", to.display());
    if fs::hard_link(from, to).is_err() {
        copy(from, to);
    }
}

/// A file of its own, which may be changed.
pub fn copy(from: &Path, to: &Path) {
    write_executable(to, &fs::read(from).unwrap());
}

pub fn write_executable(path: &Path, bytes: &[u8]) {
    // A child that is forked meanwhile would hold the file open to write, and it could not be executed (ETXTBSY).
    start_locked(|| fs::write(path, bytes).unwrap());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn chown_if_root(path: &Path, user: u32) {
    if sys::user() == 0 {
        chown(path, Some(user), Some(user)).unwrap();
    }
}
