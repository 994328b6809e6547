//! Each option together with each other option, in the four ways to run a server: both take effect, `--check` reports
//! no problem and creates nothing, and nothing is left at the end.

use crate::harness::{self, PLAIN, Report, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// A running server, and its report about itself.
struct Server<'a> {
    sandbox: &'a Sandbox,
    found: &'a Report,
    pid: i32,
    has_supervisor: bool,
}

impl Server<'_> {
    fn proc(&self, name: &str) -> String {
        harness::text(&PathBuf::from(format!("/proc/{}/{name}", self.pid)))
    }

    fn fd(&self, number: i32) -> harness::Descriptor {
        self.found.descriptor(number).unwrap_or_else(|| panic!("descriptor {number}: {:?}", self.found))
    }
}

struct Choice {
    words: &'static [&'static str],
    /// Two options of the same kind cannot be combined. The kind "" is no restriction.
    kind: &'static str,
    /// Whether the options need a vsrun process that waits for the start, or one that stays as the supervisor.
    needs: Needs,
    has_effect: fn(&Server<'_>) -> bool,
}

#[derive(PartialEq, Eq)]
enum Needs {
    Nothing,
    Waits,
    Stays,
}

const fn unrestricted(words: &'static [&'static str], has_effect: fn(&Server<'_>) -> bool) -> Choice {
    Choice { words, kind: "", needs: Needs::Nothing, has_effect }
}

