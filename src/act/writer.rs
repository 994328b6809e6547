//! The writer: a process of vsrun's own between the server and its file, which rotates the file while the server runs.
//!
//! It has the pipe for standard input, the logdir for standard output and error, and nothing else of what vsrun had
//! open. Nothing of what it moves is ever in its memory only: a writer that is killed loses no byte, and what cannot be
//! written stays in the pipe. Its one order is SIGHUP; it ends when nobody has the other end of the pipe any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::act::logs::{begin_output, open_output, sweep};
use crate::act::watch::now;
use crate::decide::exit;
use crate::decide::retention::{Rules, portion};
use crate::decide::signal::Signal;
use crate::decide::time::{Span, Time};
use crate::sys::dir::Dir;
use crate::sys::wait::{self, Mask, Signals};
use crate::sys::{self, fd, pipe, process};

/// How much is looked through for the end of a line when the file is nearly full.
const WINDOW: usize = 16 * 1024;
/// Who finds less than that sleeps a little: many small writes are then moved in one.
const LITTLE: usize = 32 * 1024;
/// That little, in milliseconds.
const NAP: u64 = 1;
/// How long what cannot be written waits until it is tried again, in milliseconds.
const AGAIN: u64 = 1000;
/// How often old files are looked for.
const HOUR: Span = Span::secs(3600);

struct Writer {
    dir: Dir,
    rules: Rules,
    file: Option<OwnedFd>,
    /// How long the file may become.
    limit: u64,
    sweep: Time,
}

/// This process is the writer, to its end.
#[inline(never)]
pub fn write(rules: Rules) -> ! {
    let _ = wait::mask(Mask::All);
    // The locks, above all.
    let _ = fd::close_all_but(fd::FIRST..fd::FIRST);
    let (dir, signals) = loop {
        if let (Ok(dir), Ok(signals)) = (fd::duplicate(fd::standard(1)), Signals::open()) {
            break (Dir(dir), signals);
        }
        wait::nap(AGAIN);
    };
    let mut writer = Writer { dir, rules, file: None, limit: rules.size, sweep: now().after(HOUR) };
    let input = fd::standard(0);
    loop {
        let time = now();
        if writer.sweep <= time {
            writer.clean_up();
        }
        let wake = Some(writer.sweep.since(time).0);
        let [news, ..] = wait::next([Some(input), Some(signals.as_fd()), None, None], wake);
        // Counted before the signals are looked at: what the next server writes is not among it when the order to
        // rotate, which comes before that, has not been seen.
        let count = pipe::count(input);
        if news && count == 0 {
            process::leave(exit::OK);
        }
        while let Some(arrived) = signals.next() {
            if arrived.signal == Signal::HUP.number() {
                (writer.file, writer.limit) = (None, rules.size);
            }
        }
        match writer.open().and_then(|()| writer.move_some(input, count)) {
            Ok(moved) if moved < LITTLE => wait::nap(NAP),
            Ok(_) => {}
            Err(_) => wait::nap(AGAIN),
        }
    }
}

impl Writer {
    /// Opens the file that has the name, if none is open.
    fn open(&mut self) -> sys::Result<()> {
        if self.file.is_none() {
            self.file = Some(open_output(&self.dir, &self.rules)?);
        }
        Ok(())
    }

    /// Moves a part of what is in the pipe into the file, or rotates it. Answers how much may have been moved.
    #[inline(never)]
    fn move_some(&mut self, input: BorrowedFd<'_>, count: u64) -> sys::Result<usize> {
        let Some(file) = self.file.as_ref().filter(|_| count > 0) else { return Ok(LITTLE) };
        let file = file.as_fd();
        // At the end, wherever that is: somebody may have cut the file.
        let size = pipe::to_end(file)?;
        let rest = self.limit.saturating_sub(size);
        let far = rest.saturating_sub(WINDOW as u64);
        if count <= rest || far > 0 {
            return pipe::splice(input, file, if count <= rest { count } else { far });
        }
        let mut window = [0; WINDOW];
        let length = pipe::peek(input, &mut window)?;
        let open = size == 0 || (size / 2 < self.limit && !pipe::is_line_end(file, size));
        match portion(window.get(..length).unwrap_or_default(), rest, open) {
            Some(count) => pipe::splice(input, file, count as u64).map(|_| LITTLE),
            None => {
                self.rotate(size);
                Ok(LITTLE)
            }
        }
    }

    /// Begins a new file. Where that fails, the old one goes on.
    fn rotate(&mut self, size: u64) {
        self.limit = size.saturating_add(self.rules.size);
        if let Ok(file) = begin_output(&self.dir, &self.rules) {
            (self.file, self.limit) = (Some(file), self.rules.size);
            self.clean_up();
        }
    }

    fn clean_up(&mut self) {
        self.sweep = now().after(HOUR);
        sweep(&self.dir, &self.rules);
    }
}
