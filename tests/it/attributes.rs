//! Attributes that only the server gets: limits, priority, environment and capabilities.

use crate::harness::{self, Call, PLAIN, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The effective, permitted, inheritable, ambient and bounding capability sets, as `/proc/PID/status` names them.
const SETS: [&str; 5] = ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"];
const CAP_NET_BIND_SERVICE: u64 = 1 << 10;

/// The contents of a file of `/proc/self`, as read by a server that was started with these options.
#[track_caller]
fn own_file(
    sandbox: &Sandbox,
    name: &str,
    options: Vec<OsString>,
    prepare: impl FnOnce(Call<'_>) -> Call<'_>,
) -> String {
    let out = sandbox.out("copy");
    let _ = fs::remove_file(&out);
    let actions = words!["--", sandbox.probe(), "copy", format!("/proc/self/{name}"), &out];
    prepare(sandbox.vsrun([options, actions].concat())).finish().assert_exited(0);
    harness::await_true("the server's copy", || harness::text(&out).ends_with('\n'));
    harness::text(&out)
}

/// The five capability sets in the contents of `/proc/PID/status`.
#[track_caller]
fn sets(status: &str) -> [u64; 5] {
    SETS.map(|name| u64::from_str_radix(field(status, name), 16).unwrap())
}

#[track_caller]
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap().trim()
}

/// The soft and the hard limit with this name in the contents of `/proc/PID/limits`.
#[track_caller]
fn limits<'a>(limits: &'a str, name: &str) -> [&'a str; 2] {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace();
    [words.next().unwrap(), words.next().unwrap()]
}

fn plain() -> OsString {
    OsString::from(format!("{PLAIN}"))
}

#[test]
fn limits_are_what_was_asked_for() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let names = ["nofile=100:200", "core=0:unlimited", "RTTIME=5", "nproc=1000:1001", "stack=8388608:unlimited"];
        let options: Vec<OsString> = names.iter().flat_map(|limit| words!["--limit", limit]).collect();
        let found = own_file(&sandbox, "limits", [way, words!["-u", plain()], options].concat(), |call| call);
        assert_eq!(limits(&found, "Max open files"), ["100", "200"]);
        assert_eq!(limits(&found, "Max core file size"), ["0", "unlimited"]);
        assert_eq!(limits(&found, "Max realtime timeout"), ["5", "5"]);
        assert_eq!(limits(&found, "Max processes"), ["1000", "1001"]);
        assert_eq!(limits(&found, "Max stack size"), ["8388608", "unlimited"]);
    }
}

/// The limit also counts vsrun's own descriptors, but vsrun needs no further ones after it has set the limit.
#[test]
fn a_limit_of_few_descriptors_hinders_no_start() {
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        // The probe needs five descriptors: 0 to 2, and two to copy a file.
        for most in 5..12 {
            let options = words!["-d", "logs", "1", "--limit", format!("nofile={most}")];
            let found = own_file(&sandbox, "limits", [way.clone(), options].concat(), |call| call);
            assert_eq!(limits(&found, "Max open files")[1], most.to_string());
        }
    }
}

/// Each name of `--limit` sets the limit that the kernel lists under the name beside it.
#[test]
fn every_limit_has_its_name() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let rows = [
        ("as", "Max address space"),
        ("core", "Max core file size"),
        ("cpu", "Max cpu time"),
        ("data", "Max data size"),
        ("fsize", "Max file size"),
        ("locks", "Max file locks"),
        ("memlock", "Max locked memory"),
        ("msgqueue", "Max msgqueue size"),
        ("nice", "Max nice priority"),
        ("nofile", "Max open files"),
        ("nproc", "Max processes"),
        ("rss", "Max resident set"),
        ("rtprio", "Max realtime priority"),
        ("rttime", "Max realtime timeout"),
        ("sigpending", "Max pending signals"),
        ("stack", "Max stack size"),
    ];
    // A different value for each limit, but none above the hard limit of the test itself.
    let own = harness::text(Path::new("/proc/self/limits"));
    let wanted: Vec<(&str, &str, [String; 2])> = rows
        .iter()
        .zip(4_000_000_000_u64..)
        .map(|((name, shown), value)| {
            let most: u64 = limits(&own, shown)[1].parse().unwrap_or(u64::MAX);
            let [soft, hard] =
                [value, value + 100_000_000].map(|value| most.min(if most < 4096 { value % 20 } else { value }));
            (*name, *shown, [soft, hard.max(soft)].map(|value| value.to_string()))
        })
        .collect();
    let limit =
        |(name, _, [soft, hard]): &(&str, &str, [String; 2])| words!["--limit", format!("{name}={soft}:{hard}")];
    let found = own_file(&sandbox, "limits", wanted.iter().flat_map(limit).collect(), |call| call);
    for (name, shown, [soft, hard]) in &wanted {
        assert_eq!(limits(&found, shown), [soft, hard], "{name}");
    }
    assert!(wanted.iter().filter(|(_, _, [soft, hard])| soft != hard).count() > 8, "{wanted:?}");
}

