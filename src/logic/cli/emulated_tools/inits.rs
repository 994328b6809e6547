//! The command lines of the inits tini, catatonit and dumb-init: a table of their options, and one loop that reads
//! them. An option letter has the same meaning in all of them.

use super::getopt::Getopt;
use super::{TOOL_FAILURE, Tool, ToolCommandLine, ToolRequest, ToolSyntax, dumb_init_signals, tini};
use crate::logic::base::error::Result;
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::plan::personality::{FailureStatuses, Session};
use crate::logic::supervisor::signal_action::SignalAction;

pub(super) const TINI: ToolSyntax = ToolSyntax {
    letters: b"p:hvwgle:s",
    long_names: b"",
    usage: b" [-ghlsvw] [-e STATUS] [-p SIGNAL] [--] PROGRAM [ARG]... | --version",
    version: b"tini version 0.19.0",
};
pub(super) const CATATONIT: ToolSyntax = ToolSyntax {
    letters: b"ghLPV",
    long_names: b"Vversion",
    usage: b" [-ghLPV] [--] PROGRAM [ARG]...",
    // Docker searches the version text of its init for `tini version`.
    version: b"tini version 0.2.1_catatonit",
};
pub(super) const DUMB_INIT: ToolSyntax = ToolSyntax {
    letters: b"hvVcr:",
    long_names: b"hhelp,csingle-child,rrewrite,vverbose,Vversion",
    usage: b" [-chvV] [-r SIGNUM:SIGNUM]... [--] PROGRAM [ARG]...",
    version: b"dumb-init v1.2.5",
};

/// The set of the signals ILL, TRAP, ABRT, BUS, FPE, SEGV and SYS, which the kernel sends for an error in the init
/// itself. tini and catatonit do not handle them.
pub(super) const FAULT_SIGNALS: u64 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30;

/// Parses the command line and the environment variables of an init.
#[inline(never)]
pub(super) fn parse_command_line(line: &mut ToolCommandLine<'_>, syntax: &ToolSyntax) -> Result<ToolRequest> {
    let (tool, words) = (line.tool_name.tool, line.words);
    // tini accepts `--version` only if it is the only argument.
    if tool == Tool::Tini && words == [c"--version"] {
        return Ok(ToolRequest::Version(1));
    }
    let is = |name: &[u8], value: &[u8]| line.caller.env.get(name) == Some(value);
    let (mut pauses, mut single, debug) = (false, is(b"DUMB_INIT_SETSID", b"0"), is(b"DUMB_INIT_DEBUG", b"1"));
    let mut getopt = Getopt::new(syntax.letters, syntax.long_names, words);
    while let Some((letter, value)) = getopt.next()? {
        match letter {
            b'h' => return Ok(ToolRequest::Usage(if tool == Tool::Tini { 1 } else { 2 }, exit::OK)),
            b'V' => return Ok(ToolRequest::Version(if tool == Tool::DumbInit { 2 } else { 1 })),
            b'l' | b'L' => return Ok(ToolRequest::License),
            b'v' => line.verbosity = line.verbosity.saturating_add(if tool == Tool::Tini { 1 } else { 2 }),
            b'g' => line.personality.forwards_to_group = true,
            b'w' => line.personality.records_orphans = true,
            b'p' => line.personality.parent_death_signal = Some(tini::parse_signal(value)?),
            b'e' => line.options.success_exit.get_or_insert_default().add_shell_status(tini::parse_status(value)?),
            b'r' => dumb_init_signals::add_rewrite(&mut line.signals, value)?,
            b'c' => single = true,
            b'P' => pauses = true,
            // tini's option `-s` changes nothing, because vsrun always adopts orphans.
            _ => {}
        }
    }
    if pauses {
        return Ok(ToolRequest::WaitForSignal);
    }
    // A `--` after the command of dumb-init is an argument of that command.
    line.options.command =
        if tool == Tool::DumbInit { getopt.rest().to_vec() } else { getopt.rest_without_separator() };
    if line.options.command.is_empty() {
        return Ok(ToolRequest::Usage(2, TOOL_FAILURE));
    }
    let personality = &mut *line.personality;
    personality.records_only_errors = !personality.records_orphans;
    if tool == Tool::DumbInit {
        if debug {
            line.verbosity = 3;
        }
        dumb_init_signals::apply_signal_handling(
            line,
            if single { Session::SameAsVsrun } else { Session::NewSessionWithTerminal },
        );
        return Ok(ToolRequest::Start);
    }
    (personality.session, personality.unhandled_signals) = (Session::OwnGroup, FAULT_SIGNALS);
    // A terminal's stop signals reach the process group of the command, so the init does not need to handle them.
    let stops: &[Signal] =
        if tool == Tool::Tini { &tini::BACKGROUND_SIGNALS } else { &dumb_init_signals::TERMINAL_STOP_SIGNALS };
    line.signals.extend(stops.iter().map(|signal| (*signal, SignalAction::Ignore)));
    if tool == Tool::Tini {
        tini::apply_env_variables(line);
    } else {
        (personality.failure_statuses, personality.changes_listen_pid) = (FailureStatuses::AlwaysOne, true);
    }
    Ok(ToolRequest::Start)
}
