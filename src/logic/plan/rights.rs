//! What a step needs: a capability, or memory that is not shared with vsrun. Both matches are exhaustive, so that a new
//! step cannot be forgotten here.

use super::step::Step;
use crate::logic::base::reason::Reason;

impl Step {
    /// The capability that a step needs. None if it needs none.
    #[inline(never)]
    pub fn needed_capability(&self) -> Option<Reason> {
        match self {
            Self::Chroot(_) => Some(Reason::SysChroot),
            Self::Groups(_) | Self::Gid(_) => Some(Reason::SetGid),
            Self::Uid(..) => Some(Reason::SetUid),
            Self::Nice(_) => Some(Reason::SysNice),
            Self::OomScore(_) | Self::Limit(_) => Some(Reason::SysResource),
            Self::Capabilities(_) => Some(Reason::SetPcap),
            Self::UnblockSignals
            | Self::Cgroup(_)
            | Self::Setsid
            | Self::ControlTerminal
            | Self::DropTerminal
            | Self::KeepPidfileLock(_)
            | Self::WriteManagedPid(_)
            | Self::TakeForeground
            | Self::Group
            | Self::Input
            | Self::Output
            | Self::PassSockets(_)
            | Self::SetWatchdogPid
            | Self::LogDir(_)
            | Self::ReturnToCallersDir(..)
            | Self::EnterReplacedDir(_)
            | Self::Chdir(_)
            | Self::VerifyCwdInsideRoot(_)
            | Self::BlockSignals
            | Self::Keyring
            | Self::DropCapabilities(_)
            | Self::VerifyCredentials { .. }
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::CloseDescriptors
            | Self::CloexecDescriptors
            | Self::Ready(_)
            | Self::Ruleset(_)
            | Self::Allow(..)
            | Self::Confine
            | Self::Covered(_)
            | Self::RunLogRotator(_)
            | Self::RunProbe
            | Self::Exec(_) => None,
        }
    }

    /// True if the step must not run in memory that the child shares with vsrun (CLONE_VM).
    ///
    /// Most such steps change credentials or drop rights that vsrun keeps, so that a tracer of the child could then
    /// reach the memory of vsrun, which may be root. (For the same reason vfork(2) must not be followed by setuid(2).)
    /// Two steps take the terminal, which the second attempt after a slow vfork must not repeat. Two run on in this
    /// program without an exec. All other steps allocate nothing, and write only to strings that every start writes
    /// again.
    #[inline(never)]
    pub fn needs_own_memory(&self) -> bool {
        match self {
            Self::TakeForeground
            | Self::ControlTerminal
            | Self::BlockSignals
            | Self::Keyring
            | Self::Chroot(_)
            | Self::VerifyCwdInsideRoot(_)
            | Self::Groups(_)
            | Self::Gid(_)
            | Self::Uid(..)
            | Self::DropCapabilities(_)
            | Self::VerifyCredentials { .. }
            | Self::Capabilities(_)
            | Self::RunLogRotator(_)
            | Self::RunProbe => true,
            Self::UnblockSignals
            | Self::Cgroup(_)
            | Self::Setsid
            | Self::DropTerminal
            | Self::KeepPidfileLock(_)
            | Self::WriteManagedPid(_)
            | Self::Group
            | Self::Nice(_)
            | Self::OomScore(_)
            | Self::Limit(_)
            | Self::Input
            | Self::Output
            | Self::PassSockets(_)
            | Self::SetWatchdogPid
            | Self::LogDir(_)
            | Self::ReturnToCallersDir(..)
            | Self::EnterReplacedDir(_)
            | Self::Chdir(_)
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::CloseDescriptors
            | Self::CloexecDescriptors
            | Self::Ready(_)
            | Self::Ruleset(_)
            | Self::Allow(..)
            | Self::Confine
            | Self::Covered(_)
            | Self::Exec(_) => false,
        }
    }
}