#[test]
fn a_limit_that_may_not_be_is_an_error_that_names_it() {
    let sandbox = Sandbox::plain();
    let lower = || sys::limit_descriptors(50);
    for way in harness::ways() {
        let line = words!["--limit", "nofile=60", "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
        sandbox
            .vsrun([way, line].concat())
            .before(lower)
            .finish()
            .assert_failed(125, &["--limit nofile=60", "not permitted"]);
        assert!(!sandbox.out("ran").exists());
    }
}

#[test]
fn priority_and_oom_score_are_what_was_asked_for() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        let options = [way, words!["-u", plain(), "--nice", "-3", "--oom-score-adj", "321"]].concat();
        let stat = own_file(&sandbox, "stat", options.clone(), |call| call);
        assert_eq!(nice_of(&stat), "-3");
        assert_eq!(own_file(&sandbox, "oom_score_adj", options, |call| call), "321\n");
    }
    let sandbox = Sandbox::plain();
    let line = |options| [options, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
    sandbox.vsrun(line(words!["--nice", "-1"])).finish().assert_failed(125, &["nice value to -1"]);
    sandbox.vsrun(line(words!["--oom-score-adj", "-1000"])).finish().assert_failed(125, &["--oom-score-adj"]);
    assert!(!sandbox.out("ran").exists());
}

#[test]
fn without_proc_an_oom_score_is_an_error_that_names_the_option() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let jail = sandbox.jail();
    harness::sandbox::copy(&harness::sandbox::built("vsrun"), &jail.join("vsrun"));
    let root = jail.clone().into_os_string();
    let line = words!["--oom-score-adj", "5", "--", "/probe", "append", "/out/ran", "x"];
    let call = sandbox.program(Path::new("/vsrun"), line).before(move || sys::change_root(&root));
    call.finish().assert_failed(125, &["--oom-score-adj", "/proc/self/oom_score_adj"]);
    assert!(!jail.join("out/ran").exists());
}

/// No limit, priority, capability or variable of the server reaches its handler or its logger.
#[test]
fn handler_and_logger_get_no_attributes_of_the_server() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let copies = |program: &str| {
        let copy = |name: &str| words!["copy", format!("/proc/self/{name}"), sandbox.out(&format!("{program}-{name}"))];
        [copy("status"), copy("limits"), copy("stat"), copy("environ")].concat()
    };
    let handler = sandbox.script("handler", [copies("handler"), words!["exit", "1"]].concat());
    let logger = sandbox.script("logger", [copies("logger"), words!["collect", sandbox.out("log")]].concat());
    let directory = sandbox.path("variables");
    harness::sandbox::make_directory(&directory, 0o700);
    fs::write(directory.join("SERVERS"), "1\n").unwrap();
    let attributes =
        words!["--nice", "4", "--limit", "core=7", "--caps", "kill", "--no-new-privs", "--env-dir", &directory];
    let options = words!["-u", plain(), "-s", "tag", "--logger", &logger, "-m", "-", &handler, "-e", "SERVERS2=1"];
    let line = [attributes, options, words!["--", sandbox.probe()], copies("server"), words!["exit", "9"]].concat();
    let prepare = || sys::limit_core(9);
    sandbox.vsrun(line).before(prepare).finish().assert_exited(9);
    // The tests themselves may run with a nice value.
    let ours = nice_of(&harness::text(Path::new("/proc/self/stat")));
    for (program, caps, nice, core, new) in [
        ("server", Some(1 << 5), "4", "7", "1"),
        ("handler", None, &*ours, "9", "0"),
        ("logger", None, &*ours, "9", "0"),
    ] {
        let file = |name: &str| harness::text(&sandbox.out(&format!("{program}-{name}")));
        let status = file("status");
        let found = sets(&status);
        match caps {
            Some(set) => assert_eq!(found, [set; 5], "{program}"),
            // The only one is CAP_WAKE_ALARM, which keeps the server from tracing these processes.
            None => assert_eq!(found[..4], [1 << 35; 4], "{program}"),
        }
        assert_eq!(field(&status, "NoNewPrivs"), new, "{program}");
        assert_eq!(field(&status, "Uid").split_whitespace().collect::<Vec<_>>(), vec![plain(); 4], "{program}");
        assert_eq!(nice_of(&file("stat")), nice, "{program}");
        assert_eq!(limits(&file("limits"), "Max core file size"), [core; 2], "{program}");
        assert_eq!(file("environ").contains("SERVERS"), program == "server", "{program}");
    }
}

