//! Descriptors: made whole, opened, moved, closed.

use core::mem::MaybeUninit;
use core::ops::Range;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, RawDir, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Errno, Result, cvt, cvt_long, ensure};

mod readiness;

pub use readiness::{await_writable, has_news, is_readable, is_writable};

const STANDARD: [RawFd; 3] = [0, 1, 2];

/// The first number above them.
pub const FIRST: RawFd = 3;

/// A borrowed standard descriptor.
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: `whole` has opened 0 to 2 before anything else, and nothing in this program closes them for good.
    unsafe { BorrowedFd::borrow_raw(number.clamp(0, 2)) }
}

/// Opens those of 0, 1 and 2 that are closed, so that no file that is opened later lands there and is taken for
/// standard error. What is opened stays open for the process's whole life.
///
/// # Errors
/// When not even a pipe can be made.
#[inline(never)]
pub fn ensure_stdio_open() -> Result<()> {
    let mut closed = [true; 3];
    {
        let mut fds = STANDARD.map(|number| {
            // SAFETY: the number is only asked about; poll answers POLLNVAL for a closed one.
            PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(number) }, PollFlags::empty())
        });
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        for (closed, fd) in closed.iter_mut().zip(&fds) {
            *closed = fd.revents().contains(PollFlags::NVAL);
        }
    }
    for (number, closed) in STANDARD.into_iter().zip(closed) {
        if closed {
            // The lowest free number is this one, or one above 2 when the pipe took two; then it is moved.
            let fd = open_null()?;
            if fd.as_raw_fd() == number {
                fcntl_setfd(&fd, FdFlags::empty())?;
                core::mem::forget(fd);
            } else {
                dup_onto(fd.as_fd(), number)?;
            }
        }
    }
    Ok(())
}

/// `/dev/null`; where that cannot be opened, the read end of an empty pipe: a reader finds the end at once, and a
/// writer an error, but no SIGPIPE.
///
/// # Errors
/// When not even a pipe can be made.
pub fn open_null() -> Result<OwnedFd> {
    match open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        Ok(fd) => Ok(fd),
        Err(_) => pipe().map(|(read, _)| read),
    }
}

/// A pipe, closed at exec: its read end and its write end.
///
/// # Errors
/// Those of pipe2(2).
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC)
}

/// Makes `number` refer to what `fd` refers to, over exec too.
///
/// # Errors
/// Those of dup2(2); EPERM when the kernel answers with another number.
pub fn dup_onto(fd: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    if fd.as_raw_fd() == number {
        // dup2(n, n) does nothing, so close-on-exec would stay.
        return fcntl_setfd(fd, FdFlags::empty());
    }
    // SAFETY: only the standard descriptors and those that the server will inherit are replaced like this, and no
    // OwnedFd of this program has such a number.
    cvt(unsafe { libc::dup2(fd.as_raw_fd(), number) }).and_then(|made| ensure(made == number))
}

/// A second descriptor for the same open file, above 2 and closed at exec.
///
/// # Errors
/// Those of fcntl(2).
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    duplicate_from(fd, 3)
}

/// A second descriptor for the same open file, not below that number and closed at exec.
///
/// # Errors
/// Those of fcntl(2).
pub fn duplicate_from(fd: BorrowedFd<'_>, lowest: RawFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, lowest)
}

/// Lets a descriptor live over exec.
///
/// # Errors
/// Those of fcntl(2).
pub fn clear_cloexec(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl_setfd(fd, FdFlags::empty())
}

/// Makes a number above 2 refer to what a descriptor refers to; closed at exec. It must be unused, or one that was
/// made like this.
///
/// # Errors
/// Those of dup2(2).
pub fn dup_onto_cloexec(fd: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    dup_onto(fd, number)?;
    set_cloexec(number)
}

/// Lets a descriptor end at exec.
///
/// # Errors
/// EBADF when there is none of that number.
pub fn set_cloexec(number: RawFd) -> Result<()> {
    fcntl_setfd(borrow(number), FdFlags::CLOEXEC)
}