const CHOICES: &[Choice] = &[
    unrestricted(&["-u", "65534"], |server| {
        server.found.one("uids") == "65534 65534 65534" && server.found.groups() == [PLAIN]
    }),
    unrestricted(&["-r", "jail"], |server| {
        server.found.one("root") == harness::call::identity(&server.sandbox.path("jail"))
    }),
    unrestricted(&["-w", "out"], |server| server.found.one("cwd").ends_with("/out")),
    unrestricted(&["-p", "pid"], |server| {
        let (path, number) = (server.sandbox.path("pid"), format!("{}\n", server.pid));
        let file = harness::call::identity(&path);
        // Without a supervisor, the server itself keeps the descriptor with the pidfile's lock.
        harness::text(&path) == number
            && server.found.descriptors().iter().any(|fd| fd.identity == file) != server.has_supervisor
    }),
    Choice {
        words: &["-d", "logs", "1"],
        kind: "output",
        needs: Needs::Nothing,
        has_effect: |server| {
            let file = harness::call::identity(&server.sandbox.path("logs/logfile"));
            [1, 2].iter().all(|number| server.fd(*number).identity == file)
        },
    },
    Choice {
        words: &["-d", "logs", "1", "--log-size", "1k", "--log-files", "3"],
        kind: "output",
        needs: Needs::Nothing,
        has_effect: |server| server.fd(1).kind == "pipe" && server.sandbox.path("logs/logfile").exists(),
    },
    Choice {
        words: &["-s", "tag", "--logger", "./probe collect /dev/null"],
        kind: "output",
        needs: Needs::Nothing,
        has_effect: |server| server.fd(2).kind == "pipe" && server.fd(2).identity == server.fd(1).identity,
    },
    unrestricted(&["--stdin"], |server| server.fd(0).kind == "pipe"),
    unrestricted(&["--listen", "SOCKET"], |server| {
        server.fd(3).kind == "socket"
            && server.found.variable("LISTEN_FDS").as_deref() == Some("1")
            && server.found.variable("LISTEN_PID") == Some(server.pid.to_string())
    }),
    unrestricted(&["-e", "ONE=1"], |server| server.found.variable("ONE").as_deref() == Some("1")),
    unrestricted(&["--env-dir", "variables"], |server| server.found.variable("TWO").as_deref() == Some("2")),
    unrestricted(&["--clear-env"], |server| server.found.variable("LANG").is_none()),
    unrestricted(&["--umask", "027"], |server| server.found.number("umask") == 0o27),
    unrestricted(&["--nice", "5"], |server| {
        server.proc("stat").rsplit_once(") ").unwrap().1.split(' ').nth(16) == Some("5")
    }),
    unrestricted(&["--oom-score-adj", "500"], |server| server.proc("oom_score_adj") == "500\n"),
    unrestricted(&["--limit", "nofile=20"], |server| server.proc("limits").contains("Max open files            20 ")),
    unrestricted(&["--no-new-privs"], |server| process::status(server.pid, "NoNewPrivs") == "1"),
    unrestricted(&["--caps", "kill"], |server| {
        ["CapEff", "CapPrm", "CapBnd", "CapAmb"].iter().all(|set| process::status(server.pid, set).ends_with("00020"))
    }),
    unrestricted(&["--rwx", "/", "--bind-tcp", "none"], |server| process::status(server.pid, "NoNewPrivs") == "1"),
    unrestricted(&["--scope", "signal", "--connect-tcp", "80"], |server| {
        process::status(server.pid, "NoNewPrivs") == "1"
    }),
    unrestricted(&["--argv0", "another"], |server| server.found.all("argument")[0] == "another"),
    unrestricted(&["--debug"], |_| true),
    Choice {
        words: &["--ready", "fd:7"],
        kind: "ready",
        needs: Needs::Waits,
        has_effect: |server| server.fd(7).kind == "pipe",
    },
    Choice {
        words: &["--ready", "notify", "--ready-timeout", "20"],
        kind: "ready",
        needs: Needs::Waits,
        has_effect: |server| server.found.variable("NOTIFY_SOCKET").is_some_and(|name| name.starts_with('@')),
    },
    Choice {
        words: &["--ready", "notify", "--watchdog", "1h"],
        kind: "ready",
        needs: Needs::Stays,
        has_effect: |server| server.found.variable("WATCHDOG_PID") == Some(server.pid.to_string()),
    },
    Choice {
        words: &["-m", "keeper", "-"],
        kind: "",
        needs: Needs::Stays,
        has_effect: |server| {
            harness::text(&server.sandbox.path("keeper")) == format!("{}\n", process::parent(server.pid))
        },
    },
    Choice { words: &["--ready", "alive:20ms"], kind: "ready", needs: Needs::Waits, has_effect: |_| true },
    Choice { words: &["--ready", "probe:HEALTHY"], kind: "ready", needs: Needs::Waits, has_effect: |_| true },
    Choice {
        words: &["--health", "http:1", "--health-interval", "1h"],
        kind: "",
        needs: Needs::Stays,
        has_effect: |_| true,
    },
    Choice { words: &["--stop-delay", "10ms"], kind: "", needs: Needs::Stays, has_effect: |_| true },
    Choice { words: &["--group"], kind: "", needs: Needs::Stays, has_effect: |_| true },
    Choice { words: &["--linger", "20"], kind: "", needs: Needs::Stays, has_effect: |_| true },
    Choice { words: &["--stop-signal", "USR2"], kind: "", needs: Needs::Stays, has_effect: |_| true },
];

