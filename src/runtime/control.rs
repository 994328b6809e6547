//! `--status`, `--stop`, `--replace` and `--signal`. The lock of the pidfile shows whether the server runs, /proc shows
//! which process has the lock, and a pidfd prevents a signal to another process that got the same pid.

use core::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::Time;
use crate::logic::cli::control::ControlRequest;
use crate::logic::cli::options::ControlCommand;
use crate::logic::control::{
    self, LockState, NoTarget, ObservedLock, PidfileContents, PidfileProcess, StopDeadlines, UncertaintyReason,
};
use crate::runtime::host::clock::now;
use crate::runtime::report::log;
use crate::runtime::report::os_error::{add_errno, errno_text};
use crate::runtime::resources::pidfile::split_path;
use crate::runtime::resources::pidfile_lock_holder::{LockHolderFinder, read_pidfile, read_proc};
use crate::runtime::resources::walk::PathWalk;
use crate::runtime::start::deliver;
use crate::sys::dir::{self, FileStat, OpenMode};
use crate::sys::lock::{self, LockMode, LockPart};
use crate::sys::pidfd::Process;
use crate::sys::{Errno, clock, poll};

/// How often a pidfile is read while another vsrun starts or exits, and how many tokens `--replace` tries.
const PIDFILE_READ_ATTEMPTS: usize = 20;
/// The pause between two checks of something that no descriptor reports, in milliseconds.
const POLL_PAUSE_MS: u64 = 10;
/// After this number of failed attempts to read the lock, vsrun stops waiting for a change of it.
const MAX_UNREADABLE_LOCK_CHECKS: u32 = 100;

/// Runs the control command. Returns vsrun's exit status.
///
/// # Errors
/// When the command fails, or the process cannot be determined.
pub fn control(control: &ControlRequest) -> Result<u8> {
    let file = Pidfile::open(control.pidfile);
    let found = match &file {
        Ok(file) => find_server(control, file).map(|server| (file, server)),
        Err(no_target) => Err(*no_target),
    };
    let no_target = match (control.command, found) {
        (ControlCommand::Status, Ok((_, server))) => {
            let number = server.pidfile_process.pid;
            let up = read_proc(number, c"stat", control::parse_start_ticks)
                .map(|start| control::UptimeSeconds::from_ticks_and_millis(start, clock::millis_since_boot()));
            let up: &dyn Display = up.as_ref().map_or(&"", |up| up);
            let path = Escaped(control.pidfile.to_bytes());
            return log::print_to_stdout(format!("running: pid {number} ({path}){up}\n").as_bytes());
        }
        (ControlCommand::Signal(signal), Ok((_, server))) => match send(server.pidfile_process, signal)? {
            SendOutcome::Delivered => return Ok(exit::OK),
            SendOutcome::ProcessGone => NoTarget::Dead,
        },
        // A reload sends HUP to the manager, even if HUP has an action other than a restart there: the server's pidfile
        // and the manager's must lead to the same result.
        (ControlCommand::Reload, Ok((_, server))) => match send(server.control_target, Signal::HUP)? {
            SendOutcome::Delivered => return Ok(exit::OK),
            SendOutcome::ProcessGone => NoTarget::Dead,
        },
        (ControlCommand::Replace, Ok((file, server))) => return replacement::replace(control.pidfile, file, server),
        (ControlCommand::Stop, Ok((file, server))) => {
            return stop(control, file, server)?.map_or(Ok(exit::OK), |why| {
                let error = Error::of(Problem::Stop, control.pidfile.to_bytes());
                Err(error.with_number_arg(server.control_target.pid.into()).with_reason_arg(why))
            });
        }
        (_, Err(no_target)) => no_target,
    };
    let mut error = no_target.error(control.pidfile);
    if let (NoTarget::Unknown(UncertaintyReason::Other(Reason::OtherProcess)), Ok(file)) = (no_target, &file)
        && let Some(holder) = file.finder.find_locking_process()
    {
        error = error.with_arg(MessageArg::Cause(Error::new(Problem::ByPid).with_number_arg(holder.into())));
    }
    let code = match (control.command, no_target) {
        (ControlCommand::Status, _) => {
            log::print_to_stdout(format!("{error}\n").as_bytes())?;
            return Ok(error.exit_status);
        }
        (_, NoTarget::Unknown(_)) => error.exit_status,
        // The pidfile has named no process during the whole timeout.
        (ControlCommand::Stop | ControlCommand::Reload, NoTarget::Restarting) => exit::VSRUN_FAILED,
        (ControlCommand::Stop, _) => {
            // --stop succeeds if no server is running, but says so, because a mistyped path has this result too.
            log::print_error(&Error::of(Problem::NothingToStop, control.pidfile.to_bytes()));
            return Ok(exit::OK);
        }
        (ControlCommand::Signal(_) | ControlCommand::Replace, _) => exit::NOT_RUNNING,
        (ControlCommand::Reload, _) => exit::INIT_SCRIPT_NOT_RUNNING,
    };
    Err(error.with_status(code))
}

