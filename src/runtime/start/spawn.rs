//! Starts a program: applies its steps in their order, and reports a failed step to the parent.

use crate::runtime::start::child_io::{ChildIo, ExecState, StartKind, move_off_ready_number};
use crate::sys::exec;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::exec_image::{ExecImage, SHELL_PATH};
use super::outcome::{EXEC_IS_NEXT, EXEC_WITHOUT_PIDFILE, ExecMode, FORK_FAILED_INDEX, StepFailure};
use super::{close_inherited, diagnose, landlock_steps};
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::plan::step::{KeepPermitted, Step};
use crate::runtime::report::log::{Log, LogTarget, Priority};
use crate::runtime::resources::cgroup::Cgroup;
use crate::runtime::resources::walk;
use crate::sys::caps::PermittedSetAction;
use crate::sys::clone::ChildMemory;
use crate::sys::poll::SignalMask;
use crate::sys::process::Pid;
use crate::sys::{self, Errno, caps, clone, close_check, credentials, fd, keyring, limits, poll, process, terminal};

/// A child that was started to run a program.
pub struct Spawned {
    /// The pid of the child.
    pub pid: Pid,
    /// The read end of the pipe in which the child announces its exec and reports a failed step, or a network probe its
    /// failure. A successful exec closes the write end.
    pub report: OwnedFd,
}

/// Starts a program as a child.
///
/// # Errors
/// When the kernel cannot create a process, or no descriptor is available.
#[inline(never)]
pub fn spawn(program: &ExecImage, io: &ChildIo<'_>) -> sys::Result<Spawned> {
    // A child in shared memory is killed by SIGALRM when it takes too long. If vsrun was started with that signal
    // blocked or ignored, the child gets memory of its own.
    let alarmed = program.personality.signals.is_blocked_or_ignored(Signal::ALRM);
    let is_own = io.forbids_vfork || alarmed || program.steps.iter().any(Step::needs_own_memory);
    let mut memory = if is_own { ChildMemory::Own } else { ChildMemory::Shared };
    loop {
        let (report, write) = fd::pipe()?;
        if let Some(pid) = clone::start_with_exec_timeout(memory, &|| child_main(program, io, &write))? {
            return Ok(Spawned { pid, report });
        }
        // The child exceeded the one-second vfork limit; retry with fork, which does not block the supervisor.
        memory = ChildMemory::Own;
    }
}

/// Runs in the child: executes the program, or reports the failed step and exits.
#[inline(never)]
fn child_main(program: &ExecImage, io: &ChildIo<'_>, report: &OwnedFd) -> ! {
    match move_off_ready_number(report.as_fd(), io) {
        Ok(moved) => {
            let report = moved.as_ref().unwrap_or(report).as_fd();
            report_and_exit(program, &apply_and_exec(program, &ChildIo { report: Some(report), ..*io }), report)
        }
        Err(why) => report_and_exit(program, &StepFailure::new(usize::from(FORK_FAILED_INDEX), why), report.as_fd()),
    }
}

/// Reports the failed step to the parent, and exits.
pub fn report_and_exit(program: &ExecImage, failure: &StepFailure, report: BorrowedFd<'_>) -> ! {
    failure.send(report);
    process::exit(failure.exit_status(program))
}

