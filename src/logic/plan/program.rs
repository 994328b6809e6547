//! The steps to the exec of a program, in order. The order is the security.

use crate::logic::plan::socket_activation;
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::account::Identity;
use super::command_path::{absolute, search};
use super::env::Env;
use super::expand;
use super::host::{Host, Terminal};
use super::personality::{Accounts, Personality, Session, VSRUN};
use super::step::{KeepPermitted, Step};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Result;
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::Options;
use crate::logic::supervisor::notify::is_service_manager_var;
use crate::logic::supervisor::readiness::Ready;

/// A program to execute, and the steps before its exec.
#[derive(Debug)]
pub struct Program {
    /// The steps, in order. The last one is the exec, or the work of a process that executes nothing.
    pub steps: Vec<Step>,
    /// The paths to try for the exec, in order.
    pub paths: Vec<StaticCStr>,
    /// The arguments, with the program's own name first.
    pub argv: Vec<StaticCStr>,
    /// The environment.
    pub env: Env,
    /// What differs because vsrun was called by another tool's name.
    pub personality: &'static Personality,
}

/// The server's environment before the options that set variables.
pub fn base_env(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Env {
    let nothing = Env::default();
    let inherited = if options.has(Id::ClearEnv) { &nothing } else { &host.env };
    let mut env = match identity {
        Some(identity) if options.personality.accounts != Accounts::Vsrun => {
            let mut env = inherited.clone();
            env.set(b"HOME", &identity.home);
            env
        }
        identity => inherited.with_login_vars(identity),
    };
    if options.reports_to_service_manager() {
        // vsrun itself, and not the server, reports to the service manager's socket.
        env.remove(&is_service_manager_var);
    }
    env
}

/// The server's environment, without the variables that are set at each start.
fn server_env(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Env {
    let mut env = base_env(options, host, identity);
    for entries in [&host.env_entries, &options.env] {
        for entry in entries {
            env.put(entry);
        }
    }
    if let Some(span) = options.watchdog {
        // Each start sets this variable to the server's pid.
        env.remove(&|name| name == b"WATCHDOG_PID");
        env.set(b"WATCHDOG_USEC", format!("{}", span.0.saturating_mul(1000)).as_bytes());
    }
    host.inherited.announce(&options.listen, &mut env);
    env
}

/// The server's program, with the steps into its root and to its user.
///
/// # Errors
/// If a path cannot be made absolute.
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

    let mut steps: Vec<Step> = options.cgroup.map(Step::Cgroup).into_iter().collect();
    steps.extend(session_steps(options, host));
    if let Some(path) = options.pidfile {
        steps.push(if options.is_supervised() { Step::WriteManagedPid(path) } else { Step::KeepPidfileLock(path) });
    }
    steps.extend((!options.has(Id::Stdin)).then_some(Step::Input));
    push_attribute_steps(&mut steps, options, host);
    if let (Some((dir, _)), None, None) = (options.logdir, options.work_dir, options.root) {
        steps.push(Step::LogDir(dir));
    }
    let is_late = closes_at_exec(options, change);
    if !is_late {
        push_close_step(&mut steps, Step::CloseDescriptors, options);
    }
    let inside = push_directory_steps(&mut steps, options, host)?;
    let keep = if options.caps.is_some() { KeepPermitted::Yes } else { KeepPermitted::No };
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
        push_close_step(&mut steps, Step::CloexecDescriptors, options);
    }
    steps.extend(confined);
    push_last_steps(&mut steps, Step::Exec(command));
    let paths = search(command, env.get(b"PATH"));
    Ok(Box::new(Program { steps, paths, argv, env, personality: options.personality }))
}

/// Adds the steps for attributes, output and sockets. Limits are the last of the attributes, because a limit of
/// descriptors or file sizes may make other steps fail.
fn push_attribute_steps(steps: &mut Vec<Step>, options: &Options, host: &Host<'_>) {
    for is_limit in [false, true] {
        steps.extend(options.attributes.iter().filter(|step| matches!(step, Step::Limit(_)) == is_limit));
    }
    if options.syslog.is_some() || options.logdir.is_some() {
        steps.push(Step::Output);
    }
    let sockets = socket_activation::count(host.inherited.count, &options.listen);
    if sockets > 0 || host.renames_listen_pid {
        steps.push(Step::PassSockets(sockets));
    }
    if options.watchdog.is_some() {
        steps.push(Step::SetWatchdogPid);
    }
}

/// True if the descriptors are closed only by the exec, and not before the root and the user are changed.
///
/// A path in a jail, including the one that execve(2) gets, may lead through /proc/self/fd. If the descriptors are
/// closed first, such a path finds nothing. Without another root or user there is nothing to protect, and vsrun, as
/// long as the start may still fail, keeps the descriptors that it needs to undo the start. (A cleanup helper would be
/// a child of a server that is PID 1.) A process in the server's control group cannot remove that group, so with
/// `--cgroup` a cleanup helper does.
fn closes_at_exec(options: &Options, change: Option<&Identity>) -> bool {
    let keeps_all = options.root.is_none() && options.cgroup.is_none() && change.is_none();
    keeps_all && !options.is_supervised() && !options.background
}

