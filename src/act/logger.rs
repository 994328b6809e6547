//! A process between the server and where its words are kept: a logger, or vsrun's own writer.

use std::os::fd::{AsFd, OwnedFd};

use crate::act::deliver;
use crate::act::launch::{Wires, give_up, spawn};
use crate::act::prepared::Prepared;
use crate::act::report::{EXEC_IS_NEXT, FORK, Failure, Start};
use crate::act::say::failed;
use crate::decide::error::{Error, Result};
use crate::decide::exit;
use crate::decide::signal::Signal;
use crate::decide::step::Step;
use crate::decide::steps::Program;
use crate::decide::time::{Span, Time};
use crate::sys::process::{Forked, Pid};
use crate::sys::wait::Signals;
use crate::sys::{self, clock, fd, process, wait};

/// The pauses before a logger that died is started again.
const PAUSES: (Span, Span) = (Span::millis(100), Span::secs(5));
/// How long it may take to its exec.
const PATIENCE: Span = Span::secs(5);
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
    /// What it has for standard output. None: what vsrun has.
    output: Option<OwnedFd>,
    /// What it has for standard error when it is started next. None: the same.
    error: Option<OwnedFd>,
    /// Of a writer: all of its steps, of which some are left out where the directory is not its user's.
    steps: Vec<Step>,
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
    /// Open until its exec.
    report: Option<OwnedFd>,
}

impl Logger {
    /// Not started yet.
    #[inline(never)]
    pub fn new(name: &'static str, program: Box<Program>, pipe: OwnedFd, output: Option<OwnedFd>) -> Box<Self> {
        let program = Prepared::new(program);
        let (error, steps, life, pause, again) = (None, Vec::new(), None, PAUSES.0, None);
        Box::new(Self { name, program, pipe, output, error, steps, life, pause, again })
    }

    /// What it is connected to.
    pub fn wires(&self) -> Wires<'_> {
        let output = self.output.as_ref().map(AsFd::as_fd);
        let error = self.error.as_ref().map_or(output, |error| Some(error.as_fd()));
        Wires { input: Some(self.pipe.as_fd()), output, error, ..Wires::default() }
    }

    /// What a writer writes to: a directory, where it is another one, and the file in it that was begun there. It has
    /// its user's rights, or vsrun's own.
    pub fn write_to(&mut self, dir: Option<OwnedFd>, file: OwnedFd, as_user: bool) {
        self.output = dir.or(self.output.take());
        self.error = Some(file);
        if self.steps.is_empty() {
            self.steps.clone_from(&self.program.steps);
        }
        // There is room for all of them: nothing is allocated later.
        let is_users = |step: &Step| {
            matches!(step, Step::Groups(_) | Step::Gid(_) | Step::Uid(..) | Step::Rights(_) | Step::Proof { .. })
        };
        self.program.steps.clear();
        self.program.steps.extend(self.steps.iter().filter(|step| as_user || !is_users(step)));
    }

    /// Ends a writer, and starts another one on the same pipe. No byte is lost: what was not moved is in the pipe.
    pub fn replace(&mut self, now: Time) {
        if let Some(life) = self.life.take() {
            deliver::to_child(life.pid, Signal::KILL, &self.program);
        }
        self.again = Some(now);
        self.tend(now);
    }

    /// When it is to be started again, or must have come to its exec.
    pub fn deadline(&self) -> Option<Time> {
        match &self.life {
            None => self.again,
            Some(life) => life.report.as_ref().map(|_| life.since.after(PATIENCE)),
        }
    }

    /// Starts it again, when that is due.
    pub fn tend(&mut self, now: Time) {
        if self.deadline().is_none_or(|until| until > now) {
            return;
        }
        if let Some(life) = &mut self.life {
            // Its end of the pipe is closed by the exec. A process that its user has stopped before is given up.
            if let Some(report) = life.report.take()
                && !wait::for_end(report.as_fd(), 0)
            {
                deliver::to_child(life.pid, Signal::KILL, &self.program);
            }
        } else {
            let launched = self.launch(now).map(|report| {
                if let Some(life) = &mut self.life {
                    life.report = Some(report);
                }
            });
            if launched.is_err() {
                self.put_off(now);
            }
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
            deliver::to_child(life.pid, Signal::HUP, &self.program);
        }
    }

    /// Starts it as our child.
    ///
    /// # Errors
    /// When the kernel has no process or no descriptor to give.
    pub fn launch(&mut self, now: Time) -> sys::Result<OwnedFd> {
        let launched = spawn(&self.program, &self.wires())?;
        self.life = Some(Life { pid: launched.pid, since: now, report: None });
        // It would keep the space of a deleted file.
        self.error = None;
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
        let fail = |why| failed(format_args!("cannot start the {name}"), why);
        let report = report.map_err(fail)?;
        let start = match &self.life {
            Some(life) => Start::await_in_time(&report, life.pid, &self.program),
            None => Start::await_end(&report),
        };
        match start {
            Start::Done | Start::WithoutPidfile => Ok(()),
            Start::Failed(failure) => {
                Err(Error::refused(format_args!("{name}: {}", failure.error(&self.program).text)))
            }
            Start::Killed => Err(Error::refused(format_args!("{name}: it was killed, or stopped, before it ran"))),
        }
    }
}

/// Starts a program that is not our child: its parent is gone as soon as its exec is done, or has failed.
///
/// # Errors
/// When the kernel has no process or no descriptor to give.
#[inline(never)]
pub fn spawn_orphan(program: &Prepared, wires: &Wires<'_>) -> sys::Result<OwnedFd> {
    let (report, write) = fd::pipe()?;
    match process::fork()? {
        Forked::Child => {
            let failure =
                match spawn(program, wires).map(|child| Start::await_in_time(&child.report, child.pid, program)) {
                    Ok(Start::Done | Start::WithoutPidfile) => {
                        let _ = fd::write_all(write.as_fd(), &[EXEC_IS_NEXT]);
                        process::leave(exit::OK)
                    }
                    Ok(Start::Failed(failure)) => failure,
                    Ok(Start::Killed) => process::leave(exit::SETUP),
                    Err(why) => Failure::new(usize::from(FORK), why),
                };
            give_up(program, &failure, write.as_fd())
        }
        Forked::Parent(pid) => {
            drop(write);
            process::reap(pid).map(|_| report)
        }
    }
}
