//! Where the server's words go: as they are, to files, or through a pipe to a logger.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::act::launch::{Prepared, Wires, spawn, spawn_orphan};
use crate::act::logs::{Logs, Reading};
use crate::act::report::Start;
use crate::act::say::{Place, Priority, Voice, failed};
use crate::decide::error::{Error, Result};
use crate::decide::plan::Output;
use crate::decide::steps::Program;
use crate::decide::time::{Span, Time};
use crate::sys::process::Pid;
use crate::sys::wait::Signals;
use crate::sys::{self, Errno, access, clock, fd, process, wait};

/// The pauses before a logger that died is started again.
const PAUSES: (Span, Span) = (Span::millis(100), Span::secs(5));
/// A logger that lived so long was a sound one.
const SOUND: Span = Span::secs(10);
/// How long the last lines may take when all is over.
const LAST: Span = Span::secs(5);

/// Where the server's words go.
pub enum Sink {
    /// Where they went before.
    Same,
    /// To files.
    Files(Logs),
    /// To a logger. The write end of its pipe is the voice's.
    Logger(Logger),
}

/// A logger that is kept alive, and the read end of its pipe. As long as that is open here, nobody who writes gets a
/// SIGPIPE, and no line is lost but those that a dying logger had read.
pub struct Logger {
    program: Prepared,
    pipe: OwnedFd,
    life: Option<Life>,
    pause: Span,
    /// When it is started again. None: never, it is not our child.
    again: Option<Time>,
}

struct Life {
    pid: Pid,
    since: Time,
}

/// Opens what the output needs, without any process. Answers the sink, and the voice for vsrun's own records.
///
/// # Errors
/// When the logdir cannot be opened, or the logger is nowhere.
pub fn open(output: Output, reading: Reading) -> Result<(Sink, Voice)> {
    match output {
        Output::Same => Ok((Sink::Same, Voice::new(Place::Plain))),
        Output::Files { dir, keep, owner } => {
            let (logs, records) = Logs::open(dir, keep, owner, reading)?;
            Ok((Sink::Files(logs), Voice::new(Place::File(records))))
        }
        Output::Logger(program) => {
            find(&program)?;
            let (pipe, write) = fd::pipe().map_err(|why| failed(format_args!("cannot make a pipe"), why))?;
            let program = Prepared::new(program);
            let logger = Logger { program, pipe, life: None, pause: PAUSES.0, again: None };
            Ok((Sink::Logger(logger), Voice::new(Place::Pipe(write))))
        }
    }
}

/// Whether the logger is anywhere that we may execute it.
///
/// # Errors
/// When it is not.
pub fn find(program: &Program) -> Result<()> {
    let mut why = None;
    for path in &program.paths {
        match access::may_execute(path) {
            Ok(()) => return Ok(()),
            Err(error) => why = Some(error),
        }
    }
    let name = program.argv.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    match why {
        Some(why) if program.paths.len() == 1 => Err(failed(format_args!("logger '{name}'"), why)),
        _ => Err(Error::refused(format_args!("logger '{name}' is in no directory of PATH"))),
    }
}

impl Sink {
    /// Where the server's standard output and error go. None: as they are.
    pub fn server<'a>(&'a self, voice: &'a Voice) -> Option<BorrowedFd<'a>> {
        match self {
            Self::Same => None,
            Self::Files(logs) => Some(logs.output()),
            Self::Logger(_) => Some(voice.fd()),
        }
    }

