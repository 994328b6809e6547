//! Hostile account files: whatever is in, or in place of, `/etc/passwd` and `/etc/group`, no server gets an identity
//! that was not requested, and vsrun does not hang.

use crate::harness::{self, Mount, Mounts, ProcessResult, Report, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A mount namespace with an empty `/etc` of its own, and the paths of its passwd and group from outside.
fn own_etc(sandbox: &Sandbox) -> (Mounts, PathBuf, PathBuf) {
    let mounts = Mounts::new(sandbox, &[Mount::Memory("/etc".into(), "size=256m,mode=755")]);
    let path = |name: &str| mounts.path(&PathBuf::from("/etc").join(name));
    let (passwd, group) = (path("passwd"), path("group"));
    (mounts, passwd, group)
}

/// Starts a server with these options. Returns how vsrun ended and, if the server ran, its report.
fn start(sandbox: &Sandbox, mounts: &Mounts, options: Vec<OsString>) -> (ProcessResult, Option<Report>) {
    let report = sandbox.out("report");
    let _ = fs::remove_file(&report);
    let line = [options, words!["--", sandbox.probe(), "report", &report]].concat();
    let ended = sandbox.vsrun(line).within(mounts).finish();
    let found = report.exists().then(|| sandbox.report(&report));
    (ended, found)
}

#[track_caller]
fn assert_refused(sandbox: &Sandbox, mounts: &Mounts, user: &str, parts: &[&str]) {
    let (ended, found) = start(sandbox, mounts, words!["-u", user]);
    ended.assert_failed(125, parts);
    assert!(!ended.err[0].contains(char::is_control), "{ended:?}");
    assert!(found.is_none(), "{user}: a server ran as {found:?}");
}

#[track_caller]
fn assert_becomes(sandbox: &Sandbox, mounts: &Mounts, user: &str, ids: (u32, u32), groups: &[u32]) {
    let (ended, found) = start(sandbox, mounts, words!["-u", user]);
    ended.assert_exited(0);
    let (found, (uid, gid)) = (found.unwrap(), ids);
    assert_eq!(found.one("uids"), format!("{uid} {uid} {uid}"), "{user}");
    assert_eq!(found.one("gids"), format!("{gid} {gid} {gid}"), "{user}");
    assert_eq!(found.groups(), groups, "{user}");
}

#[test]
fn an_id_that_means_no_change_is_wrong_usage() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for user in ["4294967295", "-1", "0:4294967295", "5:-1", "4294967296", "18446744073709551616", "1:", ":0"] {
        for way in harness::ways() {
            let line = words![format!("--user={user}"), "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
            sandbox.vsrun([way, line].concat()).finish().assert_failed(2, &["--user"]);
        }
    }
    assert!(!sandbox.out("ran").exists());
}

#[test]
fn a_name_that_begins_with_a_digit_is_wrong_usage() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(passwd, "0day:x:0:0::/:\n0x0:x:0:0::/:\n1e3:x:0:0::/:\nweb:x:5:6::/:\n").unwrap();
    fs::write(group, "0day:x:0:\n").unwrap();
    for user in ["0day", "0x0", "1e3", "5:0day", "web:0day", "5 ", "+5", "0day:"] {
        let (ended, found) = start(&sandbox, &mounts, words![format!("--user={user}")]);
        ended.assert_failed(2, &["--user", user.trim()]);
        assert!(found.is_none(), "{user}");
    }
}

#[test]
fn a_numeric_user_ignores_entries_with_that_number_as_name() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(passwd, "1000:x:0:0::/root:/bin/sh\n4294967294:x:0:0::/:\n").unwrap();
    fs::write(group, "root:x:0:1000,01000\ndisk:x:6:web,1000\n1000:x:0:\n7:x:0:\n").unwrap();
    assert_becomes(&sandbox, &mounts, "1000", (1000, 1000), &[1000]);
    assert_becomes(&sandbox, &mounts, "01000", (1000, 1000), &[1000]);
    assert_becomes(&sandbox, &mounts, "4294967294", (4_294_967_294, 4_294_967_294), &[4_294_967_294]);
    assert_becomes(&sandbox, &mounts, "1000:1000", (1000, 1000), &[1000]);
    assert_becomes(&sandbox, &mounts, "5:7", (5, 7), &[7]);
}

#[test]
fn entries_that_name_the_id_of_no_change_are_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(passwd, "u:x:4294967295:5::/:\ng:x:5:4294967295::/:\nneg:x:-1:-1::/:\nnil:x:::::\nok:x:7:7::/:").unwrap();
    fs::write(group, "all:x:4294967295:ok\nneg:x:-1:ok\nnil:x::ok\nlast:x:8:ok").unwrap();
    for user in ["u", "g", "neg", "nil", "ok:all", "ok:neg", "ok:nil"] {
        let name = user.rsplit(':').next().unwrap();
        assert_refused(&sandbox, &mounts, user, &[&format!("'{name}' has no valid")]);
    }
    // The last lines have no newline, and group entries without a valid number give the user no group.
    assert_becomes(&sandbox, &mounts, "ok", (7, 7), &[7, 8]);
}

