//! The rotator: vsrun's own process between the server and the server's log file. It rotates the file while the server
//! runs.
//!
//! Its standard input is the pipe from the server, its standard output is the log directory, and its standard error is
//! the log file that the manager has created there. It inherits no other descriptor. It moves the bytes with splice(2),
//! never through its own memory: a rotator that is killed loses no byte, and what cannot be written stays in the pipe.
//! SIGHUP requests a rotation. The rotator exits when the last process that writes to the pipe has closed it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::logfiles::SWEEP_INTERVAL;
use super::logfiles::{LogFileDir, LogSweep};
use crate::logic::base::exit;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Time;
use crate::logic::formats::log_name::{LogPolicy, LongLineAction, OUTPUT_FILE, bytes_before_rotation};
use crate::runtime::host::clock::now;
use crate::sys::dir::{self, Dir, OpenMode};
use crate::sys::poll::{self, SignalMask, Signals};
use crate::sys::{self, Errno, fd, pipe, process};

/// The number of bytes that are searched for the end of a line when the file is nearly full.
const LINE_END_WINDOW: usize = 16 * 1024;
/// After moving fewer bytes than this, the rotator pauses, so that many small writes are moved at once.
const SMALL_SPLICE_BYTES: usize = 32 * 1024;
/// The pause after moving fewer than `SMALL_SPLICE_BYTES` bytes, in milliseconds.
const SMALL_SPLICE_PAUSE_MS: u64 = 1;
/// Delay before retrying a failed write, in milliseconds.
const RETRY_MS: u64 = 1000;

#[repr(C)] // Small and frequent fields first: shorter instructions.
struct Rotator {
    file: Option<OwnedFd>,
    /// The size in bytes at which the file is rotated. After a failed rotation it is larger than
    /// `policy.max_file_bytes`.
    size_limit: u64,
    /// When the next sweep for old log files begins, or the current one continues.
    next_sweep: Time,
    policy: LogPolicy,
    file_dir: LogFileDir,
    sweep: LogSweep,
}

/// Runs the rotator in this process until it exits.
pub fn run(policy: LogPolicy) -> ! {
    let _ = poll::set_mask(SignalMask::All);
    // Close all descriptors from 3 on, above all those of the pidfiles, whose locks the rotator must not keep.
    let _ = fd::close_above_stdio_except(fd::FIRST_AFTER_STDIO..fd::FIRST_AFTER_STDIO);
    let (file_dir, signals) = loop {
        let file_dir = fd::duplicate(fd::standard(1)).and_then(|dir| LogFileDir::from_inherited(Dir(dir), &policy));
        if let (Ok(file_dir), Ok(signals)) = (file_dir, Signals::open()) {
            break (file_dir, signals);
        }
        poll::sleep_ms(RETRY_MS);
    };
    // Descriptor 2 is the log file that the manager has created, unless an earlier rotator has already rotated it.
    let begun = fd::standard(2);
    let file = if file_dir.is_file_named(OUTPUT_FILE, begun) { fd::duplicate(begun).ok() } else { None };
    // Replace descriptor 2, because it would keep the log file open after the file has been deleted.
    let _ = fd::dup_onto(fd::standard(1), 2);
    let (sweep, next_sweep) = (LogSweep::default(), now().after(SWEEP_INTERVAL));
    let mut rotator = Rotator { file_dir, policy, file, size_limit: policy.max_file_bytes, sweep, next_sweep };
    let input = fd::standard(0);
    loop {
        let time = now();
        if rotator.next_sweep <= time && rotator.sweep.sweep_part(&rotator.file_dir, &rotator.policy) {
            rotator.next_sweep = time.after(SWEEP_INTERVAL);
        }
        let wake = Some(rotator.next_sweep.since(time).0);
        let is_readable = poll::poll_last_for_hangup(&[Some(input), Some(signals.as_fd()), None], wake) & 1 != 0;
        // Count the bytes in the pipe before reading the signals. The manager requests a rotation before it starts the
        // next server. So if no request has been read by now, none of the counted bytes is from the next server.
        let count = pipe::bytes_available(input);
        if is_readable && count == 0 {
            process::exit(exit::OK);
        }
        while let Some(arrived) = signals.next() {
            if arrived.signal == Signal::HUP.number() {
                rotator.file.take_if(|file| !rotator.file_dir.is_file_named(OUTPUT_FILE, file.as_fd()));
                rotator.size_limit = policy.max_file_bytes;
            }
        }
        match rotator.ensure_file_open().and_then(|()| rotator.splice_or_rotate(input, count)) {
            Ok(moved) if moved < SMALL_SPLICE_BYTES => poll::sleep_ms(SMALL_SPLICE_PAUSE_MS),
            Ok(_) => {}
            Err(Errno::FBIG) => rotator.on_file_too_large(input),
            Err(_) => poll::sleep_ms(RETRY_MS),
        }
    }
}

