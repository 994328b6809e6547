//! Makes the plan from the options and the state of the system: the steps in order, and whether vsrun becomes the
//! server or supervises it. The security depends on the order of the steps; `runtime/start/spawn.rs` keeps it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::account::Identity;
use super::before_commands::{self, BeforeCommand};
use super::env::{Env, EnvRenewal};
use super::host::Host;
use super::personality::Personality;
use super::probes::{self, Probes};
use super::program::{self, Program};
use super::socket_activation::{self, ServerSockets};
use super::{command_path, helpers_without_exec};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit::StatusSet;
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::shell_join;
use crate::logic::base::time::Span;
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::{Options, SyslogUsage};
use crate::logic::formats::cgroup::ServerCgroup;
use crate::logic::formats::log_name::LogPolicy;
use crate::logic::supervisor::notify::is_service_manager_var;
use crate::logic::supervisor::policy::Policy;
use crate::logic::supervisor::readiness::{NOTIFY_SOCKET, ReadyCondition};
use crate::logic::supervisor::signal_action::{ShutdownEffect, SignalAction, SignalTable};

/// Everything that vsrun is going to do.
#[derive(Debug)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct Plan {
    /// True if vsrun returns to its caller as soon as the server has started.
    pub background: bool,
    /// True if only warnings and errors are recorded.
    pub quiet: bool,
    /// True if the supervisor changes to `/` when the first server is ready.
    pub leaves_cwd: bool,
    /// True if the server gets vsrun's standard input, and not `/dev/null`.
    pub keeps_stdin: bool,
    /// True if a terminal is reopened for writing only: a server of another user must not read what is typed.
    pub makes_terminal_write_only: bool,
    /// Which set of exit statuses a failed start uses.
    pub start_failure_statuses: StatusSet,
    /// True if SIGHUP stays ignored, as it was when vsrun was called.
    pub ignores_hangup: bool,
    /// Whether and where each step is recorded.
    pub step_trace: StepTrace,
    /// What differs because vsrun was called by another tool's name.
    pub personality: &'static Personality,
    /// The server's program, with its steps.
    pub server: Box<Program>,
    /// The probes of the server, if it has any.
    pub probes: Option<Box<Probes>>,
    /// The path of the server's pidfile.
    pub pidfile: Option<StaticCStr>,
    /// The file to which vsrun writes why it exits (`--termination-log`).
    pub termination_log: Option<StaticCStr>,
    /// The command, quoted for a shell.
    pub quoted_command: Vec<u8>,
    /// The commands of `--before`, which run before each start of the server.
    pub commands_before: Vec<BeforeCommand>,
    /// Where the output of vsrun, the server and the crash handler goes.
    pub output: Output,
    /// The server's listening sockets.
    pub sockets: ServerSockets,
    /// The server's control group.
    pub cgroup: Option<ServerCgroup>,
    /// The rules of the supervisor, which also apply while vsrun only waits for the start.
    pub policy: Policy,
    /// What each signal to the supervisor does.
    pub signal_table: SignalTable,
    /// When the server counts as started.
    pub ready: ReadyCondition,
    /// vsrun's connection to syslog for its own records, if it has one.
    pub syslog: Option<SyslogOptions>,
    /// The sources of the server's environment, if it is read again before a restart.
    pub env_renewal: Option<EnvRenewal>,
    /// What only a supervisor needs. None if vsrun becomes the server.
    pub supervision: Option<Supervision>,
}

/// Whether and where each step is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepTrace {
    /// Steps are not recorded.
    Off,
    /// Steps are recorded where vsrun's other records go.
    InRecords,
    /// Steps are recorded on standard error, because the other records go to syslog, which gets no steps.
    ToStderr,
}

/// How vsrun's own records go to syslog.
#[derive(Debug)]
pub struct SyslogOptions {
    /// The tag of the records.
    pub tag: StaticCStr,
    /// Whether the records go only to syslog, or elsewhere too.
    pub usage: SyslogUsage,
}

