//! Opens, duplicates, reads and writes descriptors, and sets close-on-exec.

use core::mem::MaybeUninit;
use core::ops::Range;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, RawDir, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Errno, Result, cvt, cvt_long, ensure};

mod readiness;

pub use readiness::{await_writable, is_readable, is_writable};

/// The first descriptor above the standard ones.
pub const FIRST_AFTER_STDIO: RawFd = 3;

/// Borrows a standard descriptor: 0, 1 or 2.
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: `stdio::ensure_open` has opened 0 to 2 before anything else, and nothing in this program leaves one
    // closed.
    unsafe { BorrowedFd::borrow_raw(number.clamp(0, 2)) }
}

/// Opens `/dev/null`. If that fails, returns the read end of an empty pipe: reading returns end of file at once, and
/// writing fails without a SIGPIPE.
///
/// # Errors
/// When `/dev/null` cannot be opened and no pipe can be created.
pub fn open_null() -> Result<OwnedFd> {
    match open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        Ok(fd) => Ok(fd),
        Err(_) => pipe().map(|(read, _)| read),
    }
}

/// Creates a close-on-exec pipe. Returns its read end and its write end.
///
/// # Errors
/// The errors of pipe2(2).
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC)
}

/// Makes `number` a duplicate of `fd` that is not close-on-exec.
///
/// # Errors
/// The errors of dup2(2); EPERM when it returns another number.
pub fn dup_onto(fd: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    if fd.as_raw_fd() == number {
        // dup2(n, n) does nothing, so close-on-exec would remain set.
        return fcntl_setfd(fd, FdFlags::empty());
    }
    // SAFETY: only the standard descriptors and those that the server will inherit are replaced this way, and no
    // OwnedFd of this program has such a number.
    cvt(unsafe { libc::dup2(fd.as_raw_fd(), number) }).and_then(|made| ensure(made == number))
}

/// Duplicates a descriptor. The new one is above 2, and close-on-exec.
///
/// # Errors
/// The errors of fcntl(2).
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    duplicate_from(fd, 3)
}

/// Duplicates a descriptor. The new one is at least `lowest`, and close-on-exec.
///
/// # Errors
/// The errors of fcntl(2).
pub fn duplicate_from(fd: BorrowedFd<'_>, lowest: RawFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, lowest)
}

/// Clears close-on-exec, so that a descriptor survives an exec.
///
/// # Errors
/// The errors of fcntl(2).
pub fn clear_cloexec(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl_setfd(fd, FdFlags::empty())
}

/// Makes `number`, which is above 2, a close-on-exec duplicate of a descriptor. The number must be unused, or be the
/// result of an earlier call of this function.
///
/// # Errors
/// The errors of dup2(2).
pub fn dup_onto_cloexec(fd: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    dup_onto(fd, number)?;
    set_cloexec(number)
}

/// Makes a descriptor close-on-exec.
///
/// # Errors
/// EBADF when the number is not open.
pub fn set_cloexec(number: RawFd) -> Result<()> {
    fcntl_setfd(borrow(number), FdFlags::CLOEXEC)
}

/// Clears close-on-exec for the first `count` descriptors above 2.
///
/// # Errors
/// EBADF when one of them is not open.
pub fn clear_cloexec_above_stdio(count: u16) -> Result<()> {
    (FIRST_AFTER_STDIO..FIRST_AFTER_STDIO + RawFd::from(count)).try_for_each(|number| clear_cloexec(borrow(number)))
}

/// Makes every descriptor above 2 close-on-exec.
///
/// # Errors
/// When the descriptors cannot be listed.
pub fn set_cloexec_above_stdio() -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: changes a flag of descriptors, and closes none.
    let result = cvt_long(unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) });
    match result {
        Ok(_) => Ok(()),
        // close_range(2) is missing before Linux 5.9, and its flag CLOSE_RANGE_CLOEXEC before 5.11.
        Err(_) => for_each_fd_above_stdio(&|number| {
            let _ = set_cloexec(number);
        }),
    }
}