/// Lets the first so many descriptors above 2 live over exec.
///
/// # Errors
/// EBADF when one of them is not open.
pub fn clear_cloexec_first(count: u16) -> Result<()> {
    (FIRST..FIRST + RawFd::from(count)).try_for_each(|number| clear_cloexec(borrow(number)))
}

/// Lets every descriptor above 2 end at exec.
///
/// # Errors
/// When the descriptors cannot be found out.
pub fn cloexec_all() -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: changes a flag of descriptors, and closes none.
    let result = cvt_long(unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) });
    match result {
        Ok(_) => Ok(()),
        // Before Linux 5.9 there is no such call, before 5.11 no such flag.
        Err(_) => for_each_open(&|number| {
            let _ = set_cloexec(number);
        }),
    }
}

/// Closes every descriptor above 2, but these.
///
/// To be called only where no other `OwnedFd` is used afterwards: before the first is made, or in a process that does
/// nothing more but wait and leave.
///
/// # Errors
/// When the descriptors cannot be found out.
pub fn close_all_except(spared: Range<RawFd>) -> Result<()> {
    let range = |first: RawFd, last: libc::c_uint| {
        // SAFETY: see above; the caller owns no descriptor of the range any more.
        cvt_long(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
    };
    let below = if spared.start > FIRST { range(FIRST, spared.start.unsigned_abs() - 1) } else { Ok(0) };
    match below.and_then(|_| range(spared.end, libc::c_uint::MAX)) {
        Ok(_) => Ok(()),
        Err(_) => for_each_open(&|number| {
            if !spared.contains(&number) {
                // SAFETY: as above.
                let _ = unsafe { libc::close(number) };
            }
        }),
    }
}

/// Calls for each open descriptor above 2, the slow way: what /proc lists, or every number that is allowed.
#[inline(never)]
pub(super) fn for_each_open(act: &dyn Fn(RawFd)) -> Result<()> {
    if let Ok(proc) = open(c"/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut dir = RawDir::new(&proc, &mut buffer);
        // It is read by number, so to close one while reading loses no other.
        while let Some(entry) = dir.next() {
            let entry = entry?;
            let digits = entry.file_name().to_bytes();
            let number = digits.iter().try_fold(0i32, |sum, digit| {
                digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(i32::from(digit - b'0')))
            });
            if let Some(number @ FIRST..) = number
                && number != proc.as_raw_fd()
            {
                act(number);
            }
        }
        return Ok(());
    }
    // The limit that can be lowered no more, and much at least: what was opened before it was lowered is still there.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    // A limit of a thousand million must not take an hour; where a million are allowed, no process has more open.
    let most = most.unwrap_or(u64::MAX).clamp(1 << 16, 1 << 20);
    (FIRST..RawFd::try_from(most).unwrap_or(RawFd::MAX)).for_each(act);
    Ok(())
}

/// A descriptor of that number, to ask about; it need not be open.
pub(super) fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: for a question to the kernel about a number; a closed one is answered with EBADF.
    unsafe { BorrowedFd::borrow_raw(number.max(0)) }
}

/// Writes a line if that can be done without waiting, and loses it otherwise.
///
/// The kernel is asked not to wait (RWF_NOWAIT). Where it has no such way for this file, or a container's filter of
/// system calls does not know the question, what is writable is trusted: a pipe then takes a line of up to PIPE_BUF at
/// once, unless another writer is faster.
pub fn write_or_drop(fd: BorrowedFd<'_>, line: &[u8]) {
    let slices = [io::IoSlice::new(line)];
    let result = rustix::io::pwritev2(fd, &slices, u64::MAX, rustix::io::ReadWriteFlags::NOWAIT);
    if let Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::SPIPE) = result
        && is_writable(fd)
    {
        let _ = rustix::io::write(fd, line);
    }
}

/// Writes all of it.
///
/// # Errors
/// Those of write(2); zero bytes written is no space left.
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

/// Reads what is there.
///
/// # Errors
/// Those of read(2).
pub fn read_some(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::io::read(fd, &mut *buffer) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Reads until the end, or until the buffer is full. Returns how much.
///
/// # Errors
/// Those of read(2).
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