/// Where the output of vsrun, the server and the crash handler goes.
#[derive(Debug)]
pub enum Output {
    /// To vsrun's own standard output and error.
    Inherit,
    /// To the standard input of a logger. The pipe to it is owned by this user and group.
    Logger(Box<Program>, Option<(u32, u32)>),
    /// To files in a log directory.
    Files {
        /// The path of the logdir.
        dir: StaticCStr,
        /// The absolute path of the logdir; if it cannot be determined, the same path as `dir`.
        absolute_dir: StaticCStr,
        /// How the files are rotated and kept.
        log_policy: LogPolicy,
        /// The rotator, which writes the server's output to its file. None if the server writes to the file itself.
        rotator: Option<Box<Program>>,
    },
}

/// The part of the plan that only a supervisor needs.
#[derive(Debug)]
pub struct Supervision {
    /// The path of the manager's own pidfile.
    pub manager_pidfile: Option<StaticCStr>,
    /// The crash handler, which runs after an unexpected exit.
    pub crash_handler: Option<Box<Program>>,
    /// The service manager that started vsrun: its NOTIFY_SOCKET, and how often it must get a keep-alive message.
    pub notify_socket_and_interval: Option<(Vec<u8>, Option<Span>)>,
}

/// Makes the plan from the options and the state of the system.
///
/// # Errors
/// If the user, a path, a variable of `--expand`, the descriptor of `--ready fd:` or Landlock cannot be used.
#[inline(never)]
pub fn plan(options: &mut Options, host: &Host<'_>) -> Result<Plan> {
    let identity = user::identity(options, host)?;
    let change = user::needed_change(identity.as_ref(), options, host);
    let crash_handler = match options.manager.and_then(|managed| managed.crash_handler) {
        Some(path) => Some(crash_handler_program(path, options, host, identity.as_ref(), change)?),
        None => None,
    };
    let output = output(options, host, identity.as_ref(), change)?;
    let command = shell_join(options.command.iter().map(|word| word.to_bytes()));
    let server = program::server(options, host, identity.as_ref(), change)?;
    let env_renewal = supervisor_settings::env_renewal(options, host, identity.as_ref());
    let policy = supervisor_settings::policy(options);
    let ignores_hangup = ignores_hangup(options, host);
    if ignores_hangup {
        options.on_signal.push((Signal::HUP, SignalAction::Ignore));
    }
    let shutdown = if options.at_exit.is_some() { ShutdownEffect::EndMachine } else { ShutdownEffect::Forward };
    let signal_table = SignalTable::new(policy.role, shutdown, &options.on_signal);
    let ready = options.ready.unwrap_or(ReadyCondition::Exec);
    let sockets = socket_activation::total_socket_count(host.inherited.count, &options.listen);
    let is_socket = |number| sockets > 0 && number < 3 + i32::from(sockets);
    if let ReadyCondition::NewlineOnFd(number) = ready
        && is_socket(number)
    {
        return Err(Error::new(Problem::ReadyFdIsSocket).with_number_arg(number.into()));
    }
    let (syslog, debug) = (syslog(options), step_trace(options));
    let address = host.env.get(NOTIFY_SOCKET).filter(|_| options.reports_to_service_manager());
    let notify_socket_and_interval = address.map(|address| (address.to_vec(), host.watchdog_interval));
    let supervision = options.is_supervised().then(|| {
        let manager_pidfile = options.manager.and_then(|managed| managed.pidfile);
        Supervision { manager_pidfile, crash_handler, notify_socket_and_interval }
    });
    Ok(Plan {
        probes: probes::plan_probes(options, &server, change),
        commands_before: before_commands::commands(&options.before, &server),
        server,
        quoted_command: command,
        pidfile: options.pidfile,
        output,
        background: options.background,
        sockets: ServerSockets {
            inherited_count: host.inherited.count,
            listen_options: core::mem::take(&mut options.listen),
            unix_socket_owner: change.map(|identity| (identity.uid, identity.gid)),
        },
        cgroup: options.cgroup.map(|dir| ServerCgroup { dir, settings: core::mem::take(&mut options.cgroup_set) }),
        step_trace: debug,
        quiet: options.is_quiet(),
        policy,
        signal_table,
        ready,
        env_renewal,
        syslog,
        supervision,
        leaves_cwd: program::leaves_callers_dir(options, host),
        keeps_stdin: options.has(Id::Stdin),
        makes_terminal_write_only: options.user.is_some() && !options.has(Id::Stdin),
        termination_log: options.termination_log,
        start_failure_statuses: if options.has(Id::Rc) { StatusSet::InitScript } else { StatusSet::Own },
        ignores_hangup,
        personality: options.personality,
    })
}

