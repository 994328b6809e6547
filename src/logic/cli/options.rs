//! What is on the command line, each value alone.

use alloc::vec::Vec;

use super::flags::Id;
use super::lookup::FlagSet;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::exit::Success;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;
use crate::logic::formats::cgroup::Setting;
use crate::logic::formats::mounts::Mounts;
use crate::logic::plan::account::Login;
use crate::logic::plan::env::Sources;
use crate::logic::plan::landlock::Confinement;
use crate::logic::plan::limits::Capabilities;
use crate::logic::plan::personality::Personality;
use crate::logic::plan::socket_address;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::policy::{AtExit, Limit, Restart};
use crate::logic::supervisor::readiness::Ready;
use crate::logic::supervisor::signal_action::SignalAction;

/// What is on the command line. None: not given.
#[derive(Debug, Default)]
pub struct Options {
    /// `--user`.
    pub user: Option<Login>,
    /// `--pidfile`.
    pub pidfile: Option<StaticCStr>,
    /// `--root`.
    pub root: Option<StaticCStr>,
    /// `--work-dir`.
    pub work_dir: Option<StaticCStr>,
    /// The last of `--background` and `--foreground`.
    pub background: bool,
    /// `--syslog`.
    pub syslog: Option<StaticCStr>,
    /// `--logdir`.
    pub logdir: Option<(StaticCStr, Span)>,
    /// `--log-size`, in bytes.
    pub log_size: Option<u64>,
    /// `--log-files`.
    pub log_files: Option<u64>,
    /// `--logger`, as words.
    pub logger: Option<Vec<StaticCStr>>,
    /// `--port`.
    pub port: Option<StaticCStr>,
    /// `--bind`.
    pub bind: Option<StaticCStr>,
    /// `--listen`, in order; among them the socket of `--port` and `--bind`.
    pub listen: Vec<StaticCStr>,
    /// How many `--listen` are before the first of these two.
    pub joined_at: usize,
    /// `--env`, each `NAME=VALUE`.
    pub env: Vec<StaticCStr>,
    /// `--env-dir`.
    pub env_dir: Option<StaticCStr>,
    /// `--env-file`, in order.
    pub env_files: Vec<StaticCStr>,
    /// `--file-env`: the names.
    pub file_env: Vec<StaticCStr>,
    /// `--before`, in order.
    pub before: Vec<StaticCStr>,
    /// `--umask`.
    pub umask: Option<u32>,
    /// `--nice`, `--oom-score-adj` and each `--limit`, in the order given.
    pub attributes: Vec<Step>,
    /// `--caps`.
    pub caps: Option<Capabilities>,
    /// `--ro`, `--rox`, `--rw`, `--rwx`, `--bind-tcp`, `--connect-tcp` and `--scope`.
    pub confine: Confinement,
    /// `--cgroup`.
    pub cgroup: Option<StaticCStr>,
    /// `--cgroup-set`, in the order given.
    pub cgroup_set: Vec<Setting>,
    /// `--argv0`.
    pub argv0: Option<StaticCStr>,
    /// The last of `--quiet` and `--no-quiet`.
    pub quiet: Option<bool>,
    /// `--termination-log`.
    pub termination_log: Option<StaticCStr>,
    /// `--syslog-usage`.
    pub syslog_usage: Option<SyslogUsage>,
    /// `--on-signal`, in the order given.
    pub on_signal: Vec<(Signal, SignalAction)>,
    /// `--linger`.
    pub linger: Option<Span>,
    /// `--at-exit`.
    pub at_exit: Option<AtExit>,
    /// `--mount`.
    pub mounts: Option<Mounts>,
    /// `--ready`.
    pub ready: Option<Ready>,
    /// `--ready-timeout`.
    pub ready_timeout: Option<Span>,
    /// `--watchdog`, more than nothing.
    pub watchdog: Option<Span>,
    /// `--health`.
    pub health: Option<StaticCStr>,
    /// `--health-interval`, more than nothing.
    pub health_interval: Option<Span>,
    /// `--health-timeout`, more than nothing.
    pub health_timeout: Option<Span>,
    /// `--health-retries`, at least 1.
    pub health_retries: Option<u64>,
    /// `--manager`.
    pub manager: Option<Managed>,
    /// `--restart`.
    pub restart: Option<Restart>,
    /// `--success-exit`.
    pub success_exit: Option<Success>,
    /// `--restart-delay`, MIN and MAX.
    pub restart_delay: Option<(Span, Span)>,
    /// `--restart-limit`.
    pub restart_limit: Option<Limit>,
    /// `--handler-timeout`.
    pub handler_timeout: Option<Span>,
    /// `--stop-signal`.
    pub stop_signal: Option<Signal>,
    /// `--stop-timeout`.
    pub stop_timeout: Option<Span>,
    /// `--stop-delay`.
    pub stop_delay: Option<Span>,
    /// `--status`, `--stop`, `--replace` or `--signal`, and PIDFILE.
    pub control: Vec<(Order, StaticCStr)>,
    /// `--probe`.
    pub probe: Option<StaticCStr>,
    /// `--probe-timeout`.
    pub probe_timeout: Option<Span>,
    /// Which options there are.
    pub given: FlagSet,
    /// How many there are.
    pub count: usize,
    /// COMMAND and its arguments.
    pub command: Vec<StaticCStr>,
    /// What differs because vsrun was called by another tool's name.
    pub personality: &'static Personality,
}

