//! The probes of the server, and of the second process of a replacement. Each attempt (one run of a probe) is a child
//! process, so a probe that hangs does not delay the supervisor. Each server process has at most one attempt at a time.

use alloc::boxed::Box;
use core::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::descendants;
use super::network_probe::probe_network;
use super::slot::ProcessSlot;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::exit::{self, Exit};
use crate::logic::base::time::{Time, earliest};
use crate::logic::plan::env::{EnvRenewal, SERVER_PID_VAR};
use crate::logic::plan::probes::{PlannedProbe, Probes};
use crate::logic::supervisor::probe::Probe;
use crate::logic::supervisor::probe_schedule::{AttemptResult, ProbeKind, Schedule};
use crate::runtime::start::child_io::ChildIo;
use crate::runtime::start::deliver;
use crate::runtime::start::exec_image::ExecImage;
use crate::runtime::start::outcome::{ErrorText, StartOutcome};
use crate::runtime::start::spawn::{Spawned, spawn};
use crate::sys::process::{self, Pid};
use crate::sys::{self, fd};

/// The probes, and the attempts to probe each of the two server processes.
pub struct Prober {
    /// The probe of `--ready probe:`, and the probe of `--health`.
    probes: [Option<PreparedProbe>; 2],
    /// The attempts for the server.
    pub server: Attempts,
    /// The attempts for the second process of a replacement.
    pub second: Attempts,
}

/// The attempts to probe one server process: when they are due, and the one that runs.
pub struct Attempts {
    /// When the next attempt is due.
    pub schedule: Schedule,
    running: Option<Attempt>,
    /// Why the last attempt failed. Empty after a success.
    pub last_failure_reason: ErrorText,
}

/// A probe, prepared so that an attempt allocates nothing.
#[repr(C)] // Small fields first: shorter instructions.
struct PreparedProbe {
    text: StaticCStr,
    probe: Probe,
    program: ExecImage,
}

/// A running attempt of a probe: a child that has not been reaped.
struct Attempt {
    which: ProbeKind,
    pid: Pid,
    report: OwnedFd,
    /// The time at which the child is killed. None: it has been killed already, and its result is ignored.
    kill_at: Option<Time>,
}

impl Prober {
    /// Prepares the probes. `source` has the files from which the server's environment is read again at a restart.
    #[inline(never)]
    pub fn new(planned: Box<Probes>, source: Option<&'static EnvRenewal>) -> Box<Self> {
        let Probes { schedule, ready, health } = *planned;
        let probes = [ready, health].map(|planned| {
            planned.map(|PlannedProbe { text, probe, program }| {
                // A network probe executes nothing, so it needs no environment.
                let source = source.filter(|_| matches!(probe, Probe::Exec(_)));
                PreparedProbe { text, probe, program: ExecImage { env_source: source, ..ExecImage::new(program) } }
            })
        });
        let [server, second] =
            core::array::from_fn(|_| Attempts { schedule, running: None, last_failure_reason: ErrorText::new() });
        let mut prober = Box::new(Self { probes, server, second });
        // Writes a first value to the slot of `VSRUN_SERVER_PID` in each probe's environment, because only a slot
        // that is not empty can be overwritten: each attempt overwrites it with the pid of its server process.
        prober.programs().for_each(|program| program.env.set_slot(0, b"="));
        prober
    }

    /// The attempts for the process in this slot.
    pub fn attempts(&mut self, slot: ProcessSlot) -> &mut Attempts {
        match slot {
            ProcessSlot::Server => &mut self.server,
            ProcessSlot::Second => &mut self.second,
        }
    }

    /// Begins to probe the process in this slot after its exec. Clears the reason of the last failure, so that the same
    /// reason is recorded again in this run.
    pub fn begin_attempts(&mut self, slot: ProcessSlot, time: Time) {
        let attempts = self.attempts(slot);
        attempts.last_failure_reason.clear();
        attempts.schedule.begin(time);
    }

    /// The earliest time at which an attempt for one of the two server processes starts or is killed.
    #[inline(never)]
    pub fn deadline(&self) -> Option<Time> {
        earliest(&[self.server.deadline(), self.second.deadline()])
    }

    /// The slot of the server process that the attempt with this pid probes. `Server` if no attempt has this pid.
    pub fn slot_of_attempt(&self, pid: Pid) -> ProcessSlot {
        if self.second.running_pid() == Some(pid) { ProcessSlot::Second } else { ProcessSlot::Server }
    }

    /// The programs of the probes, whose environment is read again at a restart.
    pub fn programs(&mut self) -> impl Iterator<Item = &mut ExecImage> {
        self.probes.iter_mut().flatten().map(|prepared_probe| &mut prepared_probe.program)
    }

    /// Ends the attempts to probe a process that has exited or has been asked to exit.
    pub fn end_attempts(&mut self, slot: ProcessSlot) {
        self.attempts(slot).schedule.end();
        self.kill_attempt(slot);
    }

    /// Exchanges the attempts, because the second process of a replacement is the server now.
    pub fn switch_over(&mut self) {
        core::mem::swap(&mut self.server, &mut self.second);
    }

