//! `--probe`: runs a probe once, within a time limit. A probe is a connection, an HTTP request or a program.

use alloc::vec::Vec;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::exit::{self, Exit};
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::{Span, Time};
use crate::logic::cli::probe_request::ProbeRequest;
use crate::logic::plan::env::Env;
use crate::logic::plan::personality::VSRUN;
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::probe::Probe;
use crate::runtime::host::clock::now;
use crate::runtime::report::os_error::os_error;
use crate::runtime::start::before_commands::{CommandWaitResult, stopped_by, wait_or_stop};
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::StartOutcome;
use crate::runtime::start::spawn::spawn;
use crate::runtime::supervise::network_probe::{ProbeFailure, probe_network};
use crate::sys::poll::{SignalMask, Signals};
use crate::sys::process;
use crate::sys::{entry, poll};

/// Runs the probe once. Returns vsrun's exit status.
///
/// # Errors
/// With exit status 1, the reason why the server is not healthy. With 125, the reason why the probe could not be run.
/// With 128 plus a signal's number, the signal that has stopped the probe.
#[inline(never)]
pub fn probe(request: &ProbeRequest) -> Result<u8> {
    let deadline = now().after(request.timeout);
    let result = match Probe::parse(request.text.to_bytes()) {
        Some(Probe::Connect { addresses, request }) => probe_network(&addresses, request.as_deref(), deadline),
        Some(Probe::Exec(words)) => execute(words, deadline)?,
        None => Ok(()),
    };
    match result {
        Ok(()) => Ok(exit::OK),
        Err(why) => {
            let error = Error::of(Problem::ProbeFailed, request.text.to_bytes()).with_raw_arg(&format!("{why}"));
            Err(error)
        }
    }
}

/// How long a killed program may take to exit.
const KILL_WAIT: Span = Span::secs(1);

/// Runs a probe's program in a session of its own, and waits until it exits. Kills it when `deadline` has passed, or
/// when a signal asks vsrun to exit, because no other process would do that.
fn execute(words: Vec<StaticCStr>, deadline: Time) -> Result<core::result::Result<(), ProbeFailure>> {
    poll::ignore_write_error_signals();
    poll::reset_dispositions(0);
    poll::set_mask(SignalMask::All).map_err(|why| os_error(Problem::BlockSignals, why))?;
    let signals = Signals::open().map_err(|why| os_error(Problem::OpenSignalfd, why))?;
    let command = words.first().copied().unwrap_or_default();
    let steps = vec![Step::UnblockSignals, Step::Setsid, Step::CloseDescriptors, Step::Exec(command)];
    let program = Box::new(Program {
        steps,
        exec_paths: vec![command],
        argv: words,
        env: Env(entry::environment()),
        personality: &VSRUN,
    });
    let program = ExecImage::new(program);
    let cannot = |why| os_error(Problem::StartProcess, why);
    let child = spawn(&program, &ChildIo::default()).map_err(cannot)?;
    let asked = wait_or_stop(child.pid, &signals, Some(deadline), &program, (Signal::KILL, KILL_WAIT));
    match asked {
        CommandWaitResult::ExitedByItself | CommandWaitResult::TimedOut => {}
        CommandWaitResult::SignalReceived(signal) => return Err(stopped_by(signal).with_name_arg(command.to_bytes())),
        // The program does not exit after SIGKILL: it has the rights of another user, hangs in the kernel, or is held
        // by a tracer. Leave it alone.
        CommandWaitResult::DidNotExit => return Ok(Err(ProbeFailure::TimedOut)),
    }
    let (status, _) = process::reap(child.pid).map_err(cannot)?;
    if let StartOutcome::Failed(failure) = StartOutcome::await_end(&child.report) {
        let cause = MessageArg::Cause(failure.error(&program));
        return Err(Error::new(Problem::ProbeNotRun).with_arg(cause));
    }
    Ok(match Exit::from_wait(status) {
        _ if asked == CommandWaitResult::TimedOut => Err(ProbeFailure::TimedOut),
        Exit::SUCCESS => Ok(()),
        exit @ (Exit::Code(_) | Exit::Signal { .. }) => Err(ProbeFailure::Exited(exit)),
    })
}
