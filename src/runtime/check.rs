//! `--check`: reports everything that would make a start fail, and starts, creates and changes nothing.
//!
//! What vsrun itself would do at a start is only checked, with vsrun's own rights. What the server's process would do
//! before its exec is really done: a child applies the steps of the plan, examines the program at the end, and exits.

use core::fmt::Display;

use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::Escaped;
use crate::logic::cli::options::Options;
use crate::logic::plan::planner::{Output, Plan, StepTrace, Supervision};
use crate::logic::plan::program::Program;
use crate::logic::plan::step::{KeepPermitted, Step};
use crate::logic::supervisor::probe::Probe;
use crate::runtime::host::env_dir;
use crate::runtime::output::{logdir, server_output};
use crate::runtime::report::log::{self, Log, LogTarget};
use crate::runtime::resources::pidfile::{OpenPurpose, Pidfile};
use crate::runtime::resources::socket_file::InstanceExclusivity;
use crate::runtime::resources::sockets;
use crate::runtime::resources::start_resources;
use crate::runtime::resources::{cgroup, missing_capabilities, termination_log, walk};
use crate::runtime::run::make_plan;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::deliver;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::{ExecMode, FORK_FAILED_INDEX, StartOutcome, StepFailure, StepSet};
use crate::runtime::start::spawn::spawn;
use crate::sys::{caps, dir, poll, process, terminal};

/// Prints every reason why a start would fail, one per line, to standard output, and exits.
pub fn check_start(options: &mut Options) -> ! {
    let log = Log::new(LogTarget::Stderr);
    let mut findings = Findings { status: exit::OK, server_steps_reported: false, debug_log: None };
    poll::ignore_write_error_signals();
    poll::reset_dispositions(0);
    if let Some(dir) = options.env_dir
        && !findings.report_unless_ok("", env_dir::read(dir, &mut Vec::new()))
    {
        options.env_dir = None;
        print_line(&Reason::Unchecked);
    }
    let plan = make_plan_for_check(&mut findings, options);
    findings.debug_log = (plan.step_trace != StepTrace::Off).then_some(&log);
    check_plan(&mut findings, options, plan);
    process::exit(findings.status)
}

/// Makes the plan. If that fails because of `--user`, reports it and makes the plan without that option.
fn make_plan_for_check(findings: &mut Findings<'_>, options: &mut Options) -> Plan {
    let mut reported = String::new();
    loop {
        match make_plan(options) {
            Ok(plan) => return plan,
            // The error is the same without `--user`, so that option was not the reason.
            Err(error) if reported == error.text() => process::exit(findings.status),
            Err(error) => {
                findings.add("", &error);
                reported = error.text();
                print_line(&Reason::Unchecked);
                if options.user.take().is_none() {
                    process::exit(findings.status);
                }
            }
        }
    }
}

/// Checks everything that the plan needs.
fn check_plan(findings: &mut Findings<'_>, options: &Options, plan: Plan) {
    findings.report_unless_ok("", walk::verify_root_trusted(options.root));
    if let Some(group) = &plan.cgroup {
        findings.report_unless_ok("", cgroup::check(group));
    }
    let mut exclusivity = InstanceExclusivity::Unknown;
    findings.report_unless_ok("", sockets::reserve_fds(&plan.sockets).map(drop));
    match start_resources::pidfile_paths(&plan) {
        Err(error) => findings.add("", &error),
        Ok(pidfiles) => {
            for path in pidfiles.into_iter().flatten() {
                findings.report_unless_ok("", Pidfile::acquire(path, OpenPurpose::Check).map(drop));
                exclusivity = InstanceExclusivity::Proven;
            }
        }
    }
    sockets::check(&plan.sockets, exclusivity, &mut |error| findings.add("", &error));
    warn_of_weak_protection(&plan);
    if let Some(path) = plan.termination_log
        && let Err(error) = termination_log::check_writable(path)
    {
        warn(&error);
    }
    missing_capabilities::check(&plan, &mut |error| findings.add("", &error));
    let is_supervised = plan.supervision.is_some();
    if let Some(Supervision { crash_handler: Some(handler), .. }) = plan.supervision {
        findings.dry_run("handler: ", handler, b"");
    }
    let mut made = &b""[..];
    match plan.output {
        Output::Inherit => {}
        Output::Files { dir, log_policy, .. } => {
            findings.report_unless_ok("", logdir::check(dir, log_policy.output_owner));
            if dir::stat_path(dir).is_err() {
                made = dir.to_bytes().strip_prefix(b"./").unwrap_or(dir.to_bytes());
            }
        }
        Output::Logger(logger, _) => {
            if findings.report_unless_ok("", server_output::verify_logger(&logger)) {
                findings.dry_run("logger: ", logger, b"");
            }
        }
    }
    if plan.syslog.is_some() && !dir::stat_path(c"/dev/log").is_ok_and(|about| about.socket) {
        warn(&Reason::NoSyslog);
    }
    if is_supervised && deliver::setuid_may_block_signals(&plan.server.steps, &plan.server.exec_paths) {
        warn(&Reason::Unreachable);
    }
    for probe in plan.probes.into_iter().flat_map(|probes| [probes.ready, probes.health]).flatten() {
        if let Probe::Exec(_) = probe.probe {
            findings.dry_run("probe: ", probe.program, made);
        }
    }
    findings.dry_run("", plan.server, made);
    findings.server_steps_reported = true;
    for command in plan.commands_before {
        let whose = format!("--before '{}': ", Escaped(command.text.to_bytes()));
        findings.dry_run(&whose, command.program, made);
    }
}

