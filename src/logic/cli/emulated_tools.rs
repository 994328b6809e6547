//! vsrun called by the name of another tool: translates that tool's command line to vsrun's options, and to a
//! `Personality` for behaviour that no option of vsrun has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::conflicts;
use super::flags::Id;
use super::help::ToolText;
use super::options::Options;
use super::parse::Request;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::Result;
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::index_in_comma_list;
use crate::logic::plan::env::Env;
use crate::logic::plan::personality::{CallerSignals, Personality, VSRUN};
use crate::logic::supervisor::policy::AtExit;
use crate::logic::supervisor::signal_action::SignalAction;

/// The tools whose command lines vsrun understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Tini,
    Catatonit,
    DumbInit,
    Gosu,
    SuExec,
}

/// The name by which vsrun was called, if it is that of another tool.
#[derive(Clone, Copy, Debug)]
pub struct ToolName {
    tool: Tool,
    /// The name by which vsrun was called, for the usage text and error messages.
    pub name: &'static [u8],
}

/// The exit status of tini, catatonit, dumb-init, gosu and su-exec for wrong usage, and for most other failures.
const TOOL_FAILURE: u8 = exit::EMULATION_FAILED;
/// The environment variable that adds options of vsrun to the command line of an init.
pub const ARGS_VARIABLE: &[u8] = b"VSRUN_ARGS";

impl ToolName {
    /// The tool that the last component of `argv[0]` names; None if it is vsrun's own or an unknown name.
    pub fn from_argv0(argv0: StaticCStr) -> Option<Self> {
        const NAMES: &[u8] = b"docker-init,podman-init,tini,tini-static,catatonit,dumb-init,gosu,su-exec";
        let name = argv0.to_bytes().rsplit(|byte| *byte == b'/').next()?;
        let tool = match index_in_comma_list(NAMES, name)? {
            0..=3 => Tool::Tini,
            4 => Tool::Catatonit,
            5 => Tool::DumbInit,
            6 => Tool::Gosu,
            _ => Tool::SuExec,
        };
        Some(Self { tool, name })
    }

    /// Translates vsrun's exit status for a failure into that of the tool: 125 becomes 1.
    pub fn convert_status(self, status: u8) -> u8 {
        if status == exit::VSRUN_FAILED { TOOL_FAILURE } else { status }
    }
}

/// Attributes that vsrun has inherited from its caller, as far as the translation of a tool's command line needs them.
pub struct InheritedAttributes {
    /// vsrun's own effective user id.
    pub uid: u32,
    /// vsrun's own effective group id.
    pub gid: u32,
    /// vsrun's own environment, as its caller has set it.
    pub env: Env,
    /// The signals that the process inherited as ignored or blocked.
    pub signals: CallerSignals,
}

/// What a tool's command line asks vsrun to do.
#[derive(Clone, Copy)]
enum ToolRequest {
    /// Start the command.
    Start,
    /// Start no command, and wait for a signal.
    WaitForSignal,
    /// Print the usage to this descriptor, and exit with this status.
    Usage(i32, u8),
    /// Print the version to this descriptor.
    Version(i32),
    /// Print the licence.
    License,
}

/// A tool's command line during its translation: what it consists of, and what it means for vsrun.
struct ToolCommandLine<'a> {
    tool_name: ToolName,
    words: &'a [StaticCStr],
    caller: &'a InheritedAttributes,
    personality: &'static mut Personality,
    options: &'a mut Options,
    /// The signals that have another action than with `--init`, each with its action.
    signals: Vec<(Signal, SignalAction)>,
    /// How much vsrun records: errors only (0 and 1; at 1 also orphans, with tini's `-w`), its usual records (2), or
    /// every step too (3 and more).
    verbosity: u8,
}

