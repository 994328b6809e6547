//! The recipes in `packaging` and the service files in `examples`: each is parsed by its own tool, if that is
//! installed, and agrees with Cargo.toml.

use crate::harness::{self, ProcessResult, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn run(sandbox: &Sandbox, tool: &str, words: Vec<OsString>) -> ProcessResult {
    sandbox.program(&harness::find_tool(tool).unwrap(), words).directory(&project("")).finish()
}

#[test]
fn recipes_name_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    for (path, line) in [
        ("packaging/rpm/vsrun.spec", format!("Version:        {version}\n")),
        ("packaging/arch/PKGBUILD", format!("pkgver={version}\n")),
        ("packaging/alpine/APKBUILD", format!("pkgver={version}\n")),
        ("packaging/nix/default.nix", format!("version = \"{version}\";\n")),
        ("packaging/buildroot/vsrun.mk", format!("VSRUN_VERSION = {version}\n")),
    ] {
        assert!(read(path).contains(&line), "{path}: {line:?} is missing");
    }
    assert!(project(&format!("packaging/yocto/vsrun_{version}.bb")).is_file());
}

#[test]
fn yocto_names_the_sums_of_the_licences() {
    needs!(harness::tool("md5sum"));
    let sandbox = Sandbox::new();
    let recipe = read(&format!("packaging/yocto/vsrun_{}.bb", env!("CARGO_PKG_VERSION")));
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let ended = run(&sandbox, "md5sum", words![file]);
        let sum = ended.out[0].split(' ').next().unwrap().to_owned();
        assert!(recipe.contains(&format!("file://{file};md5={sum}")), "{file}: {sum}");
    }
}

#[test]
fn shell_recipes_and_service_scripts_are_read_by_their_shells() {
    needs!(harness::tool("bash"), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    run(&sandbox, "bash", words!["-n", "packaging/arch/PKGBUILD"]).assert_exited(0).assert_silent();
    for script in ["packaging/alpine/APKBUILD", "examples/openrc/web", "examples/runit/web/run"] {
        run(&sandbox, "busybox", words!["sh", "-n", script]).assert_exited(0).assert_silent();
    }
    run(&sandbox, "busybox", words!["sh", "-n", "examples/openwrt/web"]).assert_exited(0).assert_silent();
}

#[test]
fn rpm_reads_its_spec() {
    needs!(harness::tool("rpmspec"));
    let sandbox = Sandbox::new();
    let spec = words!["-q", "--qf", "%{name} %{version} %{license}\n", "packaging/rpm/vsrun.spec"];
    let ended = run(&sandbox, "rpmspec", [words!["--define", "_arch x86_64"], spec].concat());
    let expected = format!("vsrun {} MIT OR Apache-2.0", env!("CARGO_PKG_VERSION"));
    assert!(ended.assert_exited(0).out.contains(&expected), "{ended:?}");
}

#[test]
fn nix_reads_its_expression() {
    needs!(harness::tool("nix-instantiate"));
    let sandbox = Sandbox::new();
    let line = words!["--parse", "packaging/nix/default.nix"];
    let nix = sandbox.program(&harness::find_tool("nix-instantiate").unwrap(), line).directory(&project(""));
    nix.env("HOME", sandbox.out("")).env("NIX_STATE_DIR", sandbox.out("state")).finish().assert_exited(0);
}

#[test]
fn service_files_use_options_that_exist() {
    let sandbox = Sandbox::new();
    let help = sandbox.vsrun(words!["--help-completion"]).finish().out.join("\n");
    let known = |option: &str| help.contains(&format!("{option} ")) || help.contains(&format!("{option},"));
    for path in [
        "examples/openrc/web",
        "examples/s6-rc/vsrun-web/run",
        "examples/runit/web/run",
        "examples/inittab/inittab",
        "examples/openwrt/web",
    ] {
        let text = read(path);
        let lines = text.replace("\\\n", " ");
        let commands = lines.lines().filter(|line| !line.starts_with('#') && line.contains("vsrun"));
        for word in commands.flat_map(|line| line.split("vsrun").nth(1)).flat_map(str::split_whitespace) {
            if word == "--" {
                break;
            }
            assert!(!word.starts_with("--") || known(word), "{path}: {word}");
        }
    }
}

/// The actions of the SysV script have the exit statuses that the LSB requires.
#[test]
fn the_sysv_script_starts_and_stops_a_server() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let script = read("examples/sysv/web")
        .replace("#!/usr/sbin/vsrun", &format!("#!{}", sandbox.path("vsrun").display()))
        .replace("/run/", &format!("{}/", sandbox.directory().display()))
        .replace("/var/log/web", sandbox.path("logs").to_str().unwrap())
        .replace("--user=www-data", "--user=65534")
        .replace(
            "/bin/busybox\nhttpd\n-f\n-p\n8080\n-h\n/srv/www\n",
            &format!("{}\nwait\n", sandbox.probe().display()),
        );
    let script = sandbox.executable("web", script.as_bytes());
    let call = |action: &str| sandbox.program(&script, words![action]).finish();
    call("status").assert_exited(3);
    call("start").assert_exited(0);
    call("start").assert_exited(0);
    call("status").assert_exited(0);
    call("reload").assert_exited(0);
    call("restart").assert_exited(0);
    call("force-reload").assert_exited(0);
    call("status").assert_exited(0);
    call("stop").assert_exited(0);
    call("stop").assert_exited(0);
    call("status").assert_exited(3);
    call("unknown").assert_exited(2);
    sandbox.await_nothing_left();
}
