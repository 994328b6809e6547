//! vsrun called by the names of other tools. Each test states what it expects; where the real tool is installed, the
//! test also runs with it, to prove that both behave alike.

use crate::harness::sandbox::emulated;
use crate::harness::{self, Call, Report, Running, Sandbox, needs, process, sys, words};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

mod arguments;
mod inherited_state;
mod inits;
mod users;
mod vsrun_args;

/// One name of each of the three init tools that vsrun imitates.
const INITS: [&str; 3] = ["tini", "catatonit", "dumb-init"];

/// Returns the path of a symbolic link with this name to vsrun.
fn link(sandbox: &Sandbox, name: &str) -> PathBuf {
    let directory = sandbox.path("links");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    if path.symlink_metadata().is_err() {
        symlink(sandbox.path("vsrun"), &path).unwrap();
    }
    path
}

/// Returns the paths of the link to vsrun and, if it is installed, of the real tool.
fn both(sandbox: &Sandbox, name: &str) -> Vec<PathBuf> {
    [link(sandbox, name)].into_iter().chain(harness::find_tool(name)).collect()
}

/// Calls `case` for the link to vsrun and, if it is installed, for the real tool, each with a sandbox of its own.
fn for_link_and_tool(name: &str, mut case: impl FnMut(&Sandbox, &Path)) {
    let count = 1 + usize::from(harness::find_tool(name).is_some());
    for at in 0..count {
        let sandbox = Sandbox::new();
        let program = both(&sandbox, name).remove(at);
        case(&sandbox, &program);
    }
}

/// True if no emulator is used: with one, a script starts vsrun, which then does not see the name of the link.
fn can_run_these_tests() -> bool {
    harness::available(!emulated(), "a vsrun that is called without an emulator")
}

/// Returns the PID of an init's command, its only child.
#[track_caller]
fn command(init: &Running) -> i32 {
    harness::await_some("the command", || process::children(init.pid()).first().copied())
}

/// Runs a call whose command is the probe's `report`, and returns the report.
#[track_caller]
fn reported(sandbox: &Sandbox, call: Call<'_>) -> Report {
    let path = sandbox.out("report");
    call.finish().assert_exited(0);
    let found = sandbox.report(&path);
    std::fs::remove_file(&path).unwrap();
    found
}
