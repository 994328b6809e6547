//! Landlock on the real kernel: what the options allow works, and everything else is refused, whichever user the server
//! has.

use crate::harness::{self, Bundle, Call, PLAIN, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// True if this kernel supports every Landlock option of vsrun, which needs Linux 6.12.
fn landlock() -> bool {
    let sandbox = Sandbox::new();
    let line = words!["--rwx", "/", "--bind-tcp", "none", "--scope", "signal", "--", sandbox.probe()];
    let works = sandbox.vsrun(line).finish().code() == Some(0);
    harness::available(works, "a kernel with Landlock of Linux 6.12")
}

/// The user that the confined server has, and how it got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerUser {
    Root,
    /// Root that changes to an unprivileged user with -u.
    User,
    /// An unprivileged user that calls vsrun itself.
    Plain,
    /// Root in a user namespace of its own.
    Namespace,
}

const EVERYONE: [ServerUser; 4] = [ServerUser::Root, ServerUser::User, ServerUser::Plain, ServerUser::Namespace];

/// Prepares a call of vsrun as the user `of`, with these options and this script for the probe.
fn call<'a>(sandbox: &'a Sandbox, of: ServerUser, options: Vec<OsString>, script: Vec<OsString>) -> Call<'a> {
    let probe = words!["--rox", sandbox.probe()];
    let line = [probe, options, words!["--", sandbox.probe()], script].concat();
    match of {
        ServerUser::Root | ServerUser::Plain => sandbox.vsrun(line),
        ServerUser::User => sandbox.vsrun([words!["-u", PLAIN.to_string()], line].concat()),
        ServerUser::Namespace => {
            let unshare = words!["--user", "--map-root-user", "--", sandbox.path("vsrun")];
            sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat())
        }
    }
}

fn place_of(of: ServerUser) -> Sandbox {
    if of == ServerUser::Plain { Sandbox::plain() } else { Sandbox::new() }
}

fn can_run_these_tests() -> bool {
    harness::root() && harness::tool("unshare") && landlock()
}

/// Runs the call, and returns one line `WHAT A [B]: RESULT` for each attempt of the probe, with the path of `tree`
/// removed.
#[track_caller]
fn run_attempts(tree: &Path, call: Call<'_>) -> Vec<String> {
    let ended = call.finish();
    ended.assert_exited(0);
    ended.out.iter().map(|line| line.replace(&format!("{}/", tree.display()), "")).collect()
}

/// Creates a directory that every user may write to, with a file, a program, two empty directories and one with files.
fn tree(sandbox: &Sandbox, name: &str) -> PathBuf {
    let tree = sandbox.out(name);
    let _ = fs::remove_dir_all(&tree);
    for directory in ["", "d", "e", "g"] {
        harness::sandbox::make_directory(&tree.join(directory), 0o777);
    }
    for file in ["f", "d/x", "d/y"] {
        fs::write(tree.join(file), "text\n").unwrap();
        sys::set_mode(&tree.join(file), 0o666);
    }
    harness::sandbox::copy(&harness::sandbox::built("probe"), &tree.join("p"));
    tree
}

/// Every kind of access to a directory tree, with the names that it needs, in an order in which all can succeed.
const ACCESSES: &[(&str, &str)] = &[
    ("read", "f"),
    ("list", "d"),
    ("execute", "p"),
    ("write", "f"),
    ("truncate", "f"),
    ("make", "new"),
    ("mkdir", "dir"),
    ("symlink", "s"),
    ("fifo", "q"),
    ("socket", "k"),
    ("rename", "d/x e/moved"),
    ("link", "d/y e/linked"),
    ("unlink", "d/y"),
    ("rmdir", "g"),
];

fn script(tree: &Path, before: &[&str]) -> Vec<OsString> {
    let one = |(what, names): &(&str, &str)| {
        let paths = names.split(' ').map(|name| tree.join(name).into_os_string());
        before.iter().map(OsString::from).chain(words!["try", what]).chain(paths).collect::<Vec<_>>()
    };
    ACCESSES.iter().flat_map(one).collect()
}

