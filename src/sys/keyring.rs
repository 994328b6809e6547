//! The kernel's session keyring: inherited over fork and exec, whatever becomes of the ids.

use super::{Errno, Result, cvt_long, ensure};

/// Leaves the inherited session keyring for a new one, which belongs to the user that this process is now.
///
/// A kernel without keyrings, and a container whose filter refuses the call (Docker's answers with EPERM), has nothing to
/// leave, or nothing that can be done. A user whose quota is used up stays in the empty keyring that root has made.
///
/// # Errors
/// EPERM when the call has only said that it was done.
pub fn join_own() -> Result<()> {
    const KEYCTL_GET_KEYRING_ID: libc::c_long = 0;
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    const KEY_SPEC_SESSION_KEYRING: libc::c_long = -3;
    // SAFETY: plain numbers, and no name for the new keyring.
    let keyctl =
        |what: libc::c_long, of: libc::c_long| cvt_long(unsafe { libc::syscall(libc::SYS_keyctl, what, of, 0) });
    match keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0) {
        Ok(new) => ensure(new > 0 && keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING) == Ok(new)),
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::DQUOT) => Ok(()),
        Err(why) => Err(why),
    }
}
