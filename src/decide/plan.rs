//! From what the caller wants and how the world is to what will be done: the steps in their order, and whether
//! vsrun becomes the server or stays. The order of the steps is the security; launch.rs performs them blindly.

use alloc::borrow::Cow;
use alloc::ffi::CString;
use alloc::vec::Vec;

use super::account::{self, Identity};
use super::cli::Options;
use super::environ::{Environ, Word, word};
use super::error::{Error, Result};
use super::policy::{Handling, Policy, Restart};
use super::signal::Signal;
use super::step::Step;
use super::text::shell_words;
use super::time::Span;

/// Where a command without a slash is looked for when there is no PATH.
pub const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the world is, read once.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    /// The effective user id.
    pub euid: u32,
    /// Whether the kernel lets this process change its ids at all.
    pub ids: Ids,
    /// Whether descriptor 0 is the terminal that controls this process; asked only where the plan needs it.
    pub terminal: Terminal,
    /// The current directory, where the plan needs it and the kernel can tell it.
    pub cwd: Option<Vec<u8>>,
    /// The bytes of /etc/passwd, empty where there is none.
    pub passwd: &'a [u8],
    /// The bytes of /etc/group, empty where there is none.
    pub group: &'a [u8],
    /// vsrun's own environment.
    pub env: Environ,
}

/// Whether a process may change its user and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// It has the capabilities for it.
    #[default]
    Free,
    /// It has not, though it may be uid 0.
    Fixed,
}

/// Whose terminal standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Terminal {
    /// The one that controls this process.
    Ours,
    /// None, or somebody else's.
    #[default]
    Other,
}

/// A program to start: the way there, and the program itself.
#[derive(Debug)]
pub struct Program {
    /// What is done to the process, in order; the last step is the exec.
    pub steps: Vec<Step>,
    /// Where the program may be, in order.
    pub paths: Vec<CString>,
    /// Its arguments, its own name first.
    pub argv: Vec<Word>,
    /// Its environment.
    pub env: Environ,
}

/// All that will be done.
#[derive(Debug)]
pub struct Plan {
    /// The server.
    pub server: Program,
    /// The command as a shell would read it.
    pub command: Vec<u8>,
    /// The server's pidfile.
    pub pidfile: Option<CString>,
    /// Where words go.
    pub output: Output,
    /// Whether the caller gets its prompt back.
    pub background: bool,
    /// Whether an undo after the drop of privileges needs somebody who keeps them.
    pub drops: bool,
    /// Whether each step is told.
    pub debug: bool,
    /// What vsrun does when it stays. None: it becomes the server.
    pub stay: Option<Stay>,
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
        dir: CString,
        /// How long renamed files are kept.
        keep: Span,
        /// User and group that a created directory and the server's file belong to.
        owner: Option<(u32, u32)>,
    },
}

/// What vsrun does when it stays.
#[derive(Debug)]
pub struct Stay {
    /// The manager's own pidfile.
    pub pidfile: Option<CString>,
    /// Who is asked after an unexpected end.
    pub handler: Option<Program>,
    /// The rules.
    pub policy: Policy,
}

/// Makes the plan.
///
/// # Errors
/// When the user is unknown or cannot be had, or a path cannot be made absolute.
pub fn plan(options: Options, facts: &Facts<'_>) -> Result<Plan> {
    let identity = identity(&options, facts)?;
    let change = identity.as_ref().filter(|_| facts.euid == 0 && facts.ids == Ids::Free);
    let handler = match options.manager.as_ref().and_then(|managed| managed.handler.as_ref()) {
        Some(path) => Some(handler(path, &options, facts, identity.as_ref(), change)?),
        None => None,
    };
    let output = output(&options, facts, identity.as_ref(), change)?;
    let command = shell_words(options.command.iter().map(|word| word.to_bytes()));
    let server = server(&options, facts, identity.as_ref(), change)?;
    let policy = policy(&options);
    let stay =
        options.stays().then(|| Stay { pidfile: options.manager.and_then(|managed| managed.pidfile), handler, policy });
    Ok(Plan {
        server,
        command,
        pidfile: options.pidfile,
        output,
        background: options.background,
        drops: change.is_some_and(|identity| identity.uid != 0),
        debug: options.debug,
        stay,
    })
}