/// Asserts that each access succeeded if `given` is true for it, and was refused otherwise.
#[track_caller]
fn assert_given(said: &[String], given: impl Fn(&str) -> bool, context: &str) {
    assert_eq!(said.len(), ACCESSES.len(), "{context}: {said:#?}");
    for (line, (what, _)) in said.iter().zip(ACCESSES) {
        let result = line.rsplit_once(": ").unwrap().1;
        let refused = ["EACCES", "EXDEV"].contains(&result);
        let as_it_should = if given(what) { result == "ok" } else { refused };
        assert!(as_it_should, "{context}: {line}");
    }
}

#[test]
fn each_option_gives_what_its_name_says_and_nothing_else() {
    needs!(can_run_these_tests());
    for of in EVERYONE {
        for (option, given) in
            [("--ro", &["read", "list"][..]), ("--rox", &["read", "list", "execute"]), ("--rw", &[]), ("--rwx", &[])]
        {
            for children in [&[][..], &["forked"], &["forked", "forked"]] {
                let sandbox = place_of(of);
                let (named, other) = (tree(&sandbox, "named"), tree(&sandbox, "other"));
                let options = words![option, &named];
                let said = run_attempts(&named, call(&sandbox, of, options.clone(), script(&named, children)));
                let all = match option {
                    "--rw" => |what: &str| what != "execute",
                    "--rwx" => |_: &str| true,
                    _ => |_: &str| false,
                };
                let context = format!("{of:?} {option} {children:?}");
                assert_given(&said, |what| given.contains(&what) || all(what), &context);
                let said = run_attempts(&other, call(&sandbox, of, options, script(&other, children)));
                assert_given(&said, |_| false, &format!("{context}, elsewhere"));
            }
        }
    }
}

#[test]
fn without_the_options_nothing_is_confined() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let free = tree(&sandbox, "free");
    let line = [words!["--", sandbox.probe()], script(&free, &[])].concat();
    assert_given(&run_attempts(&free, sandbox.vsrun(line)), |_| true, "free");
    // The options for TCP and for scopes do not restrict access to files.
    let options = [words!["--bind-tcp", "none"], words!["--connect-tcp", "none"], words!["--scope", "signal,abstract"]];
    for option in options {
        let free = tree(&sandbox, "free");
        let line = [option, words!["--", sandbox.probe()], script(&free, &[])].concat();
        assert_given(&run_attempts(&free, sandbox.vsrun(line)), |_| true, "free");
    }
}

#[test]
fn nothing_is_moved_or_linked_out_of_or_into_a_named_tree() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let (rw, ro, other) = (tree(&sandbox, "rw"), tree(&sandbox, "ro"), tree(&sandbox, "other"));
    let options = words!["--rw", &rw, "--ro", &ro];
    let mut script = Vec::new();
    for (from, to) in [(&rw, &ro), (&ro, &rw), (&rw, &other), (&other, &rw), (&ro, &other)] {
        for (what, name) in [("rename", "f"), ("link", "d/x"), ("rename", "d")] {
            script.extend(words!["try", what, from.join(name), to.join("e/taken")]);
        }
    }
    let said = run_attempts(&sandbox.out(""), call(&sandbox, ServerUser::Root, options, script));
    assert_eq!(said.len(), 15);
    let refused = |line: &String| line.ends_with(": EACCES") || line.ends_with(": EXDEV");
    assert!(said.iter().all(refused), "{said:#?}");
    for tree in [rw, ro, other] {
        assert_eq!(
            (harness::names(&tree), harness::names(&tree.join("e"))),
            (["d", "e", "f", "g", "p"].map(String::from).to_vec(), Vec::new())
        );
    }
}

#[test]
fn a_single_file_may_be_named() {
    needs!(can_run_these_tests());
    for of in EVERYONE {
        let sandbox = place_of(of);
        let tree = tree(&sandbox, "tree");
        let (f, p) = (tree.join("f"), tree.join("p"));
        let options = words!["--rw", &f, "--rox", &p];
        let script = words![
            "try",
            "read",
            &f,
            "try",
            "write",
            &f,
            "try",
            "truncate",
            &f,
            "try",
            "execute",
            &p,
            "try",
            "write",
            &p,
            "try",
            "read",
            tree.join("d/x"),
            "try",
            "list",
            &tree,
            "try",
            "unlink",
            &f,
            "try",
            "execute",
            &f
        ];
        let said = run_attempts(&tree, call(&sandbox, of, options, script));
        let tree = tree.display();
        let list = format!("list {tree}: EACCES");
        let expected = ["read f: ok", "write f: ok", "truncate f: ok", "execute p: ok", "write p: EACCES"];
        let rest = ["read d/x: EACCES", &list, "unlink f: EACCES", "execute f: EACCES"];
        assert_eq!(said, [&expected[..], &rest].concat(), "{of:?}");
    }
}

