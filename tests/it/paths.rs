//! Paths that root follows on behalf of a user: the user cannot redirect them to files of others, and legitimate paths
//! still work.

use crate::harness::{self, Sandbox, needs, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

const USER: u32 = 12345;
const OTHER: u32 = 12346;

/// Makes a directory with this owner.
fn directory(path: &Path, owner: u32) -> PathBuf {
    harness::sandbox::make_directory(path, 0o755);
    chown(path, Some(owner), Some(owner)).unwrap();
    path.to_owned()
}

/// Makes a symbolic link with this owner.
fn link(target: &Path, path: &Path, owner: u32) {
    symlink(target, path).unwrap();
    lchown(path, Some(owner), Some(owner)).unwrap();
}

/// Everything below a directory: names, owners and modes.
fn tree(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in harness::names(top) {
        let path = top.join(name);
        let about = fs::symlink_metadata(&path).unwrap();
        found.push(format!("{} {} {:o}", path.display(), about.uid(), about.mode()));
        if about.is_dir() {
            found.extend(tree(&path));
        }
    }
    found
}

/// Each option that names a directory or a file in one, used with `dir`.
fn options_with(dir: &Path) -> Vec<Vec<OsString>> {
    vec![
        words!["-d", dir, "1"],
        words!["-d", dir.join("new"), "1"],
        words!["-d", dir.join("new/er"), "1"],
        words!["-p", dir.join("pid")],
        words!["-m", dir.join("pid"), "-"],
        words!["--listen", dir.join("socket")],
        words!["-r", dir],
        words!["--env-dir", dir],
        words!["--cgroup", dir.join("web")],
    ]
}

#[track_caller]
fn assert_refused(sandbox: &Sandbox, victim: &Path, options: Vec<OsString>, parts: &[&str]) {
    let before = tree(sandbox.directory());
    let line = [words!["-u", USER.to_string()], options.clone(), words!["--", "/probe", "exit", "0"]].concat();
    let ended = sandbox.vsrun(line).finish();
    let mut wanted = vec!["Operation not permitted"];
    wanted.extend(parts);
    ended.assert_failed(125, &wanted);
    let strange = |path: &String| !path.contains("/.out-") && !path.contains("/.err-");
    let after: Vec<String> = tree(sandbox.directory()).into_iter().filter(strange).collect();
    let before: Vec<String> = before.into_iter().filter(strange).collect();
    assert_eq!(after, before, "{options:?} has made nothing");
    assert_eq!(fs::metadata(victim).unwrap().uid(), 0, "{options:?} has given nothing away");
}

#[test]
fn users_link_to_roots_directory_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let victim = directory(&sandbox.path("victim"), 0);
    directory(&sandbox.path("home"), USER);
    // Links at the end and in the middle of the path, a link to a link, and a relative link.
    link(&victim, &sandbox.path("home/logs"), USER);
    link(sandbox.directory(), &sandbox.path("home/up"), USER);
    link(Path::new("logs"), &sandbox.path("home/again"), USER);
    link(Path::new("../victim"), &sandbox.path("home/relative"), USER);
    for name in ["home/logs", "home/up/victim", "home/again", "home/relative", "home/../victim"] {
        for options in options_with(&sandbox.path(name)) {
            assert_refused(&sandbox, &victim, options, &["belongs to user 0", "12345"]);
        }
    }
}

#[test]
fn link_of_another_user_in_a_sticky_directory_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let victim = directory(&sandbox.path("victim"), 0);
    harness::sandbox::make_directory(&sandbox.path("tmp"), 0o1777);
    link(&victim, &sandbox.path("tmp/link"), OTHER);
    directory(&sandbox.path("tmp/others"), OTHER);
    directory(&sandbox.path("tmp/others/inner"), USER);
    for options in options_with(&sandbox.path("tmp/link")) {
        assert_refused(&sandbox, &victim, options, &["belongs to user 0", "12346"]);
    }
    for options in options_with(&sandbox.path("tmp/others/inner")) {
        assert_refused(&sandbox, &victim, options, &["'inner' belongs to user 12345", "12346"]);
    }
}

