//! The command lines of gosu 1.19 and su-exec 0.3, which run a command as another user.

use super::{TOOL_FAILURE, Tool, ToolCommandLine, ToolRequest, ToolSyntax};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::exit;
use crate::logic::base::problem::Problem;
use crate::logic::plan::account::UserAndGroup;
use crate::logic::plan::personality::{AccountRules, FailureStatuses, Session};

pub(super) const SYNTAX: ToolSyntax =
    ToolSyntax { letters: b"", long_names: b"", usage: b" USER[:GROUP] COMMAND [ARG]...", version: b"1.19" };

/// Parses the command line of gosu or su-exec.
pub(super) fn parse_command_line(line: &mut ToolCommandLine<'_>) -> Result<ToolRequest> {
    let is_gosu = line.tool_name.tool == Tool::Gosu;
    let (first, command) = line.words.split_first().unwrap_or((&c"", &[]));
    let first = first.to_bytes();
    match first {
        b"-h" | b"--help" | b"-?" if is_gosu => return Ok(ToolRequest::Usage(1, exit::OK)),
        b"-v" | b"--version" if is_gosu => return Ok(ToolRequest::Version(1)),
        _ if command.is_empty() => return Ok(ToolRequest::Usage(if is_gosu { 2 } else { 1 }, TOOL_FAILURE)),
        _ => {}
    }
    let caller = line.caller;
    line.options.command = command.to_vec();
    line.options.user = UserAndGroup::parse_like_gosu(first, caller.uid);
    if line.options.user.is_none() {
        return Err(Error::of(Problem::ToolUser, first));
    }
    let personality = &mut *line.personality;
    (personality.session, personality.failure_statuses) = (Session::SameAsVsrun, FailureStatuses::AlwaysOne);
    personality.account_rules =
        if is_gosu { AccountRules::GosuWithOwnGid(caller.gid) } else { AccountRules::SuExecWithOwnGid(caller.gid) };
    Ok(ToolRequest::Start)
}
