//! The sweep: every system call that vsrun makes in a scenario fails, one after the other, with every errno that
//! fits, once and for good, and what must hold whatever the kernel says is looked at each time.
//!
//! `cargo test` tries a sample, drawn by `$FAULTS_SEED`; `make faults` tries all and writes `docs/faults.md`.
//! `FAULTS_ONLY=scenario:process:call:number:errno:once|good`, each part of which may be empty, tries these.

use crate::harness::rng::Rng;
use crate::harness::tracer::{self, Fault, Point, Trace, Watched};
use crate::harness::{self, Call, Report, Sandbox, needs, sys, words};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long something may take that has no reason to wait.
const LIMIT: Duration = Duration::from_secs(15);
/// How long a call that fails for good fails, where the scenario cannot go on without it.
const PATIENCE: Duration = Duration::from_millis(600);
/// How many faults are tried where not all are.
const SAMPLE: usize = 400;

// ------------------------------------------------------------------------------------------------------------------
// The scenarios.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// vsrun becomes the server, which ends by itself.
    Becomes,
    /// It leaves the server in the background.
    Leaves,
    /// It stays: the server's first life ends with status 1; HUP, then TERM.
    Stays,
    /// It stays in the background.
    Daemon,
    /// It stays as PID 1 of a namespace, and ends as the server ends.
    First,
}

struct Scenario {
    name: &'static str,
    way: Way,
    /// Options, with PLACE for the directory of the test.
    options: &'static str,
    jailed: bool,
}

#[rustfmt::skip]
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "exec", way: Way::Becomes, jailed: false, options: "" },
    Scenario { name: "jail", way: Way::Becomes, jailed: true,
        options: "-p PLACE/pid -u 12345:23456 -r PLACE/jail -w /out --umask 027 --nice 1 --limit core=0 --no-new-privs --caps kill" },
    Scenario { name: "background", way: Way::Leaves, jailed: false, options: "-b -p PLACE/pid" },
    Scenario { name: "manager", way: Way::Stays, jailed: false,
        options: "-p PLACE/pid -m PLACE/monitor - -u 12345:23456" },
    Scenario { name: "handler", way: Way::Stays, jailed: false, options: "-p PLACE/pid -m - PLACE/handler -u 12345:23456" },
    Scenario { name: "syslog", way: Way::Stays, jailed: false,
        options: "-m PLACE/monitor - -s tag --logger PLACE/logger" },
    Scenario { name: "logdir", way: Way::Stays, jailed: false, options: "-m - - -d PLACE/logs 1w -u 12345:23456" },
    Scenario { name: "log-size", way: Way::Stays, jailed: false,
        options: "-m - - -d PLACE/logs 1w --log-size 64 --log-files 9" },
    Scenario { name: "listen", way: Way::Stays, jailed: false,
        options: "-p PLACE/pid -m - - --listen 8080 --listen PLACE/socket" },
    Scenario { name: "notify", way: Way::Stays, jailed: false,
        options: "-p PLACE/pid -m - - --ready fd:5 --ready-timeout 5 --group --linger 1" },
    Scenario { name: "daemon", way: Way::Daemon, jailed: true,
        options: "-b -p PLACE/pid -m PLACE/monitor - -d PLACE/logs 1w -u 12345:23456 -r PLACE/jail" },
    Scenario { name: "landlock", way: Way::Stays, jailed: false,
        options: "-p PLACE/pid -m - - -u 12345:23456 --rwx / --bind-tcp 8080 --scope signal" },
    Scenario { name: "init", way: Way::First, jailed: false, options: "--init --linger 1" },
];

impl Scenario {
    fn options(&self, sandbox: &Sandbox) -> Vec<OsString> {
        let directory = sandbox.directory().to_str().unwrap();
        let mut words: Vec<OsString> =
            self.options.split_whitespace().map(|word| word.replace("PLACE", directory).into()).collect();
        if self.stays() && self.way != Way::First {
            words.extend(words!["--restart-delay", "10ms:20ms", "--stop-timeout", "5"]);
        }
        words
    }