/// If fs.protected_hardlinks is 0, every user can make a hard link to a symbolic link of root's.
#[test]
fn hard_link_to_roots_symlink_in_a_sticky_directory_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let victim = directory(&sandbox.path("victim"), 0);
    link(&victim, &sandbox.path("current"), 0);
    harness::sandbox::make_directory(&sandbox.path("tmp"), 0o1777);
    fs::hard_link(sandbox.path("current"), sandbox.path("tmp/logs")).unwrap();
    for options in options_with(&sandbox.path("tmp/logs")) {
        assert_refused(&sandbox, &victim, options, &["'logs' has a second hard link"]);
    }
}

#[test]
fn a_directory_is_not_made_for_a_user_in_that_of_another() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let home = directory(&sandbox.path("home"), OTHER);
    assert_refused(
        &sandbox,
        sandbox.directory(),
        words!["-d", home.join("logs"), "1"],
        &["'logs' would be made", "12346"],
    );
    assert_refused(
        &sandbox,
        sandbox.directory(),
        words!["-d", home.join("a/logs"), "1"],
        &["'a' would be made", "12346"],
    );
    let stranger = directory(&sandbox.path("stranger"), OTHER);
    assert_refused(&sandbox, sandbox.directory(), words!["-d", stranger, "1"], &["'stranger' belongs to user 12346"]);
}

#[test]
fn check_reports_users_link_to_roots_directory() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let victim = directory(&sandbox.path("victim"), 0);
    directory(&sandbox.path("home"), USER);
    link(&victim, &sandbox.path("home/link"), USER);
    for options in options_with(&sandbox.path("home/link")) {
        let line = [words!["--check", "-u", USER.to_string()], options, words!["--", sandbox.probe(), "wait"]].concat();
        let ended = sandbox.vsrun(line).finish();
        ended.assert_exited(125);
        assert!(ended.out.iter().any(|line| line.contains("belongs to user 0")), "{ended:?}");
    }
    assert!(harness::names(&victim).is_empty());
}

#[test]
fn legitimate_paths_still_work() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let home = directory(&sandbox.path("home"), USER);
    directory(&sandbox.path("root"), 0);
    directory(&sandbox.path("given"), USER);
    link(&sandbox.path("root"), &sandbox.path("run"), 0);
    link(Path::new("run"), &sandbox.path("var"), 0);
    link(Path::new("inner"), &home.join("current"), USER);
    directory(&home.join("inner"), USER);
    let cases = ["root", "run", "var", "run/new/er", "given", "home", "home/new", "home/a/b/c", "home/current"];
    for name in cases.into_iter().chain(["home/current/deep/er", "./root/../given", "home/inner//./x/"]) {
        for dir in [PathBuf::from(name), sandbox.path(name)] {
            let server = words!["--", sandbox.probe(), "print", "x"];
            let line = [words!["-u", USER.to_string(), "-d", &dir, "1"], server].concat();
            sandbox.vsrun(line).finish().assert_exited(0).assert_silent();
            assert_eq!(harness::text(&sandbox.path(name).join("logfile")), "x\n", "{name}");
        }
    }
    // A directory that vsrun makes in the user's directory belongs to the user, so the next start accepts the same
    // path.
    for made in ["home/a", "home/a/b", "home/a/b/c"] {
        assert_eq!(fs::metadata(sandbox.path(made)).unwrap().uid(), USER, "{made}");
    }
    assert_eq!(fs::metadata(sandbox.path("root/new")).unwrap().uid(), 0);
    for dir in ["run", "var", "given", "home", "home/current"].map(|name| sandbox.path(name)) {
        let line = words!["-u", USER.to_string(), "-p", dir.join("pid"), "--listen", dir.join("socket")];
        sandbox.vsrun([line, words!["--init", "--", sandbox.probe(), "exit", "0"]].concat()).finish().assert_exited(0);
        assert!(!dir.join("socket").exists() && !dir.join("pid").exists());
    }
}

