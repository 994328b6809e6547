//! From what the caller wants and how the world is to what will be done: the steps in their order, and whether
//! vsrun becomes the server or stays. The order of the steps is the security; launch.rs performs them blindly.

use alloc::vec::Vec;

use super::account::{self, Identity};
use super::endpoint::{self, Listen};
use super::environ::{Environ, Source};
use super::error::{Error, Result};
use super::event::To;
use super::facts::{Facts, Ids};
use super::flags::Id;
use super::notify::is_for_us;
use super::options::{Options, SyslogUsage};
use super::policy::{Handling, Policy, Restart, Role};
use super::ready::{NOTIFY_SOCKET, Ready};
use super::retention::Rules;
use super::signal::Signal;
use super::steps::{self, Program};
use super::text::{Clean, shell_words};
use super::time::Span;
use super::traps::{Trap, Traps};
use super::word::{Word, word};

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
    /// Whether only warnings and errors are recorded.
    pub quiet: bool,
    /// The rules, for one who stays or waits.
    pub policy: Policy,
    /// What a signal to one who stays does.
    pub traps: Traps,
    /// When the server counts as started.
    pub ready: Ready,
    /// The system logger, for vsrun's own records.
    pub syslog: Option<Syslog>,
    /// Where the server's environment came from, if `--env-dir` is to be read again.
    pub env_source: Option<Source>,
    /// What vsrun does when it stays. None: it becomes the server.
    pub stay: Option<Stay>,
    /// Whether it then leaves the directory that it was called in.
    pub moves: bool,
    /// Whether a terminal is reopened for writing only: the server is another user, and has no use for its keys.
    pub hides_keys: bool,
    /// Whether a SIGHUP that was ignored at the call stays ignored.
    pub ignores_hangup: bool,
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
    /// To the logger's standard input, a pipe that belongs to this user and group.
    Logger(Program, Option<(u32, u32)>),
    /// To files.
    Files {
        /// The logdir.
        dir: Word,
        /// The same from / on, where that can be told.
        later: Word,
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
    /// The service manager that vsrun itself reports to: the NOTIFY_SOCKET that it was given, and how often it wants to
    /// hear that vsrun works.
    pub notify: Option<(Vec<u8>, Option<Span>)>,
}

/// Makes the plan.
///
/// # Errors
/// When the user is unknown or cannot be had, or a path cannot be made absolute.
#[inline(never)]
pub fn plan(options: &mut Options, facts: &Facts<'_>) -> Result<Plan> {
    let identity = identity(options, facts)?;
    let change = identity.as_ref().filter(|_| facts.euid == 0 && facts.ids == Ids::Free);
    let change = change.filter(|identity| !is_same(identity, facts));
    let handler = match options.manager.and_then(|managed| managed.handler) {
        Some(path) => Some(handler(path, options, facts, identity.as_ref(), change)?),
        None => None,
    };
    let output = output(options, facts, identity.as_ref(), change)?;
    let command = shell_words(options.command.iter().map(|word| word.to_bytes()));
    let server = steps::server(options, facts, identity.as_ref(), change)?;
    let env_source = options.env_sources().map(|sources| Source {
        dir: facts.cwd.clone().map(word),
        sources,
        base: steps::base(options, facts, identity.as_ref()),
        first: facts.env_entries.clone(),
        given: options.env.clone(),
    });
    let policy = policy(options);
    let ignores_hangup = ignores_hangup(options, facts);
    if ignores_hangup {
        options.on_signal.push((Signal::HUP, Trap::Ignore));
    }
    let (traps, ready) = (Traps::new(policy.role, &options.on_signal), options.ready.unwrap_or(Ready::Exec));
    let sockets = endpoint::count(facts.handed.count, &options.listen);
    if let Ready::Newline(number) = ready
        && sockets > 0
        && number < 3 + i32::from(sockets)
    {
        return Err(Error::usage(format_args!("option --ready fd:{number} takes the number of a socket")));
    }
    let (syslog, debug) = (syslog(options), debug(options));
    let notify = facts.env.get(NOTIFY_SOCKET).map(|address| (address.to_vec(), facts.ping));
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
        quiet: options.is_quiet(),
        policy,
        traps,
        ready,
        env_source,
        syslog,
        stay,
        moves: steps::moves(options, facts),
        hides_keys: options.user.is_some() && !options.has(Id::Stdin),
        ignores_hangup,
    })
}

/// nohup(1) has said so, and nothing on the command line says otherwise.
fn ignores_hangup(options: &Options, facts: &Facts<'_>) -> bool {
    facts.hangup_ignored && !options.background && options.on_signal.iter().all(|(given, _)| *given != Signal::HUP)
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
    let (is, expected, name) = (facts.euid, identity.uid, Clean(&identity.name));
    Err(Error::refused(format_args!(
        "started using wrong user ID ({is}), expected {expected} (only root can become '{name}')"
    )))
}

/// Whether there is nothing to change: then no privilege is needed, as in a user namespace without setgroups(2). Root
/// needs no group that it does not have.
fn is_same(identity: &Identity, facts: &Facts<'_>) -> bool {
    let wanted = |group: &u32| *group == identity.gid || identity.groups.contains(group);
    facts.euid == identity.uid
        && facts.egid == identity.gid
        && facts.groups.as_ref().is_some_and(|groups| {
            let has = |group: &u32| *group == identity.gid || groups.contains(group);
            groups.iter().all(wanted) && (identity.uid == 0 || identity.groups.iter().all(has))
        })
}

/// The server's environment before all files, which has to be known before those of `--file-env` are read.
///
/// # Errors
/// If the user is unknown, or vsrun cannot become that user.
pub fn base_environment(options: &Options, facts: &Facts<'_>) -> Result<Environ> {
    Ok(steps::base(options, facts, identity(options, facts)?.as_ref()))
}

fn handler(
    path: Word,
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Program> {
    let mut env = facts.env.of(identity);
    env.remove(&|name| name.starts_with(b"VSRUN_") || is_for_us(name));
    env.set(b"VSRUN_SERVER_COMMAND", &shortened(shell_words(options.command.iter().map(|word| word.to_bytes()))));
    let full = steps::absolute(path, facts)?;
    Ok(steps::beside(path, vec![full], vec![path], env, identity, change, steps::spare(options)))
}

/// A variable above 128 KiB, and all of them together above some limit, keep a program from being executed (E2BIG): the
/// handler would never run.
fn shortened(mut text: Vec<u8>) -> Vec<u8> {
    const LONGEST: usize = 64 * 1024;
    if text.len() > LONGEST {
        text.truncate(LONGEST - 3);
        text.extend_from_slice(b"...");
    }
    text
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
        // A manager opens it again, wherever it is by then.
        let later = steps::absolute(dir, facts).unwrap_or(dir);
        return Ok(Output::Files { dir, later, rules, writer });
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
    let owner = change.map(|identity| (identity.uid, identity.gid));
    let program = steps::beside(command, paths, words, env, identity, change, steps::spare(options));
    Ok(Output::Logger(program, owner))
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