    /// Where the handler's standard output and error go: where vsrun's own words go. None: as they are.
    pub fn handler<'a>(&self, voice: &'a Voice) -> Option<BorrowedFd<'a>> {
        match self {
            Self::Same => None,
            Self::Files(_) | Self::Logger(_) => Some(voice.fd()),
        }
    }

    /// Begins new files, if there are files.
    pub fn rotate(&mut self, voice: &mut Voice) {
        if let Self::Files(logs) = self {
            match logs.rotate() {
                Ok(records) => {
                    voice.say(Priority::Info, format_args!("rotated: this file has been renamed"));
                    voice.place = Place::File(records);
                    voice.say(Priority::Info, format_args!("rotated: the files begin anew"));
                }
                Err(why) => {
                    let why = crate::sys::words(why);
                    voice.say(Priority::Warning, format_args!("cannot rotate the log files: {why}; they go on"));
                }
            }
        }
    }

    /// Opens the file of vsrun's own records anew, if there is one.
    pub fn reopen(&self, voice: &mut Voice) {
        let Self::Files(logs) = self else { return };
        match logs.reopen() {
            Ok(records) => {
                voice.place = Place::File(records);
                voice.say(Priority::Info, format_args!("reopened: the file was opened anew"));
            }
            Err(why) => {
                let why = crate::sys::words(why);
                voice.say(Priority::Warning, format_args!("cannot open the log file anew: {why}; the old one goes on"));
            }
        }
    }

    /// Starts the logger as our child, for one who stays.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start(&mut self) -> Result<()> {
        let Self::Logger(logger) = self else { return Ok(()) };
        let fail = |why: Errno| failed(format_args!("cannot start the logger"), why);
        let report = logger.launch(Time(clock::monotonic())).map_err(fail)?;
        logger.check(&report)
    }

    /// Starts the logger as nobody's child, for one who becomes the server.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start_orphan(&self) -> Result<()> {
        let Self::Logger(logger) = self else { return Ok(()) };
        let report = spawn_orphan(&logger.program, &logger.wires())
            .map_err(|why| failed(format_args!("cannot start the logger"), why))?;
        logger.check(&report)
    }

    /// The process that serves the sink, and must outlive everybody who writes to it.
    pub fn helper(&self) -> Option<Pid> {
        match self {
            Self::Logger(logger) => logger.life.as_ref().map(|life| life.pid),
            Self::Same | Self::Files(_) => None,
        }
    }

    /// When something is to be done here.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            Self::Files(logs) => Some(logs.deadline()),
            Self::Logger(logger) if logger.life.is_none() => logger.again,
            Self::Logger(_) | Self::Same => None,
        }
    }

    /// Does what is due.
    pub fn tend(&mut self, now: Time) {
        match self {
            Self::Files(logs) if logs.deadline() <= now => logs.sweep(now),
            Self::Logger(logger) if logger.life.is_none() && logger.again.is_some_and(|again| again <= now) => {
                // Nobody waits for its exec here: what goes wrong shows in its end.
                if logger.launch(now).is_err() {
                    logger.put_off(now);
                }
            }
            Self::Same | Self::Files(_) | Self::Logger(_) => {}
        }
    }

    /// A child of ours has ended and was reaped. Whether it was the logger; then it is started again, later.
    pub fn fell(&mut self, pid: Pid, now: Time) -> bool {
        let Self::Logger(logger) = self else { return false };
        let Some(life) = logger.life.take_if(|life| life.pid == pid) else { return false };
        if now.since(life.since) >= SOUND {
            logger.pause = PAUSES.0;
        }
        logger.put_off(now);
        true
    }

    /// Lets the logger end, once it has read all: waits for that, five seconds at most. All other writers of ours must
    /// have gone.
    pub fn close(mut self, voice: Voice, signals: &Signals) {
        drop(voice);
        let start = Time(clock::monotonic());
        let until = start.after(LAST);
        if let Self::Logger(logger) = &mut self {
            if logger.life.is_none() && logger.again.is_none() {
                return;
            }
            logger.again = Some(start);
        }
        while let Self::Logger(logger) = &mut self {
            let now = Time(clock::monotonic());
            if now >= until || (logger.life.is_none() && !fd::is_readable(logger.pipe.as_fd())) {
                return;
            }
            self.tend(now);
            let wake = self.deadline().unwrap_or(until).min(until);
            wait::next([Some(signals.as_fd())], Some(wake.since(now).0));
            while signals.next().is_some() {}
            while let Some(pid) = process::peek() {
                let _ = process::reap(pid);
                self.fell(pid, Time(clock::monotonic()));
            }
        }
    }
}

impl Logger {
    fn wires(&self) -> Wires<'_> {
        Wires { input: Some(self.pipe.as_fd()), ..Wires::default() }
    }

    fn launch(&mut self, now: Time) -> sys::Result<OwnedFd> {
        let launched = spawn(&self.program, &self.wires())?;
        self.life = Some(Life { pid: launched.pid, since: now });
        Ok(launched.report)
    }

    fn put_off(&mut self, now: Time) {
        self.again = Some(now.after(self.pause));
        self.pause = self.pause.doubled().min(PAUSES.1);
    }

    /// Waits for the logger's exec.
    fn check(&self, report: &OwnedFd) -> Result<()> {
        match Start::await_end(report) {
            Start::Done | Start::WithoutPidfile => Ok(()),
            Start::Failed(failure) => {
                Err(Error::refused(format_args!("logger: {}", failure.error(&self.program).text)))
            }
            Start::Killed => Err(Error::refused(format_args!("logger: it was killed before it ran"))),
        }
    }
}
