//! Directories that an automounter mounts only when a process enters them.

use crate::harness::{self, Sandbox, needs, words};
use std::path::Path;

/// A Python program that is an automounter. Its arguments are a directory and a command: it starts the command, mounts
/// an empty file system on the directory when the kernel requests it, and exits with the status of the command.
const AUTOMOUNTER: &str = r"
import ctypes, fcntl, os, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
place = sys.argv[1].encode()
def mount(kind, data):
    if libc.mount(b'test', place, kind, 0, data) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
requests, kernel = os.pipe()
os.setpgid(0, 0)
options = f'fd={kernel},pgrp={os.getpgid(0)},minproto=5,maxproto=5,direct'
mount(b'autofs', options.encode())
device = os.stat(place).st_dev
def order(number, handle, path, word):
    path += b'\0' if path else b''
    order = bytearray(struct.pack('IIIiII', 1, 0, 24 + len(path), handle, word, 0) + path)
    fcntl.ioctl(control, 3 << 30 | 24 << 16 | 0x93 << 8 | number, order, True)
    return struct.unpack('IIIiII', bytes(order[:24]))[3]
control = os.open('/dev/autofs', os.O_RDWR)
handle = order(0x74, -1, place, os.major(device) << 20 | os.minor(device))
program = subprocess.Popen(sys.argv[2:], preexec_fn=lambda: os.setpgid(0, 0))
_, _, token = struct.unpack('iiI', os.read(requests, 4096)[:12])
mount(b'tmpfs', None)
order(0x76, handle, b'', token)
sys.exit(program.wait())
";

#[test]
fn the_root_and_the_working_directory_may_be_mounted_on_entry() {
    needs!(harness::root(), harness::tool("python3"), harness::tool("unshare"));
    needs!(harness::available(Path::new("/dev/autofs").exists(), "a kernel with autofs"));
    let sandbox = Sandbox::new();
    let there = sandbox.path("there");
    harness::sandbox::make_directory(&there, 0o755);
    let (python, report) = (harness::find_tool("python3").unwrap(), sandbox.out("report"));
    let automounter = words!["--mount", "--", python, "-c", AUTOMOUNTER, &there, sandbox.path("vsrun")];
    let call =
        |line| sandbox.program(&harness::find_tool("unshare").unwrap(), [automounter.clone(), line].concat()).finish();
    call(words!["-w", &there, "--", sandbox.probe(), "report", &report]).assert_exited(0);
    assert_eq!(sandbox.report(&report).one("cwd"), there.display().to_string());
    // The mounted root is empty, so COMMAND is missing. That is found out only after vsrun has entered the root.
    call(words!["-r", &there, "--", "/probe"]).assert_failed(127, &["'/probe'", "No such file"]);
}