/// Who the server will be. None: who we are.
fn identity(options: &Options, facts: &Facts<'_>) -> Result<Option<Identity>> {
    let Some(login) = &options.user else { return Ok(None) };
    let identity = account::resolve(login, facts.passwd, facts.group)?;
    if facts.euid == 0 || facts.euid == identity.uid {
        return match facts.ids {
            Ids::Fixed if facts.euid != identity.uid => {
                Err(Error::refused(format!("cannot become user {}: root has no capability for it here", identity.uid)))
            }
            Ids::Free | Ids::Fixed => Ok(Some(identity)),
        };
    }
    if options.no_user_checks {
        return Ok(None);
    }
    let (is, expected) = (facts.euid, identity.uid);
    Err(Error::refused(format!("started using wrong user ID ({is}), expected {expected}")))
}

fn server(
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Program> {
    let mut env = Environ(facts.env.0.clone());
    if let Some(identity) = identity {
        env.log_in(identity);
    }
    for entry in &options.env {
        env.put(entry);
    }
    let command = options.command.first().cloned().unwrap_or_default();
    let mut argv: Vec<Word> = options.command.iter().cloned().map(Cow::Owned).collect();
    if let (Some(name), Some(first)) = (&options.argv0, argv.first_mut()) {
        *first = Cow::Owned(name.clone());
    }

    let mut steps = Vec::new();
    steps.extend(session(options, facts));
    if let Some(path) = &options.pidfile {
        steps.push(if options.stays() { Step::Number(path.clone()) } else { Step::Pidfile(path.clone()) });
    }
    if !options.stdin {
        steps.push(Step::Input);
    }
    if options.syslog.is_some() || options.logdir.is_some() {
        steps.push(Step::Output);
    }
    steps.extend(directories(options, facts)?);
    steps.extend(change.map(privileges).into_iter().flatten());
    steps.extend(options.umask.map(Step::Umask));
    steps.push(Step::Descriptors);
    steps.push(Step::Exec(command.clone()));
    let paths = search(&command, env.get(b"PATH"));
    Ok(Program { steps, paths, argv, env })
}

/// Clean signals, and the right place among sessions and terminals.
fn session(options: &Options, facts: &Facts<'_>) -> Vec<Step> {
    match (options.stays(), options.background) {
        // The one who takes the foreground must still have SIGTTOU blocked. Another user never gets the terminal.
        (true, false) if options.stdin && facts.terminal == Terminal::Ours && options.user.is_none() => {
            vec![Step::Foreground, Step::Signals]
        }
        (true, _) => vec![Step::Signals, Step::Session],
        // Detached, it is in the session of a leader that is gone: no terminal is left.
        (false, true) => vec![Step::Signals],
        (false, false) if options.user.is_some() => vec![Step::Signals, Step::Terminal],
        (false, false) => vec![Step::Signals],
    }
}

/// Into the root, and then into the working directory inside of it.
fn directories(options: &Options, facts: &Facts<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    // A detached manager stands in /, so the caller's directory has to be named.
    let moved = options.background && options.stays();
    if let Some(root) = &options.root {
        steps.push(Step::Root(if moved { absolute(root, facts)? } else { root.clone() }));
        steps.push(Step::Dir(c"/".into()));
    }
    match (&options.work_dir, &options.root, &options.logdir) {
        (Some(dir), Some(_), _) => steps.push(Step::Dir(dir.clone())),
        (Some(dir), None, _) | (None, None, Some((dir, _))) => {
            steps.push(Step::Dir(if moved { absolute(dir, facts)? } else { dir.clone() }));
        }
        (None, Some(_), _) => {}
        (None, None, None) if moved => steps.push(Step::Dir(absolute(c".", facts)?)),
        (None, None, None) => {}
    }
    Ok(steps)
}

/// Groups first, while there is still the right to set them; the user id last; then the proof.
fn privileges(identity: &Identity) -> [Step; 4] {
    let (uid, gid) = (identity.uid, identity.gid);
    let mut sorted = identity.groups.clone();
    sorted.sort_unstable();
    sorted.dedup();
    [Step::Groups(identity.groups.clone()), Step::Gid(gid), Step::Uid(uid), Step::Proof { uid, gid, groups: sorted }]
}

/// A program beside the server, outside of its root: in `/`, as the same user, with nothing but 0 to 2.
fn beside(command: CString, paths: Vec<CString>, argv: Vec<Word>, env: Environ, change: Option<&Identity>) -> Program {
    let mut steps = vec![Step::Signals, Step::Session, Step::Input, Step::Output, Step::Dir(c"/".into())];
    steps.extend(change.map(privileges).into_iter().flatten());
    steps.push(Step::Descriptors);
    steps.push(Step::Exec(command));
    Program { steps, paths, argv, env }
}

fn handler(
    path: &CString,
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Program> {
    let mut env = Environ(facts.env.0.clone());
    env.remove(|name| name.starts_with(b"VSRUN_"));
    if let Some(identity) = identity {
        env.log_in(identity);
    }
    env.set(b"VSRUN_SERVER_COMMAND", &shell_words(options.command.iter().map(|word| word.to_bytes())));
    let full = absolute(path, facts)?;
    Ok(beside(path.clone(), vec![full], vec![Cow::Owned(path.clone())], env, change))
}

fn output(
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Output> {
    if let Some((dir, keep)) = &options.logdir {
        let owner = change.map(|identity| (identity.uid, identity.gid));
        return Ok(Output::Files { dir: dir.clone(), keep: *keep, owner });
    }
    let Some(tag) = &options.syslog else { return Ok(Output::Same) };
    let words = match &options.logger {
        Some(words) => words.clone(),
        None => vec![c"logger".into(), c"-t".into(), tag.clone()],
    };
    let command = words.first().cloned().unwrap_or_default();
    let mut paths = search(&command, facts.env.get(b"PATH"));
    for path in &mut paths {
        *path = absolute(path, facts)?;
    }
    let mut env = Environ(facts.env.0.clone());
    if let Some(identity) = identity {
        env.log_in(identity);
    }
    let argv = words.into_iter().map(Cow::Owned).collect();
    Ok(Output::Logger(beside(command, paths, argv, env, change)))
}

fn policy(options: &Options) -> Policy {
    let handler = match (&options.manager, options.handler_timeout) {
        (Some(managed), timeout) if managed.handler.is_some() => timeout.map_or(Handling::Patient, Handling::Within),
        _ => Handling::Absent,
    };
    Policy {
        restart: options.restart.unwrap_or(Restart::OnFailure),
        success: options.success_exit.unwrap_or_default(),
        delay: options.restart_delay.unwrap_or((Span::millis(100), Span::secs(30))),
        limit: options.restart_limit,
        handler,
        stop_signal: options.stop_signal.unwrap_or(Signal::TERM),
        stop_timeout: Some(options.stop_timeout.unwrap_or(Span::secs(30))).filter(|span| *span > Span::ZERO),
    }
}

/// Where a command may be: itself, when it has a slash, otherwise in each directory of PATH, where an empty one
/// means the working directory, as in execvp(3).
fn search(command: &CString, path: Option<&[u8]>) -> Vec<CString> {
    if command.is_empty() || command.to_bytes().contains(&b'/') {
        return vec![command.clone()];
    }
    let dirs = path.unwrap_or(PATH).split(|byte| *byte == b':');
    dirs.map(|dir| match dir {
        b"" => word([b"./", command.to_bytes()].concat()),
        dir => word([dir, b"/", command.to_bytes()].concat()),
    })
    .collect()
}

/// The path from the caller's directory on.
fn absolute(path: &core::ffi::CStr, facts: &Facts<'_>) -> Result<CString> {
    let bytes = path.to_bytes();
    if bytes.starts_with(b"/") {
        return Ok(path.into());
    }
    let Some(cwd) = &facts.cwd else {
        return Err(Error::refused("cannot tell the current directory: give all paths, and --work-dir, from / on"));
    };
    let rest = bytes.strip_prefix(b"./").unwrap_or(bytes);
    Ok(if bytes == b"." { word(cwd.clone()) } else { word([cwd, &b"/"[..], rest].concat()) })
}

#[cfg(test)]
mod tests;
