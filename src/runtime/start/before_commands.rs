//! The commands of `--before`, prepared in memory, and their run if vsrun itself becomes the server. A supervisor runs
//! them in its event loop: `supervise::before_commands`.

use core::fmt::Write;
use std::os::fd::AsFd;

use super::child_io::ChildIo;
use super::exec_image::ExecImage;
use super::outcome::{ErrorText, StartOutcome, StepFailure};
use super::spawn::spawn;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::duration::SpanDisplay;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::exit::{Exit, ExitDisplay};
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::{Span, Time};
use crate::logic::plan::before_commands::BeforeCommand;
use crate::logic::plan::companion_programs::is_server_only_var;
use crate::logic::plan::env::Env;
use crate::logic::supervisor::policy::EXIT_REQUEST_SIGNALS;
use crate::runtime::host::clock::now;
use crate::runtime::report::os_error::os_error;
use crate::runtime::start::deliver;
use crate::sys::pidfd::Process;
use crate::sys::poll::{self, SignalMask, Signals};
use crate::sys::process::{self, Pid, SignalTarget};

/// A command of `--before`, which runs before the server.
pub struct Command {
    /// The value of the option `--before`.
    pub text: StaticCStr,
    /// The prepared program, without an environment of its own.
    pub image: ExecImage,
}

/// The commands of `--before`.
pub struct Commands {
    /// The commands, in order.
    pub list: Vec<Command>,
    /// The number of variables at the beginning of the server's environment that the commands do not get.
    pub skipped_vars: usize,
}

impl Commands {
    /// Prepares the commands. In the server's environment, moves the variables that the commands do not get to the
    /// front.
    pub fn new(before: Vec<BeforeCommand>, env: &mut Env) -> Self {
        let skipped_vars = if before.is_empty() { 0 } else { env.move_to_front(&is_server_only_var) };
        let list = before
            .into_iter()
            .map(|BeforeCommand { text, program }| Command { text, image: ExecImage::without_env(program) });
        Self { list: list.collect(), skipped_vars }
    }
}

impl Command {
    /// Returns how the command ended, as text: `--before 'CMD' exited with status 1`.
    pub fn exit_text(&self, failure: Option<&StepFailure>, exit: Exit) -> ErrorText {
        let mut words = ErrorText::new();
        let _ = write!(words, "--before '{}'", Escaped(self.text.to_bytes()));
        let _ = match failure {
            Some(failure) => words.write_str(": ").and_then(|()| failure.write(&self.image, &mut words)),
            None => write!(words, " {}", ExitDisplay(exit)),
        };
        words
    }

    /// Returns the text for a command that exceeded `--ready-timeout`.
    pub fn timeout_text(&self, within: Span) -> ErrorText {
        let mut words = ErrorText::new();
        let (text, within) = (Escaped(self.text.to_bytes()), SpanDisplay(within));
        let _ = write!(words, "--before '{text}' was not done in time: --ready-timeout {within}");
        words
    }
}

/// Makes the error of a start from the text that `Command::exit_text` or `Command::timeout_text` has returned.
pub fn before_error(words: &ErrorText) -> Error {
    Error::new(Problem::Before).with_raw_arg(words.as_str())
}

/// How long a command that has to exit may take after SIGTERM, before it gets SIGKILL, and after SIGKILL, before vsrun
/// gives up.
const KILL_DELAY: Span = Span::secs(30);
/// How long a tracer may hide the exit of a command before the start fails.
const TRACER_WAIT: Span = Span::secs(1);

/// The longest time that vsrun waits for killed orphans to exit, in milliseconds.
const ORPHAN_EXIT_MS: u32 = 1000;

