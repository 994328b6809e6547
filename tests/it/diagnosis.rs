//! When a command cannot be executed, the error message gives the reason and not only the kernel's error.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Asserts that, however the server is started, the one error line has all these parts.
#[track_caller]
fn assert_explained(sandbox: &Sandbox, options: Vec<OsString>, command: &str, status: i32, parts: &[&str]) {
    for way in harness::ways() {
        let line = [options.clone(), way, words!["--", command]].concat();
        sandbox.vsrun(line).finish().assert_failed(status, parts);
    }
}

/// A user ID without an account, and without any other process.
const USER: &str = "1012345";

/// Starts a file of the jail from outside by its path, and with `-r` from inside, each as the test's user and as
/// another user. The error line has the parts and the file's path; with an absolute `-r` also its path on the host.
#[track_caller]
fn assert_explained_everywhere(sandbox: &Sandbox, name: &str, status: i32, parts: &[&str]) {
    let outside = sandbox.path("jail").join(name).display().to_string();
    assert_explained(sandbox, words![], &outside, status, &[&[outside.as_str()], parts].concat());
    needs!(harness::root());
    assert_explained(sandbox, words!["-u", USER], &outside, status, &[&[outside.as_str()], parts].concat());
    let inside = format!("/{name}");
    let host = format!("on the host '{}/", sandbox.path("jail").display());
    let parts = [&[inside.as_str(), &host], parts].concat();
    for user in [words![], words!["-u", USER]] {
        assert_explained(sandbox, [words!["-r", "jail/"], user.clone()].concat(), &inside, status, &parts[..1]);
        assert_explained(sandbox, [words!["-r", sandbox.path("jail")], user].concat(), &inside, status, &parts);
    }
}

/// A minimal ELF file for the machine of the probe, which names this dynamic loader.
fn program_with_loader(sandbox: &Sandbox, loader: &str) -> Vec<u8> {
    let mut program = fs::read(sandbox.probe()).unwrap()[..64].to_vec();
    program.resize(64 + 56, 0);
    program[32..40].copy_from_slice(&64u64.to_le_bytes());
    program[54..58].copy_from_slice(&[56, 0, 1, 0]);
    program[64] = 3;
    program[64 + 8..64 + 16].copy_from_slice(&120u64.to_le_bytes());
    let size = u64::try_from(loader.len() + 1).unwrap().to_le_bytes();
    program[64 + 32..64 + 40].copy_from_slice(&size);
    program[64 + 40..64 + 48].copy_from_slice(&size);
    program.extend_from_slice(loader.as_bytes());
    program.push(0);
    program
}

#[test]
fn the_file_is_missing() {
    let sandbox = Sandbox::new();
    assert_explained(&sandbox, words![], "./missing", 127, &["./missing", "No such file"]);
    assert_explained(&sandbox, words![], "not-in-path", 127, &["not-in-path", "PATH"]);
    sandbox.jail();
    assert_explained_everywhere(&sandbox, "missing", 127, &["missing'", "No such file"]);
}

#[test]
fn the_file_is_a_link_to_what_is_not_there() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("/no/such/file", sandbox.jail().join("link")).unwrap();
    assert_explained_everywhere(&sandbox, "link", 127, &["link' is a symbolic link to a missing file"]);
    sandbox.executable("jail/script", format!("#!{}\n", sandbox.path("jail/link").display()).as_bytes());
    assert_explained(&sandbox, words![], "jail/script", 127, &["link' is a symbolic link to a missing file"]);
}

#[test]
fn a_directory_on_the_way_is_missing() {
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    sandbox.executable("jail/file", b"");
    let outside = format!("there is no directory '{}", jail.display());
    assert_explained(&sandbox, words![], "jail/no/file", 127, &["there is no directory '/", "/jail/no'"]);
    assert_explained(&sandbox, words![], "jail/file/x", 126, &["there is no directory '/", "/jail/file'"]);
    assert_explained_everywhere(&sandbox, "no/file", 127, &["there is no directory '", "/no'"]);
    assert_explained_everywhere(&sandbox, "file/x", 126, &["there is no directory '", "/file'"]);
    assert_explained(&sandbox, words![], &jail.join("no/x").display().to_string(), 127, &[&outside]);
}

#[test]
fn a_long_way_is_no_missing_directory() {
    let sandbox = Sandbox::new();
    let deep = sandbox.path(&["long"; 100].join("/"));
    harness::sandbox::make_directory(&deep, 0o755);
    let command = deep.join("missing").display().to_string();
    for way in harness::ways() {
        let ended = sandbox.vsrun([way, words!["--", &command]].concat()).finish();
        ended.assert_failed(127, &[&command, "No such file"]);
        assert!(!ended.complaints()[0].contains("there is no directory"), "{ended:?}");
    }
}

