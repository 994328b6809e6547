//! A jail whose content belongs to a hostile user, with /proc in it. No path that execve(2) follows leads out of the
//! jail through a descriptor, because vsrun has closed its descriptors by then.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The numbers of more descriptors than vsrun has open.
const NUMBERS: std::ops::Range<i32> = 0..24;

struct Jail {
    root: PathBuf,
    mounts: Mounts,
    /// For each of NUMBERS: the path from that descriptor in /proc/self/fd to a directory outside with the program
    /// `server`.
    outside: Vec<PathBuf>,
}

/// Makes a jail with /proc mounted in it, and a directory outside with the program `server`.
fn jail(sandbox: &Sandbox) -> Jail {
    let root = sandbox.jail();
    harness::sandbox::make_directory(&root.join("proc"), 0o755);
    let mounts = Mounts::new(sandbox, &[Mount::Bind("/proc".into(), root.join("proc"))]);
    let outside = sandbox.path("outside");
    harness::sandbox::make_directory(&outside, 0o755);
    harness::sandbox::install(&sandbox.probe(), &outside.join("server"));
    let up = Path::new("../../../../../../../..");
    let outside = NUMBERS
        .map(|number| {
            let host = outside.strip_prefix("/").unwrap();
            Path::new("/proc/self/fd").join(number.to_string()).join(up).join(host)
        })
        .collect();
    Jail { root, mounts, outside }
}

/// The options with which vsrun opens many files: a logdir, a socket and a pidfile.
fn options(sandbox: &Sandbox, jail: &Jail) -> Vec<OsString> {
    let logs = words!["-d", sandbox.path("logs"), "1", "--listen", sandbox.path("socket"), "-p", "pid"];
    [logs, words!["-u", "12345", "-r", &jail.root]].concat()
}

fn assert_start_fails(sandbox: &Sandbox, jail: &Jail, way: &[OsString], options: Vec<OsString>, command: &str) {
    let host = File::open("/").unwrap();
    let fd = host.as_raw_fd();
    let report = jail.root.join("out/report");
    let line = [way.to_vec(), options, words!["--", command, "report", "/out/report"]].concat();
    let call = sandbox.vsrun(line).within(&jail.mounts).before(move || sys::duplicate(fd, 20));
    let ended = call.finish();
    assert!(matches!(ended.code(), Some(126 | 127)), "{way:?} {command}: {ended:?}");
    assert!(!report.exists(), "{way:?} {command}: a program of the host has run");
    assert!(!sandbox.path("pid").exists() && !sandbox.path("socket").exists(), "{way:?} {command}");
}

#[test]
fn no_command_leads_out_through_a_descriptor() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = jail(&sandbox);
    let (link, dir) = (jail.root.join("out/link"), jail.root.join("out/dir"));
    for way in harness::ways() {
        for outside in &jail.outside {
            let _ = (fs::remove_file(&link), fs::remove_file(&dir));
            symlink(outside.join("server"), &link).unwrap();
            symlink(outside, &dir).unwrap();
            assert_start_fails(&sandbox, &jail, &way, options(&sandbox, &jail), "/out/link");
            assert_start_fails(&sandbox, &jail, &way, options(&sandbox, &jail), "/out/dir/server");
        }
    }
}

#[test]
fn no_entry_of_path_leads_out_through_a_descriptor() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = jail(&sandbox);
    let path = jail.outside.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    for way in harness::ways() {
        let options = [options(&sandbox, &jail), words!["-e", format!("PATH={path}")]].concat();
        assert_start_fails(&sandbox, &jail, &way, options, "server");
    }
}

#[test]
fn no_interpreter_leads_out_through_a_descriptor() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = jail(&sandbox);
    let link = jail.root.join("out/i");
    sandbox.executable("jail/script", b"#!/out/i report /out/report\n");
    let shell = fs::canonicalize(harness::find_tool("sh").unwrap()).unwrap();
    let mut program = fs::read(shell).unwrap();
    let loader = program.windows(12).position(|bytes| bytes == b"/lib64/ld-li").unwrap();
    program[loader..loader + 7].copy_from_slice(b"/out/i\0");
    sandbox.executable("jail/program", &program);
    for way in harness::ways() {
        for outside in &jail.outside {
            let _ = fs::remove_file(&link);
            symlink(outside.join("server"), &link).unwrap();
            for command in ["/script", "/program"] {
                assert_start_fails(&sandbox, &jail, &way, options(&sandbox, &jail), command);
            }
        }
    }
    // With an interpreter inside the jail the script is executed. The probe rejects its only argument with status 99.
    fs::remove_file(&link).unwrap();
    symlink("/probe", &link).unwrap();
    let line = words!["-u", "12345", "-r", &jail.root, "--", "/script"];
    sandbox.vsrun(line).within(&jail.mounts).finish().assert_exited(99);
}

