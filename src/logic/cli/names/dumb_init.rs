//! What dumb-init does with signals.

use alloc::vec::Vec;

use super::{Line, usage_error};
use crate::logic::base::error::Result;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{number, number_and_unit};
use crate::logic::plan::personality::{Failures, Session};
use crate::logic::supervisor::signal_action::SignalAction;

/// Takes the value of `-r`.
pub(super) fn rewrite(signals: &mut Vec<(Signal, SignalAction)>, value: &[u8]) -> Result<()> {
    let (signal, action) = pair(value).ok_or_else(|| {
        usage_error("option -r: ", value, " is not SIGNUM:SIGNUM, each from 1 to 31, the second also 0")
    })?;
    // The last one counts.
    signals.retain(|(known, _)| *known != signal);
    signals.push((signal, action));
    Ok(())
}

/// Reads `A:B` as sscanf(3) does, which ignores what follows the second number. CHLD, KILL and STOP are accepted, and
/// never arrive.
fn pair(value: &[u8]) -> Option<(Signal, SignalAction)> {
    const LAST: u64 = 31;
    let mut halves = split_byte(value, b':');
    let signal = Signal::new(number(halves.next()?).filter(|signal| *signal <= LAST)?)?;
    match number_and_unit(halves.rest?)? {
        (0, _) => Some((signal, SignalAction::Ignore)),
        (other @ 1..=LAST, _) => Some((signal, SignalAction::Forward(Signal::new(other)?))),
        _ => None,
    }
}

/// The signals by which a terminal stops processes.
pub(super) const STOPS: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

/// What follows from the options. `single`: signals go to the command alone, which gets no session of its own.
pub(super) fn finish(line: &mut Line<'_>, single: bool) {
    let Line { personality, signals, .. } = line;
    (personality.suspends, personality.failures) = (true, Failures::DumbInit);
    if single {
        personality.session = Session::Caller;
        return;
    }
    (personality.session, personality.forwards_to_group) = (Session::WithTerminal, true);
    personality.farewell = match signals.iter().find(|(known, _)| *known == Signal::TERM) {
        Some((_, SignalAction::Forward(other))) => Some(*other),
        Some(_) => None,
        None => Some(Signal::TERM),
    };
    for signal in STOPS {
        // The kernel stops no process by these in a session without a shell.
        if signals.iter().all(|(known, _)| *known != signal) {
            signals.push((signal, SignalAction::Forward(Signal::STOP)));
        }
    }
}