/// Applies the steps and executes the program, in this process. Returns only if a step failed.
#[inline(never)]
pub fn apply_and_exec(program: &ExecImage, io: &ChildIo<'_>) -> StepFailure {
    let mut state = ExecState { report_byte: EXEC_IS_NEXT, ..ExecState::default() };
    let (mut log, stderr) = (io.step_log, Log::new(LogTarget::Stderr));
    for (step_index, step) in program.steps.iter().enumerate() {
        if let ExecMode::DryRun { skipped_steps } = io.mode
            && (skipped_steps.contains(step_index)
                || matches!(step, Step::TakeForeground | Step::SetControllingTerminal | Step::EnterCgroup(_)))
        {
            // A dry run must not take the terminal, and the server's control group does not exist yet.
            continue;
        }
        let record_step = |log: &Log, step| log.record(Priority::Debug, format_args!("{}: {step}", process::own_pid()));
        if let Some(open) = log {
            record_step(open, step);
            if matches!(step, Step::CloseDescriptors) {
                log = open.traces_to_server_stderr().then_some(&stderr);
                if log.is_none() {
                    // `CloseDescriptors` closes the log, so the steps after it are recorded in advance.
                    program.steps.iter().skip(step_index + 1).for_each(|step| record_step(open, step));
                }
            }
        }
        if let Err(why) = apply_step(step, program, io, &mut state) {
            poll::ignore_write_error_signals();
            let mut failure = StepFailure::new(step_index, why);
            failure.cause = diagnose::diagnose(step, program, why, &mut failure.cause_path);
            return failure;
        }
    }
    // Not reached: the last step is an exec, which returns only if it fails.
    StepFailure::new(program.steps.len(), Errno::INVAL)
}

/// Whether the permitted capabilities are kept when root becomes a user. A later step drops those that the server does
/// not keep.
fn permitted_after_setuid(rights: KeepPermitted) -> PermittedSetAction {
    if rights == KeepPermitted::Nothing { PermittedSetAction::Drop } else { PermittedSetAction::Keep }
}

/// Drops the process's capabilities, except those that `rights` keeps.
fn drop_capabilities(rights: KeepPermitted) -> sys::Result<()> {
    match rights {
        KeepPermitted::OneHarmlessNotIn(excluded) => caps::keep_one_harmless(excluded),
        KeepPermitted::All => caps::drop_capabilities(PermittedSetAction::Keep),
        KeepPermitted::Nothing => caps::drop_capabilities(PermittedSetAction::Drop),
    }
}