/// True if the server of a pidfile is running, or its manager is between two runs of it.
pub fn is_running(pidfile: StaticCStr) -> bool {
    let found = Pidfile::open(pidfile).and_then(|file| file.find_lock_holder());
    matches!(found, Ok(_) | Err(NoTarget::Restarting))
}

/// Finds the process of a pidfile. Between two runs of a server the file names no process. Then a stop or reload goes
/// to the process that has locked the file or, if /proc does not show that process, to the next one that the file
/// names.
#[inline(never)]
fn find_server(control: &ControlRequest, file: &Pidfile) -> FindResult<FoundServer> {
    let until = StopDeadlines::new(LockState::Exclusive, control.stop_timeout, control.stop_overhead, now()).give_up;
    loop {
        match file.find_lock_holder() {
            Err(NoTarget::Restarting) if matches!(control.command, ControlCommand::Stop | ControlCommand::Reload) => {
                match file.find_manager_between_runs() {
                    Some(server) => return Ok(server),
                    None if has_passed(until) => return Err(NoTarget::Restarting),
                    None => poll::sleep_ms(POLL_PAUSE_MS),
                }
            }
            seen => return seen,
        }
    }
}

// `stop` is separate to save bytes: every early return in a function repeats the code that drops its local values.

/// Stops the server. Returns the reason if the server or its lock is still there, or that cannot be determined.
#[inline(never)]
fn stop(control: &ControlRequest, file: &Pidfile, server: FoundServer) -> Result<Option<Reason>> {
    let owner = server.control_target;
    let mut deadlines = StopDeadlines::new(server.lock, control.stop_timeout, control.stop_overhead, now());
    // If the process has exited in the meantime, no signal is sent. Its lock may still exist, because a child has
    // inherited it.
    send(owner, Signal::TERM)?;
    send(owner, Signal::CONT)?;
    let (mut ended, mut hidden) = (false, 0);
    loop {
        if ended {
            poll::sleep_ms(POLL_PAUSE_MS);
        } else {
            let until = deadlines.kill.or(deadlines.give_up);
            ended = poll::poll_last_for_hangup(&[owner.exit_fd(), None], until.map(|until| until.since(now()).0)) != 0;
        }
        // The children of the stopped process may have inherited the lock. No server can start until they have exited.
        let (lock, line) = file.lock_and_contents();
        let another = server.lock == LockState::Shared && line.known_to_differ_from(owner.pid);
        if (ended || owner.exit_fd().is_none()) && (lock == LockState::None || another) {
            return Ok(None);
        }
        if ended && lock == LockState::Exclusive && line.known_to_differ_from(server.pidfile_process.pid) {
            // The stopped process was not the manager: the manager goes on, and has just removed that process's pid
            // from the file.
            return Ok(Some(Reason::ManagerGoesOn));
        }
        hidden += u32::from(ended && lock == LockState::Unreported);
        if hidden == MAX_UNREADABLE_LOCK_CHECKS {
            return Ok(Some(Reason::LockUnreadable));
        }
        if has_passed(deadlines.kill) {
            deadlines.kill = None;
            send(owner, Signal::KILL)?;
        } else if has_passed(deadlines.give_up) {
            return Ok(Some(if ended { Reason::StillLocked } else { Reason::NotInTime }));
        }
    }
}

/// True if this point in time has passed.
fn has_passed(until: Option<Time>) -> bool {
    until.is_some_and(|until| until <= now())
}

/// Whether a signal was sent, or its recipient had exited.
enum SendOutcome {
    Delivered,
    ProcessGone,
}

fn send(process: Process, signal: Signal) -> Result<SendOutcome> {
    match deliver::to_process(process, signal.number()) {
        Ok(()) => Ok(SendOutcome::Delivered),
        Err(Errno::SRCH) => Ok(SendOutcome::ProcessGone),
        Err(why) => {
            let error = Error::new(Problem::SendSignal).with_arg(MessageArg::Signal(signal));
            Err(add_errno(error.with_number_arg(process.pid.into()), why).with_arg(deliver::needed_capability(why)))
        }
    }
}

// The rest of this file finds the process of a pidfile.

/// A pidfile that another process may have locked.
struct Pidfile {
    file: OwnedFd,
    finder: LockHolderFinder,
}

/// A server that was found through its pidfile, and may be signalled.
#[derive(Clone, Copy)]
struct FoundServer {
    lock: LockState,
    /// The process that the pidfile names; between two runs of the server, the manager.
    pidfile_process: Process,
    /// The process to stop or reload: the manager, which is the parent of `pidfile_process`, or that process itself.
    control_target: Process,
}

