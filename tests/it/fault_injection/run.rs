//! One run: what is done while the fault is there, and what must hold afterwards.

use super::LIMIT;
use super::scenario::{LIVES, Scenario, Way};
use crate::harness::cgroups::Parent;
use crate::harness::tracer::{self, Fault, Trace, Watched};
use crate::harness::web::OK;
use crate::harness::{self, Running, Sandbox, Web, process, sys};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a call that fails for good fails, where the scenario cannot go on without it.
pub const PATIENCE: Duration = Duration::from_millis(600);

/// What a start says that has no termination log.
const WITHOUT_LOG: &str = "cannot use termination log ";

/// What is around a run.
pub struct Setting<'a> {
    pub sandbox: &'a Sandbox,
    pub cgroup: Option<Parent>,
    web: &'static str,
    /// The socket of a service manager above.
    upward: Option<UnixDatagram>,
    /// The manager that a control command asks.
    pub manager: Option<Running>,
}

impl<'a> Setting<'a> {
    fn new(scenario: &Scenario, sandbox: &'a Sandbox) -> Self {
        // One for all runs: it ends with the tests.
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

    /// A word of a scenario's options.
    pub fn place(&self, word: &str) -> String {
        let group = self.cgroup.as_ref().map_or_else(String::new, |parent| parent.0.display().to_string());
        word.replace("PLACE", self.directory()).replace("WEB", self.web).replace("CGROUP", &group)
    }

    /// A text without what differs from run to run.
    pub fn common(&self, text: &str) -> String {
        let text = text.replace(self.directory(), "PLACE");
        self.cgroup.iter().fold(text, |text, parent| text.replace(parent.0.to_str().unwrap(), "CGROUP"))
    }

    /// An environment variable without what differs from run to run.
    pub fn variable(&self, entry: &str) -> String {
        let differs = |name: &&str| ["LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID"].contains(name);
        let name = entry.split('=').next().filter(differs);
        self.common(name.unwrap_or(entry)).replacen("PLACE=PLACE", "PLACE", 1)
    }

    /// Whether a manager has read that its first server is ready: it has no pipe any more then, or has reported the service
    /// manager above.
    pub fn is_ready(&self, manager: i32) -> bool {
        let mut text = [0; 256];
        self.upward.as_ref().map_or_else(
            || !process::has_pipe(manager),
            |socket| socket.recv(&mut text).is_ok_and(|count| text[..count].starts_with(b"READY=1")),
        )
    }

    /// The server processes that live.
    pub fn alive(&self, scenario: &Scenario) -> Vec<i32> {
        scenario.lives(self.sandbox).into_iter().map(|(pid, _)| pid).filter(|pid| !process::gone(*pid)).collect()
    }
}

/// What came of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The same as without it, and not a word said.
    Same,
    /// The start failed as it should: with one line, and nothing is left.
    Refused,
    /// It said what was wrong, or waited until the call worked again, and did what it should.
    WentOn,
    /// The handler could not be asked, which is a no.
    NoHandler,
    /// The server could not be replaced, which was said, and the old one has served on.
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
    pub watched: &'a Watched,
    pub for_good: bool,
    pub lifted: bool,
    /// What `--replace` has said, or the manager itself of a replacement that a signal asked for.
    pub rolled_back: Option<String>,
}