/// Whether vsrun's own records go to the system logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogUsage {
    /// No.
    No,
    /// Too.
    Yes,
    /// And nowhere else.
    Only,
}

/// The two values of `--manager`.
#[derive(Clone, Copy, Debug)]
pub struct Managed {
    /// MONITOR-PIDFILE.
    pub pidfile: Option<StaticCStr>,
    /// HANDLER.
    pub handler: Option<StaticCStr>,
}

impl Options {
    /// None given. Apart, since it is called twice and long.
    #[inline(never)]
    pub fn none() -> Self {
        Self::default()
    }

    /// Puts the socket of `--port` and `--bind` in its place among the others.
    pub fn join_sockets(&mut self) {
        if let Some(one) = socket_address::join(self.port, self.bind) {
            self.listen.insert(self.joined_at, one);
        }
    }

    /// The files that the server's environment is made of, if there are any.
    pub fn env_sources(&self) -> Option<Sources> {
        let sources = Sources { files: self.env_files.clone(), dir: self.env_dir, names: self.file_env.clone() };
        let is_none = sources.files.is_empty() && sources.dir.is_none() && sources.names.is_empty();
        (!is_none).then_some(sources)
    }

    /// Whether an option was given.
    pub fn has(&self, id: Id) -> bool {
        self.given.contains(id)
    }

    /// Whether a signal ends the machine, because `--on-signal` says so.
    pub fn ends_machine(&self) -> bool {
        self.on_signal.iter().any(|(_, action)| matches!(action, SignalAction::End(_)))
    }

    /// Whether only warnings and errors are recorded: on standard error, an init is silent as long as all is well.
    pub fn is_quiet(&self) -> bool {
        const RECORDS: [Id; 3] = [Id::Syslog, Id::Logdir, Id::Debug];
        let records = RECORDS.into_iter().any(|id| self.has(id)) || self.syslog_usage.is_some();
        self.quiet.unwrap_or(self.has(Id::Init) && !records)
    }

    /// The pidfile by which the server is found: the manager's, which leads to both, before the server's.
    pub fn control_file(&self) -> Option<StaticCStr> {
        self.manager.and_then(|managed| managed.pidfile).or(self.pidfile)
    }

    /// Whether the descriptors above 2 that vsrun was given reach the server. Those in another root could lead out of it,
    /// and sockets and `--ready` need their numbers.
    pub fn keeps_descriptors(&self) -> bool {
        let needs_numbers = !self.listen.is_empty() || matches!(self.ready, Some(Ready::Newline(_)));
        self.personality.is_transparent && self.root.is_none() && !needs_numbers
    }

    /// Whether vsrun, and not the server, talks to the service manager above.
    pub fn reports_upward(&self) -> bool {
        self.is_supervised() && (!self.personality.is_transparent || self.ready == Some(Ready::Notify))
    }

    /// Whether vsrun stays with the server.
    pub fn is_supervised(&self) -> bool {
        self.has(Id::Init) || self.manager.is_some() || self.restart.is_some()
    }
}

/// A question or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `--status`.
    Status,
    /// `--stop`.
    Stop,
    /// `--replace`.
    Replace,
    /// `--signal`.
    Signal(Signal),
    /// `reload` of a service file with `--rc`.
    Reload,
}
