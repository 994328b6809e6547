//! What a supervisor has, as its setup made it.

use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::signal_action::SignalTable;
use crate::runtime::output::server_output::ServerOutput;
use crate::runtime::report::log::Log;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::start::daemonize::WaitingParent;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::supervise::crash_handler::Handler;
use crate::runtime::supervise::readiness::Readiness;
use crate::runtime::supervise::service::ServiceManager;
use crate::sys::poll::Signals;

/// Everything that a manager has.
pub struct SupervisorConfig {
    /// The rules.
    pub policy: Policy,
    /// The server, ready to be started.
    pub program: ExecImage,
    /// The command as a shell would read it.
    pub command: Vec<u8>,
    /// The crash handler, which is asked after an unexpected exit.
    pub handler: Option<Box<Handler>>,
    /// Where the server's words go.
    pub output: ServerOutput,
    /// Where vsrun's own words go.
    pub log: Log,
    /// Whether each step is told.
    pub debug: bool,
    /// The server's control group.
    pub cgroup: Option<Cgroup>,
    /// The signals that have come.
    pub signals: Signals,
    /// What each of them does.
    pub signal_table: SignalTable,
    /// How the server says that it has been started.
    pub readiness: Readiness,
    /// The service manager above us.
    pub service_manager: Option<ServiceManager>,
    /// The parent that waits for the server to be started.
    pub waiting_parent: Option<WaitingParent>,
    /// What becomes of us then.
    pub after_start: AfterStart,
    /// Whether it leaves the directory that it was called in.
    pub moves: bool,
}

/// What becomes of vsrun once the server has been started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AfterStart {
    /// It stays.
    Stay,
    /// It leaves the server alone, with status 0.
    Leave,
}
