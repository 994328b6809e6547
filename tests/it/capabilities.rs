//! Every option without every capability: it works, or one line says which capability is missing.
//!
//! vsrun is root here, as in a container, and has all capabilities of this machine except one. What each option needs is
//! the table of CASES; the manual's chapter CAPABILITIES shows the same.

use crate::harness::{self, Call, Ended, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::{Duration, Instant};

/// Those that are taken away, one at a time: what Docker leaves to a container, and what it does not.
const CAPABILITIES: [(&str, u32); 13] = [
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("FOWNER", 3),
    ("FSETID", 4),
    ("KILL", 5),
    ("NET_BIND_SERVICE", 10),
    ("SETGID", 6),
    ("SETPCAP", 8),
    ("SETUID", 7),
    ("SYS_CHROOT", 18),
    ("SYS_NICE", 23),
    ("SYS_PTRACE", 19),
    ("SYS_RESOURCE", 24),
];

const USER: u32 = 4321;

struct Case {
    /// As the manual has it.
    name: &'static str,
    /// Without one of these the start fails, and says so.
    needs: &'static [&'static str],
    options: fn(&Sandbox) -> Vec<OsString>,
}

const IDS: &[&str] = &["SETGID", "SETUID"];

const CASES: [Case; 19] = [
    Case { name: "no option", needs: &[], options: |_| words![] },
    Case { name: "--pidfile", needs: &[], options: |sandbox| words!["-p", sandbox.path("pid")] },
    Case { name: "--logdir", needs: &[], options: |sandbox| words!["-d", sandbox.path("logs"), "1d"] },
    Case { name: "--listen PORT, from 1024 on", needs: &[], options: |_| words!["--listen", address(12_001)] },
    Case {
        name: "--listen PORT, below 1024",
        needs: &["NET_BIND_SERVICE"],
        options: |_| words!["--listen", address(81)],
    },
    Case { name: "--listen PATH", needs: &[], options: |sandbox| words!["--listen", sandbox.path("socket")] },
    Case { name: "--root", needs: &["SYS_CHROOT"], options: |sandbox| words!["-r", sandbox.path("jail")] },
    Case { name: "--nice, downwards", needs: &["SYS_NICE"], options: |_| words!["--nice=-5"] },
    Case { name: "--limit, upwards", needs: &["SYS_RESOURCE"], options: |_| words!["--limit", "nofile=100001"] },
    Case { name: "--oom-score-adj, downwards", needs: &["SYS_RESOURCE"], options: |_| words!["--oom-score-adj=-7"] },
    Case { name: "--caps", needs: &["SETPCAP"], options: |_| words!["--caps", "audit_write"] },
    Case { name: "--user", needs: IDS, options: |_| user() },
    Case {
        name: "--user, --group and --linger",
        needs: IDS,
        options: |_| [user(), words!["--group", "--linger", "5s"]].concat(),
    },
    Case {
        name: "--user and --work-dir",
        needs: IDS,
        options: |sandbox| [user(), words!["-w", private(sandbox)]].concat(),
    },
    Case { name: "--user and --ready", needs: IDS, options: |_| [user(), words!["--ready", "fd:9"]].concat() },
    Case {
        name: "--user and --logdir",
        needs: &["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"],
        options: |sandbox| [user(), words!["-d", sandbox.path("logs"), "1d"]].concat(),
    },
    Case {
        name: "--user, --logdir and --log-size",
        needs: &["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"],
        options: |sandbox| [user(), words!["-d", sandbox.path("logs"), "1d", "--log-size", "1M"]].concat(),
    },
    Case {
        name: "--user and --syslog",
        needs: IDS,
        options: |sandbox| {
            [user(), words!["-s", "tag", "--logger", format!("{} collect /dev/null", sandbox.probe().display())]]
                .concat()
        },
    },
    Case {
        name: "--user and --listen PATH",
        needs: &["CHOWN", "SETGID", "SETUID"],
        options: |sandbox| [user(), words!["--listen", sandbox.path("socket")]].concat(),
    },
];

fn user() -> Vec<OsString> {
    words!["-u", format!("{USER}:{USER}")]
}

/// A directory that root without CAP_DAC_OVERRIDE cannot enter.
fn private(sandbox: &Sandbox) -> OsString {
    let path = sandbox.path("private");
    harness::sandbox::make_directory(&path, 0o700);
    chown(&path, Some(USER), Some(USER)).unwrap();
    path.into()
}

