//! One run of a scenario: what is done during the fault, and what must hold afterwards.

use super::LIMIT;
use super::scenario::{MAX_REPORTED_LIVES, Scenario, ScenarioKind};
use crate::harness::cgroups::Parent;
use crate::harness::tracer::{self, Fault, Trace, TraceState};
use crate::harness::web::OK;
use crate::harness::{self, Running, Sandbox, Web, process, sys};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a lasting fault stays if the scenario cannot go on during it.
pub const PATIENCE: Duration = Duration::from_millis(600);

/// The beginning of vsrun's warning that it cannot use the termination log.
const WITHOUT_LOG: &str = "cannot use termination log ";

/// What a run needs besides vsrun: the test's directory, and all that the scenario's options name.
pub struct Setting<'a> {
    pub sandbox: &'a Sandbox,
    pub cgroup: Option<Parent>,
    web: &'static str,
    /// The socket of the service manager that vsrun notifies.
    upward: Option<UnixDatagram>,
    /// The manager whose pidfile the control command names.
    pub manager: Option<Running>,
}

impl<'a> Setting<'a> {
    fn new(scenario: &Scenario, sandbox: &'a Sandbox) -> Self {
        // One web server for all runs; it stops when the tests end.
        static WEB: OnceLock<Web> = OnceLock::new();
        if scenario.jailed {
            sandbox.jail();
        }
        let bind = || {
            let socket = UnixDatagram::bind(sandbox.path("upward")).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let manager = scenario.manager(sandbox).map(harness::Call::start);
        if let Some(manager) = &manager {
            harness::await_lines(&sandbox.out("signals"), 1);
            harness::await_true("a server that its manager finds ready", || !process::has_pipe(manager.pid()));
        }
        Self {
            sandbox,
            cgroup: scenario.options.contains("CGROUP").then(Parent::new),
            web: &WEB.get_or_init(|| Web::new(OK)).probe,
            upward: (scenario.name == "replace-notify").then(bind),
            manager,
        }
    }

    fn directory(&self) -> &str {
        self.sandbox.directory().to_str().unwrap()
    }

    /// A word of a scenario's options, with the values of this run for PLACE, WEB and CGROUP.
    pub fn place(&self, word: &str) -> String {
        let group = self.cgroup.as_ref().map_or_else(String::new, |parent| parent.0.display().to_string());
        word.replace("PLACE", self.directory()).replace("WEB", self.web).replace("CGROUP", &group)
    }

    /// A text with PLACE and CGROUP for the paths of this run, so that the texts of two runs are equal.
    pub fn common(&self, text: &str) -> String {
        let text = text.replace(self.directory(), "PLACE");
        self.cgroup.iter().fold(text, |text, parent| text.replace(parent.0.to_str().unwrap(), "CGROUP"))
    }

    /// An environment variable without what differs from run to run: paths, and the values of some variables.
    pub fn variable(&self, entry: &str) -> String {
        let differs = |name: &&str| ["LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID"].contains(name);
        let name = entry.split('=').next().filter(differs);
        self.common(name.unwrap_or(entry)).replacen("PLACE=PLACE", "PLACE", 1)
    }

    /// True if a manager has read that its first server is ready: it has closed the ready pipe, or has notified the
    /// service manager.
    pub fn is_ready(&self, manager: i32) -> bool {
        let mut text = [0; 256];
        self.upward.as_ref().map_or_else(
            || !process::has_pipe(manager),
            |socket| socket.recv(&mut text).is_ok_and(|count| text[..count].starts_with(b"READY=1")),
        )
    }

    /// The pids of the server processes that are alive.
    pub fn alive(&self, scenario: &Scenario) -> Vec<i32> {
        scenario.lives(self.sandbox).into_iter().map(|(pid, _)| pid).filter(|pid| !process::gone(*pid)).collect()
    }
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As without a fault, and nothing was reported.
    Same,
    /// The start or the control command failed as it should: it reported that in one line, and nothing is left.
    Refused,
    /// vsrun reported the error, or waited until the call worked again, and did all that it should.
    WentOn,
    /// The handler could not be run, which counts as its refusal.
    NoHandler,
    /// vsrun reported that it could not replace the server, and the old server has kept running.
    RolledBack,
    Wrong(String),
}

pub struct Run {
    pub outcome: Outcome,
    pub trace: Trace,
    pub essence: Vec<Vec<String>>,
    pub injected: usize,
    pub err: Vec<String>,
}

pub struct Director<'a> {
    pub scenario: &'a Scenario,
    pub setting: &'a Setting<'a>,
    pub sandbox: &'a Sandbox,
    pub watched: &'a TraceState,
    pub for_good: bool,
    pub lifted: bool,
    /// The error of `--replace`, or that of the manager if a signal requested the replacement.
    pub rolled_back: Option<String>,
}

