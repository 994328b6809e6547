//! The known security holes of similar programs, each tried on vsrun. SECURITY.md lists them with their tests; the last
//! two tests here check that list.

use crate::harness::call::identity;
use crate::harness::{self, Mount, Mounts, Sandbox, needs, sys, words};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

/// CVE-2024-21626: a working directory that is reached through a descriptor of the launcher is outside the new root,
/// and from there the server can reach all files. A user with write access in the jail can plant a link to such a
/// directory.
#[test]
fn a_working_directory_through_a_descriptor_of_ours_is_refused() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::make_directory(&jail.join("proc"), 0o755);
    let mounts = Mounts::new(&sandbox, &[Mount::Bind("/proc".into(), jail.join("proc"))]);
    let host = File::open("/").unwrap();
    let report = jail.join("out/report");
    let mut closed = 0;
    for way in harness::ways() {
        for number in 0..24 {
            let link = jail.join("out/link");
            let _ = fs::remove_file(&link);
            symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
            for dir in ["/out/link", &format!("/proc/self/fd/{number}")] {
                let fd = host.as_raw_fd();
                let options = words!["-p", "pid", "-u", "12345", "-r", &jail, "-w", dir];
                let line = [way.clone(), options, words!["--", "/probe", "report", "/out/report"]].concat();
                let call = sandbox.vsrun(line).within(&mounts).before(move || sys::duplicate(fd, 20));
                let ended = call.finish();
                if ended.code() == Some(0) {
                    let found = sandbox.report(&report);
                    panic!("{way:?} -w {dir}: the server is in {} ({})", found.one("cwd"), found.one("here"));
                }
                ended.assert_failed(125, &[dir]);
                let says = |part| ended.err.iter().any(|line| line.contains(part));
                assert!(says("No such file") || says("Not a directory"), "{way:?} {dir}: {ended:?}");
                closed += usize::from(says("No such file"));
                assert!(!report.exists(), "{way:?} {dir}");
            }
        }
    }
    // Descriptors 0 to 2 and at most three others, such as the pipe for the start's report, are open but no
    // directories. All other numbers must be closed.
    assert!(closed >= 4 * 2 * (24 - 3 - 3), "{closed} links lead to nothing");
    // A link that stays in the jail is followed.
    symlink("/out", jail.join("inside")).unwrap();
    let line = words!["-u", "12345", "-r", &jail, "-w", "/inside", "--", "/probe", "report", "/out/report"];
    sandbox.vsrun(line).within(&mounts).finish().assert_exited(0);
    assert_eq!(sandbox.report(&report).one("here"), identity(&jail.join("out")));
}

/// CVE-2021-4034: a program that was started with an empty argument list read past its end into the environment, which
/// the caller controls.
#[test]
fn empty_argument_list_does_not_expose_the_environment() {
    let sandbox = Sandbox::new();
    let program = sys::c_string(sandbox.path("vsrun").as_os_str());
    let mark = sys::c_string(sandbox.mark().as_ref());
    for strange in [c"--version", c"--help", c"--", c"--args=/etc/passwd"] {
        let (program, mark) = (program.clone(), mark.clone());
        let call = sandbox.vsrun(words![]).before(move || sys::exec_without_arguments(&program, &[strange, &mark]));
        // The usage on standard error shows that no variable was read as --version, --help or --args.
        let ended = call.finish();
        ended.assert_exited(2);
        assert!(ended.out.is_empty() && ended.err[0].starts_with("Usage: vsrun "), "{ended:?}");
    }
}

