//! The open-file-description lock of fcntl(2).
//!
//! Unlike a classic record lock it belongs to the open file description: it survives fork and exec, and ends when the
//! last descriptor is closed, not when *any* descriptor of the file is closed. It conflicts with classic locks. Linux
//! has it since 3.15.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Result, cvt_long};

/// The number of the fcntl(2) call that takes 64-bit offsets in struct flock. musl has only that struct flock.
#[cfg(target_pointer_width = "64")]
const SYS_FCNTL: libc::c_long = libc::SYS_fcntl;
#[cfg(target_pointer_width = "32")]
const SYS_FCNTL: libc::c_long = libc::SYS_fcntl64;

/// How a file is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Allows no other lock; needs a descriptor that is open for writing.
    Exclusive,
    /// Allows other shared locks; needs a descriptor that is open for reading.
    Shared,
}

/// A part of a file, to lock it or to query its lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockPart {
    /// The whole file.
    Whole,
    /// The bytes before [`MEBIBYTE`], where a pid is written.
    FirstMebibyte,
    /// Everything from [`MEBIBYTE`] on, where nothing is ever written. A lock there conflicts with a lock of the
    /// whole file.
    AfterFirstMebibyte,
}

/// The first byte of the upper part of a file, at 1 MiB.
const MEBIBYTE: libc::off_t = 1 << 20;

/// Locks a part of the file, without waiting. If this open file has a lock already, changes its kind.
///
/// # Errors
/// EAGAIN or EACCES when another process holds a lock; EINVAL before Linux 3.15; ENOLCK if the file system has no
/// locks.
pub fn try_lock(file: BorrowedFd<'_>, part: LockPart, kind: LockMode) -> Result<()> {
    set(
        file,
        part,
        match kind {
            LockMode::Exclusive => libc::F_WRLCK,
            LockMode::Shared => libc::F_RDLCK,
        },
    )
}

/// Releases the lock of this open file, for every process with a descriptor of it.
///
/// # Errors
/// The errors of fcntl(2).
pub fn unlock(file: BorrowedFd<'_>) -> Result<()> {
    set(file, LockPart::Whole, libc::F_UNLCK)
}

fn set(file: BorrowedFd<'_>, part: LockPart, kind: i32) -> Result<()> {
    set_range(file, range(part, kind))
}

fn set_range(file: BorrowedFd<'_>, range: libc::flock) -> Result<()> {
    // SAFETY: the descriptor is open, and the kernel only reads the structure.
    cvt_long(unsafe { libc::syscall(SYS_FCNTL, file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) }).map(drop)
}

/// The kind of lock that other open files have on a part of the file. Takes no lock, not even for a moment, and needs a
/// descriptor for reading only.
///
/// # Errors
/// EINVAL before Linux 3.15; ENOLCK if the file system has no locks.
pub fn lock_of_others(file: BorrowedFd<'_>, part: LockPart) -> Result<Option<LockMode>> {
    let mut range = range(part, libc::F_WRLCK);
    // SAFETY: the descriptor is open, and the structure is ours to write.
    cvt_long(unsafe { libc::syscall(SYS_FCNTL, file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut range) })?;
    Ok(match i32::from(range.l_type) {
        libc::F_UNLCK => None,
        libc::F_RDLCK => Some(LockMode::Shared),
        _ => Some(LockMode::Exclusive),
    })
}

/// The number of bytes in the range that belongs to one token, which identifies a request, see
/// [`encode_answer_in_locks`]: one byte for each possible answer.
const ANSWER_RANGE_SIZE: i64 = 1 << 16;
/// The first byte of the range of token 0, see [`encode_answer_in_locks`]. It is far beyond the end of any pidfile.
const ANSWER_RANGES_START: i64 = 1 << 40;

/// The answer to a request, as [`read_answer_from_locks`] finds it in the locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AnswerInLocks {
    /// The file is not locked: the owner of the lock has exited.
    Unlocked,
    /// The request has no answer yet.
    Pending,
    /// The query of the lock has failed.
    QueryFailed,
    /// The manager has answered the request with this number: it has unlocked the byte with this index in the range of
    /// the request.
    Number(u16),
}

/// Answers the request with this token: marks the answer by a gap in our exclusive lock of the file, which the
/// requesting process finds with F_OFD_GETLK. Each token has a range of bytes far beyond the end of the file. The byte
/// with the index `number` in that range is unlocked, and all others are locked. With None, all are locked again.
///
/// Every process that may read the file can see the answer; only we can change it. The answer needs no memory, no
/// socket and no /proc, and works across namespaces. The rest of the lock, which keeps other instances out, is not
/// changed.
pub fn encode_answer_in_locks(file: BorrowedFd<'_>, token: u32, number: Option<u16>) {
    let start = ANSWER_RANGES_START + i64::from(token) * ANSWER_RANGE_SIZE;
    let _ = set_range(file, answer_range(libc::F_WRLCK, start, ANSWER_RANGE_SIZE));
    if let Some(number) = number {
        let _ = set_range(file, answer_range(libc::F_UNLCK, start + i64::from(number), 1));
    }
}

/// Reads the answer of the lock's owner to the request with this token.
pub fn read_answer_from_locks(file: BorrowedFd<'_>, token: u32) -> AnswerInLocks {
    let start = ANSWER_RANGES_START + i64::from(token) * ANSWER_RANGE_SIZE;
    let mut found = answer_range(libc::F_WRLCK, start, ANSWER_RANGE_SIZE);
    // SAFETY: the descriptor is open, and the structure is ours to write.
    let result = cvt_long(unsafe { libc::syscall(SYS_FCNTL, file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut found) });
    // F_OFD_GETLK returns the first lock in the range, which ends just before the unlocked byte.
    let gap = if found.l_start > start { 0 } else { found.l_start + found.l_len - start };
    match u16::try_from(gap) {
        _ if result.is_err() => AnswerInLocks::QueryFailed,
        _ if i32::from(found.l_type) == libc::F_UNLCK => AnswerInLocks::Unlocked,
        Ok(number) if found.l_start > start || found.l_len > 0 => AnswerInLocks::Number(number),
        Ok(_) | Err(_) => AnswerInLocks::Pending,
    }
}

fn answer_range(kind: i32, start: i64, length: i64) -> libc::flock {
    let mut range = range(LockPart::Whole, kind);
    (range.l_start, range.l_len) = (start, length);
    range
}

fn range(part: LockPart, kind: i32) -> libc::flock {
    // SAFETY: all zero is a valid struct flock: the whole file, and the pid that an OFD lock must leave at 0.
    let mut range: libc::flock = unsafe { core::mem::zeroed() };
    range.l_type = kind.try_into().unwrap_or_default();
    match part {
        LockPart::Whole => {}
        LockPart::FirstMebibyte => range.l_len = MEBIBYTE,
        // A lock with the length 0 extends to the end of the file, wherever that will be.
        LockPart::AfterFirstMebibyte => range.l_start = MEBIBYTE,
    }
    range
}
