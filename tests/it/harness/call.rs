//! Starts programs, and collects their output and exit status.

use super::{Sandbox, await_some, await_true, lines, process, sys};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The `PATH` of a called program. Its only other variable is the mark of the sandbox, unless the test adds more.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Hook = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

pub struct Call<'place> {
    sandbox: &'place Sandbox,
    command: Command,
    hooks: Vec<Hook>,
    out: PathBuf,
    err: PathBuf,
}

impl<'place> Call<'place> {
    pub fn new(sandbox: &'place Sandbox, program: &Path, words: Vec<OsString>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (sandbox.path(&format!(".out-{number}")), sandbox.path(&format!(".err-{number}")));
        let mut command = Command::new(program);
        let (name, value) =
            sandbox.mark().split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        command.args(words).env_clear().env("PATH", PATH).env(name, value).current_dir(sandbox.directory());
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Self { sandbox, command, hooks: Vec::new(), out, err }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn directory(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    pub fn current_directory(&self) -> &Path {
        self.command.get_current_dir().unwrap_or(self.sandbox.directory())
    }

    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    /// Runs a hook in the new process before the exec, with the privileges of the test (as root, if it has them).
    pub fn before(mut self, hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    pub fn closed(self, descriptors: &[i32]) -> Self {
        let descriptors = descriptors.to_vec();
        self.before(move || {
            descriptors.iter().for_each(|fd| sys::close(*fd));
            Ok(())
        })
    }

    #[track_caller]
    pub fn start(mut self) -> Running {
        for hook in self.hooks {
            sys::before_exec(&mut self.command, hook);
        }
        let user = self.sandbox.user();
        if user != sys::user() {
            sys::before_exec(&mut self.command, move || sys::become_plain(user));
        }
        let child = start_locked(|| self.command.spawn()).unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        Running { child, out: self.out, err: self.err }
    }

    #[track_caller]
    pub fn finish(self) -> ProcessResult {
        self.start().finish()
    }
}

/// Runs `start` while no other thread forks a process, for the reason in `write_executable`.
pub fn start_locked<T>(start: impl FnOnce() -> T) -> T {
    static STARTING: Mutex<()> = Mutex::new(());
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    start()
}

pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn signal(&self, signal: i32) {
        sys::kill(self.pid(), signal);
    }

    pub fn out(&self) -> Vec<String> {
        lines(&self.out)
    }

    pub fn err(&self) -> Vec<String> {
        lines(&self.err)
    }

    /// True if the process exists and is no zombie.
    pub fn is_running(&self) -> bool {
        !process::gone(self.pid())
    }

    #[track_caller]
    pub fn await_err(&self, part: &str) {
        await_true(&format!("{part:?} on stderr, where {:?} is", self.err()), || {
            self.err().iter().any(|line| line.contains(part))
        });
    }

    #[track_caller]
    pub fn finish(mut self) -> ProcessResult {
        let (out, err) = (self.out.clone(), self.err.clone());
        let what = format!("the end of pid {} (stdout {}, stderr {})", self.pid(), out.display(), err.display());
        let status = await_some(&what, || self.child.try_wait().unwrap());
        ProcessResult { status, out: lines(&out), err: lines(&err) }
    }

    /// Sends SIGTERM, waits for the exit, and returns how the process ended.
    #[track_caller]
    pub fn stop(self) -> ProcessResult {
        self.signal(libc::SIGTERM);
        self.finish()
    }
}

#[derive(Debug)]
pub struct ProcessResult {
    status: ExitStatus,
    pub out: Vec<String>,
    pub err: Vec<String>,
}

impl ProcessResult {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub fn dumped_core(&self) -> bool {
        self.status.core_dumped()
    }

    #[track_caller]
    pub fn assert_exited(&self, status: i32) -> &Self {
        assert_eq!(self.status.code(), Some(status), "{self:?}");
        self
    }

    /// The lines of vsrun on stderr, except the records of a manager's start and shutdown.
    pub fn complaints(&self) -> Vec<&String> {
        let record = |line: &str| ["vsrun: starting", "vsrun: shutdown"].iter().any(|begin| line.starts_with(begin));
        self.err.iter().filter(|line| !record(line)).collect()
    }

    /// Asserts this exit status and exactly one message on stderr, which contains all `parts`.
    #[track_caller]
    pub fn assert_failed(&self, status: i32, parts: &[&str]) -> &Self {
        self.assert_exited(status);
        let complaints = self.complaints();
        assert_eq!(complaints.len(), 1, "one complaint on stderr: {self:?}");
        assert!(complaints[0].starts_with("vsrun: "), "the program is named: {self:?}");
        for part in parts {
            assert!(complaints[0].contains(part), "{part:?} is named: {self:?}");
        }
        self
    }

    /// Asserts that the program has printed nothing.
    #[track_caller]
    pub fn assert_silent(&self) -> &Self {
        assert!(self.out.is_empty() && self.err.is_empty(), "{self:?}");
        self
    }
}

/// Device and inode of a file as `DEVICE:INODE`, as in the probe's reports.
pub fn identity(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    format!("{}:{}", found.dev(), found.ino())
}
