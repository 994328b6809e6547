//! What a step needs: a capability, or memory that is not shared with vsrun. Both matches are exhaustive, so that a new
//! step does not compile until it is added here.

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
            Self::OomScoreAdj(_) | Self::Limit(_) => Some(Reason::SysResource),
            Self::Capabilities(_) => Some(Reason::SetPcap),
            Self::UnblockSignals
            | Self::EnterCgroup(_)
            | Self::Setsid
            | Self::SetControllingTerminal
            | Self::DropControllingTerminal
            | Self::WritePidAndKeepLock(_)
            | Self::WriteManagedPid(_)
            | Self::TakeForeground
            | Self::NewBackgroundGroup
            | Self::RedirectInput
            | Self::RedirectOutput
            | Self::PassSockets(_)
            | Self::SetWatchdogPid
            | Self::EnterLogDir(_)
            | Self::ReturnToCallersDir(..)
            | Self::EnterCallersPathIfReplaced(_)
            | Self::Chdir(_)
            | Self::VerifyCwdInsideRoot(_)
            | Self::BlockSignals
            | Self::JoinNewKeyring
            | Self::DropCapabilities(_)
            | Self::VerifyCredentials { .. }
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::CloseDescriptors
            | Self::CloexecDescriptors
            | Self::PassReadyPipe(_)
            | Self::CreateLandlockRuleset(_)
            | Self::AddLandlockRule(..)
            | Self::LandlockRestrictSelf
            | Self::VerifyLandlockCwd(_)
            | Self::RunLogRotator(_)
            | Self::RunNetworkProbe
            | Self::Exec(_) => None,
        }
    }

    /// True if the step must not run in memory that the child shares with vsrun (CLONE_VM).
    ///
    /// Most of these steps change credentials or drop rights that vsrun keeps: a process that may then trace the child
    /// could write to the memory of vsrun, which may be root. (For the same reason, setuid(2) must not follow
    /// vfork(2).) `TakeForeground` and `SetControllingTerminal` change the terminal, and must not run twice if
    /// the child exceeds the time limit of vfork and is started again. `EnterCgroup` may enter a frozen group,
    /// where the signal that enforces this time limit has no effect. `RunLogRotator` and `RunNetworkProbe` run
    /// vsrun's own code without an exec. The other steps allocate no memory, and a string that they change is
    /// written again at the next start.
    #[inline(never)]
    pub fn needs_own_memory(&self) -> bool {
        match self {
            Self::TakeForeground
            | Self::EnterCgroup(_)
            | Self::SetControllingTerminal
            | Self::BlockSignals
            | Self::JoinNewKeyring
            | Self::Chroot(_)
            | Self::VerifyCwdInsideRoot(_)
            | Self::Groups(_)
            | Self::Gid(_)
            | Self::Uid(..)
            | Self::DropCapabilities(_)
            | Self::VerifyCredentials { .. }
            | Self::Capabilities(_)
            | Self::RunLogRotator(_)
            | Self::RunNetworkProbe => true,
            Self::UnblockSignals
            | Self::Setsid
            | Self::DropControllingTerminal
            | Self::WritePidAndKeepLock(_)
            | Self::WriteManagedPid(_)
            | Self::NewBackgroundGroup
            | Self::Nice(_)
            | Self::OomScoreAdj(_)
            | Self::Limit(_)
            | Self::RedirectInput
            | Self::RedirectOutput
            | Self::PassSockets(_)
            | Self::SetWatchdogPid
            | Self::EnterLogDir(_)
            | Self::ReturnToCallersDir(..)
            | Self::EnterCallersPathIfReplaced(_)
            | Self::Chdir(_)
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::CloseDescriptors
            | Self::CloexecDescriptors
            | Self::PassReadyPipe(_)
            | Self::CreateLandlockRuleset(_)
            | Self::AddLandlockRule(..)
            | Self::LandlockRestrictSelf
            | Self::VerifyLandlockCwd(_)
            | Self::Exec(_) => false,
        }
    }
}
