//! The supervisor's side of the probes: what is due, and what a result means.

use core::fmt::Write;

use super::network_probe::Failed;
use super::supervisor::Supervisor;
use crate::logic::base::exit::Exit;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::schedule::{Due, Tried, Which};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::outcome::ErrorText;
use crate::sys::process::Pid;
use crate::sys::{self, fd};

impl Supervisor<'_> {
    /// An event has been handled: a server that is ready is probed for health, and one that exits or is asked to is not
    /// probed any more.
    pub fn follow_probes(&mut self, event: Event, time: Time) {
        let is_up = self.state.phase.is_up();
        let Some(prober) = &mut self.config.prober else { return };
        if !is_up {
            prober.end();
        } else if event == Event::Ready {
            prober.schedule.on_ready(time);
        }
    }

    /// Starts a try that is due, or ends one that takes too long.
    #[inline(never)]
    pub fn run_probes(&mut self, time: Time) -> Option<Event> {
        let watch = &mut *self.config;
        let prober = watch.prober.as_mut()?;
        if prober.deadline().is_none_or(|until| until > time) {
            return None;
        }
        let mut why = ErrorText::new();
        let (which, tried) = if let Some(which) = prober.give_up() {
            (which, Tried::TimedOut)
        } else {
            let (which, limit) = match prober.schedule.due(time)? {
                Due::Ready => return Some(Event::Ready),
                Due::Try(which, limit) => (which, limit),
            };
            let (dir, cgroup) = (watch.output.dir(), watch.cgroup.as_ref());
            // Its standard output, which would fill the log, is the /dev/null that standard input is by then.
            let (output, error) = (Some(fd::standard(0)), watch.output.server(&watch.log));
            let io = ChildIo { output, error, dir, cgroup, never_waits: true, ..ChildIo::default() };
            if prober.is_stuck() {
                (which, Tried::TimedOut)
            } else if let Err(error) = prober.start(which, time.after(limit), &io) {
                let _ = write!(why, "cannot start a process now: {}", sys::errno_text(error));
                (which, Tried::Refused)
            } else {
                return None;
            }
        };
        if tried == Tried::TimedOut {
            let _ = write!(why, "{}", Failed::TimedOut);
        }
        self.on_result((which, tried, why))
    }

    /// A child has exited and is about to be reaped: nothing of a probe outlives it.
    pub fn kill_rest_of_probe(&self, pid: Pid) {
        if let Some(prober) = &self.config.prober {
            prober.kill_rest(pid);
        }
    }

    /// A child has been reaped.
    pub fn on_probe_exit(&mut self, pid: Pid, exit: Exit) -> Option<Event> {
        let result = self.config.prober.as_mut()?.on_exit(pid, exit)?;
        self.on_result(result)
    }

    /// Records the result of a try if it differs from the one before, and returns what it means.
    #[inline(never)]
    fn on_result(&mut self, (which, tried, why): (Which, Tried, ErrorText)) -> Option<Event> {
        let prober = self.config.prober.as_mut()?;
        let is_new = prober.why.as_bytes() != why.as_bytes();
        prober.why = why;
        let event = prober.schedule.on_result(tried, now());
        let (text, why) = (prober.text(which), prober.why.as_str());
        let (option, priority) = match which {
            Which::Ready => ("--ready probe:", Priority::Notice),
            Which::Health => ("--health ", Priority::Warning),
        };
        let text = Escaped(text.to_bytes());
        let (words, priority) =
            if tried == Tried::Healthy { ("succeeds", Priority::Notice) } else { ("failed: ", priority) };
        if is_new {
            self.config.log.record(priority, format_args!("{option}{text} {words}{why}"));
        }
        if event == Some(Event::Unhealthy) {
            self.record(Priority::Warning, format_args!("the server is not healthy: it is ended"));
        }
        event
    }
}
