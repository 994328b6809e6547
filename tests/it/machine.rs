//! vsrun as PID 1 of a machine: the file systems that it mounts, Ctrl-Alt-Del, and the signals that end the machine.
//! Where a PID namespace is not enough, QEMU emulates a machine.

use crate::harness::qemu::{Emulated, PACK, assert_in_order, emulation, make_serial_line};
use crate::harness::{self, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;

pub fn can_boot() -> bool {
    emulation() && harness::tool("busybox")
}

/// Boots an initramfs with vsrun, the probe, busybox and a shell script `/server`. Its `/init` calls vsrun with these
/// arguments.
#[track_caller]
pub fn boot(sandbox: &Sandbox, arguments: &[&str], server: &str) -> Emulated {
    let directory = sandbox.path("initramfs");
    fs::create_dir_all(&directory).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &directory.join("vsrun"));
    harness::sandbox::copy(&harness::sandbox::built("probe"), &directory.join("probe"));
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &directory.join("busybox"));
    let init = format!("#!/vsrun --args\n{}\n--\n/server\n", arguments.join("\n"));
    harness::sandbox::write_executable(&directory.join("init"), init.as_bytes());
    let server = format!("#!/busybox sh\nPATH=/bin\n/busybox mkdir /bin\n/busybox --install -s /bin\n{server}\n");
    harness::sandbox::write_executable(&directory.join("server"), server.as_bytes());
    make_serial_line(&directory);
    Emulated::boot(sandbox, &directory, PACK, "")
}

#[test]
fn the_file_systems_are_mounted_with_the_usual_options_once() {
    needs!(can_boot());
    let sandbox = Sandbox::new();
    let arguments = ["--at-exit", "poweroff", "--mount", "cgroup,tmp,run,dev,sys,proc", "--init"];
    let server = "cat /proc/mounts; ls -ld /tmp /run /dev/shm; echo fd $(readlink /dev/fd); echo err >/dev/stderr
        cat /sys/fs/cgroup/cgroup.subtree_control; ls /dev/ptmx /dev/null; exit 0";
    let said = boot(&sandbox, &arguments, server).finish();
    let mount = |target: &str| {
        let lines: Vec<_> = said.iter().filter(|line| line.split(' ').nth(1) == Some(target)).collect();
        assert_eq!(lines.len(), 1, "{target}: {said:#?}");
        lines[0].split(' ').skip(2).take(2).collect::<Vec<_>>().join(" ")
    };
    for (target, begin) in [
        ("/proc", "proc rw,nosuid,nodev,noexec"),
        ("/sys", "sysfs rw,nosuid,nodev,noexec"),
        ("/dev", "devtmpfs rw,nosuid"),
        ("/dev/pts", "devpts rw,nosuid,noexec"),
        ("/dev/shm", "tmpfs rw,nosuid,nodev"),
        ("/run", "tmpfs rw,nosuid,nodev"),
        ("/tmp", "tmpfs rw,nosuid,nodev"),
        ("/sys/fs/cgroup", "cgroup2 rw,nosuid,nodev,noexec"),
    ] {
        assert!(mount(target).starts_with(begin), "{target}: {}", mount(target));
    }
    assert_in_order(&said, &["fd /proc/self/fd", "err", "memory", "/dev/ptmx", "reboot: Power down"]);
    assert_eq!(said.iter().filter(|line| line.starts_with("drwxrwxrwt")).count(), 2, "{said:#?}");
}

