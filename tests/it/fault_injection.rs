//! Fault injection: in each scenario, each system call of vsrun fails, one after the other, with each errno that fits,
//! once and for good. After each fault the tests check what must hold whatever the kernel does.
//!
//! `cargo test` tries a random sample with the seed `$FAULTS_SEED`; `make faults` tries all faults and writes
//! `docs/faults.md`. `FAULTS_ONLY=scenario:process:call:number:errno:once|good` selects faults; an empty part selects
//! all values.

mod asking;
mod replacing;
mod run;
mod scenario;

use crate::harness::rng::Rng;
use crate::harness::tracer::{self, Fault, Point, Trace};
use crate::harness::{self, cgroups, needs};
use run::{Outcome, Run, run};
use scenario::{SCENARIOS, Scenario, ScenarioKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Time limit of what has no reason to wait.
const LIMIT: Duration = Duration::from_secs(15);
/// Number of faults in a sample.
const SAMPLE: usize = 400;

// ------------------------------------------------------------------------------------------------------------------
// Which faults there are.

/// System calls that no kernel refuses, and those that end a process. Most reads of the time make no system call at
/// all.
const SURE: &[&str] = &[
    "clock_gettime",
    "rt_sigaction",
    "arch_prctl",
    "set_tid_address",
    "getpid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "exit",
    "exit_group",
    "rt_sigreturn",
    "umask",
];

/// System calls that do not fail for good: for a few descriptors ppoll(2) needs no memory of the kernel.
const NEVER_FOR_GOOD: &[&str] = &["ppoll"];

/// The errors of a system call that its manual page lists or that a seccomp filter returns.
fn errors(call: &str, on: &str) -> &'static [(&'static str, i32)] {
    macro_rules! list {
        ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
    }
    match call {
        "open" | "openat" | "stat" | "newfstatat" | "statx" | "mkdir" | "mkdirat" | "access" | "faccessat" => {
            list!(EACCES EMFILE ENOSPC EIO)
        }
        "close" => list!(EIO EINTR),
        // A pipe between two processes of vsrun does not fail in any other way.
        "read" | "write" if on == "pipe" => list!(EINTR),
        "read" | "readv" | "pread64" => list!(EIO EAGAIN EINTR),
        "write" | "writev" | "pwrite64" | "pwritev2" => list!(ENOSPC EIO EINTR EAGAIN),
        "ftruncate" | "fallocate" => list!(ENOSPC EIO EPERM),
        "pipe2" | "signalfd4" | "dup" | "dup2" | "dup3" => list!(EMFILE ENOMEM),
        "clone" | "fork" => list!(EAGAIN ENOMEM),
        "fcntl" => list!(EINVAL ENOLCK EMFILE EPERM),
        "poll" | "ppoll" | "nanosleep" => list!(EINTR ENOMEM EPERM),
        // The kernel does not interrupt a waitid that does not block, but a tracer can; vsrun must not miss an exit
        // then.
        "wait4" | "waitid" => list!(EINTR),
        "kill" => list!(EPERM),
        "mmap" | "brk" | "mprotect" | "munmap" | "madvise" => list!(ENOMEM EPERM),
        "socket" => list!(EMFILE EAFNOSUPPORT EPERM),
        "bind" => list!(EADDRINUSE EACCES),
        "sendto" | "sendmsg" => list!(ECONNREFUSED EAGAIN EPERM),
        "connect" => list!(ECONNREFUSED EPERM),
        "execve" => list!(EACCES ENOENT ENOMEM ETXTBSY),
        "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2" => list!(EROFS EIO EPERM),
        "rt_sigprocmask" => list!(EPERM),
        "setgroups" | "setresuid" | "setresgid" | "chroot" | "setsid" => list!(EPERM EAGAIN ENOSYS),
        _ => list!(EPERM ENOMEM ENOSYS),
    }
}

/// One fault in one scenario.
struct Trial {
    scenario: usize,
    fault: Fault,
    error: &'static str,
}

