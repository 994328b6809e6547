//! What is done to a process on its way to be the server: one step, one thing, in the order of the plan.

use core::fmt;

use super::landlock_rules::{BIND, Handled, Reach, Rule};
use super::limits::{Capabilities, ResourceLimit};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::Escaped;
use crate::logic::formats::log_name::LogPolicy;

/// One thing done to a process. A step that fails is told to the parent by its place in the plan.
///
/// Only tests compare two of them: use `matches!`. The derived comparison would take 1 KB of the binary.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum Step {
    /// Enter this control group.
    Cgroup(StaticCStr),
    /// No signal blocked (all dispositions have been default since vsrun's own start).
    UnblockSignals,
    /// A session and process group of its own, without a terminal.
    Setsid,
    /// Give up the controlling terminal without a new session.
    DropTerminal,
    /// Write the pid into this file; keep only a shared lock on a read-only descriptor.
    KeepPidfileLock(StaticCStr),
    /// Write the pid into this file, which the supervisor keeps locked.
    WriteManagedPid(StaticCStr),
    /// A process group of its own in the foreground of the terminal on descriptor 0.
    TakeForeground,
    /// A process group of its own, in the background of the terminal.
    Group,
    /// The nice value.
    Nice(i32),
    /// What is added to the score by which the kernel chooses when memory is out.
    OomScore(StaticCStr),
    /// A limit of a resource.
    Limit(ResourceLimit),
    /// Standard input.
    Input,
    /// Standard output and error.
    Output,
    /// So many sockets from descriptor 3 on, and `LISTEN_PID`.
    PassSockets(u16),
    /// The watched process, in `WATCHDOG_PID`.
    SetWatchdogPid,
    /// The logdir as working directory, through the descriptor that vsrun has of it.
    LogDir(StaticCStr),
    /// The directory that vsrun was called in, from a manager that has left it: its path, and which one it was. By then
    /// another one may have that path; that one is left to the next step.
    CallersDir(StaticCStr, (u64, u64)),
    /// The other directory that has that path, entered with the rights of the server.
    ReplacedDir(StaticCStr),
    /// Change the root directory.
    Chroot(StaticCStr),
    /// Change the working directory.
    Chdir(StaticCStr),
    /// See that this working directory is inside of the root: a link to one of our own descriptors, which another
    /// process may have planted in there, leads out of it (CVE-2024-21626).
    VerifyCwdInsideRoot(StaticCStr),
    /// Block the signals: the user must not reach the process until the exec.
    BlockSignals,
    /// Leave the caller's session keyring for one of its own.
    Keyring,
    /// Supplementary groups.
    Groups(&'static [u32]),
    /// Real, effective and saved group id.
    Gid(u32),
    /// Real, effective and saved user id.
    Uid(u32, KeepPermitted),
    /// No capabilities, neither in force nor inherited.
    DropCapabilities(KeepPermitted),
    /// Read all of it back, and fail to become root again.
    VerifyCredentials {
        /// The only user id.
        uid: u32,
        /// The only group id.
        gid: u32,
        /// The supplementary groups, sorted.
        groups: &'static [u32],
    },
    /// Exactly these capabilities, in all five sets.
    Capabilities(Capabilities),
    /// No program gets more rights than it has.
    NoNewPrivileges,
    /// The file mode creation mask.
    Umask(u32),
    /// Close every descriptor above 2 except those that are meant for it.
    CloseDescriptors,
    /// The same at the exec, for a process that has nothing to hide and may still fail.
    SealDescriptors,
    /// The end of a pipe, under the number where the program says that it is ready.
    Ready(i32),
    /// Begin a rule set of Landlock, which handles these rights.
    Ruleset(Handled),
    /// Allow one thing in it. The second value is the rights to files that it handles.
    Allow(Rule, u64),
    /// Confine the process by the rule set, and close it.
    Confine,
    /// See that the rules cover this working directory: in the rehearsal of `--check` only, because a server that does
    /// not use it works all the same.
    Covered(StaticCStr),
    /// Become the rotator of the server's output.
    RunLogRotator(LogPolicy),
    /// Become the program. The command is named for people: its path may still have to be found.
    Exec(StaticCStr),
}

/// What becomes of the capabilities when root becomes a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepPermitted {
    /// All are gone.
    No,
    /// Those that could be had back stay, until some are chosen.
    Yes,
    /// All are gone except a harmless one that is not in this set, which the server has: a process with a capability
    /// that the server does not have cannot be traced by it.
    Spare(u64),
}