/// Warns if a protection against the server or its user does not work on this system. That does not make a start fail.
fn warn_of_weak_protection(plan: &Plan) {
    if plan.makes_terminal_write_only && ![1, 2].map(terminal::ensure_terminal_write_only).iter().all(|is| *is) {
        warn(&Reason::ReadableTerminal);
    }
    let handler = plan.supervision.as_ref().and_then(|supervision| supervision.crash_handler.as_ref());
    let logger = if let Output::Logger(logger, _) = &plan.output { Some(logger) } else { None };
    let mut steps = handler.into_iter().chain(logger).flat_map(|program| &program.steps);
    if let Some(Step::DropCapabilities(KeepPermitted::OneHarmlessNotIn(excluded))) =
        steps.find(|step| matches!(step, Step::DropCapabilities(_)))
        && caps::find_harmless(*excluded).is_none()
    {
        warn(&Reason::NoSpareCapability);
    }
}

/// Prints a warning: something that does not make a start fail.
fn warn(what: &dyn Display) {
    print_line(&format_args!("warning: {what}"));
}

fn print_line(text: &dyn Display) {
    if let Err(error) = log::print_to_stdout(format!("{text}\n").as_bytes()) {
        process::exit(log::print_error(&error));
    }
}

/// Collects and prints what the checks have found.
struct Findings<'a> {
    status: u8,
    /// True if the failed steps of the server have been printed. The other programs share these steps, so their
    /// failures are not printed again.
    server_steps_reported: bool,
    /// The log in which each step is recorded. None if `--debug` is not given.
    debug_log: Option<&'a Log>,
}

impl Findings<'_> {
    /// Prints a finding that begins with `whose`, the name of a program. A usage error is not a finding: it ends the
    /// check.
    fn add(&mut self, whose: &str, error: &Error) {
        if error.exit_status == exit::USAGE {
            process::exit(log::print_error(error));
        }
        // An error with status 0 only says that something could not be checked, so it does not change the exit status.
        if error.exit_status != exit::OK {
            self.status = exit::VSRUN_FAILED;
        }
        print_line(&format_args!("{whose}{error}"));
    }

    /// Adds the error of a failed check to the findings. Returns true if the check succeeded.
    fn report_unless_ok(&mut self, whose: &str, result: Result<()>) -> bool {
        result.map_err(|error| self.add(whose, &error)).is_ok()
    }

    /// Applies the steps of a program in a child, and reports the one that fails. Then a new child skips that step and
    /// applies the others, unless they depend on it. `logdir_to_create` is the path of the logdir that a start would
    /// create, so that it is not reported as missing.
    fn dry_run(&mut self, whose: &str, program: Box<Program>, logdir_to_create: &[u8]) {
        // A program with an absolute path can be found although the working directory cannot be entered.
        let absolute = program.exec_paths.iter().all(|path| path.to_bytes().starts_with(b"/"));
        let program = ExecImage::new(program);
        let mut skipped_steps = StepSet::default();
        loop {
            let io =
                ChildIo { mode: ExecMode::DryRun { skipped_steps }, step_log: self.debug_log, ..ChildIo::default() };
            let start = match spawn(&program, &io) {
                Ok(launched) => {
                    let start = StartOutcome::await_end_or_kill(&launched.report, launched.pid, &program);
                    let _ = process::reap(launched.pid);
                    start
                }
                Err(why) => StartOutcome::Failed(StepFailure::new(usize::from(FORK_FAILED_INDEX), why)),
            };
            let failure = match start {
                StartOutcome::Done | StartOutcome::WithoutPidfile => return,
                StartOutcome::Killed => {
                    return self.add(whose, &Error::new(Problem::Killed));
                }
                StartOutcome::Failed(failure) => failure,
            };
            let step = failure.step(&program);
            failure.add_to(&mut skipped_steps);
            if let Some(Step::EnterLogDir(dir)) = step
                && !logdir_to_create.is_empty()
                && dir.to_bytes().ends_with(logdir_to_create)
            {
                continue;
            }
            let reported = self.server_steps_reported && !matches!(step, Some(Step::Exec(_)));
            if !reported {
                self.add(whose, &failure.error(&program));
            }
            match step {
                Some(Step::Exec(_)) => return,
                Some(Step::Chdir(_) | Step::EnterLogDir(_) | Step::EnterCallersPathIfReplaced(_)) if absolute => {}
                Some(
                    Step::Chroot(_)
                    | Step::Chdir(_)
                    | Step::EnterLogDir(_)
                    | Step::ReturnToCallersDir(..)
                    | Step::EnterCallersPathIfReplaced(_)
                    | Step::CloseDescriptors
                    | Step::Groups(_)
                    | Step::Gid(_)
                    | Step::Uid(..)
                    | Step::DropCapabilities(_)
                    | Step::VerifyCredentials { .. }
                    | Step::Capabilities(_)
                    | Step::CreateLandlockRuleset(_)
                    | Step::LandlockRestrictSelf,
                )
                | None => {
                    if !reported {
                        print_line(&Reason::Unchecked);
                    }
                    return;
                }
                Some(_) => {}
            }
        }
    }
}