/// The nice value in the contents of `/proc/PID/stat`.
fn nice_of(stat: &str) -> String {
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned()
}

#[test]
fn exactly_these_capabilities_are_in_all_five_sets() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    for way in harness::ways() {
        for user in [words!["-u", plain()], words!["-u", "root"], words![]] {
            for (list, set) in [
                ("net_bind_service", CAP_NET_BIND_SERVICE),
                ("none", 0),
                ("KILL,10", 1 << 5 | CAP_NET_BIND_SERVICE),
                ("setpcap", 1 << 8),
            ] {
                let options = [way.clone(), user.clone(), words!["--caps", list]].concat();
                let status = own_file(&sandbox, "status", options, |call| call);
                assert_eq!(sets(&status), [set; 5], "{way:?} {user:?} {list}");
            }
        }
    }
}

#[test]
fn no_new_privs_is_set_when_it_is_asked_for() {
    let sandbox = Sandbox::plain();
    for way in harness::ways() {
        let asked = own_file(&sandbox, "status", [way.clone(), words!["--no-new-privs"]].concat(), |call| call);
        assert_eq!(field(&asked, "NoNewPrivs"), "1");
        assert_eq!(field(&own_file(&sandbox, "status", way, |call| call), "NoNewPrivs"), "0");
    }
}

/// Port 80 is free, because the server has a network namespace of its own.
#[test]
fn net_bind_service_allows_port_80_and_nothing_else() {
    needs!(harness::root(), harness::tool("busybox"));
    let sandbox = Sandbox::new();
    let server = words!["--", harness::find_tool("busybox").unwrap(), "httpd", "-f", "-p", "80"];
    let line = |options| [words!["-u", plain()], options, server.clone()].concat();
    let refused = sandbox.vsrun(line(words![])).before(sys::unshare_network).finish();
    assert_ne!(refused.code(), Some(0));
    assert!(refused.err.iter().any(|line| line.contains("ermission denied")), "{refused:?}");
    let running = sandbox.vsrun(line(words!["--caps", "net_bind_service"])).before(sys::unshare_network).start();
    let listens =
        |name: &str| harness::text(Path::new(&format!("/proc/{}/net/{name}", running.pid()))).contains(":0050 ");
    harness::await_true("port 80", || listens("tcp") || listens("tcp6"));
    assert_eq!(SETS.map(|name| process::status(running.pid(), name)), ["0000000000000400"; 5]);
    running.signal(libc::SIGKILL);
    running.finish();

    let jail = sandbox.jail();
    let tried = jail.join("out/tried");
    let options = words!["-u", "12345:12345", "-r", &jail, "--caps", "net_bind_service"];
    sandbox.vsrun([options, words!["--", "/probe", "regain", "/out/tried"]].concat()).finish().assert_exited(0);
    for line in harness::await_lines(&tried, 10) {
        assert!(line.ends_with(" refused"), "{line}");
    }
}

