//! vsrun called by the name of another tool: that tool's command line, translated to vsrun's own options and to a
//! `Personality` for what no option can say.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::conflicts;
use super::flags::Id;
use super::help::Text;
use super::options::Options;
use super::parse::Request;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::{Escaped, place_of};
use crate::logic::plan::env::Env;
use crate::logic::plan::personality::{CallerSignals, Personality, VSRUN};
use crate::logic::supervisor::policy::AtExit;
use crate::logic::supervisor::signal_action::SignalAction;

/// The tools whose place vsrun can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Tini,
    Catatonit,
    DumbInit,
    Gosu,
    SuExec,
}

/// The name that vsrun was called by.
#[derive(Clone, Copy, Debug)]
pub struct Called {
    tool: Tool,
    /// The name.
    pub name: &'static [u8],
}

/// The exit status of these tools for wrong usage, and for most failures.
const FAILED: u8 = 1;
/// The variable with further options of vsrun.
pub const VARIABLE: &[u8] = b"VSRUN_ARGS";

impl Called {
    /// The tool that the last part of `argv[0]` names.
    pub fn by(argv0: StaticCStr) -> Option<Self> {
        const NAMES: &[u8] = b"docker-init,podman-init,tini,tini-static,catatonit,dumb-init,gosu,su-exec";
        let name = argv0.to_bytes().rsplit(|byte| *byte == b'/').next()?;
        let tool = match place_of(NAMES, name)? {
            0..=3 => Tool::Tini,
            4 => Tool::Catatonit,
            5 => Tool::DumbInit,
            6 => Tool::Gosu,
            _ => Tool::SuExec,
        };
        Some(Self { tool, name })
    }

    /// The tool's exit status for a failure that has this one of vsrun's.
    pub fn status(self, status: u8) -> u8 {
        if status == exit::SETUP { FAILED } else { status }
    }
}

/// What the translation has to know of vsrun's caller.
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The environment.
    pub env: Env,
    /// The signals as it has left them.
    pub signals: CallerSignals,
}

/// What a tool's command line asks for.
#[derive(Clone, Copy)]
enum Asked {
    /// Start the command.
    Start,
    /// Start nothing, and wait for a signal.
    Pause,
    /// Print the usage to this descriptor, and exit with this status.
    Usage(i32, u8),
    /// Print the version to this descriptor.
    Version(i32),
    /// Print the license.
    License,
}

/// A tool's command line, while it is read.
struct Line<'a> {
    called: Called,
    words: &'a [StaticCStr],
    caller: &'a Caller,
    personality: &'static mut Personality,
    options: &'a mut Options,
    /// What signals do, if that is not what they do with `--init`.
    signals: Vec<(Signal, SignalAction)>,
    /// How much is reported: from 1, only errors, to 3, every step.
    verbosity: u8,
}

/// Translates the words after `argv[0]`.
///
/// # Errors
/// Wrong usage, with the tool's exit status, or with vsrun's for a word in `VSRUN_ARGS`.
#[inline(never)]
pub fn translate(
    called: Called,
    words: &[StaticCStr],
    caller: &Caller,
    options: &mut Options,
    at_exit: &mut Option<AtExit>,
) -> Result<Request> {
    let own = Personality { is_transparent: true, signals: caller.signals, ..VSRUN };
    let personality = Box::leak(Box::new(own));
    let mut line = Line { called, words, caller, personality, options, signals: Vec::new(), verbosity: 1 };
    let (row, is_init) = match called.tool {
        Tool::Tini => (&inits::TINI, true),
        Tool::Catatonit => (&inits::CATATONIT, true),
        Tool::DumbInit => (&inits::DUMB_INIT, true),
        Tool::Gosu | Tool::SuExec => (&gosu::ROW, false),
    };
    let asked = if is_init { inits::read(&mut line, row) } else { gosu::read(&mut line) };
    let (parts, to, status) = match asked? {
        Asked::Start => {
            if let Some(text) = caller.env.get(VARIABLE).filter(|_| is_init) {
                let statuses = line.options.success_exit.take();
                further::read(text, line.options, at_exit)?;
                if let Some(statuses) = statuses {
                    line.options.success_exit.get_or_insert_default().join(&statuses);
                }
            }
            return line.apply(is_init).map(|()| Request::Run);
        }
        Asked::Pause => return Ok(Request::Pause(inits::OF_THE_KERNEL)),
        Asked::Usage(to, status) => ([b"Usage: ", called.name, row.usage, REST], to, status),
        Asked::Version(to) => ([row.version, OWN, b"", b""], to, exit::OK),
        Asked::License => ([&b"vsrun: MIT or Apache-2.0\n"[..], b"", b"", b""], 1, exit::OK),
    };
    Ok(Request::Text(Text { bytes: parts.concat(), to, status }))
}

/// What follows a tool's usage.
const REST: &[u8] =
    concat!("\nThis is vsrun ", env!("CARGO_PKG_VERSION"), ": see OTHER NAMES in vsrun(8).\n").as_bytes();
/// What follows a tool's version.
const OWN: &[u8] = concat!(" (vsrun ", env!("CARGO_PKG_VERSION"), ")\n").as_bytes();

/// What the command line of a tool looks like.
struct Row {
    /// The letters, as `Getopt` has them.
    letters: &'static [u8],
    /// The long names, as `Getopt` has them.
    long: &'static [u8],
    /// The usage, after the name.
    usage: &'static [u8],
    /// The version, without vsrun's own.
    version: &'static [u8],
}

impl Line<'_> {
    /// Finishes the options. What `VSRUN_ARGS` says takes precedence.
    fn apply(self, is_init: bool) -> Result<()> {
        let Self { personality, options, signals, verbosity, .. } = self;
        options.given.insert(Id::Stdin);
        if is_init && !options.is_supervised() {
            options.given.insert(Id::Init);
        }
        for (signal, action) in signals {
            if options.on_signal.iter().all(|(given, _)| *given != signal) {
                options.on_signal.push((signal, action));
            }
        }
        for (signal, _) in &options.on_signal {
            personality.unhandled &= !signal.bit();
        }
        if verbosity > 1 {
            options.quiet.get_or_insert(false);
        }
        if verbosity > 2 {
            options.given.insert(Id::Debug);
        }
        // Options that ask for more records, or make the init a manager, end the silence.
        personality.is_silent &= options.quiet.is_none() && options.is_quiet();
        options.personality = personality;
        options.join_sockets();
        conflicts::reject_conflicts(options)
    }
}

/// Wrong usage of a tool: a word, and what is before and after it in the message.
#[inline(never)]
fn usage_error(before: &str, word: &[u8], after: &str) -> Error {
    Error::new(FAILED, format_args!("{before}'{}'{after}", Escaped(word)))
}

mod dumb_init;
mod further;
mod getopt;
mod gosu;
mod inits;
#[cfg(test)]
mod tests;
mod tini;
