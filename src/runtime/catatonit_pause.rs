//! `catatonit -P`: starts no program, adopts and reaps orphans, and waits for SIGTERM or SIGINT.

use std::os::fd::AsFd;

use crate::logic::base::error::Result;
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::runtime::report::os_error::os_error;
use crate::sys::poll::{self, SignalMask, Signals};
use crate::sys::{credentials, fd, process};

/// Reaps orphans until SIGTERM or SIGINT arrives, and returns the exit status. Other signals have no effect, except
/// those that the caller leaves unhandled, which have their default action.
///
/// # Errors
/// When the signals cannot be blocked, or no descriptor is available.
pub fn reap_orphans_until_signal(unhandled_signals: u64) -> Result<u8> {
    let failed = |why| os_error(Problem::OpenSignalfd, why);
    poll::ignore_write_error_signals();
    poll::reset_dispositions(0);
    poll::set_mask(SignalMask::These(!unhandled_signals)).map_err(failed)?;
    // Leave the working directory, which would keep a mount busy, and close the inherited descriptors, which could keep
    // a pipe open.
    credentials::chdir_to_root();
    fd::close_above_stdio_except(fd::FIRST_AFTER_STDIO..fd::FIRST_AFTER_STDIO).map_err(failed)?;
    let signals = Signals::open().map_err(failed)?;
    process::set_subreaper();
    loop {
        while let Some(pid) = process::exited_child() {
            let _ = process::reap(pid);
        }
        while let Some(arrived) = signals.next() {
            if [Signal::TERM, Signal::INT].map(Signal::number).contains(&arrived.signal) {
                return Ok(exit::OK);
            }
        }
        poll::poll_last_for_hangup(&[Some(signals.as_fd()), None], None);
    }
}
