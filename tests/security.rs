//! The known holes of this class of program, each tried on vsrun. SECURITY.md is the list of them, and names the
//! tests; the last test here holds it to that.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::call::identity;
use kit::{Mount, Mounts, Place, needs, sys, words};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

/// CVE-2024-21626: a working directory that is reached through a descriptor of the launcher's lies outside of the
/// root, and so does all that the server can find from there. Whoever may write in the jail can plant such a link.
#[test]
fn a_working_directory_behind_a_descriptor_of_ours_is_refused() {
    needs!(kit::root());
    let place = Place::new();
    let jail = place.jail();
    kit::place::make_directory(&jail.join("proc"), 0o755);
    let mounts = Mounts::new(&place, &[Mount::Bind("/proc".into(), jail.join("proc"))]);
    let host = File::open("/").unwrap();
    let report = jail.join("out/report");
    let mut refused = 0;
    for way in kit::ways() {
        for number in 0..24 {
            let link = jail.join("out/link");
            let _ = fs::remove_file(&link);
            symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
            for dir in ["/out/link", &format!("/proc/self/fd/{number}")] {
                let fd = host.as_raw_fd();
                let options = words!["-p", "pid", "-u", "12345", "-r", &jail, "-w", dir];
                let line = [way.clone(), options, words!["--", "/probe", "report", "/out/report"]].concat();
                let call = place.vsrun(line).within(&mounts).before(move || sys::duplicate(fd, 20));
                let ended = call.finish();
                if ended.code() == Some(0) {
                    let found = place.report(&report);
                    panic!("{way:?} -w {dir}: the server is in {} ({})", found.one("cwd"), found.one("here"));
                }
                ended.failed(125, &[dir]);
                refused += usize::from(ended.err[0].contains("prove that"));
                assert!(!report.exists(), "{way:?} {dir}");
            }
        }
    }
    assert!(refused > 0, "no directory was reached through a descriptor: this tests nothing");
    // A link that stays in the jail is one like any other.
    symlink("/out", jail.join("inside")).unwrap();
    let line = words!["-u", "12345", "-r", &jail, "-w", "/inside", "--", "/probe", "report", "/out/report"];
    place.vsrun(line).within(&mounts).finish().exited(0);
    assert_eq!(place.report(&report).one("here"), identity(&jail.join("out")));
}
