//! The supervisor's part of the probes: starts each attempt (one run of a probe) when it is due, and turns its result
//! into an event.

use core::fmt::Write;

use super::network_probe::ProbeFailure;
use super::slot::ProcessSlot;
use super::supervisor::Supervisor;
use crate::logic::base::error::{FilledPhrase, MessageArg};
use crate::logic::base::exit::Exit;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::text::Escaped;
use crate::logic::base::time::Time;
use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::probe_schedule::{AttemptResult, Due, ProbeKind};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::report::os_error::errno_text;
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::outcome::ErrorText;
use crate::sys::fd;
use crate::sys::process::Pid;

impl Supervisor<'_> {
    /// True if the process in this slot is probed: it runs and has not been asked to exit. The old server of a
    /// replacement is not probed.
    fn may_be_probed(&self, slot: ProcessSlot) -> bool {
        match slot {
            ProcessSlot::Server => self.state.phase.is_starting_or_running(),
            ProcessSlot::Second => self.state.second.is_candidate(),
        }
    }

    /// Begins to probe the process in this slot after its exec has succeeded, unless a stop has been requested.
    pub fn begin_probes(&mut self, slot: ProcessSlot) {
        let is_probed = self.may_be_probed(slot);
        if let Some(prober) = self.config.prober.as_mut().filter(|_| is_probed) {
            prober.begin_attempts(slot, now());
        }
    }

    /// Called after the state machine has handled an event: begins the health probes of a server that is ready, and
    /// ends the probes of a process that has exited or has been asked to exit.
    pub fn begin_or_end_probes(&mut self, event: Event, time: Time) {
        let [server, second] = [ProcessSlot::Server, ProcessSlot::Second].map(|slot| self.may_be_probed(slot));
        let Some(prober) = &mut self.config.prober else { return };
        if !second {
            prober.end_attempts(ProcessSlot::Second);
        }
        if !server {
            prober.end_attempts(ProcessSlot::Server);
        } else if event == Event::Ready {
            prober.server.schedule.on_ready(time);
        }
    }

    /// Starts an attempt of a probe that is due, or kills one that takes too long. Returns the event that follows, if
    /// any: also `Ready` after the time of `--ready alive:`.
    pub fn run_due_probe(&mut self, time: Time) -> Option<Event> {
        let prober = self.config.prober.as_mut()?;
        let is_due = |slot: &ProcessSlot| prober.attempts(*slot).deadline().is_some_and(|until| until <= time);
        let slot = [ProcessSlot::Server, ProcessSlot::Second].into_iter().find(is_due)?;
        self.start_or_kill_attempt(slot, time)
    }

    /// Starts the attempt that is due for the process in this slot, or kills the one that takes too long. Not inlined,
    /// so that the event loop needs no stack for it while no probe is due.
    #[inline(never)]
    fn start_or_kill_attempt(&mut self, slot: ProcessSlot, time: Time) -> Option<Event> {
        let server = self.process(slot)?.pid;
        let config = &mut *self.config;
        let prober = config.prober.as_mut()?;
        let mut why = ErrorText::new();
        let (which, result) = if let Some(which) = prober.kill_attempt(slot) {
            (which, AttemptResult::TimedOut)
        } else {
            let (which, limit) = match prober.attempts(slot).schedule.due(time)? {
                Due::ReportReady => return Some(slot.event_of_process(Event::Ready)),
                Due::Attempt(which, limit) => (which, limit),
            };
            let (log_dir, cgroup) = (config.output.dir(), config.cgroup.as_ref());
            // The standard output of a probe is discarded, because it would fill the log. When the child redirects it
            // to descriptor 0, that is `/dev/null`.
            let (output, error) = (Some(fd::standard(0)), config.output.server_fd(&config.log));
            let io = ChildIo { output, error, log_dir, cgroup, forbids_vfork: true, ..ChildIo::default() };
            if prober.attempts(slot).is_stuck() {
                (which, AttemptResult::TimedOut)
            } else if let Err(error) = prober.start_attempt(slot, server, which, time.after(limit), &io) {
                let errno = [MessageArg::Errno(errno_text(error))];
                let _ = write!(why, "{}", FilledPhrase(Problem::StartProcess.phrase(), &errno));
                (which, AttemptResult::StartFailed)
            } else {
                return None;
            }
        };
        if result == AttemptResult::TimedOut {
            let _ = write!(why, "{}", ProbeFailure::TimedOut);
        }
        self.on_attempt_result(slot, (which, result, why))
    }

    /// If this child is an attempt of a probe, kills its process group. The child has exited, but must not have been
    /// reaped.
    pub fn kill_probe_group(&self, pid: Pid) {
        if let Some(prober) = &self.config.prober {
            prober.kill_attempt_group(pid);
        }
    }

    /// Handles the exit of a child that may be an attempt of a probe. Returns the event that follows, if any.
    pub fn on_probe_exit(&mut self, pid: Pid, exit: Exit) -> Option<Event> {
        let prober = self.config.prober.as_mut()?;
        let slot = prober.slot_of_attempt(pid);
        let result = prober.on_exit(slot, pid, exit)?;
        self.on_attempt_result(slot, result)
    }

    /// Handles the result of an attempt. Records it if the reason of the failure, which is empty after a success,
    /// differs from that of the previous attempt. Returns the event that follows, if any.
    #[inline(never)]
    fn on_attempt_result(
        &mut self,
        slot: ProcessSlot,
        (which, result, why): (ProbeKind, AttemptResult, ErrorText),
    ) -> Option<Event> {
        let prober = self.config.prober.as_mut()?;
        let text = prober.probe_text(which);
        let attempts = prober.attempts(slot);
        let is_new = attempts.last_failure_reason.as_bytes() != why.as_bytes();
        attempts.last_failure_reason = why;
        let event = attempts.schedule.on_result(result, now());
        let why = attempts.last_failure_reason.as_str();
        let (option, priority) = match which {
            ProbeKind::Ready => ("--ready probe:", Priority::Notice),
            ProbeKind::Health => ("--health ", Priority::Warning),
        };
        let text = Escaped(text.to_bytes());
        let (words, priority) =
            if result == AttemptResult::Healthy { ("succeeds", Priority::Notice) } else { ("failed: ", priority) };
        if is_new {
            self.config.log.record(priority, format_args!("{option}{text} {words}{why}"));
        }
        if event == Some(Event::Unhealthy) {
            self.note(Priority::Warning, Note::Unhealthy, &[]);
        }
        event.map(|event| slot.event_of_process(event))
    }
}
