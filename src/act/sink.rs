//! Where the server's words go: as they are, to files, or through a pipe to a logger.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::act::launch::spawn_orphan;
use crate::act::logger::Logger;
use crate::act::logs::{Logs, Mark};
use crate::act::say::{Place, Priority, Voice, failed};
use crate::decide::error::{Error, Result};
use crate::decide::plan::Output;
use crate::decide::steps::Program;
use crate::decide::text::Clean;
use crate::decide::time::Time;
use crate::sys::process::Pid;
use crate::sys::wait::Signals;
use crate::sys::{access, clock, fd};

/// Where the server's words go. Without both: where they went before.
#[derive(Default)]
pub struct Sink {
    /// To files.
    logs: Option<Logs>,
    /// To a logger, the write end of whose pipe is the voice's; with files, through a writer.
    logger: Option<Box<Logger>>,
}

/// Opens what the output needs, without any process. Answers the sink, and the voice for vsrun's own records.
///
/// # Errors
/// When the logdir cannot be opened, or the logger is nowhere.
pub fn open(output: Output) -> Result<(Sink, Voice)> {
    let fail = |why| failed(format_args!("cannot make a pipe"), why);
    let mut sink = Sink::default();
    let place = match output {
        Output::Same => Place::Plain,
        Output::Files { dir, rules, writer } => {
            let (mut logs, records) = Logs::open(dir, rules)?;
            sink.logger = writer.map(|program| logs.add_writer(program)).transpose().map_err(fail)?.map(Box::new);
            sink.logs = Some(logs);
            Place::File(records)
        }
        Output::Logger(program) => {
            find(&program)?;
            let (pipe, write) = fd::pipe().map_err(fail)?;
            sink.logger = Some(Box::new(Logger::new("logger", program, pipe, None)));
            Place::Pipe(write)
        }
    };
    Ok((sink, Voice::new(place)))
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
    let name = Clean(program.argv.first().copied().unwrap_or_default().to_bytes());
    match why {
        Some(why) if program.paths.len() == 1 => Err(failed(format_args!("logger '{name}'"), why)),
        _ => Err(Error::refused(format_args!("logger '{name}' is in no directory of PATH"))),
    }
}

impl Sink {
    /// Whether the words go where they went before.
    pub fn is_same(&self) -> bool {
        self.logs.is_none() && self.logger.is_none()
    }

    /// Where the server's standard output and error go. None: as they are.
    pub fn server<'a>(&'a self, voice: &'a Voice) -> Option<BorrowedFd<'a>> {
        let piped = || if self.is_same() { None } else { Some(voice.fd()) };
        self.logs.as_ref().map(Logs::output).or_else(piped)
    }

    /// Where the server's file ends now.
    pub fn mark(&self) -> Mark {
        self.settle();
        self.logs.as_ref().map_or((0, 0), Logs::mark)
    }

    /// The server's file from there on, if there is one.
    pub fn read_from(&self, mark: Mark) -> Option<OwnedFd> {
        self.settle();
        self.logs.as_ref()?.read_from(mark).ok()
    }

    /// Lets a writer catch up with the server.
    fn settle(&self) {
        if let (Some(_), Some(writer)) = (&self.logs, &self.logger) {
            writer.settle();
        }
    }

    /// Begins new files, if there are files.
    pub fn rotate(&mut self, voice: &mut Voice) {
        self.settle();
        if let Some(logs) = &mut self.logs {
            match logs.rotate(self.logger.as_deref()) {
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
        let Some(logs) = &self.logs else { return };
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
        let Some(logger) = &mut self.logger else { return Ok(()) };
        let report = logger.launch(Time(clock::monotonic()));
        logger.check(report)
    }

    /// Starts the logger as nobody's child, for one who becomes the server.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start_orphan(&self) -> Result<()> {
        let Some(logger) = &self.logger else { return Ok(()) };
        logger.check(spawn_orphan(&logger.program, &logger.wires()))
    }

    /// The process that serves the sink, and must outlive everybody who writes to it.
    pub fn helper(&self) -> Option<Pid> {
        Some(self.logger.as_ref()?.life.as_ref()?.pid)
    }

    /// When something is to be done here.
    #[inline(never)]
    pub fn deadline(&self) -> Option<Time> {
        let sweep = self.logs.as_ref().map(Logs::deadline);
        let again = self.logger.as_ref().and_then(|logger| logger.deadline());
        if sweep.is_none() || again.is_some_and(|again| sweep > Some(again)) { again } else { sweep }
    }

    /// Does what is due.
    pub fn tend(&mut self, now: Time) {
        if let Some(logs) = &mut self.logs
            && logs.deadline() <= now
        {
            logs.sweep(now);
        }
        if let Some(logger) = &mut self.logger {
            logger.tend(now);
        }
    }

    /// A child of ours has ended and was reaped. If it was the logger or writer, its name; then it is started again,
    /// later.
    pub fn fell(&mut self, pid: Pid, now: Time) -> Option<&'static str> {
        self.logger.as_mut()?.fell(pid, now)
    }

    /// Lets the logger end, once it has read all: waits for that, five seconds at most. All other writers of ours must
    /// have gone.
    pub fn close(self, voice: Voice, signals: &Signals) {
        drop(voice);
        // With it, the end of the pipe that the server had.
        drop(self.logs);
        if let Some(logger) = self.logger {
            logger.close(signals);
        }
    }
}
