//! The options of a command line. Each value has been checked alone, but not together with the others.

use alloc::vec::Vec;

use super::flags::Id;
use super::lookup::FlagSet;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::exit::SuccessExits;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;
use crate::logic::formats::cgroup::CgroupSetting;
use crate::logic::formats::pid1_mounts::MountSet;
use crate::logic::plan::account::UserAndGroup;
use crate::logic::plan::env::EnvFiles;
use crate::logic::plan::landlock::Confinement;
use crate::logic::plan::limits::Capabilities;
use crate::logic::plan::personality::Personality;
use crate::logic::plan::socket_address;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::policy::{AtExit, Restart, RestartLimit};
use crate::logic::supervisor::readiness::ReadyCondition;
use crate::logic::supervisor::signal_action::SignalAction;

/// The longest time that an exiting manager waits for its logger or rotator to write the rest of the output.
pub const LOG_CHILD_EXIT_TIMEOUT: Span = Span::secs(5);

/// The options of a command line. An option with the value None was not given.
#[derive(Debug, Default)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct Options {
    /// True if `--background` was given, and no `--foreground` after it.
    pub background: bool,
    /// The last of `--quiet` (true) and `--no-quiet` (false).
    pub quiet: Option<bool>,
    /// The value of `--syslog-usage`.
    pub syslog_usage: Option<SyslogUsage>,
    /// The value of `--at-exit`.
    pub at_exit: Option<AtExit>,
    /// The value of `--restart`.
    pub restart: Option<Restart>,
    /// The value of `--stop-signal`.
    pub stop_signal: Option<Signal>,
    /// How vsrun behaves because it was called by its own name or by that of another tool.
    pub personality: &'static Personality,
    /// The set of options that were given, including those without a value, and those that another tool's name implies.
    pub given: FlagSet,
    /// The values of `--manager`.
    pub manager: Option<ManagerFiles>,
    /// The value of `--user`.
    pub user: Option<UserAndGroup>,
    /// The value of `--syslog`.
    pub syslog: Option<StaticCStr>,
    /// COMMAND and its arguments.
    pub command: Vec<StaticCStr>,
    /// The value of `--root`.
    pub root: Option<StaticCStr>,
    /// The value of `--pidfile`.
    pub pidfile: Option<StaticCStr>,
    /// The value of `--work-dir`.
    pub work_dir: Option<StaticCStr>,
    /// The values of `--logdir`.
    pub logdir: Option<(StaticCStr, Span)>,
    /// The value of `--log-size`, in bytes.
    pub log_size: Option<u64>,
    /// The value of `--log-files`.
    pub log_files: Option<u64>,
    /// The value of `--logger`, split into words.
    pub logger: Option<Vec<StaticCStr>>,
    /// The value of `--port`.
    pub port: Option<StaticCStr>,
    /// The value of `--bind`.
    pub bind: Option<StaticCStr>,
    /// The values of `--listen`, in order, and the socket of `--port` and `--bind` among them.
    pub listen: Vec<StaticCStr>,
    /// The number of `--listen` options before the first `--port` or `--bind`.
    pub listen_count_before_port: usize,
    /// The values of `--env`, each `NAME=VALUE`.
    pub env: Vec<StaticCStr>,
    /// The value of `--env-dir`.
    pub env_dir: Option<StaticCStr>,
    /// The values of `--env-file`, in order.
    pub env_files: Vec<StaticCStr>,
    /// The names in the values of `--file-env`.
    pub file_env: Vec<StaticCStr>,
    /// The values of `--before`, in order.
    pub before: Vec<StaticCStr>,
    /// The value of `--umask`.
    pub umask: Option<u32>,
    /// The steps of `--nice`, `--oom-score-adj` and each `--limit`, in the order given.
    pub attribute_steps: Vec<Step>,
    /// The value of `--caps`.
    pub caps: Option<Capabilities>,
    /// The values of the Landlock options: `--ro`, `--rox`, `--rw`, `--rwx`, `--bind-tcp`, `--connect-tcp` and
    /// `--scope`.
    pub confine: Confinement,
    /// The value of `--cgroup`.
    pub cgroup: Option<StaticCStr>,
    /// The values of `--cgroup-set`, in order.
    pub cgroup_set: Vec<CgroupSetting>,
    /// The value of `--argv0`.
    pub argv0: Option<StaticCStr>,
    /// The value of `--termination-log`.
    pub termination_log: Option<StaticCStr>,
    /// The values of `--on-signal`, in order.
    pub on_signal: Vec<(Signal, SignalAction)>,
    /// The value of `--linger`.
    pub linger: Option<Span>,
    /// The value of `--mount`.
    pub mounts: Option<MountSet>,
    /// The value of `--ready`.
    pub ready: Option<ReadyCondition>,
    /// The value of `--ready-timeout`.
    pub ready_timeout: Option<Span>,
    /// The value of `--watchdog`, which is not zero.
    pub watchdog: Option<Span>,
    /// The value of `--health`.
    pub health: Option<StaticCStr>,
    /// The value of `--health-interval`, which is not zero.
    pub health_interval: Option<Span>,
    /// The value of `--health-timeout`, which is not zero.
    pub health_timeout: Option<Span>,
    /// The value of `--health-retries`, at least 1.
    pub health_retries: Option<u64>,
    /// The value of `--success-exit`.
    pub success_exit: Option<SuccessExits>,
    /// The values MIN and MAX of `--restart-delay`.
    pub restart_delay: Option<(Span, Span)>,
    /// The value of `--restart-limit`.
    pub restart_limit: Option<RestartLimit>,
    /// The value of `--handler-timeout`.
    pub handler_timeout: Option<Span>,
    /// The value of `--stop-timeout`.
    pub stop_timeout: Option<Span>,
    /// The value of `--stop-delay`.
    pub stop_delay: Option<Span>,
    /// The control commands `--status`, `--stop`, `--replace` and `--signal`, each with its PIDFILE.
    pub control: Vec<(ControlCommand, StaticCStr)>,
    /// The value of `--probe`.
    pub probe: Option<StaticCStr>,
    /// The value of `--probe-timeout`.
    pub probe_timeout: Option<Span>,
    /// The number of options that were given; an option that is given twice counts twice.
    pub given_count: usize,
}