#[test]
fn a_server_that_is_killed_for_lack_of_memory_in_its_group_is_reported_as_oom() {
    needs!(can_boot());
    let sandbox = Sandbox::new();
    let mounts = ["--at-exit", "poweroff", "--mount", "proc,sys,dev,cgroup", "-m", "-", "/handler"];
    let group = ["--cgroup", "/sys/fs/cgroup/web", "--cgroup-set", "memory.max=20M", "--linger", "1s"];
    let directory = sandbox.path("initramfs");
    fs::create_dir_all(&directory).unwrap();
    let handler = "#!/busybox sh\n/busybox env >/dev/console\nexit 1\n";
    harness::sandbox::write_executable(&directory.join("handler"), handler.as_bytes());
    let said =
        boot(&sandbox, &[&mounts[..], &group].concat(), "cat /proc/self/cgroup; exec /probe hoard 100 wait").finish();
    assert_in_order(&said, &["0::/web", "VSRUN_SERVER_REASON=oom"]);
    assert_in_order(&said, &["shutdown", "reboot: Power down"]);
}

/// By default the kernel reboots at once when these keys are pressed.
#[test]
fn ctrl_alt_del_is_taken_from_the_kernel() {
    needs!(can_boot());
    let sandbox = Sandbox::new();
    let arguments = ["--at-exit", "poweroff", "--mount", "proc,dev", "-m", "-", "-"];
    let server = "trap 'echo the server ends; exit 0' TERM; echo keys $(cat /proc/sys/kernel/ctrl-alt-del)
        while :; do sleep 1000 & wait; done";
    let machine = boot(&sandbox, &arguments, server);
    machine.await_line("keys 0");
    machine.press("ctrl-alt-delete");
    let said = machine.finish();
    // The server may write its line before vsrun writes its record of the signal, so their order is not checked.
    for ends in ["sending SIGTERM", "the server ends"] {
        assert_in_order(&said, &["keys 0", "received SIGINT", ends, "on request", "reboot: Power down"]);
    }
}

/// The server itself sends PID 1 signals that end the machine, with --init and with a manager.
#[test]
fn each_signal_ends_the_machine_in_its_documented_way() {
    needs!(can_boot());
    let server = |kill: &str| {
        format!(
            "mknod /dev/null c 1 3; trap 'echo the server ends' TERM; echo up; kill -{kill} 1; while :; do sleep 1000 & wait; done"
        )
    };
    let sandbox = Sandbox::new();
    // 37 (SIGRTMIN+3) is systemd's signal for halt. The server does not exit on SIGTERM, so vsrun kills it, after a
    // timeout that leaves the shell time to print its line.
    let arguments = ["--at-exit", "poweroff", "--stop-timeout", "4s", "--init", "--no-quiet"];
    let machine = boot(&sandbox, &arguments, &server("37"));
    machine.await_line("reboot: System halted");
    let said = machine.output();
    for ends in ["sending SIGTERM", "the server ends"] {
        assert_in_order(&said, &["up", "received SIGRTMIN+3", ends, "sending SIGKILL"]);
    }
    drop(machine);
    // 30 (SIGPWR) is LXC's signal to power off, 39 (SIGRTMIN+5) systemd's to reboot. busybox powers off with USR2,
    // reboots with TERM and halts with USR1.
    for (options, kill, end) in [
        (&["--at-exit", "reboot", "-m", "-", "-"][..], "30", "reboot: Power down"),
        (&["--at-exit", "halt", "-m", "-", "-"], "39", "reboot: Restarting system"),
        (
            &["--on-signal", "TERM=reboot", "--on-signal", "USR2=poweroff", "--init", "--no-quiet"],
            "USR2",
            "reboot: Power down",
        ),
    ] {
        let sandbox = Sandbox::new();
        let options = [&["--stop-timeout", "4s"], options].concat();
        let said = boot(&sandbox, &options, &server(kill)).finish();
        assert_in_order(&said, &["up", "received SIG", "the server ends", "shutdown", end]);
    }
}