/// An address of this process and thread alone: every number in 127/8 is the loopback device.
fn address(port: u16) -> String {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = sys::pid().cast_unsigned().wrapping_add(harness::namespace());
    format!("127.{}.{}.{}:{port}", (number >> 8) & 127, number & 255, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// vsrun without that capability: a bounding set without it leaves root nothing of it across an execve(2).
fn call<'place>(sandbox: &'place Sandbox, capability: &str, line: Vec<OsString>) -> Call<'place> {
    let set = format!("--bounding-set=-{}", capability.to_ascii_lowercase());
    let words = [words![set, "--", sandbox.path("vsrun")], line].concat();
    sandbox.program(&harness::find_tool("setpriv").unwrap(), words).before(|| sys::limit_descriptors(1000))
}

/// How a life went.
#[derive(Debug)]
enum Outcome {
    /// The server was started, restarted on request and after a crash, and stopped.
    Works,
    /// vsrun has ended, and this was its end.
    Fails(Ended),
    /// It did not do what it was asked for; these are its records, which a failed test shows.
    #[allow(dead_code, reason = "shown as part of the whole")]
    Hangs(Vec<String>),
}

/// A server is started, restarted on request and after a crash, and stopped.
fn life(sandbox: &Sandbox, options: Vec<OsString>, capability: &str) -> Outcome {
    let jail = options.iter().any(|word| word == "-r");
    let life = if jail { "/out/life".into() } else { sandbox.out("life") };
    let seen = if jail { sandbox.jail().join("out/life") } else { sandbox.out("life") };
    let probe = if jail { "/probe".into() } else { sandbox.probe() };
    let ready = if options.iter().any(|word| word == "fd:9") { words!["tell", "9", "ready"] } else { words![] };
    let base = words!["-m", sandbox.path("manager.pid"), "-", "--stop-timeout", "2s"];
    let server = [words!["--", probe, "life", life], ready, words!["wait"]].concat();
    let manager = call(sandbox, capability, [base, options, server].concat()).start();
    for round in 1..=3 {
        if !comes(|| harness::lives(&seen).len() >= round || !manager.lives()) {
            return Outcome::Hangs(manager.err());
        }
        let Some((server, _)) = harness::lives(&seen).get(round - 1).copied() else {
            return Outcome::Fails(manager.finish());
        };
        match round {
            1 => manager.signal(libc::SIGHUP),
            2 => sys::kill(server, libc::SIGKILL),
            _ => manager.signal(libc::SIGTERM),
        }
    }
    if !comes(|| !manager.lives()) {
        return Outcome::Hangs(manager.err());
    }
    let ended = manager.finish();
    if ended.code() == Some(0) { Outcome::Works } else { Outcome::Fails(ended) }
}