    /// Kills the running attempt for this slot. Returns its probe. None if no attempt runs or it had been killed
    /// before.
    pub fn kill_attempt(&mut self, slot: ProcessSlot) -> Option<ProbeKind> {
        let attempt = self.attempts(slot).running.as_mut()?;
        attempt.kill_at.take()?;
        let (which, pid) = (attempt.which, attempt.pid);
        self.kill_attempt_group(pid);
        Some(which)
    }

    /// Kills the process group of this child if it is an attempt. The child must not have been reaped.
    pub fn kill_attempt_group(&self, pid: Pid) {
        let mut running = [&self.server, &self.second].into_iter().filter_map(|attempts| attempts.running.as_ref());
        if let Some(attempt) = running.find(|attempt| attempt.pid == pid)
            && let Some(prepared_probe) = self.prepared_probe(attempt.which)
        {
            deliver::kill_group(pid, &prepared_probe.program);
        }
    }

    /// The probe as it is written on the command line. Empty if there is no such probe.
    pub fn probe_text(&self, which: ProbeKind) -> StaticCStr {
        self.prepared_probe(which).map_or(c"", |prepared_probe| prepared_probe.text)
    }

    fn prepared_probe(&self, which: ProbeKind) -> Option<&PreparedProbe> {
        let [ready, health] = &self.probes;
        match which {
            ProbeKind::Ready => ready.as_ref(),
            ProbeKind::Health => health.as_ref(),
        }
    }

    /// Starts an attempt of this probe for the server process with this pid. It is killed if it still runs at the
    /// deadline. Does nothing if there is no such probe.
    ///
    /// # Errors
    /// When the kernel cannot create a process or a descriptor.
    pub fn start_attempt(
        &mut self,
        slot: ProcessSlot,
        server: Pid,
        which: ProbeKind,
        deadline: Time,
        io: &ChildIo<'_>,
    ) -> sys::Result<()> {
        let Some(PreparedProbe { probe, program, .. }) = self.prepared_probe(which) else { return Ok(()) };
        program.set_pid(SERVER_PID_VAR, server)?;
        let ask = |report: BorrowedFd<'_>| {
            let Probe::Connect { addresses, request } = probe else { return };
            let Err(failed) = probe_network(addresses, request.as_deref(), deadline) else { process::exit(exit::OK) };
            let mut text = ErrorText::new();
            let _ = write!(text, "{failed}");
            let _ = fd::write_all(report, text.as_bytes());
            process::exit(exit::UNHEALTHY)
        };
        let Spawned { pid, report } = spawn(program, &ChildIo { network_probe: Some(&ask), ..*io })?;
        self.attempts(slot).running = Some(Attempt { which, pid, report, kill_at: Some(deadline) });
        Ok(())
    }

    /// Handles the exit of a child. If the child was an attempt for this slot that was not killed, returns its probe,
    /// the result and the reason of a failure.
    pub fn on_exit(
        &mut self,
        slot: ProcessSlot,
        pid: Pid,
        exit: Exit,
    ) -> Option<(ProbeKind, AttemptResult, ErrorText)> {
        let attempt = self.attempts(slot).running.take_if(|attempt| attempt.pid == pid)?;
        attempt.kill_at?;
        Some(match exit {
            Exit::SUCCESS => (attempt.which, AttemptResult::Healthy, ErrorText::new()),
            Exit::Code(_) | Exit::Signal { .. } => {
                (attempt.which, AttemptResult::Failed, self.failure_reason(&attempt, exit))
            }
        })
    }

    /// The reason of a failed attempt, from the exit of its child.
    #[inline(never)]
    fn failure_reason(&self, attempt: &Attempt, exit: Exit) -> ErrorText {
        let mut why = ErrorText::new();
        let Some(prepared_probe) = self.prepared_probe(attempt.which) else { return why };
        if matches!(prepared_probe.probe, Probe::Connect { .. }) && exit == Exit::Code(exit::UNHEALTHY) {
            let mut text = [0; 300];
            let count = fd::read_full(attempt.report.as_fd(), &mut text).unwrap_or(0);
            why.push(text.get(..count).unwrap_or_default());
        } else if let StartOutcome::Failed(failure) = StartOutcome::await_end(&attempt.report) {
            let _ = failure.write(&prepared_probe.program, &mut why);
        } else {
            let _ = write!(why, "{exit}");
        }
        why
    }
}

impl Attempts {
    /// The time at which the next attempt starts or the running one is killed.
    pub fn deadline(&self) -> Option<Time> {
        self.running.as_ref().and_then(|attempt| attempt.kill_at).or(self.schedule.deadline())
    }

    /// The pid of the running attempt. Neither this process nor its descendants belong to the server.
    pub fn running_pid(&self) -> Option<Pid> {
        self.running.as_ref().map(|attempt| attempt.pid)
    }

    /// True if an attempt has not exited. To be called when a new attempt is due: the last one has been killed then,
    /// and hangs in the kernel. False if only a tracer hides its exit: then another attempt may be started.
    pub fn is_stuck(&self) -> bool {
        self.running_pid().is_some_and(|pid| !descendants::is_zombie(pid))
    }
}
