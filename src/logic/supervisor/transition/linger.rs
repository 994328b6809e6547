//! The phases after the last run of the server: with `--linger`, all remaining processes are ended before the
//! supervisor exits.

use super::{KILL_WAIT, finish};
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::{Action, Ending, Event, Recipient};
use crate::logic::supervisor::state::{Phase, State};

/// Handles an event in `Phase::DrainingRemaining`: the remaining processes have been sent TERM.
pub(super) fn on_event_while_draining(state: &mut State, ending: Ending, event: Event, now: Time) -> Action {
    use Event::*;
    match event {
        NoneLeft => finish(state, ending),
        DeadlinePassed | Interrupt => {
            state.phase = Phase::KillingRemaining { ending, until: now.after(KILL_WAIT) };
            Action::Send(Signal::KILL, Recipient::AllProcesses)
        }
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | HandlerExited(_)
        | Unkillable | ForkFailed | Stop | Restart | Forward(_) | Replace | OfSecondProcess(_) => Action::Wait,
    }
}

/// Handles an event in `Phase::KillingRemaining`: the remaining processes have been sent KILL. The wait ends at the
/// deadline, because a process that hangs in the kernel does not exit.
pub(super) fn on_event_while_killing(state: &mut State, ending: Ending, event: Event) -> Action {
    use Event::*;
    match event {
        NoneLeft | DeadlinePassed => finish(state, ending),
        Ready | NotReady | Heartbeat | Unhealthy | Exited(_) | ExecFailed(_) | LeaderExited | HandlerExited(_)
        | Unkillable | ForkFailed | Stop | Interrupt | Restart | Forward(_) | Replace | OfSecondProcess(_) => {
            Action::Wait
        }
    }
}