#[test]
fn its_interpreter_is_missing() {
    let sandbox = Sandbox::new();
    sandbox.jail();
    sandbox.executable("jail/script", b"#!/no/such/interpreter -x\n");
    assert_explained_everywhere(&sandbox, "script", 127, &["script", "'/no/such/interpreter'"]);
    sandbox.executable("jail/blanks", b"#! \t/no/such/other\n");
    assert_explained_everywhere(&sandbox, "blanks", 127, &["blanks", "'/no/such/other'"]);
    sandbox.executable("jail/windows", b"#!/bin/sh\r\necho hello\r\n");
    assert_explained_everywhere(&sandbox, "windows", 127, &["'/bin/sh\\x0d'", "CR LF"]);
}

#[test]
fn its_loader_is_missing() {
    let sandbox = Sandbox::new();
    sandbox.jail();
    sandbox.executable("jail/dynamic", &program_with_loader(&sandbox, "/no/such/ld.so"));
    assert_explained_everywhere(&sandbox, "dynamic", 127, &["ELF loader '/no/such/ld.so' is not"]);
}

#[test]
fn its_loader_is_missing_in_this_root() {
    needs!(harness::root(), harness::tool("sh"));
    let program = fs::read(harness::find_tool("sh").unwrap()).unwrap();
    let loader = loader_of(&program);
    needs!(harness::available(loader.is_some(), "a dynamic /bin/sh"));
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::copy(&harness::find_tool("sh").unwrap(), &jail.join("sh"));
    assert_explained(&sandbox, words!["-r", &jail], "/sh", 127, &["/sh", &loader.unwrap()]);
}

/// The path of the dynamic loader that an ELF file names: the first text in its first 4 KiB that begins with `/lib`.
fn loader_of(program: &[u8]) -> Option<String> {
    let start = program.windows(4).take(4096).position(|window| window == b"/lib")?;
    let end = program[start..].iter().position(|byte| *byte == 0)?;
    let path = String::from_utf8(program[start..start + end].to_vec()).ok()?;
    path.contains("ld").then_some(path)
}

#[test]
fn it_is_for_another_machine_or_class() {
    let sandbox = Sandbox::new();
    sandbox.jail();
    let mut program = fs::read(sandbox.probe()).unwrap();
    // Bytes 18 and 19 of an ELF file are the machine; 8 is MIPS.
    program[18] = 8;
    program[19] = 0;
    sandbox.executable("jail/foreign", &program);
    assert_explained_everywhere(&sandbox, "foreign", 126, &["foreign' is a program for another machine"]);
    // Byte 4 of an ELF file is its class; 1 is 32 bits.
    program[4] = 1;
    sandbox.executable("jail/small", &program);
    assert_explained_everywhere(&sandbox, "small", 126, &["small' is a program for another machine"]);
    // A truncated ELF header for this machine.
    sandbox.executable("jail/cut", &fs::read(sandbox.probe()).unwrap()[..60]);
    assert_explained_everywhere(&sandbox, "cut", 126, &["cut' is a program for another machine, or damaged"]);
}

#[test]
fn it_is_no_program_at_all() {
    let sandbox = Sandbox::new();
    sandbox.jail();
    sandbox.executable("jail/text", b"no program\n");
    sandbox.executable("jail/empty", b"");
    let mut object = fs::read(sandbox.probe()).unwrap();
    // Byte 16 of an ELF file is its type; 1 is an object file.
    object[16] = 1;
    sandbox.executable("jail/object", &object);
    for name in ["text", "empty", "object"] {
        assert_explained_everywhere(&sandbox, name, 126, &[&format!("{name}' is neither a program nor a script")]);
    }
}

#[test]
fn it_may_not_be_executed() {
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    fs::write(jail.join("plain"), "").unwrap();
    assert_explained_everywhere(
        &sandbox,
        "plain",
        126,
        &["plain' is not executable for this user", "Permission denied"],
    );
    assert_explained_everywhere(&sandbox, "out", 126, &["out' is not a regular file", "Permission denied"]);
    needs!(harness::root());
    harness::sandbox::copy(&sandbox.probe(), &jail.join("mine"));
    fs::set_permissions(jail.join("mine"), fs::Permissions::from_mode(0o700)).unwrap();
    for options in [words!["-u", USER], words!["-u", USER, "-w", "/"]] {
        let command = jail.join("mine").display().to_string();
        assert_explained(&sandbox, options, &command, 126, &[&command, "is not executable for this user"]);
    }
    let options = words!["-u", USER, "-r", &jail];
    assert_explained(&sandbox, options, "/mine", 126, &["'/mine' is not executable for this user"]);
}

