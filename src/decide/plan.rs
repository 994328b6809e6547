//! From what the caller wants and how the world is to what will be done: the steps in their order, and whether
//! vsrun becomes the server or stays. The order of the steps is the security; launch.rs performs them blindly.

use alloc::vec::Vec;

use super::account::{self, Identity};
use super::endpoint::{self, Listen};
use super::environ::Environ;
use super::error::{Error, Result};
use super::event::To;
use super::facts::{Facts, Ids};
use super::flags::Id;
use super::options::{Options, SyslogUsage};
use super::policy::{Handling, Policy, Restart, Role};
use super::ready::{NOTIFY_SOCKET, Ready};
use super::retention::Rules;
use super::server_env;
use super::signal::Signal;
use super::steps::{self, Program};
use super::text::shell_words;
use super::time::Span;
use super::traps::Traps;
use super::word::Word;

/// All that will be done.
#[derive(Debug)]
pub struct Plan {
    /// The server.
    pub server: Program,
    /// The command as a shell would read it.
    pub command: Vec<u8>,
    /// The server's pidfile.
    pub pidfile: Option<Word>,
    /// Where words go.
    pub output: Output,
    /// Whether the caller gets its prompt back.
    pub background: bool,
    /// The server's sockets.
    pub listen: Listen,
    /// Whether an undo after the drop of privileges needs somebody who keeps them.
    pub drops: bool,
    /// Whether each step is told, and where.
    pub debug: Debug,
    /// The rules, for one who stays or waits.
    pub policy: Policy,
    /// What a signal to one who stays does.
    pub traps: Traps,
    /// When the server counts as started.
    pub ready: Ready,
    /// The system logger, for vsrun's own records.
    pub syslog: Option<Syslog>,
    /// What vsrun does when it stays. None: it becomes the server.
    pub stay: Option<Stay>,
}

/// Where each step is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debug {
    /// Nowhere.
    Off,
    /// Among the records.
    Records,
    /// On standard error: the records are with the system logger, where no step belongs.
    Apart,
}

/// How vsrun's own records go to the system logger.
#[derive(Debug)]
pub struct Syslog {
    /// Under which name.
    pub tag: Word,
    /// Whether they go elsewhere too.
    pub usage: SyslogUsage,
}

/// Where the words of vsrun, server and handler go.
#[derive(Debug)]
pub enum Output {
    /// Where they went before.
    Same,
    /// To the logger's standard input.
    Logger(Program),
    /// To files.
    Files {
        /// The logdir.
        dir: Word,
        /// What is kept there.
        rules: Rules,
        /// What is between the server and its file. None: nothing.
        writer: Option<Program>,
    },
}

/// What vsrun does when it stays.
#[derive(Debug)]
pub struct Stay {
    /// The manager's own pidfile.
    pub pidfile: Option<Word>,
    /// Who is asked after an unexpected end.
    pub handler: Option<Program>,
    /// The service manager that vsrun itself reports to: the NOTIFY_SOCKET that it was given.
    pub notify: Option<Vec<u8>>,
}

/// Makes the plan.
///
/// # Errors
/// When the user is unknown or cannot be had, or a path cannot be made absolute.
#[inline(never)]
pub fn plan(options: &mut Options, facts: &Facts<'_>) -> Result<Plan> {
    let identity = identity(options, facts)?;
    let change = identity.as_ref().filter(|_| facts.euid == 0 && facts.ids == Ids::Free);
    let handler = match options.manager.and_then(|managed| managed.handler) {
        Some(path) => Some(handler(path, options, facts, identity.as_ref(), change)?),
        None => None,
    };
    let output = output(options, facts, identity.as_ref(), change)?;
    let command = shell_words(options.command.iter().map(|word| word.to_bytes()));
    let server = steps::server(options, facts, identity.as_ref(), change)?;
    let policy = policy(options);
    let (traps, ready) = (Traps::new(policy.role, &options.on_signal), options.ready.unwrap_or(Ready::Exec));
    let sockets = endpoint::count(facts.handed.count, &options.listen);
    if let Ready::Newline(number) = ready
        && sockets > 0
        && number < 3 + i32::from(sockets)
    {
        return Err(Error::usage(format_args!("option --ready fd:{number} takes the number of a socket")));
    }
    let (syslog, debug) = (syslog(options), debug(options));
    let notify = facts.env.get(NOTIFY_SOCKET).map(<[u8]>::to_vec);
    let stay = options.stays().then(|| {
        let pidfile = options.manager.and_then(|managed| managed.pidfile);
        Stay { pidfile, handler, notify }
    });
    Ok(Plan {
        server,
        command,
        pidfile: options.pidfile,
        output,
        background: options.background,
        listen: Listen {
            handed: facts.handed.count,
            own: core::mem::take(&mut options.listen),
            owner: change.map(|identity| (identity.uid, identity.gid)),
        },
        drops: change.is_some_and(|identity| identity.uid != 0),
        debug,
        policy,
        traps,
        ready,
        syslog,
        stay,
    })
}

