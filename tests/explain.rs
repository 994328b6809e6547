//! When a command cannot be executed, the message says why, and not only what the kernel answered.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, needs, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Whichever way it is started, the one line has all these parts.
#[track_caller]
fn assert_explained(place: &Place, options: Vec<OsString>, command: &str, status: i32, parts: &[&str]) {
    for way in kit::ways() {
        let line = [options.clone(), way, words!["--", command]].concat();
        place.vsrun(line).finish().failed(status, parts);
    }
}

#[test]
fn the_file_is_missing() {
    let place = Place::new();
    assert_explained(&place, words![], "./missing", 127, &["./missing", "No such file"]);
    assert_explained(&place, words![], "not-in-path", 127, &["not-in-path", "PATH"]);
}

#[test]
fn its_interpreter_is_missing() {
    let place = Place::new();
    place.executable("script", b"#!/no/such/interpreter -x\n");
    assert_explained(&place, words![], "./script", 127, &["./script", "/no/such/interpreter"]);
    place.executable("blanks", b"#! \t/no/such/other\n");
    assert_explained(&place, words![], "./blanks", 127, &["./blanks", "/no/such/other"]);
}

#[test]
fn its_loader_is_missing_in_this_root() {
    needs!(kit::root(), kit::tool("sh"));
    let program = fs::read(kit::find_tool("sh").unwrap()).unwrap();
    let loader = loader_of(&program);
    needs!(kit::available(loader.is_some(), "a dynamic /bin/sh"));
    let place = Place::new();
    let jail = place.jail();
    kit::place::copy(&kit::find_tool("sh").unwrap(), &jail.join("sh"));
    assert_explained(&place, words!["-r", &jail], "/sh", 127, &["/sh", &loader.unwrap()]);
}

/// The path of the dynamic loader that an ELF file names, found by what it looks like.
fn loader_of(program: &[u8]) -> Option<String> {
    let start = program.windows(4).take(4096).position(|window| window == b"/lib")?;
    let end = program[start..].iter().position(|byte| *byte == 0)?;
    let path = String::from_utf8(program[start..start + end].to_vec()).ok()?;
    path.contains("ld").then_some(path)
}

#[test]
fn it_is_for_another_machine() {
    let place = Place::new();
    let mut program = fs::read(place.probe()).unwrap();
    // The machine's number stands at byte 18 of an ELF file; 8 is MIPS.
    program[18] = 8;
    program[19] = 0;
    place.executable("foreign", &program);
    assert_explained(&place, words![], "./foreign", 126, &["./foreign", "machine"]);
}

#[test]
fn it_is_no_program_at_all() {
    let place = Place::new();
    place.executable("text", b"no program\n");
    place.executable("empty", b"");
    assert_explained(&place, words![], "./text", 126, &["./text"]);
    assert_explained(&place, words![], "./empty", 126, &["./empty"]);
}

#[test]
fn it_may_not_be_executed() {
    let place = Place::new();
    fs::write(place.path("plain"), "").unwrap();
    assert_explained(&place, words![], "./plain", 126, &["./plain", "Permission denied"]);
    assert_explained(&place, words![], "./out", 126, &["./out", "Permission denied"]);
}

#[test]
fn a_directory_on_the_way_is_closed_to_this_user() {
    needs!(kit::root());
    let place = Place::new();
    kit::place::make_directory(&place.path("open/closed/deep"), 0o755);
    let closed = place.path("open/closed");
    kit::place::install(&place.probe(), &closed.join("deep/probe"));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let command = closed.join("deep/probe").display().to_string();
    assert_explained(&place, words!["-u", "12345"], &command, 126, &[&command, "search"]);
}

#[test]
fn the_file_system_is_mounted_noexec() {
    needs!(kit::root());
    let place = Place::new();
    let disk = place.path("disk");
    kit::place::make_directory(&disk, 0o755);
    let mounts = [Mount::Bind(disk.clone(), disk.clone()), Mount::Again(disk.clone(), libc::MS_NOEXEC)];
    kit::place::install(&place.probe(), &disk.join("probe"));
    let mounts = Mounts::new(&place, &mounts);
    let command = disk.join("probe");
    for way in kit::ways() {
        let line = [way, words!["--", &command]].concat();
        place.vsrun(line).within(&mounts).finish().failed(126, &[&command.display().to_string(), "noexec"]);
    }
}