impl Trial {
    /// The trial in the format of `$FAULTS_ONLY`.
    fn name(&self) -> String {
        let Fault { point: Point { role, call, number }, for_good, .. } = &self.fault;
        let how = if *for_good { "good" } else { "once" };
        format!("{}:{role}:{call}:{number}:{}:{how}", SCENARIOS[self.scenario].name, self.error)
    }

    fn is_chosen(&self, only: &str) -> bool {
        let name = self.name();
        let parts = name.split(':').zip(only.split(':').chain(std::iter::repeat("")));
        parts.into_iter().all(|(part, wanted)| wanted.is_empty() || part == wanted)
    }
}

/// The result of one trial.
struct Tried {
    outcome: Outcome,
    was_injected: bool,
    wrong: Option<String>,
}

impl Trial {
    fn run(&self, wanted: &[Vec<String>]) -> Tried {
        let since = Instant::now();
        let Run { outcome, injected, err, .. } = run(&SCENARIOS[self.scenario], Some(&self.fault), wanted);
        let said = || err.iter().filter(|line| !line.starts_with("vsrun: starting")).collect::<Vec<_>>();
        let wrong = if let Outcome::Wrong(why) = &outcome {
            Some(format!("{}: {why}; it said {:?}", self.name(), said()))
        } else {
            None
        };
        match &wrong {
            Some(wrong) => eprintln!("{wrong}"),
            // If FAULTS_ONLY selects trials, print each of them.
            None if std::env::var_os("FAULTS_ONLY").is_some() => {
                eprintln!("{}: {outcome:?} {:?} ({:.1?})", self.name(), said(), since.elapsed());
            }
            None => {}
        }
        Tried { outcome, was_injected: injected > 0, wrong }
    }
}

/// Adds all faults of a scenario: each call in its run without a fault, with each error.
fn trials(scenario: usize, trace: &Trace, all: &mut Vec<Trial>) {
    for (point, on) in &trace.calls {
        // In this scenario ppoll looks for the last messages of an exited server without waiting, which cannot fail.
        let passed = point.call == "ppoll" && SCENARIOS[scenario].name == "notify";
        if passed || SURE.contains(&point.call) {
            continue;
        }
        // The caller of --background reads the result of the start from a pipe; if it cannot read it, the start goes
        // on.
        let waits = matches!(SCENARIOS[scenario].way, ScenarioKind::BackgroundServer | ScenarioKind::BackgroundManager)
            && point.role == "vsrun";
        let news: &[_] =
            if waits && (point.call, on.as_str()) == ("read", "pipe") { &[("EIO", libc::EIO)] } else { &[] };
        for (error, number) in news {
            let fault = Fault { point: point.clone(), argument_kind: on.clone(), error: *number, for_good: false };
            all.push(Trial { scenario, fault, error });
        }
        for (error, number) in errors(point.call, on) {
            for for_good in [false, true] {
                // vsrun repeats a call that was interrupted, so EINTR for good would never end.
                if for_good && (*number == libc::EINTR || NEVER_FOR_GOOD.contains(&point.call)) {
                    continue;
                }
                let fault = Fault { point: point.clone(), argument_kind: on.clone(), error: *number, for_good };
                all.push(Trial { scenario, fault, error });
            }
        }
    }
}

fn number_in(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// True if this machine can run all scenarios.
fn can_run_these_tests() -> bool {
    let groups = harness::available(cgroups::mounted().is_some(), "a cgroup 2 file system");
    groups && harness::root() && tracer::can_trace() && harness::tool("unshare")
}

/// A run of a scenario without a fault: its trace, and the attributes of the server in each of its runs.
struct FaultFreeRun {
    trace: Trace,
    essence: Vec<Vec<String>>,
}

/// Runs each scenario once without a fault, and keeps the results.
fn calm() -> &'static [FaultFreeRun] {
    static CALM: OnceLock<Vec<FaultFreeRun>> = OnceLock::new();
    CALM.get_or_init(|| {
        each(SCENARIOS, |scenario| {
            let calm = run(scenario, None, &[]);
            assert_eq!(calm.outcome, Outcome::Same, "{}: {:?}", scenario.name, calm.err);
            // A call that the tracer cannot name would not be tried.
            let unnamed = calm.trace.calls.iter().find(|(point, _)| point.call == "?");
            assert!(unnamed.is_none(), "{}: the tracer has no name for {unnamed:?}", scenario.name);
            FaultFreeRun { trace: calm.trace, essence: calm.essence }
        })
    })
}

