//! A jail whose content belongs to a hostile user, with /proc in it: no path that execve(2) follows leads out through a
//! descriptor, because by then there is none.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Mount, Mounts, Place, needs, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// More than vsrun has open.
const NUMBERS: std::ops::Range<i32> = 0..24;

struct Jail {
    root: PathBuf,
    mounts: Mounts,
    /// The way from a descriptor of any directory to a program outside.
    outside: Vec<PathBuf>,
}

/// /proc is in the jail twice: in its place, and behind a link.
fn jail(place: &Place) -> Jail {
    let root = place.jail();
    kit::place::make_directory(&root.join("proc"), 0o755);
    let mounts = Mounts::new(place, &[Mount::Bind("/proc".into(), root.join("proc"))]);
    let outside = place.path("outside");
    kit::place::make_directory(&outside, 0o755);
    kit::place::install(&place.probe(), &outside.join("server"));
    let up = Path::new("../../../../../../../..");
    let outside = NUMBERS
        .map(|number| {
            let host = outside.strip_prefix("/").unwrap();
            Path::new("/proc/self/fd").join(number.to_string()).join(up).join(host)
        })
        .collect();
    Jail { root, mounts, outside }
}

/// All that vsrun can have open at a start.
fn options(place: &Place, jail: &Jail) -> Vec<OsString> {
    let logs = words!["-d", place.path("logs"), "1", "--listen", place.path("socket"), "-p", "pid"];
    [logs, words!["-u", "12345", "-r", &jail.root]].concat()
}

fn refused(place: &Place, jail: &Jail, way: &[OsString], options: Vec<OsString>, command: &str) {
    let host = File::open("/").unwrap();
    let fd = host.as_raw_fd();
    let report = jail.root.join("out/report");
    let line = [way.to_vec(), options, words!["--", command, "report", "/out/report"]].concat();
    let call = place.vsrun(line).within(&jail.mounts).before(move || sys::duplicate(fd, 20));
    let ended = call.finish();
    assert!(matches!(ended.code(), Some(126 | 127)), "{way:?} {command}: {ended:?}");
    assert!(!report.exists(), "{way:?} {command}: a program of the host has run");
    assert!(!place.path("pid").exists() && !place.path("socket").exists(), "{way:?} {command}");
}

#[test]
fn no_command_leads_out_through_a_descriptor() {
    needs!(kit::root());
    let place = Place::new();
    let jail = jail(&place);
    let (link, dir) = (jail.root.join("out/link"), jail.root.join("out/dir"));
    for way in kit::ways() {
        for outside in &jail.outside {
            let _ = (fs::remove_file(&link), fs::remove_file(&dir));
            symlink(outside.join("server"), &link).unwrap();
            symlink(outside, &dir).unwrap();
            refused(&place, &jail, &way, options(&place, &jail), "/out/link");
            refused(&place, &jail, &way, options(&place, &jail), "/out/dir/server");
        }
    }
}

#[test]
fn no_entry_of_path_leads_out_through_a_descriptor() {
    needs!(kit::root());
    let place = Place::new();
    let jail = jail(&place);
    let path = jail.outside.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    for way in kit::ways() {
        let options = [options(&place, &jail), words!["-e", format!("PATH={path}")]].concat();
        refused(&place, &jail, &way, options, "server");
    }
}

#[test]
fn no_interpreter_leads_out_through_a_descriptor() {
    needs!(kit::root());
    let place = Place::new();
    let jail = jail(&place);
    let link = jail.root.join("out/i");
    place.executable("jail/script", b"#!/out/i report /out/report\n");
    let shell = fs::canonicalize(kit::find_tool("sh").unwrap()).unwrap();
    let mut program = fs::read(shell).unwrap();
    let loader = program.windows(12).position(|bytes| bytes == b"/lib64/ld-li").unwrap();
    program[loader..loader + 7].copy_from_slice(b"/out/i\0");
    place.executable("jail/program", &program);
    for way in kit::ways() {
        for outside in &jail.outside {
            let _ = fs::remove_file(&link);
            symlink(outside.join("server"), &link).unwrap();
            for command in ["/script", "/program"] {
                refused(&place, &jail, &way, options(&place, &jail), command);
            }
        }
    }
    // In its place, each of them would have run.
    fs::remove_file(&link).unwrap();
    symlink("/probe", &link).unwrap();
    let line = words!["-u", "12345", "-r", &jail.root, "--", "/script"];
    place.vsrun(line).within(&jail.mounts).finish().exited(99);
}

