//! The output of the crash handler: vsrun reads it from a pipe, and records each line in its own log.
//!
//! The handler runs as the server's user. If it had a descriptor of vsrun's log file, it or a process that it leaves
//! behind could truncate the file or forge records.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::logic::base::error::MessageArg;
use crate::logic::base::note::Note;
use crate::logic::base::text::ArrayText;
use crate::runtime::report::log::{Log, Priority};
use crate::sys::{self, fd, pipe};

/// The maximum length of a recorded line in bytes. The rest of a longer line is replaced by `...`.
const MAX_LINE_BYTES: usize = 500;
/// How many lines of one run of the crash handler are recorded. For the rest, there is one warning.
const MAX_LINES: u32 = 1000;
/// The maximum number of reads from the pipe in one turn of the event loop.
const READS_PER_TURN: usize = 4;
/// The maximum number of reads from the pipe after the handler's exit, which is enough to empty it.
const READS_AT_END: usize = 64;

/// Reads the handler's output from a pipe, until all writers have closed it or the handler is started again.
#[derive(Default)]
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct HandlerOutput {
    pipe: Option<OwnedFd>,
    line_is_cut: bool,
    line_count: u32,
    line: ArrayText<MAX_LINE_BYTES>,
}

impl HandlerOutput {
    /// Makes a pipe for a new run of the handler. Returns the write end.
    ///
    /// # Errors
    /// The errors of pipe2(2).
    pub fn open_pipe(&mut self) -> sys::Result<OwnedFd> {
        let (read, write) = pipe::create_nonblocking_read()?;
        *self = Self { pipe: Some(read), ..Self::default() };
        Ok(write)
    }

    /// The read end of the pipe, to poll it. None before the first run, and when all writers have closed the pipe.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Records what the handler has written, up to a limit, so that a flood does not delay other events.
    pub fn read(&mut self, log: &Log) {
        self.read_some(log, READS_PER_TURN);
    }

    /// Called after the handler exited: records the rest of its output, up to a limit, because processes that it has
    /// left running may still write.
    pub fn read_rest(&mut self, log: &Log) {
        self.read_some(log, READS_AT_END);
        self.end_line(log);
    }

    #[inline(never)]
    fn read_some(&mut self, log: &Log, max_reads: usize) {
        let mut buffer = [0; 1024];
        for _ in 0..max_reads {
            let Some(pipe) = &self.pipe else { return };
            // The read end does not block: the handler could open it through /proc and take the bytes before vsrun.
            let Ok(count) = fd::read_some(pipe.as_fd(), &mut buffer) else { return };
            if count == 0 {
                self.pipe = None;
                return self.end_line(log);
            }
            for byte in buffer.get(..count).unwrap_or_default() {
                if *byte == b'\n' {
                    self.end_line(log);
                } else if self.line.as_bytes().len() < MAX_LINE_BYTES {
                    self.line.push(&[*byte]);
                } else {
                    self.line_is_cut = true;
                }
            }
        }
    }

    fn end_line(&mut self, log: &Log) {
        if self.line.as_bytes().is_empty() {
            return;
        }
        self.line_count = self.line_count.saturating_add(1);
        let (text, cut) = (MessageArg::Name(self.line.as_bytes()), if self.line_is_cut { "..." } else { "" });
        if self.line_count <= MAX_LINES {
            log.note(Priority::Notice, Note::HandlerOutput, &[text, MessageArg::Raw(cut)]);
        } else if self.line_count == MAX_LINES + 1 {
            log.note(Priority::Warning, Note::MoreOutput, &[]);
        }
        self.line.clear();
        self.line_is_cut = false;
    }
}