    fn stays(&self) -> bool {
        matches!(self.way, Way::Stays | Way::Daemon | Way::First)
    }

    /// What the server and its paths are called inside.
    fn server(&self, sandbox: &Sandbox) -> Vec<OsString> {
        let out =
            |name: &str| if self.jailed { format!("/out/{name}").into() } else { sandbox.out(name).into_os_string() };
        let probe = if self.jailed { "/probe".into() } else { sandbox.probe().into_os_string() };
        let mut words = words!["--", probe, "life", out("life"), "print", "hello"];
        for life in 1..=3 {
            words.extend(words!["at", format!("{life}"), "report", out(&format!("report{life}"))]);
        }
        if self.name == "notify" {
            words.extend(words!["tell", "5", ""]);
        }
        match self.way {
            Way::Becomes => {}
            Way::Leaves => words.extend(words!["wait"]),
            Way::First => words.extend(words!["orphans", "3", out("orphans"), "wait"]),
            Way::Stays | Way::Daemon => words.extend(words!["at", "1", "exit", "1", "wait"]),
        }
        words
    }

    fn call<'a>(&self, sandbox: &'a Sandbox) -> Call<'a> {
        if self.options.contains("handler") {
            sandbox.script("handler", words!["append", sandbox.out("handled"), "x"]);
        }
        if self.options.contains("logger") {
            sandbox.script("logger", words!["collect", sandbox.out("collected")]);
        }
        let line = [self.options(sandbox), self.server(sandbox)].concat();
        if self.way == Way::First {
            let unshare = words!["--pid", "--fork", "--kill-child", "--", sandbox.path("vsrun")];
            return sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat());
        }
        // Without close_range and /proc, every number that is allowed is asked about.
        let call = sandbox.vsrun(line).before(|| sys::limit_descriptors(4096));
        if self.name == "listen" { call.before(sys::unshare_network) } else { call }
    }

    fn file(&self, sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
        if self.jailed { sandbox.path("jail/out").join(name) } else { sandbox.out(name) }
    }

    fn lives(&self, sandbox: &Sandbox) -> Vec<(i32, i64)> {
        harness::lives(&self.file(sandbox, "life"))
    }

    /// What no disturbance may change about a server.
    fn essence(&self, sandbox: &Sandbox) -> Vec<Vec<String>> {
        let read = |life| {
            let path = self.file(sandbox, &format!("report{life}"));
            path.exists().then(|| Report::read(&path))
        };
        let names =
            ["uids", "gids", "groups", "capabilities", "no-new-privs", "umask", "ignored", "blocked", "pending"];
        let directory = sandbox.directory().to_str().unwrap().to_owned();
        let root = if self.jailed { sandbox.path("jail") } else { "/".into() };
        let root = harness::call::identity(&root);
        let one = |report: &Report| {
            let mut lines: Vec<String> = names.iter().map(|name| format!("{name} {}", report.one(name))).collect();
            lines.push(format!("cwd {}", report.one("cwd").replace(&directory, "PLACE")));
            lines.push(format!("in its root {}", report.one("root") == root));
            lines.push(format!("fds {:?}", report.descriptor_numbers()));
            lines
        };
        (1..=3).filter_map(read).map(|report| one(&report)).collect()
    }
}

// ------------------------------------------------------------------------------------------------------------------
// One run.

/// What came of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The same as without it, and not a word said.
    Same,
    /// The start failed as it should: with one line, and nothing is left.
    Refused,
    /// It said what was wrong, or waited until the call worked again, and did what it should.
    WentOn,
    /// The handler could not be asked, which is a no.
    NoHandler,
    Wrong(String),
}

struct Run {
    outcome: Outcome,
    trace: Trace,
    essence: Vec<Vec<String>>,
    injected: usize,
    err: Vec<String>,
}

struct Director<'a> {
    scenario: &'a Scenario,
    sandbox: &'a Sandbox,
    watched: &'a Watched,
    for_good: bool,
    lifted: bool,
}

