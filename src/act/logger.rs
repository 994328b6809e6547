//! A process between the server and where its words are kept: a logger, or vsrun's own writer.

use std::os::fd::{AsFd, OwnedFd};

use crate::act::launch::{Wires, spawn};
use crate::act::prepared::Prepared;
use crate::act::report::Start;
use crate::act::say::failed;
use crate::decide::error::{Error, Result};
use crate::decide::signal::Signal;
use crate::decide::steps::Program;
use crate::decide::time::{Span, Time};
use crate::sys::process::{Pid, Target};
use crate::sys::wait::Signals;
use crate::sys::{self, clock, fd, process, wait};

/// The pauses before a logger that died is started again.
const PAUSES: (Span, Span) = (Span::millis(100), Span::secs(5));
/// A logger that lived so long was a sound one.
const SOUND: Span = Span::secs(10);
/// How long the last lines may take when all is over.
const LAST: Span = Span::secs(5);

/// How long the server's last lines may take to its file where somebody is to read them.
const SETTLE: Span = Span::millis(500);

/// A logger, or our own writer, that is kept alive, and the read end of its pipe. As long as that is open here, nobody
/// who writes gets a SIGPIPE, and no line is lost but those that a dying logger had read.
pub struct Logger {
    /// What it is called.
    name: &'static str,
    /// What it is.
    pub program: Prepared,
    pipe: OwnedFd,
    /// What it has for standard output and error. None: what vsrun has.
    output: Option<OwnedFd>,
    /// Its process.
    pub life: Option<Life>,
    pause: Span,
    /// When it is started again. None: never, it is not our child.
    again: Option<Time>,
}

/// A process that is this logger.
pub struct Life {
    /// Our child.
    pub pid: Pid,
    since: Time,
}

impl Logger {
    /// Not started yet.
    pub fn new(name: &'static str, program: Program, pipe: OwnedFd, output: Option<OwnedFd>) -> Self {
        let program = Prepared::new(program);
        Self { name, program, pipe, output, life: None, pause: PAUSES.0, again: None }
    }

    /// What it is connected to.
    pub fn wires(&self) -> Wires<'_> {
        let output = self.output.as_ref().map(AsFd::as_fd);
        Wires { input: Some(self.pipe.as_fd()), output, error: output, ..Wires::default() }
    }

    /// When it is to be started again.
    pub fn deadline(&self) -> Option<Time> {
        if self.life.is_none() { self.again } else { None }
    }

    /// Starts it again, when that is due.
    pub fn tend(&mut self, now: Time) {
        // Nobody waits for its exec here: what goes wrong shows in its end.
        if self.deadline().is_some_and(|again| again <= now) && self.launch(now).is_err() {
            self.put_off(now);
        }
    }

    /// A child of ours has ended and was reaped. If it is this one, its name; then it is started again, later.
    pub fn fell(&mut self, pid: Pid, now: Time) -> Option<&'static str> {
        let life = self.life.take_if(|life| life.pid == pid)?;
        if now.since(life.since) >= SOUND {
            self.pause = PAUSES.0;
        }
        self.put_off(now);
        Some(self.name)
    }

    /// Lets it end, once it has read all: waits for that, five seconds at most. All other writers of ours must have gone.
    #[inline(never)]
    pub fn close(mut self, signals: &Signals) {
        let start = Time(clock::monotonic());
        let until = start.after(LAST);
        if self.life.is_none() && self.again.is_none() {
            return;
        }
        self.again = Some(start);
        loop {
            let now = Time(clock::monotonic());
            if now >= until || (self.life.is_none() && !fd::is_readable(self.pipe.as_fd())) {
                return;
            }
            self.tend(now);
            let wake = self.deadline().unwrap_or(until).min(until);
            wait::next([Some(signals.as_fd()), None, None, None], Some(wake.since(now).0));
            while signals.next().is_some() {}
            while let Some(pid) = process::peek() {
                let _ = process::reap(pid);
                self.fell(pid, Time(clock::monotonic()));
            }
        }
    }

    /// Lets a living writer write what is in its pipe. Waits for that as long as is no harm to anybody.
    pub fn settle(&self) {
        let until = clock::monotonic() + SETTLE.0;
        while self.life.is_some() && fd::is_readable(self.pipe.as_fd()) && clock::monotonic() < until {
            wait::nap(1);
        }
    }

    /// Lets the writer go on in the file that has the name then.
    pub fn reopen(&self) {
        if let Some(life) = &self.life {
            let _ = process::send(Signal::HUP.number(), Target::Process(life.pid));
        }
    }

    /// Starts it as our child.
    ///
    /// # Errors
    /// When the kernel has no process or no descriptor to give.
    pub fn launch(&mut self, now: Time) -> sys::Result<OwnedFd> {
        let launched = spawn(&self.program, &self.wires())?;
        self.life = Some(Life { pid: launched.pid, since: now });
        Ok(launched.report)
    }

    fn put_off(&mut self, now: Time) {
        self.again = Some(now.after(self.pause));
        self.pause = self.pause.doubled().min(PAUSES.1);
    }

    /// Waits for its exec.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn check(&self, report: sys::Result<OwnedFd>) -> Result<()> {
        let name = self.name;
        let report = report.map_err(|why| failed(format_args!("cannot start the {name}"), why))?;
        match Start::await_end(&report) {
            Start::Done | Start::WithoutPidfile => Ok(()),
            Start::Failed(failure) => {
                Err(Error::refused(format_args!("{name}: {}", failure.error(&self.program).text)))
            }
            Start::Killed => Err(Error::refused(format_args!("{name}: it was killed before it ran"))),
        }
    }
}
