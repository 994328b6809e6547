//! `--probe`: runs a probe once, within a time limit. A probe is a connection, an HTTP request or a program.

use alloc::vec::Vec;
use std::os::fd::AsFd;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Object, Result};
use crate::logic::base::exit::{self, Exit};
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::cli::probe_request::ProbeRequest;
use crate::logic::plan::env::Env;
use crate::logic::plan::personality::VSRUN;
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::probe::Probe;
use crate::runtime::host::clock::now;
use crate::runtime::report::os_error::os_error;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::StartOutcome;
use crate::runtime::start::spawn::spawn;
use crate::runtime::supervise::network_probe::{ProbeFailure, millis_left, probe_network};
use crate::sys::poll::{SignalMask, Signals};
use crate::sys::process::{self, Target};
use crate::sys::{entry, poll};

/// Runs the probe once. Returns vsrun's exit status.
///
/// # Errors
/// With exit status 1, the reason why the server is not healthy. With 125, the reason why the probe could not be run.
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
            let error = Error::of(Problem::ProbeFailed, request.text.to_bytes()).raw(&format!("{why}"));
            Err(error)
        }
    }
}

/// Runs a program in a session of its own, and waits for its exit.
fn execute(words: Vec<StaticCStr>, deadline: Time) -> Result<core::result::Result<(), ProbeFailure>> {
    poll::ignore_write_signals(true);
    poll::reset_dispositions(0);
    poll::set_mask(SignalMask::All).map_err(|why| os_error(Problem::BlockSignals, why))?;
    let signals = Signals::open().map_err(|why| os_error(Problem::OpenSignalfd, why))?;
    let command = words.first().copied().unwrap_or_default();
    let steps = vec![Step::UnblockSignals, Step::Setsid, Step::CloseDescriptors, Step::Exec(command)];
    let program = Box::new(Program {
        steps,
        paths: vec![command],
        argv: words,
        env: Env(entry::environment()),
        personality: &VSRUN,
    });
    let program = ExecImage::new(program);
    let cannot = |why| os_error(Problem::StartProcess, why);
    let child = spawn(&program, &ChildIo::default()).map_err(cannot)?;
    let mut timed_out = false;
    while !process::has_exited(child.pid) {
        let millis_left = if timed_out { None } else { millis_left(deadline).ok() };
        timed_out |= millis_left.is_none();
        if timed_out {
            let _ = process::send(Signal::KILL.number(), Target::Group(child.pid));
            let _ = process::send(Signal::KILL.number(), Target::Process(child.pid));
        }
        poll::wait(&[Some(signals.as_fd()), None], millis_left);
        while signals.next().is_some() {}
    }
    let (status, _) = process::reap(child.pid).map_err(cannot)?;
    if let StartOutcome::Failed(failure) = StartOutcome::await_end(&child.report) {
        let cause = Object::Cause(failure.error(&program));
        return Err(Error::new(Problem::ProbeNotRun).with(cause));
    }
    Ok(match Exit::from_wait(status) {
        _ if timed_out => Err(ProbeFailure::TimedOut),
        Exit::SUCCESS => Ok(()),
        exit @ (Exit::Code(_) | Exit::Signal { .. }) => Err(ProbeFailure::Exited(exit)),
    })
}
