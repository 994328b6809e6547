//! Core files with root's memory: with `fs.suid_dumpable=2` the kernel dumps processes that have changed their user. A
//! signal from the server's user must not do that to the process that is about to become the server.

use crate::harness::{self, Sandbox, Sysctl, needs, sys, words};
use std::fs;
use std::os::unix::fs::MetadataExt;

const USER: &str = "12345";

/// A program that changes its user without vsrun's protection, and then sends itself SIGQUIT.
const CARELESS: &str = "import os, signal
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
os.setgroups([])
os.setresgid(12345, 12345, 12345)
os.setresuid(12345, 12345, 12345)
os.kill(os.getpid(), signal.SIGQUIT)
";

/// The calls that change user and groups. A signal during one of them stays blocked until the last step before the
/// exec.
const CALLS: [&str; 3] = ["setgroups", "setresgid", "setresuid"];

#[test]
fn signal_before_the_exec_dumps_no_memory_of_root() {
    needs!(harness::root(), harness::tool("python3"), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let cores = sandbox.out("cores");
    harness::sandbox::make_directory(&cores, 0o777);
    let turn = harness::sysctl::turn();
    let pattern = format!("{}/core.%p", cores.display());
    let Some(_pattern) = Sysctl::set(&turn, "kernel.core_pattern", &pattern) else { return };
    let Some(_dumpable) = Sysctl::set(&turn, "fs.suid_dumpable", "2") else { return };
    let no_limit = || sys::limit_core(libc::RLIM_INFINITY);

    // Without protection the kernel does dump such a process, into a file that belongs to root.
    let careless = sandbox.program(&harness::find_tool("python3").unwrap(), words!["-c", CARELESS]);
    let ended = careless.before(no_limit).finish();
    assert_eq!(ended.signal(), Some(libc::SIGQUIT), "{ended:?}");
    // The kernel resolves core_pattern in the root of the machine's init, which a test in a changed root cannot see.
    needs!(harness::available(ended.dumped_core(), "the machine's root, for the path of a core file"));
    let names = harness::names(&cores);
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(fs::metadata(cores.join(&names[0])).unwrap().uid(), 0);
    fs::remove_file(cores.join(&names[0])).unwrap();

    for way in [words![], words!["-m", "-", "-"]] {
        for name in CALLS {
            let inject = format!("inject={name}:signal=QUIT:when=1");
            let line = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", inject, sandbox.path("vsrun")];
            let line =
                [line, way.clone(), words!["-u", USER, "--", sandbox.probe(), "append", sandbox.out("ran"), "x"]]
                    .concat();
            let strace = sandbox.program(&harness::find_tool("strace").unwrap(), line);
            let ended = strace.before(no_limit).finish();
            let trace = harness::text(&sandbox.path("trace"));
            assert!(trace.contains("--- SIGQUIT"), "{name}: the signal has come: {trace}");
            assert!(
                trace.contains("+++ killed by SIGQUIT +++"),
                "{name}: and ended the process, without a core: {trace}"
            );
            assert_eq!(harness::names(&cores), [""; 0], "{way:?} {name}: {ended:?}");
            assert!(!sandbox.out("ran").exists());
        }
    }
}