/// Who the server will be. None: who we are.
#[inline(never)]
fn identity(options: &Options, facts: &Facts<'_>) -> Result<Option<Identity>> {
    let Some(login) = &options.user else { return Ok(None) };
    let identity = account::resolve(login, facts.passwd, facts.group)?;
    let other_group = login.group.is_some() && facts.egid != identity.gid;
    if facts.euid != 0 && facts.euid == identity.uid && other_group {
        return Err(Error::refused(format_args!("cannot become group {}: only root can", identity.gid)));
    }
    if facts.euid == 0 || facts.euid == identity.uid {
        return match facts.ids {
            Ids::Fixed if facts.euid != identity.uid => Err(Error::refused(format_args!(
                "cannot become user {}: root has no capability for it here",
                identity.uid
            ))),
            Ids::Free | Ids::Fixed => Ok(Some(identity)),
        };
    }
    if options.has(Id::NoUserChecks) {
        return Ok(None);
    }
    let (is, expected) = (facts.euid, identity.uid);
    Err(Error::refused(format_args!("started using wrong user ID ({is}), expected {expected}")))
}

/// The server's environment up to `--file-env`, whose files have to be read before the plan is made.
///
/// # Errors
/// If the user is unknown, or vsrun cannot become that user.
pub fn environment_before_file_env(options: &Options, facts: &Facts<'_>) -> Result<Environ> {
    Ok(server_env::before_file_env(options, facts, identity(options, facts)?.as_ref()))
}

fn handler(
    path: Word,
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Program> {
    let mut env = facts.env.of(identity);
    env.remove(&|name| name.starts_with(b"VSRUN_") || name == NOTIFY_SOCKET);
    env.set(b"VSRUN_SERVER_COMMAND", &shell_words(options.command.iter().map(|word| word.to_bytes())));
    let full = steps::absolute(path, facts)?;
    Ok(steps::beside(path, vec![full], vec![path], env, identity, change))
}

#[inline(never)]
fn output(
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Output> {
    if let Some((dir, keep)) = options.logdir {
        let owner = change.map(|identity| (identity.uid, identity.gid));
        let files = options.log_files.unwrap_or(u64::MAX);
        let rules = Rules { keep, owner, size: options.log_size.unwrap_or(u64::MAX), files };
        let writer = options.log_size.map(|_| steps::writer(rules, change));
        return Ok(Output::Files { dir, rules, writer });
    }
    let Some(tag) = options.syslog else { return Ok(Output::Same) };
    let words = match &options.logger {
        Some(words) => words.clone(),
        None => vec![c"logger", c"-t", tag],
    };
    let command = words.first().copied().unwrap_or_default();
    let mut paths = steps::search(command, facts.env.get(b"PATH"));
    for path in &mut paths {
        *path = steps::absolute(path, facts)?;
    }
    let env = facts.env.of(identity);
    Ok(Output::Logger(steps::beside(command, paths, words, env, identity, change)))
}

/// Where the records have to be sent by vsrun itself: `logger -t TAG` has them already.
fn syslog(options: &Options) -> Option<Syslog> {
    let usage = options.syslog_usage.filter(|usage| *usage != SyslogUsage::No)?;
    if options.syslog.is_some() && options.logger.is_none() {
        return None;
    }
    Some(Syslog { tag: options.syslog.unwrap_or(c"vsrun"), usage })
}

fn debug(options: &Options) -> Debug {
    match options.syslog_usage {
        _ if !options.has(Id::Debug) => Debug::Off,
        Some(SyslogUsage::Yes | SyslogUsage::Only) if options.syslog.is_some() && options.logger.is_none() => {
            Debug::Apart
        }
        Some(_) | None => Debug::Records,
    }
}

#[inline(never)]
fn policy(options: &Options) -> Policy {
    let handler = match (options.manager, options.handler_timeout) {
        (Some(managed), timeout) if managed.handler.is_some() => timeout.map_or(Handling::Patient, Handling::Within),
        _ => Handling::Absent,
    };
    let default = if options.stays() && !options.has(Id::Init) { Restart::OnFailure } else { Restart::No };
    let given = |span: Option<Span>| span.filter(|span| *span > Span::ZERO);
    Policy {
        role: match given(options.stop_timeout) {
            _ if !options.has(Id::Init) => Role::Manager,
            Some(_) => Role::Guard,
            None => Role::Init,
        },
        whom: if options.has(Id::Group) { To::Group } else { To::Server },
        linger: given(options.linger),
        restart: options.restart.unwrap_or(default),
        success: options.success_exit.unwrap_or_default(),
        delay: options.restart_delay.unwrap_or((Span::millis(100), Span::secs(30))),
        limit: options.restart_limit,
        ready_timeout: options.ready_timeout,
        watchdog: options.watchdog,
        handler,
        stop_signal: options.stop_signal.unwrap_or(Signal::TERM),
        stop_timeout: given(Some(options.stop_timeout.unwrap_or(Span::secs(30)))),
    }
}

#[cfg(test)]
mod tests;
