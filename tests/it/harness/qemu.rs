//! An emulated machine: QEMU boots a real kernel with an initramfs of the test's own.

use super::call::start_locked;
use super::{Running, Sandbox, sys, words};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const QEMU: &str = "qemu-system-x86_64";

/// The time limit of an emulated machine; it needs three seconds on an idle host, and over a minute at a load of 30.
const BOOT: Duration = Duration::from_secs(180);

/// A wrapper of QEMU that adds two kernel parameters: `no_timer_check`, because the emulated timer can be too late on a
/// busy host, and `panic=-1`, which ends the machine after a panic.
const BUSY_HOST: &str = "#!/bin/sh
PATH=${PATH#*:}
for word; do
    shift
    [ \"$before\" = -append ] && word=\"$word panic=-1 no_timer_check\"
    set -- \"$@\" \"$word\"
    before=$word
done
exec qemu-system-x86_64 \"$@\"
";

/// An emulated machine uses a processor completely: two at once slow each other, and the other tests, down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An emulated machine that runs, and its output on the serial line.
pub struct Emulated {
    running: Running,
    /// The socket of QEMU's monitor, which takes commands.
    monitor: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// A shell command that packs the current directory as `../initramfs.gz`, for [`Emulated::boot`].
pub const PACK: &str = "find . | cpio -o -H newc 2>/dev/null | gzip >../initramfs.gz";

/// Waits until no other test of this process emulates a machine. None starts before the guard is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if machines can be emulated here, and the kernel for them exists or can be downloaded.
pub fn emulation() -> bool {
    super::available(cfg!(target_arch = "x86_64"), "an x86_64")
        && super::root()
        && super::tool("cpio")
        && super::tool(QEMU)
        && super::available(kernel().is_some(), "a kernel (tools/kernel)")
}

pub fn kernel() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/kernel");
    let mut command = std::process::Command::new(script);
    let child = start_locked(|| command.stdout(Stdio::piped()).spawn()).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then(|| PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
}

/// Makes `serial` in the directory, a device node of the first serial line. It works in an initramfs without a console.
pub fn make_serial_line(directory: &Path) {
    let serial = directory.join("serial");
    sys::make_character_device(&serial, 4, 64).unwrap();
    fs::set_permissions(serial, Permissions::from_mode(0o666)).unwrap();
}

impl Emulated {
    /// Packs the directory with this shell command, whose output is `initramfs.gz` in the sandbox, and boots it.
    ///
    /// `words` are appended to the kernel's command line.
    #[track_caller]
    pub fn boot(sandbox: &Sandbox, directory: &Path, pack: &str, words: &str) -> Self {
        let turn = turn();
        let shell = super::find_tool("sh").unwrap();
        sandbox.program(&shell, words!["-c", pack]).directory(directory).finish().assert_exited(0);
        Self::start(sandbox, turn, &sandbox.path("initramfs.gz"), words, words![])
    }

    /// Packs and boots the directory; `devices` are words of QEMU's command line.
    #[track_caller]
    pub fn boot_with_devices(sandbox: &Sandbox, directory: &Path, devices: Vec<OsString>) -> Self {
        let turn = turn();
        let shell = super::find_tool("sh").unwrap();
        sandbox.program(&shell, words!["-c", PACK]).directory(directory).finish().assert_exited(0);
        Self::start(sandbox, turn, &sandbox.path("initramfs.gz"), "", devices)
    }

    /// Boots this initramfs; `words` are appended to the kernel's command line, `devices` to QEMU's.
    #[track_caller]
    pub fn boot_archive(sandbox: &Sandbox, archive: &Path, words: &str, devices: Vec<OsString>) -> Self {
        Self::start(sandbox, turn(), archive, words, devices)
    }

    #[track_caller]
    fn start(
        sandbox: &Sandbox,
        turn: MutexGuard<'static, ()>,
        archive: &Path,
        words: &str,
        devices: Vec<OsString>,
    ) -> Self {
        let monitor = sandbox.path("monitor");
        let mut line = words!["-M", "pc", "-accel", "tcg", "-cpu", "qemu64", "-m", "256", "-nodefaults", "-no-reboot"];
        line.extend(words!["-display", "none", "-serial", "stdio", "-kernel", kernel().unwrap(), "-initrd", archive]);
        // A kernel panic reboots at once, and a reboot ends QEMU, so that a failed test need not wait. On a busy host
        // the emulated timer can be too late for the kernel's test of the timer, which then panics.
        line.extend(words!["-append", format!("console=ttyS0 quiet panic=-1 no_timer_check {words}")]);
        line.extend(words!["-monitor", format!("unix:{},server,nowait", monitor.display())]);
        line.extend(devices);
        let running = sandbox.program(&super::find_tool(QEMU).unwrap(), line).start();
        Self { running, monitor, _turn: turn }
    }

    /// Presses these keys together on the machine's keyboard, as QEMU names them.
    pub fn press(&self, keys: &str) {
        let mut monitor = UnixStream::connect(&self.monitor).unwrap();
        writeln!(monitor, "sendkey {keys}").unwrap();
        // QEMU prints its second prompt when it has carried out the command.
        let (mut answer, mut block) = (Vec::new(), [0; 512]);
        while String::from_utf8_lossy(&answer).matches("(qemu)").count() < 2 {
            let count = monitor.read(&mut block).unwrap();
            assert!(count > 0, "QEMU's monitor has ended: {:?}", String::from_utf8_lossy(&answer));
            answer.extend(&block[..count]);
        }
    }

    /// Runs a document's commands, which pack and boot an initramfs, in the sandbox. The kernel is `vmlinuz` there.
    #[track_caller]
    pub fn boot_as_typed(sandbox: &Sandbox, commands: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        std::os::unix::fs::symlink(kernel().unwrap(), sandbox.path("vmlinuz")).unwrap();
        let tools = sandbox.path("tools");
        fs::create_dir(&tools).unwrap();
        super::sandbox::write_executable(&tools.join(QEMU), BUSY_HOST.as_bytes());
        let path = format!("{}:{}", tools.display(), super::call::PATH);
        let shell = super::find_tool("sh").unwrap();
        let running = sandbox.program(&shell, words!["-ec", commands]).env("PATH", path).start();
        Self { running, monitor: sandbox.path("monitor"), _turn: turn }
    }

    /// The lines of the serial line so far.
    pub fn output(&self) -> Vec<String> {
        self.running.out().iter().map(|line| line.trim_end().to_owned()).collect()
    }

    #[track_caller]
    pub fn await_line(&self, part: &str) {
        super::await_within(BOOT, part, || self.output().iter().any(|line| line.contains(part)).then_some(()));
    }

    /// Waits until the machine has switched itself off; returns its output.
    #[track_caller]
    pub fn finish(self) -> Vec<String> {
        self.finish_within(BOOT)
    }

    /// Waits at most `patience` until the machine has switched itself off; returns its output.
    #[track_caller]
    pub fn finish_within(self, patience: Duration) -> Vec<String> {
        super::await_within(patience, "the end of the machine", || (!self.running.is_running()).then_some(()));
        let lines = self.output();
        assert_no_panic(&lines);
        lines
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the output of the machine: {:#?}", self.output());
        }
    }
}

/// Asserts that the kernel has not panicked, as it does if PID 1 ends.
#[track_caller]
pub fn assert_no_panic(lines: &[String]) {
    let panics = |line: &String| line.contains("Attempted to kill init") || line.contains("panic");
    assert!(!lines.iter().any(panics), "{lines:#?}");
}

/// Asserts that each part is in a line of its own, in this order, and that the kernel has not panicked.
#[track_caller]
pub fn assert_in_order(lines: &[String], parts: &[&str]) {
    assert_no_panic(lines);
    let mut rest = lines.iter();
    for part in parts {
        assert!(rest.any(|line| line.contains(part)), "{part:?} after the parts before it, in {lines:#?}");
    }
}
