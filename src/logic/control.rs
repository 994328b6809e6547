//! The decisions of `--status`, `--stop`, `--replace` and `--signal`: which process to signal, for every combination of
//! a pidfile's contents, its lock and what /proc shows, and how long a stop waits.

use core::fmt;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::errno::Errno;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{Span, Time, parse_number};
use crate::logic::formats::proc::text_after;

/// How a pidfile is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// The file is not locked.
    None,
    /// The kernel does not report how the file is locked.
    Unreported,
    /// Locked by an unsupervised server, or by any process that inherited its descriptor of the file.
    Shared,
    /// Locked by a manager, or by a vsrun that is about to start the server.
    Exclusive,
}

/// What a pidfile contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfileContents {
    /// The file is empty.
    Empty,
    /// The file contains this pid.
    Pid(i32),
    /// The file contains something that vsrun never writes.
    Other,
    /// The file could not be read. The value is the errno of the failed system call.
    Unreadable(Errno),
}

impl PidfileContents {
    /// Parses the bytes of a pidfile: a pid as decimal digits, and a newline.
    pub fn parse(bytes: &[u8]) -> Self {
        match bytes.strip_suffix(b"\n").and_then(parse_number).and_then(|number| i32::try_from(number).ok()) {
            _ if bytes.is_empty() => Self::Empty,
            Some(pid @ 1..) => Self::Pid(pid),
            _ => Self::Other,
        }
    }

    /// True if the file is known to contain something other than this pid. False if the file could not be read.
    pub fn known_to_differ_from(self, pid: i32) -> bool {
        self != Self::Pid(pid) && !matches!(self, Self::Unreadable(_))
    }
}

/// What /proc shows about a process and the lock of a pidfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedLock {
    /// The process has the file open and locked.
    Held,
    /// The process has not locked the file, does not exist, or is hidden from the caller.
    NotHeld,
    /// /proc is not mounted, or hides the descriptors of the process.
    Unreadable,
}

/// The process that a pidfile belongs to: the manager or, without one, the server itself. After the exit of this
/// process, the server is not restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfileProcess {
    /// The process that the pidfile names.
    NamedInPidfile,
    /// The parent of the process that the pidfile names.
    ParentOfNamed,
}

/// Why there is no process to signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTarget {
    /// The pidfile does not exist.
    NoPidfile,
    /// No process has the pidfile locked, so its server is dead.
    Dead,
    /// A manager runs, and is between two runs of its server.
    Restarting,
    /// It cannot be determined whether a process is alive, or which one it is.
    Unknown(UncertaintyReason),
}

/// Why it cannot be determined which process is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UncertaintyReason {
    /// The kernel reported an error, with this errno.
    Kernel(Errno),
    /// A reason that is no errno.
    Other(Reason),
}

impl NoTarget {
    /// Makes the error that names this pidfile. Its exit status is that of `--status`.
    pub fn error(self, pidfile: StaticCStr) -> Error {
        let (problem, object) = match self {
            Self::NoPidfile => (Problem::NotRunning, MessageArg::None),
            Self::Dead => (Problem::Dead, MessageArg::None),
            Self::Restarting => (Problem::Restarting, MessageArg::None),
            Self::Unknown(UncertaintyReason::Kernel(why)) => (Problem::Unknown, MessageArg::Errno(why)),
            Self::Unknown(UncertaintyReason::Other(why)) => (Problem::Unknown, MessageArg::Reason(why)),
        };
        // Only the owner of a pidfile and root may read it, see `runtime::resources::pidfile`.
        let is_secret = matches!(self, Self::Unknown(UncertaintyReason::Kernel(Errno::ACCESS)));
        let error = Error::of(problem, pidfile.to_bytes()).with_arg(object);
        if is_secret { error.with_reason_arg(Reason::OnlyOwnerReads) } else { error }
    }
}

/// Decides which process a pidfile belongs to.
///
/// The pid in the file is accepted if its process has the lock; with an exclusive lock, also if its parent has it. A
/// child of the manager shares the lock until its exec, so the parent is checked first. If /proc does not show the
/// lock's owner, the pid in an exclusively locked file is accepted: a manager empties the file before the pid can be
/// reused. PID 1 is never signalled only because a file names it.
///
/// # Errors
/// If no process can be trusted to be the server or its manager.
pub fn find_pidfile_process(
    lock: LockState,
    contents: PidfileContents,
    named_lock: ObservedLock,
    parent_lock: ObservedLock,
) -> core::result::Result<PidfileProcess, NoTarget> {
    match (lock, contents, named_lock, parent_lock) {
        (LockState::None, ..) => Err(NoTarget::Dead),
        (LockState::Unreported, ..) => Err(NoTarget::Unknown(UncertaintyReason::Other(Reason::LockHidden))),
        (_, PidfileContents::Unreadable(number), ..) => Err(NoTarget::Unknown(UncertaintyReason::Kernel(number))),
        (LockState::Exclusive, PidfileContents::Empty, ..) => Err(NoTarget::Restarting),
        (LockState::Shared, PidfileContents::Empty, ..) | (_, PidfileContents::Other, ..) => {
            Err(NoTarget::Unknown(UncertaintyReason::Other(Reason::NamesNoPid)))
        }
        (LockState::Exclusive, PidfileContents::Pid(_), _, ObservedLock::Held) => Ok(PidfileProcess::ParentOfNamed),
        (_, PidfileContents::Pid(_), ObservedLock::Held, _)
        | (LockState::Exclusive, PidfileContents::Pid(2..), ObservedLock::Unreadable, _) => {
            Ok(PidfileProcess::NamedInPidfile)
        }
        (_, PidfileContents::Pid(_), ObservedLock::Unreadable, _) => {
            Err(NoTarget::Unknown(UncertaintyReason::Other(Reason::OwnerHidden)))
        }
        (_, PidfileContents::Pid(_), ObservedLock::NotHeld, _) => {
            Err(NoTarget::Unknown(UncertaintyReason::Other(Reason::OtherProcess)))
        }
    }
}