/// CVE-2006-2607: setuid(2) failed for a user with too many processes, the result was not checked, and the job ran as
/// root. Today's kernels refuse the execve(2) instead.
#[test]
fn a_user_with_too_many_processes_gets_no_server_of_roots() {
    needs!(harness::root());
    let user = 2_000_000 + sys::pid().cast_unsigned() % 100_000;
    let (sandbox, other) = (Sandbox::new(), Sandbox::of_user(user));
    let busy = other.program(&other.probe(), words!["append", other.out("there"), "x", "wait"]).start();
    harness::await_file(&other.out("there"));
    for way in harness::ways() {
        let options = words!["-p", "pid", "-u", format!("{user}")];
        let line = [way.clone(), options, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        let ended = sandbox.vsrun(line).before(|| sys::limit_processes(0)).finish();
        assert!(matches!(ended.code(), Some(125..=126)), "{way:?}: {ended:?}");
        assert!(ended.complaints().iter().any(|line| line.contains("Resource temporarily unavailable")), "{ended:?}");
        assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists(), "{way:?}");
    }
    assert!(busy.is_running());
}

/// CVE-2022-0358: a server that kept the caller's supplementary groups could make set-group-ID programs of root's
/// group.
#[test]
fn no_group_of_the_callers_is_left_to_server_or_handler() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let report = sandbox.out("report");
    let handler = sandbox.script("handler", words!["report", sandbox.out("handler"), "exit", "1"]);
    let callers = || sys::set_groups(&[0, 4, 6, 27, 999]).and_then(|()| sys::set_group(4));
    for way in harness::ways() {
        let line = [way, words!["-u", "12345", "--", sandbox.probe(), "report", &report]].concat();
        sandbox.vsrun(line).before(callers).finish().assert_exited(0);
        let found = sandbox.report(&report);
        assert_eq!((found.groups(), found.one("gids")), (vec![12345], "12345 12345 12345".into()));
        fs::remove_file(&report).unwrap();
        sandbox.await_nothing_left();
    }
    let line = words!["-u", "12345:777", "-m", "-", handler, "--", sandbox.probe(), "exit", "1"];
    sandbox.vsrun(line).before(callers).finish().assert_exited(1);
    let found = sandbox.report(&sandbox.out("handler"));
    assert_eq!((found.groups(), found.one("gids")), (vec![777], "777 777 777".into()));

    // In a set-group-ID directory, new files get the directory's group. The kernel clears their set-group-ID bit if the
    // process is not in that group.
    let shared = sandbox.path("shared");
    fs::create_dir(&shared).unwrap();
    std::os::unix::fs::chown(&shared, Some(0), Some(4)).unwrap();
    harness::sandbox::make_directory(&shared, 0o2777);
    let file = shared.join("made");
    let line = words!["-u", "12345", "--umask", "0", "--", "sh", "-c", "umask 0; >\"$0\"; chmod 2755 \"$0\"", &file];
    sandbox.vsrun(line).before(callers).finish().assert_exited(0);
    use std::os::unix::fs::MetadataExt;
    let made = fs::metadata(&file).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (12345, 0o755), "a program of the group {}", made.gid());
}

/// If a process of another user shared memory with root, every process that can trace it could take over root. So a
/// child shares memory (CLONE_VM) only if it keeps its user, capabilities and root directory.
#[test]
fn a_child_that_changes_user_shares_no_memory_with_us() {
    needs!(harness::root(), harness::tool("strace"));
    let sandbox = Sandbox::new();
    let (jail, trace) = (sandbox.jail(), sandbox.path("trace"));
    let handler = sandbox.script("handler", words!["exit", "1"]);
    let inside = jail.join("probe");
    for (lent, options) in [
        (true, words!["--umask", "022", "--no-new-privs", "-w", "/"]),
        (false, words!["-u", "12345"]),
        (false, words!["-u", "0:12345"]),
        (false, words!["--caps", "kill"]),
        (false, words!["-u", "12345", "--caps", "kill"]),
        (false, words!["-r", &jail]),
    ] {
        let (stay, server) =
            (words!["-m", "-", &handler], if options[0] == "-r" { "/probe".into() } else { inside.clone() });
        let traced = words!["-qq", "-e", "trace=clone,clone3,fork,vfork,waitid", "-o", &trace, sandbox.path("vsrun")];
        let line = [traced, stay, options.clone(), words!["--", server, "exit", "1"]].concat();
        // A child that shares our memory for more than a second is killed by its timer, and the start is repeated
        // without sharing. Such a start is not counted here.
        harness::await_true("a start that takes less than a second", || {
            sandbox.program(&harness::find_tool("strace").unwrap(), line.clone()).finish().assert_exited(1);
            !harness::text(&trace).contains("SIGALRM")
        });
        let births: Vec<String> = harness::lines(&trace).into_iter().filter(|line| line.contains("SIGCHLD)")).collect();
        let (server, of_handler) = (births[0].contains("CLONE_VM"), births[1].contains("CLONE_VM"));
        assert_eq!(births.len(), 2, "{births:#?}");
        assert_eq!(server, lent, "{options:?}: {births:#?}");
        // -r does not apply to the handler, and --caps only with -u. So its start shares memory except with -u.
        assert_eq!(of_handler, options[0] != "-u", "{options:?}: {births:#?}");
    }
}

