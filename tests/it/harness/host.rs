//! A small simulated host for one test: an empty root directory in memory, with a shell, busybox, vsrun, and the
//! programs that the test asks for.
//!
//! It has its own mount, pid and network namespaces, so that a test may use any path, pidfile and port that a document
//! names.

use super::{Call, ProcessResult, Running, Sandbox, process, text, words};
use std::fs;
use std::path::{Path, PathBuf};

/// Fills the root directory `$1`, and stays as PID 1. Its `wait` reaps orphaned processes.
const SET_UP: &str = r#"set -e
root=$1 busybox=$2 vsrun=$3
shift 3
mount -t tmpfs -o mode=755 none "$root"
cd "$root"
mkdir -p dev etc proc root run srv sys usr/bin usr/lib usr/lib64 usr/local/sbin usr/sbin var/lib var/log
mkdir -m 1777 tmp var/mail
ln -s usr/bin usr/lib usr/lib64 usr/sbin .
mount -t proc none proc
mount -t sysfs none sys
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
cp "$busybox" usr/bin/busybox
cp "$vsrun" usr/local/sbin/vsrun
chroot . /usr/bin/busybox --install -s /usr/bin 2>/dev/null || :
printf '%s\n' root:x:0:0::/root:/bin/sh www-data:x:33:33::/var/www:/usr/sbin/nologin >etc/passwd
printf '%s\n' root:x:0: www-data:x:33: >etc/group
"$busybox" ip link set lo up
for install in "$@"; do
    case $install in
    redis-server)
        # As Debian's package does.
        printf '%s\n' redis:x:102:105::/var/lib/redis:/usr/sbin/nologin >>etc/passwd
        printf '%s\n' redis:x:105: >>etc/group
        mkdir -m 750 var/lib/redis var/log/redis
        chown 102:105 var/lib/redis var/log/redis
        cp /usr/bin/redis-server usr/bin
        libraries=yes
        ;;
    gunicorn)
        cp /usr/bin/gunicorn /usr/bin/python3 usr/bin
        libraries=yes
        ;;
    mail) # The notify_receiver is a file.
        printf '%s\n' '#!/bin/sh' '{ echo "$@"; cat; } >>/var/mail/root' >usr/bin/mail
        chmod 755 usr/bin/mail
        ;;
    syslog) chroot . /usr/bin/syslogd -O /var/log/messages ;;
    esac
done
if [ "${libraries-}" ]; then
    mount --rbind /usr/lib usr/lib
    mount --rbind /usr/lib64 usr/lib64
fi
exec chroot . /bin/sh -c 'echo up; while :; do sleep 1000 & wait; done'
"#;

pub struct Host<'place> {
    sandbox: &'place Sandbox,
    _holder: Running,
    init: i32,
}

/// True if the programs and privileges to make such a host are available.
pub fn can_make_hosts() -> bool {
    super::root() && ["busybox", "unshare", "nsenter"].iter().all(|name| super::tool(name))
}

impl<'place> Host<'place> {
    /// `installed` are words of the `case` in [`SET_UP`].
    #[track_caller]
    pub fn new(sandbox: &'place Sandbox, installed: &[&str]) -> Self {
        let root = sandbox.path("root");
        fs::create_dir(&root).unwrap();
        let mut line = words!["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--", "sh", "-c", SET_UP];
        line.extend(words!["sh", root, super::find_tool("busybox").unwrap(), sandbox.path("vsrun")]);
        line.extend(installed.iter().map(std::ffi::OsString::from));
        let holder = sandbox.program(&super::find_tool("unshare").unwrap(), line).start();
        super::await_true("a host that is up", || {
            assert!(holder.is_running(), "{:?}", holder.err());
            holder.out() == ["up"]
        });
        let init = process::children(holder.pid())[0];
        Self { sandbox, _holder: holder, init }
    }

    /// A call of root's shell in the host with these commands.
    pub fn call(&self, commands: &str) -> Call<'place> {
        let enter = words!["-t", self.init.to_string(), "-m", "-n", "-i", "-p", "-r", "-w", "--", "/bin/sh", "-ec"];
        let line = [enter, words![commands]].concat();
        self.sandbox.program(&super::find_tool("nsenter").unwrap(), line)
    }

    #[track_caller]
    pub fn run(&self, commands: &str) -> ProcessResult {
        self.call(commands).finish()
    }

    /// The path outside of the host, for a path inside.
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.init)).join(inside.trim_start_matches('/'))
    }

    pub fn text(&self, inside: &str) -> String {
        text(&self.path(inside))
    }

    /// Writes the file whose path `content` names in a line that begins with `# /`, and returns the path.
    #[track_caller]
    pub fn save(&self, content: &str) -> String {
        let path = content.lines().find_map(|line| line.strip_prefix("# /")).expect("a comment with the path");
        let path = format!("/{}", path.split([':', ' ']).next().unwrap());
        self.write(&path, content);
        path
    }

    #[track_caller]
    pub fn write(&self, inside: &str, content: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
    }

    /// The pid that a pidfile names, once `vsrun --status` reports it as running. It is the pid inside of the host.
    #[track_caller]
    pub fn pid(&self, pidfile: &str) -> String {
        let running = format!("vsrun --status {pidfile}");
        super::await_some(&running, || {
            // Between two runs of the server the pidfile is empty or out of date.
            let status = self.run(&running).out.concat();
            Some(self.text(pidfile).trim().to_owned()).filter(|pid| status.contains(&format!("running: pid {pid} ")))
        })
    }

    /// Waits until the web server serves this page. `address` is the part of the URL after 127.0.0.1, such as `:8080/`.
    #[track_caller]
    pub fn await_page(&self, address: &str, page: &str) {
        let get = format!("wget -q -O - http://127.0.0.1{address}");
        super::await_true(&get, || self.run(&get).out == [page]);
    }

    /// The value of one line of `/proc/PID/status` in the host; empty if there is none.
    pub fn status(&self, pid: &str, name: &str) -> String {
        let text = self.text(&format!("/proc/{pid}/status"));
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }

    /// Asserts that no process of a service and no file in `/run` is left.
    #[track_caller]
    pub fn assert_nothing_runs(&self) {
        self.assert_nothing_runs_but(&[]);
    }

    /// Asserts that no process of a service is left, and that `/run` has only these files.
    #[track_caller]
    pub fn assert_nothing_runs_but(&self, files: &[&str]) {
        // A manager that has reported a failed start may not have exited yet.
        super::await_true(&format!("the end of all, and in /run only {files:?}"), || {
            self.run("ps -o comm | grep -E 'vsrun|busybox|redis|gunicorn|python' || :; ls /run").out == files
        });
    }
}