#[test]
fn machine_options_are_an_error_unless_vsrun_is_pid_1() {
    let sandbox = Sandbox::new();
    for (line, says) in [
        (words!["--mount", "proc"], "--mount"),
        (words!["-m", "-", "-", "--mount", "run,tmp"], "--mount"),
        (words!["--init", "--on-signal", "USR2=poweroff"], "--on-signal with poweroff"),
        (words!["-m", "-", "-", "--on-signal", "USR1=halt"], "--on-signal with poweroff"),
        (words!["-m", "-", "-", "--on-signal", "TERM=reboot"], "--on-signal with poweroff"),
    ] {
        let line = [line, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        sandbox.vsrun(line.clone()).finish().assert_failed(125, &[says, "PID 1"]);
        // --check accepts this without being PID 1, because another process will start the server.
        sandbox.vsrun([words!["--check"], line].concat()).finish().assert_exited(0).assert_silent();
        assert!(!sandbox.out("ran").exists());
    }
    for (line, says) in [
        (words!["--mount", "proc,usb"], "proc, sys, dev, run, tmp and cgroup"),
        (words!["--mount", "proc", "--mount", "sys"], "given twice"),
        (words!["-b", "-m", "-", "-", "--on-signal", "USR2=poweroff"], "--background"),
        (words!["--init", "--on-signal", "USR2=off"], "--on-signal"),
    ] {
        sandbox.vsrun([line, words!["--", sandbox.probe()]].concat()).finish().assert_failed(2, &[says]);
    }
}

/// Prepares a call of vsrun as PID 1 of a new PID namespace and mount namespace, as root; its root is the sandbox's
/// `jail`.
fn container(sandbox: &Sandbox, line: Vec<OsString>) -> harness::Call<'_> {
    let unshare = words!["--pid", "--mount", "--fork", "--kill-child", "--root", sandbox.path("jail"), "--", "/vsrun"];
    sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat())
}

#[test]
fn mounts_and_machine_signals_of_a_container_stay_inside_it() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::install(&harness::sandbox::built("vsrun"), &jail.join("vsrun"));
    let out = jail.join("out/mounts");
    for stay in [words![], words!["--init"]] {
        let line =
            [words!["--mount", "proc,run,tmp"], stay, words!["--", "/probe", "copy", "/proc/mounts", "/out/mounts"]];
        container(&sandbox, line.concat()).finish().assert_exited(0);
        let mounts = harness::text(&out);
        for part in ["proc /proc proc rw,nosuid,nodev,noexec", "tmpfs /run tmpfs rw,nosuid,nodev", "tmpfs /tmp tmpfs"] {
            assert!(mounts.contains(part), "{part}: {mounts}");
        }
        fs::remove_file(&out).unwrap();
    }
    // The signal ends only the container: the host goes on, and its file systems stay writable.
    let writable = fs::write(sandbox.path("before"), "");
    let line = words![
        "--at-exit",
        "halt",
        "--mount",
        "proc",
        "--stop-timeout",
        "1s",
        "--init",
        "--",
        "/probe",
        "signals",
        "/out/seen",
        "64"
    ];
    let outside = container(&sandbox, line).start();
    harness::await_lines(&jail.join("out/seen"), 1);
    let first = harness::await_some("PID 1", || process::children(outside.pid()).first().copied());
    sys::kill(first, libc::SIGPWR);
    assert_eq!(harness::await_lines(&jail.join("out/seen"), 2)[1], "15", "the stop signal, and not PWR");
    outside.finish();
    assert!(writable.is_ok() && fs::write(sandbox.path("after"), "").is_ok());
}

#[test]
fn a_file_system_that_cannot_be_mounted_is_named() {
    needs!(harness::root(), harness::tool("unshare"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::install(&harness::sandbox::built("vsrun"), &jail.join("vsrun"));
    let line = words!["--mount", "proc", "--init", "--", "/probe", "exit", "0"];
    let setpriv = words!["--pid", "--mount", "--fork", "--kill-child", "--root", jail, "--user", "--", "/vsrun"];
    let ended = sandbox.program(&harness::find_tool("unshare").unwrap(), [setpriv, line].concat()).finish();
    ended.assert_failed(125, &["cannot mount proc on '/proc'"]);
}