#[test]
fn paths_are_those_of_the_server_in_its_root_and_directory() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    fs::create_dir(jail.join("srv")).unwrap();
    fs::write(jail.join("srv/f"), "").unwrap();
    fs::write(jail.join("g"), "").unwrap();
    symlink("/srv", jail.join("link")).unwrap();
    symlink("/g", jail.join("srv/to-g")).unwrap();
    let try_all = words!["try", "read", "/srv/f", "try", "read", "/g", "try", "list", "/"];
    let line = |options: Vec<OsString>| {
        let start = words!["-r", &jail, "-w", "/srv", "-u", "7:7", "--rox", "/probe"];
        [start, options, words!["--", "/probe"], try_all.clone()].concat()
    };
    for (option, said) in [
        (words!["--ro", "."], ["read /srv/f: ok", "read /g: EACCES", "list /: EACCES"]),
        (words!["--ro", "f"], ["read /srv/f: ok", "read /g: EACCES", "list /: EACCES"]),
        (words!["--ro", "/link"], ["read /srv/f: ok", "read /g: EACCES", "list /: EACCES"]),
        (words!["--ro", "to-g"], ["read /srv/f: EACCES", "read /g: ok", "list /: EACCES"]),
        (words!["--ro", ".."], ["read /srv/f: ok", "read /g: ok", "list /: ok"]),
    ] {
        for stay in [words![], words!["-m", "-", "-"]] {
            let ended = sandbox.vsrun([stay, line(option.clone())].concat()).finish();
            assert_eq!(ended.assert_exited(0).out, said, "{option:?}");
        }
    }
    // A path of the host does not exist in the jail.
    let outside = sandbox.vsrun(line(words!["--ro", jail.join("srv")])).finish();
    outside.assert_failed(125, &["apply --ro '", "No such file or directory"]);
    // A rule for a path that the server's user cannot reach is an error.
    sys::set_mode(&jail.join("srv"), 0o700);
    fs::create_dir(jail.join("srv/inner")).unwrap();
    let start = words!["-r", &jail, "-u", "7:7", "--rox", "/probe", "--ro", "/srv/inner", "--", "/probe"];
    sandbox.vsrun(start).finish().assert_failed(125, &["--ro '/srv/inner'", "Permission denied"]);
}

#[test]
fn a_path_that_is_missing_starts_no_server() {
    needs!(landlock());
    let sandbox = Sandbox::new();
    for option in ["--ro", "--rox", "--rw", "--rwx"] {
        for way in harness::ways() {
            let rule = words!["-p", "pid", "--rox", sandbox.probe(), option, "/no/where"];
            let line = [rule, way, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
            let ended = sandbox.vsrun(line).finish();
            ended.assert_failed(125, &[&format!("apply {option} '/no/where'"), "No such file or directory", "'/no'"]);
            assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists());
            sandbox.await_nothing_left();
        }
    }
}

#[test]
fn a_command_that_no_rule_covers_is_explained() {
    needs!(landlock());
    let sandbox = Sandbox::new();
    let script = sandbox.script("script", words!["exit", "0"]);
    let line = |options: Vec<OsString>, command: &Path| [options, words!["--", command]].concat();
    let not = |options: Vec<OsString>, command: &Path, says: &str| {
        for stay in [words![], words!["-m", "-", "-"]] {
            sandbox.vsrun([stay, line(options.clone(), command)].concat()).finish().assert_failed(126, &[says]);
        }
        let check = sandbox.vsrun([words!["--check"], line(options, command)].concat()).finish();
        assert!(check.assert_exited(125).out.len() == 1, "{check:?}");
        assert!(check.out[0].contains("no --rox or --rwx covers"), "{check:?}");
    };
    let (probe, covers) = (sandbox.probe(), "no --rox or --rwx covers");
    not(words!["--ro", sandbox.out("")], &probe, &format!("{covers} '{}')", probe.display()));
    not(words!["--ro", &probe], &probe, &format!("{covers} '{}'", probe.display()));
    not(words!["--rw", &probe], &probe, &format!("{covers} '{}'", probe.display()));
    not(words!["--rox", &script], &script, covers);
    not(words!["--rox", &script, "--ro", &probe], &script, covers);
    for options in [words!["--rox", &script, "--rox", &probe], words!["--rwx", sandbox.directory()]] {
        sandbox.vsrun(line(options.clone(), &script)).finish().assert_exited(0);
        sandbox.vsrun([words!["--check"], line(options, &script)].concat()).finish().assert_exited(0).assert_silent();
    }
}