fn all_trials() -> Vec<Trial> {
    let mut all = Vec::new();
    for (index, calm) in calm().iter().enumerate() {
        trials(index, &calm.trace, &mut all);
    }
    all
}

fn try_all(all: &[Trial]) -> Vec<Tried> {
    each(all, |trial| trial.run(&calm()[trial.scenario].essence))
}

#[test]
fn every_fault_is_survived() {
    needs!(can_run_these_tests());
    let mut all = all_trials();
    let known = all.len();
    let (only, whole) = (std::env::var("FAULTS_ONLY").ok(), std::env::var("FAULTS").is_ok_and(|value| value == "all"));
    if let Some(only) = &only {
        all.retain(|trial| trial.is_chosen(only));
    } else if !whole {
        let seed = number_in("FAULTS_SEED", 1);
        eprintln!("FAULTS_SEED={seed}: {SAMPLE} of {known} faults");
        let mut rng = Rng::new(u64::try_from(seed).unwrap());
        let picked = number_in("FAULTS_COUNT", SAMPLE).min(known);
        for sandbox in 0..picked {
            let from = sandbox + rng.below(known - sandbox);
            all.swap(sandbox, from);
        }
        all.truncate(picked);
    }
    let results = try_all(&all);
    if let Some(path) = std::env::var_os("FAULTS_TABLE") {
        std::fs::write(path, table(&all, &results)).unwrap();
    }
    assert_none_went_wrong(&all, &results);
}

/// Faults that vsrun once did not survive, in the format of `$FAULTS_ONLY`.
const SURVIVED_SINCE: &[&str] = &[
    // `--replace` waited for ever after its answer was lost.
    "replace:vsrun:fcntl::ENOLCK:once",
    // A pidfile that could not be read was taken for one without a pid: the server was reported as restarting.
    "ask-status:vsrun:pread64::EIO:good",
    "ask-signal:vsrun:pread64::EIO:good",
    // When the lock could not be read, `--stop` waited for more than a minute, or for ever with `--stop-timeout 0`.
    "ask-stop:vsrun:fcntl::ENOLCK:good",
    // A control group that vsrun had just created was not removed.
    "cgroup:vsrun:openat::EMFILE:once",
];

#[test]
fn faults_that_once_did_harm_do_none() {
    needs!(can_run_these_tests());
    let mut all = all_trials();
    all.retain(|trial| SURVIVED_SINCE.iter().any(|only| trial.is_chosen(only)));
    let found = |only: &&&str| all.iter().any(|trial| trial.is_chosen(only));
    assert_eq!(SURVIVED_SINCE.iter().filter(found).count(), SURVIVED_SINCE.len(), "each is a fault of these scenarios");
    assert_none_went_wrong(&all, &try_all(&all));
}

