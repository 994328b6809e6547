//! The steps to a program, in their order. The order is the security.

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
use crate::logic::supervisor::notify::is_for_us;
use crate::logic::supervisor::readiness::Ready;

/// A program to start: the steps before its exec, and the program itself.
#[derive(Debug)]
pub struct Program {
    /// What is done to the process, in order; the last step is the exec.
    pub steps: Vec<Step>,
    /// Where the program may be, in order.
    pub paths: Vec<StaticCStr>,
    /// Its arguments, its own name first.
    pub argv: Vec<StaticCStr>,
    /// Its environment.
    pub env: Env,
    /// What differs where vsrun takes the place of another tool.
    pub personality: &'static Personality,
}

/// The server's environment before the options that set variables.
pub fn base(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Env {
    let nothing = Env::default();
    let inherited = if options.has(Id::ClearEnv) { &nothing } else { &host.env };
    let mut env = match identity {
        Some(identity) if options.personality.accounts != Accounts::Vsrun => {
            let mut env = inherited.clone();
            env.set(b"HOME", &identity.home);
            env
        }
        identity => inherited.for_identity(identity),
    };
    if options.reports_upward() {
        // vsrun itself reports to this socket.
        env.remove(&is_for_us);
    }
    env
}

/// The server's environment, without the variables that are set at each start.
#[inline(never)]
fn environment(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Env {
    let mut env = base(options, host, identity);
    for entries in [&host.env_entries, &options.env] {
        for entry in entries {
            env.put(entry);
        }
    }
    if let Some(span) = options.watchdog {
        // The pid is added at each start.
        env.remove(&|name| name == b"WATCHDOG_PID");
        env.set(b"WATCHDOG_USEC", format!("{}", span.0.saturating_mul(1000)).as_bytes());
    }
    host.inherited.announce(&options.listen, &mut env);
    env
}

/// The server's program, with all steps into its root and to its user.
///
/// # Errors
/// When a path cannot be made absolute.
#[inline(never)]
pub fn server(
    options: &Options,
    host: &Host<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Box<Program>> {
    let env = environment(options, host, identity);
    let mut argv = options.command.clone();
    if options.has(Id::Expand) {
        expand::expand(&mut argv, &env)?;
    }
    let command = argv.first().copied().unwrap_or_default();
    if let (Some(name), Some(first)) = (options.argv0, argv.first_mut()) {
        *first = name;
    }

    let mut steps: Vec<Step> = options.cgroup.map(Step::Cgroup).into_iter().collect();
    steps.extend(session(options, host));
    if let Some(path) = options.pidfile {
        steps.push(if options.is_supervised() { Step::WriteManagedPid(path) } else { Step::KeepPidfileLock(path) });
    }
    steps.extend((!options.has(Id::Stdin)).then_some(Step::Input));
    attributes_and_io(&mut steps, options, host);
    if let (Some((dir, _)), None, None) = (options.logdir, options.work_dir, options.root) {
        steps.push(Step::LogDir(dir));
    }
    let is_late = closes_at_exec(options, change);
    if !is_late {
        close(&mut steps, Step::CloseDescriptors, options);
    }
    let inside = directories(&mut steps, options, host)?;
    let keep = if options.caps.is_some() { KeepPermitted::Yes } else { KeepPermitted::No };
    privileges(&mut steps, identity, change, keep);
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
        close(&mut steps, Step::SealDescriptors, options);
    }
    steps.extend(confined);
    finish(&mut steps, Step::Exec(command));
    let paths = search(command, env.get(b"PATH"));
    Ok(Box::new(Program { steps, paths, argv, env, personality: options.personality }))
}

/// Attributes, output and sockets. Limits come last of the attributes, because a limit of descriptors or file sizes may
/// make the other steps fail.
fn attributes_and_io(steps: &mut Vec<Step>, options: &Options, host: &Host<'_>) {
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

/// Whether the descriptors are closed only by the exec, and not before the root and the user are changed.
///
/// A path in a jail, including that of execve(2), may lead through /proc/self/fd: closing the descriptors first leaves
/// nothing to find there. Without another root or user there is nothing to protect, and vsrun, as long as it may still
/// fail, keeps what it needs to undo the start. (A cleanup helper for that would be a child of a server that is PID 1.)
/// A process in the server's control group cannot remove the group, so in that case a cleanup helper does.
fn closes_at_exec(options: &Options, change: Option<&Identity>) -> bool {
    let keeps_all = options.root.is_none() && options.cgroup.is_none() && change.is_none();
    keeps_all && !options.is_supervised() && !options.background
}

#[inline(never)]
fn close(steps: &mut Vec<Step>, how: Step, options: &Options) {
    if options.keeps_descriptors() {
        return;
    }
    steps.push(how);
    if let Some(Ready::Newline(number)) = options.ready {
        steps.push(Step::Ready(number));
    }
}

/// Clean signals, and the right place among sessions and terminals.
fn session(options: &Options, host: &Host<'_>) -> Vec<Step> {
    // Another user never gets the terminal.
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
        // The process that takes the foreground must still have SIGTTOU blocked.
        (true, false, Terminal::Controlling) => &[Step::TakeForeground, Step::UnblockSignals],
        // Like any other background job: it is stopped when it reads, and takes no key from the shell.
        (true, false, Terminal::Background) => &[Step::UnblockSignals, Step::Group],
        (true, _, _) => &[Step::UnblockSignals, Step::Setsid],
        (false, false, _) if options.user.is_some() => &[Step::UnblockSignals, Step::DropTerminal],
        // A detached process is in a session whose leader has exited: there is no terminal.
        (false, _, _) => &[Step::UnblockSignals],
    };
    steps.to_vec()
}

/// Adds the way into the root, which may need root's rights. Returns the step into the working directory, which is
/// entered as the user, so that the user cannot reach a directory that the user may not search.
#[inline(never)]
fn directories(steps: &mut Vec<Step>, options: &Options, host: &Host<'_>) -> Result<Option<Step>> {
    let moved = moves(options, host);
    let full = |dir| if moved { absolute(dir, host) } else { Ok(dir) };
    if let Some(dir) = options.root {
        steps.extend_from_slice(&[Step::Chroot(full(dir)?), Step::Chdir(c"/")]);
    }
    Ok(match (options.work_dir, options.root, options.logdir) {
        (Some(dir), Some(_), _) => Some(Step::Chdir(dir)),
        (Some(dir), None, _) => Some(Step::Chdir(full(dir)?)),
        (None, None, None) if moved => {
            let dir = full(c".")?;
            steps.push(Step::CallersDir(dir, host.cwd_identity));
            Some(Step::ReplacedDir(dir))
        }
        (None, _, _) => None,
    })
}

/// Whether vsrun is in `/` when it starts the server: detached, or at a restart, so that it keeps no mount busy. If the
/// caller's directory has no path, vsrun stays in it.
pub fn moves(options: &Options, host: &Host<'_>) -> bool {
    options.is_supervised() && (options.background || host.cwd.is_some())
}

/// The last steps. If the ids were changed, the signals that were blocked for that are unblocked.
pub(super) fn finish(steps: &mut Vec<Step>, last: Step) {
    if steps.iter().any(|step| matches!(step, Step::BlockSignals)) {
        steps.push(Step::UnblockSignals);
    }
    steps.push(last);
}

/// Groups first, while the process still has the right to set them; the user id last, and with it the capabilities;
/// then the verification. A process that is that user already only drops capabilities.
#[inline(never)]
pub(super) fn privileges(
    steps: &mut Vec<Step>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
    rights: KeepPermitted,
) {
    if let Some(Identity { uid, gid, groups, .. }) = change {
        // Twice: first as root, for which no quota can be used up, to leave root's keys; then as the user, so that the
        // user owns the keyring.
        steps.extend_from_slice(&[
            Step::BlockSignals,
            Step::Keyring,
            Step::Groups(groups.clone().leak()),
            Step::Gid(*gid),
            Step::Uid(*uid, rights),
            Step::Keyring,
        ]);
    }
    // Root keeps its capabilities.
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

/// A program beside the server, outside of its root: in `/`, as the same user, with nothing but 0 to 2.
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
    privileges(&mut steps, identity, change, rights);
    finish(&mut steps, Step::Exec(command));
    Box::new(Program { steps, paths, argv, env, personality: &VSRUN })
}

/// What a process beside the server keeps: one harmless capability that the server does not have.
pub fn spare(options: &Options) -> KeepPermitted {
    KeepPermitted::Spare(options.caps.map_or(0, |caps| caps.set))
}