/// A dynamically linked program with the fewest rules that it needs.
#[test]
fn a_dynamic_program_needs_its_loader_executed_and_its_libraries_read() {
    needs!(landlock(), harness::tool("ldd"));
    let sandbox = Sandbox::new();
    let cat = harness::find_tool("cat").unwrap();
    let listed =
        sandbox.program(&harness::find_tool("ldd").unwrap(), words![&cat]).finish().assert_exited(0).out.clone();
    let paths = |line: &String| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    let (loaders, libraries): (Vec<_>, Vec<_>) =
        listed.iter().filter_map(paths).partition(|path| path.to_str().unwrap().contains("/ld-"));
    if !harness::available(loaders.len() == 1 && !libraries.is_empty(), "a dynamic cat") {
        return;
    }
    fs::write(sandbox.out("text"), "hello\n").unwrap();
    let rules =
        |option: &str, paths: &[PathBuf]| paths.iter().flat_map(|path| words![option, path]).collect::<Vec<_>>();
    let command = words!["--", &cat, sandbox.out("text")];
    let least =
        [words!["--rox", &cat, "--ro", sandbox.out("text")], rules("--rox", &loaders), rules("--ro", &libraries)];
    let ended = sandbox.vsrun([least.concat(), command.clone()].concat()).finish();
    assert_eq!(ended.assert_exited(0).out, ["hello"]);
    sandbox
        .vsrun([words!["--check"], least.concat(), command.clone()].concat())
        .finish()
        .assert_exited(0)
        .assert_silent();
    // The kernel does not execute a loader that only --ro covers.
    let less = [words!["--rox", &cat, "--ro", sandbox.out("text")], rules("--ro", &loaders), rules("--ro", &libraries)];
    sandbox.vsrun([less.concat(), command.clone()].concat()).finish().assert_failed(126, &["its ELF loader"]);
    let check = sandbox.vsrun([words!["--check"], less.concat(), command].concat()).finish();
    assert!(check.assert_exited(125).out[0].contains(loaders[0].to_str().unwrap()), "{check:?}");
}

#[test]
fn check_names_each_rule_that_is_missing_and_makes_nothing() {
    needs!(landlock());
    let sandbox = Sandbox::new();
    let line =
        words!["--check", "--ro", "/no/where", "--rw", "/not/here", "-w", sandbox.out(""), "--", sandbox.probe()];
    let check = sandbox.vsrun(line).finish();
    let parts = ["apply --ro '/no/where'", "apply --rw '/not/here'", "use the working directory", "cannot execute"];
    assert_eq!(check.assert_exited(125).out.len(), parts.len(), "{check:?}");
    for (line, part) in check.out.iter().zip(parts) {
        assert!(line.contains(part), "{part}: {check:?}");
    }
    let line = words![
        "--check",
        "--rox",
        sandbox.probe(),
        "--ro",
        sandbox.out(""),
        "-w",
        sandbox.out(""),
        "--",
        sandbox.probe()
    ];
    sandbox.vsrun(line).finish().assert_exited(0).assert_silent();
}