/// Whether vsrun's own records go to syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogUsage {
    /// The records do not go to syslog.
    No,
    /// The records go to syslog too.
    Yes,
    /// The records go to syslog only.
    Only,
}

/// The two values of `--manager`.
#[derive(Clone, Copy, Debug)]
pub struct ManagerFiles {
    /// PIDFILE, the pidfile of the manager. None for `-`.
    pub pidfile: Option<StaticCStr>,
    /// HANDLER, the command of the crash handler. None for `-`.
    pub crash_handler: Option<StaticCStr>,
}

impl Options {
    /// The options of a command line without options. Not inlined, because the function is long and has two callers.
    #[inline(never)]
    pub fn none() -> Self {
        Self::default()
    }

    /// Inserts the socket of `--port` and `--bind` into the list of sockets, at the place where the options were given.
    pub fn insert_port_socket(&mut self) {
        if let Some(one) = socket_address::join_port_and_bind(self.port, self.bind) {
            self.listen.insert(self.listen_count_before_port, one);
        }
    }

    /// The files whose variables are added to the server's environment; None if no option names one.
    pub fn env_sources(&self) -> Option<EnvFiles> {
        let sources =
            EnvFiles { files: self.env_files.clone(), dir: self.env_dir, file_env_names: self.file_env.clone() };
        let is_none = sources.files.is_empty() && sources.dir.is_none() && sources.file_env_names.is_empty();
        (!is_none).then_some(sources)
    }

    /// True if the option was given.
    pub fn has(&self, id: Id) -> bool {
        self.given.contains(id)
    }

    /// True if `--on-signal` makes a signal shut the machine down: power off, reboot or halt.
    pub fn on_signal_ends_machine(&self) -> bool {
        self.on_signal.iter().any(|(_, action)| matches!(action, SignalAction::EndMachine(_)))
    }

    /// True if only warnings and errors are recorded. This is the default of `--init` without options about records.
    pub fn is_quiet(&self) -> bool {
        const OPTIONS_IMPLYING_RECORDS: [Id; 3] = [Id::Syslog, Id::Logdir, Id::Debug];
        let records = OPTIONS_IMPLYING_RECORDS.into_iter().any(|id| self.has(id)) || self.syslog_usage.is_some();
        self.quiet.unwrap_or(self.has(Id::Init) && !records)
    }

    /// The pidfile through which the server is controlled. The pidfile of the manager is preferred, because it leads to
    /// the manager and to the server.
    pub fn control_pidfile(&self) -> Option<StaticCStr> {
        self.manager.and_then(|managed| managed.pidfile).or(self.pidfile)
    }

    /// How long a stop of the manager may take, besides `--stop-timeout`: its `--stop-delay`, its `--linger`, and the
    /// time in which the logger or rotator writes what the server has written last.
    pub fn stop_overhead(&self) -> Span {
        let spans = [self.stop_delay, self.linger, Some(LOG_CHILD_EXIT_TIMEOUT)];
        Span(spans.iter().flatten().fold(0, |sum: u64, span| sum.saturating_add(span.0)))
    }

    /// True if the server inherits the descriptors above 2 that vsrun has inherited. This is so only under another
    /// tool's name, and only without `--root`, because a descriptor could lead out of the new root, and without sockets
    /// and `--ready fd:N`, which need these numbers.
    pub fn passes_inherited_fds(&self) -> bool {
        let needs_numbers = !self.listen.is_empty() || matches!(self.ready, Some(ReadyCondition::NewlineOnFd(_)));
        self.personality.inherits_fds_and_signals && self.root.is_none() && !needs_numbers
    }

    /// True if vsrun, and not the server, sends messages to the service manager that started vsrun.
    pub fn reports_to_service_manager(&self) -> bool {
        self.is_supervised()
            && (!self.personality.inherits_fds_and_signals || self.ready == Some(ReadyCondition::Notify))
    }

    /// True if vsrun supervises the server, instead of being replaced by it.
    pub fn is_supervised(&self) -> bool {
        self.has(Id::Init) || self.manager.is_some() || self.restart.is_some()
    }
}

/// A control command for a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlCommand {
    /// `--status`.
    Status,
    /// `--stop`.
    Stop,
    /// `--replace`.
    Replace,
    /// `--signal`.
    Signal(Signal),
    /// The action `reload` of a service file with `--rc`.
    Reload,
}
