//! `make microvm`: a container image boots as a virtual machine, whose PID 1 is vsrun with a service file.

use crate::harness::qemu::{self, assert_in_order, emulation};
use crate::harness::{self, ProcessResult, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time limit for packing an image, booting it and waiting for its end, on a busy machine.
const BOOT: Duration = Duration::from_secs(200);

fn can_run_these_tests() -> bool {
    emulation() && harness::tool("umoci") && harness::tool("jq")
}

fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name)
}

/// Boots the image, and returns its output when the machine has ended. `command` replaces the image's own command;
/// `config` is a file with the image's settings.
#[track_caller]
fn boot(sandbox: &Sandbox, image: &Path, command: &[&str], config: Option<&Path>) -> ProcessResult {
    let _turn = qemu::turn();
    let line = [words![sandbox.path("vsrun"), image], command.iter().map(OsString::from).collect()].concat();
    let call = sandbox.program(&tool("microvm"), line).env("TMPDIR", sandbox.directory());
    let call = call.env("KERNEL", qemu::kernel().unwrap()).env("MEMORY", "256");
    let running = match config {
        Some(config) => call.env("CONFIG", config),
        None => call,
    }
    .start();
    harness::await_within(BOOT, "the end of the machine", || (!running.is_running()).then_some(()));
    let mut ended = running.finish();
    ended.out.iter_mut().for_each(|line| *line = line.trim_end_matches('\r').to_owned());
    ended
}

/// Creates an image in OCI layout. It contains the probe, and its settings name the command, user and directory.
#[track_caller]
fn layout(sandbox: &Sandbox) -> PathBuf {
    let (archive, layout) = (sandbox.path("image.tar"), sandbox.path("layout"));
    sandbox
        .program(&tool("image"), words![sandbox.path("vsrun"), std::env::consts::ARCH, &archive])
        .finish()
        .assert_exited(0);
    fs::create_dir(&layout).unwrap();
    let unpack = words!["-C", &layout, "-xf", &archive];
    sandbox.program(&harness::find_tool("tar").unwrap(), unpack).finish().assert_exited(0);
    let files = sandbox.path("files");
    for directory in ["srv", "etc"] {
        fs::create_dir_all(files.join(directory)).unwrap();
    }
    fs::write(files.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:800:801::/srv:/bin/false\n").unwrap();
    fs::write(files.join("etc/group"), "root:x:0:\nweb:x:801:\nmore:x:901:web\n").unwrap();
    harness::sandbox::copy(&sandbox.probe(), &files.join("srv/probe"));
    let image = format!("{}:latest", layout.display());
    let umoci = |line: Vec<OsString>| {
        sandbox.program(&harness::find_tool("umoci").unwrap(), line).finish().assert_exited(0);
    };
    for directory in ["srv", "etc"] {
        umoci(words!["insert", "--image", &image, files.join(directory), format!("/{directory}")]);
    }
    let config = words!["config", "--image", &image, "--config.user", "web", "--config.workingdir", "/srv"];
    let env = words!["--config.env", "PATH=/srv", "--config.env", "A=b  c", "--config.env", "LINES=one\ntwo"];
    let command = ["report", "-", "exit", "7"].map(|word| words!["--config.cmd", word]).concat();
    umoci([config, env, words!["--config.entrypoint", "probe"], command].concat());
    layout
}

#[test]
fn an_image_runs_with_its_environment_user_and_directory_and_ends_the_machine() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let layout = layout(&sandbox);
    let archive = sandbox.path("oci.tar");
    let pack = words!["-C", &layout, "-cf", &archive, "."];
    sandbox.program(&harness::find_tool("tar").unwrap(), pack).finish().assert_exited(0);
    let ended = boot(&sandbox, &archive, &[], None);
    let identity = ["ppid 1", "uids 800 800 800", "gids 801 801 801", "groups 801 901"];
    let command = ["argument probe", "argument report", "argument -", "argument exit", "argument 7"];
    assert_in_order(&ended.assert_exited(0).out, &[&identity[..], &command].concat());
    for line in
        ["variable PATH=/srv", "variable A=b  c", "variable LINES=one\\x0atwo", "variable HOME=/srv", "cwd /srv"]
    {
        assert!(ended.out.iter().any(|found| found == line), "{line}: {ended:?}");
    }
    assert_in_order(&ended.out, &["cwd /srv", "exited with status 7", "reboot: Power down"]);
}

#[test]
fn a_bundle_runs_words_that_no_line_of_a_service_file_could_hold() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let image = format!("{}:latest", layout(&sandbox).display());
    let bundle = sandbox.path("bundle");
    let unpack = words!["unpack", "--image", image, &bundle];
    sandbox.program(&harness::find_tool("umoci").unwrap(), unpack).finish().assert_exited(0);
    let command = ["probe", "print", "two\nlines of ${A} $HOME", "print", "", "print", "  # none ", "report", "-"];
    let ended = boot(&sandbox, &bundle, &command, None);
    let printed = ["two", "lines of ${A} $HOME", "", "  # none "];
    let first = ended.out.iter().position(|line| line == "two").unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(ended.out[first..][..4], printed);
    let argument = ["argument two\\x0alines of ${A} $HOME", "argument ", "argument   # none "];
    assert_in_order(&ended.assert_exited(0).out, &[&["uids 800 800 800", "groups 801 901"][..], &argument].concat());
    assert_in_order(&ended.out, &["cwd /srv", "exited with status 0", "reboot: Power down"]);
}

/// An archive of `podman export` has no settings, so a file of `podman inspect` names the command and the user.
#[test]
fn an_exported_root_runs_the_command_of_its_settings_file() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let root = sandbox.path("root");
    fs::create_dir(&root).unwrap();
    harness::sandbox::copy(&sandbox.probe(), &root.join("probe"));
    let script = "#!/probe run\nprint\nthe init of the image\nreport\n-\nsegv\n";
    harness::sandbox::write_executable(&root.join("init"), script.as_bytes());
    let archive = sandbox.path("export.tar");
    let pack = words!["-C", &root, "-cf", &archive, "."];
    sandbox.program(&harness::find_tool("tar").unwrap(), pack).finish().assert_exited(0);
    let config = sandbox.path("inspect.json");
    let settings =
        r#"[{"Id": "1", "Config": {"User": "4321", "Env": null, "Entrypoint": ["/init"], "WorkingDir": ""}}]"#;
    fs::write(&config, settings).unwrap();
    let ended = boot(&sandbox, &archive, &[], Some(&config));
    let identity =
        ["the init of the image", "uids 4321 4321 4321", "gids 0 0 0", "groups 0", "variable PATH=/usr/local"];
    assert_in_order(&ended.assert_exited(0).out, &identity);
    assert_in_order(&ended.out, &["cwd /", "killed by SIGSEGV", "reboot: Power down"]);
    // Without the settings file no command is known.
    let line = words![sandbox.path("vsrun"), &archive];
    let ended = sandbox.program(&tool("microvm"), line).env("TMPDIR", sandbox.directory()).finish();
    assert_eq!((ended.code(), ended.out.len()), (Some(1), 0));
    assert!(ended.err[0].contains("has no command"), "{ended:?}");
    let left = harness::names(sandbox.directory());
    assert!(!left.iter().any(|name| name.starts_with("tmp.")), "{left:?}");
}