fn push_close_step(steps: &mut Vec<Step>, how: Step, options: &Options) {
    if options.keeps_descriptors() {
        return;
    }
    steps.push(how);
    if let Some(Ready::Newline(number)) = options.ready {
        steps.push(Step::Ready(number));
    }
}

/// The steps that unblock the signals and put the server into its session, process group and terminal.
#[inline(never)]
fn session_steps(options: &Options, host: &Host<'_>) -> Vec<Step> {
    // A server of another user never gets the terminal.
    let terminal =
        if options.has(Id::Stdin) && options.user.is_none() { host.terminal } else { Terminal::NotControlling };
    let stays = options.is_supervised();
    if !stays || options.user.is_none() {
        match (options.personality.session, terminal) {
            (Session::Group, Terminal::NotControlling) => return vec![Step::UnblockSignals, Step::Group],
            (Session::WithTerminal, _) => return vec![Step::UnblockSignals, Step::Setsid, Step::ControlTerminal],
            (Session::Caller, _) => return vec![Step::UnblockSignals],
            (Session::Options | Session::Group, _) => {}
        }
    }
    let steps: &[Step] = match (stays, options.background, terminal) {
        // To take the foreground, the process must still have SIGTTOU blocked.
        (true, false, Terminal::Controlling) => &[Step::TakeForeground, Step::UnblockSignals],
        // A background job, as a shell makes it: the kernel stops it if it reads from the terminal.
        (true, false, Terminal::Background) => &[Step::UnblockSignals, Step::Group],
        (true, _, _) => &[Step::UnblockSignals, Step::Setsid],
        (false, false, _) if options.user.is_some() => &[Step::UnblockSignals, Step::DropTerminal],
        // A detached vsrun is in a session without a leader, and so has no terminal.
        (false, _, _) => &[Step::UnblockSignals],
    };
    steps.to_vec()
}

/// Adds the steps into the root, which may need root's rights. Returns the step into the working directory, which is
/// taken later with the user's rights, so that the server cannot be in a directory that its user may not search.
fn push_directory_steps(steps: &mut Vec<Step>, options: &Options, host: &Host<'_>) -> Result<Option<Step>> {
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
            steps.push(Step::ReturnToCallersDir(dir, host.cwd_identity));
            Some(Step::EnterReplacedDir(dir))
        }
        (None, _, _) => None,
    })
}

/// True if vsrun is in `/` when it starts the server, so that it keeps no mount busy: if it is detached, or at a
/// restart. If the current directory has no path, vsrun stays in it.
pub fn leaves_callers_dir(options: &Options, host: &Host<'_>) -> bool {
    options.is_supervised() && (options.background || host.cwd.is_some())
}

/// Adds the last step. If signals were blocked while the ids changed, they are unblocked before it.
pub(super) fn push_last_steps(steps: &mut Vec<Step>, last: Step) {
    if steps.iter().any(|step| matches!(step, Step::BlockSignals)) {
        steps.push(Step::UnblockSignals);
    }
    steps.push(last);
}

/// The steps from root to the user. The groups come first, while the process still has the right to set them. The user
/// id, with which the capabilities go, comes last, and then the verification. A process that is the user already only
/// drops its capabilities.
pub(super) fn push_privilege_steps(
    steps: &mut Vec<Step>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
    rights: KeepPermitted,
) {
    if let Some(Identity { uid, gid, groups, .. }) = change {
        // A new keyring twice: first as root, whose keyring quota no user can use up, to leave root's keys; then as
        // the user, so that the user owns the keyring.
        steps.extend_from_slice(&[
            Step::BlockSignals,
            Step::Keyring,
            Step::Groups(groups.clone().leak()),
            Step::Gid(*gid),
            Step::Uid(*uid, rights),
            Step::Keyring,
        ]);
    }
    // A server that runs as root keeps its capabilities.
    if identity.is_some_and(|identity| identity.uid != 0) && (change.is_some() || rights != KeepPermitted::Yes) {
        steps.push(Step::DropCapabilities(rights));
    }
    if let Some(Identity { uid, gid, groups, .. }) = change {
        let mut groups = groups.clone();
        groups.sort_unstable();
        groups.dedup();
        steps.push(Step::VerifyCredentials { uid: *uid, gid: *gid, groups: groups.leak() });
    }
}

/// The steps of a program beside the server: in `/` outside of the server's root, as the same user, and with the
/// descriptors 0 to 2 only.
pub fn helper_program(
    command: StaticCStr,
    paths: Vec<StaticCStr>,
    argv: Vec<StaticCStr>,
    env: Env,
    identity: Option<&Identity>,
    change: Option<&Identity>,
    rights: KeepPermitted,
) -> Box<Program> {
    let mut steps =
        vec![Step::UnblockSignals, Step::Setsid, Step::Input, Step::Output, Step::CloseDescriptors, Step::Chdir(c"/")];
    push_privilege_steps(&mut steps, identity, change, rights);
    push_last_steps(&mut steps, Step::Exec(command));
    Box::new(Program { steps, paths, argv, env, personality: &VSRUN })
}

/// The capabilities that a program beside the server keeps: a harmless one that the server does not have, so that the
/// server cannot trace it.
pub fn spare_capability(options: &Options) -> KeepPermitted {
    KeepPermitted::OneHarmless(options.caps.map_or(0, |caps| caps.set))
}