/// True if SIGHUP stays ignored, as it was when vsrun was called: no `--background`, and no option sets its action.
fn ignores_hangup(options: &Options, host: &Host<'_>) -> bool {
    host.hangup_ignored && !options.background && options.on_signal.iter().all(|(given, _)| *given != Signal::HUP)
}

/// The server's environment before files set variables in it. `--file-env` takes the paths of its files from it.
///
/// # Errors
/// If the user is unknown, or vsrun cannot become that user.
pub fn resolve_base_env(options: &Options, host: &Host<'_>) -> Result<Env> {
    Ok(program::base_env(options, host, user::identity(options, host)?.as_ref()))
}

fn crash_handler_program(
    path: StaticCStr,
    options: &Options,
    host: &Host<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Box<Program>> {
    let mut env = host.env.with_login_vars(identity);
    env.remove(&|name| name.starts_with(b"VSRUN_") || is_service_manager_var(name));
    env.set(b"VSRUN_SERVER_COMMAND", &shorten_for_env(shell_join(options.command.iter().map(|word| word.to_bytes()))));
    let full = command_path::absolute(path, host)?;
    let rights = program::helper_capability(options);
    Ok(program::helper_program(path, vec![full], vec![path], env, identity, change, rights))
}

/// Shortens the command for the handler's environment. A variable above 128 KiB, or too many bytes in all variables,
/// would make execve(2) fail with E2BIG, so that the handler would never run.
fn shorten_for_env(mut text: Vec<u8>) -> Vec<u8> {
    const MAX_LENGTH: usize = 64 * 1024;
    if text.len() > MAX_LENGTH {
        text.truncate(MAX_LENGTH - 3);
        text.extend_from_slice(b"...");
    }
    text
}

fn output(
    options: &Options,
    host: &Host<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Output> {
    let output_owner = change.map(|identity| (identity.uid, identity.gid));
    if let Some((dir, max_age)) = options.logdir {
        let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        let (max_file_bytes, max_rotated_files) = (most(options.log_size), most(options.log_files));
        let log_policy = LogPolicy { max_age, output_owner, max_file_bytes, max_rotated_files };
        let rotator = options.log_size.map(|_| helpers_without_exec::rotator(log_policy, change));
        // Absolute, because the manager opens the directory again after it may have left the working directory.
        let absolute_dir = command_path::absolute(dir, host).unwrap_or(dir);
        return Ok(Output::Files { dir, absolute_dir, log_policy, rotator });
    }
    let Some(tag) = options.syslog else { return Ok(Output::Inherit) };
    let words = match &options.logger {
        Some(words) => words.clone(),
        None => vec![c"logger", c"-t", tag],
    };
    let command = words.first().copied().unwrap_or_default();
    let mut paths = command_path::paths_to_try(command, host.env.get(b"PATH"));
    for path in &mut paths {
        *path = command_path::absolute(path, host)?;
    }
    let env = host.env.with_login_vars(identity);
    let rights = program::helper_capability(options);
    let program = program::helper_program(command, paths, words, env, identity, change, rights);
    Ok(Output::Logger(program, output_owner))
}

/// The connection to syslog, if vsrun itself must send its records there. With `logger -t TAG` as the logger, syslog
/// gets them already.
fn syslog(options: &Options) -> Option<SyslogOptions> {
    let usage = options.syslog_usage.filter(|usage| *usage != SyslogUsage::No)?;
    if options.syslog.is_some() && options.logger.is_none() {
        return None;
    }
    Some(SyslogOptions { tag: options.syslog.unwrap_or(c"vsrun"), usage })
}

fn step_trace(options: &Options) -> StepTrace {
    match options.syslog_usage {
        _ if !options.has(Id::Debug) => StepTrace::Off,
        Some(SyslogUsage::Yes | SyslogUsage::Only) if options.syslog.is_some() && options.logger.is_none() => {
            StepTrace::ToStderr
        }
        Some(_) | None => StepTrace::InRecords,
    }
}

mod supervisor_settings;
#[cfg(test)]
mod tests;
mod user;
