//! Each option without each capability: it works, or one line says which capability is missing.
//!
//! vsrun runs as root, as in a container, with all capabilities of this machine except one. CASES lists the
//! capabilities that each option needs; the manual's chapter CAPABILITIES has the same table.

use crate::harness::{self, Call, ProcessResult, Sandbox, needs, process, sys, words};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::{Duration, Instant};

/// Name and number of each capability that is taken away, one at a time: those that Docker grants by default, and
/// others.
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
    /// The name of the case, as the manual's table has it.
    name: &'static str,
    /// If one of these capabilities is missing, the start fails and names it.
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
        options: |sandbox| [user(), words!["-w", make_private_directory(sandbox)]].concat(),
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
fn make_private_directory(sandbox: &Sandbox) -> OsString {
    let path = sandbox.path("private");
    harness::sandbox::make_directory(&path, 0o700);
    chown(&path, Some(USER), Some(USER)).unwrap();
    path.into()
}

/// A loopback address that no other test uses: all of 127/8 is local, and pid, pid namespace and a counter choose it.
fn address(port: u16) -> String {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = sys::pid().cast_unsigned().wrapping_add(harness::namespace());
    format!("127.{}.{}.{}:{port}", (number >> 8) & 127, number & 255, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A call of vsrun as root without this capability: execve(2) gives root only capabilities of the bounding set.
fn call_without_capability<'place>(sandbox: &'place Sandbox, capability: &str, line: Vec<OsString>) -> Call<'place> {
    let set = format!("--bounding-set=-{}", capability.to_ascii_lowercase());
    let words = [words![set, "--", sandbox.path("vsrun")], line].concat();
    sandbox.program(&harness::find_tool("setpriv").unwrap(), words).before(|| sys::limit_descriptors(1000))
}

/// The result of a start, two restarts and a stop without one capability.
#[derive(Debug)]
enum Outcome {
    /// The server was started, restarted on request and after a crash, and stopped.
    Works,
    /// vsrun has exited too early, or with another status than 0.
    Fails(ProcessResult),
    /// vsrun did not do in time what was requested. The text is its records, for the message of a failed test.
    #[allow(dead_code, reason = "shown as part of the whole")]
    Hangs(Vec<String>),
}

