//! Everything that the supervisor needs for its work, as `set_up` in setup.rs prepares it.

use crate::logic::base::exit::StatusSet;
use crate::logic::plan::personality::Personality;
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::signal_action::SignalTable;
use crate::runtime::output::server_output::ServerOutput;
use crate::runtime::report::log::Log;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::start::before_commands::Commands;
use crate::runtime::start::daemonize::WaitingParent;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::supervise::crash_handler::CrashHandler;
use crate::runtime::supervise::prober::Prober;
use crate::runtime::supervise::readiness::Readiness;
use crate::runtime::supervise::service_manager::ServiceManager;
use crate::sys::poll::Signals;

/// The supervisor's rules, open descriptors and programs.
#[repr(C)] // Small and frequent fields first, as in `Supervisor`.
pub struct SupervisorConfig {
    /// The signalfd from which pending signals are read.
    pub signals: Signals,
    /// The parent process that waits until the server is ready (`--background`).
    pub waiting_parent: Option<WaitingParent>,
    /// Whether the log records each step of a start (`--debug`).
    pub traces_steps: bool,
    /// The exit statuses that vsrun uses for a failed start: its own, or those of an init script (`--rc`).
    pub start_failure_statuses: StatusSet,
    /// What vsrun does when the server is ready.
    pub after_start: AfterStart,
    /// Whether vsrun changes to `/` when the server is ready, because a file system cannot be unmounted while a process
    /// has its working directory there.
    pub leaves_cwd: bool,
    /// The settings that depend on the name by which vsrun was called: its own or that of another tool.
    pub personality: &'static Personality,
    /// Runs the probes of `--ready probe:` and `--health`, and waits for the time of `--ready alive:`. None without
    /// these options.
    pub prober: Option<Box<Prober>>,
    /// The crash handler, which runs after an unexpected exit of the server.
    pub crash_handler: Option<Box<CrashHandler>>,
    /// The destination of the server's output.
    pub output: ServerOutput,
    /// How vsrun determines that the server is ready.
    pub readiness: Readiness,
    /// The destination of vsrun's own records.
    pub log: Log,
    /// The server's command line, quoted for a shell. It is only for log records.
    pub quoted_command_line: Vec<u8>,
    /// The service manager that started vsrun, such as systemd. None if vsrun does not report to one.
    pub service_manager: Option<ServiceManager>,
    /// The options by which the state machine decides.
    pub policy: Policy,
    /// The server's control group. None if no option requests one.
    pub cgroup: Option<Cgroup>,
    /// The commands of `--before`, which run before each start of the server.
    pub before_commands: Commands,
    /// What vsrun does when it receives each signal.
    pub signal_table: SignalTable,
    /// The server's program, prepared so that a start allocates nothing.
    pub program: ExecImage,
}

/// What vsrun does when the server is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AfterStart {
    /// Supervise the server.
    Supervise,
    /// Exit with status 0 and leave the server running.
    ExitWhenReady,
}
