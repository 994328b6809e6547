//! The kernel's session keyring, which is inherited over fork and exec even if the ids change.

use super::{Errno, Result, cvt_long, ensure};

/// Replaces the inherited session keyring by a new one, which belongs to the current user.
///
/// Without keyrings in the kernel there is nothing to replace, and a container's seccomp filter may refuse the call
/// (Docker's with EPERM): both are ignored. If the user's quota is used up, the process keeps the empty keyring that
/// root has created.
///
/// # Errors
/// EPERM when the call was skipped and reported success; the other errors of keyctl(2), such as ENOMEM.
pub fn join_new_keyring() -> Result<()> {
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
