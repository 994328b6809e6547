//! The cleanup helper: a process that keeps the rights and descriptors for undoing a start until the server has been
//! started. The server's own process has already lost them when its exec fails.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::start_resources::StartResources;
use super::termination_log::TerminationLog;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::runtime::report::error_pipe::{MAX_MESSAGE, parse_error, send_error};
use crate::runtime::report::log::{Log, print_error};
use crate::runtime::report::os_error::os_error;
use crate::sys::fd;
use crate::sys::poll::{self, SignalMask};
use crate::sys::process::{self, Forked};

/// The cleanup helper. It is not a child of the server, so that the server's wait(2) never returns it.
pub struct CleanupHelper {
    /// The write end of the pipe for the error of a failed start. Closing it without an error means success.
    failure_pipe: OwnedFd,
    /// The pipe that reaches its end when the helper has undone the start.
    done_pipe: OwnedFd,
}

impl CleanupHelper {
    /// Starts the helper. If the server's start fails, the helper releases these resources. It reports the reason on
    /// its standard error, which is the caller's, in vsrun's own records, and in the termination log.
    ///
    /// # Errors
    /// When the kernel cannot create a process, or no descriptor is available.
    pub fn spawn(resources: &StartResources, log: &Log, termination_log: &TerminationLog) -> Result<Self> {
        let fail = |why| os_error(Problem::PrepareCleanup, why);
        let (requests, request) = fd::pipe().map_err(fail)?;
        let (done, doing) = fd::pipe().map_err(fail)?;
        match process::fork().map_err(fail)? {
            Forked::Parent(pid) => {
                let _ = process::reap(pid);
                Ok(Self { failure_pipe: request, done_pipe: done })
            }
            Forked::Child => {
                let _ = poll::set_mask(SignalMask::All);
                if let Ok(Forked::Child) = process::fork() {
                    drop((request, done));
                    let mut message = vec![0; MAX_MESSAGE];
                    // End of file on the pipe without a message means that the exec has succeeded.
                    let count = fd::read_full(requests.as_fd(), &mut message).unwrap_or(0);
                    if let Some(error) = message.get(..count).and_then(parse_error) {
                        resources.remove_files();
                        log.record_failure(&error);
                        print_error(&error);
                        termination_log.write_failure(&error, None);
                        drop(doing);
                        // The process that has sent the message may be in the control group, and must exit before the
                        // group can be removed. It exits as soon as `doing` is closed.
                        resources.remove_cgroup();
                    }
                }
                process::exit(exit::OK)
            }
        }
    }

    /// The pipes to and from the cleanup helper. They must stay open until the exec of the server.
    pub fn pipes(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [Some(self.failure_pipe.as_fd()), Some(self.done_pipe.as_fd())]
    }

    /// Must be called when the start has failed. Makes the helper undo the start and report the error, waits for the
    /// helper, and exits.
    pub fn undo_start_and_exit(self, error: &Error) -> ! {
        send_error(error, &self.failure_pipe);
        drop(self.failure_pipe);
        let _ = fd::read_full(self.done_pipe.as_fd(), &mut [0]);
        process::exit(error.exit_status)
    }
}
