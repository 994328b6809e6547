//! The scenarios of the fault injection: how vsrun is called in each, and what must be true of its server.

use super::run::Setting;
use crate::harness::{self, Call, Descriptor, Report, Sandbox, cgroups, sys, words};
use std::ffi::OsString;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScenarioKind {
    /// vsrun executes the server in its own process, and the server exits by itself.
    ExecServer,
    /// vsrun starts the server in the background (`-b`) and exits.
    BackgroundServer,
    /// vsrun supervises the server: its first life (run) fails, SIGHUP ends the second, SIGTERM the third and the
    /// manager.
    Manager,
    /// The manager runs in the background (`-b`). The server fails once, then SIGHUP and SIGTERM follow.
    BackgroundManager,
    /// vsrun is PID 1 of a pid namespace (`--init`), and exits after its server. SIGTERM stops both.
    Pid1,
    /// vsrun supervises the server, which `--replace` or SIGUSR2 replaces. The server that then runs is killed, and
    /// SIGTERM follows.
    ReplacingManager,
    /// vsrun is a control command or a probe. Faults are injected into it, and not into the manager that it asks.
    ControlCommand,
}

pub struct Scenario {
    pub name: &'static str,
    pub way: ScenarioKind,
    /// The options. PLACE is replaced by the directory of the test, CGROUP by a control group that only this test uses,
    /// and WEB by a probe of a web server that always answers 200.
    pub options: &'static str,
    pub jailed: bool,
}

