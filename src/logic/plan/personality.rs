//! How vsrun behaves where it takes the place of another tool. The default is vsrun itself.

use crate::logic::base::exit::{self, Exit, Success};
use crate::logic::base::signal::Signal;

/// What differs from vsrun's own behaviour.
#[derive(Clone, Debug)]
pub struct Personality {
    /// Whether the command gets what vsrun itself was given: descriptors above 2, `signals`, the variables of sockets
    /// and service managers; and whether a shell runs a script without `#!`.
    pub is_transparent: bool,
    /// Whether only errors are recorded.
    pub is_silent: bool,
    /// The signals as vsrun's caller has left them.
    pub signals: CallerSignals,
    /// Where the command is among sessions, process groups and terminals.
    pub session: Session,
    /// How failures of a start are reported.
    pub failures: Failures,
    /// How users and groups are looked up.
    pub accounts: Accounts,
    /// Whether forwarded signals go to the command's process group, although what is left of it is not ended.
    pub forwards_to_group: bool,
    /// The signals, as bits, that a supervisor leaves to the kernel: their default action kills it.
    pub unhandled: u64,
    /// The signal for what is left of the command's process group when the command has exited.
    pub farewell: Option<Signal>,
    /// Whether the supervisor stops itself after a signal by which a terminal stops processes.
    pub suspends: bool,
    /// Whether each orphan that is reaped is recorded.
    pub reports_orphans: bool,
    /// The signal that the supervisor gets when its parent exits.
    pub parent_death: Option<Signal>,
    /// Whether a `LISTEN_PID` that names vsrun becomes that of the command.
    pub passes_sockets: bool,
}

/// vsrun itself.
pub const VSRUN: Personality = Personality {
    is_transparent: false,
    is_silent: false,
    signals: CallerSignals { blocked: 0, ignored: 0 },
    session: Session::Options,
    failures: Failures::Vsrun,
    accounts: Accounts::Vsrun,
    forwards_to_group: false,
    unhandled: 0,
    farewell: None,
    suspends: false,
    reports_orphans: false,
    parent_death: None,
    passes_sockets: false,
};

impl Default for &'static Personality {
    fn default() -> Self {
        &const { VSRUN }
    }
}

/// Signals that vsrun's caller has blocked and ignored, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerSignals {
    /// The blocked ones.
    pub blocked: u64,
    /// The ignored ones.
    pub ignored: u64,
}

impl CallerSignals {
    /// Whether the signal is blocked or ignored.
    pub fn holds(self, signal: Signal) -> bool {
        (self.blocked | self.ignored) & signal.bit() != 0
    }
}

/// Where the command is among sessions, process groups and terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Session {
    /// Where the options put it.
    #[default]
    Options,
    /// In a process group of its own, in the terminal's foreground if vsrun had that.
    Group,
    /// In a session of its own, which gets the terminal from vsrun.
    WithTerminal,
    /// Where vsrun is.
    Caller,
}

/// How a failure of a start becomes an exit status.
#[derive(Clone, Copy, Debug, Default)]
pub enum Failures {
    /// 125, 126 and 127.
    #[default]
    Vsrun,
    /// 1, but 126 for a file that may not be executed and 127 for a missing one; these statuses become 0.
    Tini(Success),
    /// 2 when the command cannot be executed, otherwise 1.
    DumbInit,
    /// 1.
    One,
}

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A step before the exec.
    Setup,
    /// There is no such command.
    NotFound,
    /// The command may not be executed.
    Forbidden,
    /// The command cannot be executed for another reason.
    NotExecutable,
}

impl Failures {
    /// vsrun's exit status.
    pub fn status(&self, failure: Failure) -> u8 {
        let status = match (failure, self) {
            (Failure::Setup, Self::Vsrun) => exit::SETUP,
            (Failure::NotFound, Self::Vsrun | Self::Tini(_)) => exit::NOT_FOUND,
            (Failure::Forbidden, Self::Vsrun | Self::Tini(_)) | (Failure::NotExecutable, Self::Vsrun) => {
                exit::NOT_EXECUTABLE
            }
            (Failure::NotFound | Failure::Forbidden | Failure::NotExecutable, Self::DumbInit) => 2,
            (_, Self::Tini(_) | Self::DumbInit | Self::One) => 1,
        };
        match self {
            Self::Tini(success) if success.contains(Exit::Code(status)) => exit::OK,
            Self::Vsrun | Self::Tini(_) | Self::DumbInit | Self::One => status,
        }
    }
}

/// How users and groups are looked up, and what a user brings along. The numbers are the caller's group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accounts {
    /// As `--user` says.
    #[default]
    Vsrun,
    /// As gosu does: the groups of /etc/group alone, and no variable but HOME.
    Gosu(u32),
    /// As su-exec does: the main group among the groups, and no variable but HOME.
    SuExec(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_its_own_statuses() {
        let kinds = [Failure::Setup, Failure::NotFound, Failure::Forbidden, Failure::NotExecutable];
        let mut success = Success::default();
        for (failures, statuses) in [
            (Failures::Vsrun, [125, 127, 126, 126]),
            (Failures::Tini(success), [1, 127, 126, 1]),
            (Failures::DumbInit, [1, 2, 2, 2]),
            (Failures::One, [1, 1, 1, 1]),
        ] {
            assert_eq!(kinds.map(|kind| failures.status(kind)), statuses, "{failures:?}");
        }
        success.add_status(127);
        assert_eq!(kinds.map(|kind| Failures::Tini(success).status(kind)), [1, 0, 126, 1]);
    }
}
