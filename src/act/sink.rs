//! Where the server's words go: as they are, to files, or through a pipe to a logger.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::act::logger::{Logger, spawn_orphan};
use crate::act::logs::{Logs, Mark, Rotated};
use crate::act::say::{Place, Priority, Voice, failed};
use crate::act::walk::Walk;
use crate::decide::error::{Error, Result};
use crate::decide::plan::Output;
use crate::decide::retention::LAST;
use crate::decide::steps::Program;
use crate::decide::text::Clean;
use crate::decide::time::Time;
use crate::sys::process::Pid;
use crate::sys::wait::Signals;
use crate::sys::{self, Errno, access, clock, dir, fd};

/// Where the server's words go. Without both: where they went before.
#[derive(Default)]
pub struct Sink {
    /// To files.
    logs: Option<Box<Logs>>,
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
        Output::Files { dir, later, rules, writer } => {
            let (mut logs, records) = Logs::open(dir, later, rules)?;
            sink.logger = writer.map(|program| logs.add_writer(program)).transpose().map_err(fail)?;
            sink.logs = Some(logs);
            Place::File(records)
        }
        Output::Logger(program, owner) => {
            find(&program)?;
            let (pipe, write) = fd::pipe().map_err(fail)?;
            // The server may open /dev/stdout, which is this pipe. Where it cannot be given, only that is lost.
            if let Some((uid, gid)) = owner {
                let _ = dir::give(write.as_fd(), uid, gid);
            }
            sink.logger = Some(Logger::new("logger", program, pipe, None));
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
        self.logs.as_deref().map(Logs::output).or_else(piped)
    }

    /// The logdir, if there is one.
    pub fn dir(&self) -> Option<BorrowedFd<'_>> {
        self.logs.as_deref().map(Logs::dir)
    }

    /// Where the server's file ends now.
    pub fn mark(&self) -> Mark {
        self.settle();
        self.logs.as_deref().map_or((0, 0), Logs::mark)
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
        let Some(logs) = &mut self.logs else { return };
        let mut walk = Walk::begin();
        let result = logs.rotate(self.logger.as_deref_mut(), &mut walk);
        self.go_on("rotate", result, &walk, voice);
    }

    /// Opens the files anew under their names, if there are files.
    pub fn reopen(&mut self, voice: &mut Voice) {
        let Some(logs) = &mut self.logs else { return };
        if logs.is_renumbered(voice.fd()) {
            let words = "vsrun.log was renamed to vsrun.log.1 by another program, whose numbers are not vsrun's";
            voice.say(Priority::Warning, format_args!("{words}: see LOGROTATE in vsrun(8)"));
        }
        let mut walk = Walk::begin();
        let result = logs.reopen(voice.fd(), self.logger.as_deref_mut(), &mut walk);
        self.go_on("reopen", result, &walk, voice);
    }

    /// Goes on in the file of vsrun's own records that was begun, or in the old one.
    #[inline(never)]
    fn go_on(&self, doing: &str, result: sys::Result<Rotated>, walk: &Walk, voice: &mut Voice) {
        let path = Clean(self.logs.as_deref().map_or(c"", Logs::path).to_bytes());
        match result {
            Ok(Rotated::Here(None)) => {}
            Ok(Rotated::Here(Some(records))) => {
                if doing == "rotate" {
                    voice.say(Priority::Info, format_args!("rotated: this file has been renamed"));
                }
                voice.place = Place::File(records);
            }
            Ok(Rotated::There(records)) => {
                // Also in the old file, which may be gone.
                let mut new = Some(Place::File(records));
                loop {
                    let words = format_args!("the log directory '{path}' is another one now: the files begin there");
                    voice.say(Priority::Notice, words);
                    match new.take() {
                        Some(new) => voice.place = new,
                        None => break,
                    }
                }
            }
            Err(Errno::OVERFLOW) => {
                let words = format_args!("cannot rotate the log files: number {LAST} is taken; they go on");
                return voice.say(Priority::Warning, words);
            }
            Err(why) => {
                let why = walk.told(why);
                return voice.say_twice(format_args!("cannot {doing} the log files in '{path}': {why}; they go on"));
            }
        }
        match doing {
            "rotate" => voice.say(Priority::Info, format_args!("rotated: the files begin anew")),
            _ => voice.say(Priority::Info, format_args!("reopened: the file was opened anew")),
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
        let sweep = self.logs.as_deref().map(Logs::deadline);
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
