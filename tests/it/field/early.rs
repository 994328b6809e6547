//! The initramfs-tools hook and the dracut module in `examples`: they start a server before the root file system is
//! mounted. After the change to the real root, vsrun there finds the server, asks for its status and stops it.

use super::can_run_field_tests;
use crate::harness::qemu::{Emulated, assert_in_order, emulation};
use crate::harness::{self, Call, Mount, Mounts, Sandbox, needs, words};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time limit of packing an initramfs from the host's files, and of booting with udev, on a busy machine.
const BUILD_AND_BOOT_LIMIT: Duration = Duration::from_secs(240);

const VERSION: &str = "6.1.0-early";

/// The init of the real root. The initramfs need not have set up the network, so this enables the loopback device
/// itself.
const REAL_INIT: &str = "#!/bin/busybox sh
PATH=/bin:/sbin
/bin/busybox --install -s /bin
echo \"the real root is pid $$, on $(stat -f -c %T /)\"
vsrun --status /run/early.pid
vsrun --status /run/early-manager.pid
echo \"status $?\"
read -r server </run/early.pid
ifconfig lo up
echo \"answer of $(nc 127.0.0.1 80 </dev/null), expected $server\"
test -e /proc/$server/root/sbin/real-init || echo \"the server's root is another\"
test -e /server || echo \"its program is not here\"
vsrun --stop /run/early-manager.pid
echo \"stop $?\"
vsrun --status /run/early.pid
echo \"status $?\"
poweroff -f
";

/// Writes the service for the initramfs. Returns a disk image with the real root.
fn lay_out(sandbox: &Sandbox) -> PathBuf {
    fs::create_dir(sandbox.path("early")).unwrap();
    let (vsrun, probe) = (sandbox.path("vsrun"), sandbox.probe());
    let service = format!(
        "#!{} --args\n# file: /etc/hostname\n--background\n--user\n100:100\n--listen\n80\n--pidfile\n/run/early.pid\n--manager
/run/early-manager.pid\n-\n  --  \n {} \nserve\n3\n",
        vsrun.display(),
        probe.display()
    );
    sandbox.executable("early/web", service.as_bytes());
    fs::write(sandbox.path("early/README"), "No service, as it cannot be executed.\n").unwrap();
    let root = sandbox.path("root");
    for directory in ["bin", "sbin", "proc", "sys", "dev", "run", "etc"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &root.join("bin/busybox"));
    harness::sandbox::copy(&vsrun, &root.join("sbin/vsrun"));
    harness::sandbox::write_executable(&root.join("sbin/real-init"), REAL_INIT.as_bytes());
    symlink("real-init", root.join("sbin/init")).unwrap();
    let disk = sandbox.path("disk");
    fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let make = words!["-q", "-t", "ext4", "-d", root, &disk];
    sandbox.program(&harness::find_tool("mke2fs").unwrap(), make).finish().assert_exited(0);
    disk
}

#[track_caller]
fn finish(call: Call<'_>) {
    let running = call.start();
    harness::await_within(BUILD_AND_BOOT_LIMIT, "an initramfs", || (!running.is_running()).then_some(()));
    running.finish().assert_exited(0);
}

#[track_caller]
fn boot(sandbox: &Sandbox, archive: &Path, disk: &Path) {
    let drive = format!("file={},if=none,id=disk,format=raw", disk.display());
    let devices = words!["-drive", drive, "-device", "nvme,drive=disk,serial=1"];
    let machine = Emulated::boot_archive(sandbox, archive, "root=/dev/nvme0n1 ro", devices);
    let said = machine.finish_within(BUILD_AND_BOOT_LIMIT);
    let found = ["the real root is pid 1, on ext2/ext3", "running: pid", "running: pid", "status 0", "answer of "];
    let stopped = ["the server's root is another", "its program is not here", "received SIGTERM", "stop 0", "status 3"];
    assert_in_order(&said, &[&found[..], &stopped, &["reboot: Power down"]].concat());
    let answer = said.iter().find_map(|line| line.strip_prefix("answer of ")).unwrap();
    let (answer, expected) = answer.split_once(", expected ").unwrap();
    assert!(!answer.is_empty() && answer == expected, "{said:#?}");
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn copy_tree(sandbox: &Sandbox, from: &Path, to: &Path) {
    let words = words!["-r", from.join("."), to];
    sandbox.program(&harness::find_tool("cp").unwrap(), words).finish().assert_exited(0);
}

#[test]
fn the_hook_of_initramfs_tools_starts_a_server_that_the_real_root_stops() {
    needs!(can_run_field_tests(&["mkinitramfs"]), emulation(), harness::tool("mke2fs"), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let disk = lay_out(&sandbox);
    let (settings, archive) = (sandbox.path("settings"), sandbox.path("early.img"));
    copy_tree(&sandbox, Path::new("/etc/initramfs-tools"), &settings);
    copy_tree(&sandbox, &example("initramfs-tools"), &settings);
    let plain = harness::text(&settings.join("initramfs.conf")).replace("COMPRESS=zstd", "COMPRESS=gzip");
    fs::write(settings.join("initramfs.conf"), plain).unwrap();
    // mkinitramfs reads from the kernel's configuration which compression the kernel can unpack.
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/boot".into(), "mode=755")]);
    fs::write(mounts.path(&Path::new("/boot").join(format!("config-{VERSION}"))), "CONFIG_RD_GZIP=y\n").unwrap();
    let words = words!["-d", &settings, "-o", &archive, VERSION];
    let call = sandbox.program(&harness::find_tool("mkinitramfs").unwrap(), words).within(&mounts);
    finish(call.env("VSRUN_EARLY", sandbox.path("early")).env("TMPDIR", sandbox.directory()));
    boot(&sandbox, &archive, &disk);
}

#[test]
fn the_module_of_dracut_starts_a_server_that_the_real_root_stops() {
    needs!(can_run_field_tests(&["dracut"]), emulation(), harness::tool("mke2fs"), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let disk = lay_out(&sandbox);
    // dracut's base directory, made of symbolic links, with one more module.
    let (dracut, base) = (Path::new("/usr/lib/dracut"), sandbox.path("base"));
    fs::create_dir_all(base.join("modules.d")).unwrap();
    for name in harness::names(dracut).iter().filter(|name| *name != "modules.d") {
        symlink(dracut.join(name), base.join(name)).unwrap();
    }
    for name in harness::names(&dracut.join("modules.d")) {
        symlink(dracut.join("modules.d").join(&name), base.join("modules.d").join(&name)).unwrap();
    }
    symlink(example("dracut/90vsrun"), base.join("modules.d/90vsrun")).unwrap();
    for directory in ["settings", "temporary"] {
        fs::create_dir(sandbox.path(directory)).unwrap();
    }
    let archive = sandbox.path("early.img");
    let own =
        words!["--conf", "/dev/null", "--confdir", sandbox.path("settings"), "--tmpdir", sandbox.path("temporary")];
    let what = words!["--no-kernel", "--no-hostonly", "--no-hostonly-cmdline", "--gzip", "--force"];
    let modules = words!["-m", "base rootfs-block fs-lib udev-rules vsrun", &archive, VERSION];
    let line = [own, what, modules].concat();
    let call = sandbox.program(&harness::find_tool("dracut").unwrap(), line).env("dracutbasedir", &base);
    finish(call.env("VSRUN_EARLY", sandbox.path("early")));
    boot(&sandbox, &archive, &disk);
}
