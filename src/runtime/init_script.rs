//! `--rc`: runs the action with which a service file was called, like that of an init script.

use alloc::boxed::Box;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit::{self, StatusSet};
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::cli::control::ControlRequest;
use crate::logic::cli::init_script_action::Action;
use crate::logic::cli::options::{ControlCommand, Options};
use crate::logic::supervisor::signal_action::SignalAction;
use crate::runtime::report::log;
use crate::runtime::supervise::setup::PreparedSupervisor;
use crate::runtime::{check, control, run};

/// Runs an action. Returns vsrun's exit status, or None if the server has to be started now. For the action `check`,
/// vsrun exits here.
///
/// # Errors
/// When the action fails. The exit status is the one that LSB defines for init scripts.
pub fn run_action_except_start(action: Action, options: &mut Options) -> Result<Option<u8>> {
    let pidfile = options.control_pidfile().unwrap_or_default();
    let command = match action {
        Action::Check => check::check_start(options),
        Action::Start if control::is_running(pidfile) => return Ok(Some(report_already_running(pidfile))),
        Action::Start => return Ok(None),
        Action::Restart if !control::is_running(pidfile) => return Ok(None),
        Action::Restart | Action::Stop => ControlCommand::Stop,
        Action::Reload if options.on_signal.contains(&(Signal::HUP, SignalAction::Replace)) => ControlCommand::Replace,
        Action::Reload => ControlCommand::Reload,
        Action::Status => ControlCommand::Status,
    };
    let (stop_timeout, stop_overhead) = (options.stop_timeout, options.stop_overhead());
    let status =
        control::control(&ControlRequest { command, pidfile, stop_timeout, stop_overhead }).map_err(|error| {
            match (action, error.exit_status) {
                // If no server is running, --replace exits with 3, as --signal does. LSB requires 7 for a reload.
                (Action::Reload, exit::NOT_RUNNING) => error.with_status(exit::INIT_SCRIPT_NOT_RUNNING),
                _ => error.convert_status_to(StatusSet::InitScript),
            }
        })?;
    Ok((action != Action::Restart).then_some(status))
}

/// Calls [`run::run`] to start the server. Returns None if another start of the service came first, so its server runs.
///
/// # Errors
/// Those of [`run::run`], with the exit statuses that LSB defines for init scripts.
pub fn start_unless_running(options: &mut Options) -> Result<Option<Box<PreparedSupervisor>>> {
    let pidfile = options.control_pidfile().unwrap_or_default();
    match run::run(options) {
        Ok(prepared) => Ok(Some(prepared)),
        // Another start of the service has locked the pidfile since it was examined for the action.
        Err(error) if error.problem.is_pidfile_locked() && control::is_running(pidfile) => {
            report_already_running(pidfile);
            Ok(None)
        }
        Err(error) => Err(error.convert_status_to(StatusSet::InitScript)),
    }
}

fn report_already_running(pidfile: StaticCStr) -> u8 {
    log::print_error(&Error::of(Problem::AlreadyRunning, pidfile.to_bytes()))
}
