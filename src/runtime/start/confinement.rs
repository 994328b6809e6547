//! Confines the process on its way to the server with Landlock: one rule after the other, and then for good.

use std::os::fd::{AsFd, OwnedFd};

use super::diagnose;
use crate::logic::plan::landlock_rules::{Handled, Rule, right};
use crate::logic::plan::step::Step;
use crate::sys::{Errno, Result, landlock};

/// One step of it. `ruleset` is the rule set that the steps before have begun. `starts` is false in the rehearsal of
/// `--check`: files are only opened there, so the right to read one stands for the right to execute it.
///
/// # Errors
/// Those of the kernel.
#[inline(never)]
pub fn perform(step: &Step, ruleset: &mut Option<OwnedFd>, starts: bool) -> Result<()> {
    if let Step::Ruleset(Handled { files, tcp, scope }) = *step {
        let files = if starts { files } else { files & right::READ };
        *ruleset = Some(landlock::ruleset(files, tcp, scope)?);
        return Ok(());
    }
    if let Step::Covered(_) = step {
        return if starts { Ok(()) } else { diagnose::is_covered(c".") };
    }
    // Without one, the step that should have made it was left out.
    let Some(begun) = ruleset else { return Err(Errno::INVAL) };
    if let Step::Allow(rule, handled) = *step {
        return match rule {
            Rule::Path(reach, path) => {
                let rights = if starts { reach.rights(handled) } else { reach.rehearsed() };
                landlock::allow_path(begun.as_fd(), path, rights)
            }
            Rule::Port(direction, port) => landlock::allow_port(begun.as_fd(), port, direction),
        };
    }
    let result = landlock::restrict(begun.as_fd());
    *ruleset = None;
    result
}