impl fmt::Display for Step {
    /// What the step does, to are behind "cannot".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.description();
        let (before, after) = words.split_once('*').unwrap_or((words, ""));
        f.write_str(before)?;
        match *self {
            Self::KeepPidfileLock(text)
            | Self::WriteManagedPid(text)
            | Self::OomScore(text)
            | Self::LogDir(text)
            | Self::CallersDir(text, _)
            | Self::ReplacedDir(text)
            | Self::Chroot(text)
            | Self::Chdir(text)
            | Self::VerifyCwdInsideRoot(text)
            | Self::Exec(text)
            | Self::Cgroup(text)
            | Self::Covered(text)
            | Self::Allow(Rule::Path(_, text), _)
            | Self::Limit(ResourceLimit { text, .. })
            | Self::Capabilities(Capabilities { list: text, .. }) => Escaped(text.to_bytes()).fmt(f)?,
            Self::Nice(number) | Self::Ready(number) => number.fmt(f)?,
            Self::PassSockets(number) | Self::Allow(Rule::Port(_, number), _) => number.fmt(f)?,
            Self::Gid(number) | Self::Uid(number, _) | Self::VerifyCredentials { uid: number, .. } => number.fmt(f)?,
            Self::UnblockSignals
            | Self::Ruleset(_)
            | Self::Confine
            | Self::Setsid
            | Self::DropTerminal
            | Self::TakeForeground
            | Self::Group
            | Self::Input
            | Self::Output
            | Self::SetWatchdogPid
            | Self::BlockSignals
            | Self::Keyring
            | Self::Groups(_)
            | Self::DropCapabilities(_)
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::CloseDescriptors
            | Self::SealDescriptors
            | Self::RunLogRotator(_) => {}
        }
        f.write_str(after)
    }
}

impl Step {
    /// What it does, with an asterisk in the place of what it does it with.
    fn description(&self) -> &'static str {
        match self {
            Self::UnblockSignals => "unblock the signals",
            Self::Setsid => "start a session",
            Self::DropTerminal => "leave the terminal",
            Self::KeepPidfileLock(_) | Self::WriteManagedPid(_) => "write pidfile '*'",
            Self::TakeForeground => "take the terminal's foreground",
            Self::Nice(_) => "set the nice value to *",
            Self::OomScore(_) => "set --oom-score-adj to * in /proc/self/oom_score_adj",
            Self::Limit(_) => "set --limit *",
            Self::Input => "redirect standard input",
            Self::Output => "redirect standard output and error",
            Self::PassSockets(_) => "hand over the sockets: *",
            Self::SetWatchdogPid => "be watched",
            Self::LogDir(_) | Self::CallersDir(..) | Self::ReplacedDir(_) | Self::Chdir(_) => "change directory to '*'",
            Self::BlockSignals => "block the signals",
            Self::Keyring => "join a session keyring of its own",
            Self::Group => "lead a process group",
            Self::Chroot(_) => "change root to '*'",
            Self::VerifyCwdInsideRoot(_) => "prove that '*' is inside of the root",
            Self::Groups(_) => "set the supplementary groups",
            Self::Gid(_) => "become group *",
            Self::Uid(..) => "become user *",
            Self::DropCapabilities(_) => "give up the capabilities",
            Self::VerifyCredentials { .. } => "prove that it is user * and nobody else",
            Self::Capabilities(_) => "keep just --caps *",
            Self::NoNewPrivileges => "set --no-new-privs",
            Self::Umask(_) => "set the umask",
            Self::CloseDescriptors | Self::SealDescriptors => "close the descriptors",
            Self::Ready(_) => "open descriptor * of --ready",
            Self::Cgroup(_) => "enter cgroup '*'",
            Self::Ruleset(_) => "make a rule set of Landlock",
            Self::Allow(Rule::Path(Reach::Ro, _), _) => "allow --ro '*'",
            Self::Allow(Rule::Path(Reach::Rox, _), _) => "allow --rox '*'",
            Self::Allow(Rule::Path(Reach::Rw, _), _) => "allow --rw '*'",
            Self::Allow(Rule::Path(Reach::Rwx, _), _) => "allow --rwx '*'",
            Self::Allow(Rule::Port(BIND, _), _) => "allow --bind-tcp *",
            Self::Allow(Rule::Port(..), _) => "allow --connect-tcp *",
            Self::Covered(_) => "use the working directory '*'",
            Self::Confine => "confine the server with Landlock",
            Self::RunLogRotator(_) => "write the log",
            Self::Exec(_) => "execute '*'",
        }
    }
}
