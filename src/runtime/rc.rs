//! `--rc`: a service file that is called with an action, like an init script.

use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit::{self, Statuses};
use crate::logic::base::signal::Signal;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::Span;
use crate::logic::cli::control::Control;
use crate::logic::cli::options::{Options, Order};
use crate::logic::cli::rc::Action;
use crate::logic::supervisor::signal_action::SignalAction;
use crate::runtime::report::log;
use crate::runtime::{check, control};

/// Runs an action. Returns vsrun's exit status, or None if the server has to be started now.
///
/// # Errors
/// When the action fails, with an exit status of LSB.
#[inline(never)]
pub fn act(action: Action, options: &mut Options) -> Result<Option<u8>> {
    let pidfile = options.control_file().unwrap_or_default();
    let order = match action {
        Action::Check => check::check(options),
        Action::Start if control::is_running(pidfile) => {
            let file = Escaped(pidfile.to_bytes());
            return Ok(Some(log::print_error(&Error::new(exit::OK, format_args!("already running: {file}")))));
        }
        Action::Start => return Ok(None),
        Action::Restart if !control::is_running(pidfile) => return Ok(None),
        Action::Restart | Action::Stop => Order::Stop,
        Action::Reload if options.on_signal.contains(&(Signal::HUP, SignalAction::Replace)) => Order::Replace,
        Action::Reload => Order::Reload,
        Action::Status => Order::Status,
    };
    let timeout = options.stop_timeout.unwrap_or(Span::secs(30));
    let delay = options.stop_delay.unwrap_or_default();
    let status =
        control::control(&Control { order, pidfile, timeout, delay }).map_err(|error| match (action, error.code) {
            // --replace reports this case with the exit status of --signal.
            (Action::Reload, exit::NOT_RUNNING) => Error::new(exit::STOPPED, format_args!("{}", error.text)),
            _ => error.among(Statuses::Script),
        })?;
    Ok((action != Action::Restart).then_some(status))
}
