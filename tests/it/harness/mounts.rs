//! A mount namespace for one test, with another `/etc/passwd`, without `/dev/null`, or with a full file system, for
//! example.

use super::{Call, Running, Sandbox, sys, words};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::path::{Path, PathBuf};

pub enum Mount {
    /// A new tmpfs: its mount point and its options.
    Memory(PathBuf, &'static str),
    /// A bind mount: the file or directory, and the mount point.
    Bind(PathBuf, PathBuf),
    /// Remounts a mount point with these flags.
    Remount(PathBuf, libc::c_ulong),
}

/// A mount namespace. It exists as long as the process `holder`.
pub struct Mounts {
    holder: Running,
}

impl Mounts {
    #[track_caller]
    pub fn new(sandbox: &Sandbox, mounts: &[Mount]) -> Self {
        let prepared: Vec<Prepared> = mounts.iter().map(Prepared::new).collect();
        let ready = sandbox.path(".mounted");
        let call = sandbox.program(&sandbox.probe(), words!["append", "-", "mounted", "wait"]);
        let call = call.stdout(File::create(&ready).unwrap());
        let call = call.before(sys::unshare_mounts);
        let holder = call.before(move || prepared.iter().try_for_each(Prepared::perform)).start();
        super::await_lines(&ready, 1);
        Self { holder }
    }

    /// A namespace whose `/dev` has only `null`, and a syslog daemon in it that writes to `out/syslog`.
    #[track_caller]
    pub fn with_syslog(sandbox: &Sandbox) -> Self {
        let mounts = Self::new(sandbox, &[Mount::Memory("/dev".into(), "size=64k,mode=755")]);
        sys::make_null(&mounts.path("/dev/null".as_ref())).unwrap();
        mounts.start_syslog(sandbox);
        mounts
    }

    /// Starts the syslog daemon in this namespace. It writes to `out/syslog`.
    #[track_caller]
    pub fn start_syslog(&self, sandbox: &Sandbox) -> Running {
        let daemon = words!["syslogd", "-n", "-O", sandbox.out("syslog")];
        let daemon = sandbox.program(&super::find_tool("busybox").unwrap(), daemon).within(self).start();
        super::await_file(&self.path("/dev/log".as_ref()));
        daemon
    }

    /// The path outside of the namespace, for a path inside.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(path.strip_prefix("/").unwrap())
    }
}

impl Call<'_> {
    /// Runs the program in this mount namespace.
    pub fn within(self, mounts: &Mounts) -> Self {
        let namespace = File::open(format!("/proc/{}/ns/mnt", mounts.holder.pid())).unwrap();
        let directory = sys::c_string(self.current_directory().as_os_str());
        self.before(move || sys::enter_mounts(&namespace)).before(move || sys::change_directory(&directory))
    }
}

struct Prepared {
    from: CString,
    to: CString,
    kind: CString,
    flags: libc::c_ulong,
    data: CString,
}

impl Prepared {
    fn new(mount: &Mount) -> Self {
        let string = |text: &OsStr| sys::c_string(text);
        let (from, to, kind, flags, data) = match mount {
            Mount::Memory(to, options) => (OsStr::new("none"), to, "tmpfs", 0, *options),
            Mount::Bind(from, to) => (from.as_os_str(), to, "", libc::MS_BIND, ""),
            Mount::Remount(to, flags) => (OsStr::new("none"), to, "", libc::MS_REMOUNT | libc::MS_BIND | flags, ""),
        };
        Self {
            from: string(from),
            to: string(to.as_os_str()),
            kind: string(kind.as_ref()),
            flags,
            data: string(data.as_ref()),
        }
    }

    fn perform(&self) -> std::io::Result<()> {
        sys::mount(&self.from, &self.to, &self.kind, self.flags, &self.data)
    }
}
