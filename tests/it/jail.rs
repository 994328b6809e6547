//! The server's IDs, groups, root, directory and terminal as its options set them, and that it cannot regain the rights
//! of root.

use crate::harness::call::identity;
use crate::harness::{self, Mount, Mounts, PLAIN, Report, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

#[track_caller]
fn assert_is(found: &Report, uid: u32, gid: u32, groups: &[u32]) {
    assert_eq!(found.one("uids"), format!("{uid} {uid} {uid}"));
    assert_eq!(found.one("gids"), format!("{gid} {gid} {gid}"));
    assert_eq!(found.groups(), groups);
}

#[test]
fn a_numeric_user_needs_no_passwd_entry() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let found = sandbox.report_with([way.clone(), words!["-u", "54321"]].concat());
        assert_is(&found, 54321, 54321, &[54321]);
        let values = ["HOME", "USER", "LOGNAME", "SHELL"].map(|name| found.variable(name));
        assert_eq!(values[0].as_deref(), Some("/"));
        assert_eq!(values[3].as_deref(), Some("/bin/sh"));
        assert_eq!(values[1], values[2]);
        assert_is(&sandbox.report_with([way, words!["-u", "54321:777"]].concat()), 54321, 777, &[777]);
    }
}

#[test]
fn the_greatest_number_that_means_a_user_works() {
    needs!(harness::root());
    let found = Sandbox::new().report_with(words!["-u", "4294967294:4294967294"]);
    assert_is(&found, 4_294_967_294, 4_294_967_294, &[4_294_967_294]);
}

/// Creates a mount namespace in which `/etc/passwd` and `/etc/group` have this content.
fn accounts(sandbox: &Sandbox, passwd: &[u8], group: &[u8]) -> Mounts {
    let bind = |name: &str, text: &[u8]| {
        let path = sandbox.path(name);
        fs::write(&path, text).unwrap();
        Mount::Bind(path, PathBuf::from("/etc").join(name))
    };
    Mounts::new(sandbox, &[bind("passwd", passwd), bind("group", group)])
}

#[track_caller]
fn report_within(sandbox: &Sandbox, mounts: &Mounts, options: Vec<OsString>) -> Report {
    let report = sandbox.out("report");
    let line = [options, words!["--", sandbox.probe(), "report", &report]].concat();
    sandbox.vsrun(line).within(mounts).finish().assert_exited(0);
    let found = sandbox.report(&report);
    fs::remove_file(&report).unwrap();
    found
}

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
    web:x:1001:2001:The Web,,,:/srv/web:/bin/false\n\
    bare:x:1002:2002:::\n\
    1003:x:1009:2009::/nine:/bin/nine\n\
    last:x:1004:2004::/last:/bin/last";
const GROUP: &[u8] = b"root:x:0:\n\
    web:x:2001:\n\
    mail:x:2010:other,web\n\
    tape:x:2011:web,other\n\
    disk:x:2012:webmaster,aweb\n\
    tape2:x:2011:web\n\
    one:x:2013:web";

#[test]
fn a_user_name_sets_its_groups_and_its_environment_variables() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = accounts(&sandbox, PASSWD, GROUP);
    let web = report_within(&sandbox, &mounts, words!["-u", "web"]);
    assert_is(&web, 1001, 2001, &[2001, 2010, 2011, 2013]);
    for (name, value) in [("HOME", "/srv/web"), ("USER", "web"), ("LOGNAME", "web"), ("SHELL", "/bin/false")] {
        assert_eq!(web.variable(name).as_deref(), Some(value));
    }
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "web:mail"]), 1001, 2010, &[2010]);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "web:99"]), 1001, 99, &[99]);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "last"]), 1004, 2004, &[2004]);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "last:one"]), 1004, 2013, &[2013]);
    let bare = report_within(&sandbox, &mounts, words!["-u", "bare"]);
    assert_is(&bare, 1002, 2002, &[2002]);
    assert_eq!((bare.variable("HOME").as_deref(), bare.variable("SHELL").as_deref()), (Some("/"), Some("/bin/sh")));
}

#[test]
fn digits_are_a_number_and_never_a_name() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = accounts(&sandbox, PASSWD, GROUP);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "1003"]), 1003, 1003, &[1003]);
    let by_number = report_within(&sandbox, &mounts, words!["-u", "1001"]);
    assert_is(&by_number, 1001, 2001, &[2001, 2010, 2011, 2013]);
    assert_eq!(by_number.variable("USER").as_deref(), Some("web"));
}