#[test]
fn a_directory_on_the_way_is_closed_to_this_user() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::make_directory(&jail.join("open/closed/deep"), 0o755);
    let closed = jail.join("open/closed");
    harness::sandbox::install(&sandbox.probe(), &closed.join("deep/probe"));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let command = closed.join("deep/probe").display().to_string();
    let names = format!("the directory '{}' is not searchable", closed.display());
    assert_explained(&sandbox, words!["-u", USER], &command, 126, &[&command, &names]);
    let host = format!("on the host '{}'", closed.display());
    let options = words!["-u", USER, "-r", &jail];
    assert_explained(&sandbox, options, "/open/closed/deep/probe", 126, &["'/open/closed' is not searchable", &host]);
}

#[test]
fn another_process_has_it_open_to_write() {
    let sandbox = Sandbox::new();
    harness::sandbox::copy(&sandbox.probe(), &sandbox.jail().join("busy"));
    let _open = fs::OpenOptions::new().append(true).open(sandbox.path("jail/busy")).unwrap();
    assert_explained_everywhere(&sandbox, "busy", 126, &["Text file busy", "open for writing"]);
}

#[test]
fn the_user_has_too_many_processes() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let user = 1_200_000 + harness::sys::pid().cast_unsigned() % 50_000 * 2;
    let (user, other) = (format!("{user}"), user + 1);
    // RLIMIT_NPROC is compared with the processes that the user already has, so start one first.
    let first = sandbox.out("first");
    let line = words!["-b", "-u", &user, "--", sandbox.probe(), "life", &first, "wait"];
    sandbox.vsrun(line).finish().assert_exited(0);
    harness::await_life(&first, 1);
    for way in harness::ways() {
        for (options, command) in [(words![], sandbox.path("probe")), (words!["-r", &jail], "/probe".into())] {
            let line = [options, way.clone(), words!["-u", &user, "--", command, "exit", "0"]].concat();
            let ended = sandbox.vsrun(line).before(|| harness::sys::limit_processes(0)).finish();
            ended.assert_failed(126, &["/probe", "too many processes"]);
        }
    }
    let sandbox = Sandbox::of_user(other);
    let line = words!["-m", "-", "-", "--", sandbox.probe(), "exit", "0"];
    let ended = sandbox.vsrun(line).before(|| harness::sys::limit_processes(0)).finish();
    ended.assert_failed(125, &["cannot start a process", "too many processes"]);
}

#[test]
fn its_root_or_working_directory_is_missing() {
    let sandbox = Sandbox::new();
    let command = sandbox.probe().display().to_string();
    assert_explained(&sandbox, words!["-w", "no/dir"], &command, 125, &["no/dir'", "there is no directory '"]);
    needs!(harness::root());
    let jail = sandbox.jail();
    assert_explained(&sandbox, words!["-r", "none/jail"], &command, 125, &["none/jail'", "there is no directory '"]);
    let host = format!("(on the host '{}/work')", jail.display());
    assert_explained(&sandbox, words!["-r", &jail, "-w", "work"], &command, 125, &["'work'", &host]);
    let options = words!["-r", &jail, "-w", "/out"];
    let host = format!("(looked for in the directory '/out') (on the host '{}/out')", jail.display());
    assert_explained(&sandbox, options, "./missing", 127, &["'./missing'", &host]);
}

#[test]
fn the_file_system_is_mounted_noexec() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    harness::sandbox::make_directory(&disk, 0o755);
    let mounts = [Mount::Bind(disk.clone(), disk.clone()), Mount::Remount(disk.clone(), libc::MS_NOEXEC)];
    harness::sandbox::install(&sandbox.probe(), &disk.join("probe"));
    let mounts = Mounts::new(&sandbox, &mounts);
    let command = disk.join("probe");
    for way in harness::ways() {
        let line = [way, words!["--", &command]].concat();
        sandbox.vsrun(line).within(&mounts).finish().assert_failed(126, &[&command.display().to_string(), "noexec"]);
    }
    let host = format!("on the host '{}'", command.display());
    for options in [words!["-u", USER], words!["-r", &disk], words!["-r", &disk, "-u", USER]] {
        let jailed = options.contains(&OsString::from("-r"));
        let command = if jailed { "/probe".into() } else { command.clone() };
        let ended = sandbox.vsrun([options, words!["--", command]].concat()).within(&mounts).finish();
        ended.assert_failed(126, &["/probe'", "noexec", if jailed { &host } else { "" }]);
    }
}
