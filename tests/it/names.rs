//! vsrun by the names of other tools. Each case says what is expected; where the tool itself is installed, the same case
//! runs with it too, so that both are known to behave alike.

use crate::harness::sandbox::emulated;
use crate::harness::{self, Call, Report, Running, Sandbox, needs, process, sys, words};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

mod arguments;
mod further;
mod inits;
mod places;
mod users;

/// The three kinds of inits, by one name each.
const INITS: [&str; 3] = ["tini", "catatonit", "dumb-init"];

/// A link of that name to vsrun.
fn link(sandbox: &Sandbox, name: &str) -> PathBuf {
    let directory = sandbox.path("links");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    if path.symlink_metadata().is_err() {
        symlink(sandbox.path("vsrun"), &path).unwrap();
    }
    path
}

/// The link and, where it is installed, the tool.
fn both(sandbox: &Sandbox, name: &str) -> Vec<PathBuf> {
    [link(sandbox, name)].into_iter().chain(harness::find_tool(name)).collect()
}

/// A fresh place for each of the two, and what is called there.
fn each(name: &str, mut case: impl FnMut(&Sandbox, &Path)) {
    let count = 1 + usize::from(harness::find_tool(name).is_some());
    for at in 0..count {
        let sandbox = Sandbox::new();
        let program = both(&sandbox, name).remove(at);
        case(&sandbox, &program);
    }
}

/// A link behind a script that calls an emulator has no name of its own.
fn able() -> bool {
    harness::available(!emulated(), "a vsrun that is called without an emulator")
}

/// The command of an init, the only child that it keeps.
#[track_caller]
fn command(init: &Running) -> i32 {
    harness::await_some("the command", || process::children(init.pid()).first().copied())
}

/// What `report` says, under this program.
#[track_caller]
fn reported(sandbox: &Sandbox, call: Call<'_>) -> Report {
    let path = sandbox.out("report");
    call.finish().exited(0);
    let found = sandbox.report(&path);
    std::fs::remove_file(&path).unwrap();
    found
}
