//! The user, groups and directories of a process: sets them, and verifies that no other rights remain.
//!
//! Makes the system calls directly. The C library's functions change the ids of all threads, and on musl they mask
//! signals for that; vsrun has one thread.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::thread::{Gid, Uid};

use super::caps::PermittedSetAction;
use super::{Errno, Result, caps, cvt, dir, ensure};

/// The effective user id with which the process was started, from the auxiliary vector.
pub fn effective_uid() -> u32 {
    // SAFETY: getauxval only reads the kernel's value from the start of the process. It saves a system call: vsrun
    // changes its ids only shortly before the exec.
    let id = unsafe { libc::getauxval(libc::AT_EUID) };
    u32::try_from(id).unwrap_or(u32::MAX)
}

/// The effective group id with which the process was started, from the auxiliary vector.
pub fn effective_gid() -> u32 {
    // SAFETY: getauxval only reads it.
    let id = unsafe { libc::getauxval(libc::AT_EGID) };
    u32::try_from(id).unwrap_or(u32::MAX)
}

/// Changes the root directory, and makes it the working directory.
///
/// # Errors
/// The errors of fchdir(2) and chroot(2); EPERM when the root is still another directory.
#[inline(never)]
pub fn change_root(dir: BorrowedFd<'_>) -> Result<()> {
    let there = dir::fstat(dir)?.id;
    rustix::process::fchdir(dir)?;
    rustix::process::chroot(c".")?;
    ensure(dir::stat_path(c"/")?.id == there)
}

/// Changes the working directory to `/`, and ignores errors.
pub fn chdir_to_root() {
    let _ = rustix::process::chdir(c"/");
}

/// Changes the working directory, and verifies the change.
///
/// # Errors
/// The errors of chdir(2); EPERM when it is still another directory.
#[inline(never)]
pub fn change_dir(dir: &CStr) -> Result<()> {
    // An automounter mounts the directory for chdir(2) and statvfs(2), but not for stat(2). Without this statvfs(2),
    // stat(2) would report another directory than the one that chdir(2) enters.
    let _ = rustix::fs::statvfs(dir);
    let there = dir::stat_path(dir)?.id;
    rustix::process::chdir(dir)?;
    ensure(dir::stat_path(c".")?.id == there)
}

/// Makes an open directory the working directory.
///
/// # Errors
/// The errors of fchdir(2); EPERM when the working directory is still another one.
pub fn fchdir(directory: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(directory)?;
    ensure(dir::stat_path(c".")?.id == dir::fstat(directory)?.id)
}

/// The path of the working directory. None if it was deleted or is outside the root directory.
pub fn current_dir() -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    read_current_dir(&mut buffer).map(<[u8]>::to_vec)
}

/// Reads the path of the working directory into a buffer. None if the path does not fit, or if the working directory
/// was deleted or is outside the root directory.
pub fn read_current_dir(buffer: &mut [u8]) -> Option<&[u8]> {
    // SAFETY: the buffer has that length.
    let length = super::cvt_long(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) });
    // The length that getcwd(2) returns includes the final NUL.
    let path = buffer.get(..usize::try_from(length.ok()?).ok()?.checked_sub(1)?)?;
    path.starts_with(b"/").then_some(path)
}

/// Verifies that the working directory is inside the root directory.
///
/// # Errors
/// EPERM when it is not, or when that cannot be determined.
pub fn verify_cwd_inside_root() -> Result<()> {
    read_current_dir(&mut [0; 4096]).map(drop).ok_or(Errno::PERM)
}

/// Sets the supplementary groups.
///
/// # Errors
/// The errors of setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the list has that length; the raw call, since vsrun has one thread.
    super::cvt_long(unsafe { libc::syscall(SYS_SETGROUPS, groups.len(), groups.as_ptr()) }).map(drop)
}

#[cfg(any(target_arch = "arm", target_arch = "x86"))]
const SYS_SETGROUPS: libc::c_long = libc::SYS_setgroups32;
#[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
const SYS_SETGROUPS: libc::c_long = libc::SYS_setgroups;

/// Sets the real, effective and saved group id, and makes the process undumpable.
///
/// # Errors
/// The errors of setresgid(2) and prctl(2).
pub fn set_gid(gid: u32) -> Result<()> {
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    set_undumpable()
}

