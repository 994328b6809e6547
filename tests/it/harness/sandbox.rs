//! A temporary directory for one test. When the test ends, every process that it has started is killed and the
//! directory removed.

use super::call::{Call, start_locked};
use super::{Report, await_file, await_true, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

pub struct Sandbox {
    directory: PathBuf,
    /// The user ID and group ID that vsrun is called with and that own `directory`.
    user: u32,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::of_user(sys::user())
    }

    /// Creates a sandbox in which an unprivileged user calls vsrun.
    pub fn plain() -> Self {
        Self::of_user(if sys::user() == 0 { super::PLAIN } else { sys::user() })
    }

    /// Creates a sandbox in which `user` calls vsrun. Only root can name a user other than itself.
    pub fn of_user(user: u32) -> Self {
        let directory = fs::canonicalize(std::env::temp_dir()).unwrap().join(super::unique_name());
        // An earlier test run may have left a directory of this name: the kernel reuses PIDs and namespace numbers.
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

    /// Returns a path in `out`, a directory that every user may write to.
    pub fn out(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }

    pub fn probe(&self) -> PathBuf {
        self.path("probe")
    }

    pub fn mark(&self) -> String {
        format!("PLACE={}", self.directory.display())
    }

    /// Prepares a call of vsrun with the arguments `words`, and does not start it.
    pub fn vsrun(&self, words: Vec<OsString>) -> Call<'_> {
        Call::new(self, &self.path("vsrun"), words)
    }

    /// Prepares a call of any other program, and does not start it.
    pub fn program(&self, program: &Path, words: Vec<OsString>) -> Call<'_> {
        Call::new(self, program, words)
    }

    /// Writes an executable file that runs the probe with the actions in `words`, and returns its path.
    pub fn script(&self, name: &str, words: Vec<OsString>) -> PathBuf {
        let mut text = format!("#!{} run\n", self.probe().display()).into_bytes();
        for word in words {
            text.extend_from_slice(word.as_bytes());
            text.push(b'\n');
        }
        self.executable(name, &text)
    }

    /// Writes an executable file with this content, and returns its path.
    pub fn executable(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        write_executable(&path, bytes);
        path
    }

    /// Creates a root directory for a server, with the probe and a directory `out` that every user may write to.
    pub fn jail(&self) -> PathBuf {
        let jail = self.path("jail");
        make_directory(&jail, 0o755);
        make_directory(&jail.join("out"), 0o777);
        install(&built("probe"), &jail.join("probe"));
        jail
    }

    /// Waits until the probe's action `report` has written the file `path`, and returns the report.
    #[track_caller]
    pub fn report(&self, path: &Path) -> Report {
        await_file(path);
        Report::read(path)
    }

    /// Starts the probe as a server with these options, and returns the probe's report.
    #[track_caller]
    pub fn report_with(&self, options: Vec<OsString>) -> Report {
        let report = self.out("report");
        self.vsrun([options, words!["--", self.probe(), "report", &report]].concat()).finish().assert_exited(0);
        let found = self.report(&report);
        fs::remove_file(&report).unwrap();
        found
    }

    /// Returns the PIDs of this test's processes, without zombies.
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
        // A process may start a child while we look for processes, so repeat until none is left.
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

/// Returns the path of a program that the tests use: `vsrun` (the file that the variable VSRUN names, if set) or
/// `probe`.
pub fn built(name: &str) -> PathBuf {
    let path = match (name, option_env!("CARGO_BIN_EXE_probe")) {
        ("vsrun", _) => std::env::var_os("VSRUN").map_or(env!("CARGO_BIN_EXE_vsrun").into(), PathBuf::from),
        (_, Some(server)) => PathBuf::from(server),
        (_, None) => panic!("the tests need `--features test-server`: see tools/test"),
    };
    fs::canonicalize(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// True if vsrun is built for another architecture: the file `vsrun` is then a script that starts it in an emulator.
/// The emulator makes other system calls than vsrun, and reserves some signals above 31 for itself.
pub fn emulated() -> bool {
    !fs::read(built("vsrun")).unwrap().starts_with(b"\x7fELF")
}

pub fn make_directory(path: &Path, mode: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes `to` a hard link to `from`, or a copy where links are impossible. The test must not change the file
/// afterwards.
pub fn install(from: &Path, to: &Path) {
    // If `to` were already a hard link, copying would overwrite the program that all tests execute.
    assert!(!to.exists(), "{} is there already", to.display());
    if fs::hard_link(from, to).is_err() {
        copy(from, to);
    }
}

/// Makes `to` a copy of `from`, which the test may change.
pub fn copy(from: &Path, to: &Path) {
    write_executable(to, &fs::read(from).unwrap());
}

pub fn write_executable(path: &Path, bytes: &[u8]) {
    // A child that another thread forks during the write would hold the file open for writing, and executing the file
    // would fail with ETXTBSY.
    start_locked(|| fs::write(path, bytes).unwrap());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn chown_if_root(path: &Path, user: u32) {
    if sys::user() == 0 {
        chown(path, Some(user), Some(user)).unwrap();
    }
}