fn assert_none_went_wrong(all: &[Trial], results: &[Tried]) {
    let wrong: Vec<&str> = results.iter().filter_map(|result| result.wrong.as_deref()).collect();
    let came = results.iter().filter(|result| result.was_injected).count();
    eprintln!("{} faults tried, {came} of them where the call came; {} went wrong", all.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Calls `one` for each item in `$FAULTS_JOBS` threads, and returns the results in the order of the items.
fn each<T: Sync, R: Send>(all: &[T], one: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..number_in("FAULTS_JOBS", 4) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(item) = all.get(index) else { break };
                    let result = one(item);
                    results.lock().unwrap().insert(index, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// One row of the table: its calls and errors, and how many faults had each outcome.
#[derive(Default)]
struct Row {
    points: BTreeSet<(usize, Point)>,
    errors: BTreeSet<&'static str>,
    counts: [usize; 7],
}

impl Row {
    fn add(&mut self, trial: &Trial, result: &Tried) {
        self.points.insert((trial.scenario, trial.fault.point.clone()));
        self.errors.insert(trial.error);
        let column = match &result.outcome {
            Outcome::Wrong(_) => 6,
            _ if !result.was_injected => 5,
            Outcome::Same => 0,
            Outcome::WentOn => 1,
            Outcome::Refused => 2,
            Outcome::NoHandler => 3,
            Outcome::RolledBack => 4,
        };
        self.counts[column] += 1;
    }

    fn cells(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(usize::to_string).collect();
        format!("{} | {} | {}", self.points.len(), self.counts.iter().sum::<usize>(), counts.join(" | "))
    }
}

const HEAD: &str = "\
# Faults

`make faults` writes this page. It makes system calls of vsrun fail, and checks the result. In each scenario, every
system call of every process of vsrun fails, one after the other, with each errno that fits. In one run the call fails
once, in another one it fails for good: until the test has waited 0.6 s for something that must happen. Each fault has
its own run. The system calls of the programs that vsrun starts do not fail.

What must hold after each run:

- The run has ended, or has continued, in time. No process of vsrun was killed by an unexpected signal.
- A start that failed has reported this in exactly one line, or in none if write(2) failed, and has exited with a
  status of 125 to 127. It has left no process, no pidfile, no socket and no control group. A termination log has the
  same line.
- A manager whose server was running has continued. It has restarted the server after its crash and after HUP, and has
  exited with status 0 on TERM.
- Each run of the server had the same ids, groups, capabilities, root, directory, umask, signals, descriptors,
  arguments, environment and control group as without faults. None began before its `--before` command had run.
- Every line that the server wrote is in the log.

In the scenarios of a replacement, exactly one server is left: the new one if vsrun reported that the replacement
succeeded, otherwise the old one. The pidfile names this server, or a message says why not. The server is restarted
after its crash. The last scenarios (`ask-`) are control commands and probes for a managed server, while no system call
of its manager fails. What they report is true, in at most one line, with the matching status, within 15 s.

- *the same*: as without the fault, and nothing was reported
- *went on*: vsrun reported the error, or waited until the call worked again, and did everything that it should
- *refused*: the start, or the control command, failed as it should
- *no*: the handler could not be run, which counts as its refusal
- *rolled back*: vsrun reported that it could not replace the server, and the old one kept running
- *not met*: the system call did not occur in this run
- *wrong*: one of the conditions above did not hold

`FAULTS_ONLY=scenario:process:call:number:errno:once|good` selects some of them: `make faults FAULTS_ONLY=jail::chroot`.
";

const COLUMNS: &str = "calls | faults | the same | went on | refused | no | rolled back | not met | wrong";

fn table(all: &[Trial], results: &[Tried]) -> String {
    let (mut scenarios, mut calls): (BTreeMap<usize, Row>, BTreeMap<&str, Row>) = Default::default();
    let mut whole = Row::default();
    for (trial, result) in all.iter().zip(results) {
        scenarios.entry(trial.scenario).or_default().add(trial, result);
        calls.entry(trial.fault.point.call).or_default().add(trial, result);
        whole.add(trial, result);
    }
    let mut text = format!("{HEAD}\n## By scenario\n\n| scenario | options | {COLUMNS} |\n");
    text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for (index, row) in &scenarios {
        let Scenario { name, options, .. } = &SCENARIOS[*index];
        let _ = writeln!(text, "| {name} | `{}` | {} |", options.replace("PLACE/", ""), row.cells());
    }
    let _ = writeln!(text, "| all | | {} |", whole.cells());
    let _ = write!(text, "\n## By system call\n\n| call | errors | {COLUMNS} |\n");
    text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for (call, row) in &calls {
        let errors: Vec<&str> = row.errors.iter().copied().collect();
        let _ = writeln!(text, "| {call} | {} | {} |", errors.join(" "), row.cells());
    }
    let wrong: Vec<&String> = results.iter().filter_map(|result| result.wrong.as_ref()).collect();
    if !wrong.is_empty() {
        text += "\n## Wrong\n\n";
        wrong.iter().for_each(|line| text += &format!("- `{line}`\n"));
    }
    text
}
