//! Service files in place of pidfiles: `--status /etc/web` uses the pidfile that the service file `/etc/web` names.
//!
//! If the server's user can replace the pidfile, the user can replace it with a service file, or with a symbolic link
//! to one: root would then act on the pidfile that the service file names. So root checks each component of the path
//! (`resources::walk`), and the service file must belong to root or to the user that runs vsrun.

use std::os::fd::AsFd;

use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::cli::args_file::Args;
use crate::logic::cli::control::ControlRequest;
use crate::logic::cli::options::Options;
use crate::logic::cli::parse::{self, Request};
use crate::runtime::report::os_error::os_error_of;
use crate::runtime::resources::walk::PathWalk;
use crate::runtime::resources::walk_file;
use crate::sys::file_contents::FileContents;
use crate::sys::{credentials, dir};

/// Replaces the service file of a control command with the pidfile that it names: the manager's if it names one,
/// otherwise the server's. A file that does not begin with `#!`, or whose path root must not trust, is taken as the
/// pidfile itself.
///
/// # Errors
/// Wrong usage if the file is not a valid service file, or names no pidfile; exit status 125 if it belongs to another
/// user.
#[inline(never)]
pub fn resolve(control: ControlRequest) -> Result<ControlRequest> {
    let path = control.pidfile;
    let mut head = [0; 2];
    // The service file is read from the descriptor that was checked. A pidfile is opened again later, without following
    // links.
    let file = walk_file::open(&mut PathWalk::new(), path);
    let file = file.and_then(|file| dir::pread_start(file.as_fd(), &mut head).map(|_| file));
    let Ok(file) = file else { return Ok(control) };
    if head != *b"#!" {
        return Ok(control);
    }
    let cannot = |why| os_error_of(Problem::ReadArgsFile, path.to_bytes(), why);
    let about = dir::fstat(file.as_fd()).map_err(cannot)?;
    if about.owner != 0 && about.owner != credentials::effective_uid() {
        return Err(Error::of(Problem::UntrustedServiceFile, path.to_bytes()));
    }
    let mut contents = FileContents::default();
    contents.refill(file.as_fd(), about.size).map_err(cannot)?;
    let words = Args::default().split_at_file(path, 0, 0).insert_lines(&contents)?;
    let mut options = Options::none();
    let runs = matches!(parse::parse(&words, &mut options, &mut None)?, Request::Run | Request::InitScript(_));
    let Some(pidfile) = options.control_pidfile().filter(|_| runs) else {
        return Err(Error::of(Problem::NamesNoPidfile, path.to_bytes()));
    };
    // The manager was started with the options of the service file, so they determine how long a stop may take.
    let (stop_timeout, stop_overhead) =
        (control.stop_timeout.or(options.stop_timeout), control.stop_overhead.max(options.stop_overhead()));
    Ok(ControlRequest { pidfile, stop_timeout, stop_overhead, ..control })
}
