//! How dumb-init handles signals.

use alloc::vec::Vec;

use super::ToolCommandLine;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{parse_number, split_number};
use crate::logic::plan::personality::{FailureStatuses, Session};
use crate::logic::supervisor::signal_action::SignalAction;

/// Adds a value of dumb-init's option `-r` (`--rewrite`) to the actions of the signals.
pub(super) fn add_rewrite(signals: &mut Vec<(Signal, SignalAction)>, value: &[u8]) -> Result<()> {
    let (signal, action) = parse_rewrite(value).ok_or_else(|| Error::of(Problem::ToolRewrite, value))?;
    // If a signal is rewritten twice, the last rewrite counts.
    signals.retain(|(known, _)| *known != signal);
    signals.push((signal, action));
    Ok(())
}

/// Parses `A:B` as dumb-init's sscanf(3) does, which ignores what follows the second number. As in dumb-init, CHLD,
/// KILL and STOP are accepted as A, although rewriting them has no effect.
fn parse_rewrite(value: &[u8]) -> Option<(Signal, SignalAction)> {
    const LAST_STANDARD_SIGNAL: u64 = 31;
    let mut halves = split_byte(value, b':');
    let signal = Signal::new(parse_number(halves.next()?).filter(|signal| *signal <= LAST_STANDARD_SIGNAL)?)?;
    match split_number(halves.rest?)? {
        (0, _) => Some((signal, SignalAction::Ignore)),
        (other @ 1..=LAST_STANDARD_SIGNAL, _) => Some((signal, SignalAction::Forward(Signal::new(other)?))),
        _ => None,
    }
}

/// The signals by which a terminal stops processes.
pub(super) const TERMINAL_STOP_SIGNALS: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

/// Applies dumb-init's options to the actions of the signals. Signals go only to the command if it stays in the
/// caller's session (`--single-child`), and otherwise to its process group.
#[inline(never)]
pub(super) fn apply_signal_handling(line: &mut ToolCommandLine<'_>, session: Session) {
    let ToolCommandLine { personality, signals, .. } = line;
    (personality.suspends_itself, personality.failure_statuses) = (true, FailureStatuses::DumbInit);
    personality.session = session;
    if session == Session::SameAsVsrun {
        return;
    }
    personality.forwards_to_group = true;
    personality.signal_to_remaining = match signals.iter().find(|(known, _)| *known == Signal::TERM) {
        Some((_, SignalAction::Forward(other))) => Some(*other),
        Some(_) => None,
        None => Some(Signal::TERM),
    };
    for signal in TERMINAL_STOP_SIGNALS {
        // The command's session has no shell, so its process group is orphaned, and the kernel ignores TSTP, TTIN and
        // TTOU where they have their default action. Only STOP stops the command.
        if signals.iter().all(|(known, _)| *known != signal) {
            signals.push((signal, SignalAction::Forward(Signal::STOP)));
        }
    }
}