#[test]
fn lines_of_every_kind_before_the_entry_change_nothing() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    let long = vec![b'x'; 1 << 20];
    let strange: [&[u8]; 14] = [
        b"",
        b"\r",
        b":",
        b"::::::",
        b"+",
        b"+::::::",
        b"+web:x:0:0::/:",
        b"-web:x:0:0::/:",
        b"+@all:x:0:0:::",
        b"web\0:x:0:0::/:",
        b"\0",
        b"web:x:0:0",
        b"\xff\xfe:x:0:0::/:",
        &long,
    ];
    for line in strange {
        for end in [&b"\n"[..], b"\r\n"] {
            fs::write(&passwd, [line, end, b"web:x:33:44::/w:/s", end, b"web:x:0:0::/:\n"].concat()).unwrap();
            fs::write(&group, [line, end, b"log:x:55:web", end, b"root:y:0:nobody,webmaster"].concat()).unwrap();
            assert_becomes(&sandbox, &mounts, "web", (33, 44), &[44, 55]);
            assert_becomes(&sandbox, &mounts, "web:log", (33, 55), &[55]);
            assert_becomes(&sandbox, &mounts, "33", (33, 44), &[44, 55]);
        }
    }
}

#[test]
fn as_many_groups_as_the_kernel_takes_and_not_one_less() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(passwd, "many:x:33:1::/:\n").unwrap();
    // NGROUPS_MAX is 65536, and the primary group is one of these groups.
    for (count, taken) in [(65_536, true), (65_537, false), (70_000, false)] {
        let list: String = (1..=count).map(|gid| format!("g{gid}:x:{gid}:many\n")).collect();
        fs::write(&group, list).unwrap();
        if taken {
            let all: Vec<u32> = (1..=count).collect();
            assert_becomes(&sandbox, &mounts, "many", (33, 1), &all);
        } else {
            assert_refused(&sandbox, &mounts, "many", &["groups", "Invalid argument"]);
        }
        assert_becomes(&sandbox, &mounts, "many:g7", (33, 7), &[7]);
    }
}

#[test]
fn a_passwd_or_group_that_is_no_regular_file_is_refused_at_once() {
    needs!(harness::root());
    type Make = fn(&PathBuf);
    let kinds: [(Make, &str); 5] = [
        (|path| fs::create_dir(path).unwrap(), "not a regular file"),
        (|path| sys::make_fifo(path.as_os_str()).unwrap(), "not a regular file"),
        (|path| sys::make_null(path).unwrap(), "not a regular file"),
        (|path| symlink("/dev/zero", path).unwrap(), "not a regular file"),
        (|path| symlink(path.file_name().unwrap(), path).unwrap(), "ymbolic link"),
    ];
    for (make, says) in kinds {
        let sandbox = Sandbox::new();
        let (mounts, passwd, group) = own_etc(&sandbox);
        make(&passwd);
        for user in ["web", "5", "5:web"] {
            assert_refused(&sandbox, &mounts, user, &["/etc/passwd", says]);
        }
        // UID:GID in numbers needs no entry in passwd or group.
        sandbox.vsrun(words!["-u", "5:6", "--", sandbox.probe()]).within(&mounts).finish().assert_exited(0);
        if passwd.is_dir() {
            fs::remove_dir(&passwd).unwrap()
        } else {
            fs::remove_file(&passwd).unwrap()
        }
        fs::write(&passwd, "web:x:33:44::/:\n").unwrap();
        make(&group);
        for user in ["web", "33", "33:web", "web:web"] {
            assert_refused(&sandbox, &mounts, user, &["/etc/group", says]);
        }
        // With a numeric GROUP, `/etc/group` is not read.
        assert_becomes(&sandbox, &mounts, "web:7", (33, 7), &[7]);
    }
}

#[test]
fn a_fifo_with_a_writer_is_refused_too() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, _) = own_etc(&sandbox);
    sys::make_fifo(passwd.as_os_str()).unwrap();
    let _writer = File::options().read(true).write(true).open(&passwd).unwrap();
    fs::write(&passwd, "web:x:0:0::/:\n").unwrap();
    assert_refused(&sandbox, &mounts, "web", &["/etc/passwd", "not a regular file"]);
}