#[test]
fn variables_of_the_user_replace_the_callers_and_option_e_wins() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = accounts(&sandbox, PASSWD, GROUP);
    let report = sandbox.out("report");
    let options = words!["-u", "web", "-e", "SHELL=/chosen", "--", sandbox.probe(), "report", &report];
    sandbox
        .vsrun(options)
        .within(&mounts)
        .env("HOME", "/root")
        .env("USER", "root")
        .env("OTHER", "1")
        .finish()
        .assert_exited(0);
    let found = sandbox.report(&report);
    let wanted = [("HOME", "/srv/web"), ("USER", "web"), ("LOGNAME", "web"), ("SHELL", "/chosen"), ("OTHER", "1")];
    for (name, value) in wanted {
        assert_eq!(found.variable(name).as_deref(), Some(value));
    }
}

#[test]
fn malformed_account_lines_never_make_a_user_root() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let long = "x".repeat(100_000);
    let mut passwd =
        b"# comment:x:0:0::/:\n\n:::\n::0:0:::\nshort:x\nshort2:x:5\n+nis::::::\n-gone::::::\n+::::::\n".to_vec();
    passwd.extend_from_slice(
        b"empty:x::5::/:\nempty2:x:5:::/:\nletters:x:abc:5::/:\nhalf:x:5x:5::/:\nspace:x: 5:5::/:\n",
    );
    passwd.extend_from_slice(
        b"minus:x:-1:5::/:\nlast:x:4294967295:5::/:\nlast2:x:5:4294967295::/:\nmore:x:4294967296:5::/:\n",
    );
    passwd.extend_from_slice(b"wrap:x:18446744073709551616:0::/:\nplus:x:+5:5::/:\nhex:x:0x5:5::/:\n");
    passwd.extend_from_slice(format!("long:x:3001:4001:{long}:/long:/bin/long\n").as_bytes());
    passwd.extend_from_slice(b"b\xffd\xfe:x:3002:4002::/:\nn\0l:x:0:0::/:\nnul:x:3003:4003:\0:/nul:\n");
    passwd.extend_from_slice(b"crlf:x:3004:4004::/crlf:/bin/crlf\r\ntwin:x:3005:4005::/first:\ntwin:x:0:0::/second:\n");
    passwd.extend_from_slice(b"many:x:3006:4006:a:/many:/bin/many:and:more\n");
    let mut group = b"# c:x:0:long\n+:::\n\nshort:x\n:x:0:\nbad:x:abc:long\nempty:x::long\nminus:x:-1:long\n".to_vec();
    group.extend_from_slice(b"last:x:4294967295:long\nmore:x:4294967296:long\nwrap:x:18446744073709551616:long\n");
    group.extend_from_slice(format!("good:x:5001:{long},long\n").as_bytes());
    group.extend_from_slice(b"b\xffd:x:5002:long\ncrlf:x:5003:a,long\r\nlists:x:5004:,,long,,\nend:x:5005:long");
    let mounts = accounts(&sandbox, &passwd, &group);

    let found = report_within(&sandbox, &mounts, words!["-u", "long"]);
    assert!(!found.groups().contains(&0), "{found:?}");
    for group in [4001, 5001, 5002, 5004, 5005] {
        assert!(found.groups().contains(&group), "group {group}: {found:?}");
    }
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "twin"]), 3005, 4005, &[4005]);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "crlf"]), 3004, 4004, &[4004]);

    let nobody = ["short", "short2", "empty", "empty2", "letters", "half", "space", "minus", "last", "last2", "more"];
    for name in nobody.into_iter().chain(["wrap", "plus", "hex", "#", "n", "nul", "twi", "second", "x"]) {
        let line = words!["-u", name, "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        sandbox.vsrun(line).within(&mounts).finish().assert_failed(125, &[name]);
    }
    for name in ["bad", "empty", "minus", "last", "more", "wrap", "short"] {
        let line = words!["-u", format!("long:{name}"), "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        sandbox.vsrun(line).within(&mounts).finish().assert_failed(125, &[name]);
    }
    assert!(!sandbox.out("ran").exists());
}

#[test]
fn without_account_files_numbers_work_and_names_do_not() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = Mounts::new(&sandbox, &[Mount::Memory("/etc".into(), "size=4k")]);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "5:6"]), 5, 6, &[6]);
    assert_is(&report_within(&sandbox, &mounts, words!["-u", "5"]), 5, 5, &[5]);
    sandbox.vsrun(words!["-u", "root", "--", sandbox.probe()]).within(&mounts).finish().assert_failed(125, &["root"]);
}