const TOP: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(TOP).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether there is a test of that name: `jail::name` in tests/it/jail.rs, `logic::plan::account::name` beside the
/// code.
fn is_a_test(name: &str) -> bool {
    let Some((sandbox, name)) = name.rsplit_once("::") else { return false };
    let path = sandbox.replace("::", "/");
    let files = [format!("tests/it/{path}.rs"), format!("src/{path}.rs"), format!("src/{path}/tests.rs")];
    files.iter().filter_map(|file| fs::read_to_string(Path::new(TOP).join(file)).ok()).any(|text| {
        let found = text.find(&format!("\nfn {name}()")).or_else(|| text.find(&format!("\n    fn {name}()")));
        // Only other attributes and comments may be between `#[test]` and the function.
        found.is_some_and(|at| text[..at].rsplit("\n\n").next().unwrap_or_default().contains("#[test]"))
    })
}

#[test]
fn every_test_that_security_md_names_is_there() {
    let text = read("SECURITY.md");
    let names: Vec<&str> = quoted(&text).into_iter().filter(|word| word.contains("::")).collect();
    assert!(names.len() > 30, "only {names:?}");
    let missing: Vec<&&str> = names.iter().filter(|name| !is_a_test(name)).collect();
    assert!(missing.is_empty(), "SECURITY.md names tests that are not there: {missing:?}");
    assert!(!is_a_test("jail::assert_is") && !is_a_test("jail::no_such_test") && !is_a_test("nowhere::a"));
}

#[test]
fn every_hole_and_every_promise_of_security_md_has_a_test() {
    let text = read("SECURITY.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")).collect();
    // The rows about jails are tried one by one: `escapes::the_table_has_every_attempt`.
    let jails = rows.iter().skip_while(|row| !row.starts_with("| Attempt |"));
    let jails: Vec<&str> = jails.copied().take_while(|row| !row.starts_with("| Hole |")).collect();
    assert!(jails.len() > 50, "{jails:?}");
    for row in rows.iter().filter(|row| !jails.contains(row)) {
        let heading = ["| Hole |", "| Promise |"].iter().any(|heading| row.starts_with(heading));
        assert!(heading || quoted(row).iter().any(|word| word.contains("::")), "no test: {row}");
    }
    let holes: BTreeSet<&str> = rows.iter().filter_map(|row| row.strip_prefix("| CVE-")?.split(' ').next()).collect();
    assert!(holes.len() >= 12, "{holes:?}");
    // Every CVE that the sources and tests mention must be in the list.
    let mut entries = vec![Path::new(TOP).join("tests"), Path::new(TOP).join("src")];
    while let Some(path) = entries.pop() {
        if path.is_dir() {
            entries.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        for part in harness::text(&path).split("CVE-").skip(1) {
            let number = part.split(|c: char| !c.is_ascii_digit() && c != '-').next().unwrap().trim_matches('-');
            assert!(number.len() < 9 || holes.contains(number), "{}: CVE-{number}", path.display());
        }
    }
}
