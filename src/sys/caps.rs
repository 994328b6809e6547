//! Capabilities, the parts into which root's rights are divided. Each process has several sets of them, for itself and
//! for the programs that it executes.
//!
//! A seccomp filter or a tracer can skip a system call and report success. So the sets are read back into memory that
//! holds a value which no kernel writes: a skipped call is detected.

use super::{Result, cvt, cvt_long, ensure, last_errno};

/// The effective, permitted and inheritable set, one bit for each capability: three words for the capabilities below
/// 32, then three for the others.
type CapabilitySets = [u32; 6];

/// The kernel's `struct __user_cap_header_struct`: `_LINUX_CAPABILITY_VERSION_3`, and 0 for this thread.
const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// True if CAP_SETUID and CAP_SETGID are effective.
pub fn may_change_ids() -> bool {
    const SETUID_AND_SETGID: u32 = 1 << 7 | 1 << 6;
    capget().is_ok_and(|[effective, ..]| effective & SETUID_AND_SETGID == SETUID_AND_SETGID)
}

/// True if the program's file has given this process a capability: a permitted one that is not ambient cannot come from
/// the caller. Root has all capabilities without a file, unless SECBIT_NOROOT is set. Also true if it cannot be
/// determined.
pub fn has_file_capabilities(effective_uid: libc::c_ulong) -> bool {
    const SECBIT_NOROOT: i32 = 1;
    if effective_uid == 0 && prctl(libc::PR_GET_SECUREBITS, 0, 0) & SECBIT_NOROOT == 0 {
        return false;
    }
    let permitted = capget().map_or(u64::MAX, |[_, low, _, _, high, _]| u64::from(high) << 32 | u64::from(low));
    let is_ambient = |number| prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET, number) == 1;
    (0..64).any(|number| permitted >> number & 1 == 1 && !is_ambient(number))
}

/// True if CAP_KILL is effective: signals reach processes of every user.
pub fn may_kill() -> bool {
    capget().is_ok_and(|[effective, ..]| effective & 1 << 5 != 0)
}

/// True if CAP_NET_BIND_SERVICE is effective: ports that are reserved for root can be bound.
pub fn may_bind_low_ports() -> bool {
    capget().is_ok_and(|[effective, ..]| effective & 1 << 10 != 0)
}

/// True if the capability with this number, which must be below 32, is permitted.
pub fn is_permitted(number: u32) -> bool {
    capget().is_ok_and(|[_, permitted, ..]| permitted >> number & 1 == 1)
}

fn capget() -> Result<CapabilitySets> {
    let (mut header, mut sets) = (CAPABILITY_HEADER, [u32::MAX; 6]);
    // SAFETY: header and sets have the layout of version 3, and the kernel writes only to them.
    cvt_long(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) })?;
    Ok(sets)
}

fn capset(sets: &CapabilitySets) -> Result<()> {
    let mut header = CAPABILITY_HEADER;
    // SAFETY: header and sets have the layout of version 3; the kernel only reads the sets.
    cvt_long(unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) })?;
    ensure(capget()? == *sets)
}

/// Makes the process keep its permitted capabilities when it changes from root to another user.
///
/// # Errors
/// The errors of prctl(2).
pub fn set_keepcaps() -> Result<()> {
    cvt(prctl(libc::PR_SET_KEEPCAPS, 1, 0)).map(drop)
}

/// What happens to the permitted capabilities.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PermittedSetAction {
    /// They are kept.
    Keep,
    /// They are dropped.
    Drop,
}

/// Drops all effective, inheritable and ambient capabilities, and the permitted ones too if `permitted` says so.
///
/// # Errors
/// The errors of capset(2); EPERM when the process still has a capability that it should have dropped.
pub fn drop_capabilities(permitted: PermittedSetAction) -> Result<()> {
    let found = capget()?;
    let [_, low, _, _, high, _] = found;
    let wanted = if permitted == PermittedSetAction::Keep { [0, low, 0, 0, high, 0] } else { [0; 6] };
    if found == wanted { Ok(()) } else { capset(&wanted) }
}

/// Capabilities that allow next to nothing, the most harmless first: CAP_WAKE_ALARM and CAP_BLOCK_SUSPEND, which are
/// useless on a server, and CAP_NET_BIND_SERVICE and CAP_AUDIT_WRITE for containers that have neither of the first two.
const HARMLESS_CAPABILITIES: [u32; 4] = [35, 36, 10, 29];