/// Translates the arguments that follow `argv[0]` on another tool's command line.
///
/// # Errors
/// Wrong usage: with the tool's exit status, or with vsrun's own if the error is in `VSRUN_ARGS`.
#[inline(never)]
pub fn translate(
    called: ToolName,
    words: &[StaticCStr],
    caller: &InheritedAttributes,
    options: &mut Options,
    at_exit: &mut Option<AtExit>,
) -> Result<Request> {
    let own = Personality { inherits_fds_and_signals: true, signals: caller.signals, ..VSRUN };
    let personality = Box::leak(Box::new(own));
    let mut line =
        ToolCommandLine { tool_name: called, words, caller, personality, options, signals: Vec::new(), verbosity: 1 };
    let (syntax, kind) = match called.tool {
        Tool::Tini => (&inits::TINI, ToolKind::Init),
        Tool::Catatonit => (&inits::CATATONIT, ToolKind::Init),
        Tool::DumbInit => (&inits::DUMB_INIT, ToolKind::Init),
        Tool::Gosu | Tool::SuExec => (&gosu::SYNTAX, ToolKind::UserSwitcher),
    };
    let request = match kind {
        ToolKind::Init => inits::parse_command_line(&mut line, syntax),
        ToolKind::UserSwitcher => gosu::parse_command_line(&mut line),
    };
    let (parts, to, status) = match request? {
        ToolRequest::Start => {
            if let Some(text) = caller.env.get(ARGS_VARIABLE).filter(|_| kind == ToolKind::Init) {
                let statuses = line.options.success_exit.take();
                vsrun_args::parse_options_in_variable(text, line.options, at_exit)?;
                if let Some(statuses) = statuses {
                    line.options.success_exit.get_or_insert_default().merge(&statuses);
                }
            }
            return line.apply_to_options(kind).map(|()| Request::Run);
        }
        ToolRequest::WaitForSignal => return Ok(Request::WaitForSignal(inits::FAULT_SIGNALS)),
        ToolRequest::Usage(to, status) => ([b"Usage: ", called.name, syntax.usage, USAGE_FOOTER], to, status),
        ToolRequest::Version(to) => ([syntax.version, VERSION_SUFFIX, b"", b""], to, exit::OK),
        ToolRequest::License => ([&b"vsrun: MIT or Apache-2.0\n"[..], b"", b"", b""], 1, exit::OK),
    };
    Ok(Request::Text(ToolText { bytes: parts.concat(), descriptor: to, status }))
}

/// The line that vsrun prints after the usage of a tool.
const USAGE_FOOTER: &[u8] =
    concat!("\nThis is vsrun ", env!("CARGO_PKG_VERSION"), ": see OTHER NAMES in vsrun(8).\n").as_bytes();
/// The end of a tool's version line: the version of vsrun.
const VERSION_SUFFIX: &[u8] = concat!(" (vsrun ", env!("CARGO_PKG_VERSION"), ")\n").as_bytes();

/// What a tool does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ToolKind {
    /// It is the init of a container.
    Init,
    /// It changes the user, and becomes the command.
    UserSwitcher,
}

/// The command line syntax of a tool.
struct ToolSyntax {
    /// The option letters, in the form of `Getopt::letters`.
    letters: &'static [u8],
    /// The long option names, in the form of `Getopt::long_names`.
    long_names: &'static [u8],
    /// The usage, without the tool's name at the beginning.
    usage: &'static [u8],
    /// The version text of the tool, which the version of vsrun follows.
    version: &'static [u8],
}

impl ToolCommandLine<'_> {
    /// Applies what a tool's command line means to the options of vsrun. Options in `VSRUN_ARGS` take precedence.
    fn apply_to_options(self, kind: ToolKind) -> Result<()> {
        let Self { personality, options, signals, verbosity, .. } = self;
        options.given.test_and_set(Id::Stdin);
        if kind == ToolKind::Init && !options.is_supervised() {
            options.given.test_and_set(Id::Init);
        }
        for (signal, action) in signals {
            if options.on_signal.iter().all(|(given, _)| *given != signal) {
                options.on_signal.push((signal, action));
            }
        }
        for (signal, _) in &options.on_signal {
            personality.unhandled_signals &= !signal.bit();
        }
        if verbosity > 1 {
            options.quiet.get_or_insert(false);
        }
        if verbosity > 2 {
            options.given.test_and_set(Id::Debug);
        }
        // An init records only errors, as the tool does, unless an option requests more records or makes vsrun a
        // manager.
        personality.records_only_errors &= options.quiet.is_none() && options.is_quiet();
        options.personality = personality;
        options.insert_port_socket();
        conflicts::reject_conflicts(options)
    }
}

mod dumb_init_signals;
mod getopt;
mod gosu;
mod inits;
#[cfg(test)]
mod tests;
mod tini;
mod vsrun_args;