/// Makes the process undumpable until the exec: root's memory must not get into a core file, and no process of the user
/// may trace this one. If only the ids change, fs.suid_dumpable decides, whose value 2 allows core files.
fn set_undumpable() -> Result<()> {
    let control = |what: i32| {
        let zero: libc::c_ulong = 0;
        // SAFETY: neither takes a pointer.
        cvt(unsafe { libc::prctl(what, zero, zero, zero, zero) })
    };
    control(libc::PR_SET_DUMPABLE)?;
    ensure(control(libc::PR_GET_DUMPABLE) == Ok(0))
}

/// Sets the real, effective and saved user id, and makes the process undumpable. When root becomes a user, the kernel
/// drops the effective capabilities, and keeps the permitted ones only on request (PR_SET_KEEPCAPS), which `permitted`
/// decides.
///
/// # Errors
/// The errors of setresuid(2) and prctl(2).
pub fn set_uid(uid: u32, permitted: PermittedSetAction) -> Result<()> {
    if permitted == PermittedSetAction::Keep {
        caps::set_keepcaps()?;
    }
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    set_undumpable()
}

/// Sets the real user id, and the saved user id to the effective one, which does not change.
///
/// # Errors
/// The errors of setresuid(2); EPERM when the id was not set.
pub fn set_real_uid(uid: u32) -> Result<()> {
    let effective = rustix::process::geteuid();
    rustix::thread::set_thread_res_uid(Uid::from_raw(uid), effective, effective)?;
    ensure(rustix::process::getuid().as_raw() == uid)
}

/// Verifies that all user ids are `uid`, that all group ids are `gid`, and that the supplementary groups are `groups`,
/// which must be sorted. Unless the user is root, also verifies that the process cannot become root again. This detects
/// a filter or tracer that has skipped a call and reported success.
///
/// # Errors
/// EPERM when the process has other ids or groups, or can become root again.
pub fn verify_ids_and_groups(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    // Start with ids that differ from the expected ones. If a filter or tracer skips the call, they remain, and
    // the comparison fails.
    let (mut user, mut group) = ([!uid; 3], [!gid; 3]);
    {
        let [real, effective, saved] = &mut user;
        // SAFETY: the call writes three numbers into these three places.
        cvt(unsafe { libc::getresuid(real, effective, saved) })?;
    }
    {
        let [real, effective, saved] = &mut group;
        // SAFETY: the call writes three numbers into these three places.
        cvt(unsafe { libc::getresgid(real, effective, saved) })?;
    }
    ensure(user == [uid; 3] && group == [gid; 3] && has_groups(groups)?)?;
    let root = Uid::from_raw(0);
    ensure(uid == 0 || rustix::thread::set_thread_res_uid(root, root, root).is_err())
}

/// The supplementary groups of this process. None if its real, effective and saved ids differ, or it is in more than 64
/// groups.
pub fn groups_if_saved_ids_equal() -> Option<Vec<u32>> {
    let ids = |ask: unsafe extern "C" fn(*mut u32, *mut u32, *mut u32) -> i32| {
        let [mut real, mut effective, mut saved] = [0, 1, 2];
        // SAFETY: three places for three numbers.
        (unsafe { ask(&raw mut real, &raw mut effective, &raw mut saved) }) == 0
            && real == effective
            && effective == saved
    };
    if !ids(libc::getresuid) || !ids(libc::getresgid) {
        return None;
    }
    let mut few = [0; 64];
    // SAFETY: there is room for 64; with more of them there is something to change anyway.
    let count = cvt(unsafe { libc::getgroups(64, few.as_mut_ptr()) }).ok()?;
    few.get(..usize::try_from(count).ok()?).map(<[u32]>::to_vec)
}

/// True if the supplementary groups are exactly `expected`, which must be sorted.
#[inline(never)]
fn has_groups(expected: &[u32]) -> Result<bool> {
    // Fewer than 64 groups are read into a buffer on the stack, because nothing should allocate after a fork. More are
    // rare, and allocating works, because the program has one thread.
    let mut few = [u32::MAX; 64];
    let mut many = Vec::new();
    let room = if expected.len() < few.len() {
        &mut few[..]
    } else {
        many.resize(expected.len() + 1, u32::MAX);
        &mut many[..]
    };
    let size = i32::try_from(room.len()).unwrap_or(0);
    // SAFETY: there is room for that many; more than expected makes the call fail with EINVAL.
    let count = match cvt(unsafe { libc::getgroups(size, room.as_mut_ptr()) }) {
        Ok(count) => usize::try_from(count).unwrap_or(0),
        Err(Errno::INVAL) => return Ok(false),
        Err(error) => return Err(error),
    };
    let found = room.get_mut(..count).unwrap_or_default();
    found.sort_unstable();
    Ok(found == expected)
}
