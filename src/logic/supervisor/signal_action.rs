//! What a signal to the supervisor does.

use super::policy::{AtExit, Role};
use crate::logic::base::signal::Signal;
use crate::logic::base::text::{index_in_comma_list, split_byte};

/// What vsrun does when it receives a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// Stop the server, then exit.
    Stop,
    /// Stop the server and start it again.
    Restart,
    /// Start a second server, and stop the first when the second is ready.
    Replace,
    /// Open the log files again at their paths, after another program has renamed them.
    ReopenLogs,
    /// Do nothing.
    Ignore,
    /// Stop the server, then power off, reboot or halt the machine.
    EndMachine(AtExit),
    /// Send this signal to the server.
    Forward(Signal),
}

/// The action of each signal.
#[derive(Clone, Debug)]
pub struct SignalTable {
    table: [SignalAction; 64],
    requested_at_exit: Option<AtExit>,
}

/// What the shutdown signals of systemd, nspawn and LXC do: RTMIN+3, RTMIN+4, RTMIN+5 and PWR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownEffect {
    /// They end the machine (`--at-exit`).
    EndMachine,
    /// They are forwarded, like other signals.
    Forward,
}

impl SignalTable {
    /// Makes the table: TERM and INT stop a manager's server, HUP restarts it, the shutdown signals do what `shutdown`
    /// says, and every other signal is forwarded. The actions in `given` replace these defaults.
    pub fn new(role: Role, shutdown: ShutdownEffect, given: &[(Signal, SignalAction)]) -> Self {
        let machine = shutdown == ShutdownEffect::EndMachine;
        let mut signal_table = Self { table: [SignalAction::Ignore; 64], requested_at_exit: None };
        for (action, number) in signal_table.table.iter_mut().zip(1..) {
            if let Some(signal) = Signal::new(number) {
                *action = match (role, signal) {
                    (_, Signal::RTMIN_3) if machine => SignalAction::EndMachine(AtExit::Halt),
                    (_, Signal::RTMIN_4 | Signal::PWR) if machine => SignalAction::EndMachine(AtExit::Poweroff),
                    (_, Signal::RTMIN_5) if machine => SignalAction::EndMachine(AtExit::Reboot),
                    (Role::Manager, Signal::TERM | Signal::INT) => SignalAction::Stop,
                    (Role::Manager, Signal::HUP) => SignalAction::Restart,
                    (_, other) => SignalAction::Forward(other),
                };
                if let Some((_, own)) = given.iter().find(|(own, _)| *own == signal) {
                    *action = *own;
                }
            }
        }
        signal_table
    }

    /// Returns the action of a received signal, and remembers if the signal asks for a poweroff, reboot or halt.
    pub fn on_signal(&mut self, signal: Signal) -> SignalAction {
        let action = self.get(signal);
        if let SignalAction::EndMachine(how) = action {
            self.requested_at_exit = Some(how);
        }
        action
    }

    /// What PID 1 does to the machine instead of exiting, if a received signal asked for that. The last such signal
    /// decides.
    pub fn requested_at_exit(&self) -> Option<AtExit> {
        self.requested_at_exit
    }

    /// Returns the action of a signal.
    pub fn get(&self, signal: Signal) -> SignalAction {
        self.table.get(usize::from(signal.number()) - 1).copied().unwrap_or(SignalAction::Ignore)
    }
}

/// Names of actions of `--on-signal`, for suggestions in messages. Those that end a machine are omitted.
pub const ACTION_NAMES: &[u8] = b"STOP,RESTART,REPLACE,REOPEN,IGNORE,FORWARD";

