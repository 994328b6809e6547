//! The steps to a program, in their order. The order is the security.

use alloc::vec::Vec;

use super::account::Identity;
use super::endpoint;
use super::environ::Environ;
use super::error::{Error, Result};
use super::expand;
use super::facts::{Facts, Terminal};
use super::flags::Id;
use super::options::Options;
use super::ready::Ready;
use super::retention::Rules;
use super::server_env;
use super::step::{Rights, Step};
use super::text::parts;
use super::word::{Word, word};

/// Where a command without a slash is looked for when there is no PATH.
pub const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to start: the way there, and the program itself.
#[derive(Debug)]
pub struct Program {
    /// What is done to the process, in order; the last step is the exec.
    pub steps: Vec<Step>,
    /// Where the program may be, in order.
    pub paths: Vec<Word>,
    /// Its arguments, its own name first.
    pub argv: Vec<Word>,
    /// Its environment.
    pub env: Environ,
}

/// The server: all the way in, and down.
///
/// # Errors
/// When a path cannot be made absolute.
#[inline(never)]
pub fn server(
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Program> {
    let mut env = server_env::complete(options, facts, identity);
    if let Some(span) = options.watchdog {
        // The number follows in each life.
        env.remove(&|name| name == b"WATCHDOG_PID");
        env.set(b"WATCHDOG_USEC", format!("{}", span.0.saturating_mul(1000)).as_bytes());
    }
    facts.handed.tell(&options.listen, &mut env);
    let mut argv = options.command.clone();
    if options.has(Id::Expand) {
        expand::expand(&mut argv, &env)?;
    }
    let command = argv.first().copied().unwrap_or_default();
    if let (Some(name), Some(first)) = (options.argv0, argv.first_mut()) {
        *first = name;
    }

    let mut steps = Vec::new();
    steps.extend(session(options, facts));
    if let Some(path) = options.pidfile {
        steps.push(if options.stays() { Step::Number(path) } else { Step::Pidfile(path) });
    }
    if !options.has(Id::Stdin) {
        steps.push(Step::Input);
    }
    // Limits last: one of descriptors or files may hinder what the others need. What follows opens nothing.
    for is_limit in [false, true] {
        steps.extend(options.attributes.iter().filter(|step| matches!(step, Step::Limit(_)) == is_limit));
    }
    if options.syslog.is_some() || options.logdir.is_some() {
        steps.push(Step::Output);
    }
    let sockets = endpoint::count(facts.handed.count, &options.listen);
    if sockets > 0 {
        steps.push(Step::Sockets(sockets));
    }
    steps.extend(options.watchdog.map(|_| Step::Watchdog));
    steps.extend(directories(options, facts)?);
    privileges(&mut steps, identity, change, if options.caps.is_some() { Rights::Stay } else { Rights::Gone });
    steps.extend(options.caps.map(Step::Capabilities));
    if options.has(Id::NoNewPrivs) {
        steps.push(Step::NoNewPrivileges);
    }
    steps.extend(options.umask.map(Step::Umask));
    steps.push(Step::Descriptors);
    if let Some(Ready::Newline(number)) = options.ready {
        steps.push(Step::Ready(number));
    }
    steps.push(Step::Exec(command));
    let paths = search(command, env.get(b"PATH"));
    Ok(Program { steps, paths, argv, env })
}

/// Clean signals, and the right place among sessions and terminals.
fn session(options: &Options, facts: &Facts<'_>) -> Vec<Step> {
    match (options.stays(), options.background) {
        // The one who takes the foreground must still have SIGTTOU blocked. Another user never gets the terminal.
        (true, false) if options.has(Id::Stdin) && facts.terminal == Terminal::Ours && options.user.is_none() => {
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
#[inline(never)]
fn directories(options: &Options, facts: &Facts<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    // A detached manager stands in /, so the caller's directory has to be named.
    let moved = options.background && options.stays();
    if let Some(root) = options.root {
        steps.push(Step::Root(if moved { absolute(root, facts)? } else { root }));
        steps.push(Step::Dir(c"/"));
    }
    match (options.work_dir, options.root, options.logdir) {
        (Some(dir), Some(_), _) => steps.extend([Step::Dir(dir), Step::Inside(dir)]),
        (Some(dir), None, _) | (None, None, Some((dir, _))) => {
            steps.push(Step::Dir(if moved { absolute(dir, facts)? } else { dir }));
        }
        (None, Some(_), _) => {}
        (None, None, None) if moved => steps.push(Step::Dir(absolute(c".", facts)?)),
        (None, None, None) => {}
    }
    Ok(steps)
}

/// Groups first, while there is still the right to set them; the user id last, and with it the capabilities; then the
/// proof. One who is that user already has only capabilities to lose.
#[inline(never)]
fn privileges(steps: &mut Vec<Step>, identity: Option<&Identity>, change: Option<&Identity>, rights: Rights) {
    if let Some(Identity { uid, gid, groups, .. }) = change {
        steps.push(Step::Groups(groups.clone().leak()));
        steps.push(Step::Gid(*gid));
        steps.push(Step::Uid(*uid, rights));
    }
    // Root's are its own.
    if identity.is_some_and(|identity| identity.uid != 0) && (change.is_some() || rights == Rights::Gone) {
        steps.push(Step::Rights(rights));
    }
    if let Some(Identity { uid, gid, groups, .. }) = change {
        let mut groups = groups.clone();
        groups.sort_unstable();
        groups.dedup();
        steps.push(Step::Proof { uid: *uid, gid: *gid, groups: groups.leak() });
    }
}

/// A program beside the server, outside of its root: in `/`, as the same user, with nothing but 0 to 2.
pub fn beside(
    command: Word,
    paths: Vec<Word>,
    argv: Vec<Word>,
    env: Environ,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Program {
    let mut steps = vec![Step::Signals, Step::Session, Step::Input, Step::Output, Step::Dir(c"/")];
    privileges(&mut steps, identity, change, Rights::Gone);
    steps.push(Step::Descriptors);
    steps.push(Step::Exec(command));
    Program { steps, paths, argv, env }
}

/// vsrun's own writer, beside the server and with the same signals blocked as vsrun.
pub fn writer(rules: Rules, change: Option<&Identity>) -> Program {
    let mut steps = vec![Step::Session, Step::Input, Step::Output, Step::Dir(c"/")];
    privileges(&mut steps, change, change, Rights::Gone);
    steps.push(Step::Write(rules));
    Program { steps, paths: Vec::new(), argv: Vec::new(), env: Environ::default() }
}

/// Where a command may be: itself, when it has a slash, otherwise in each directory of PATH, where an empty one
/// means the working directory, as in execvp(3).
pub fn search(command: Word, path: Option<&[u8]>) -> Vec<Word> {
    if command.is_empty() || command.to_bytes().contains(&b'/') {
        return vec![command];
    }
    let dirs = parts(path.unwrap_or(PATH), b':');
    dirs.map(|dir| match dir {
        b"" => word([b"./", command.to_bytes()].concat()),
        dir => word([dir, b"/", command.to_bytes()].concat()),
    })
    .collect()
}

/// The path from the caller's directory on.
pub fn absolute(path: Word, facts: &Facts<'_>) -> Result<Word> {
    let bytes = path.to_bytes();
    if bytes.starts_with(b"/") {
        return Ok(path);
    }
    let Some(cwd) = &facts.cwd else {
        return Err(Error::refused(format_args!(
            "cannot tell the current directory: give all paths, and --work-dir, from / on"
        )));
    };
    let rest = bytes.strip_prefix(b"./").unwrap_or(bytes);
    Ok(if bytes == b"." { word(cwd.clone()) } else { word([cwd, &b"/"[..], rest].concat()) })
}