impl Director<'_> {
    /// Waits until it is so or the called process has ended; lifts the fault when that takes long.
    pub fn until(&mut self, what: &str, mut is: impl FnMut() -> bool) -> Result<(), String> {
        let since = Instant::now();
        loop {
            if is() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE && self.for_good && !self.lifted && self.scenario.way != Way::Asks {
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

    /// Waits for that life of the server, or a later one: a fault may end one before it has reported. Returns false if
    /// vsrun has ended before.
    pub fn life(&mut self, number: usize, manager: Option<i32>) -> Result<bool, String> {
        let (scenario, sandbox, watched) = (self.scenario, self.sandbox, self.watched);
        let report = |life| scenario.file(sandbox, &format!("report{life}")).exists();
        let has_come = || (number..=LIVES).any(report);
        let ended = || manager.map_or_else(|| watched.has_ended(), harness::gone);
        self.until(&format!("life {number}"), || ended() || has_come())?;
        Ok(self.lives() >= number && has_come())
    }

    /// Does what the scenario says. An answer is what went wrong.
    fn direct(&mut self, manager: Option<Running>) -> Result<(), String> {
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
            Way::Replaced => self.replace(),
            Way::Asks => self.ask(manager),
        }
    }

    fn manage(&mut self, daemon: Option<i32>) -> Result<(), String> {
        let watched = self.watched;
        let ended = || daemon.map_or_else(|| watched.has_ended(), harness::gone);
        if !self.life(1, daemon)? || !self.life(2, daemon)? {
            return Ok(());
        }
        let Some(pid) = daemon.or_else(|| watched.pid("vsrun")) else { return Ok(()) };
        if self.scenario.has("--health") {
            let tried = self.sandbox.out("tried");
            self.until("a try of the health of the second life", || ended() || harness::lines(&tried).len() > 1)?;
        }
        sys::kill(pid, libc::SIGHUP);
        // Its words show whether the handler was to blame.
        if !self.life(3, daemon)? {
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
            // What could not be passed on is said once more.
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
    let watched = Watched::default();
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
    let essence = scenario.essence(&setting);
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

/// The processes that are left when all should be gone.
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
        if self.scenario.way == Way::Asks {
            return self.answer();
        }
        for (found, wanted) in essence.iter().zip(wanted.iter().chain(wanted.last().into_iter().cycle())) {
            if found != wanted {
                return Err(format!("the server is not what it should be: {found:?} in place of {wanted:?}"));
            }
        }
        let lives = self.scenario.lives(self.setting.sandbox).len();
        // What a manager records of its life is no complaint.
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
            Way::First => 128 + libc::SIGTERM,
            Way::Becomes | Way::Leaves | Way::Stays | Way::Daemon | Way::Replaced | Way::Asks => 0,
        };
        match self.trace.status {
            Some(status) if status == calm && lives > 0 => {
                self.files(&[])?;
                let all = match self.scenario.way {
                    Way::Stays | Way::Daemon => 3,
                    Way::Replaced => {
                        if self.rolled_back.is_some() {
                            2
                        } else {
                            3
                        }
                    }
                    Way::Becomes | Way::Leaves | Way::First | Way::Asks => 1,
                };
                if lives < all || essence.len() < all {
                    return Err(format!("{lives} lives of {all}, and it ended well"));
                }
                self.lost(lives)?;
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
                // That there is no termination log is a warning, whatever comes then.
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

    /// In the background the server may have begun to live before the start failed; it has been ended then.
    fn may_have_lived(&self) -> bool {
        matches!(self.scenario.way, Way::Leaves | Way::Daemon)
    }

    /// Whether vsrun.log reports anything wrong.
    fn recorded(&self) -> bool {
        let text = |name: &String| harness::text(&self.setting.sandbox.path("logs").join(name));
        let names = harness::names(&self.setting.sandbox.path("logs"));
        let records: String = names.iter().filter(|name| name.starts_with("vsrun")).map(text).collect();
        records.contains("] warning: ") || records.contains("] err: ")
    }

    pub fn fails_for_good(&self, calls: &[&str]) -> bool {
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
        match names.iter().chain(managed).find(|name| self.setting.sandbox.path(name).exists()) {
            Some(name) if !unsure => Err(format!("{name} is left")),
            _ => match &self.setting.cgroup {
                Some(parent) if !unsure && parent.child().exists() => Err("the cgroup is left".to_owned()),
                _ => Ok(()),
            },
        }
    }

    /// A start that failed has written why to the termination log.
    fn reason(&self, said: &[&String]) -> Result<(), String> {
        let text = harness::lines(&self.setting.sandbox.path("reason"));
        let text: Vec<String> = text.iter().map(|line| self.setting.common(line)).collect();
        // It is opened when the standard descriptors are open, and if it can be.
        let early = said.iter().any(|line| line.contains("cannot open standard descriptors"));
        let without = early || self.err.iter().any(|line| line.contains(WITHOUT_LOG));
        if self.scenario.has("--termination-log") && !without && !text.iter().eq(said.iter().copied()) {
            return Err(format!("the termination log has {text:?}, but it said {said:?}"));
        }
        Ok(())
    }

    /// No life begins before its command has run, and no group is left.
    fn prepared(&self, lives: usize) -> Result<(), String> {
        let prepared = harness::lines(&self.setting.sandbox.out("prepared")).len();
        if self.scenario.has("--before") && prepared < lives {
            return Err(format!("{lives} lives, and only {prepared} were prepared"));
        }
        Ok(())
    }

    /// Each life has said one word, which must have arrived.
    fn lost(&self, lives: usize) -> Result<(), String> {
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