#[test]
fn tcp_goes_to_and_from_the_named_ports_only() {
    needs!(can_run_these_tests());
    for of in EVERYONE {
        let sandbox = place_of(of);
        let (named, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [&named, &other].map(|socket| socket.local_addr().unwrap().port().to_string());
        let [named, other] = &ports;
        let script = words![
            "try", "connect", named, "try", "connect", other, "try", "bind", named, "try", "bind", other, "try",
            "bind", "0", "forked", "try", "connect", other, "try", "udp", "0"
        ];
        let said = |options: Vec<OsString>| -> Vec<String> {
            let out = run_attempts(sandbox.directory(), call(&sandbox, of, options, script.clone()));
            out.iter().map(|line| line.rsplit_once(": ").unwrap().1.to_owned()).collect()
        };
        // The test listens on both ports, so a bind that Landlock allows fails with EADDRINUSE.
        let (ok, in_use, no) = ("ok", "EADDRINUSE", "EACCES");
        assert_eq!(said(words!["--connect-tcp", named]), [ok, no, in_use, in_use, ok, no, ok], "{of:?}");
        assert_eq!(said(words!["--connect-tcp", "none"]), [no, no, in_use, in_use, ok, no, ok], "{of:?}");
        assert_eq!(said(words!["--bind-tcp", named]), [ok, ok, in_use, no, no, ok, ok], "{of:?}");
        assert_eq!(said(words!["--bind-tcp", "none"]), [ok, ok, no, no, no, ok, ok], "{of:?}");
        let both = words!["--bind-tcp", other, "--connect-tcp", named, "--connect-tcp", other];
        assert_eq!(said(both), [ok, ok, no, in_use, no, ok, ok], "{of:?}");
    }
}

#[test]
fn a_socket_that_vsrun_opens_is_served_although_no_port_may_be_bound() {
    needs!(landlock());
    let sandbox = Sandbox::new();
    let path = sandbox.out("socket");
    let rules = words!["--rox", sandbox.probe(), "--bind-tcp", "none", "--connect-tcp", "none"];
    let line = [rules, words!["--listen", &path, "-m", "-", "-", "--", sandbox.probe(), "serve", "3"]].concat();
    let manager = sandbox.vsrun(line).start();
    let mut answer = String::new();
    harness::await_true("an answer", || {
        let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&path) else { return false };
        std::io::Read::read_to_string(&mut stream, &mut answer).is_ok() && answer.ends_with('\n')
    });
    manager.stop().assert_exited(0);
}

#[test]
fn signals_and_abstract_sockets_stay_inside_their_scope() {
    needs!(can_run_these_tests());
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    for of in EVERYONE {
        let sandbox = place_of(of);
        let name = harness::unique_name();
        let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        // The process to signal has a user whose processes the server may signal without Landlock.
        let user = if of == ServerUser::Plain { words![] } else { words!["-u", PLAIN.to_string()] };
        let up = sandbox.out("up");
        let target = words!["--", sandbox.probe(), "append", &up, "x", "wait"];
        let target = sandbox.vsrun([user, target].concat()).start();
        // Until this file exists the process may still be root, and the server's user may not signal root.
        harness::await_file(&up);
        let pid = target.pid().to_string();
        let script = words!["try", "signal", &pid, "try", "abstract", &name, "forked", "try", "signal", &pid];
        let said = |options: Vec<OsString>| -> Vec<String> {
            let out = run_attempts(sandbox.directory(), call(&sandbox, of, options, script.clone()));
            out.iter().map(|line| line.rsplit_once(": ").unwrap().1.to_owned()).collect()
        };
        assert_eq!(said(words!["--scope", "signal"]), ["EPERM", "ok", "EPERM"], "{of:?}");
        assert_eq!(said(words!["--scope", "abstract"])[1], "EPERM", "{of:?}");
        assert_eq!(said(words!["--scope", "signal,abstract"]), ["EPERM"; 3], "{of:?}");
        if of != ServerUser::Namespace {
            assert_eq!(said(words!["--scope", "abstract"]), ["ok", "EPERM", "ok"], "{of:?}");
            assert_eq!(said(words![]), ["ok"; 3], "{of:?}");
        }
        sys::kill(target.pid(), libc::SIGKILL);
        target.finish();
    }
}

#[test]
fn device_ioctls_need_a_rule_that_allows_writing() {
    needs!(can_run_these_tests());
    for of in EVERYONE {
        let sandbox = place_of(of);
        for (option, result) in [("--ro", "EACCES"), ("--rox", "EACCES"), ("--rw", "ok"), ("--rwx", "ok")] {
            let script = words!["try", "ioctl", "/dev/urandom"];
            let said = run_attempts(Path::new("/dev"), call(&sandbox, of, words![option, "/dev/urandom"], script));
            assert_eq!(said, [format!("ioctl urandom: {result}")], "{of:?} {option}");
        }
    }
}

