//! How vsrun behaves when it was called by another tool's name. The default is vsrun's own behaviour.

use crate::logic::base::exit::{self, Exit, SuccessExits};
use crate::logic::base::signal::Signal;

/// The settings that depend on the name by which vsrun was called.
#[derive(Clone, Debug)]
pub struct Personality {
    /// True if the command inherits from vsrun the descriptors above 2, the blocked and ignored signals, and the
    /// environment variables about sockets and service managers. A shell then also runs a script without `#!`.
    pub inherits_fds_and_signals: bool,
    /// True if only errors are recorded.
    pub records_only_errors: bool,
    /// The signals that vsrun inherited as blocked or ignored.
    pub signals: CallerSignals,
    /// The command's session, process group and terminal.
    pub session: Session,
    /// The exit statuses of failed starts.
    pub failure_statuses: FailureStatuses,
    /// How users and groups are looked up.
    pub account_rules: AccountRules,
    /// True if forwarded signals go to the command's process group, although other processes of that group may outlive
    /// the command.
    pub forwards_to_group: bool,
    /// The signals, as bits, that the supervisor does not handle. The default action of each kills the supervisor.
    pub unhandled_signals: u64,
    /// The signal that the remaining processes of the command's group are sent after the command has exited.
    pub signal_to_remaining: Option<Signal>,
    /// True if the supervisor suspends itself after it received a signal such as SIGTSTP (Ctrl-Z) or SIGTTIN.
    pub suspends_itself: bool,
    /// True if each orphan that is reaped is recorded.
    pub records_orphans: bool,
    /// The signal that the supervisor gets when its parent exits.
    pub parent_death_signal: Option<Signal>,
    /// True if a variable `LISTEN_PID` with vsrun's own pid is changed to the pid of the command.
    pub changes_listen_pid: bool,
}

/// vsrun's own behaviour.
pub const VSRUN: Personality = Personality {
    inherits_fds_and_signals: false,
    records_only_errors: false,
    signals: CallerSignals { blocked: 0, ignored: 0 },
    session: Session::FromOptions,
    failure_statuses: FailureStatuses::Vsrun,
    account_rules: AccountRules::Vsrun,
    forwards_to_group: false,
    unhandled_signals: 0,
    signal_to_remaining: None,
    suspends_itself: false,
    records_orphans: false,
    parent_death_signal: None,
    changes_listen_pid: false,
};

impl Default for &'static Personality {
    fn default() -> Self {
        &const { VSRUN }
    }
}

/// The signals that were blocked or ignored when vsrun was executed, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerSignals {
    /// The signals that were blocked when vsrun was executed, one bit for each.
    pub blocked: u64,
    /// The signals that were ignored when vsrun was executed, one bit for each.
    pub ignored: u64,
}

impl CallerSignals {
    /// True if the signal is blocked or ignored.
    pub fn is_blocked_or_ignored(self, signal: Signal) -> bool {
        (self.blocked | self.ignored) & signal.bit() != 0
    }
}

/// The session, process group and terminal of the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Session {
    /// vsrun's options decide.
    #[default]
    FromOptions,
    /// The command has a process group of its own, in the terminal's foreground if vsrun's group was.
    OwnGroup,
    /// The command has a session of its own, which gets vsrun's terminal.
    NewSessionWithTerminal,
    /// The command has the same session and process group as vsrun.
    SameAsVsrun,
}

/// The exit statuses of failed starts.
#[derive(Clone, Copy, Debug, Default)]
pub enum FailureStatuses {
    /// vsrun's exit statuses: 127 for a missing command, 126 for one that cannot be executed, otherwise 125.
    #[default]
    Vsrun,
    /// tini's exit statuses: 127 for a missing command, 126 for one that may not be executed, otherwise 1. A
    /// status that tini's option `-e` lists becomes 0.
    Tini(SuccessExits),
    /// dumb-init's exit statuses: 2 if the command cannot be executed, otherwise 1.
    DumbInit,
    /// Status 1 for every failed start.
    AlwaysOne,
}

/// A kind of failed start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFailureKind {
    /// A step before the exec failed.
    Setup,
    /// The command does not exist.
    NotFound,
    /// The command may not be executed.
    Forbidden,
    /// The command cannot be executed for another reason.
    NotExecutable,
}

impl FailureStatuses {
    /// vsrun's exit status for this failure.
    pub fn status(&self, failure: StartFailureKind) -> u8 {
        let status = match (failure, self) {
            (StartFailureKind::Setup, Self::Vsrun) => exit::VSRUN_FAILED,
            (StartFailureKind::NotFound, Self::Vsrun | Self::Tini(_)) => exit::NOT_FOUND,
            (StartFailureKind::Forbidden, Self::Vsrun | Self::Tini(_))
            | (StartFailureKind::NotExecutable, Self::Vsrun) => exit::NOT_EXECUTABLE,
            (
                StartFailureKind::NotFound | StartFailureKind::Forbidden | StartFailureKind::NotExecutable,
                Self::DumbInit,
            ) => 2,
            (_, Self::Tini(_) | Self::DumbInit | Self::AlwaysOne) => 1,
        };
        match self {
            Self::Tini(success) if success.contains(Exit::Code(status)) => exit::OK,
            Self::Vsrun | Self::Tini(_) | Self::DumbInit | Self::AlwaysOne => status,
        }
    }
}

/// How users and groups are looked up, and which groups and variables the server gets. The number of a variant is
/// vsrun's own gid, which the server gets if its user id has no entry in passwd(5) and no GROUP is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountRules {
    /// vsrun's own rules for `--user`.
    #[default]
    Vsrun,
    /// The rules of gosu: the main group is not added to the supplementary groups, and of the login variables only HOME
    /// is set. The number is vsrun's own group id.
    GosuWithOwnGid(u32),
    /// The rules of su-exec: the main group is also a supplementary group, and of the login variables only HOME is set.
    SuExecWithOwnGid(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_its_own_statuses() {
        let kinds = [
            StartFailureKind::Setup,
            StartFailureKind::NotFound,
            StartFailureKind::Forbidden,
            StartFailureKind::NotExecutable,
        ];
        let mut success = SuccessExits::default();
        for (failures, statuses) in [
            (FailureStatuses::Vsrun, [125, 127, 126, 126]),
            (FailureStatuses::Tini(success), [1, 127, 126, 1]),
            (FailureStatuses::DumbInit, [1, 2, 2, 2]),
            (FailureStatuses::AlwaysOne, [1, 1, 1, 1]),
        ] {
            assert_eq!(kinds.map(|kind| failures.status(kind)), statuses, "{failures:?}");
        }
        success.add_shell_status(127);
        assert_eq!(kinds.map(|kind| FailureStatuses::Tini(success).status(kind)), [1, 0, 126, 1]);
    }
}
