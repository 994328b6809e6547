//! The steps that a child takes between fork and exec. Each step does one thing to the process.

use core::fmt;

use super::landlock_rules::{BIND_TCP, HandledRights, PathAccess, Rule};
use super::limits::{Capabilities, ResourceLimit};
use super::step_text::StepText;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{FilledPhrase, MessageArg};
use crate::logic::base::packed::Phrase;
use crate::logic::formats::log_name::LogPolicy;

/// One thing that is done to a process before its exec. A child reports a failed step by its index in the program's
/// list.
///
/// Only tests compare steps; use `matches!` elsewhere. A derived comparison would take 1 KB of the binary.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum Step {
    /// Enter this control group.
    EnterCgroup(StaticCStr),
    /// Unblock all signals, except those that the program inherits as blocked under another tool's name. vsrun has no
    /// signal handler that could run now.
    UnblockSignals,
    /// Lead a new session and process group, without a terminal.
    Setsid,
    /// Make the terminal on descriptor 0, if it is one, the controlling terminal of the new session.
    SetControllingTerminal,
    /// Give up the controlling terminal without a new session.
    DropControllingTerminal,
    /// Write the pid into this pidfile, and keep only a shared lock on a read-only descriptor of it.
    WritePidAndKeepLock(StaticCStr),
    /// Write the pid into this pidfile, which the supervisor keeps locked.
    WriteManagedPid(StaticCStr),
    /// Lead a new process group, and make it the foreground group of the terminal on descriptor 0.
    TakeForeground,
    /// Lead a new process group, without making it the terminal's foreground group.
    NewBackgroundGroup,
    /// Set the nice value.
    Nice(i32),
    /// Set the adjustment of the out-of-memory score (/proc/self/oom_score_adj).
    OomScoreAdj(StaticCStr),
    /// Set a resource limit.
    Limit(ResourceLimit),
    /// Redirect standard input to a given file, or to `/dev/null`.
    RedirectInput,
    /// Redirect standard output and standard error, for example to the logger or a log file.
    RedirectOutput,
    /// Move this number of sockets to the descriptors from 3 on, and set `LISTEN_PID`.
    PassSockets(u16),
    /// Set `WATCHDOG_PID` to the pid, because this process sends the keep-alive messages.
    SetWatchdogPid,
    /// Make the logdir the working directory, through vsrun's descriptor of it. The path is for messages.
    EnterLogDir(StaticCStr),
    /// Return to the directory in which vsrun was called, after the manager has left it. It has this path, device and
    /// inode. If the path now leads to another directory, the step `EnterCallersPathIfReplaced` enters that directory.
    ReturnToCallersDir(StaticCStr, (u64, u64)),
    /// Enter, with the rights of the server, the directory that is now at the path where vsrun was called. Has
    /// no effect if `ReturnToCallersDir` has returned to the original directory.
    EnterCallersPathIfReplaced(StaticCStr),
    /// Change the root directory.
    Chroot(StaticCStr),
    /// Change the working directory.
    Chdir(StaticCStr),
    /// Verify that this working directory is inside the root. A symbolic link inside the root that another process
    /// planted could lead out through /proc/self/fd (CVE-2024-21626).
    VerifyCwdInsideRoot(StaticCStr),
    /// Block all signals, so that those from the new user, except KILL and STOP, have no effect until all other steps
    /// before the exec are done.
    BlockSignals,
    /// Leave the caller's session keyring for a new one.
    JoinNewKeyring,
    /// Set the supplementary groups.
    Groups(&'static [u32]),
    /// Set the real, effective and saved group id.
    Gid(u32),
    /// Set the real, effective and saved user id, and keep these capabilities.
    Uid(u32, KeepPermitted),
    /// Drop all effective and inheritable capabilities, and all permitted ones except those to keep.
    DropCapabilities(KeepPermitted),
    /// Read the user, group and supplementary groups back, and verify that the process cannot become root again.
    VerifyCredentials {
        /// The expected real, effective and saved user id.
        uid: u32,
        /// The expected real, effective and saved group id.
        gid: u32,
        /// The expected supplementary groups, sorted.
        groups: &'static [u32],
    },
    /// Set the effective, permitted, inheritable, ambient and bounding capabilities to exactly this set.
    Capabilities(Capabilities),
    /// Set no_new_privs: no program that is executed can gain rights.
    NoNewPrivileges,
    /// Set the file mode creation mask.
    Umask(u32),
    /// Close every descriptor above 2 except those that the program inherits.
    CloseDescriptors,
    /// Make every descriptor above 2, except those that the program inherits, close-on-exec. Used if vsrun becomes the
    /// server and keeps its user and root: until the exec, it may have to undo the start.
    CloexecDescriptors,
    /// Move the write end of the ready pipe to this descriptor, on which the program reports that it is ready.
    PassReadyPipe(i32),
    /// Create a Landlock rule set that handles these rights.
    CreateLandlockRuleset(HandledRights),
    /// Add a rule to the Landlock rule set. The second value is the rights to files that the rule set handles.
    AddLandlockRule(Rule, u64),
    /// Confine the process by the Landlock rule set (landlock_restrict_self(2)), and close the rule set.
    LandlockRestrictSelf,
    /// Verify that the Landlock rules allow access to this working directory. Only `--check` verifies that, because a
    /// server that does not use its working directory runs without such a rule.
    VerifyLandlockCwd(StaticCStr),
    /// Run the rotator of the server's output, without an exec.
    RunLogRotator(LogPolicy),
    /// Run a network probe, without an exec.
    RunNetworkProbe,
    /// Execute the program. The command is for messages only; the paths to try are in
    /// [`Program::exec_paths`](super::program::Program::exec_paths).
    Exec(StaticCStr),
}