impl Rotator {
    /// Opens the server's log file by its name, if no file is open.
    fn ensure_file_open(&mut self) -> sys::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.file_dir.reopen_or_begin_file(
                OUTPUT_FILE,
                OpenMode::ReadWrite,
                OpenMode::NewReadWrite,
                self.policy.output_owner,
            )?);
        }
        Ok(())
    }

    /// Moves a part of the pipe's contents, which are `count` bytes, into the file, or rotates the file. Returns the
    /// number of moved bytes, or `SMALL_SPLICE_BYTES` if the caller must not pause.
    fn splice_or_rotate(&mut self, input: BorrowedFd<'_>, count: u64) -> sys::Result<usize> {
        let Some(file) = self.file.as_ref().filter(|_| count > 0) else { return Ok(SMALL_SPLICE_BYTES) };
        let file = file.as_fd();
        // Always write at the end of the file, because another process may have truncated it.
        let size = pipe::seek_end(file)?;
        let rest = self.size_limit.saturating_sub(size);
        let far = rest.saturating_sub(LINE_END_WINDOW as u64);
        if count <= rest || far > 0 {
            return pipe::splice(input, file, if count <= rest { count } else { far });
        }
        let mut window = [0; LINE_END_WINDOW];
        let length = pipe::peek(input, &mut window)?;
        let has_begun = size == 0 || (size / 2 < self.size_limit && !pipe::is_newline_before(file, size));
        let long = if has_begun { LongLineAction::Finish } else { LongLineAction::Rotate };
        match bytes_before_rotation(window.get(..length).unwrap_or_default(), rest, long) {
            Some(count) => pipe::splice(input, file, count as u64).map(|_| SMALL_SPLICE_BYTES),
            None => {
                self.rotate(size);
                Ok(SMALL_SPLICE_BYTES)
            }
        }
    }

    /// Renames the log file, whose size is `size`, and creates a new one. If that fails, the old file stays in use
    /// until it has grown by the maximum size again.
    fn rotate(&mut self, size: u64) {
        self.size_limit = size.saturating_add(self.policy.max_file_bytes);
        if let Ok(file) = self.file_dir.begin_file(OUTPUT_FILE, OpenMode::NewReadWrite, self.policy.output_owner) {
            (self.file, self.size_limit) = (Some(file), self.policy.max_file_bytes);
            (self.sweep, self.next_sweep) = (LogSweep::default(), Time::default());
        }
    }

    /// Creates a new log file, because the current one has reached the limit of file sizes that vsrun was started with
    /// (RLIMIT_FSIZE). If not even one byte fits into a new file, the server's output is discarded, so that the server
    /// does not block.
    fn on_file_too_large(&mut self, input: BorrowedFd<'_>) {
        match self.file.as_ref().and_then(|file| dir::fstat(file.as_fd()).ok()) {
            Some(about) if about.size > 0 => self.rotate(about.size),
            Some(_) | None => drop(fd::read_some(input, &mut [0; LINE_END_WINDOW])),
        }
    }
}