#[rustfmt::skip]
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "exec", way: ScenarioKind::ExecServer, jailed: false, options: "" },
    Scenario { name: "jail", way: ScenarioKind::ExecServer, jailed: true,
        options: "-p PLACE/pid -u 12345:23456 -r PLACE/jail -w /out --umask 027 --nice 1 --limit core=0 --no-new-privs --caps kill" },
    Scenario { name: "before", way: ScenarioKind::ExecServer, jailed: false,
        options: "-p PLACE/pid -u 12345:23456 --before PLACE/prepare --env-file PLACE/env --file-env SECRET --expand \
                  --termination-log PLACE/reason" },
    Scenario { name: "background", way: ScenarioKind::BackgroundServer, jailed: false, options: "-b -p PLACE/pid" },
    Scenario { name: "manager", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m PLACE/monitor - -u 12345:23456" },
    Scenario { name: "handler", way: ScenarioKind::Manager, jailed: false, options: "-p PLACE/pid -m - PLACE/handler -u 12345:23456" },
    Scenario { name: "syslog", way: ScenarioKind::Manager, jailed: false,
        options: "-m PLACE/monitor - -s tag --logger PLACE/logger" },
    Scenario { name: "logdir", way: ScenarioKind::Manager, jailed: false, options: "-m - - -d PLACE/logs 1w -u 12345:23456" },
    Scenario { name: "log-size", way: ScenarioKind::Manager, jailed: false,
        options: "-m - - -d PLACE/logs 1w --log-size 64 --log-files 9" },
    Scenario { name: "listen", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m - - --listen 8080 --listen PLACE/socket" },
    Scenario { name: "notify", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m - - --ready fd:5 --ready-timeout 5 --group --linger 1" },
    Scenario { name: "probe", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m - - -u 12345:23456 --ready probe:WEB --ready-timeout 5 \
                  --health exec:PLACE/tried --health-interval 100ms --health-retries 1" },
    Scenario { name: "prepared", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m - - --before PLACE/prepare --env-file PLACE/env --file-env SECRET --expand \
                  --termination-log PLACE/reason" },
    Scenario { name: "cgroup", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m - - --cgroup CGROUP/web --cgroup-set cgroup.max.depth=3" },
    Scenario { name: "daemon", way: ScenarioKind::BackgroundManager, jailed: true,
        options: "-b -p PLACE/pid -m PLACE/monitor - -d PLACE/logs 1w -u 12345:23456 -r PLACE/jail" },
    Scenario { name: "landlock", way: ScenarioKind::Manager, jailed: false,
        options: "-p PLACE/pid -m - - -u 12345:23456 --rwx / --bind-tcp 8080 --scope signal" },
    Scenario { name: "init", way: ScenarioKind::Pid1, jailed: false, options: "--init --linger 1" },
    Scenario { name: "replace", way: ScenarioKind::ReplacingManager, jailed: false,
        options: "-p PLACE/pid -m PLACE/monitor - --ready fd:5 --ready-timeout 5 --listen PLACE/socket" },
    Scenario { name: "replace-notify", way: ScenarioKind::ReplacingManager, jailed: false,
        options: "-p PLACE/pid -m - - --ready notify --ready-timeout 5 --before PLACE/prepare --on-signal USR2=replace" },
    Scenario { name: "ask-status", way: ScenarioKind::ControlCommand, jailed: false, options: "--status PLACE/pid" },
    Scenario { name: "ask-signal", way: ScenarioKind::ControlCommand, jailed: false, options: "--signal USR1 PLACE/pid" },
    Scenario { name: "ask-stop", way: ScenarioKind::ControlCommand, jailed: false, options: "--stop PLACE/monitor" },
    Scenario { name: "ask-replace", way: ScenarioKind::ControlCommand, jailed: false, options: "--replace PLACE/monitor" },
    Scenario { name: "ask-probe", way: ScenarioKind::ControlCommand, jailed: false, options: "--probe WEB" },
    Scenario { name: "ask-program", way: ScenarioKind::ControlCommand, jailed: false, options: "--probe exec:PLACE/tried" },
];

/// The maximum number of lives (runs) of a server that write a report. Faults may cause more lives than the scenario
/// has.
pub const MAX_REPORTED_LIVES: usize = 6;

impl Scenario {
    pub fn has(&self, option: &str) -> bool {
        self.options.split_whitespace().any(|word| word == option)
    }

    fn options(&self, setting: &Setting) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.options.split_whitespace().map(|word| setting.place(word).into()).collect();
        if matches!(self.way, ScenarioKind::Manager | ScenarioKind::BackgroundManager | ScenarioKind::ReplacingManager)
        {
            words.extend(words!["--restart-delay", "10ms:20ms", "--stop-timeout", "5"]);
        }
        words
    }

    /// True if vsrun stays as the supervisor, which removes its files when it exits.
    pub fn keeps_supervisor(&self) -> bool {
        matches!(
            self.way,
            ScenarioKind::Manager
                | ScenarioKind::BackgroundManager
                | ScenarioKind::Pid1
                | ScenarioKind::ReplacingManager
        )
    }

    /// `--` and the command line of the server, with its paths as they are inside the jail if there is one.
    fn server(&self, sandbox: &Sandbox) -> Vec<OsString> {
        let out =
            |name: &str| if self.jailed { format!("/out/{name}").into() } else { sandbox.out(name).into_os_string() };
        let probe = if self.jailed { "/probe".into() } else { sandbox.probe().into_os_string() };
        let word = if self.has("--expand") { "${GREETING}" } else { "hello" };
        let mut words = words!["--", probe, "life", out("life"), "print", word];
        for life in 1..=MAX_REPORTED_LIVES {
            words.extend(words!["at", format!("{life}"), "report", out(&format!("report{life}"))]);
        }
        if self.has("fd:5") {
            words.extend(words!["tell", "5", ""]);
        }
        if self.has("notify") {
            words.extend(words!["notify", "READY=1"]);
        }
        if self.name == "listen" {
            // The first life shuts its Unix socket down: vsrun must make the socket again for the second life.
            words.extend(words!["at", "1", "shut", "4"]);
        }
        match self.way {
            ScenarioKind::ExecServer => {}
            ScenarioKind::BackgroundServer | ScenarioKind::ReplacingManager | ScenarioKind::ControlCommand => {
                words.extend(words!["wait"])
            }
            ScenarioKind::Pid1 => words.extend(words!["orphans", "3", out("orphans"), "wait"]),
            // The first health probe fails, which ends the first life.
            ScenarioKind::Manager if self.has("--health") => words.extend(words!["wait"]),
            ScenarioKind::Manager | ScenarioKind::BackgroundManager => {
                words.extend(words!["at", "1", "exit", "1", "wait"])
            }
        }
        words
    }

    /// Writes the files that the options name.
    fn write_files(&self, sandbox: &Sandbox) {
        if self.options.contains("handler") {
            sandbox.script("handler", words!["append", sandbox.out("handled"), "x"]);
        }
        if self.options.contains("logger") {
            sandbox.script("logger", words!["collect", sandbox.out("collected")]);
        }
        if self.has("--before") {
            sandbox.script("prepare", words!["append", sandbox.out("prepared"), "x"]);
        }
        if self.has("--health") {
            sandbox.script("tried", words!["life", sandbox.out("tried"), "at", "1", "exit", "1"]);
        }
        if self.has("--probe") {
            sandbox.script("tried", words!["append", sandbox.out("tried"), "x"]);
        }
        if self.has("--env-file") {
            std::fs::write(sandbox.path("env"), "# a comment\nGREETING=hello\n").unwrap();
            std::fs::write(sandbox.path("secret"), "of the file\n").unwrap();
        }
    }

    pub fn call<'a>(&self, setting: &Setting<'a>) -> Call<'a> {
        let sandbox = setting.sandbox;
        self.write_files(sandbox);
        if self.way == ScenarioKind::ControlCommand {
            return sandbox.vsrun(self.options(setting)).before(|| sys::limit_descriptors(4096));
        }
        let line = [self.options(setting), self.server(sandbox)].concat();
        if self.way == ScenarioKind::Pid1 {
            let unshare = words!["--pid", "--fork", "--kill-child", "--", sandbox.path("vsrun")];
            return sandbox.program(&harness::find_tool("unshare").unwrap(), [unshare, line].concat());
        }
        // If close_range and /proc fail, vsrun tries every descriptor number up to the limit: a low limit saves time.
        let call = sandbox.vsrun(line).before(|| sys::limit_descriptors(4096));
        match self.name {
            "listen" => call.before(sys::unshare_network),
            "before" | "prepared" => call.env("SECRET_FILE", sandbox.path("secret")),
            "replace-notify" => call.env("NOTIFY_SOCKET", sandbox.path("upward")),
            _ => call,
        }
    }

    /// A call of the manager that the control command asks. `None` if the scenario has no such command.
    pub fn manager<'a>(&self, sandbox: &'a Sandbox) -> Option<Call<'a>> {
        let line = words!["-p", "pid", "-m", "monitor", "-", "--ready", "fd:5", "--stop-timeout", "5"];
        // The replacement is ready after 50 ms, so that the command has to look for the result several times.
        let life = words!["life", sandbox.out("life"), "at", "2", "nap", "50", "tell", "5", ""];
        let script = [life, words!["signals", sandbox.out("signals"), "15"]].concat();
        let call = || sandbox.vsrun([line, words!["--", sandbox.probe()], script].concat());
        (self.way == ScenarioKind::ControlCommand && !self.has("--probe")).then(call)
    }

    pub fn file(&self, sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
        if self.jailed { sandbox.path("jail/out").join(name) } else { sandbox.out(name) }
    }

    pub fn lives(&self, sandbox: &Sandbox) -> Vec<(i32, i64)> {
        harness::lives(&self.file(sandbox, "life"))
    }

    /// What must be the same about each life of a server, with and without a fault.
    pub fn invariant_properties(&self, setting: &Setting) -> Vec<Vec<String>> {
        let sandbox = setting.sandbox;
        let read = |life| {
            let path = self.file(sandbox, &format!("report{life}"));
            path.exists().then(|| Report::read(&path))
        };
        let names =
            ["uids", "gids", "groups", "capabilities", "no-new-privs", "umask", "ignored", "blocked", "pending"];
        let root = if self.jailed { sandbox.path("jail") } else { "/".into() };
        let root = harness::call::identity(&root);
        let one = |report: &Report| {
            let mut lines: Vec<String> = names.iter().map(|name| format!("{name} {}", report.one(name))).collect();
            lines.push(format!("cwd {}", setting.common(&report.one("cwd"))));
            lines.push(format!("in its root {}", report.one("root") == root));
            // The descriptor that holds the lock of the pidfile may have any number.
            let lock = sandbox.path("pid").display().to_string();
            let descriptor = |fd: Descriptor| if fd.target == lock { "pid".to_owned() } else { fd.number.to_string() };
            let descriptors: Vec<String> = report.descriptors().into_iter().map(descriptor).collect();
            lines.push(format!("fds {descriptors:?}"));
            let arguments: Vec<String> = report.all("argument").iter().map(|word| setting.common(word)).collect();
            lines.push(format!("arguments {arguments:?}"));
            let mut variables: Vec<String> = report.all("variable").iter().map(|word| setting.variable(word)).collect();
            variables.sort();
            lines.push(format!("variables {variables:?}"));
            lines.push(format!("in its cgroup {}", setting.cgroup.is_none() || is_inside(report, setting)));
            lines
        };
        (1..=MAX_REPORTED_LIVES).filter_map(read).map(|report| one(&report)).collect()
    }
}

fn is_inside(report: &Report, setting: &Setting) -> bool {
    setting.cgroup.as_ref().is_some_and(|parent| cgroups::named(&report.one("cgroup")) == Some(parent.child()))
}
