//! Moves bytes from a pipe into a file with splice(2), without a copy in our memory. The process may be killed at any
//! time, and what was not written is then still in the pipe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::SeekFrom;
use rustix::pipe::SpliceFlags;

use super::Result;
use super::fd::{pipe, read_full};

/// Creates a pipe with room for a mebibyte, if the system allows it, so that writer and reader seldom wait for each
/// other.
///
/// # Errors
/// The errors of pipe2(2).
pub fn create_large() -> Result<(OwnedFd, OwnedFd)> {
    let pipe = pipe()?;
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe.0, 1 << 20);
    Ok(pipe)
}

/// Creates a pipe from a child to us. Reading never blocks, even if the child opens the read end through /proc and
/// takes bytes out of the pipe.
///
/// # Errors
/// The errors of pipe2(2) and fcntl(2).
pub fn create_nonblocking_read() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe()?;
    rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// The number of bytes in a pipe.
pub fn bytes_available(pipe: BorrowedFd<'_>) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

/// Moves at most `count` bytes from a pipe, which must contain that many, to the offset of a file's descriptor.
///
/// # Errors
/// The errors of splice(2): EINVAL for a file that is open with O_APPEND.
pub fn splice(pipe: BorrowedFd<'_>, file: BorrowedFd<'_>, count: u64) -> Result<usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    rustix::pipe::splice(pipe, None, file, None, count, SpliceFlags::empty())
}

/// Reads the first bytes of a pipe that is not empty, and leaves them there.
///
/// # Errors
/// The errors of pipe2(2) and tee(2).
pub fn peek(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let (read, write) = pipe()?;
    rustix::pipe::tee(from, &write, buffer.len(), SpliceFlags::empty())?;
    drop(write);
    read_full(read.as_fd(), buffer)
}

/// Sets the offset of a descriptor to the end of its file. Returns the file's length.
///
/// # Errors
/// The errors of lseek(2).
pub fn seek_end(file: BorrowedFd<'_>) -> Result<u64> {
    rustix::fs::seek(file, SeekFrom::End(0))
}

/// True if the byte before this position in a file is a newline.
pub fn is_newline_before(file: BorrowedFd<'_>, place: u64) -> bool {
    let mut byte = [0];
    rustix::io::pread(file, &mut byte, place.saturating_sub(1)).is_ok() && byte == [b'\n']
}