/// Which capabilities a process keeps when it changes from root to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepPermitted {
    /// Keep no capability.
    Nothing,
    /// Keep the permitted capabilities, until a later step selects some of them.
    All,
    /// Keep one harmless capability that is not in this set of the server's capabilities. The server then cannot
    /// trace the process, because the process has a capability that the server does not have.
    OneHarmlessNotIn(u64),
}

impl fmt::Display for Step {
    /// Writes what the step does, in words that follow "cannot" in a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = include_bytes!(concat!(env!("OUT_DIR"), "/step_text.txt"));
        FilledPhrase(Phrase { table, index: self.step_text() as u8 }, &[self.message_arg()]).fmt(f)
    }
}

impl Step {
    /// The path, number or option value that appears in a message about the step.
    fn message_arg(&self) -> MessageArg<'static> {
        match *self {
            Self::WritePidAndKeepLock(text)
            | Self::WriteManagedPid(text)
            | Self::OomScoreAdj(text)
            | Self::EnterLogDir(text)
            | Self::ReturnToCallersDir(text, _)
            | Self::EnterCallersPathIfReplaced(text)
            | Self::Chroot(text)
            | Self::Chdir(text)
            | Self::VerifyCwdInsideRoot(text)
            | Self::Exec(text)
            | Self::EnterCgroup(text)
            | Self::VerifyLandlockCwd(text)
            | Self::AddLandlockRule(Rule::Path(_, text), _)
            | Self::Limit(ResourceLimit { text, .. })
            | Self::Capabilities(Capabilities { list: text, .. }) => MessageArg::Name(text.to_bytes()),
            Self::Nice(number) | Self::PassReadyPipe(number) => MessageArg::Number(number.into()),
            Self::PassSockets(number) | Self::AddLandlockRule(Rule::Port(_, number), _) => {
                MessageArg::Number(number.into())
            }
            Self::Gid(number) | Self::Uid(number, _) | Self::VerifyCredentials { uid: number, .. } => {
                MessageArg::Number(number.into())
            }
            Self::UnblockSignals
            | Self::CreateLandlockRuleset(_)
            | Self::LandlockRestrictSelf
            | Self::Setsid
            | Self::SetControllingTerminal
            | Self::DropControllingTerminal
            | Self::TakeForeground
            | Self::NewBackgroundGroup
            | Self::RedirectInput
            | Self::RedirectOutput
            | Self::SetWatchdogPid
            | Self::BlockSignals
            | Self::JoinNewKeyring
            | Self::Groups(_)
            | Self::DropCapabilities(_)
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::CloseDescriptors
            | Self::CloexecDescriptors
            | Self::RunLogRotator(_)
            | Self::RunNetworkProbe => MessageArg::None,
        }
    }

    fn step_text(&self) -> StepText {
        match self {
            Self::UnblockSignals => StepText::UnblockSignals,
            Self::Setsid => StepText::Setsid,
            Self::SetControllingTerminal => StepText::ControlTerminal,
            Self::DropControllingTerminal => StepText::DropTerminal,
            Self::WritePidAndKeepLock(_) | Self::WriteManagedPid(_) => StepText::WritePidfile,
            Self::TakeForeground => StepText::TakeForeground,
            Self::Nice(_) => StepText::Nice,
            Self::OomScoreAdj(_) => StepText::OomScore,
            Self::Limit(_) => StepText::Limit,
            Self::RedirectInput => StepText::RedirectInput,
            Self::RedirectOutput => StepText::RedirectOutput,
            Self::PassSockets(_) => StepText::PassSockets,
            Self::SetWatchdogPid => StepText::SetWatchdogPid,
            Self::EnterLogDir(_)
            | Self::ReturnToCallersDir(..)
            | Self::EnterCallersPathIfReplaced(_)
            | Self::Chdir(_) => StepText::ChangeDir,
            Self::BlockSignals => StepText::BlockSignals,
            Self::JoinNewKeyring => StepText::Keyring,
            Self::NewBackgroundGroup => StepText::NewBackgroundGroup,
            Self::Chroot(_) => StepText::Chroot,
            Self::VerifyCwdInsideRoot(_) => StepText::VerifyInsideRoot,
            Self::Groups(_) => StepText::Groups,
            Self::Gid(_) => StepText::Gid,
            Self::Uid(..) => StepText::Uid,
            Self::DropCapabilities(_) => StepText::DropCapabilities,
            Self::VerifyCredentials { .. } => StepText::VerifyCredentials,
            Self::Capabilities(_) => StepText::Capabilities,
            Self::NoNewPrivileges => StepText::NoNewPrivileges,
            Self::Umask(_) => StepText::Umask,
            Self::CloseDescriptors | Self::CloexecDescriptors => StepText::CloseDescriptors,
            Self::PassReadyPipe(_) => StepText::PassReadyPipe,
            Self::EnterCgroup(_) => StepText::Cgroup,
            Self::CreateLandlockRuleset(_) => StepText::CreateRuleset,
            Self::AddLandlockRule(Rule::Path(PathAccess::Ro, _), _) => StepText::Ro,
            Self::AddLandlockRule(Rule::Path(PathAccess::Rox, _), _) => StepText::Rox,
            Self::AddLandlockRule(Rule::Path(PathAccess::Rw, _), _) => StepText::Rw,
            Self::AddLandlockRule(Rule::Path(PathAccess::Rwx, _), _) => StepText::Rwx,
            Self::AddLandlockRule(Rule::Port(BIND_TCP, _), _) => StepText::BindTcp,
            Self::AddLandlockRule(Rule::Port(..), _) => StepText::ConnectTcp,
            Self::VerifyLandlockCwd(_) => StepText::VerifyLandlockCwd,
            Self::LandlockRestrictSelf => StepText::RestrictSelf,
            Self::RunLogRotator(_) => StepText::RunLogRotator,
            Self::RunNetworkProbe => StepText::RunProbe,
            Self::Exec(_) => StepText::Exec,
        }
    }
}