/// vsrun also has the pipes of a logger and of `--ready fd:7` open, and the caller's standard input.
#[test]
fn no_pipe_or_input_leads_out() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = jail(&sandbox);
    let link = jail.root.join("out/link");
    let logger = words!["-s", "tag", "--logger", format!("{} collect -", sandbox.probe().display())];
    for outside in &jail.outside {
        let _ = fs::remove_file(&link);
        symlink(outside.join("server"), &link).unwrap();
        let user = words!["-u", "12345", "-r", &jail.root, "-p", "pid"];
        let ready = words!["-m", "monitor", "-", "--ready", "fd:7", "--stdin"];
        let options = [user, logger.clone()].concat();
        assert_start_fails(&sandbox, &jail, &[], options.clone(), "/out/link");
        assert_start_fails(&sandbox, &jail, &ready, options, "/out/link");
    }
}

/// A standard descriptor that the server inherits may lead out of the jail too.
#[test]
fn a_directory_among_the_servers_descriptors_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let ran = jail.join("out/ran");
    for way in [words![], words!["--init"]] {
        for number in 0..3 {
            let host = File::open("/").unwrap();
            let line = words!["--stdin", "-u", "12345", "-r", &jail, "--", "/probe", "append", "/out/ran", "x"];
            let call = sandbox.vsrun([way.clone(), line].concat());
            let fd = host.as_raw_fd();
            call.before(move || sys::duplicate(fd, number)).finish().assert_exited(125);
            assert!(!ran.exists(), "{way:?} {number}");
        }
    }
    // Without a changed root, a directory as standard input is allowed.
    let host = File::open("/").unwrap();
    let line = words!["--stdin", "--", sandbox.probe(), "append", &ran, "x"];
    sandbox.vsrun(line).stdin(host).finish().assert_exited(0);
}

/// With /proc in the jail, the server still gets its directory and its descriptors.
#[test]
fn a_jail_with_proc_works() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = jail(&sandbox);
    for way in harness::ways() {
        let report = jail.root.join("out/report");
        let line = words!["-w", "/out", "--", "/proc/self/cwd/../probe", "report", "/out/report"];
        let line = [way.clone(), options(&sandbox, &jail), line].concat();
        sandbox.vsrun(line).within(&jail.mounts).finish().assert_exited(0);
        let found = sandbox.report(&report);
        assert_eq!(found.one("cwd"), "/out");
        // Without a manager, the server itself keeps the locked pidfile open.
        let expected: &[i32] = if way.contains(&"-m".into()) { &[0, 1, 2, 3] } else { &[0, 1, 2, 3, 4] };
        assert_eq!(found.descriptor_numbers().len(), expected.len(), "{way:?}: {:?}", found.descriptor_numbers());
        fs::remove_file(&report).unwrap();
        // With `-b`, vsrun has exited, but the server may still be running.
        harness::await_true("the end of the server", || sandbox.living().len() == 1);
    }
}

/// A start that fails after vsrun has closed its descriptors is also undone and reported.
#[test]
fn a_start_that_fails_late_is_undone_and_reported_to_the_caller() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        for output in [words![], words!["-d", sandbox.path("logs"), "1"]] {
            let options = words!["-p", "pid", "--listen", sandbox.path("socket"), "--", "/no/such/program"];
            let line = [way.clone(), output, options].concat();
            let ended = sandbox.vsrun(line).finish();
            ended.assert_exited(127);
            let reported = ended.err.iter().filter(|line| line.contains("cannot execute '/no/such/program'")).count();
            assert_eq!(reported, 1, "{ended:?}");
            assert!(!sandbox.path("pid").exists() && !sandbox.path("socket").exists(), "{way:?}");
        }
    }
    let records = harness::text(&sandbox.path("logs/vsrun.log"));
    assert!(records.contains("cannot execute '/no/such/program'"), "{records}");
    sandbox.await_nothing_left();
}
