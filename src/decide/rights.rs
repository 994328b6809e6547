//! Which capability of root's a step needs: the reason for a message about a step that the kernel refused.

use core::fmt;

use super::step::Step;

/// A capability, by the kernel's number and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// As in capabilities(7) of the kernel's headers.
    pub number: u32,
    name: &'static str,
}

impl Step {
    /// The capability without which the kernel refuses the step with EPERM or EACCES; none where refusals have other
    /// reasons.
    pub const fn capability(&self) -> Option<Capability> {
        let (number, name) = match self {
            Self::Groups(_) | Self::Gid(_) => (6, "CAP_SETGID"),
            Self::Uid(..) => (7, "CAP_SETUID"),
            Self::Capabilities(_) => (8, "CAP_SETPCAP"),
            Self::Root(_) => (18, "CAP_SYS_CHROOT"),
            Self::Nice(_) => (23, "CAP_SYS_NICE"),
            Self::OomScore(_) | Self::Limit(_) => (24, "CAP_SYS_RESOURCE"),
            Self::Signals
            | Self::Session
            | Self::Terminal
            | Self::Pidfile(_)
            | Self::Number(_)
            | Self::Foreground
            | Self::Input
            | Self::Output
            | Self::Sockets(_)
            | Self::Watchdog
            | Self::Dir(_)
            | Self::Inside(_)
            | Self::Rights(_)
            | Self::Proof { .. }
            | Self::NoNewPrivileges
            | Self::Umask(_)
            | Self::Descriptors
            | Self::Ready(_)
            | Self::Write(_)
            | Self::Exec(_) => return None,
        };
        Some(Capability { number, name })
    }
}

/// A capability that was missing, as the reason at the end of an error; nothing where none was.
pub struct Missing {
    /// The capability.
    pub capability: Option<Capability>,
    /// The hard limit in force, for a limit that could not be raised above it.
    pub hard_limit: Option<u64>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Capability { name, .. }) = self.capability else { return Ok(()) };
        match self.hard_limit {
            Some(limit) => write!(f, " ({name} is missing, and the hard limit is {limit})"),
            None => write!(f, " ({name} is missing)"),
        }
    }
}
