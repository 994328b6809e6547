//! Makes the steps between fork and exec of a program. The security depends on their order.

use crate::logic::plan::socket_activation;
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::account::Identity;
use super::command_path::{absolute, paths_to_try};
use super::env::Env;
use super::expand;
use super::host::Host;
use super::host::StdinTerminal::{self, NotControlling};
use super::personality::{AccountRules, Personality, Session, VSRUN};
use super::step::{KeepPermitted, Step};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Result;
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::Options;
use crate::logic::supervisor::notify::is_service_manager_var;
use crate::logic::supervisor::readiness::ReadyCondition;

/// A program to execute, and the steps before its exec.
#[derive(Debug)]
pub struct Program {
    /// The steps, in order. The last one is the exec, or the work of a process that executes nothing.
    pub steps: Vec<Step>,
    /// The paths to try for the exec, in order.
    pub exec_paths: Vec<StaticCStr>,
    /// The arguments, with the program's own name first.
    pub argv: Vec<StaticCStr>,
    /// The environment of the program.
    pub env: Env,
    /// What differs because vsrun was called by another tool's name.
    pub personality: &'static Personality,
}

/// The server's environment before files and `--env` set variables in it.
pub fn base_env(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Env {
    let nothing = Env::default();
    let inherited = if options.has(Id::ClearEnv) { &nothing } else { &host.env };
    let mut env = match identity {
        Some(identity) if options.personality.account_rules != AccountRules::Vsrun => {
            let mut env = inherited.clone();
            env.set(b"HOME", &identity.home);
            env
        }
        identity => inherited.with_login_vars(identity),
    };
    if options.reports_to_service_manager() {
        // Only vsrun sends messages to its service manager, so the server does not get vsrun's NOTIFY_SOCKET.
        env.remove(&is_service_manager_var);
    }
    env
}

/// The server's environment, without the variables that are set at each start.
fn server_env(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Env {
    let mut env = base_env(options, host, identity);
    for entries in [&host.env_entries_from_files, &options.env] {
        for entry in entries {
            env.apply_entry(entry);
        }
    }
    if let Some(span) = options.watchdog {
        // The server's process sets WATCHDOG_PID to its own pid, because no other process knows that pid in time.
        env.remove(&|name| name == b"WATCHDOG_PID");
        env.set(b"WATCHDOG_USEC", format!("{}", span.0.saturating_mul(1000)).as_bytes());
    }
    host.inherited.set_listen_vars(&options.listen, &mut env);
    env
}

/// The server's program, with all steps of its process.
///
/// # Errors
/// If a path cannot be made absolute, a variable of `--expand` is unset, or Landlock is missing or too old.
pub fn server(
    options: &Options,
    host: &Host<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Box<Program>> {
    let env = server_env(options, host, identity);
    let mut argv = options.command.clone();
    if options.has(Id::Expand) {
        expand::expand(&mut argv, &env)?;
    }
    let command = argv.first().copied().unwrap_or_default();
    if let (Some(name), Some(first)) = (options.argv0, argv.first_mut()) {
        *first = name;
    }

    let mut steps: Vec<Step> = options.cgroup.map(Step::EnterCgroup).into_iter().collect();
    steps.extend(session_steps(options, host));
    if let Some(path) = options.pidfile {
        steps.push(if options.is_supervised() { Step::WriteManagedPid(path) } else { Step::WritePidAndKeepLock(path) });
    }
    steps.extend((!options.has(Id::Stdin)).then_some(Step::RedirectInput));
    push_attribute_and_io_steps(&mut steps, options, host);
    if let (Some((dir, _)), None, None) = (options.logdir, options.work_dir, options.root) {
        steps.push(Step::EnterLogDir(dir));
    }
    let is_late = closes_fds_at_exec(options, change);
    if !is_late {
        push_descriptor_steps(&mut steps, Step::CloseDescriptors, options);
    }
    let inside = push_chroot_and_return_chdir(&mut steps, options, host)?;
    let keep = if options.caps.is_some() { KeepPermitted::All } else { KeepPermitted::Nothing };
    push_privilege_steps(&mut steps, identity, change, keep);
    if let Some(caps) = options.caps {
        steps.push(Step::Capabilities(caps));
    }
    let confined = options.confine.steps(host.landlock, options.work_dir)?;
    if options.has(Id::NoNewPrivs) || !confined.is_empty() {
        steps.push(Step::NoNewPrivileges);
    }
    if let Some(mask) = options.umask {
        steps.push(Step::Umask(mask));
    }
    match inside {
        Some(dir @ Step::Chdir(path)) if options.root.is_some() => {
            steps.extend_from_slice(&[dir, Step::VerifyCwdInsideRoot(path)])
        }
        Some(step) => steps.push(step),
        None => {}
    }
    if is_late {
        push_descriptor_steps(&mut steps, Step::CloexecDescriptors, options);
    }
    steps.extend(confined);
    unblock_and_push_last(&mut steps, Step::Exec(command));
    let paths = paths_to_try(command, env.get(b"PATH"));
    Ok(Box::new(Program { steps, exec_paths: paths, argv, env, personality: options.personality }))
}

/// Adds the steps for attributes, output and sockets. Limits are set after the other attributes, which a limit on
/// descriptors or file sizes could make fail.
fn push_attribute_and_io_steps(steps: &mut Vec<Step>, options: &Options, host: &Host<'_>) {
    for is_limit in [false, true] {
        steps.extend(options.attribute_steps.iter().filter(|step| matches!(step, Step::Limit(_)) == is_limit));
    }
    if options.syslog.is_some() || options.logdir.is_some() {
        steps.push(Step::RedirectOutput);
    }
    let sockets = socket_activation::total_socket_count(host.inherited.count, &options.listen);
    if sockets > 0 || host.must_update_listen_pid {
        steps.push(Step::PassSockets(sockets));
    }
    if options.watchdog.is_some() {
        steps.push(Step::SetWatchdogPid);
    }
}

/// True if the descriptors are closed only by the exec, and not before the root and the user are changed.
///
/// With another root or user, the descriptors must be closed first: a path, including the one for execve(2), may lead
/// through /proc/self/fd to a file that is not meant for the server. Otherwise vsrun needs the descriptors until the
/// exec, to undo a failed start. (A cleanup helper could do that, but if vsrun is PID 1, the server would have a child
/// that it did not start.) With `--cgroup` a cleanup helper is needed: a process cannot remove the control group that
/// it is in.
fn closes_fds_at_exec(options: &Options, change: Option<&Identity>) -> bool {
    let keeps_all = options.root.is_none() && options.cgroup.is_none() && change.is_none();
    keeps_all && !options.is_supervised() && !options.background
}

fn push_descriptor_steps(steps: &mut Vec<Step>, how: Step, options: &Options) {
    if options.passes_inherited_fds() {
        return;
    }
    steps.push(how);
    if let Some(ReadyCondition::NewlineOnFd(number)) = options.ready {
        steps.push(Step::PassReadyPipe(number));
    }
}

/// The steps that unblock the signals and put the server into its session, process group and terminal.
#[inline(never)]
fn session_steps(options: &Options, host: &Host<'_>) -> Vec<Step> {
    // A server of another user never gets the terminal, from which it could read what is typed.
    let terminal = if options.has(Id::Stdin) && options.user.is_none() { host.terminal } else { NotControlling };
    let stays = options.is_supervised();
    if !stays || options.user.is_none() {
        match (options.personality.session, terminal) {
            (Session::OwnGroup, NotControlling) => return vec![Step::UnblockSignals, Step::NewBackgroundGroup],
            (Session::NewSessionWithTerminal, _) => {
                return vec![Step::UnblockSignals, Step::Setsid, Step::SetControllingTerminal];
            }
            (Session::SameAsVsrun, _) => return vec![Step::UnblockSignals],
            (Session::FromOptions | Session::OwnGroup, _) => {}
        }
    }
    let steps: &[Step] = match (stays, options.background, terminal) {
        // To take the foreground, the process must still have SIGTTOU blocked.
        (true, false, StdinTerminal::Foreground) => &[Step::TakeForeground, Step::UnblockSignals],
        // The server becomes a background job of the shell: the kernel stops it if it reads from the terminal.
        (true, false, StdinTerminal::Background) => &[Step::UnblockSignals, Step::NewBackgroundGroup],
        (true, _, _) => &[Step::UnblockSignals, Step::Setsid],
        (false, false, _) if options.user.is_some() => &[Step::UnblockSignals, Step::DropControllingTerminal],
        // With `--background`, vsrun is in a session without a leader, and so has no terminal.
        (false, _, _) => &[Step::UnblockSignals],
    };
    steps.to_vec()
}

/// Adds the steps before a change of user: to a new root, or back to the caller's directory. Returns the step for the
/// working directory. It comes after the change of user, so that it fails if that user may not search the directory.
fn push_chroot_and_return_chdir(steps: &mut Vec<Step>, options: &Options, host: &Host<'_>) -> Result<Option<Step>> {
    let moved = leaves_callers_dir(options, host);
    let full = |dir| if moved { absolute(dir, host) } else { Ok(dir) };
    if let Some(dir) = options.root {
        steps.extend_from_slice(&[Step::Chroot(full(dir)?), Step::Chdir(c"/")]);
    }
    Ok(match (options.work_dir, options.root, options.logdir) {
        (Some(dir), Some(_), _) => Some(Step::Chdir(dir)),
        (Some(dir), None, _) => Some(Step::Chdir(full(dir)?)),
        (None, None, None) if moved => {
            let dir = full(c".")?;
            steps.push(Step::ReturnToCallersDir(dir, host.cwd_dev_and_inode));
            Some(Step::EnterCallersPathIfReplaced(dir))
        }
        (None, _, _) => None,
    })
}

/// True if the supervisor changes to `/` when the first server is ready, so that it keeps no mount busy. In the
/// foreground it stays in a current directory that has no path.
pub fn leaves_callers_dir(options: &Options, host: &Host<'_>) -> bool {
    options.is_supervised() && (options.background || host.cwd.is_some())
}

/// Adds the last step of a program. If signals were blocked while the ids changed, they are unblocked before it.
pub(super) fn unblock_and_push_last(steps: &mut Vec<Step>, last: Step) {
    if steps.iter().any(|step| matches!(step, Step::BlockSignals)) {
        steps.push(Step::UnblockSignals);
    }
    steps.push(last);
}

/// Adds the steps that change the user and groups. The groups are set first, because setting the user id clears the
/// capabilities for setting groups. The verification comes last. A process that already has the user and groups only
/// drops its capabilities, unless the user is root.
pub(super) fn push_privilege_steps(
    steps: &mut Vec<Step>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
    rights: KeepPermitted,
) {
    if let Some(Identity { uid, gid, groups, .. }) = change {
        // Two new keyrings: the first leaves root's keys, and is made as root, whose quota no other user can exhaust;
        // the second is made as the user, who then owns it.
        steps.extend_from_slice(&[
            Step::BlockSignals,
            Step::JoinNewKeyring,
            Step::Groups(groups.clone().leak()),
            Step::Gid(*gid),
            Step::Uid(*uid, rights),
            Step::JoinNewKeyring,
        ]);
    }
    // A server that runs as root keeps its capabilities.
    if identity.is_some_and(|identity| identity.uid != 0) && (change.is_some() || rights != KeepPermitted::All) {
        steps.push(Step::DropCapabilities(rights));
    }
    if let Some(Identity { uid, gid, groups, .. }) = change {
        let mut groups = groups.clone();
        groups.sort_unstable();
        groups.dedup();
        steps.push(Step::VerifyCredentials { uid: *uid, gid: *gid, groups: groups.leak() });
    }
}

/// A helper program of vsrun (logger or crash handler). It runs in `/` outside of the server's root, as the server's
/// user, and with the descriptors 0 to 2 only.
pub fn helper_program(
    command: StaticCStr,
    paths: Vec<StaticCStr>,
    argv: Vec<StaticCStr>,
    env: Env,
    identity: Option<&Identity>,
    change: Option<&Identity>,
    rights: KeepPermitted,
) -> Box<Program> {
    let mut steps = vec![
        Step::UnblockSignals,
        Step::Setsid,
        Step::RedirectInput,
        Step::RedirectOutput,
        Step::CloseDescriptors,
        Step::Chdir(c"/"),
    ];
    push_privilege_steps(&mut steps, identity, change, rights);
    unblock_and_push_last(&mut steps, Step::Exec(command));
    Box::new(Program { steps, exec_paths: paths, argv, env, personality: &VSRUN })
}

/// The capability that a helper program keeps: a harmless one that the server does not have. So the kernel does not let
/// the server trace the helper: a tracer must have every capability of the traced process.
pub fn helper_capability(options: &Options) -> KeepPermitted {
    KeepPermitted::OneHarmlessNotIn(options.caps.map_or(0, |caps| caps.set))
}