#[test]
fn each_run_of_a_server_is_confined_and_inherits_no_descriptor() {
    needs!(landlock());
    let sandbox = Sandbox::new();
    let (life, report) = (sandbox.out("life"), sandbox.out("report"));
    let rules = words!["--rox", sandbox.probe(), "--rw", sandbox.out(""), "--ro", "/proc", "--connect-tcp", "none"];
    let script = words!["life", &life, "at", "1", "segv", "report", &report, "try", "read", "/etc/passwd", "wait"];
    let line = [rules, words!["-m", "-", "-", "-p", "pid", "--", sandbox.probe()], script].concat();
    let manager = sandbox.vsrun(line).start();
    harness::await_life(&life, 2);
    let found = sandbox.report(&report);
    assert_eq!(found.descriptor_numbers(), [0, 1, 2]);
    let server: i32 = found.number("pid");
    assert_eq!(process::status(server, "NoNewPrivs"), "1");
    assert_eq!(process::status(manager.pid(), "NoNewPrivs"), "0");
    harness::await_true("an attempt", || !manager.out().is_empty());
    assert_eq!(manager.out(), ["read /etc/passwd: EACCES"]);
    manager.stop().assert_exited(0);
}

#[test]
fn handler_and_logger_are_not_confined() {
    needs!(landlock());
    let sandbox = Sandbox::new();
    let handled = sandbox.out("handled");
    let handler = sandbox.script("handler", words!["copy", "/proc/self/status", &handled, "exit", "1"]);
    let logger = format!("{} collect {}", sandbox.probe().display(), sandbox.out("log").display());
    let rules = words!["--rox", sandbox.probe(), "--scope", "signal,abstract", "--bind-tcp", "none"];
    let line = [rules, words!["-s", "tag", "--logger", logger, "-m", "-", handler, "--", sandbox.probe()]].concat();
    sandbox.vsrun([line, words!["complain", "words", "exit", "3"]].concat()).finish().assert_exited(3);
    assert!(harness::text(&handled).contains("NoNewPrivs:\t0"), "{}", harness::text(&handled));
    assert!(harness::text(&sandbox.out("log")).contains("words"));
    // The log writer is not confined: it renames and creates files that the server cannot access.
    let rules = words!["--rox", sandbox.probe(), "-d", "logs", "1d", "--log-size", "1k", "-m", "-", "-"];
    sandbox.vsrun([rules, words!["--", sandbox.probe(), "lines", "1", "1000"]].concat()).finish().assert_exited(0);
    assert!(harness::names(&sandbox.path("logs")).len() > 3, "{:?}", harness::names(&sandbox.path("logs")));
}

#[test]
fn contradictions_and_malformed_values_are_wrong_usage() {
    let sandbox = Sandbox::new();
    for (line, says) in [
        (words!["--bind-tcp", "none", "--bind-tcp", "80"], "--bind-tcp"),
        (words!["--bind-tcp", "80", "--bind-tcp", "none"], "--bind-tcp"),
        (words!["--connect-tcp", "80", "--connect-tcp", "none"], "--connect-tcp"),
        (words!["--bind-tcp", "0"], "1 to 65535"),
        (words!["--connect-tcp", "0"], "1 to 65535"),
        (words!["--connect-tcp", "65536"], "1 to 65535"),
        (words!["--connect-tcp", "http"], "1 to 65535"),
        (words!["--scope", "net"], "signal, abstract or signal,abstract"),
        (words!["--scope", "signal", "--scope", "abstract"], "given twice"),
        (words!["--ro", ""], "is empty"),
        (words!["-b", "--scope", "abstract", "--ready", "notify"], "--ready notify"),
        (words!["-m", "-", "-", "--ready", "notify", "--scope", "signal,abstract"], "--ready notify"),
    ] {
        let ended = sandbox.vsrun([line, words!["--", sandbox.probe()]].concat()).finish();
        ended.assert_failed(2, &[says]);
    }
}

