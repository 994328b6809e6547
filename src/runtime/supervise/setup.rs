//! Sets up supervision (or, with `--background`, a start in the background), and releases everything when no further
//! run of the server follows.

use alloc::boxed::Box;

use super::config::{AfterStart, SupervisorConfig};
use super::crash_handler::CrashHandler;
use super::last_run::LastRun;
use super::prober::Prober;
use super::readiness::Readiness;
use super::service_manager::ServiceManager;
use super::supervisor::supervise;
use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::exit;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::plan::personality::{Personality, Session};
use crate::logic::plan::planner::{Plan, StepTrace};
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::logic::supervisor::event::Ending;
use crate::logic::supervisor::policy::{AtExit, Role};
use crate::runtime::output::server_output::{self, ServerOutput};
use crate::runtime::report::log::{Log, LogTarget, Priority, StderrVerbosity};
use crate::runtime::report::os_error::os_error;
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::resources::pidfile::Pidfile;
use crate::runtime::resources::sockets::{self, SocketFiles};
use crate::runtime::resources::start_resources::{StartResources, acquire_both_pidfiles};
use crate::runtime::resources::termination_log::TerminationLog;
use crate::runtime::start::before_commands::Commands;
use crate::runtime::start::daemonize::{Output, SessionRole, WaitingParent, daemonize};
use crate::runtime::start::deliver;
use crate::runtime::start::exec_image::ExecImage;
use crate::sys::poll::{self, SignalMask, Signals};
use crate::sys::{close_check, credentials, fd, process, terminal};

/// A supervisor that is ready to run: the locks are held, everything is open, and the server has not been started.
///
/// The functions that prepare it return before it runs, so that the stack pages that they used can be released.
pub struct PreparedSupervisor {
    config: SupervisorConfig,
    /// The pidfiles and sockets. The control group has been moved to `config`.
    resources: StartResources,
    /// The file of `--termination-log`.
    termination_log: TerminationLog,
}

/// Closes inherited descriptors, acquires the locks and sockets, and prepares the supervision.
///
/// # Errors
/// When one of these fails. What was acquired by then is released.
#[inline(never)]
pub fn set_up(plan: Plan) -> Result<Box<PreparedSupervisor>> {
    let sealed = block_signals_and_close_fds(&plan);
    // The termination log is opened after the inherited descriptors have been closed.
    let termination_log = TerminationLog::open(plan.termination_log);
    let mut caller = None;
    match sealed.and_then(|()| acquire_and_prepare(plan, &mut caller)) {
        Ok((mut config, resources)) => {
            config.waiting_parent = caller;
            Ok(Box::new(PreparedSupervisor { config, resources, termination_log }))
        }
        Err(error) => {
            termination_log.write_failure(&error, None);
            match caller {
                Some(caller) => caller.report_error_and_exit(&error),
                None => Err(error),
            }
        }
    }
}

/// Blocks the signals, reserves the descriptors of the sockets, and closes inherited descriptors if the server closes
/// them.
fn block_signals_and_close_fds(plan: &Plan) -> Result<()> {
    if plan.personality.session == Session::NewSessionWithTerminal {
        terminal::drop_stdin_terminal();
    }
    // From here on, each signal that is not in the set `unhandled_signals` stays pending until the event loop reads it.
    poll::set_mask(SignalMask::These(!plan.personality.unhandled_signals))
        .map_err(|why| os_error(Problem::BlockSignals, why))?;
    let numbers = sockets::reserve_fds(&plan.sockets)?;
    // If no step of the server's start closes descriptors, the server inherits those that vsrun has inherited.
    if plan.server.steps.iter().any(|step| matches!(step, Step::CloseDescriptors | Step::CloexecDescriptors)) {
        fd::close_above_stdio_except(numbers).map_err(|why| os_error(Problem::CloseInherited, why))?;
    }
    Ok(())
}

/// Acquires the pidfiles, the control group and the sockets, and prepares the supervision. Releases them on an error.
fn acquire_and_prepare(plan: Plan, caller: &mut Option<WaitingParent>) -> Result<(SupervisorConfig, StartResources)> {
    let mut resources =
        StartResources { sockets: SocketFiles::default(), cgroup: None, pidfiles: acquire_both_pidfiles(&plan)? };
    let bound = resources.acquire_cgroup_and_sockets(&plan.sockets, plan.cgroup.as_ref());
    match bound.and_then(|()| prepare_config(plan, &resources, caller)) {
        Ok(mut config) => {
            config.cgroup = resources.cgroup.take();
            Ok((config, resources))
        }
        Err(error) => {
            resources.remove_all();
            Err(error)
        }
    }
}

