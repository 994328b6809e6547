//! Boots a real kernel in QEMU. Its `/init` is a file of vsrun's arguments, which begins with `#!/vsrun --args`.
//!
//! Unless a test adds them, the initramfs has no shell, `/proc`, `/etc` or `/dev/null`, and the environment no `$PATH`.
//! vsrun and its server write to the serial console. Only one machine runs at a time, because each keeps a processor
//! busy for about three seconds.

use crate::harness::qemu::{Emulated, assert_in_order, assert_no_panic, emulation, make_serial_line};
use crate::harness::{self, Sandbox, needs};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The root directory of the machine: vsrun, a server, and an executable `/init` with vsrun's arguments.
struct Initramfs<'place> {
    sandbox: &'place Sandbox,
    directory: PathBuf,
}

impl<'place> Initramfs<'place> {
    fn new(sandbox: &'place Sandbox, arguments: &[&str]) -> Self {
        let directory = sandbox.path("initramfs");
        std::fs::create_dir_all(directory.join("dev")).unwrap();
        harness::sandbox::copy(&harness::sandbox::built("vsrun"), &directory.join("vsrun"));
        harness::sandbox::copy(&harness::sandbox::built("probe"), &directory.join("server"));
        let initramfs = Self { sandbox, directory };
        initramfs.add_executable(
            "init",
            &format!("#!/vsrun --args\n# No blank line and no comment counts.\n\n{}\n", join_lines(arguments)),
        );
        make_serial_line(&initramfs.directory);
        initramfs
    }

    fn add_executable(&self, name: &str, text: &str) {
        harness::sandbox::write_executable(&self.directory.join(name), text.as_bytes());
    }

    /// Makes `/dev/console` a dangling link, so that the kernel cannot open descriptors 0 to 2 of `/init`. Leaving the
    /// file out is not enough: the kernel creates a `/dev/console` of its own.
    fn without_console(&self) {
        symlink("/nowhere", self.directory.join("dev/console")).unwrap();
    }

    #[track_caller]
    fn boot(self) -> Emulated {
        self.boot_with("")
    }

    /// Boots the machine with `words` at the end of the kernel's command line.
    #[track_caller]
    fn boot_with(self, words: &str) -> Emulated {
        // Pack the initramfs with the command that the comment in `examples/machine` recommends.
        let pack =
            machine_example().lines().find_map(|line| line.strip_prefix("#     find . ").map(str::to_owned)).unwrap();
        Emulated::boot(self.sandbox, &self.directory, &format!("find . {pack}"), words)
    }
}

fn machine_example() -> String {
    harness::text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/machine"))
}

fn join_lines(words: &[&str]) -> String {
    words.join("\n")
}

#[test]
fn init_without_console_restarts_its_server_and_powers_off() {
    needs!(emulation());
    let sandbox = Sandbox::new();
    let server = ["", "life", "/out/life", "at", "1", "segv", "at", "2", "exit", "3"];
    let end = ["report", "/out/report", "copy", "/out/report", "/serial", "copy", "/out/life", "/serial", "exit", "0"];
    let initramfs = Initramfs::new(&sandbox, &[]);
    initramfs.add_executable(
        "init",
        &[machine_example().trim_end(), &join_lines(&server), "\n", &join_lines(&end)].concat(),
    );
    harness::sandbox::make_directory(&initramfs.directory.join("out"), 0o777);
    initramfs.without_console();
    let said = initramfs.boot().finish();
    assert_in_order(&said, &["unable to open an initial console", "ppid 1", "uids 80 80 80", "gids 80 80 80"]);
    assert_in_order(&said, &["uids 80 80 80", "reboot: Power down"]);
    let found = |name: &str| said.iter().filter(|line| line.starts_with(name)).cloned().collect::<Vec<_>>();
    let descriptors = found("fd ");
    assert_eq!(descriptors.len(), 3, "0, 1 and 2, although none was open: {descriptors:?}");
    assert!(descriptors.iter().zip(0..).all(|(line, fd)| line.starts_with(&format!("fd {fd} "))), "{descriptors:?}");
    assert_eq!(found("variable PATH"), Vec::<String>::new());
    assert_eq!(found("ignored"), ["ignored"], "no signal");
    assert_eq!(found("blocked"), ["blocked"], "no signal");
    let numbers = |line: &str| line.split(' ').all(|word| word.parse::<u64>().is_ok());
    let lives = said.iter().filter(|line| numbers(line));
    assert_eq!(lives.count(), 3, "{said:#?}");
}