#[test]
fn a_kernel_without_landlock_is_an_error_that_names_the_needed_version() {
    needs!(harness::root(), harness::filter::can_filter_calls(), harness::tool("strace"), landlock());
    let sandbox = Sandbox::new();
    let cases = [
        (words!["--ro", "/"], 3, "Linux 6.2 "),
        (words!["--bind-tcp", "80"], 4, "Linux 6.7 "),
        (words!["--connect-tcp", "none", "--rwx", "/"], 4, "Linux 6.7 "),
        (words!["--scope", "signal"], 6, "Linux 6.12 "),
    ];
    for (options, abi, needed) in cases {
        let line = [options, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        for way in harness::ways() {
            let line = [way, line.clone()].concat();
            for (error, why) in [(libc::ENOSYS, "no Landlock"), (libc::EOPNOTSUPP, "lsm="), (libc::EPERM, "refuses it")]
            {
                let refusals = harness::filter::no_landlock(error);
                sandbox.vsrun(line.clone()).refused(&refusals).finish().assert_failed(125, &[needed, why]);
            }
        }
        let check = sandbox.vsrun([words!["--check"], line.clone()].concat());
        let check = check.refused(&harness::filter::no_landlock(libc::ENOSYS)).finish();
        assert!(check.assert_exited(125).out[0].contains(needed), "{check:?}");
        let strace = |version: u32| {
            let inject = format!("inject=landlock_create_ruleset:retval={version}:when=1");
            let words = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", inject, sandbox.path("vsrun")];
            sandbox.program(&harness::find_tool("strace").unwrap(), [words, line.clone()].concat()).finish()
        };
        strace(abi - 1).assert_failed(125, &[needed, "this kernel is older"]);
        assert!(!sandbox.out("ran").exists());
        // This version is new enough, so vsrun goes on to create a rule set in the real kernel.
        strace(abi);
        let _ = fs::remove_file(sandbox.out("ran"));
    }
}

#[test]
fn a_kernel_that_falsely_reports_confinement_is_detected() {
    needs!(harness::root(), harness::tool("strace"), landlock());
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    for call in ["landlock_create_ruleset", "landlock_restrict_self", "prctl"] {
        for (options, retval) in
            [(words!["--rwx", "/"], 0), (words!["--scope", "signal"], 0), (words!["--rwx", "/"], 7)]
        {
            if call == "prctl" && retval > 0 {
                continue;
            }
            for way in harness::ways() {
                let inject = format!("inject={call}:retval={retval}");
                let words = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", inject, sandbox.path("vsrun")];
                let line = [words, way, options.clone(), words!["--", sandbox.probe(), "append", &ran, "x"]].concat();
                let ended = sandbox.program(&harness::find_tool("strace").unwrap(), line).finish();
                assert_eq!((ended.code(), ended.complaints().len()), (Some(125), 1), "{call}={retval}: {ended:?}");
                assert!(!ran.exists(), "{call}");
                sandbox.await_nothing_left();
            }
        }
    }
}

/// No server is started if any Landlock call fails.
#[test]
fn no_server_starts_if_a_landlock_call_fails() {
    needs!(harness::root(), harness::tool("strace"), landlock());
    let sandbox = Sandbox::new();
    let ran = sandbox.out("ran");
    let rules = words!["--rwx", "/", "--bind-tcp", "80", "--scope", "signal"];
    for (call, count) in [("landlock_create_ruleset", 2), ("landlock_add_rule", 2), ("landlock_restrict_self", 1)] {
        for number in 1..=count {
            for error in ["EPERM", "ENOMEM", "E2BIG", "EINVAL"] {
                let inject = format!("inject={call}:error={error}:when={number}");
                let words = words!["-f", "-qq", "-o", sandbox.path("trace"), "-e", inject, sandbox.path("vsrun")];
                let line = [words, rules.clone(), words!["--", sandbox.probe(), "append", &ran, "x"]].concat();
                let ended = sandbox.program(&harness::find_tool("strace").unwrap(), line).finish();
                assert_eq!((ended.code(), ended.err.len()), (Some(125), 1), "{call} {number} {error}: {ended:?}");
                assert!(!ran.exists());
            }
        }
    }
}

#[test]
fn landlock_confines_a_server_in_an_unprivileged_container() {
    needs!(harness::can_run_containers(), landlock());
    let sandbox = Sandbox::new();
    let rules =
        words!["/vsrun", "--rox", "/probe", "--rw", "/out", "--connect-tcp", "none", "--scope", "signal,abstract"];
    let script = words![
        "report",
        "/out/report",
        "try",
        "make",
        "/out/made",
        "try",
        "make",
        "/run/made",
        "try",
        "list",
        "/",
        "try",
        "read",
        "/proc/self/status",
        "try",
        "connect",
        "80",
        "try",
        "signal",
        "1"
    ];
    for stay in [words![], words!["-m", "-", "-"]] {
        let bundle =
            Bundle::new(&sandbox, [rules.clone(), stay.clone(), words!["--", "/probe"], script.clone()].concat());
        let ended = bundle.start().finish();
        let no = ["make /run/made", "list /", "read /proc/self/status", "connect 80"];
        let mut expected = vec!["make /out/made: ok".to_owned()];
        expected.extend(no.map(|what| format!("{what}: EACCES")));
        // Without a manager the server is PID 1 itself, and may signal itself.
        expected.push(format!("signal 1: {}", if stay.is_empty() { "ok" } else { "EPERM" }));
        assert_eq!(ended.assert_exited(0).out, expected);
        assert_eq!(sandbox.report(&sandbox.out("report")).one("uids"), "1000 1000 1000");
        fs::remove_file(sandbox.out("made")).unwrap();
    }
}

/// Even root in a confined process cannot mount file systems or trace processes outside.
#[test]
fn a_confined_root_can_neither_mount_nor_trace_nor_leave() {
    needs!(can_run_these_tests());
    let sandbox = Sandbox::new();
    let named = tree(&sandbox, "named");
    let target = sandbox.vsrun(words!["--", sandbox.probe(), "wait"]).start();
    let pid = target.pid().to_string();
    let proc = format!("/proc/{pid}/root/etc/passwd");
    let script = words![
        "try",
        "mount",
        named.join("d"),
        "try",
        "trace",
        &pid,
        "try",
        "read",
        &proc,
        "try",
        "device",
        named.join("z"),
        "try",
        "chroot",
        &named,
        "try",
        "read",
        "/etc/passwd",
        "try",
        "list",
        "/"
    ];
    let said = run_attempts(&named, call(&sandbox, ServerUser::Root, words!["--rw", &named, "--ro", "/proc"], script));
    let results: Vec<&str> = said.iter().map(|line| line.rsplit_once(": ").unwrap().1).collect();
    assert_eq!(results, ["EPERM", "EPERM", "EACCES", "ok", "ok", "EACCES", "EACCES"], "{said:#?}");
    sys::kill(target.pid(), libc::SIGKILL);
    target.finish();
}

/// The rules that the manual page recommends for an interpreter with its library and a directory that it serves.
#[test]
fn a_dynamic_server_runs_with_the_least_rules_and_serves_nothing_else() {
    let python = fs::canonicalize("/usr/bin/python3").unwrap_or_default();
    let library = Path::new("/usr/lib").join(python.file_name().unwrap_or_default());
    let there = library.is_dir() && Path::new("/lib64/ld-linux-x86-64.so.2").exists();
    needs!(landlock(), harness::available(there, "Debian's python3 on x86_64"));
    let sandbox = Sandbox::new();
    let www = sandbox.out("www");
    fs::create_dir(&www).unwrap();
    fs::write(www.join("page"), "hello\n").unwrap();
    symlink("/etc/passwd", www.join("secret")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut rules = words!["--rox", &python, "--rox", "/lib64/ld-linux-x86-64.so.2", "--ro", "/etc/ld.so.cache"];
    rules.extend(words!["--ro", "/usr/lib/x86_64-linux-gnu", "--ro", &library, "--ro", &www, "-w", &www]);
    rules.extend(words!["--bind-tcp", port.to_string(), "--connect-tcp", "none", "--scope", "signal,abstract"]);
    if Path::new("/etc/mime.types").exists() {
        rules.extend(words!["--ro", "/etc/mime.types"]);
    }
    let command = words!["--", &python, "-I", "-m", "http.server", "-b", "127.0.0.1", port.to_string()];
    sandbox
        .vsrun([words!["--check"], rules.clone(), command.clone()].concat())
        .finish()
        .assert_exited(0)
        .assert_silent();
    let server = sandbox.vsrun([words!["--init"], rules, command].concat()).start();
    let ask = |page: &str| -> Option<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        write!(stream, "GET /{page} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    let page = harness::await_some("an answer", || ask("page").filter(|answer| !answer.is_empty()));
    assert!(page.contains(" 200 ") && page.ends_with("hello\n"), "{page}");
    let secret = ask("secret").unwrap();
    assert!(secret.contains(" 404 ") && !secret.contains("root:"), "{secret}");
    server.stop();
}