impl PreparedSupervisor {
    /// Starts the server and supervises it. Returns vsrun's exit status. Changes `at_exit` if a signal has requested a
    /// shutdown of the machine.
    ///
    /// # Errors
    /// When the first start fails, or is stopped while a parent waits for it. Everything that was acquired is released
    /// then.
    #[inline(never)]
    pub fn run(mut self: Box<Self>, at_exit: &mut Option<AtExit>) -> Result<u8> {
        let (ending, error, last) = supervise(&mut self.config, &mut self.resources);
        *at_exit = self.config.signal_table.requested_at_exit().or(*at_exit);
        self.release_and_finish(ending, error, last)
    }

    /// Records how the supervision ended, releases everything, and returns vsrun's exit status or the error of the
    /// start. Not inlined, so that the event loop's stack is short.
    #[inline(never)]
    fn release_and_finish(self: Box<Self>, ending: Ending, error: Option<Error>, last: LastRun) -> Result<u8> {
        let Self { config, mut resources, termination_log } = *self;
        // A parent that still waits for the start gets an error also if a stop was requested, because it would take
        // success for a started server.
        let error = error.filter(|_| matches!(ending, Ending::FirstStartFailed(_)) || config.waiting_parent.is_some());
        let error =
            error.map(|error| if ending.status() == exit::OK { error } else { error.with_status(ending.status()) });
        if let Some(error) = &error {
            config.log.record_failure(error);
        }
        config.record_remaining();
        config.record_ending(ending);
        if config.server_takes_foreground() {
            terminal::reclaim_foreground();
        }
        let wanted = !termination_log.is_none() && ending.status() != exit::OK;
        let tail = if wanted { config.output.open_log_from((0, 0)) } else { None };
        let SupervisorConfig {
            output: destination,
            log,
            signals,
            cgroup,
            waiting_parent: caller,
            start_failure_statuses,
            ..
        } = config;
        resources.cgroup = cgroup;
        resources.remove_all();
        destination.close_and_await_exit(log, &signals);
        match &error {
            _ if !wanted => {}
            Some(error) => termination_log.write_failure(error, tail),
            None => termination_log.write(format_args!("{}", last.describe(ending)), tail),
        }
        match (error, caller) {
            (None, _) => Ok(ending.status()),
            (Some(error), Some(caller)) => caller.report_error_and_exit(&error),
            (Some(error), None) => Err(error.convert_status_to(start_failure_statuses)),
        }
    }
}

