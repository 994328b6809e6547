//! One run of vsrun, top to bottom: it makes the plan, and then either becomes the server or supervises it.

use alloc::boxed::Box;
use std::os::fd::AsFd;

use crate::logic::base::error::{Error, Result};
use crate::logic::base::signal::Signal;
use crate::logic::base::text::Escaped;
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::Options;
use crate::logic::plan::personality::Personality;
use crate::logic::plan::planner::{Plan, StepTrace, plan};
use crate::logic::plan::step::Step;
use crate::runtime::host::system::{self, AccountFiles};
use crate::runtime::machine;
use crate::runtime::output::server_output;
use crate::runtime::report::log::{self, Priority, Verbosity};
use crate::runtime::resources::cleanup::CleanupHelper;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::resources::sockets::{self, Sockets};
use crate::runtime::resources::start_resources::StartResources;
use crate::runtime::resources::walk;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::spawn::apply_and_exec;
use crate::runtime::supervise::setup::{PreparedSupervisor, set_up};
use crate::sys::{fd, poll, terminal};

/// Does what the options say. Returns a supervisor if there is one; otherwise vsrun becomes the server.
///
/// # Errors
/// When the server could not be started. Everything that the start created is removed then.
#[inline(never)]
pub fn run(options: &mut Options) -> Result<Box<PreparedSupervisor>> {
    machine::begin(options)?;
    let stdin = options.has(Id::Stdin);
    poll::ignore_writes(true);
    let plan = make_plan(options)?;
    let Personality { unhandled, signals, .. } = *plan.personality;
    let hangup = if plan.ignores_hangup { Signal::HUP.bit() } else { 0 };
    poll::reset_dispositions(hangup | unhandled & signals.ignored);
    walk::check_root(options.root)?;
    if plan.hides_keys {
        // If that fails, the terminal stays readable; --check reports it.
        let _ = [1, 2].map(terminal::write_only);
    }
    if plan.supervision.is_some() || plan.background { set_up(plan, stdin) } else { Err(exec_server(plan)) }
}

/// Makes the plan from the options and the state of the system.
///
/// # Errors
/// When the options cannot be applied on this system.
pub fn make_plan(options: &mut Options) -> Result<Plan> {
    let mut world = AccountFiles::default();
    let host = system::read(options, &mut world)?;
    plan(options, &host)
}

/// Becomes the server, in this process. Returns only on an error.
#[inline(never)]
fn exec_server(plan: Plan) -> Error {
    let mut resources = match acquire(&plan) {
        Ok(resources) => resources,
        Err(error) => return error,
    };
    let bound = resources.bind(&plan.sockets, plan.cgroup.as_ref());
    let error = match bound.and_then(|()| prepare_and_exec(plan, &resources)) {
        Ok(error) => {
            // This process may be in the group; the cleanup helper removes it after this process has exited.
            resources.cgroup = None;
            error
        }
        Err(error) => error,
    };
    resources.release();
    error
}

fn acquire(plan: &Plan) -> Result<StartResources> {
    sockets::reserve_fds(&plan.sockets)?;
    Ok(StartResources {
        sockets: Sockets::default(),
        cgroup: None,
        pidfiles: [Pidfile::acquire_if(plan.pidfile)?, None],
    })
}

/// Applies the steps. Returns only when one failed.
///
/// # Errors
/// When standard error or the cleanup helper could not be set up.
#[inline(never)]
fn prepare_and_exec(plan: Plan, resources: &StartResources) -> Result<Error> {
    let [pidfile, _] = &resources.pidfiles;
    let (sink, mut log) = server_output::open(plan.output)?;
    log.verbosity = Verbosity::Errors;
    let no_syslog = plan.syslog.is_none();
    log.quiet = plan.quiet;
    log.add_syslog(plan.syslog)?;
    log.separate_trace(plan.debug)?;
    sink.start_orphan()?;
    log.record(Priority::Info, format_args!("starting: {}", Escaped(&plan.command)));
    let program = ExecImage::new(plan.server);
    // Only with SealDescriptors the descriptors for cleanup and report are still open when a step fails.
    let keeps = program.steps().iter().any(|step| matches!(step, Step::SealDescriptors));
    let idle = resources.is_empty() && sink.is_inherited() && no_syslog;
    let helper = (!keeps && !idle).then(|| CleanupHelper::spawn(resources, &log)).transpose()?;
    // A failure is reported to the caller, wherever the server's own output goes by then.
    let stderr = (keeps && !sink.is_inherited()).then(log::stderr).transpose()?;
    let output = sink.server(&log);
    let debug = (plan.debug != StepTrace::Off).then_some(&log);
    let pipes = helper.as_ref().map(CleanupHelper::pipes).unwrap_or_default();
    let (dir, pidfile, cgroup) = (sink.dir(), pidfile.as_ref(), resources.cgroup.as_ref());
    let io = ChildIo { output, error: output, dir, pipes, pidfile, cgroup, debug, ..ChildIo::default() };
    let error = apply_and_exec(&program, &io).error(&program);
    if let Some(helper) = helper {
        helper.run(&error);
    }
    if let Some(stderr) = stderr {
        let _ = fd::dup_onto(stderr.as_fd(), 2);
    }
    log.record_failure(&error);
    // Their descriptors may have been closed already.
    core::mem::forget((sink, log));
    Ok(error)
}