/// Closes every descriptor above 2 except those in the range.
///
/// Must be called only where no other `OwnedFd` is used afterwards: before the first is created, or in a process that
/// only waits and exits.
///
/// # Errors
/// When the descriptors cannot be listed.
pub fn close_above_stdio_except(spared: Range<RawFd>) -> Result<()> {
    let range = |first: RawFd, last: libc::c_uint| {
        // SAFETY: closes descriptors that the caller does not use any more.
        cvt_long(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
    };
    let below = if spared.start > FIRST_AFTER_STDIO {
        range(FIRST_AFTER_STDIO, spared.start.unsigned_abs() - 1)
    } else {
        Ok(0)
    };
    match below.and_then(|_| range(spared.end, libc::c_uint::MAX)) {
        Ok(_) => Ok(()),
        Err(_) => for_each_fd_above_stdio(&|number| {
            if !spared.contains(&number) {
                // SAFETY: closes a descriptor that the caller does not use any more.
                let _ = unsafe { libc::close(number) };
            }
        }),
    }
}

/// Calls `act` for each open descriptor above 2, as /proc/self/fd lists them. Without /proc, calls it for every
/// possible number, open or not.
#[inline(never)]
pub(super) fn for_each_fd_above_stdio(act: &dyn Fn(RawFd)) -> Result<()> {
    if let Ok(proc) = open(c"/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut dir = RawDir::new(&proc, &mut buffer);
        // /proc lists the descriptors by number, so closing one during the listing does not skip another.
        while let Some(entry) = dir.next() {
            let entry = entry?;
            let digits = entry.file_name().to_bytes();
            let number = digits.iter().try_fold(0i32, |sum, digit| {
                digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(i32::from(digit - b'0')))
            });
            if let Some(number @ FIRST_AFTER_STDIO..) = number
                && number != proc.as_raw_fd()
            {
                act(number);
            }
        }
        return Ok(());
    }
    // Tries numbers up to the hard RLIMIT_NOFILE, and at least up to 65536: lowering the limit closes no descriptor.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    // Tries at most a million numbers, the kernel's default (fs.nr_open): a thousand million would take an hour.
    let most = most.unwrap_or(u64::MAX).clamp(1 << 16, 1 << 20);
    (FIRST_AFTER_STDIO..RawFd::try_from(most).unwrap_or(RawFd::MAX)).for_each(act);
    Ok(())
}

/// Borrows the descriptor with this number, which need not be open.
pub(super) fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: only passed to system calls, which fail with EBADF for a closed number.
    unsafe { BorrowedFd::borrow_raw(number.max(0)) }
}

/// Writes a line if that is possible without blocking, and drops it otherwise.
///
/// RWF_NOWAIT prevents blocking. If the file does not support it, or a seccomp filter does not know pwritev2(2), the
/// line is written if poll(2) reports the file as writable: a pipe then takes a line of up to PIPE_BUF bytes at once,
/// unless another process writes first.
pub fn write_or_drop(fd: BorrowedFd<'_>, line: &[u8]) {
    let slices = [io::IoSlice::new(line)];
    let result = rustix::io::pwritev2(fd, &slices, u64::MAX, rustix::io::ReadWriteFlags::NOWAIT);
    if let Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::SPIPE) = result
        && is_writable(fd)
    {
        let _ = rustix::io::write(fd, line);
    }
}

/// Writes all bytes.
///
/// # Errors
/// The errors of write(2); ENOSPC if zero bytes were written.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes with a single write(2).
///
/// # Errors
/// The errors of write(2).
pub fn write_some(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    rustix::io::write(fd, bytes)
}

/// Reads with a single read(2), which is repeated if a signal interrupts it.
///
/// # Errors
/// The errors of read(2).
pub fn read_some(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::io::read(fd, &mut *buffer) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Reads until the end of the file, or until the buffer is full. Returns the number of bytes.
///
/// # Errors
/// The errors of read(2).
pub fn read_full(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let mut count = 0;
    while let Some(room) = buffer.get_mut(count..).filter(|room| !room.is_empty()) {
        match read_some(fd, room)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}