#[test]
fn accounts_are_those_of_the_host_and_not_of_the_jail() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let mounts = accounts(&sandbox, PASSWD, GROUP);
    let jail = sandbox.jail();
    harness::sandbox::make_directory(&jail.join("etc"), 0o755);
    fs::write(jail.join("etc/passwd"), "web:x:0:0::/:\nonly:x:0:0::/:\n").unwrap();
    fs::write(jail.join("etc/group"), "root:x:0:web\n").unwrap();
    let line = words!["-u", "web", "-r", &jail, "--", "/probe", "report", "/out/report"];
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(0);
    assert_is(&sandbox.report(&jail.join("out/report")), 1001, 2001, &[2001, 2010, 2011, 2013]);
    sandbox
        .vsrun(words!["-u", "only", "-r", &jail, "--", "/probe"])
        .within(&mounts)
        .finish()
        .assert_failed(125, &["only"]);
}

#[test]
fn the_root_is_the_jail_and_the_directory_is_in_it() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let report = jail.join("out/report");
    for way in harness::ways() {
        for (options, cwd) in [(words![], "/"), (words!["-w", "/out"], "/out"), (words!["-d", "logs", "1"], "/")] {
            let line = words!["-u", format!("{PLAIN}"), "-r", &jail, "--", "/probe", "report", "/out/report"];
            sandbox.vsrun([way.clone(), options, line].concat()).finish().assert_exited(0);
            let found = sandbox.report(&report);
            assert_eq!(found.one("root"), identity(&jail));
            assert_eq!(found.one("cwd"), cwd);
            assert_eq!(found.one("here"), identity(&jail.join(&cwd[1..])));
            assert_is(&found, PLAIN, PLAIN, &[PLAIN]);
            assert_eq!(found.descriptor_numbers(), [0, 1, 2], "{found:?}");
            fs::remove_file(&report).unwrap();
            sandbox.await_nothing_left();
        }
    }
    assert_eq!(harness::names(&jail), ["out", "probe"], "logs are outside");
}

#[test]
fn a_directory_that_only_the_host_has_is_an_error() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    for way in harness::ways() {
        let wanted = sandbox.path("out").display().to_string();
        let line = words!["-p", "pid", "-r", &jail, "-w", &wanted, "--", "/probe"];
        sandbox.vsrun([way, line].concat()).finish().assert_failed(125, &[&wanted]);
        assert!(!sandbox.path("pid").exists());
        sandbox.await_nothing_left();
    }
}

#[test]
fn a_root_that_is_no_directory_is_an_error() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    for way in harness::ways() {
        for root in ["no-such-root", "file"] {
            let line = words!["-p", "pid", "-r", root, "--", sandbox.probe()];
            sandbox.vsrun([way.clone(), line].concat()).finish().assert_failed(125, &[root]);
            assert!(!sandbox.path("pid").exists());
        }
    }
}

#[test]
fn the_command_is_looked_up_in_the_jail() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::make_directory(&jail.join("tools"), 0o755);
    harness::sandbox::install(&sandbox.probe(), &jail.join("tools/inside"));
    harness::sandbox::make_directory(&sandbox.path("tools"), 0o755);
    harness::sandbox::install(&sandbox.probe(), &sandbox.path("tools/outside"));
    let options = |path: &str| words!["-r", &jail, "-e", format!("PATH={path}"), "--"];
    let call =
        |path: &str, command: &str| sandbox.vsrun([options(path), words![command, "exit", "7"]].concat()).finish();
    call("/nowhere:/tools", "inside").assert_exited(7).assert_silent();
    call("/nowhere", "inside").assert_failed(127, &["inside"]);
    call(&sandbox.path("tools").display().to_string(), "outside").assert_failed(127, &["outside"]);
}

#[test]
fn the_server_cannot_regain_root() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    for way in harness::ways() {
        let tried = jail.join("out/tried");
        let line = words!["-p", "pid", "-u", "12345:12345", "-r", &jail, "--", "/probe", "regain", "/out/tried"];
        sandbox.vsrun([way, line].concat()).finish().assert_exited(0);
        for line in harness::await_lines(&tried, 10) {
            assert!(line.ends_with(" refused"), "{line}");
        }
        fs::remove_file(&tried).unwrap();
        sandbox.await_nothing_left();
    }
}

#[test]
fn root_stays_root_when_no_other_user_was_asked_for() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let found = sandbox.report_with(words!["-u", "0"]);
    assert_eq!((found.one("uids"), found.one("gids")), ("0 0 0".to_owned(), "0 0 0".to_owned()));
}

