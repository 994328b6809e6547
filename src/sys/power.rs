//! Shuts the machine down.

use super::{Errno, last_errno};

/// How the machine is shut down.
#[derive(Clone, Copy)]
pub enum ShutdownKind {
    /// The machine powers off.
    Off,
    /// The machine reboots.
    Reboot,
    /// The machine halts.
    Halt,
}

/// Disables the kernel's own reaction to Ctrl-Alt-Del, an immediate reboot: the kernel then sends SIGINT to PID 1
/// instead. Returns true if the kernel has accepted that. In a container, or without CAP_SYS_BOOT, it refuses, and
/// nothing changes.
pub fn disable_ctrl_alt_del() -> bool {
    // SAFETY: reboot(2) with this command takes no pointer.
    (unsafe { libc::reboot(libc::RB_DISABLE_CAD) }) == 0
}

/// Writes all caches to the disks, and shuts the machine down; in a container with its own pid namespace, shuts down
/// only the container. Returns only on an error.
pub fn reboot(power: ShutdownKind) -> Errno {
    rustix::fs::sync();
    let how = match power {
        ShutdownKind::Off => libc::RB_POWER_OFF,
        ShutdownKind::Reboot => libc::RB_AUTOBOOT,
        ShutdownKind::Halt => libc::RB_HALT_SYSTEM,
    };
    // SAFETY: reboot(2) with these commands takes no pointer.
    unsafe { libc::reboot(how) };
    last_errno()
}
