//! One run of vsrun, from the start to the end: it makes the plan, and then either becomes the server or supervises it.

use alloc::boxed::Box;
use std::os::fd::AsFd;

use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::note::Note;
use crate::logic::base::signal::Signal;
use crate::logic::cli::options::Options;
use crate::logic::plan::personality::Personality;
use crate::logic::plan::planner::{Plan, StepTrace, plan};
use crate::logic::plan::step::Step;
use crate::runtime::host::system::{self, AccountFiles};
use crate::runtime::output::server_output;
use crate::runtime::pid1;
use crate::runtime::report::log::{self, Priority, StderrVerbosity};
use crate::runtime::resources::cleanup::CleanupHelper;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::resources::sockets::{self, SocketFiles};
use crate::runtime::resources::start_resources::StartResources;
use crate::runtime::resources::termination_log::TerminationLog;
use crate::runtime::resources::walk;
use crate::runtime::start::before_commands::{Commands, run_all};
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::spawn::apply_and_exec;
use crate::runtime::supervise::setup::{PreparedSupervisor, set_up};
use crate::sys::{fd, poll, process, terminal};

/// Makes the plan, and then becomes the server. If the options request supervision, or a start in the background,
/// returns a prepared supervisor instead, which starts the server.
///
/// # Errors
/// When the start has failed. Everything that it has created has then been removed.
pub fn run(options: &mut Options) -> Result<Box<PreparedSupervisor>> {
    let begun = pid1::mount_and_take_ctrl_alt_del(options);
    poll::ignore_write_error_signals();
    let plan = begun.and_then(|()| make_plan(options)).and_then(|plan| {
        let Personality { unhandled_signals, signals, .. } = *plan.personality;
        let hangup = if plan.ignores_hangup { Signal::HUP.bit() } else { 0 };
        poll::reset_dispositions(hangup | unhandled_signals & signals.ignored);
        walk::verify_root_trusted(options.root).map(|()| plan)
    });
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            TerminationLog::open(options.termination_log).write_failure(&error, None);
            return Err(error);
        }
    };
    if plan.makes_terminal_write_only {
        // If the terminal cannot be reopened for writing only, the server can also read from it. `--check` reports
        // that.
        let _ = [1, 2].map(terminal::ensure_terminal_write_only);
    }
    if plan.supervision.is_some() || plan.background { set_up(plan) } else { Err(exec_server(plan)) }
}

/// Makes the plan from the options and the state of the system.
///
/// # Errors
/// When the options cannot be applied on this system.
pub fn make_plan(options: &mut Options) -> Result<Plan> {
    let mut account_files = AccountFiles::default();
    let host = system::read(options, &mut account_files)?;
    plan(options, &host)
}

/// Becomes the server, in this process. Returns only on an error.
#[inline(never)]
fn exec_server(plan: Plan) -> Error {
    let termination_log = TerminationLog::open(plan.termination_log);
    let error = acquire_and_exec(plan, &termination_log);
    termination_log.write_failure(&error, None);
    error
}

fn acquire_and_exec(plan: Plan, termination_log: &TerminationLog) -> Error {
    let mut resources = match acquire(&plan) {
        Ok(resources) => resources,
        Err(error) => return error,
    };
    let bound = resources.acquire_cgroup_and_sockets(&plan.sockets, plan.cgroup.as_ref());
    let error = match bound.and_then(|()| prepare_and_exec(plan, &resources, termination_log)) {
        Ok(error) => {
            // This process may be in the control group, so it cannot remove it. The cleanup helper does that after this
            // process has exited.
            resources.cgroup = None;
            error
        }
        Err(error) => error,
    };
    resources.remove_all();
    error
}

fn acquire(plan: &Plan) -> Result<StartResources> {
    sockets::reserve_fds(&plan.sockets)?;
    Ok(StartResources {
        sockets: SocketFiles::default(),
        cgroup: None,
        pidfiles: [Pidfile::acquire_if(plan.pidfile)?, None],
    })
}

/// Applies the steps and executes the server. Returns only if that failed: with the error of the step.
///
/// # Errors
/// When something failed before the first step: the output, the log, a command of `--before` or the cleanup helper.
fn prepare_and_exec(plan: Plan, resources: &StartResources, termination_log: &TerminationLog) -> Result<Error> {
    let [pidfile, _] = &resources.pidfiles;
    let (destination, mut log) = server_output::open(plan.output)?;
    log.stderr_verbosity = StderrVerbosity::ErrorsAndSteps;
    let no_syslog = plan.syslog.is_none();
    log.quiet = plan.quiet;
    log.add_syslog(plan.syslog)?;
    log.keep_stderr_for_steps(plan.step_trace)?;
    destination.start_orphan_log_child()?;
    log.note(Priority::Info, Note::Starting, &[MessageArg::Name(&plan.quoted_command)]);
    let mut server = plan.server;
    let before = Commands::new(plan.commands_before, &mut server.env);
    let mut program = ExecImage::new(server);
    if !before.list.is_empty() {
        program.clear_env_slots();
        let (output, log_dir, cgroup) = (destination.server_fd(&log), destination.dir(), resources.cgroup.as_ref());
        let step_log = (plan.step_trace != StepTrace::Off).then_some(&log);
        let env = Some((&program.env, before.skipped_vars));
        let io = ChildIo {
            output,
            error: output,
            log_dir,
            cgroup,
            env_and_skipped_vars: env,
            step_log,
            ..ChildIo::default()
        };
        if let Some(file) = pidfile {
            // This process becomes the server. Its pid is written now, so that control commands find it while the
            // commands of `--before` run.
            file.write(process::own_pid()).map_err(|why| file.error(why))?;
        }
        run_all(&before, &io, plan.policy.ready_timeout).inspect_err(|error| log.record_failure(error))?;
        program.reserve_pid_slots();
    }
    // With the step CloexecDescriptors, the descriptors for the cleanup and the error are still open when a later step
    // fails. With CloseDescriptors they are not.
    let keeps = program.steps().iter().any(|step| matches!(step, Step::CloexecDescriptors));
    let idle = resources.is_empty() && destination.is_inherited() && no_syslog && termination_log.is_none();
    let helper = (!keeps && !idle).then(|| CleanupHelper::spawn(resources, &log, termination_log)).transpose()?;
    // Duplicate standard error, so that an error is printed to that of the caller, even if descriptor 2 is already the
    // server's output.
    let stderr = (keeps && !destination.is_inherited()).then(log::duplicate_stderr).transpose()?;
    let output = destination.server_fd(&log);
    let step_log = (plan.step_trace != StepTrace::Off).then_some(&log);
    let cleanup_pipes = helper.as_ref().map(CleanupHelper::pipes).unwrap_or_default();
    let (log_dir, pidfile, cgroup) = (destination.dir(), pidfile.as_ref(), resources.cgroup.as_ref());
    let io = ChildIo {
        output,
        error: output,
        log_dir,
        cleanup_helper_pipes: cleanup_pipes,
        pidfile,
        cgroup,
        step_log,
        ..ChildIo::default()
    };
    let error = apply_and_exec(&program, &io).error(&program);
    if let Some(helper) = helper {
        helper.undo_start_and_exit(&error);
    }
    if let Some(stderr) = stderr {
        let _ = fd::dup_onto(stderr.as_fd(), 2);
    }
    log.record_failure(&error);
    // Do not drop the output and the log: their descriptors may have been closed already, and the numbers reused.
    core::mem::forget((destination, log));
    Ok(error)
}