/// The real user id of a process, from its `status` file in /proc. The process's own name precedes the `Uid:` line, but
/// cannot fake one, because the kernel escapes newlines in it.
pub fn parse_real_uid(status: &[u8]) -> Option<u32> {
    let rest = text_after(status, b"\nUid:\t")?;
    let digits = split_byte(rest, b'\t').next()?;
    u32::try_from(parse_number(digits)?).ok()
}

/// When a process started, in hundredths of a second since the boot: the 20th word after the process name in its `stat`
/// file in /proc.
pub fn parse_start_ticks(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    parse_number(split_byte(stat.get(end + 2..)?, b' ').nth(19)?)
}

/// How long a process has been running, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UptimeSeconds(pub u64);

impl UptimeSeconds {
    /// The time from `start`, in hundredths of a second since the boot, to `now`, in milliseconds since the boot.
    pub fn from_ticks_and_millis(start: u64, now: u64) -> Self {
        Self((now / 1000).saturating_sub(start / 100))
    }
}

impl fmt::Display for UptimeSeconds {
    /// The uptime in its two greatest units: `, up 3 h 12 min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minutes, hours, days] = [60, 3600, 86_400].map(|unit| self.0 / unit);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, ", up {} s", self.0),
            (0, 0, _) => write!(f, ", up {minutes} min {} s", self.0 % 60),
            (0, ..) => write!(f, ", up {hours} h {} min", minutes % 60),
            _ => write!(f, ", up {days} d {} h", hours % 24),
        }
    }
}

/// The deadlines of `--stop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopDeadlines {
    /// When the process is killed. None if it is a manager, which kills its server itself, or if `--stop` waits without
    /// limit.
    pub kill: Option<Time>,
    /// When `--stop` gives up. None if it waits without limit.
    pub give_up: Option<Time>,
}

/// `--stop` waits at least this long after SIGKILL.
const MIN_WAIT_AFTER_KILL: Span = Span::secs(5);