#[test]
fn a_jail_whose_contents_belong_to_the_user_can_be_entered() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    for owner in [0, USER] {
        chown(&jail, Some(owner), Some(owner)).unwrap();
        link(&jail, &sandbox.path("link"), 0);
        for root in [jail.clone(), sandbox.path("link"), PathBuf::from("jail"), PathBuf::from("./out/../jail")] {
            let server = words!["--", "/probe", "print", "in"];
            let line = [words!["-u", USER.to_string(), "-r", root], server].concat();
            assert_eq!(sandbox.vsrun(line).finish().assert_exited(0).out, ["in"]);
        }
        fs::remove_file(sandbox.path("link")).unwrap();
    }
}

/// The text of a link in /proc may differ from its target: for a process in another mount namespace, that of
/// /proc/PID/root is `/`. So vsrun must let the kernel follow it.
#[test]
fn a_link_of_the_kernels_is_followed_by_the_kernel() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    let other = {
        let jail = jail.clone();
        let call = sandbox.program(Path::new("/probe"), words!["wait"]);
        call.before(move || sys::change_root(jail.as_os_str())).start()
    };
    let root = format!("/proc/{}/root", other.pid());
    let server = words!["--", "/probe", "print", "in"];
    assert_eq!(sandbox.vsrun([words!["-r", root], server].concat()).finish().assert_exited(0).out, ["in"]);
    sandbox
        .vsrun(words!["-d", "/proc/self/cwd/logs", "1", "--", sandbox.probe(), "print", "x"])
        .finish()
        .assert_exited(0);
    assert_eq!(harness::text(&sandbox.path("logs/logfile")), "x\n");
}

#[test]
fn links_in_a_circle_are_an_error() {
    let sandbox = Sandbox::new();
    symlink("b", sandbox.path("a")).unwrap();
    symlink("a", sandbox.path("b")).unwrap();
    for options in [words!["-d", "a", "1"], words!["-p", "a/pid"], words!["--env-dir", "b"]] {
        let line = [options, words!["--", sandbox.probe(), "exit", "0"]].concat();
        sandbox.vsrun(line).finish().assert_failed(125, &["Symbolic link loop"]);
    }
}

#[test]
fn unprivileged_caller_can_use_own_and_shared_directories() {
    let sandbox = Sandbox::plain();
    let shared = sandbox.path("out");
    harness::sandbox::make_directory(&shared, 0o1777);
    for dir in [PathBuf::from("a/b"), sandbox.path("c"), shared.join("d"), PathBuf::from(".")] {
        let server = words!["--", sandbox.probe(), "print", "x"];
        let line = [words!["-d", &dir, "1", "-p", dir.join("pid")], server].concat();
        // vsrun does not make the directory of a pidfile.
        let _ = fs::create_dir_all(sandbox.directory().join(&dir));
        let _ = chown(sandbox.directory().join(&dir), Some(sandbox.user()), Some(sandbox.user()));
        let _ = chown(sandbox.path("a"), Some(sandbox.user()), Some(sandbox.user()));
        sandbox.vsrun(line).finish().assert_exited(0);
        assert_eq!(harness::text(&sandbox.directory().join(&dir).join("logfile")), "x\n");
    }
}

#[test]
fn a_directory_that_could_not_be_given_is_removed_again() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let inject = "inject=fchownat:error=EPERM";
    let vsrun = words![sandbox.path("vsrun"), "-u", "12345", "-d", "a/b/logs", "1", "--", sandbox.probe(), "exit", "0"];
    let tracer = words!["-f", "-qq", "-o", "/dev/null", "-e", "trace=fchownat", "-e", inject];
    let ended = sandbox.program(&harness::find_tool("strace").unwrap(), [tracer, vsrun].concat()).finish();
    ended.assert_failed(125, &["logdir 'a/b/logs'", "Operation not permitted"]);
    assert!(!sandbox.path("a").exists());
}