#[test]
fn a_capability_that_cannot_be_kept_is_an_error_that_names_it() {
    needs!(harness::root(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let action = || words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
    for way in harness::ways() {
        // Capability 63, which no kernel has, and one that is missing from the bounding set of vsrun.
        let line = [way.clone(), words!["-u", plain(), "--caps", "63"], action()].concat();
        sandbox.vsrun(line).finish().assert_failed(125, &["--caps 63"]);
        for list in ["net_raw", "net_raw,kill"] {
            let line = [way.clone(), words!["-u", plain(), "--caps", list], action()].concat();
            let line = [words!["--bounding-set", "-net_raw", sandbox.path("vsrun")], line].concat();
            let setpriv = sandbox.program(&harness::find_tool("setpriv").unwrap(), line);
            setpriv.finish().assert_failed(125, &[&format!("--caps {list}")]);
        }
    }
    // A plain user has no capability to give, and with `--caps none` nothing to drop.
    let sandbox = Sandbox::plain();
    let line = words!["--caps", "CAP_NET_RAW", "--", sandbox.probe(), "append", sandbox.out("ran"), "x"];
    sandbox.vsrun(line).finish().assert_failed(125, &["--caps CAP_NET_RAW", "not permitted"]);
    assert!(!sandbox.out("ran").exists());
    for way in harness::ways() {
        let line = [way, words!["--caps", "none", "--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
        sandbox.vsrun(line).finish().assert_exited(0);
        harness::await_file(&sandbox.out("ran"));
        fs::remove_file(sandbox.out("ran")).unwrap();
    }
}

/// The caller of vsrun may have capabilities in the sets that a change of the user does not clear.
#[test]
fn a_user_has_no_capability_whatever_the_caller_left() {
    needs!(harness::root(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let jobs: [&[&str]; 5] = [
        &["--inh-caps", "+net_raw,+sys_admin", "--ambient-caps", "+net_raw"],
        &["--inh-caps", "+chown,+setuid,+sys_ptrace"],
        &["--securebits", "+no_setuid_fixup"],
        &["--securebits", "+no_setuid_fixup,+keep_caps_locked", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"],
        &["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "+kill", "--ambient-caps", "+kill"],
    ];
    for way in harness::ways() {
        for job in jobs {
            let out = sandbox.out("copy");
            let _ = fs::remove_file(&out);
            let actions = words!["-u", plain(), "--", sandbox.probe(), "copy", "/proc/self/status", &out];
            let before = job.iter().map(OsString::from).collect();
            let line = [before, words![sandbox.path("vsrun")], way.clone(), actions].concat();
            sandbox.program(&harness::find_tool("setpriv").unwrap(), line).finish().assert_exited(0);
            harness::await_true("the server's copy", || harness::text(&out).ends_with('\n'));
            let status = harness::text(&out);
            assert_eq!(sets(&status)[..4], [0; 4], "{way:?} {job:?}");
        }
    }
}

/// Creates a directory for `--env-dir` with these files.
fn env_dir(sandbox: &Sandbox, files: &[(&str, &[u8])]) -> OsString {
    let directory = sandbox.path("variables");
    harness::sandbox::make_directory(&directory, 0o755);
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    directory.into()
}

#[test]
fn variables_come_from_the_files_of_a_directory() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let long = vec![b'x'; 60_000];
    let directory = env_dir(
        &sandbox,
        &[
            ("PLAIN", b"value\n"),
            ("BLANKS", b"  a b \t \nsecond line\n"),
            ("NO_NEWLINE", b"end"),
            ("LINES", b"one\0two\0\nthree"),
            ("EMPTY_LINE", b"\nrest"),
            ("GONE", b""),
            ("HOME", b"/from/dir"),
            ("SHELL", b"/from/dir"),
            ("BYTES", b"\xff\xfe=\n"),
            ("LONG", &long),
            (".HIDDEN", b"x"),
            ("..data", b"linked\n"),
        ],
    );
    harness::sandbox::make_directory(&Path::new(&directory).join("DIRECTORY"), 0o755);
    std::os::unix::fs::symlink("..data", Path::new(&directory).join("LINK")).unwrap();
    // vsrun reads the files as root, before it changes the user.
    for name in ["PLAIN", "LONG"] {
        sys::set_mode(&Path::new(&directory).join(name), 0o600);
    }
    for way in harness::ways() {
        let report = sandbox.out("report");
        let options = words!["-u", plain(), "--env-dir", &directory, "-e", "SHELL=/from/line"];
        let line = [way, options, words!["--", sandbox.probe(), "report", &report]].concat();
        sandbox
            .vsrun(line)
            .env("GONE", "caller")
            .env("PLAIN", "caller")
            .env("KEPT", "caller")
            .finish()
            .assert_exited(0);
        let found = sandbox.report(&report);
        let variable = |name: &str| found.variable(name);
        for (name, value) in [
            ("PLAIN", "value"),
            ("BLANKS", "  a b"),
            ("NO_NEWLINE", "end"),
            ("LINES", "one\ntwo\n"),
            ("EMPTY_LINE", ""),
            ("HOME", "/from/dir"),
            ("SHELL", "/from/line"),
            ("KEPT", "caller"),
            ("LINK", "linked"),
        ] {
            assert_eq!(variable(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(variable("LONG").unwrap().len(), long.len());
        for name in ["GONE", ".HIDDEN", "..data", "DIRECTORY", "HIDDEN"] {
            assert_eq!(variable(name), None, "{name}");
        }
        assert!(found.bytes("variable").contains(&b"BYTES=\xff\xfe=".to_vec()));
        fs::remove_file(&report).unwrap();
    }
}

#[test]
fn the_environment_can_begin_empty() {
    needs!(harness::root());
    let sandbox = Sandbox::new();
    let directory = env_dir(&sandbox, &[("FILE", b"1"), ("USER", b"")]);
    let report = sandbox.out("report");
    for way in harness::ways() {
        // The sandbox finds the processes that it has to end by the variable of its mark.
        let options = words!["--clear-env", "-u", plain(), "--env-dir", &directory, "-e", sandbox.mark(), "-e", "E=2"];
        let line = [way, options, words!["--", sandbox.probe(), "report", &report]].concat();
        sandbox.vsrun(line).env("SECRET", "x").env("FILE", "caller").finish().assert_exited(0);
        let mut found = sandbox.report(&report).all("variable");
        found.sort();
        assert!(found[5].starts_with("SHELL="), "{found:?}");
        found.remove(5);
        let mut wanted = vec![sandbox.mark(), "E=2".into(), "FILE=1".into()];
        let names: Vec<&str> = found.iter().map(|entry| entry.split('=').next().unwrap()).collect();
        assert_eq!(names, ["E", "FILE", "HOME", "LOGNAME", "PLACE"]);
        wanted.retain(|entry| !found.contains(entry));
        assert!(wanted.is_empty(), "{found:?}");
        fs::remove_file(&report).unwrap();
    }
    // COMMAND is searched in the server's PATH or, if that is not set, in vsrun's default path.
    let line = words!["--clear-env", "-e", sandbox.mark(), "--", "sh", "-c", "exit 7"];
    sandbox.vsrun(line.clone()).env("PATH", "/nowhere").finish().assert_exited(7);
    sandbox.vsrun([words!["-e", "PATH=/nowhere"], line].concat()).finish().assert_failed(127, &["sh"]);
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    let plain = Sandbox::plain();
    let attempt = |sandbox: &Sandbox, directory: &OsString, part: &str| {
        for way in harness::ways() {
            let options = words!["-p", "pid", "--env-dir", directory];
            let line = [way, options, words!["--", sandbox.probe(), "append", sandbox.out("ran"), "x"]].concat();
            sandbox.vsrun(line).finish().assert_failed(125, &["--env-dir", part]);
            assert!(!sandbox.out("ran").exists() && !sandbox.path("pid").exists());
        }
    };
    let missing = sandbox.path("missing").into_os_string();
    attempt(&sandbox, &missing, &missing.to_string_lossy());
    let file = sandbox.path("file");
    fs::write(&file, "x").unwrap();
    attempt(&sandbox, &file.clone().into(), "Not a directory");
    let good: (&str, &[u8]) = ("GOOD", b"1");

    let directory = env_dir(&plain, &[good, ("SECRET", b"1")]);
    sys::set_mode(&Path::new(&directory).join("SECRET"), 0);
    attempt(&plain, &directory, "variables/SECRET': Permission denied");

    let directory = env_dir(&sandbox, &[good]);
    let inside = |name: &str| Path::new(&directory).join(name);
    let trouble = |name: &str, part: &str| {
        attempt(&sandbox, &directory, part);
        fs::remove_file(inside(name)).unwrap();
    };
    // Files that another user might plant in a directory that root reads.
    fs::write(inside("A=B"), "1").unwrap();
    trouble("A=B", "variables/A=B'");
    sys::make_fifo(inside("FIFO").as_os_str()).unwrap();
    trouble("FIFO", "variables/FIFO'");
    fs::write(inside("LARGE"), vec![b'x'; 140_000]).unwrap();
    trouble("LARGE", "variables/LARGE'");
    for target in ["/etc/passwd", "../file", "nowhere"] {
        std::os::unix::fs::symlink(target, inside("LINK")).unwrap();
        trouble("LINK", "variables/LINK'");
    }
    let strange = OsString::from_vec(b"new\nline".to_vec());
    fs::write(Path::new(&directory).join(&strange), vec![0; 140_000]).unwrap();
    attempt(&sandbox, &directory, "variables/new\\x0aline'");
    assert_eq!(strange.as_bytes().len(), 8);
}