type FindResult<T> = core::result::Result<T, NoTarget>;

impl Pidfile {
    /// Opens a pidfile for reading, without a lock. Refuses a symbolic link, an untrusted directory in the path, and a
    /// hard link where others may write: they could lead to the pidfile of another service.
    fn open(path: StaticCStr) -> FindResult<Self> {
        let (parent, name) = split_path(path);
        let (mut walk, unknown) = (PathWalk::new(), |reason| NoTarget::Unknown(UncertaintyReason::Other(reason)));
        let reached = walk.go_to(parent);
        let is_shared = walk.is_in_shared_dir();
        let file =
            reached.and_then(|()| walk.take()?.open_file(name, OpenMode::ReadOnly, 0)).map_err(|why| match why {
                Errno::NOENT => NoTarget::NoPidfile,
                Errno::LOOP => unknown(Reason::IsSymlink),
                _ if walk.refusal.is_some() => unknown(Reason::UntrustedPath),
                other => NoTarget::Unknown(UncertaintyReason::Kernel(errno_text(other))),
            })?;
        match dir::fstat(file.as_fd()) {
            Ok(FileStat { links: 2.., .. }) if is_shared => Err(unknown(Reason::HasLinks)),
            Ok(about @ FileStat { regular: true, .. }) => Ok(Self { file, finder: LockHolderFinder::new(&about) }),
            Ok(_) | Err(_) => Err(unknown(Reason::IsNotRegular)),
        }
    }

    /// Finds the process that has the file locked. A starting vsrun takes the lock before it writes a pid, and an
    /// exiting one removes its pid before it releases the lock, so this function retries for a short time.
    fn find_lock_holder(&self) -> FindResult<FoundServer> {
        let mut checks = 0;
        loop {
            let state = self.lock_and_contents();
            let seen = self.identify_server(state);
            checks += 1;
            let clear = state.0 != LockState::Exclusive || !matches!(seen, Err(NoTarget::Unknown(_)));
            // The lock and the pid have not changed meanwhile, so the pid was not reused: the manager would have
            // removed it from the file before.
            if clear && self.lock_and_contents() == state {
                return seen;
            }
            if checks == PIDFILE_READ_ATTEMPTS {
                return Err(seen.err().unwrap_or(NoTarget::Unknown(UncertaintyReason::Other(Reason::OtherProcess))));
            }
            poll::sleep_ms(POLL_PAUSE_MS);
        }
    }

    #[inline(never)]
    fn identify_server(&self, (lock, line): (LockState, PidfileContents)) -> FindResult<FoundServer> {
        let number = if let PidfileContents::Pid(number) = line { number } else { 0 };
        let mut parent = 0;
        let (pidfile_process, held) = self.finder.examine_process(number, Some(&mut parent));
        let (above, above_held) = self.finder.examine_process(parent, None);
        let owner = match control::find_pidfile_process(lock, line, held, above_held)? {
            PidfileProcess::NamedInPidfile => pidfile_process,
            PidfileProcess::ParentOfNamed => above,
        };
        if held == ObservedLock::Unreadable && above_held != ObservedLock::Held && !self.finder.only_we_can_write {
            // An untrusted owner of the pidfile could have written any pid into it, and have locked it.
            return Err(NoTarget::Unknown(UncertaintyReason::Other(Reason::Untrusted)));
        }
        let (Some(pidfile_process), Some(owner)) = (pidfile_process, owner) else {
            return Err(NoTarget::Unknown(UncertaintyReason::Other(Reason::NoPidfd)));
        };
        Ok(FoundServer { lock, pidfile_process, control_target: owner })
    }

    /// The manager of a server that is not running now. None if /proc does not show it, or it has exited.
    fn find_manager_between_runs(&self) -> Option<FoundServer> {
        let (process, held) = self.finder.examine_process(self.finder.find_locking_process()?, None);
        let owner = process.filter(|_| held == ObservedLock::Held)?;
        Some(FoundServer { lock: LockState::Exclusive, pidfile_process: owner, control_target: owner })
    }

    /// How the file is locked, and its contents.
    fn lock_and_contents(&self) -> (LockState, PidfileContents) {
        let lock = match lock::lock_of_others(self.file.as_fd(), LockPart::Whole) {
            Ok(None) => LockState::None,
            Ok(Some(LockMode::Shared)) => LockState::Shared,
            Ok(Some(LockMode::Exclusive)) => LockState::Exclusive,
            Err(_) => LockState::Unreported,
        };
        // Another vsrun is starting, and has not yet deleted the pid of an earlier start.
        if lock == LockState::Exclusive && lock::lock_of_others(self.file.as_fd(), LockPart::FirstMebibyte) == Ok(None)
        {
            return (lock, PidfileContents::Empty);
        }
        (lock, read_pidfile(self.file.as_fd()))
    }
}

mod replacement;