/// Waits for it, and gives up after a while: all that is wrong is to be found, not only the first.
fn comes(mut condition: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !condition() {
        if since.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// True if the machine itself leaves us this capability.
fn held(capability: &str) -> bool {
    let set = u64::from_str_radix(&process::status(sys::pid(), "CapBnd"), 16).unwrap();
    CAPABILITIES.iter().any(|(name, number)| *name == capability && set >> number & 1 == 1)
}

/// Those of an option's needs that are missing when this capability is taken away.
fn missing(case: &Case, capability: &str) -> Vec<String> {
    let missing = |need: &&&str| **need == capability || !held(need);
    case.needs.iter().filter(missing).map(|need| format!("CAP_{need}")).collect()
}

/// Tries these options without these capabilities, all those of one option at a time, and collects what is not fine.
fn try_all(wanted: impl Fn(&Case, &str) -> bool, fine: impl Fn(&Case, &str, &Outcome) -> bool + Sync) -> Vec<String> {
    let complaint = |case: &Case, capability: &str| {
        let sandbox = Sandbox::new();
        let found = life(&sandbox, (case.options)(&sandbox), capability);
        let fine = fine(case, capability, &found);
        if fine {
            sandbox.await_nothing_left();
        }
        (!fine).then(|| format!("{} without CAP_{capability}: {found:?}", case.name))
    };
    let tries = CASES.iter().map(|case| {
        std::thread::scope(|scope| {
            let capabilities = CAPABILITIES.iter().map(|(capability, _)| *capability);
            let wanted = capabilities.filter(|capability| wanted(case, capability));
            let tries: Vec<_> = wanted.map(|capability| scope.spawn(move || complaint(case, capability))).collect();
            tries.into_iter().filter_map(|one| one.join().unwrap()).collect::<Vec<_>>()
        })
    });
    tries.flatten().collect()
}

#[test]
fn every_option_works_without_the_capabilities_that_it_does_not_need() {
    needs!(harness::root(), harness::tool("setpriv"));
    let works = |_: &Case, _: &str, found: &Outcome| matches!(found, Outcome::Works);
    let wrong = try_all(|case, capability| missing(case, capability).is_empty(), works);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One line says what is missing, and nothing is left running.
#[test]
fn an_option_without_a_capability_that_it_needs_names_it() {
    needs!(harness::root(), harness::tool("setpriv"));
    let named = |case: &Case, capability: &str, found: &Outcome| {
        let Outcome::Fails(ended) = found else { return false };
        let complaints = ended.complaints();
        let named = |name: &String| complaints.len() == 1 && complaints[0].contains(name);
        ended.code() == Some(125) && missing(case, capability).iter().any(named)
    };
    let wrong = try_all(|case, capability| case.needs.contains(&capability), named);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Also for a caller who is not root: it says how far it may go.
#[test]
fn a_limit_that_cannot_be_raised_names_the_hard_limit_in_force() {
    let sandbox = Sandbox::plain();
    let line = words!["--limit", "nofile=5000:6000", "--", sandbox.probe(), "exit", "0"];
    let ended = sandbox.vsrun(line).before(|| sys::limit_descriptors(1000)).finish();
    ended.failed(125, &["--limit nofile=5000:6000", "CAP_SYS_RESOURCE", "the hard limit is 1000"]);
    // What is not about rights gets no such reason.
    let line = words!["-r", sandbox.path("nothing"), "--", "/probe"];
    let ended = sandbox.vsrun(line).finish();
    ended.exited(125);
    assert!(!ended.err[0].contains("CAP_"), "{ended:?}");
}

/// What a caller who may not signal other users' processes can do with a server that has no manager.
#[test]
fn a_control_option_without_kill_says_what_is_missing() {
    needs!(harness::root(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let line = [words!["-b", "-p", "pid"], user(), words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"]]
        .concat();
    sandbox.vsrun(line).finish().exited(0);
    let server = harness::await_life(&sandbox.out("life"), 1);
    for control in [words!["--signal", "CONT", "pid"], words!["--stop", "pid"]] {
        let ended = call(&sandbox, "KILL", control).finish();
        // It may still find a way; otherwise it says what is missing.
        let named = ended.err.iter().any(|line| line.contains("CAP_KILL") || line.contains("not permitted"));
        assert!(ended.code() == Some(0) || ended.code() == Some(125) && named, "{ended:?}");
    }
    sandbox.vsrun(words!["--stop", "pid"]).finish().exited(0);
    harness::await_gone(server);
}

/// `--check` finds beforehand what a start would miss.
#[test]
fn a_check_names_what_a_start_would_miss() {
    needs!(harness::root(), harness::tool("setpriv"));
    let mut wrong = Vec::new();
    for case in &CASES {
        for capability in case.needs {
            let sandbox = Sandbox::new();
            sandbox.jail();
            let jail = case.name == "--root";
            let probe = if jail { "/probe".into() } else { sandbox.probe() };
            let base = words!["--check", "-m", sandbox.path("manager.pid"), "-"];
            let line = [base, (case.options)(&sandbox), words!["--", probe, "wait"]].concat();
            let ended = call(&sandbox, capability, line).finish();
            let named = ended.out.iter().any(|line| line.contains(&format!("CAP_{capability}")));
            if ended.code() != Some(125) || !named {
                wrong.push(format!("{} without CAP_{capability}: {ended:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The rows of the chapter are those of CASES: the option, and what it needs.
#[test]
fn the_manual_has_the_same_table() {
    let page = fs::read_to_string(Path::new(env!("OUT_DIR")).join("vsrun.8")).unwrap();
    let chapter = page.split_once(".SH CAPABILITIES\n").unwrap().1.split("\n.SH ").next().unwrap().replace("\\-", "-");
    let table = chapter.split_once(".EX\n").unwrap().1.split(".EE").next().unwrap();
    let row = |case: &Case| {
        let needs = if case.needs.is_empty() { "none".to_owned() } else { case.needs.join(", ") };
        format!("{:<33}{needs}", case.name)
    };
    assert_eq!(table.lines().collect::<Vec<_>>(), CASES.iter().map(row).collect::<Vec<_>>());
}
