//! Everything that a supervisor owns, as `set_up` prepared it.

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
use crate::runtime::supervise::crash_handler::Handler;
use crate::runtime::supervise::prober::Prober;
use crate::runtime::supervise::readiness::Readiness;
use crate::runtime::supervise::service::ServiceManager;
use crate::sys::poll::Signals;

/// The supervisor's rules, open descriptors and programs.
#[repr(C)] // Small and frequent fields first, as in `Supervisor`.
pub struct SupervisorConfig {
    /// The signalfd from which pending signals are read.
    pub signals: Signals,
    /// The parent process that waits until the server is ready (`--background`).
    pub waiting_parent: Option<WaitingParent>,
    /// Whether each step is recorded (`--debug`).
    pub debug: bool,
    /// The exit statuses of a failed start.
    pub statuses: StatusSet,
    /// What vsrun does when the server is ready.
    pub after_start: AfterStart,
    /// Whether vsrun changes to `/` when the server is ready, so that it does not pin a mount.
    pub leaves_cwd: bool,
    /// How vsrun behaves when it is called by the name of another tool.
    pub personality: &'static Personality,
    /// The server's probes, if there are any.
    pub prober: Option<Box<Prober>>,
    /// The crash handler, which runs after an unexpected exit.
    pub handler: Option<Box<Handler>>,
    /// The destination of the server's output.
    pub output: ServerOutput,
    /// How the server reports that it is ready.
    pub readiness: Readiness,
    /// The destination of vsrun's own records.
    pub log: Log,
    /// The server's command line, quoted for a shell, for records.
    pub command: Vec<u8>,
    /// The service manager that started vsrun.
    pub service_manager: Option<ServiceManager>,
    /// The rules of the state machine.
    pub policy: Policy,
    /// The server's control group.
    pub cgroup: Option<Cgroup>,
    /// What runs before each start of the server.
    pub before: Commands,
    /// The action of each signal.
    pub signal_table: SignalTable,
    /// The server, ready to be started.
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
