//! `podman run --init --init-path`: podman mounts vsrun as the init into the container, and calls it by another name.

use super::can_run_field_tests;
use crate::harness::{self, Call, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;

/// A call of podman that writes only below the test's directory.
fn podman<'place>(sandbox: &'place Sandbox, words: Vec<OsString>) -> Call<'place> {
    let podman = super::program("podman").unwrap();
    let runc = super::program("runc").unwrap();
    let (store, run) = (sandbox.path("store"), sandbox.path("podman"));
    let places = words!["--root", store, "--runroot", run, "--storage-driver", "vfs", "--runtime", runc];
    let plain = words!["--cgroup-manager", "cgroupfs", "--events-backend", "none"];
    sandbox.program(&podman, [places, plain, words].concat())
}

/// The arguments of `podman run` with vsrun as the init, up to the container's command.
fn run(sandbox: &Sandbox, name: &str) -> Vec<OsString> {
    let root = sandbox.path("rootfs");
    fs::create_dir_all(&root).unwrap();
    fs::copy(sandbox.probe(), root.join("probe")).unwrap();
    let init = sandbox.path("podman-init");
    symlink(sandbox.path("vsrun"), &init).unwrap();
    let volume = format!("{}:/out", sandbox.path("out").display());
    // podman would raise these limits otherwise, which fails in a container that does not permit it.
    let limits = words!["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
    let place = words!["run", "--rm", "--name", name, "--network", "none", "--volume", volume];
    [place, limits, words!["--init", "--init-path", init, "--rootfs", root]].concat()
}

#[test]
fn podman_runs_vsrun_as_the_init_of_a_container() {
    needs!(can_run_field_tests(&["podman", "runc", "conmon"]), harness::can_run_containers());
    let sandbox = Sandbox::new();
    let _ = sandbox.out("seen");
    let name = format!("vsrun-{}", std::process::id());
    let script = words!["/probe", "orphans", "5", "/out/orphans", "signals", "/out/seen", "15", "exit", "9"];
    let container = podman(&sandbox, [run(&sandbox, &name), script].concat()).start();
    harness::await_lines(&sandbox.out("seen"), 1);
    for line in harness::await_lines(&sandbox.out("orphans"), 5) {
        assert!(line.ends_with(" 1"), "its parent is PID 1: {line}");
    }
    podman(&sandbox, words!["kill", "--signal", "TERM", &name]).finish().assert_exited(0);
    // Output can be podman's own, but podman prints nothing if all goes well. The init must print nothing either.
    container.finish().assert_exited(9).assert_silent();
    assert_eq!(harness::lines(&sandbox.out("seen")), ["ready", "15"]);
}