/// The options that are in no pair, each with the reason.
const IN_NO_PAIR: &[(&str, &str)] = &[
    ("--no-user-checks", "changes nothing for root"),
    ("--background", "each pair is tried with it and without it"),
    ("--foreground", "is what happens without --background"),
    ("--syslog-usage", "is about vsrun's own records: tests/it/syslog.rs"),
    ("--port", "is --listen in two options: tests/it/ports.rs"),
    ("--bind", "is --listen in two options: tests/it/ports.rs"),
    ("--env-file", "becomes variables, as --env-dir does: tests/it/entrypoint.rs"),
    ("--file-env", "becomes variables, as --env-dir does: tests/it/entrypoint.rs"),
    ("--expand", "is over before the first step: tests/it/entrypoint.rs"),
    ("--ro", "is a rule as --rwx is: tests/it/landlock.rs"),
    ("--rox", "is a rule as --rwx is: tests/it/landlock.rs"),
    ("--rw", "is a rule as --rwx is: tests/it/landlock.rs"),
    ("--cgroup", "needs a hierarchy of its own: tests/it/cgroup.rs"),
    ("--cgroup-set", "needs a hierarchy of its own: tests/it/cgroup.rs"),
    ("--mount", "needs a PID 1: tests/it/machine.rs"),
    ("--at-exit", "needs a PID 1: tests/it/machine.rs"),
    ("--quiet", "is about vsrun's own records: tests/it/records.rs"),
    ("--no-quiet", "is about vsrun's own records: tests/it/records.rs"),
    ("--init", "is --restart no with another status: tests/it/init.rs"),
    ("--restart", "all pairs of a supervisor have it"),
    ("--success-exit", "is a rule of the state machine, which is explored as a whole"),
    ("--restart-delay", "is a rule of the state machine, which is explored as a whole"),
    ("--restart-limit", "is a rule of the state machine, which is explored as a whole"),
    ("--handler-timeout", "is a rule of the state machine, which is explored as a whole"),
    ("--stop-timeout", "is a rule of the state machine, which is explored as a whole"),
    ("--health-timeout", "is a rule of the schedule of probes: tests/it/health.rs"),
    ("--health-retries", "is a rule of the schedule of probes: tests/it/health.rs"),
    ("--on-signal", "changes nothing before a signal arrives: tests/it/signals.rs"),
    ("--before", "runs other processes with the server's steps: tests/it/before.rs"),
    ("--termination-log", "is written after the server's end: tests/it/termination_log.rs"),
    ("--rc", "is for service files: tests/it/rc.rs"),
    ("--check", "is tried before each pair"),
    ("--args", "is replaced before the options are read: tests/it/args.rs"),
    ("--status", "starts no server"),
    ("--stop", "starts no server"),
    ("--replace", "starts a server like its first one: tests/it/replace.rs"),
    ("--signal", "starts no server"),
    ("--probe", "starts no server"),
    ("--probe-timeout", "starts no server"),
    ("--help", "starts no server"),
    ("--help-completion", "starts no server"),
    ("--version", "starts no server"),
];

#[test]
fn each_option_is_in_a_pair_or_has_a_reason() {
    let sandbox = Sandbox::new();
    let table = sandbox.vsrun(words!["--help-completion"]).finish().out;
    let paired: Vec<&str> = CHOICES.iter().flat_map(|choice| choice.words).copied().collect();
    let mut excused: Vec<&str> = IN_NO_PAIR.iter().map(|(name, _)| *name).collect();
    for line in table.iter().filter(|line| line.starts_with('-')) {
        let names: Vec<&str> = line.split(' ').next().unwrap().split(',').collect();
        let is_paired = names.iter().any(|name| paired.contains(name));
        let is_excused = excused.iter().position(|name| names.contains(name)).map(|at| excused.remove(at));
        assert!(is_paired != is_excused.is_some(), "{names:?}: paired {is_paired}, excused {is_excused:?}");
    }
    assert!(excused.is_empty(), "no options: {excused:?}");
}

/// The probe address of a web server that always answers with status 200.
fn healthy() -> &'static str {
    static WEB: std::sync::OnceLock<harness::Web> = std::sync::OnceLock::new();
    &WEB.get_or_init(|| harness::Web::new(harness::web::OK)).probe
}

/// The names of the files in the sandbox directory, without hidden ones.
fn names(sandbox: &Sandbox) -> Vec<String> {
    let mut names = harness::names(sandbox.directory());
    names.retain(|name| !name.starts_with('.'));
    names
}

/// A sandbox with the files that `CHOICES` refers to: a jail, and a directory of variables.
fn sandbox_with_inputs() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.jail();
    harness::sandbox::make_directory(&sandbox.path("variables"), 0o755);
    fs::write(sandbox.path("variables/TWO"), "2\n").unwrap();
    sandbox
}

