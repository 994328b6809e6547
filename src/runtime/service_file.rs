//! Service files in place of pidfiles: `--status /etc/web` uses the pidfile that the service file `/etc/web` names.

use std::os::fd::AsFd;

use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::cli::args_file::Args;
use crate::logic::cli::control::ControlRequest;
use crate::logic::cli::options::Options;
use crate::logic::cli::parse::{self, Request};
use crate::runtime::host::system::read_args_file;
use crate::sys::dir;

/// Replaces the service file of a control command by the pidfile that it names: the manager's if it names one,
/// otherwise the server's. A file that does not begin with `#!` is a pidfile itself.
///
/// # Errors
/// Wrong usage if the file is not a valid service file, or names no pidfile.
#[inline(never)]
pub fn resolve(control: ControlRequest) -> Result<ControlRequest> {
    let mut head = [0; 2];
    // open(2) follows symbolic links here. A pidfile is opened again later, without following them.
    let read = dir::open_readonly(control.pidfile).and_then(|file| dir::pread_start(file.as_fd(), &mut head));
    if read.is_err() || head != *b"#!" {
        return Ok(control);
    }
    let words = read_args_file(Args::default().split_at_file(control.pidfile, 0, 0))?;
    let mut options = Options::none();
    let runs = matches!(parse::parse(&words, &mut options, &mut None)?, Request::Run | Request::Rc(_));
    let pidfile = options.control_file().filter(|_| runs);
    let Some(pidfile) = pidfile else {
        return Err(Error::of(Problem::NamesNoPidfile, control.pidfile.to_bytes()));
    };
    // The manager was started with the options of this file, so it delays a stop by the --stop-delay in it.
    Ok(ControlRequest { pidfile, delay: control.delay.max(options.stop_delay.unwrap_or_default()), ..control })
}