/// A hard link to a file that only root can read, in a directory that the user can write to.
#[test]
fn env_dir_refuses_a_hard_link_to_a_file_of_another_owner() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("secret"), "secret\n").unwrap();
    fs::set_permissions(sandbox.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let line =
        || words!["-u", USER.to_string(), "--env-dir", "env", "--", sandbox.probe(), "report", sandbox.out("report")];
    for (owner, mode) in [(USER, 0o755), (0, 0o1777)] {
        let env = directory(&sandbox.path("env"), owner);
        fs::set_permissions(&env, fs::Permissions::from_mode(mode)).unwrap();
        fs::hard_link(sandbox.path("secret"), env.join("NAME")).unwrap();
        sandbox.vsrun(line()).finish().assert_failed(125, &["env/NAME", "Operation not permitted"]);
        fs::remove_dir_all(env).unwrap();
    }
    let env = directory(&sandbox.path("env"), USER);
    fs::write(env.join("NAME"), "value\n").unwrap();
    chown(env.join("NAME"), Some(USER), Some(USER)).unwrap();
    sandbox.vsrun(line()).finish().assert_exited(0);
}

/// The server sees the content of an environment file, and of a file that `NAME_FILE` names. So neither is read through
/// a link that the user controls.
#[test]
fn env_file_is_not_read_through_a_users_link() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let closed = directory(&sandbox.path("closed"), 0);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let secret = closed.join("secret");
    fs::write(&secret, "NAME=secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let home = directory(&sandbox.path("home"), USER);
    link(&secret, &home.join("file"), USER);
    link(&closed, &home.join("dir"), USER);
    link(Path::new("file"), &home.join("twice"), USER);
    fs::hard_link(&secret, home.join("second")).unwrap();
    harness::sandbox::make_directory(&sandbox.path("tmp"), 0o1777);
    link(&secret, &sandbox.path("tmp/file"), USER);
    fs::hard_link(&secret, sandbox.path("tmp/second")).unwrap();
    symlink(home.join("file"), sandbox.path("ours")).unwrap();
    let server = || words!["--", sandbox.probe(), "report", sandbox.out("report")];
    let user = USER.to_string();
    for file in ["home/file", "home/dir/secret", "home/twice", "home/second", "tmp/file", "tmp/second", "ours"] {
        let line = [words!["-u", &user, "--env-file", file], server()].concat();
        sandbox.vsrun(line).finish().assert_failed(125, &[file, "Operation not permitted"]);
        let line = [words!["-u", &user, "--file-env", "NAME"], server()].concat();
        sandbox.vsrun(line).env("NAME_FILE", file).finish().assert_failed(125, &[file, "Operation not permitted"]);
        assert!(!sandbox.out("report").exists());
    }
    // A name without a directory, in a working directory of the user's.
    let line = [words!["-u", &user, "--env-file", "file"], server()].concat();
    sandbox.vsrun(line).directory(&home).finish().assert_failed(125, &["file", "Operation not permitted"]);

    // Legitimate paths: root's file (also through root's link, or as a descriptor), and the user's own file.
    symlink("closed/secret", sandbox.path("link")).unwrap();
    fs::write(home.join("own"), "NAME=secret\n").unwrap();
    chown(home.join("own"), Some(USER), Some(USER)).unwrap();
    link(Path::new("own"), &home.join("link"), USER);
    for file in ["closed/secret", "./link", "home/own", "home/link", "/dev/stdin"] {
        let line = words!["-u", &user, "--env-file", file];
        let call = sandbox.vsrun([line, server()].concat()).stdin(fs::File::open(&secret).unwrap());
        call.finish().assert_exited(0);
        assert_eq!(sandbox.report(&sandbox.out("report")).variable("NAME").as_deref(), Some("secret"), "{file}");
        fs::remove_file(sandbox.out("report")).unwrap();
    }
}

#[test]
fn a_pidfile_where_others_may_write_holds_a_number_or_nothing() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    harness::sandbox::make_directory(&sandbox.path("tmp"), 0o1777);
    let pidfile = sandbox.path("tmp/pid");
    let start = || sandbox.vsrun(words!["-p", &pidfile, "--", sandbox.probe(), "exit", "0"]).finish();
    for text in ["root:x:0:0\n", "12 34\n", "1234567890123456789012345678901234567890"] {
        fs::write(&pidfile, text).unwrap();
        start().assert_failed(125, &["something other than a pid"]);
        assert_eq!(harness::text(&pidfile), text);
    }
    for text in ["", "17\n", "17"] {
        fs::write(&pidfile, text).unwrap();
        start().assert_exited(0);
    }
}