/// The most harmless capability that this process could keep and that is not in the set `excluded`; None if there is
/// none.
#[inline(never)]
pub fn find_harmless(excluded: u64) -> Option<u32> {
    let [_, low, _, _, high, _] = capget().unwrap_or_default();
    let permitted = (u64::from(high) << 32 | u64::from(low)) & !excluded;
    HARMLESS_CAPABILITIES.into_iter().find(|number| permitted >> number & 1 == 1)
}

/// Drops all capabilities except a harmless one that is not in the set `excluded`, if there is one. Programs that the
/// process executes inherit that capability. It protects the process: another process without it may not trace this
/// process, or use its /proc/PID/root and descriptors. The capability is ambient: a set-user-id program (sudo) does not
/// inherit it.
///
/// # Errors
/// The errors of capset(2); EPERM when the process still has other capabilities.
pub fn keep_one_harmless(excluded: u64) -> Result<()> {
    let keep = |number: u32| {
        let bits = 1u64 << number;
        let [low, high] = [bits & 0xffff_ffff, bits >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        capset(&[low, low, low, high, high, high])?;
        raise_ambient(number.cast_signed())
    };
    // Before Linux 4.3 there are no ambient capabilities: then all capabilities are dropped.
    let is_kept = find_harmless(excluded).is_some_and(|number| keep(number).is_ok());
    if is_kept { Ok(()) } else { drop_capabilities(PermittedSetAction::Drop) }
}

fn raise_ambient(number: i32) -> Result<()> {
    cvt(prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number))?;
    ensure(prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET, number) == 1)
}

/// Keeps exactly the capabilities in the set `wanted`, in all five sets of the process: bounding, permitted, effective,
/// inheritable and ambient. If the process has none and `wanted` is empty, the bounding set stays as it is.
///
/// # Errors
/// EINVAL for a capability that the kernel does not know; EPERM for one that cannot be kept, or one that cannot be
/// dropped.
#[inline(never)]
pub fn keep_only(wanted: u64) -> Result<()> {
    let [_, low, low_inherited, _, high, high_inherited] = capget()?;
    // A process without capabilities has none to drop, and may not change its bounding set, which then stays as it is.
    let nothing = low == 0 && high == 0 && wanted == 0;
    // Makes the permitted capabilities effective, because changing the bounding set needs CAP_SETPCAP.
    capset(&[low, low, low_inherited, high, high, high_inherited])?;
    let stays = |number: i32| number < 64 && wanted >> number & 1 == 1;
    // No kernel has a capability with the number 64, so PR_CAPBSET_READ must fail for it. If it succeeds, prctl(2) was
    // skipped.
    for number in 0..65 {
        if !stays(number) {
            let _ = prctl(libc::PR_CAPBSET_DROP, number, 0);
        }
        match (prctl(libc::PR_CAPBSET_READ, number, 0), stays(number)) {
            (1, true) | (-1, false) => {}
            (0, false) if number < 64 => {}
            (1, false) if nothing && number < 64 => {}
            (-1, true) => return Err(last_errno()),
            _ => return ensure(false),
        }
    }
    let [low, high] = [wanted & 0xffff_ffff, wanted >> 32].map(|half| u32::try_from(half).unwrap_or(0));
    capset(&[low, low, low, high, high, high])?;
    (0..64).filter(|number| stays(*number)).try_for_each(raise_ambient)
}

/// Sets no_new_privs: programs that this process executes gain no rights by set-user-id or file capabilities.
///
/// # Errors
/// The errors of prctl(2).
pub fn forbid_new_privileges() -> Result<()> {
    cvt(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0))?;
    // PR_GET_NO_NEW_PRIVS must fail if its argument is not 0. If it succeeds, prctl(2) was skipped.
    ensure(prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0) == 1 && prctl(libc::PR_GET_NO_NEW_PRIVS, 1, 0) == -1)
}

/// Calls prctl(2) with its arguments as machine words.
fn prctl(what: i32, first: i32, second: i32) -> i32 {
    let wide = |number: i32| libc::c_ulong::from(number.unsigned_abs());
    // SAFETY: none of these takes a pointer.
    unsafe { libc::prctl(what, wide(first), wide(second), wide(0), wide(0)) }
}