/// Reads `SIGNAL=ACTION`. Refuses KILL and STOP, which cannot be caught, and CHLD, which vsrun needs itself.
pub fn parse(text: &[u8]) -> Option<(Signal, SignalAction)> {
    let mut halves = split_byte(text, b'=');
    let signal =
        Signal::parse(halves.next()?).filter(|signal| ![Signal::KILL, Signal::STOP, Signal::CHLD].contains(signal))?;
    let action = halves.rest?;
    let action = match index_in_comma_list(b"stop,restart,reopen,ignore,poweroff,reboot,halt,replace,forward", action) {
        Some(0) => SignalAction::Stop,
        Some(1) => SignalAction::Restart,
        Some(2) => SignalAction::ReopenLogs,
        Some(3) => SignalAction::Ignore,
        Some(4) => SignalAction::EndMachine(AtExit::Poweroff),
        Some(5) => SignalAction::EndMachine(AtExit::Reboot),
        Some(6) => SignalAction::EndMachine(AtExit::Halt),
        Some(7) => SignalAction::Replace,
        Some(_) => SignalAction::Forward(signal),
        None => SignalAction::Forward(Signal::parse(action.strip_prefix(b"forward:")?)?),
    };
    Some((signal, action))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str) -> Signal {
        Signal::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn defaults_and_what_replaces_them() {
        let given = ["USR1=reopen", "HUP=forward:USR2", "INT=ignore", "term=forward", "RTMIN+1=stop", "10=reopen"];
        let given: Vec<_> = given.iter().map(|text| parse(text.as_bytes()).unwrap()).collect();
        let signal_table = SignalTable::new(Role::Manager, ShutdownEffect::Forward, &given);
        for (name, action) in [
            ("USR1", SignalAction::ReopenLogs),
            ("HUP", SignalAction::Forward(signal("USR2"))),
            ("INT", SignalAction::Ignore),
            ("TERM", SignalAction::Forward(Signal::TERM)),
            ("RTMIN+1", SignalAction::Stop),
            ("WINCH", SignalAction::Forward(signal("WINCH"))),
            ("64", SignalAction::Forward(signal("64"))),
        ] {
            assert_eq!(signal_table.get(signal(name)), action, "{name}");
        }
        let plain = SignalTable::new(Role::Manager, ShutdownEffect::Forward, &[]);
        assert_eq!(
            [plain.get(Signal::TERM), plain.get(Signal::INT), plain.get(Signal::HUP)],
            [SignalAction::Stop, SignalAction::Stop, SignalAction::Restart]
        );
        for role in [Role::Init, Role::InitWithTimeout] {
            let init = SignalTable::new(role, ShutdownEffect::Forward, &[parse(b"HUP=restart").unwrap()]);
            for number in 2..=64 {
                let signal = Signal::new(number).unwrap();
                assert_eq!(init.get(signal), SignalAction::Forward(signal), "{signal}");
            }
            assert_eq!(init.get(Signal::HUP), SignalAction::Restart);
        }
    }

    #[test]
    fn a_machine_ends_on_the_signals_of_its_kind() {
        let ends = [("RTMIN+3", AtExit::Halt), ("RTMIN+4", AtExit::Poweroff), ("RTMIN+5", AtExit::Reboot)];
        for role in [Role::Manager, Role::Init, Role::InitWithTimeout] {
            let (machine, other) = (
                SignalTable::new(role, ShutdownEffect::EndMachine, &[]),
                SignalTable::new(role, ShutdownEffect::Forward, &[]),
            );
            for (name, end) in ends.into_iter().chain([("PWR", AtExit::Poweroff)]) {
                assert_eq!(machine.get(signal(name)), SignalAction::EndMachine(end), "{name}");
                assert_eq!(other.get(signal(name)), SignalAction::Forward(signal(name)), "{name}");
            }
            let different = (1..=64).filter(|number| {
                let signal = Signal::new(*number).unwrap();
                machine.get(signal) != other.get(signal)
            });
            assert_eq!(different.collect::<Vec<_>>(), [30, 37, 38, 39]);
            let own = SignalTable::new(
                role,
                ShutdownEffect::EndMachine,
                &[parse(b"PWR=stop").unwrap(), parse(b"USR2=halt").unwrap()],
            );
            assert_eq!(
                (own.get(signal("PWR")), own.get(signal("USR2"))),
                (SignalAction::Stop, SignalAction::EndMachine(AtExit::Halt))
            );
        }
    }

    #[test]
    fn malformed_signal_actions_are_refused() {
        for text in [
            "",
            "USR1",
            "USR1=",
            "USR1=x",
            "=stop",
            "KILL=stop",
            "STOP=ignore",
            "CHLD=ignore",
            "USR1=forward:",
            "USR1=forward:FOO",
            "USR1=STOP",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