/// Applies one step.
#[inline(never)]
fn apply_step(step: &Step, program: &ExecImage, io: &ChildIo<'_>, state: &mut ExecState) -> sys::Result<()> {
    match step {
        Step::EnterCgroup(_) => io.cgroup.map_or(Ok(()), Cgroup::enter),
        Step::UnblockSignals => poll::set_mask(SignalMask::These(program.personality.signals.blocked)),
        Step::Setsid => process::setsid(),
        Step::SetControllingTerminal => {
            terminal::make_stdin_controlling();
            Ok(())
        }
        Step::BlockSignals => poll::set_mask(SignalMask::All),
        Step::TakeForeground => terminal::new_foreground_group(),
        Step::NewBackgroundGroup => terminal::new_process_group(),
        Step::DropControllingTerminal => terminal::drop_controlling_terminal(),
        Step::WritePidAndKeepLock(_) => match io.pidfile {
            Some(pidfile) => {
                pidfile.write(process::own_pid())?;
                pidfile.share_lock().map(|lock_fd| state.pidfile_lock_fd = Some(lock_fd))
            }
            None => Ok(()),
        },
        Step::WriteManagedPid(_) => match io.pidfile.map_or(Ok(()), |pidfile| pidfile.write(process::own_pid())) {
            Err(_) if io.start_kind == StartKind::Later => {
                state.report_byte = EXEC_WITHOUT_PIDFILE;
                Ok(())
            }
            result => result,
        },
        Step::Nice(value) => limits::set_nice(*value),
        Step::OomScoreAdj(value) => limits::set_oom_score_adj(value.to_bytes()),
        Step::Limit(limit) => limits::set_limit(limit.resource, limit.soft, limit.hard),
        Step::RedirectInput => {
            let opened = io.input.map_or_else(close_check::redirect_stdin_to_null, close_check::redirect_stdin);
            opened.map(|opened| state.close_check_fd = Some(opened))
        }
        Step::RedirectOutput => [(io.output, 1), (io.error, 2)]
            .into_iter()
            .try_for_each(|(file, number)| file.map_or(Ok(()), |file| fd::dup_onto(file, number))),
        Step::PassSockets(count) => {
            state.socket_count = *count;
            program.set_pid("LISTEN_PID", process::own_pid())
        }
        Step::SetWatchdogPid => program.set_pid("WATCHDOG_PID", process::own_pid()),
        Step::EnterLogDir(dir) => io.log_dir.map_or_else(|| credentials::change_dir(dir), credentials::fchdir),
        Step::ReturnToCallersDir(dir, which) => {
            close_inherited::return_to_callers_dir(dir, *which).map(|is| state.callers_dir_replaced = is)
        }
        Step::EnterCallersPathIfReplaced(dir) if state.callers_dir_replaced => credentials::change_dir(dir),
        Step::EnterCallersPathIfReplaced(_) => Ok(()),
        Step::Chroot(dir) => walk::change_root(dir),
        Step::Chdir(dir) => credentials::change_dir(dir),
        Step::VerifyCwdInsideRoot(_) => credentials::verify_cwd_inside_root(),
        Step::JoinNewKeyring => keyring::join_new_keyring(),
        Step::Groups(groups) => credentials::set_groups(groups),
        Step::Gid(gid) => credentials::set_gid(*gid),
        Step::Uid(uid, rights) => credentials::set_uid(*uid, permitted_after_setuid(*rights)),
        Step::DropCapabilities(rights) => drop_capabilities(*rights),
        Step::VerifyCredentials { uid, gid, groups } => credentials::verify_ids_and_groups(*uid, *gid, groups),
        Step::Capabilities(chosen) => caps::keep_only(chosen.set),
        Step::NoNewPrivileges => caps::forbid_new_privileges(),
        Step::Umask(mask) => process::set_umask_verified(*mask),
        Step::CloseDescriptors => close_inherited::close_descriptors(program, io, state),
        Step::CloexecDescriptors => close_inherited::cloexec_descriptors(state),
        Step::CreateLandlockRuleset(_)
        | Step::AddLandlockRule(..)
        | Step::LandlockRestrictSelf
        | Step::VerifyLandlockCwd(_) => landlock_steps::apply_landlock_step(step, &mut state.landlock_ruleset, io.mode),
        Step::PassReadyPipe(_) => io.ready_pipe_and_number.map_or(Ok(()), close_inherited::move_ready_pipe),
        Step::RunLogRotator(_) | Step::RunNetworkProbe | Step::Exec(_) => {
            if let Some(report) = io.report.filter(|_| !matches!(step, Step::RunNetworkProbe)) {
                fd::write_all(report, &[state.report_byte])?;
            }
            Err(try_exec(step, program, io))
        }
    }
}

/// Executes the first of the program's paths that can be executed, as execvp(3) does: skips missing and forbidden
/// files, and returns any other error. A dry run only checks the paths and exits. The rotator and a network probe do
/// not exec: they call a function that does not return.
#[inline(never)]
fn try_exec(step: &Step, program: &ExecImage, io: &ChildIo<'_>) -> Errno {
    if let (Step::RunLogRotator(policy), Some(run)) = (step, io.rotator_main) {
        run(*policy);
    }
    // A network probe writes why it failed into `report`. Other programs write a byte there before their exec, which a
    // probe does not do.
    if let (Step::RunNetworkProbe, Some(probe), Some(report)) = (step, io.network_probe, io.report) {
        probe(report);
    }
    poll::restore_dispositions(program.personality.signals.ignored);
    let mut worst = Errno::NOENT;
    for (at, path) in program.paths.iter().enumerate() {
        let why = match io.mode {
            ExecMode::Exec => {
                let (env, skipped) = io.env_and_skipped_vars.unwrap_or((&program.env, 0));
                match (exec::exec(path, &program.argv, env, skipped), program.shell_fallback_argvs.get(at)) {
                    (Errno::NOEXEC, Some(shell)) => exec::exec(SHELL_PATH, shell, env, skipped),
                    (why, _) => why,
                }
            }
            ExecMode::DryRun { .. } => match diagnose::check_exec(path) {
                Ok(()) => process::exit(exit::OK),
                Err(why) => why,
            },
        };
        match why {
            Errno::NOENT | Errno::NOTDIR if program.paths.len() > 1 => {}
            Errno::ACCESS => worst = why,
            _ => return why,
        }
    }
    worst
}