#[test]
fn a_server_with_a_user_has_no_controlling_terminal() {
    needs!(harness::root());
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let (report, pushed) = (sandbox.out("report"), sandbox.out("pushed"));
        let actions =
            words!["push", "0", &pushed, "push", "1", &pushed, "push", "2", &pushed, "report", &report, "wait"];
        let line = [way.clone(), words!["--stdin", "-u", "12345", "--", sandbox.probe()], actions].concat();
        let (call, _terminal) = sandbox.vsrun(line).on_terminal();
        let _running = call.start();
        let found = sandbox.report(&report);
        assert_eq!(found.number("terminal"), 0, "/dev/tty cannot be opened");
        assert_eq!(process::terminal(found.number("pid")), 0, "{way:?}");
        let pushes = harness::lines(&pushed);
        assert_eq!(pushes.len(), 3);
        assert!(pushes.iter().all(|push| push.starts_with("refused")), "{way:?}: a keystroke was {pushes:?}");
    }
}

/// Without -u the kernel accepts the keystroke (TIOCSTI), so a refusal with -u is due to vsrun.
#[test]
fn a_server_without_a_user_may_push_keystrokes() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let pushed = sandbox.out("pushed");
    let (call, _terminal) = sandbox.vsrun(words!["--stdin", "--", sandbox.probe(), "push", "0", &pushed]).on_terminal();
    call.finish().assert_exited(0);
    assert_eq!(harness::text(&pushed), "DONE\n");
}

/// A record lock survives an exec, and an open-file-description lock survives a fork. The server must inherit neither.
#[test]
fn server_inherits_no_file_lock_of_the_caller() {
    for way in harness::ways() {
        let sandbox = Sandbox::new();
        let life = sandbox.out("life");
        let file = sandbox.path("locked");
        fs::write(&file, "x").unwrap();
        let locked = file.clone();
        let lock = move || sys::open_and_lock(&locked);
        let line = [way, words!["--", sandbox.probe(), "life", &life, "wait"]].concat();
        let running = sandbox.vsrun(line).before(lock).start();
        harness::await_life(&life, 1);
        let found = fs::File::options().read(true).write(true).open(&file).unwrap();
        harness::await_true("the end of the lock", || sys::lock_of(&found) == sys::Lock::None);
        harness::await_true("the end of the other lock", || sys::flock_is_free(&found));
        for pid in sandbox.living() {
            sys::kill(pid, libc::SIGKILL);
        }
        running.finish();
    }
}

#[test]
fn the_wrong_user_is_refused_with_both_numbers() {
    let sandbox = Sandbox::plain();
    let other = sandbox.user() + 1;
    let why = format!("(only root can become '{other}')");
    let said = format!("vsrun: started using wrong user ID ({}), expected {other} {why}", sandbox.user());
    for way in harness::ways() {
        let line = words!["-p", "pid", "-u", format!("{other}"), "--", sandbox.probe(), "append", "ran", "x"];
        let ended = sandbox.vsrun([way, line].concat()).finish();
        assert_eq!(*ended.assert_failed(125, &[]).complaints()[0], said);
        assert!(!sandbox.path("pid").exists() && !sandbox.path("ran").exists());
    }
}

#[test]
fn with_no_user_checks_the_server_keeps_the_callers_user() {
    let sandbox = Sandbox::plain();
    let found = sandbox.report_with(words!["--no-user-checks", "-u", format!("{}", sandbox.user() + 1)]);
    assert!(found.one("uids").starts_with(&format!("{} ", sandbox.user())), "{found:?}");
}

#[test]
fn being_the_user_already_is_never_an_error() {
    let sandbox = Sandbox::plain();
    for way in harness::ways() {
        let found = sandbox.report_with([way, words!["-u", format!("{}", sandbox.user())]].concat());
        assert!(found.one("uids").starts_with(&format!("{} ", sandbox.user())), "{found:?}");
    }
}

#[test]
fn a_plain_user_cannot_change_root() {
    let sandbox = Sandbox::plain();
    for way in harness::ways() {
        let line = words!["-p", "pid", "-r", "out", "--", "/probe"];
        sandbox.vsrun([way, line].concat()).finish().assert_failed(125, &["out", "not permitted"]);
        assert!(!sandbox.path("pid").exists());
    }
}

#[test]
fn a_managed_server_with_stdin_gets_the_terminals_foreground() {
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let line = words!["-m", "-", "-", "--stdin", "--", sandbox.probe(), "report", &report, "wait"];
    let (call, _terminal) = sandbox.vsrun(line).on_terminal();
    let manager = call.start();
    let server = sandbox.report(&report).number("pid");
    assert_ne!(process::terminal(server), 0, "it can read what a person types");
    assert_eq!(process::group(server), server);
    assert_eq!(process::foreground(server), server);
    manager.stop().assert_exited(0);
}
