//! With vsrun as PID 1, the disk is clean after the machine has stopped, although the server writes until then.

use crate::harness::qemu::{Emulated, assert_in_order, emulation};
use crate::harness::{self, Sandbox, needs, words};
use std::path::Path;

/// The state of the file system on the disk, and whether its journal must be replayed.
#[track_caller]
fn state(sandbox: &Sandbox, disk: &Path) -> (String, bool) {
    let reported = sandbox.program(&harness::find_tool("dumpe2fs").unwrap(), words!["-h", disk]).finish();
    let line = |name: &str| {
        let found = reported.assert_exited(0).out.iter().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("{name} in {reported:?}")).trim().to_owned()
    };
    (line("Filesystem state:"), line("Filesystem features:").contains("needs_recovery"))
}

/// A server that writes without a pause, ignores TERM, and has a child in another session that writes too.
const SERVER: &str = "#!/busybox sh
trap '' TERM
/busybox mkdir /disk
/busybox mount -t ext4 /dev/nvme0n1 /disk || exit 9
writer() { n=0; while n=$((n + 1)); do echo $n; test $n != 2000 || echo $1 writes >/dev/console; done >/disk/$1; }
/busybox setsid /busybox sh -c \"$(/busybox sed -n '/^writer()/p' /server); writer child\" &
writer server
";

#[test]
fn a_disk_that_is_written_to_until_the_end_is_clean_afterwards() {
    needs!(emulation(), ["busybox", "mke2fs", "e2fsck", "dumpe2fs", "debugfs"].iter().all(|name| harness::tool(name)));
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    std::fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    sandbox
        .program(&harness::find_tool("mke2fs").unwrap(), words!["-q", "-t", "ext4", &disk])
        .finish()
        .assert_exited(0);
    assert_eq!(state(&sandbox, &disk), ("clean".into(), false));
    let directory = sandbox.path("initramfs");
    std::fs::create_dir(&directory).unwrap();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &directory.join("vsrun"));
    harness::sandbox::copy(&harness::find_tool("busybox").unwrap(), &directory.join("busybox"));
    let init = "#!/vsrun --args\n--at-exit\npoweroff\n--mount\nproc,dev\n--stop-timeout\n1s\n--linger\n1s\n-m\n-\n-\n--\n/server\n";
    harness::sandbox::write_executable(&directory.join("init"), init.as_bytes());
    harness::sandbox::write_executable(&directory.join("server"), SERVER.as_bytes());
    let drive = format!("file={},if=none,id=disk,format=raw,cache=writethrough", disk.display());
    let devices = words!["-drive", drive, "-device", "nvme,drive=disk,serial=1"];
    let machine = Emulated::boot_with_devices(&sandbox, &directory, devices);
    machine.await_line("server writes");
    machine.await_line("child writes");
    assert!(state(&sandbox, &disk).1, "a machine that is torn off now leaves a journal behind");
    machine.press("ctrl-alt-delete");
    let said = machine.finish();
    let parts = ["received SIGINT", "sending SIGTERM", "sending SIGKILL", "shutdown", "reboot: Power down"];
    assert_in_order(&said, &parts);
    assert_eq!(state(&sandbox, &disk), ("clean".into(), false), "{said:#?}");
    sandbox.program(&harness::find_tool("e2fsck").unwrap(), words!["-fn", &disk]).finish().assert_exited(0);
    // The files have every line that was written before the last one.
    for name in ["server", "child"] {
        let cat = words!["-R", format!("cat /{name}"), &disk];
        let lines = sandbox.program(&harness::find_tool("debugfs").unwrap(), cat).finish().assert_exited(0).out.clone();
        assert!(lines.len() >= 2000, "{name}: {} lines", lines.len());
        let wrong = lines.iter().zip(1..).find(|(line, number)| **line != number.to_string());
        assert_eq!(wrong, None, "{name}");
    }
}
