//! Which capability a step needs, for messages.

use super::step::Step;

/// The capability that a step needs; empty if it needs none.
pub fn needed(step: &Step) -> &'static str {
    match step {
        Step::Chroot(_) => "CAP_SYS_CHROOT",
        Step::Groups(_) | Step::Gid(_) => "CAP_SETGID",
        Step::Uid(..) => "CAP_SETUID",
        Step::Nice(_) => "CAP_SYS_NICE",
        Step::OomScore(_) | Step::Limit(_) => "CAP_SYS_RESOURCE",
        Step::Capabilities(_) => "CAP_SETPCAP",
        Step::UnblockSignals
        | Step::Cgroup(_)
        | Step::Setsid
        | Step::ControlTerminal
        | Step::DropTerminal
        | Step::KeepPidfileLock(_)
        | Step::WriteManagedPid(_)
        | Step::TakeForeground
        | Step::Group
        | Step::Input
        | Step::Output
        | Step::PassSockets(_)
        | Step::SetWatchdogPid
        | Step::LogDir(_)
        | Step::CallersDir(..)
        | Step::ReplacedDir(_)
        | Step::Chdir(_)
        | Step::VerifyCwdInsideRoot(_)
        | Step::BlockSignals
        | Step::Keyring
        | Step::DropCapabilities(_)
        | Step::VerifyCredentials { .. }
        | Step::NoNewPrivileges
        | Step::Umask(_)
        | Step::CloseDescriptors
        | Step::SealDescriptors
        | Step::Ready(_)
        | Step::Ruleset(_)
        | Step::Allow(..)
        | Step::Confine
        | Step::Covered(_)
        | Step::RunLogRotator(_)
        | Step::Exec(_) => "",
    }
}
