//! Confines the server's process with Landlock before its exec: adds one rule after another, and then enforces them.

use std::os::fd::{AsFd, OwnedFd};

use super::diagnose;
use super::outcome::ExecMode;
use crate::logic::plan::landlock_rules::{HandledRights, Rule, file_right};
use crate::logic::plan::step::Step;
use crate::sys::{Errno, Result, landlock};

/// Applies one Landlock step. `ruleset` is the rule set that earlier steps have created. The rehearsal of `--check`
/// only opens files, so in it the right to read a file replaces the right to execute it.
///
/// # Errors
/// The errors of the kernel.
pub fn apply_landlock_step(step: &Step, ruleset: &mut Option<OwnedFd>, mode: ExecMode) -> Result<()> {
    let starts = mode == ExecMode::Exec;
    if let Step::CreateLandlockRuleset(HandledRights { file_rights, tcp_rights: tcp, scope }) = *step {
        let file_rights = if starts { file_rights } else { file_rights & file_right::READ_FILE_AND_DIR };
        *ruleset = Some(landlock::ruleset(file_rights, tcp, scope)?);
        return Ok(());
    }
    if let Step::VerifyLandlockCwd(_) = step {
        return if starts { Ok(()) } else { diagnose::verify_landlock_read(c".") };
    }
    // There is no rule set if the rehearsal of `--check` has skipped the step that creates it.
    let Some(ruleset_fd) = ruleset else { return Err(Errno::INVAL) };
    if let Step::AddLandlockRule(rule, handled) = *step {
        return match rule {
            Rule::Path(access, path) => {
                let rights = if starts { access.rights(handled) } else { access.rights_in_check_mode() };
                landlock::allow_path(ruleset_fd.as_fd(), path, rights)
            }
            Rule::Port(direction, port) => landlock::allow_port(ruleset_fd.as_fd(), port, direction),
        };
    }
    let result = landlock::restrict(ruleset_fd.as_fd());
    *ruleset = None;
    result
}
