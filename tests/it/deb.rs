//! The Debian package of `make deb`: it is reproducible, lintian accepts it, and dpkg installs and removes it
//! completely.

use crate::harness::{self, PLAIN, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Builds the package of the tested vsrun with the documents of this build, and returns its path.
#[track_caller]
fn package(sandbox: &Sandbox, name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/deb");
    let file = sandbox.path(name);
    let line = words![sandbox.path("vsrun"), std::env::consts::ARCH, env!("OUT_DIR"), &file];
    let call = sandbox.program(&script, line).env("DEBFULLNAME", "A Builder").env("DEBEMAIL", "builder@debian.org");
    call.finish().assert_exited(0).assert_silent();
    file
}

/// Creates a root directory that has only an empty dpkg database.
fn root(sandbox: &Sandbox) -> PathBuf {
    let root = sandbox.path("root");
    for directory in ["info", "updates", "triggers"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(directory)).unwrap();
    }
    for file in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
    }
    root
}

fn tool(name: &str) -> PathBuf {
    harness::find_tool(name).unwrap()
}

/// All files below a directory, as paths relative to it.
fn files(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                left.push(entry);
            } else {
                found.push(entry.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_same_build_gives_the_same_package() {
    needs!(harness::tool("dpkg-deb"));
    let sandbox = Sandbox::plain();
    let bytes = ["first", "second"].map(|name| fs::read(package(&sandbox, name)).unwrap());
    assert!(bytes[0] == bytes[1], "the bytes of two packages");
}

#[test]
fn lintian_has_nothing_to_say() {
    needs!(harness::tool("dpkg-deb"), harness::tool("lintian"));
    let sandbox = Sandbox::plain();
    let file = package(&sandbox, "vsrun.deb");
    sandbox
        .program(&tool("lintian"), words!["--fail-on", "error,warning", file])
        .finish()
        .assert_exited(0)
        .assert_silent();
}

#[test]
fn dpkg_installs_it_and_removes_all_of_it() {
    needs!(harness::root(), harness::tool("dpkg-deb"), harness::tool("dpkg"));
    let sandbox = Sandbox::new();
    let (file, root) = (package(&sandbox, "vsrun.deb"), root(&sandbox));
    let dpkg = |line: Vec<OsString>| {
        let line = [words![format!("--root={}", root.display())], line].concat();
        sandbox.program(&tool("dpkg"), line).finish()
    };
    dpkg(words!["--install", file]).assert_exited(0);
    assert_eq!(
        dpkg(words!["--verify", "vsrun"]).assert_exited(0).out,
        [""; 0],
        "each file has the sum that is noted for it"
    );

    let here = files(&root.join("usr"));
    for wanted in [
        "sbin/vsrun",
        "share/bash-completion/completions/vsrun",
        "share/doc/vsrun/README.md.gz",
        "share/doc/vsrun/changelog.Debian.gz",
        "share/doc/vsrun/changelog.gz",
        "share/doc/vsrun/copyright",
        "share/doc/vsrun/examples/web",
        "share/fish/vendor_completions.d/vsrun.fish",
        "share/man/man8/vsrun.8.gz",
        "share/zsh/vendor-completions/_vsrun",
    ] {
        assert!(here.iter().any(|file| file == wanted), "{wanted} is in {here:?}");
    }
    for file in &here {
        let about = fs::metadata(root.join("usr").join(file)).unwrap();
        assert_eq!((about.uid(), about.gid()), (0, 0), "{file}");
        assert!([0o644, 0o755].contains(&(about.permissions().mode() & 0o7777)), "{file}");
    }
    assert!(fs::read(root.join("usr/sbin/vsrun")).unwrap() == fs::read(sandbox.path("vsrun")).unwrap());

    dpkg(words!["--purge", "vsrun"]).assert_exited(0);
    assert!(!root.join("usr").exists(), "{:?}", files(&root));
}

#[test]
fn what_was_installed_keeps_a_server_in_that_root() {
    needs!(harness::root(), harness::tool("dpkg"), harness::tool("dpkg-deb"), harness::tool("chroot"));
    let sandbox = Sandbox::new();
    let (file, root) = (package(&sandbox, "vsrun.deb"), root(&sandbox));
    let options = words![format!("--root={}", root.display()), "--install", file];
    sandbox.program(&tool("dpkg"), options).finish().assert_exited(0);
    harness::sandbox::make_directory(&root.join("run"), 0o755);
    harness::sandbox::make_directory(&root.join("out"), 0o777);
    harness::sandbox::install(&harness::sandbox::built("probe"), &root.join("probe"));
    let vsrun = |line: Vec<OsString>| {
        let line = [words![&root, "/usr/sbin/vsrun"], line].concat();
        sandbox.program(&tool("chroot"), line).finish()
    };
    let version = vsrun(words!["--version"]);
    assert_eq!(version.assert_exited(0).out[0], concat!("vsrun ", env!("CARGO_PKG_VERSION")));

    let user = PLAIN.to_string();
    let start = words!["-b", "-p", "/run/server.pid", "-m", "/run/manager.pid", "-", "-u", user, "--"];
    vsrun([start, words!["/probe", "life", "/out/life", "wait"]].concat()).assert_exited(0);
    let first = harness::await_life(&root.join("out/life"), 1);
    harness::sys::kill(first, libc::SIGSEGV);
    let second = harness::await_life(&root.join("out/life"), 2);
    assert_ne!(first, second);
    assert_eq!(fs::metadata(root.join("out/life")).unwrap().uid(), PLAIN);
    // Without /proc, only the manager's own pidfile shows which process is the manager.
    vsrun(words!["--stop", "/run/manager.pid"]).assert_exited(0).assert_silent();
    harness::await_gone(second);
    assert_eq!(harness::names(&root.join("run")), [""; 0]);
}
