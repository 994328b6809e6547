//! Numbers that do not fit into 32 bits: times after January 2038, and files of more than 2 GiB. On 32-bit machines the
//! older system calls support neither.

use crate::harness::{self, Mount, Mounts, Sandbox, needs, sys, words};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// 2040-01-01 in UTC.
const YEAR_2040: i64 = 2_208_988_800;
const DAY: i64 = 86400;
/// File sizes in bytes that need more than 31 bits and more than 32 bits.
const LARGE: [u64; 2] = [3 << 30, 5 << 30];

/// Sets the modification time of a file. False if the file system cannot store this time.
fn set_time(path: &Path, seconds: i64) -> bool {
    sys::set_modified(path, seconds);
    let is = fs::metadata(path).unwrap().mtime() == seconds;
    harness::available(is, "a file system that knows times after 2038")
}

/// Extends a file without allocating disk space.
fn stretch(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn bytes_from(path: &Path, start: u64) -> String {
    let mut bytes = [0; 64];
    let count = File::open(path).unwrap().read_at(&mut bytes, start).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

fn print_with_logs(sandbox: &Sandbox) -> Vec<std::ffi::OsString> {
    words!["-d", sandbox.path("logs"), "1w", "--", sandbox.probe(), "print", "x"]
}

#[test]
fn a_file_of_the_future_is_not_taken_for_one_of_the_past() {
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    harness::sandbox::make_directory(&logs, 0o755);
    for (number, seconds) in [(1, 1_000_000_000), (2, i64::from(i32::MAX)), (3, 1 << 31), (4, YEAR_2040), (5, 1 << 33)]
    {
        let file = logs.join(format!("logfile.{number}"));
        fs::write(&file, "").unwrap();
        needs!(set_time(&file, seconds));
    }
    sandbox.vsrun(print_with_logs(&sandbox)).finish().assert_exited(0).assert_silent();
    let wanted = ["logfile", "logfile.2", "logfile.3", "logfile.4", "logfile.5", "vsrun.log"];
    assert_eq!(harness::names(&logs), wanted);
}

/// Only this process sees the changed clock: strace overwrites the time that clock_gettime(2) returns.
#[test]
fn after_2038_old_files_are_deleted_and_new_ones_are_kept() {
    needs!(harness::tool("strace"));
    if harness::sandbox::emulated() {
        eprintln!("NOT TRIED: an emulator asks for the time in its own way");
        return;
    }
    let sandbox = Sandbox::new();
    let logs = sandbox.path("logs");
    harness::sandbox::make_directory(&logs, 0o755);
    let ages = [(1, 0), (2, YEAR_2040 - 8 * DAY), (3, YEAR_2040 - 6 * DAY), (4, YEAR_2040 + DAY)];
    for (number, seconds) in ages {
        let file = logs.join(format!("logfile.{number}"));
        fs::write(&file, "").unwrap();
        needs!(set_time(&file, seconds));
    }
    let time: String = YEAR_2040.to_le_bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let time = time.replace("\\x", "");
    let inject = format!("inject=/clock_gettime(64)?$:poke_exit=@arg2={time}");
    let words = words!["-qq", "-o", sandbox.path("trace"), "-e", inject, sandbox.path("vsrun")];
    let line = [words, print_with_logs(&sandbox)].concat();
    sandbox.program(&harness::find_tool("strace").unwrap(), line).finish().assert_exited(0).assert_silent();
    assert_eq!(harness::names(&logs), ["logfile", "logfile.3", "logfile.4", "vsrun.log"]);
    let records = harness::text(&logs.join("vsrun.log"));
    assert!(
        records.lines().count() > 0 && records.lines().all(|record| record.starts_with("2040-01-01T")),
        "{records}"
    );
}

#[test]
fn a_log_goes_on_beyond_2_and_4_gib() {
    for length in LARGE {
        let sandbox = Sandbox::new();
        let (life, gate, read) = (sandbox.out("life"), sandbox.out("gate"), sandbox.out("read"));
        let logs = sandbox.path("logs");
        let handler = sandbox.script("handler", words!["life", sandbox.out("handled"), "at", "2", "collect", &read]);
        let options = words!["--restart-delay", "0", "-d", &logs, "1", "-m", "-", handler];
        let actions = words!["life", &life, "print", "x", "await", &gate, "at", "1", "segv", "at", "2", "exit", "1"];
        let manager = sandbox.vsrun([options, words!["--", sandbox.probe()], actions, words!["wait"]].concat()).start();
        harness::await_life(&life, 1);
        harness::await_lines(&logs.join("logfile"), 1);
        for name in ["logfile", "vsrun.log"] {
            stretch(&logs.join(name), length);
        }
        fs::write(&gate, "").unwrap();
        // After the second life the handler gets only the output of that life, and not the gigabytes before it.
        harness::await_life(&life, 3);
        let log = logs.join("logfile");
        harness::await_true("all lines", || bytes_from(&log, length) == "x\nx\n");
        assert!(bytes_from(&logs.join("vsrun.log"), length).starts_with("20"), "a record behind so many bytes");
        assert_eq!(harness::text(&read), "x\n", "the handler's standard input");
        manager.signal(libc::SIGHUP);
        harness::await_life(&life, 4);
        assert!(fs::metadata(logs.join("logfile.1")).unwrap().len() > length, "it was renamed");
        manager.stop().assert_exited(0);
    }
}

/// vsrun identifies a pidfile by its device and inode numbers, which may have 64 bits. Truncated to 32 bits, they could
/// be those of another file.
#[test]
fn a_pidfile_is_identified_by_its_full_inode_number() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    harness::sandbox::make_directory(&disk, 0o755);
    let mounts = Mounts::new(&sandbox, &[Mount::Memory(disk.clone(), "size=64k,inode64")]);
    let (file, life) = (disk.join("pid"), sandbox.out("life"));
    let line = words!["-p", &file, "-m", disk.join("monitor"), "-", "--", sandbox.probe(), "life", &life, "wait"];
    let manager = sandbox.vsrun(line).within(&mounts).start();
    harness::await_life(&life, 1);
    sandbox.vsrun(words!["--status", &file]).within(&mounts).finish().assert_exited(0);
    manager.stop().assert_exited(0);
    assert_eq!(harness::names(&mounts.path(&disk)), Vec::<String>::new());
}
