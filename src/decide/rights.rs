//! Which capability a step needs, for messages.

use super::step::Step;

/// The capability without which the kernel refuses a step; empty where that has another reason.
pub fn needed(step: &Step) -> &'static str {
    match step {
        Step::Root(_) => "CAP_SYS_CHROOT",
        Step::Groups(_) | Step::Gid(_) => "CAP_SETGID",
        Step::Uid(..) => "CAP_SETUID",
        Step::Nice(_) => "CAP_SYS_NICE",
        Step::OomScore(_) | Step::Limit(_) => "CAP_SYS_RESOURCE",
        Step::Capabilities(_) => "CAP_SETPCAP",
        Step::Signals
        | Step::Cgroup(_)
        | Step::Session
        | Step::Terminal
        | Step::Pidfile(_)
        | Step::Number(_)
        | Step::Foreground
        | Step::Group
        | Step::Input
        | Step::Output
        | Step::Sockets(_)
        | Step::Watchdog
        | Step::LogDir(_)
        | Step::CallersDir(..)
        | Step::ReplacedDir(_)
        | Step::Dir(_)
        | Step::Inside(_)
        | Step::BlockSignals
        | Step::Keyring
        | Step::Rights(_)
        | Step::Proof { .. }
        | Step::NoNewPrivileges
        | Step::Umask(_)
        | Step::Descriptors
        | Step::SealDescriptors
        | Step::Ready(_)
        | Step::Ruleset(_)
        | Step::Allow(..)
        | Step::Confine
        | Step::Covered(_)
        | Step::Write(_)
        | Step::Exec(_) => "",
    }
}
