//! Directories that an automounter mounts only when somebody enters them.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Place, needs, words};
use std::path::Path;

/// An automounter for one directory, in a mount namespace of its own: starts the words behind the directory, and when
/// the kernel asks, mounts an empty file system there. It ends as the program that it has started.
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
    needs!(kit::root(), kit::tool("python3"), kit::tool("unshare"));
    needs!(kit::available(Path::new("/dev/autofs").exists(), "a kernel with autofs"));
    let place = Place::new();
    let there = place.path("there");
    kit::place::make_directory(&there, 0o755);
    let (python, report) = (kit::find_tool("python3").unwrap(), place.out("report"));
    let automounter = words!["--mount", "--", python, "-c", AUTOMOUNTER, &there, place.path("vsrun")];
    let call = |line| place.program(&kit::find_tool("unshare").unwrap(), [automounter.clone(), line].concat()).finish();
    call(words!["-w", &there, "--", place.probe(), "report", &report]).exited(0);
    assert_eq!(place.report(&report).one("cwd"), there.display().to_string());
    // There is no program in it, but that is found out inside.
    call(words!["-r", &there, "--", "/probe"]).failed(127, &["'/probe'", "No such file"]);
}