/// Prepares everything except the locks and sockets. For a start in the background, forks, and sets `caller` to the
/// parent that waits for the outcome.
#[inline(never)]
fn prepare_config(
    mut plan: Plan,
    resources: &StartResources,
    caller: &mut Option<WaitingParent>,
) -> Result<SupervisorConfig> {
    resources.pidfiles.iter().flatten().try_for_each(Pidfile::reserve_disk_space)?;
    let (handler, notify, after_start) = match plan.supervision {
        Some(supervision) => (supervision.crash_handler, supervision.notify_socket_and_interval, AfterStart::Supervise),
        None => (None, None, AfterStart::ExitWhenReady),
    };
    let mut handler = handler.map(CrashHandler::new).transpose()?.map(Box::new);
    if let (Some(handler), Some(events)) =
        (&mut handler, resources.cgroup.as_ref().and_then(Cgroup::open_memory_events))
    {
        handler.set_oom_kill_counter(events);
    }
    let (mut destination, mut log) = server_output::open(plan.output)?;
    log.add_syslog(plan.syslog)?;
    if plan.background {
        let role = if after_start == AfterStart::Supervise { SessionRole::Orphan } else { SessionRole::Leader };
        let output = if destination.is_inherited() { Output::Keep } else { Output::Null };
        daemonize(role, output, plan.start_failure_statuses, caller)?;
    }
    if !plan.keeps_stdin {
        // Makes /dev/null standard input, once and not for each server process. That also closes a pipe from the
        // caller, whose writer would otherwise block when the pipe is full.
        close_check::redirect_stdin_to_null().map_err(|why| os_error(Problem::OpenStdio, why))?;
    }
    log.keep_stderr_for_steps(plan.step_trace)?;
    log.reopen_terminal();
    log.quiet = plan.quiet;
    if let [_, Some(manager)] = &resources.pidfiles {
        manager.write(process::own_pid()).map_err(|why| manager.error(why))?;
    }
    let signals = Signals::open().map_err(|why| os_error(Problem::OpenSignalfd, why))?;
    // vsrun becomes a subreaper also if it exits when the server is ready. Only a subreaper finds the processes of a
    // server that puts itself into the background, which the error of such a start reports.
    process::set_subreaper();
    apply_tool_personality(plan.personality, &mut log);
    start_output_helper(&plan.server, after_start, &mut destination, &mut log)?;
    let user = plan.sockets.unix_socket_owner.map_or_else(credentials::effective_uid, |(uid, _)| uid);
    let readiness = Readiness::open(plan.ready, user, &mut plan.server.env)?;
    let before = Commands::new(plan.commands_before, &mut plan.server.env);

    // `source` is never freed: the server's program and its probes share it until vsrun exits.
    let source = plan.env_renewal.map(|source| &*Box::leak(Box::new(source)));
    let prober = plan.probes.map(|probes| Prober::new(probes, source));
    Ok(SupervisorConfig {
        policy: plan.policy,
        program: ExecImage { env_source: source, ..ExecImage::new(plan.server) },
        before_commands: before,
        quoted_command_line: plan.quoted_command,
        crash_handler: handler,
        output: destination,
        log,
        traces_steps: plan.step_trace != StepTrace::Off,
        cgroup: None,
        signals,
        signal_table: plan.signal_table,
        readiness,
        prober,
        service_manager: notify.and_then(|(address, ping)| ServiceManager::new(&address, ping)),
        waiting_parent: None,
        start_failure_statuses: plan.start_failure_statuses,
        after_start,
        leaves_cwd: plan.leaves_cwd,
        personality: plan.personality,
    })
}

/// Starts the logger or the rotator for the server's output, if an option asks for one.
fn start_output_helper(
    server: &Program,
    after_start: AfterStart,
    destination: &mut ServerOutput,
    log: &mut Log,
) -> Result<()> {
    if after_start == AfterStart::ExitWhenReady {
        log.stderr_verbosity = StderrVerbosity::ErrorsAndSteps;
        return destination.start_orphan_log_child();
    }
    if deliver::setuid_may_block_signals(&server.steps, &server.exec_paths) {
        log.record(Priority::Warning, format_args!("{}", Reason::Unreachable));
    }
    destination.start_log_child()
}

/// If vsrun is called by the name of another tool, applies that tool's settings to vsrun's own process and log.
fn apply_tool_personality(personality: &Personality, log: &mut Log) {
    if let Some(signal) = personality.parent_death_signal {
        process::set_parent_death_signal(signal.number());
    }
    if personality.records_only_errors {
        log.stderr_verbosity = StderrVerbosity::ErrorsAndSteps;
    }
}

impl SupervisorConfig {
    /// Records how and with which status vsrun exits.
    fn record_ending(&self, ending: Ending) {
        let status = ending.status();
        let why = match ending {
            Ending::ServerExited(_) => Reason::ServerExited,
            Ending::GaveUp(_) => {
                if let Some(limit) = self.policy.limit {
                    let within = MessageArg::Duration(SpanDisplay(limit.within));
                    self.log.note(Priority::Err, Note::GivingUp, &[MessageArg::Count(limit.restarts.into()), within]);
                }
                Reason::TooManyRestarts
            }
            Ending::Stopped => Reason::OnRequest,
            // If the log is standard error, the error message that vsrun prints there is enough.
            Ending::FirstStartFailed(_) if matches!(self.log.target, LogTarget::Stderr) => return,
            Ending::FirstStartFailed(_) => Reason::StartFailed,
        };
        let priority = match ending {
            _ if status == exit::OK => Priority::Info,
            // As an init, vsrun exits with the server's status, so no status is an error of vsrun.
            Ending::ServerExited(_) if self.policy.role != Role::Manager => Priority::Notice,
            Ending::ServerExited(_) | Ending::Stopped | Ending::GaveUp(_) | Ending::FirstStartFailed(_) => {
                Priority::Err
            }
        };
        self.log.note(priority, Note::Shutdown, &[MessageArg::Reason(why), MessageArg::Number(status.into())]);
    }
}