/// Starts a server with both options, checks their effects, and stops it.
#[track_caller]
fn try_both(sandbox: &Sandbox, way: &[&str], both: [&Choice; 2]) {
    let given: Vec<&str> = way.iter().chain(both[0].words).chain(both[1].words).copied().collect();
    let has = |word: &str| given.contains(&word);
    let before = names(sandbox);
    let (report, place_of_report, probe) = if has("-r") {
        (PathBuf::from("/out/report"), sandbox.path("jail/out/report"), "/probe".into())
    } else {
        (sandbox.out("report"), sandbox.out("report"), sandbox.probe())
    };
    let say = [("fd:7", words!["tell", "7", ""]), ("notify", words!["notify", "READY=1"])];
    let say = say.into_iter().filter(|(option, _)| has(option)).flat_map(|(_, actions)| actions);
    let command: Vec<OsString> = words!["--", probe, "report", report].into_iter().chain(say).collect();
    // The mark is a variable by which the harness finds processes that a failed test has left. --clear-env would remove
    // it.
    let mark = if has("--clear-env") { words!["-e", sandbox.mark()] } else { words![] };
    let socket = sandbox.path("socket");
    let word = |word: &&str| match *word {
        "SOCKET" => socket.clone().into(),
        "probe:HEALTHY" => format!("probe:{}", healthy()).into(),
        word => OsString::from(word),
    };
    let line = [given.iter().map(word).collect(), mark, command, words!["wait"]].concat();

    let check = sandbox.vsrun([words!["--check"], line.clone()].concat()).finish();
    assert!(check.code() == Some(0) && check.out.is_empty(), "--check {given:?}: {check:?}");
    assert_eq!(names(sandbox), before, "--check {given:?}");

    let (input, _writer) = sys::pipe();
    let called = sandbox.vsrun(line).env("LANG", "C").stdin(input).start();
    let (caller, background, stays) = (called.pid(), has("-b"), has("--restart"));
    let called = if background {
        let ended = called.finish();
        assert_eq!(ended.code(), Some(0), "{given:?}: {ended:?}");
        None
    } else {
        Some(called)
    };
    let found = sandbox.report(&place_of_report);
    let server = Server { sandbox, found: &found, pid: found.number("pid"), has_supervisor: stays };
    for choice in both {
        assert!((choice.has_effect)(&server), "{:?} among {given:?}: {found:?}", choice.words);
    }
    let keeper = if stays { process::parent(server.pid) } else { server.pid };
    assert_eq!(keeper == caller, !background, "{given:?}");
    sys::kill(keeper, libc::SIGTERM);
    if let Some(called) = called {
        let ended = called.finish();
        let expected = if stays { (Some(0), None) } else { (None, Some(libc::SIGTERM)) };
        assert_eq!((ended.code(), ended.signal()), expected, "{given:?}: {ended:?}");
    }
    sandbox.await_nothing_left();
    let _ = fs::remove_dir_all(sandbox.path("logs"));
    if !stays {
        // Without a supervisor, no process removes these files.
        let _ = fs::remove_file(sandbox.path("pid"));
        let _ = fs::remove_file(socket);
    }
    fs::remove_file(place_of_report).unwrap();
    assert_eq!(names(sandbox), before, "{given:?}");
}

#[track_caller]
fn try_all(way: &[&str]) {
    needs!(harness::root());
    let sandbox = sandbox_with_inputs();
    let able = |choice: &&Choice| match choice.needs {
        Needs::Nothing => true,
        Needs::Waits => !way.is_empty(),
        Needs::Stays => way.contains(&"--restart"),
    };
    let choices: Vec<&Choice> = CHOICES.iter().filter(able).collect();
    for (at, one) in choices.iter().enumerate() {
        for other in &choices[..at] {
            if one.kind.is_empty() || one.kind != other.kind {
                try_both(&sandbox, way, [one, other]);
            }
        }
    }
}

#[test]
fn pairs_work_without_a_supervisor() {
    try_all(&[]);
}

#[test]
fn pairs_work_without_a_supervisor_in_the_background() {
    try_all(&["-b"]);
}

#[test]
fn pairs_work_with_a_supervisor() {
    try_all(&["--restart", "no"]);
}

#[test]
fn pairs_work_with_a_supervisor_in_the_background() {
    try_all(&["-b", "--restart", "no"]);
}