impl Director<'_> {
    /// Waits until `is` returns true, at most LIMIT. Lifts a lasting fault after PATIENCE, except that of a control
    /// command.
    pub fn until(&mut self, what: &str, mut is: impl FnMut() -> bool) -> Result<(), String> {
        let since = Instant::now();
        loop {
            if is() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE
                && self.for_good
                && !self.lifted
                && self.scenario.way != ScenarioKind::ControlCommand
            {
                self.watched.lift();
                self.lifted = true;
            }
            if since.elapsed() > LIMIT {
                return Err(format!("this never came: {what}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn lives(&self) -> usize {
        self.scenario.lives(self.sandbox).len()
    }

    /// Waits for this run of the server, or a later one: a fault may end a run before the server has reported. Returns
    /// false if vsrun has exited first.
    pub fn await_run(&mut self, number: usize, manager: Option<i32>) -> Result<bool, String> {
        let (scenario, sandbox, watched) = (self.scenario, self.sandbox, self.watched);
        let report = |life| scenario.file(sandbox, &format!("report{life}")).exists();
        let has_come = || (number..=MAX_REPORTED_LIVES).any(report);
        let ended = || manager.map_or_else(|| watched.has_ended(), harness::gone);
        self.until(&format!("life {number}"), || ended() || has_come())?;
        Ok(self.lives() >= number && has_come())
    }

    /// Does what the scenario prescribes. An error says what went wrong.
    fn direct(&mut self, manager: Option<Running>) -> Result<(), String> {
        let (scenario, sandbox, watched) = (self.scenario, self.sandbox, self.watched);
        match scenario.way {
            ScenarioKind::ExecServer => self.until("the end", || watched.has_ended()),
            ScenarioKind::BackgroundServer | ScenarioKind::BackgroundManager => {
                self.until("the end of the caller's process", || watched.has_ended())?;
                let name = if scenario.way == ScenarioKind::BackgroundServer { "pid" } else { "monitor" };
                let text = harness::text(&sandbox.path(name));
                let Ok(pid) = text.trim().parse::<i32>() else { return Ok(()) };
                if scenario.way == ScenarioKind::BackgroundManager {
                    return self.manage(Some(pid));
                }
                if !self.await_run(1, Some(pid))? {
                    return Ok(());
                }
                let found = scenario.lives(sandbox)[0].0;
                sys::kill(found, libc::SIGTERM);
                if found == pid { Ok(()) } else { Err(format!("the pidfile says {pid}, the server is {found}")) }
            }
            ScenarioKind::Pid1 => {
                if !self.await_run(1, None)? {
                    return Ok(());
                }
                let Some(pid) = watched.pid("vsrun") else { return Ok(()) };
                self.end(pid, &|| watched.has_ended())
            }
            ScenarioKind::Manager => self.manage(None),
            ScenarioKind::ReplacingManager => self.replace(),
            ScenarioKind::ControlCommand => self.ask(manager),
        }
    }

    fn manage(&mut self, daemon: Option<i32>) -> Result<(), String> {
        let watched = self.watched;
        let ended = || daemon.map_or_else(|| watched.has_ended(), harness::gone);
        if !self.await_run(1, daemon)? || !self.await_run(2, daemon)? {
            return Ok(());
        }
        let Some(pid) = daemon.or_else(|| watched.pid("vsrun")) else { return Ok(()) };
        if self.scenario.has("--health") {
            let tried = self.sandbox.out("tried");
            self.until("a try of the health of the second life", || ended() || harness::lines(&tried).len() > 1)?;
        }
        sys::kill(pid, libc::SIGHUP);
        // If vsrun has exited, its output shows whether the handler was the reason.
        if !self.await_run(3, daemon)? {
            return Ok(());
        }
        self.end(pid, &ended)
    }

    pub fn end(&mut self, pid: i32, ended: &dyn Fn() -> bool) -> Result<(), String> {
        if ended() {
            return Err("the manager ended while its server lived".to_owned());
        }
        sys::kill(pid, libc::SIGTERM);
        let (since, mut again) = (Instant::now(), true);
        self.until("the end after TERM", || {
            // Send TERM again, in case the fault kept vsrun from forwarding it.
            if again && since.elapsed() > 2 * PATIENCE {
                again = false;
                sys::kill(pid, libc::SIGTERM);
            }
            ended()
        })
    }
}

pub fn run(scenario: &Scenario, fault: Option<&Fault>, wanted: &[Vec<String>]) -> Run {
    let sandbox = Sandbox::new();
    let mut setting = Setting::new(scenario, &sandbox);
    let watched = TraceState::default();
    let call = scenario.call(&setting);
    let for_good = fault.is_some_and(|fault| fault.for_good);
    let manager = setting.manager.take();
    let mut director = Director {
        scenario,
        setting: &setting,
        sandbox: &sandbox,
        watched: &watched,
        for_good,
        lifted: false,
        rolled_back: None,
    };
    let (directed, left, trace) = std::thread::scope(|scope| {
        let tracing = scope.spawn(|| tracer::trace(call, &sandbox.path("vsrun"), fault, &watched));
        let directed = director.direct(manager);
        let left = if directed.is_ok() { await_nothing_left(&sandbox, &watched) } else { Vec::new() };
        for pid in sandbox.living() {
            sys::kill(pid, libc::SIGKILL);
        }
        (directed, left, tracing.join().unwrap())
    });
    let essence = scenario.invariant_properties(&setting);
    let injected = watched.injected();
    let common = |lines: Vec<String>| lines.iter().map(|line| setting.common(line)).collect::<Vec<_>>();
    let [err, out] = [watched.err(), watched.out()].map(common);
    let Director { lifted, rolled_back, .. } = director;
    let seen = Seen {
        scenario,
        setting: &setting,
        fault,
        lifted,
        rolled_back,
        directed,
        left,
        trace: &trace,
        err: &err,
        out: &out,
    };
    let outcome = seen.judge(&essence, wanted);
    Run { outcome, trace, essence, injected, err }
}

/// Waits until no process is left, at most LIMIT, and returns the command lines of those that remain.
fn await_nothing_left(sandbox: &Sandbox, watched: &TraceState) -> Vec<String> {
    let since = Instant::now();
    loop {
        let living = sandbox.living();
        if living.is_empty() && watched.has_ended() || since.elapsed() > LIMIT {
            let name = |pid: &i32| harness::text(format!("/proc/{pid}/cmdline").as_ref()).replace('\0', " ");
            return living.iter().map(name).collect();
        }
        // A process that only waits for a lasting fault to end exits when the fault is lifted.
        if since.elapsed() > PATIENCE {
            watched.lift();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub struct Seen<'a> {
    pub scenario: &'a Scenario,
    pub setting: &'a Setting<'a>,
    fault: Option<&'a Fault>,
    lifted: bool,
    rolled_back: Option<String>,
    directed: Result<(), String>,
    left: Vec<String>,
    pub trace: &'a Trace,
    pub err: &'a [String],
    pub out: &'a [String],
}

impl Seen<'_> {
    fn judge(&self, essence: &[Vec<String>], wanted: &[Vec<String>]) -> Outcome {
        self.look(essence, wanted).unwrap_or_else(Outcome::Wrong)
    }

    fn look(&self, essence: &[Vec<String>], wanted: &[Vec<String>]) -> Result<Outcome, String> {
        self.directed.clone()?;
        for (role, status) in &self.trace.deaths {
            let signal = libc::WIFSIGNALED(*status).then(|| libc::WTERMSIG(*status));
            // A child that is about to become the server already has the server's signal actions, and its manager may
            // kill it. A child that shares the manager's memory for more than a second, on a busy machine, is ended by
            // its SIGALRM, and the manager starts another one.
            let ended = matches!(signal, Some(libc::SIGTERM | libc::SIGKILL | libc::SIGALRM)) && role != "vsrun";
            if let Some(signal) = signal.filter(|_| !ended) {
                return Err(format!("{role} was killed by signal {signal}"));
            }
        }
        if !self.left.is_empty() {
            return Err(format!("left are {:?}", self.left));
        }
        if self.scenario.way == ScenarioKind::ControlCommand {
            return self.answer();
        }
        for (found, wanted) in essence.iter().zip(wanted.iter().chain(wanted.last().into_iter().cycle())) {
            if found != wanted {
                return Err(format!("the server is not what it should be: {found:?} in place of {wanted:?}"));
            }
        }
        let lives = self.scenario.lives(self.setting.sandbox).len();
        // The lines that a manager always records are not errors.
        let records = [
            "starting",
            "shutdown",
            "started",
            "sending",
            "received",
            "restarting",
            "the server (pid",
            "running --before",
            "--before 'PLACE/prepare' exited with status 0",
            "replacing the server",
            "the server is now pid",
            "the server has been replaced",
        ];
        let is_record = |line: &str| {
            line.strip_prefix("vsrun: ").is_some_and(|line| records.iter().any(|word| line.starts_with(word)))
        };
        let said: Vec<&String> = self.err.iter().filter(|line| !is_record(line)).collect();
        let calm = match self.scenario.way {
            ScenarioKind::Pid1 => 128 + libc::SIGTERM,
            ScenarioKind::ExecServer
            | ScenarioKind::BackgroundServer
            | ScenarioKind::Manager
            | ScenarioKind::BackgroundManager
            | ScenarioKind::ReplacingManager
            | ScenarioKind::ControlCommand => 0,
        };
        match self.trace.status {
            Some(status) if status == calm && lives > 0 => {
                self.files(&[])?;
                let all = match self.scenario.way {
                    ScenarioKind::Manager | ScenarioKind::BackgroundManager => 3,
                    ScenarioKind::ReplacingManager => {
                        if self.rolled_back.is_some() {
                            2
                        } else {
                            3
                        }
                    }
                    ScenarioKind::ExecServer
                    | ScenarioKind::BackgroundServer
                    | ScenarioKind::Pid1
                    | ScenarioKind::ControlCommand => 1,
                };
                if lives < all || essence.len() < all {
                    return Err(format!("{lives} lives of {all}, and it ended well"));
                }
                self.check_output_logged(lives)?;
                self.prepared(lives)?;
                let expected = [
                    "the handler allows the restart",
                    "rotated: ",
                    "tried failed: exited with status 1",
                    "is not healthy: stopping it",
                ];
                let unexpected = said.iter().any(|line| !expected.iter().any(|word| line.contains(word)));
                let again =
                    lives > all || self.err.iter().any(|line| line.contains("with status 12")) || self.recorded();
                if self.rolled_back.is_some() {
                    return Ok(Outcome::RolledBack);
                }
                Ok(if self.lifted || unexpected || again { Outcome::WentOn } else { Outcome::Same })
            }
            Some(status @ 125..=127) if lives == 0 || self.may_have_lived() => {
                // A missing termination log is only a warning, whatever error follows.
                let said: Vec<&String> = said.into_iter().filter(|line| !line.contains(WITHOUT_LOG)).collect();
                let reported = said.len() == 1 && said[0].starts_with("vsrun: ");
                let mute = said.is_empty() && self.fails_for_good(&["write"]);
                if !(reported || mute) {
                    return Err(format!("status {status}, and not one line"));
                }
                self.files(&["pid", "monitor", "socket"])?;
                self.reason(&said)?;
                Ok(Outcome::Refused)
            }
            Some(1 | 125..=127) if said.iter().any(|line| line.contains("the handler refuses the restart")) => {
                self.files(&[])?;
                Ok(Outcome::NoHandler)
            }
            status => Err(format!("status {status:?} after {lives} lives")),
        }
    }

    /// In the background the server may have run before the start failed; vsrun has then killed it.
    fn may_have_lived(&self) -> bool {
        matches!(self.scenario.way, ScenarioKind::BackgroundServer | ScenarioKind::BackgroundManager)
    }

    /// True if vsrun.log has a warning or an error.
    fn recorded(&self) -> bool {
        let text = |name: &String| harness::text(&self.setting.sandbox.path("logs").join(name));
        let names = harness::names(&self.setting.sandbox.path("logs"));
        let records: String = names.iter().filter(|name| name.starts_with("vsrun")).map(text).collect();
        records.contains("] warning: ") || records.contains("] err: ")
    }

    pub fn fails_for_good(&self, calls: &[&str]) -> bool {
        self.fault.is_some_and(|fault| fault.for_good && calls.contains(&fault.point.call))
    }

    /// Checks that these files, and those that a manager removes, are gone, unless the fault prevents the removal.
    fn files(&self, names: &[&str]) -> Result<(), String> {
        let stays = self.scenario.keeps_supervisor();
        let calls = ["stat", "lstat", "newfstatat", "statx"];
        // vsrun does not remove a file that it cannot stat, because that may be another file by now.
        let unsure =
            self.fault.is_some_and(|fault| fault.point.call.starts_with("unlink") || calls.contains(&fault.point.call));
        let managed: &[&str] = if stays { &["pid", "monitor", "socket"] } else { &[] };
        match names.iter().chain(managed).find(|name| self.setting.sandbox.path(name).exists()) {
            Some(name) if !unsure => Err(format!("{name} is left")),
            _ => match &self.setting.cgroup {
                Some(parent) if !unsure && parent.child().exists() => Err("the cgroup is left".to_owned()),
                _ => Ok(()),
            },
        }
    }

    /// Checks that a failed start has written its error to the termination log.
    fn reason(&self, said: &[&String]) -> Result<(), String> {
        let text = harness::lines(&self.setting.sandbox.path("reason"));
        let text: Vec<String> = text.iter().map(|line| self.setting.common(line)).collect();
        // vsrun opens the termination log after the standard descriptors, if it can be opened at all.
        let early = said.iter().any(|line| line.contains("cannot open standard descriptors"));
        let without = early || self.err.iter().any(|line| line.contains(WITHOUT_LOG));
        if self.scenario.has("--termination-log") && !without && !text.iter().eq(said.iter().copied()) {
            return Err(format!("the termination log has {text:?}, but it said {said:?}"));
        }
        Ok(())
    }

    /// Checks that `--before` has run before each run of the server.
    fn prepared(&self, lives: usize) -> Result<(), String> {
        let prepared = harness::lines(&self.setting.sandbox.out("prepared")).len();
        if self.scenario.has("--before") && prepared < lives {
            return Err(format!("{lives} lives, and only {prepared} were prepared"));
        }
        Ok(())
    }

    /// Checks that the line which the server prints in each run has reached the log.
    fn check_output_logged(&self, lives: usize) -> Result<(), String> {
        let text = match self.scenario.name {
            "syslog" => harness::text(&self.setting.sandbox.out("collected")),
            "logdir" | "log-size" | "daemon" => {
                let logs = self.setting.sandbox.path("logs");
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
