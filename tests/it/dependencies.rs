//! The packages in vsrun's binary, and their licences. There are three direct dependencies.
//!
//! `cargo tree` lists them, from the lock file and without the network.

use crate::harness::call::start_locked;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// The direct dependencies. A fourth one needs a reason that outweighs the cost that every user must trust it.
const DIRECT: &[&str] = &["lexopt", "libc", "rustix"];

/// The dependencies of the direct ones: rustix's bit flags and the constants of the kernel's interface.
const BROUGHT_ALONG: &[&str] = &["bitflags", "linux-raw-sys"];

/// Licences that allow what vsrun's own allow. A package that offers several must offer one of these.
const LICENCES: &[&str] = &["Apache-2.0", "MIT"];

#[test]
fn vsrun_asks_for_three_packages() {
    assert_eq!(names(&tree(&["--edges=normal,build", "--depth=1"])), set(&[DIRECT, &["vsrun"]]));
}

#[test]
fn the_three_bring_only_what_is_known() {
    assert_eq!(names(&tree(&["--edges=normal,build"])), set(&[DIRECT, BROUGHT_ALONG, &["vsrun"]]));
}

#[test]
fn all_of_it_comes_from_the_registry() {
    for package in tree(&["--edges=all"]) {
        // cargo shows the source of a package only if it is not crates.io but a directory or a repository.
        let sandbox = package.source.filter(|_| package.name != "vsrun");
        assert_eq!(sandbox, None, "{} does not come from the registry", package.name);
    }
}

#[test]
fn all_licences_allow_what_vsruns_allow() {
    let packages = tree(&["--edges=all"]);
    assert!(packages.len() > DIRECT.len(), "cargo shows only {packages:?}");
    for Package { name, licence, .. } in packages {
        assert!(is_allowed(&licence), "{name} is under {licence:?}, which has none of {LICENCES:?} to choose");
    }
}

#[test]
fn licences_are_read_as_they_are_written() {
    for allowed in ["MIT", "MIT OR Apache-2.0", "Unlicense/MIT", "Apache-2.0 WITH LLVM-exception OR MIT"] {
        assert!(is_allowed(allowed), "{allowed:?}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-2.0 OR MPL-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(!is_allowed(refused), "{refused:?}");
    }
}

/// True if the licence, or one of those that OR or a slash joins, is in LICENCES. Combinations with AND are refused: a
/// person must read them.
fn is_allowed(licence: &str) -> bool {
    !licence.contains(" AND ")
        && licence.split(" OR ").flat_map(|part| part.split('/')).any(|one| LICENCES.contains(&one))
}

#[derive(Debug)]
struct Package {
    name: String,
    source: Option<String>,
    licence: String,
}

/// The packages that `cargo tree` shows for the static x86_64 target, on any machine.
fn tree(options: &[&str]) -> Vec<Package> {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--target=x86_64-unknown-linux-musl"])
        .args(["--prefix=none", "--no-dedupe", "--format={p}|{l}"])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = start_locked(|| command.spawn()).expect("cargo, which built this test, runs");
    let output = child.wait_with_output().expect("cargo ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter(|line| line.contains('|')).map(package).collect()
}

/// Reads a line of the tree: `rustix v1.1.6|Apache-2.0 OR MIT`, or `vsrun v0.1.0 (/the/project)|MIT`.
fn package(line: &str) -> Package {
    let (package, licence) = line.split_once('|').expect("the format has a bar");
    let mut words = package.splitn(3, ' ');
    let name = words.next().expect("a package has a name").to_owned();
    let sandbox = words.nth(1).map(str::to_owned).filter(|sandbox| sandbox != "(proc-macro)");
    Package { name, source: sandbox, licence: licence.to_owned() }
}

fn names(packages: &[Package]) -> BTreeSet<&str> {
    packages.iter().map(|package| package.name.as_str()).collect()
}

fn set<'a>(lists: &[&[&'a str]]) -> BTreeSet<&'a str> {
    lists.iter().flat_map(|list| list.iter().copied()).collect()
}