/// Starts a server, restarts it by SIGHUP and by killing it, and stops it.
fn run_without_capability(sandbox: &Sandbox, options: Vec<OsString>, capability: &str) -> Outcome {
    let jail = options.iter().any(|word| word == "-r");
    let life = if jail { "/out/life".into() } else { sandbox.out("life") };
    let seen = if jail { sandbox.jail().join("out/life") } else { sandbox.out("life") };
    let probe = if jail { "/probe".into() } else { sandbox.probe() };
    let ready = if options.iter().any(|word| word == "fd:9") { words!["tell", "9", "ready"] } else { words![] };
    let base = words!["-m", sandbox.path("manager.pid"), "-", "--stop-timeout", "2s"];
    let server = [words!["--", probe, "life", life], ready, words!["wait"]].concat();
    let manager = call_without_capability(sandbox, capability, [base, options, server].concat()).start();
    for round in 1..=3 {
        if !becomes_true_in_time(|| harness::lives(&seen).len() >= round || !manager.is_running()) {
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
    if !becomes_true_in_time(|| !manager.is_running()) {
        return Outcome::Hangs(manager.err());
    }
    let ended = manager.finish();
    if ended.code() == Some(0) { Outcome::Works } else { Outcome::Fails(ended) }
}

/// Waits up to 60 s for the condition, and returns whether it became true. It does not panic, so that one test run
/// reports every wrong case.
fn becomes_true_in_time(mut condition: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !condition() {
        if since.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// True if the bounding set of this test has the capability.
fn machine_has_capability(capability: &str) -> bool {
    let set = u64::from_str_radix(&process::status(sys::pid(), "CapBnd"), 16).unwrap();
    CAPABILITIES.iter().any(|(name, number)| *name == capability && set >> number & 1 == 1)
}

/// The capabilities that the options need and that vsrun does not have if `capability` is taken away.
fn missing_capabilities(case: &Case, capability: &str) -> Vec<String> {
    let missing = |need: &&&str| **need == capability || !machine_has_capability(need);
    case.needs.iter().filter(missing).map(|need| format!("CAP_{need}")).collect()
}

/// Tries the options without each capability that `wanted` selects, and describes the cases that are not `fine`. The
/// cases of one option run at the same time.
fn failed_cases(
    wanted: impl Fn(&Case, &str) -> bool,
    fine: impl Fn(&Case, &str, &Outcome) -> bool + Sync,
) -> Vec<String> {
    let complaint = |case: &Case, capability: &str| {
        let sandbox = Sandbox::new();
        let found = run_without_capability(&sandbox, (case.options)(&sandbox), capability);
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
    let wrong = failed_cases(|case, capability| missing_capabilities(case, capability).is_empty(), works);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One line names the missing capability, and no process is left.
#[test]
fn an_option_without_a_capability_that_it_needs_names_it() {
    needs!(harness::root(), harness::tool("setpriv"));
    let named = |case: &Case, capability: &str, found: &Outcome| {
        let Outcome::Fails(ended) = found else { return false };
        let complaints = ended.complaints();
        let named = |name: &String| complaints.len() == 1 && complaints[0].contains(name);
        ended.code() == Some(125) && missing_capabilities(case, capability).iter().any(named)
    };
    let wrong = failed_cases(|case, capability| case.needs.contains(&capability), named);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The error names the hard limit for a plain user too.
#[test]
fn a_limit_that_cannot_be_raised_names_the_hard_limit_in_force() {
    let sandbox = Sandbox::plain();
    let line = words!["--limit", "nofile=5000:6000", "--", sandbox.probe(), "exit", "0"];
    let ended = sandbox.vsrun(line).before(|| sys::limit_descriptors(1000)).finish();
    ended.assert_failed(125, &["--limit nofile=5000:6000", "CAP_SYS_RESOURCE", "the hard limit is 1000"]);
    // An error that no capability prevents does not mention capabilities.
    let line = words!["-r", sandbox.path("nothing"), "--", "/probe"];
    let ended = sandbox.vsrun(line).finish();
    ended.assert_exited(125);
    assert!(!ended.err[0].contains("CAP_"), "{ended:?}");
}

/// Without CAP_KILL, root signals a server of another user that has no manager.
#[test]
fn control_command_without_cap_kill_reports_the_reason() {
    needs!(harness::root(), harness::tool("setpriv"));
    let sandbox = Sandbox::new();
    let line = [words!["-b", "-p", "pid"], user(), words!["--", sandbox.probe(), "life", sandbox.out("life"), "wait"]]
        .concat();
    sandbox.vsrun(line).finish().assert_exited(0);
    let server = harness::await_life(&sandbox.out("life"), 1);
    for control in [words!["--signal", "CONT", "pid"], words!["--stop", "pid"]] {
        let ended = call_without_capability(&sandbox, "KILL", control).finish();
        // The command may succeed with another capability; otherwise it says what is missing.
        let named = ended.err.iter().any(|line| line.contains("CAP_KILL") || line.contains("not permitted"));
        assert!(ended.code() == Some(0) || ended.code() == Some(125) && named, "{ended:?}");
    }
    sandbox.vsrun(words!["--stop", "pid"]).finish().assert_exited(0);
    harness::await_gone(server);
}

/// `--check` reports a capability that a start would need and does not have.
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
            let ended = call_without_capability(&sandbox, capability, line).finish();
            let named = ended.out.iter().any(|line| line.contains(&format!("CAP_{capability}")));
            if ended.code() != Some(125) || !named {
                wrong.push(format!("{} without CAP_{capability}: {ended:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each row of the manual's table has an option and the capabilities that it needs, as CASES lists them.
#[test]
fn manual_lists_the_capabilities_of_each_option() {
    let page = fs::read_to_string(Path::new(env!("OUT_DIR")).join("vsrun.8")).unwrap();
    let chapter = page.split_once(".SH CAPABILITIES\n").unwrap().1.split("\n.SH ").next().unwrap().replace("\\-", "-");
    let table = chapter.split_once(".EX\n").unwrap().1.split(".EE").next().unwrap();
    let row = |case: &Case| {
        let needs = if case.needs.is_empty() { "none".to_owned() } else { case.needs.join(", ") };
        format!("{:<33}{needs}", case.name)
    };
    assert_eq!(table.lines().collect::<Vec<_>>(), CASES.iter().map(row).collect::<Vec<_>>());
}