#[test]
fn vsrun_and_server_write_to_the_serial_console() {
    needs!(emulation());
    let sandbox = Sandbox::new();
    let options = ["--at-exit", "reboot", "--restart", "always", "--restart-limit", "2/1min", "--linger", "1s", "--"];
    let server = ["/server", "print", "I live", "complain", "and die", "child", "/children"];
    let said = Initramfs::new(&sandbox, &[&options[..], &server].concat());
    // The kernel passes the words after `--` to `/init`: here the last actions of the server.
    let said = said.boot_with("-- exit 5").finish();
    assert_eq!(said.iter().filter(|line| *line == "I live").count(), 3, "{said:#?}");
    assert_eq!(said.iter().filter(|line| *line == "and die").count(), 3, "{said:#?}");
    // Each of the three runs of the server has left a child that ignores TERM.
    assert_in_order(&said, &["exited with status 5", "sending SIGTERM to every process", "sending SIGKILL to every"]);
    assert_in_order(&said, &["sending SIGKILL to every process", "vsrun: shutdown", "reboot: Restarting system"]);
}

#[test]
fn a_machine_without_a_startable_server_reports_it_and_halts() {
    needs!(emulation());
    let sandbox = Sandbox::new();
    let machine = Initramfs::new(&sandbox, &["--at-exit", "halt", "--init", "--", "/nothing"]).boot();
    machine.await_line("reboot: System halted");
    assert_no_panic(&machine.output());
    assert_in_order(&machine.output(), &["vsrun: cannot execute '/nothing'", "reboot: System halted"]);
}

/// The first stage, in the initramfs: starts a server in the background and replaces the initramfs by the real root.
const SWITCH_ROOT_SCRIPT: &str = "#!/busybox sh
set -e
/busybox mkdir /run /real
/busybox mount -t tmpfs none /run
/vsrun -b -u 100:100 -w /run -p /run/server.pid -m /run/manager.pid - -- \\
    /server life life signals seen 15
while ! test -s /run/seen; do /busybox usleep 10000; done
/busybox mount -t tmpfs none /real
/busybox cp /busybox /vsrun /stage2 /real
/busybox mkdir /real/run /real/proc
/busybox mount --move /run /real/run
exec /busybox switch_root /real /vsrun --at-exit poweroff --init --linger 10min \\
    --syslog second --logger '/busybox cat' -- /stage2
";

/// The second stage, in the real root: inspects and stops the server, whose root is still the initramfs.
const STAGE2: &str = "#!/busybox sh
started() {
    read -r before </run/server.pid
    /vsrun --status /run/server.pid
    /vsrun --status /run/manager.pid
    echo \"status $?\"
    /vsrun -p /run/server.pid -- /busybox echo two of them
    echo \"second start $?\"
}
test -e /server || echo \"the initramfs is gone\"
started
/busybox mount -t proc none /proc
started
echo \"root of the server: $(/busybox ls \"/proc/$before/root\")\"
/vsrun --signal USR1 /run/server.pid
echo \"signal $?\"
while ! /busybox grep -q 10 /run/seen; do /busybox usleep 10000; done
/vsrun --stop /run/manager.pid
echo \"stop $?\"
/vsrun --status /run/server.pid
echo \"status $?\"
/busybox grep -c . /run/life
echo \"left: $(cd /run && echo *)\"
exit 7
";

#[test]
fn a_server_outlives_the_initramfs() {
    needs!(emulation(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let initramfs = Initramfs::new(&sandbox, &["--", "/handover"]);
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &initramfs.directory.join("busybox"));
    initramfs.add_executable("handover", SWITCH_ROOT_SCRIPT);
    initramfs.add_executable("stage2", STAGE2);
    let said = initramfs.boot().finish();
    let running = ["running: pid", "running: pid", "status 0", "already running", "second start 125"];
    assert_in_order(&said, &[&["the initramfs is gone"][..], &running, &running].concat());
    assert_in_order(&said, &["root of the server: ", "signal 0", "stop 0", "status 3", "left: life seen"]);
    assert_in_order(&said, &["left: life seen", "reboot: Power down"]);
    for never in ["two of them", "every process that is left"] {
        // At the end only kernel threads are left, and vsrun must not report them as processes to kill.
        assert!(!said.iter().any(|line| line.contains(never)), "{never}: {said:#?}");
    }
}
