//! The steps to a program, in their order. The order is the security.

use alloc::vec::Vec;

use super::account::Identity;
use super::endpoint;
use super::environ::Environ;
use super::error::{Error, Result};
use super::facts::{Facts, Terminal};
use super::options::Options;
use super::ready::{NOTIFY_SOCKET, Ready};
use super::step::Step;
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
pub fn server(
    options: &Options,
    facts: &Facts<'_>,
    identity: Option<&Identity>,
    change: Option<&Identity>,
) -> Result<Program> {
    let mut env = facts.env.of(identity);
    if options.stays() {
        // vsrun reports there itself.
        env.remove(&|name| name == NOTIFY_SOCKET);
    }
    for entry in options.env.iter().copied() {
        env.put(entry);
    }
    facts.handed.tell(&options.listen, &mut env);
    let command = options.command.first().copied().unwrap_or_default();
    let mut argv = options.command.clone();
    if let (Some(name), Some(first)) = (options.argv0, argv.first_mut()) {
        *first = name;
    }

    let mut steps = Vec::new();
    steps.extend(session(options, facts));
    if let Some(path) = options.pidfile {
        steps.push(if options.stays() { Step::Number(path) } else { Step::Pidfile(path) });
    }
    if !options.stdin {
        steps.push(Step::Input);
    }
    if options.syslog.is_some() || options.logdir.is_some() {
        steps.push(Step::Output);
    }
    let sockets = endpoint::count(facts.handed.count, &options.listen);
    if sockets > 0 {
        steps.push(Step::Sockets(sockets));
    }
    steps.extend(directories(options, facts)?);
    if let Some(identity) = change {
        steps.extend(privileges(identity));
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

/// Groups first, while there is still the right to set them; the user id last; then the proof.
fn privileges(identity: &Identity) -> [Step; 4] {
    let (uid, gid) = (identity.uid, identity.gid);
    let mut sorted = identity.groups.clone();
    sorted.sort_unstable();
    sorted.dedup();
    [Step::Groups(identity.groups.clone()), Step::Gid(gid), Step::Uid(uid), Step::Proof { uid, gid, groups: sorted }]
}

/// A program beside the server, outside of its root: in `/`, as the same user, with nothing but 0 to 2.
pub fn beside(command: Word, paths: Vec<Word>, argv: Vec<Word>, env: Environ, change: Option<&Identity>) -> Program {
    let mut steps = vec![Step::Signals, Step::Session, Step::Input, Step::Output, Step::Dir(c"/")];
    if let Some(identity) = change {
        steps.extend(privileges(identity));
    }
    steps.push(Step::Descriptors);
    steps.push(Step::Exec(command));
    Program { steps, paths, argv, env }
}

/// Where a command may be: itself, when it has a slash, otherwise in each directory of PATH, where an empty one
/// means the working directory, as in execvp(3).
pub fn search(command: Word, path: Option<&[u8]>) -> Vec<Word> {
    if command.is_empty() || command.to_bytes().contains(&b'/') {
        return vec![command];
    }
    let dirs = path.unwrap_or(PATH).split(|byte| *byte == b':');
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
