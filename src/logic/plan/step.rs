//! The steps between fork and exec: each does one thing, in the order of the plan.

use core::fmt;

use super::landlock_rules::{BIND, Handled, Reach, Rule};
use super::limits::{Capabilities, ResourceLimit};
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::Escaped;
use crate::logic::formats::log_name::LogPolicy;

/// One thing done to the process. A failed step is reported to the parent by its place in the plan.
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
    /// The terminal on descriptor 0, if it is one, for the own session.
    ControlTerminal,
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
    /// The adjustment of the out-of-memory score.
    OomScore(StaticCStr),
    /// A limit of a resource.
    Limit(ResourceLimit),
    /// Standard input.
    Input,
    /// Standard output and error.
    Output,
    /// The number of sockets from descriptor 3 on, and `LISTEN_PID`.
    PassSockets(u16),
    /// The watched process, in `WATCHDOG_PID`.
    SetWatchdogPid,
    /// The logdir as working directory, through vsrun's descriptor of it.
    LogDir(StaticCStr),
    /// Return to the directory that vsrun was called in, after the manager has left it: its path and its identity. If
    /// another directory has the path by now, the step `ReplacedDir` enters that.
    CallersDir(StaticCStr, (u64, u64)),
    /// Enter the directory that has the path of the caller's directory now, with the rights of the server.
    ReplacedDir(StaticCStr),
    /// Change the root directory.
    Chroot(StaticCStr),
    /// Change the working directory.
    Chdir(StaticCStr),
    /// Verify that this working directory is inside of the root: a link to one of our own descriptors, which another
    /// process may have planted there, leads out of it (CVE-2024-21626).
    VerifyCwdInsideRoot(StaticCStr),
    /// Block the signals, so that the user cannot signal the process until the exec.
    BlockSignals,
    /// Leave the caller's session keyring for one of its own.
    Keyring,
    /// Supplementary groups.
    Groups(&'static [u32]),
    /// Real, effective and saved group id.
    Gid(u32),
    /// Real, effective and saved user id.
    Uid(u32, KeepPermitted),
    /// No capabilities, neither effective nor inheritable.
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
    /// Set no_new_privs: programs get no more rights than this process has.
    NoNewPrivileges,
    /// The file mode creation mask.
    Umask(u32),
    /// Close every descriptor above 2 except those of the program.
    CloseDescriptors,
    /// Make these descriptors close-on-exec instead, for a process that has nothing to hide and may still fail.
    SealDescriptors,
    /// The end of a pipe, at the number on which the program reports that it is ready.
    Ready(i32),
    /// Begin a rule set of Landlock, which handles these rights.
    Ruleset(Handled),
    /// Allow one thing in it. The second value is the rights to files that it handles.
    Allow(Rule, u64),
    /// Confine the process by the rule set, and close it.
    Confine,
    /// Check that the rules cover this working directory: in the rehearsal of `--check` only, because a server that
    /// does not use the directory works without.
    Covered(StaticCStr),
    /// Become the rotator of the server's output.
    RunLogRotator(LogPolicy),
    /// Try a probe of the network.
    RunProbe,
    /// Execute the program. The command is for messages only: its path may still have to be found.
    Exec(StaticCStr),
}

/// Which capabilities remain when root becomes a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepPermitted {
    /// None.
    No,
    /// The permitted ones stay, until a later step selects some.
    Yes,
    /// Only a harmless one that is not in this set, the server's: the server cannot trace a process with a capability
    /// that the server does not have.
    Spare(u64),
}

impl fmt::Display for Step {
    /// What the step does, as it follows "cannot" in messages.
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
            | Self::ControlTerminal
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
            | Self::RunLogRotator(_)
            | Self::RunProbe => {}
        }
        f.write_str(after)
    }
}

impl Step {
    /// What the step does, with an asterisk as the place of its value.
    fn description(&self) -> &'static str {
        match self {
            Self::UnblockSignals => "unblock the signals",
            Self::Setsid => "start a session",
            Self::ControlTerminal => "control the terminal",
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
            Self::VerifyCwdInsideRoot(_) => "verify that '*' is inside the root",
            Self::Groups(_) => "set the supplementary groups",
            Self::Gid(_) => "become group *",
            Self::Uid(..) => "become user *",
            Self::DropCapabilities(_) => "give up the capabilities",
            Self::VerifyCredentials { .. } => "verify that it is user * and no other",
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
            Self::RunProbe => "probe the server",
            Self::Exec(_) => "execute '*'",
        }
    }
}