/// With a logger, a ready descriptor and the standard input of the caller.
#[test]
fn no_pipe_or_input_leads_out() {
    needs!(kit::root());
    let place = Place::new();
    let jail = jail(&place);
    let link = jail.root.join("out/link");
    let logger = words!["-s", "tag", "--logger", format!("{} collect -", place.probe().display())];
    for outside in &jail.outside {
        let _ = fs::remove_file(&link);
        symlink(outside.join("server"), &link).unwrap();
        let user = words!["-u", "12345", "-r", &jail.root, "-p", "pid"];
        let ready = words!["-m", "monitor", "-", "--ready", "fd:7", "--stdin"];
        let options = [user, logger.clone()].concat();
        refused(&place, &jail, &[], options.clone(), "/out/link");
        refused(&place, &jail, &ready, options, "/out/link");
    }
}

/// What the server is to have may be a way out too.
#[test]
fn a_directory_among_the_servers_descriptors_is_refused() {
    needs!(kit::root());
    let place = Place::new();
    let jail = place.jail();
    let ran = jail.join("out/ran");
    for way in [words![], words!["--init"]] {
        for number in 0..3 {
            let host = File::open("/").unwrap();
            let line = words!["--stdin", "-u", "12345", "-r", &jail, "--", "/probe", "append", "/out/ran", "x"];
            let call = place.vsrun([way.clone(), line].concat());
            let fd = host.as_raw_fd();
            call.before(move || sys::duplicate(fd, number)).finish().exited(125);
            assert!(!ran.exists(), "{way:?} {number}");
        }
    }
    // Without a root of its own it is nothing special.
    let host = File::open("/").unwrap();
    let line = words!["--stdin", "--", place.probe(), "append", &ran, "x"];
    place.vsrun(line).stdin(host).finish().exited(0);
}

/// A jail with /proc is a jail like any other, and the server has what it was promised.
#[test]
fn a_jail_with_proc_works() {
    needs!(kit::root());
    let place = Place::new();
    let jail = jail(&place);
    for way in kit::ways() {
        let report = jail.root.join("out/report");
        let line = words!["-w", "/out", "--", "/proc/self/cwd/../probe", "report", "/out/report"];
        let line = [way.clone(), options(&place, &jail), line].concat();
        place.vsrun(line).within(&jail.mounts).finish().exited(0);
        let found = place.report(&report);
        assert_eq!(found.one("cwd"), "/out");
        // A server alone keeps the pidfile's lock.
        let expected: &[i32] = if way.contains(&"-m".into()) { &[0, 1, 2, 3] } else { &[0, 1, 2, 3, 4] };
        assert_eq!(found.descriptor_numbers().len(), expected.len(), "{way:?}: {:?}", found.descriptor_numbers());
        fs::remove_file(&report).unwrap();
        // In the background it may still be on its way out.
        kit::await_true("the end of the server", || place.living().len() == 1);
    }
}

/// What fails after the descriptors were closed is undone and reported all the same.
#[test]
fn a_start_that_fails_late_is_undone_and_reported_to_the_caller() {
    let place = Place::new();
    for way in kit::ways() {
        for output in [words![], words!["-d", place.path("logs"), "1"]] {
            let options = words!["-p", "pid", "--listen", place.path("socket"), "--", "/no/such/program"];
            let line = [way.clone(), output, options].concat();
            let ended = place.vsrun(line).finish();
            ended.exited(127);
            let told = ended.err.iter().filter(|line| line.contains("cannot execute '/no/such/program'")).count();
            assert_eq!(told, 1, "{ended:?}");
            assert!(!place.path("pid").exists() && !place.path("socket").exists(), "{way:?}");
        }
    }
    let records = kit::text(&place.path("logs/vsrun.log"));
    assert!(records.contains("cannot execute '/no/such/program'"), "{records}");
    place.await_nothing_left();
}