impl StopDeadlines {
    /// The deadlines of a stop that begins at `now`. `timeout` is the value of `--stop-timeout`: None means 30 s, and
    /// zero no limit. `manager_overhead` is added for a manager, which takes longer, for example because of
    /// `--stop-delay`.
    pub fn new(lock: LockState, timeout: Option<Span>, manager_overhead: Span, now: Time) -> Self {
        let timeout = timeout.unwrap_or(Span::secs(30));
        if timeout == Span::ZERO {
            return Self { kill: None, give_up: None };
        }
        let once = now.after(timeout);
        match lock {
            LockState::None | LockState::Unreported | LockState::Shared => {
                Self { kill: Some(once), give_up: Some(once.after(timeout.max(MIN_WAIT_AFTER_KILL))) }
            }
            LockState::Exclusive => Self { kill: None, give_up: Some(once.after(timeout).after(manager_overhead)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_digits_and_a_newline() {
        for (bytes, line) in [
            ("", PidfileContents::Empty),
            ("1\n", PidfileContents::Pid(1)),
            ("4194304\n", PidfileContents::Pid(4_194_304)),
            ("2147483647\n", PidfileContents::Pid(i32::MAX)),
        ] {
            assert_eq!(PidfileContents::parse(bytes.as_bytes()), line, "{bytes:?}");
        }
        for bytes in
            ["0\n", "-1\n", "+1\n", " 1\n", "1", "1\n\n", "1\r\n", "1\n2\n", "\n", "x\n", "1x\n", "2147483648\n"]
        {
            assert_eq!(PidfileContents::parse(bytes.as_bytes()), PidfileContents::Other, "{bytes:?}");
        }
        assert_eq!(PidfileContents::parse(b"99999999999999999999\n"), PidfileContents::Other);
        assert_eq!(PidfileContents::parse(b"\0\0\0"), PidfileContents::Other);
    }

    const HOLDS: [ObservedLock; 3] = [ObservedLock::Held, ObservedLock::NotHeld, ObservedLock::Unreadable];

    #[test]
    fn only_a_holder_or_what_an_exclusive_lock_vouches_for_is_signalled() {
        for lock in [LockState::None, LockState::Unreported, LockState::Shared, LockState::Exclusive] {
            for line in [
                PidfileContents::Empty,
                PidfileContents::Pid(1),
                PidfileContents::Pid(2),
                PidfileContents::Other,
                PidfileContents::Unreadable(Errno(5)),
            ] {
                for (named, parent) in HOLDS.into_iter().flat_map(|named| HOLDS.map(|parent| (named, parent))) {
                    let case = (lock, line, named, parent);
                    let exclusive = lock == LockState::Exclusive;
                    let judged = find_pidfile_process(lock, line, named, parent);
                    if judged.is_ok() {
                        assert!(
                            ![LockState::None, LockState::Unreported].contains(&lock)
                                && matches!(line, PidfileContents::Pid(_)),
                            "{case:?}"
                        );
                    }
                    match judged {
                        Ok(PidfileProcess::ParentOfNamed) => {
                            assert!(exclusive && parent == ObservedLock::Held, "{case:?}")
                        }
                        Ok(PidfileProcess::NamedInPidfile) => {
                            let vouched =
                                exclusive && named == ObservedLock::Unreadable && line != PidfileContents::Pid(1);
                            assert!(named == ObservedLock::Held || vouched, "{case:?}");
                        }
                        Err(NoTarget::Dead) => assert!(lock == LockState::None, "{case:?}"),
                        Err(NoTarget::Restarting) => assert!(exclusive && line == PidfileContents::Empty, "{case:?}"),
                        Err(NoTarget::Unknown(_)) => assert!(lock != LockState::None, "{case:?}"),
                        Err(NoTarget::NoPidfile) => panic!("{case:?}: there is a file"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing_about_the_server() {
        let unreadable = PidfileContents::Unreadable(Errno(5));
        for lock in [LockState::Shared, LockState::Exclusive] {
            let found = find_pidfile_process(lock, unreadable, ObservedLock::Held, ObservedLock::Held);
            assert_eq!(found, Err(NoTarget::Unknown(UncertaintyReason::Kernel(Errno(5)))));
        }
        assert!(!unreadable.known_to_differ_from(7) && !PidfileContents::Pid(7).known_to_differ_from(7));
        assert!(PidfileContents::Pid(8).known_to_differ_from(7) && PidfileContents::Empty.known_to_differ_from(7));
    }

    #[test]
    fn the_manager_is_the_keeper_of_either_file() {
        let of = |named, parent| find_pidfile_process(LockState::Exclusive, PidfileContents::Pid(7), named, parent);
        assert_eq!(
            of(ObservedLock::NotHeld, ObservedLock::Held),
            Ok(PidfileProcess::ParentOfNamed),
            "the server's file"
        );
        assert_eq!(
            of(ObservedLock::Unreadable, ObservedLock::Held),
            Ok(PidfileProcess::ParentOfNamed),
            "its server is another user's"
        );
        assert_eq!(
            of(ObservedLock::Held, ObservedLock::Held),
            Ok(PidfileProcess::ParentOfNamed),
            "a server just before its exec"
        );
        assert_eq!(
            of(ObservedLock::Held, ObservedLock::NotHeld),
            Ok(PidfileProcess::NamedInPidfile),
            "the manager's own file"
        );
        assert_eq!(
            of(ObservedLock::Unreadable, ObservedLock::Unreadable),
            Ok(PidfileProcess::NamedInPidfile),
            "no /proc"
        );
    }

    #[test]
    fn a_shared_lock_needs_its_holder() {
        for parent in HOLDS {
            let of = |named| find_pidfile_process(LockState::Shared, PidfileContents::Pid(7), named, parent);
            assert_eq!(of(ObservedLock::Held), Ok(PidfileProcess::NamedInPidfile));
            assert!(matches!(of(ObservedLock::NotHeld), Err(NoTarget::Unknown(_))), "what a dead server left behind");
            assert!(matches!(of(ObservedLock::Unreadable), Err(NoTarget::Unknown(_))));
        }
    }

    #[test]
    fn a_manager_is_never_killed_and_has_twice_the_time() {
        let at = |secs: u64| Some(Time(secs * 1000));
        let of = |lock, secs: Option<u64>| StopDeadlines::new(lock, secs.map(Span::secs), Span::secs(100), Time(1000));
        assert_eq!(of(LockState::Exclusive, Some(30)), StopDeadlines { kill: None, give_up: at(161) });
        assert_eq!(of(LockState::Exclusive, None), of(LockState::Exclusive, Some(30)));
        assert_eq!(of(LockState::Shared, Some(30)), StopDeadlines { kill: at(31), give_up: at(61) });
        assert_eq!(of(LockState::Shared, Some(1)), StopDeadlines { kill: at(2), give_up: at(7) });
        for lock in [LockState::Shared, LockState::Exclusive] {
            assert_eq!(of(lock, Some(0)), StopDeadlines { kill: None, give_up: None });
        }
    }
}
