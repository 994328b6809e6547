//! The machine's own end.

use super::{Errno, last};

/// What becomes of the machine.
#[derive(Clone, Copy)]
pub enum Power {
    /// It is switched off.
    Off,
    /// It starts again.
    Reboot,
    /// It stops.
    Halt,
}

/// Takes Ctrl-Alt-Del from the kernel, which would start the machine again at once: from now on it sends SIGINT to PID
/// 1. Returns whether this is a machine: in a container, or without the right to it, nothing is changed.
pub fn take_ctrl_alt_del() -> bool {
    // SAFETY: a plain number.
    (unsafe { libc::reboot(libc::RB_DISABLE_CAD) }) == 0
}

/// Writes the disks' caches back, and ends the machine; or the container, where this is PID 1 of a pid namespace.
/// Returns only when the kernel refused.
pub fn reboot(power: Power) -> Errno {
    rustix::fs::sync();
    let how = match power {
        Power::Off => libc::RB_POWER_OFF,
        Power::Reboot => libc::RB_AUTOBOOT,
        Power::Halt => libc::RB_HALT_SYSTEM,
    };
    // SAFETY: a plain number.
    unsafe { libc::reboot(how) };
    last()
}