impl Director<'_> {
    /// Waits until it is so or the called process has ended; lifts the fault when that takes long.
    fn until(&mut self, what: &str, mut is: impl FnMut() -> bool) -> Result<(), String> {
        let since = Instant::now();
        loop {
            if is() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE && self.for_good && !self.lifted {
                self.watched.lift();
                self.lifted = true;
            }
            if since.elapsed() > LIMIT {
                return Err(format!("this never came: {what}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn lives(&self) -> usize {
        self.scenario.lives(self.sandbox).len()
    }

    /// Waits for that life of the server. An answer of false means that vsrun has ended before.
    fn life(&mut self, number: usize, manager: Option<i32>) -> Result<bool, String> {
        let (scenario, sandbox, watched) = (self.scenario, self.sandbox, self.watched);
        let report = scenario.file(sandbox, &format!("report{number}"));
        let ended = || manager.map_or_else(|| watched.has_ended(), harness::gone);
        self.until(&format!("life {number}"), || ended() || report.exists())?;
        Ok(self.lives() >= number && report.exists())
    }

    /// Does what the scenario says. An answer is what went wrong.
    fn direct(&mut self) -> Result<(), String> {
        let (scenario, sandbox, watched) = (self.scenario, self.sandbox, self.watched);
        match scenario.way {
            Way::Becomes => self.until("the end", || watched.has_ended()),
            Way::Leaves | Way::Daemon => {
                self.until("the end of the caller's process", || watched.has_ended())?;
                let name = if scenario.way == Way::Leaves { "pid" } else { "monitor" };
                let text = harness::text(&sandbox.path(name));
                let Ok(pid) = text.trim().parse::<i32>() else { return Ok(()) };
                if scenario.way == Way::Daemon {
                    return self.manage(Some(pid));
                }
                if !self.life(1, Some(pid))? {
                    return Ok(());
                }
                let found = scenario.lives(sandbox)[0].0;
                sys::kill(found, libc::SIGTERM);
                if found == pid { Ok(()) } else { Err(format!("the pidfile says {pid}, the server is {found}")) }
            }
            Way::First => {
                if !self.life(1, None)? {
                    return Ok(());
                }
                let Some(pid) = watched.pid("vsrun") else { return Ok(()) };
                self.end(pid, &|| watched.has_ended())
            }
            Way::Stays => self.manage(None),
        }
    }

    fn manage(&mut self, daemon: Option<i32>) -> Result<(), String> {
        let watched = self.watched;
        let ended = || daemon.map_or_else(|| watched.has_ended(), harness::gone);
        if !self.life(1, daemon)? || !self.life(2, daemon)? {
            return Ok(());
        }
        let Some(pid) = daemon.or_else(|| watched.pid("vsrun")) else { return Ok(()) };
        sys::kill(pid, libc::SIGHUP);
        // Its words tell whether the handler was to blame.
        if !self.life(3, daemon)? {
            return Ok(());
        }
        self.end(pid, &ended)
    }

    fn end(&mut self, pid: i32, ended: &dyn Fn() -> bool) -> Result<(), String> {
        if ended() {
            return Err("the manager ended while its server lived".to_owned());
        }
        sys::kill(pid, libc::SIGTERM);
        let (since, mut again) = (Instant::now(), true);
        self.until("the end after TERM", || {
            // What could not be passed on is said once more.
            if again && since.elapsed() > 2 * PATIENCE {
                again = false;
                sys::kill(pid, libc::SIGTERM);
            }
            ended()
        })
    }
}

fn run(scenario: &Scenario, fault: Option<&Fault>, wanted: &[Vec<String>]) -> Run {
    let sandbox = Sandbox::new();
    if scenario.jailed {
        sandbox.jail();
    }
    let watched = Watched::default();
    let call = scenario.call(&sandbox);
    let for_good = fault.is_some_and(|fault| fault.for_good);
    let mut director = Director { scenario, sandbox: &sandbox, watched: &watched, for_good, lifted: false };
    let (directed, left, trace) = std::thread::scope(|scope| {
        let tracing = scope.spawn(|| tracer::trace(call, &sandbox.path("vsrun"), fault, &watched));
        let directed = director.direct();
        let left = if directed.is_ok() { await_nothing_left(&sandbox, &watched) } else { Vec::new() };
        for pid in sandbox.living() {
            sys::kill(pid, libc::SIGKILL);
        }
        (directed, left, tracing.join().unwrap())
    });
    let essence = scenario.essence(&sandbox);
    let injected = watched.injected();
    let name = sandbox.directory().to_str().unwrap();
    let err: Vec<String> = watched.err().iter().map(|line| line.replace(name, "PLACE")).collect();
    let lifted = director.lifted;
    let seen = Seen { scenario, sandbox: &sandbox, fault, lifted, directed, left, trace: &trace, err: &err };
    let outcome = seen.judge(&essence, wanted);
    Run { outcome, trace, essence, injected, err }
}

/// The processes that are still there when all should be gone.
fn await_nothing_left(sandbox: &Sandbox, watched: &Watched) -> Vec<String> {
    let since = Instant::now();
    loop {
        let living = sandbox.living();
        if living.is_empty() && watched.has_ended() || since.elapsed() > LIMIT {
            let name = |pid: &i32| harness::text(format!("/proc/{pid}/cmdline").as_ref()).replace('\0', " ");
            return living.iter().map(name).collect();
        }
        // What only a lasting fault keeps there goes when it is lifted.
        if since.elapsed() > PATIENCE {
            watched.lift();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct Seen<'a> {
    scenario: &'a Scenario,
    sandbox: &'a Sandbox,
    fault: Option<&'a Fault>,
    lifted: bool,
    directed: Result<(), String>,
    left: Vec<String>,
    trace: &'a Trace,
    err: &'a [String],
}

impl Seen<'_> {
    fn judge(&self, essence: &[Vec<String>], wanted: &[Vec<String>]) -> Outcome {
        self.look(essence, wanted).unwrap_or_else(Outcome::Wrong)
    }

    fn look(&self, essence: &[Vec<String>], wanted: &[Vec<String>]) -> Result<Outcome, String> {
        self.directed.clone()?;
        for (role, status) in &self.trace.deaths {
            let signal = libc::WIFSIGNALED(*status).then(|| libc::WTERMSIG(*status));
            // A child on its way to be the server has a server's signals, and its manager may end it. One that has lent
            // its manager's memory for a second, as on a machine that has much to do, is ended by its own timer, and
            // another one goes the way.
            let ended = matches!(signal, Some(libc::SIGTERM | libc::SIGKILL | libc::SIGALRM)) && role != "vsrun";
            if let Some(signal) = signal.filter(|_| !ended) {
                return Err(format!("{role} was killed by signal {signal}"));
            }
        }
        if !self.left.is_empty() {
            return Err(format!("left are {:?}", self.left));
        }
        for (found, wanted) in essence.iter().zip(wanted) {
            if found != wanted {
                return Err(format!("the server is not what it should be: {found:?} in place of {wanted:?}"));
            }
        }
        let lives = self.scenario.lives(self.sandbox).len();
        // What a manager records of its life is no complaint.
        let records = ["starting", "shutdown", "started", "sending", "received", "restarting", "the server (pid"];
        let is_record = |line: &str| {
            line.strip_prefix("vsrun: ").is_some_and(|line| records.iter().any(|word| line.starts_with(word)))
        };
        let said: Vec<&String> = self.err.iter().filter(|line| !is_record(line)).collect();
        let calm = match self.scenario.way {
            Way::First => 128 + libc::SIGTERM,
            Way::Becomes | Way::Leaves | Way::Stays | Way::Daemon => 0,
        };
        match self.trace.status {
            Some(status) if status == calm && lives > 0 => {
                self.files(&[])?;
                let all = if matches!(self.scenario.way, Way::Stays | Way::Daemon) { 3 } else { 1 };
                if lives < all || essence.len() < all {
                    return Err(format!("{lives} lives of {all}, and it ended well"));
                }
                self.lost(lives)?;
                let expected = ["the handler agrees", "rotated: "];
                let unexpected = said.iter().any(|line| !expected.iter().any(|word| line.contains(word)));
                let again =
                    lives > all || self.err.iter().any(|line| line.contains("with status 12")) || self.recorded();
                Ok(if self.lifted || unexpected || again { Outcome::WentOn } else { Outcome::Same })
            }
            Some(status @ 125..=127) if lives == 0 || self.may_have_lived() => {
                let told = said.len() == 1 && said[0].starts_with("vsrun: ");
                let mute = said.is_empty() && self.fails_for_good(&["write"]);
                if !(told || mute) {
                    return Err(format!("status {status}, and not one line"));
                }
                self.files(&["pid", "monitor", "socket"])?;
                Ok(Outcome::Refused)
            }
            Some(1 | 125..=127) if said.iter().any(|line| line.contains("the handler refuses")) => {
                self.files(&[])?;
                Ok(Outcome::NoHandler)
            }
            status => Err(format!("status {status:?} after {lives} lives")),
        }
    }

    /// In the background the server may have begun to live before the start failed; it has been ended then.
    fn may_have_lived(&self) -> bool {
        matches!(self.scenario.way, Way::Leaves | Way::Daemon)
    }

    /// Whether vsrun.log reports anything wrong.
    fn recorded(&self) -> bool {
        let text = |name: &String| harness::text(&self.sandbox.path("logs").join(name));
        let names = harness::names(&self.sandbox.path("logs"));
        let records: String = names.iter().filter(|name| name.starts_with("vsrun")).map(text).collect();
        records.contains("] warning: ") || records.contains("] err: ")
    }

    fn fails_for_good(&self, calls: &[&str]) -> bool {
        self.fault.is_some_and(|fault| fault.for_good && calls.contains(&fault.point.call))
    }

    /// These and what a manager removes must be gone, but where it is the removing that fails.
    fn files(&self, names: &[&str]) -> Result<(), String> {
        let stays = self.scenario.stays();
        let calls = ["stat", "lstat", "newfstatat", "statx"];
        // A file that cannot be looked at may be another one by now, and is left alone.
        let unsure =
            self.fault.is_some_and(|fault| fault.point.call.starts_with("unlink") || calls.contains(&fault.point.call));
        let managed: &[&str] = if stays { &["pid", "monitor", "socket"] } else { &[] };
        match names.iter().chain(managed).find(|name| self.sandbox.path(name).exists()) {
            Some(name) if !unsure => Err(format!("{name} is left")),
            _ => Ok(()),
        }
    }

    /// Each life has said one word, which must have arrived.
    fn lost(&self, lives: usize) -> Result<(), String> {
        let text = match self.scenario.name {
            "syslog" => harness::text(&self.sandbox.out("collected")),
            "logdir" | "log-size" | "daemon" => {
                let logs = self.sandbox.path("logs");
                let names = harness::names(&logs);
                names
                    .iter()
                    .filter(|name| name.starts_with("logfile"))
                    .map(|name| harness::text(&logs.join(name)))
                    .collect()
            }
            _ => return Ok(()),
        };
        let found = text.lines().filter(|line| *line == "hello").count();
        if found == lives { Ok(()) } else { Err(format!("{found} lines of {lives} have arrived: {text:?}")) }
    }
}

// ------------------------------------------------------------------------------------------------------------------
// All of them.

/// Calls that no kernel refuses (the time is mostly read without one), and the ends of processes.
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
    "?",
];

/// Few descriptors are waited for without any memory being needed.
const NEVER_FOR_GOOD: &[&str] = &["ppoll"];

/// What the manual pages and filters of system calls have.
fn errors(call: &str, on: &str) -> &'static [(&'static str, i32)] {
    macro_rules! list {
        ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
    }
    match call {
        "open" | "openat" | "stat" | "newfstatat" | "statx" | "mkdir" | "mkdirat" | "access" | "faccessat" => {
            list!(EACCES EMFILE ENOSPC EIO)
        }
        "close" => list!(EIO EINTR),
        // No pipe that two processes of vsrun have between them is broken in any other way.
        "read" | "write" if on == "pipe" => list!(EINTR),
        "read" | "readv" | "pread64" => list!(EIO EAGAIN EINTR),
        "write" | "writev" | "pwrite64" | "pwritev2" => list!(ENOSPC EIO EINTR EAGAIN),
        "ftruncate" | "fallocate" => list!(ENOSPC EIO EPERM),
        "pipe2" | "signalfd4" | "dup" | "dup2" | "dup3" => list!(EMFILE ENOMEM),
        "clone" | "fork" => list!(EAGAIN ENOMEM),
        "fcntl" => list!(EINVAL ENOLCK EMFILE EPERM),
        "poll" | "ppoll" | "nanosleep" => list!(EINTR ENOMEM EPERM),
        // No kernel interrupts a waitid that does not wait; a tracer can, and an end must not be missed.
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

/// One thing to be tried.
struct Trial {
    scenario: usize,
    fault: Fault,
    error: &'static str,
}

impl Trial {
    /// As `$FAULTS_ONLY` has it.
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

/// What came of one trial.
struct Tried {
    outcome: Outcome,
    came: bool,
    wrong: Option<String>,
}

impl Trial {
    fn run(&self, wanted: &[Vec<String>]) -> Tried {
        let Run { outcome, injected, err, .. } = run(&SCENARIOS[self.scenario], Some(&self.fault), wanted);
        let said = || err.iter().filter(|line| !line.starts_with("vsrun: starting")).collect::<Vec<_>>();
        let wrong = if let Outcome::Wrong(why) = &outcome {
            Some(format!("{}: {why}; it said {:?}", self.name(), said()))
        } else {
            None
        };
        match &wrong {
            Some(wrong) => eprintln!("{wrong}"),
            // A caller that asks for some of them wants to know.
            None if std::env::var_os("FAULTS_ONLY").is_some() => eprintln!("{}: {outcome:?} {:?}", self.name(), said()),
            None => {}
        }
        Tried { outcome, came: injected > 0, wrong }
    }
}

/// All faults of a scenario, as its calm run has shown its calls.
fn trials(scenario: usize, trace: &Trace, all: &mut Vec<Trial>) {
    for (point, on) in &trace.calls {
        // The last words of a server that ends at once are looked for without waiting, which cannot fail.
        let passed = point.call == "ppoll" && SCENARIOS[scenario].name == "notify";
        if passed || SURE.contains(&point.call) {
            continue;
        }
        // The caller of --background waits at a pipe for news of the start, which goes on if it cannot read.
        let waits = matches!(SCENARIOS[scenario].way, Way::Leaves | Way::Daemon) && point.role == "vsrun";
        let news: &[_] =
            if waits && (point.call, on.as_str()) == ("read", "pipe") { &[("EIO", libc::EIO)] } else { &[] };
        for (error, number) in news {
            let fault = Fault { point: point.clone(), on: on.clone(), error: *number, for_good: false };
            all.push(Trial { scenario, fault, error });
        }
        for (error, number) in errors(point.call, on) {
            for for_good in [false, true] {
                // A process that is interrupted once asks again.
                if for_good && (*number == libc::EINTR || NEVER_FOR_GOOD.contains(&point.call)) {
                    continue;
                }
                let fault = Fault { point: point.clone(), on: on.clone(), error: *number, for_good };
                all.push(Trial { scenario, fault, error });
            }
        }
    }
}

fn number_in(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn every_fault_is_survived() {
    needs!(harness::root(), tracer::can_trace(), harness::tool("unshare"));
    let (mut all, mut wanted) = (Vec::new(), Vec::new());
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        let calm = run(scenario, None, &[]);
        assert_eq!(calm.outcome, Outcome::Same, "{}: {:?}", scenario.name, calm.err);
        trials(index, &calm.trace, &mut all);
        wanted.push(calm.essence);
    }
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
    let results = try_all(&all, &wanted);
    let wrong: Vec<&String> = results.iter().filter_map(|result| result.wrong.as_ref()).collect();
    if let Some(path) = std::env::var_os("FAULTS_TABLE") {
        std::fs::write(path, table(&all, &results)).unwrap();
    }
    eprintln!(
        "{} faults tried, {} of them where the call came; {} went wrong",
        all.len(),
        results.iter().filter(|result| result.came).count(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "\n{}", wrong.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n"));
}

fn try_all(all: &[Trial], wanted: &[Vec<Vec<String>>]) -> Vec<Tried> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..number_in("FAULTS_JOBS", 4) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(trial) = all.get(index) else { break };
                    let tried = trial.run(&wanted[trial.scenario]);
                    results.lock().unwrap().insert(index, tried);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// The columns of the table: what came of the faults of one row.
#[derive(Default)]
struct Row {
    points: BTreeSet<(usize, Point)>,
    errors: BTreeSet<&'static str>,
    counts: [usize; 6],
}

impl Row {
    fn add(&mut self, trial: &Trial, result: &Tried) {
        self.points.insert((trial.scenario, trial.fault.point.clone()));
        self.errors.insert(trial.error);
        let column = match &result.outcome {
            Outcome::Wrong(_) => 5,
            _ if !result.came => 4,
            Outcome::Same => 0,
            Outcome::WentOn => 1,
            Outcome::Refused => 2,
            Outcome::NoHandler => 3,
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

What `make faults` tried, and what came of it; the command writes this file. In each scenario every system call of every
process of vsrun fails, one after the other, with each errno that fits, once and for good (that is until what must come
has not come for 0.6 s). Each fault has a run of its own. The calls of what vsrun starts are left alone.

After each run: it has ended, or gone on, in time; no process of vsrun was killed by a signal that it was not to get; a
start that failed has said so in exactly one line, with a status of 125 to 127, and has left no process, no pidfile and no
socket; a manager whose server lives has gone on, restarted it after its crash and after HUP, and ended at TERM with
status 0; every life of the server had the ids, groups, capabilities, root, directory, umask, signals and descriptors that it has
without faults; and every line that it wrote is in the log.

- *the same*: as without the fault, and not a word about it
- *went on*: a word about it, or a wait until the call worked again, and all that was to be done was done
- *refused*: the start failed as it should
- *no*: the handler could not be asked, which counts as its no
- *not met*: the call did not come in this run
- *wrong*: any of the above did not hold

`FAULTS_ONLY=scenario:process:call:number:errno:once|good` tries some of them: `make faults FAULTS_ONLY=jail::chroot`.
";

const COLUMNS: &str = "calls | faults | the same | went on | refused | no | not met | wrong";

fn table(all: &[Trial], results: &[Tried]) -> String {
    let (mut scenarios, mut calls): (BTreeMap<usize, Row>, BTreeMap<&str, Row>) = Default::default();
    let mut whole = Row::default();
    for (trial, result) in all.iter().zip(results) {
        scenarios.entry(trial.scenario).or_default().add(trial, result);
        calls.entry(trial.fault.point.call).or_default().add(trial, result);
        whole.add(trial, result);
    }
    let mut text = format!("{HEAD}\n## By scenario\n\n| scenario | options | {COLUMNS} |\n");
    text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for (index, row) in &scenarios {
        let Scenario { name, options, .. } = &SCENARIOS[*index];
        let _ = writeln!(text, "| {name} | `{}` | {} |", options.replace("PLACE/", ""), row.cells());
    }
    let _ = writeln!(text, "| all | | {} |", whole.cells());
    let _ = write!(text, "\n## By system call\n\n| call | errors | {COLUMNS} |\n");
    text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
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