#[test]
fn a_file_without_end_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, _) = own_etc(&sandbox);
    let file = File::create(&passwd).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_refused(&sandbox, &mounts, "web", &["/etc/passwd", "too large"]);
    assert_refused(&sandbox, &mounts, "5", &["/etc/passwd", "too large"]);
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let sandbox = Sandbox::plain();
    needs!(harness::root());
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(&passwd, format!("web:x:{}:{}::/:\n", sandbox.user(), sandbox.user())).unwrap();
    fs::write(&group, "").unwrap();
    for (closed, name) in [(&group, "/etc/group"), (&passwd, "/etc/passwd")] {
        fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();
        assert_refused(&sandbox, &mounts, "web", &[name, "Permission denied"]);
        assert_refused(&sandbox, &mounts, &sandbox.user().to_string(), &[name, "Permission denied"]);
    }
}

#[test]
fn files_in_the_jail_do_not_change_the_account() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(passwd, "web:x:33:44::/w:/s\n").unwrap();
    fs::write(group, "log:x:55:web\n").unwrap();
    let jail = sandbox.jail();
    for directory in ["etc", "lib", "usr/lib"] {
        harness::sandbox::make_directory(&jail.join(directory), 0o755);
    }
    let evil = "web:x:0:0::/:\nroot:x:0:0::/:\n33:x:0:0::/:\nonly:x:0:0::/:\n";
    fs::write(jail.join("etc/passwd"), evil).unwrap();
    fs::write(jail.join("etc/group"), "root:x:0:web,33\nlog:x:0:web\nonly:x:0:\n").unwrap();
    // Files in the jail that a C library would read or load to look up a user (CVE-2025-32463).
    fs::write(jail.join("etc/nsswitch.conf"), "passwd: /evil\ngroup: /evil\n").unwrap();
    for name in ["lib/libnss_/evil.so.2", "usr/lib/libnss_/evil.so.2", "etc/ld.so.preload"] {
        harness::sandbox::make_directory(jail.join(name).parent().unwrap(), 0o755);
        fs::write(jail.join(name), "/evil.so\n").unwrap();
    }
    let report = jail.join("out/report");
    for (user, gid, groups) in [("web", 44, &[44, 55][..]), ("33", 44, &[44, 55]), ("web:log", 55, &[55])] {
        let trace = sandbox.out("trace");
        let line = words!["-qq", "-e", "trace=%file", "-o", &trace, sandbox.path("vsrun"), "-u", user, "-r", &jail];
        let line = [line, words!["-w", "/etc", "--", "/probe", "report", "/out/report"]].concat();
        sandbox.program(&harness::find_tool("strace").unwrap(), line).within(&mounts).finish().assert_exited(0);
        let found = sandbox.report(&report);
        assert_eq!((found.one("uids"), found.one("gids")), ("33 33 33".into(), format!("{gid} {gid} {gid}")), "{user}");
        assert_eq!(found.groups(), groups, "{user}");
        fs::remove_file(&report).unwrap();
        // Between the chroot and the exec, no file is opened, and only the root and the working directory are looked
        // at.
        let calls = harness::lines(&trace);
        let inside = calls.iter().skip_while(|call| !call.starts_with("chroot(")).skip(1);
        let inside: Vec<&String> = inside.take_while(|call| !call.starts_with("execve(")).collect();
        let only_looks = |call: &&String| {
            ["chdir(", "getcwd(", "newfstatat(", "stat(", "statfs(", "statx("]
                .iter()
                .any(|begin| call.starts_with(begin))
                && ["\"/\"", "\".\"", "\"/etc\""].iter().any(|path| call.contains(path))
        };
        assert!(!inside.is_empty() && inside.iter().all(only_looks), "{inside:?}");
    }
    for user in ["only", "root", "web:only"] {
        let line = words!["-u", user, "-r", &jail, "--", "/probe", "append", "/out/ran", "x"];
        sandbox.vsrun(line).within(&mounts).finish().assert_failed(125, &["unknown"]);
    }
    assert!(!jail.join("out/ran").exists());
}

#[test]
fn passwd_text_is_harmless_in_messages_and_environment() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let (mounts, passwd, group) = own_etc(&sandbox);
    fs::write(passwd, b"\x1b[31m\x07:x:9:4294967295::/:\nb\x07d:x:10:11::/\x1b[0m:/s=\x01\nPATH=x:x:12:13::/:\n")
        .unwrap();
    fs::write(group, "").unwrap();
    assert_refused(&sandbox, &mounts, "9", &["'\\x1b[31m\\x07' has no valid"]);
    let (ended, found) = start(&sandbox, &mounts, words!["-u", "10"]);
    ended.assert_exited(0).assert_silent();
    let found = found.unwrap();
    assert_eq!(found.variable("USER").as_deref(), Some("b\x07d"));
    assert_eq!(found.variable("HOME").as_deref(), Some("/\x1b[0m"));
    let (_, found) = start(&sandbox, &mounts, words!["-u", "12"]);
    let found = found.unwrap();
    assert_eq!(found.variable("USER").as_deref(), Some("PATH=x"));
    assert_eq!(found.variable("PATH").as_deref(), Some(harness::call::PATH), "no variable comes out of a name");
}