/// Runs the commands one after the other, and waits for each, before this process becomes the server. `timeout` is the
/// time limit for all of them together.
///
/// # Errors
/// When a command does not exit with status 0, or not in time. When a signal asks vsrun to exit; the error's exit
/// status is then 128 plus the signal's number.
#[inline(never)]
pub fn run_all(commands: &Commands, io: &ChildIo<'_>, timeout: Option<Span>) -> Result<()> {
    // Block the signals, to read them from a signalfd. The first steps of the server unblock them.
    poll::set_mask(SignalMask::All).map_err(|why| os_error(Problem::BlockSignals, why))?;
    let signals = Signals::open().map_err(|why| os_error(Problem::OpenSignalfd, why))?;
    let until = timeout.map(|span| now().after(span));
    for command in &commands.list {
        let child = spawn(&command.image, io).map_err(|why| os_error(Problem::StartProcess, why))?;
        let asked = wait_or_stop(child.pid, &signals, until, &command.image, (Signal::TERM, KILL_DELAY));
        // Kill what is left of the command's process group, as systemd does after ExecStartPre=. The command is not
        // reaped yet, so no other process group can have its number.
        deliver::kill_group(child.pid, &command.image);
        io.cgroup.iter().for_each(|group| group.kill());
        if let CommandWaitResult::DidNotExit = asked {
            let error = Error::of(Problem::BeforeStuck, command.text.to_bytes());
            return Err(error.with_number_arg(child.pid.number().into()));
        }
        // If vsrun is PID 1, the killed processes become its children. They must be reaped now, and not become children
        // of the server, but exit only a moment after the signal. One that hangs in the kernel delays the server by one
        // second at most.
        for _ in 0..ORPHAN_EXIT_MS {
            if !process::has_live_child(Some(child.pid)) {
                break;
            }
            poll::sleep_ms(1);
        }
        let exit = process::reap(child.pid).map_or(Exit::Code(u8::MAX), |(word, _)| Exit::from_wait(word));
        while let Some(pid) = process::exited_child() {
            let _ = process::reap(pid);
        }
        let failure = match StartOutcome::await_end(&child.report) {
            StartOutcome::Failed(failure) => Some(failure),
            StartOutcome::Done | StartOutcome::WithoutPidfile | StartOutcome::Killed => None,
        };
        let words = command.exit_text(failure.as_ref(), exit);
        match asked {
            CommandWaitResult::ExitedByItself if failure.is_none() && exit == Exit::SUCCESS => {}
            CommandWaitResult::ExitedByItself | CommandWaitResult::DidNotExit => return Err(before_error(&words)),
            CommandWaitResult::TimedOut => {
                return Err(before_error(&command.timeout_text(timeout.unwrap_or_default())));
            }
            CommandWaitResult::SignalReceived(signal) => {
                return Err(stopped_by(signal).with_raw_arg(words.as_str()));
            }
        }
    }
    Ok(())
}

/// Makes the error for an exit that this signal has requested. The caller adds the name of what was stopped.
pub fn stopped_by(signal: Signal) -> Error {
    let status = Exit::Signal { signal, core: false }.shell_status();
    Error::new(Problem::StoppedBy).with_arg(MessageArg::Signal(signal)).with_status(status)
}

/// The result of waiting for a command: whether it exited by itself, or why vsrun stopped it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CommandWaitResult {
    /// The command exited, and vsrun had not asked it to.
    ExitedByItself,
    /// The command exceeded its time limit, was asked to exit, and exited.
    TimedOut,
    /// vsrun received this signal, asked the command to exit, and the command exited.
    SignalReceived(Signal),
    /// The command has not exited although it was asked to, or a tracer hides its exit.
    DidNotExit,
}

/// Waits until the command has exited. At the time `until`, or when a signal asks this process to exit, sends the
/// signal `first`, which is SIGTERM or SIGKILL, to the command's group. Sends SIGKILL `patience` after SIGTERM, and
/// gives up `patience` after SIGKILL, or a second after the exit if a tracer hides that.
#[inline(never)]
pub fn wait_or_stop(
    child: Pid,
    signals: &Signals,
    mut until: Option<Time>,
    image: &ExecImage,
    (first, patience): (Signal, Span),
) -> CommandWaitResult {
    // A pidfd becomes readable when the command exits, even if a tracer hides that.
    let child_pidfd = Process::child_pidfd(child);
    let (mut asked, mut signal, mut hidden) = (CommandWaitResult::ExitedByItself, Some(first), None);
    while !process::has_exited(child) {
        let time = now();
        if hidden.is_some_and(|since| time.since(since) >= TRACER_WAIT) {
            return CommandWaitResult::DidNotExit;
        }
        if until.is_some_and(|until| until <= time) {
            let Some(next) = signal else { return CommandWaitResult::DidNotExit };
            if asked == CommandWaitResult::ExitedByItself {
                asked = CommandWaitResult::TimedOut;
            }
            let _ = deliver::deliver(child.number(), deliver::program_uid(image), &|| {
                process::send(next.number(), SignalTarget::Group(child))?;
                process::send(Signal::CONT.number(), SignalTarget::Group(child))
            });
            signal = (next == Signal::TERM).then_some(Signal::KILL);
            until = Some(time.after(patience));
        }
        let ended = child_pidfd.as_ref().filter(|_| hidden.is_none()).map(AsFd::as_fd);
        let wake = if hidden.is_some() { Some(time.after(TRACER_WAIT)) } else { until };
        let ended =
            poll::poll_last_for_hangup(&[Some(signals.as_fd()), ended, None], wake.map(|wake| wake.since(time).0)) & 2
                != 0;
        if ended && !process::has_exited(child) {
            hidden = Some(now());
        }
        while let Some(arrived) = signals.next() {
            let arrived = Signal::new(arrived.signal.into()).filter(|signal| EXIT_REQUEST_SIGNALS.contains(signal));
            if let (Some(arrived), CommandWaitResult::ExitedByItself) = (arrived, asked) {
                (asked, until) = (CommandWaitResult::SignalReceived(arrived), Some(now()));
            }
        }
    }
    asked
}
