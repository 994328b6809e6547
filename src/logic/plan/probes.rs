//! Plans the probes of a server: what each probe tests, and the steps of the process that runs it.

use alloc::boxed::Box;

use super::account::Identity;
use super::companion_programs;
use super::helpers_without_exec;
use super::personality::VSRUN;
use super::program::Program;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::time::Span;
use crate::logic::cli::options::Options;
use crate::logic::supervisor::probe::Probe;
use crate::logic::supervisor::probe_schedule::{HealthSettings, Schedule};
use crate::logic::supervisor::readiness::ReadyCondition;

/// All probes of a server, and when they run.
#[derive(Debug)]
#[repr(C)] // Small fields first: shorter instructions.
pub struct Probes {
    /// The probe of `--ready probe:`.
    pub ready: Option<PlannedProbe>,
    /// The probe of `--health`.
    pub health: Option<PlannedProbe>,
    /// When the probes run.
    pub schedule: Schedule,
}

/// A probe, and the process that runs it.
#[derive(Debug)]
pub struct PlannedProbe {
    /// The probe as it was written on the command line, for messages.
    pub text: StaticCStr,
    /// How the probe tests the server.
    pub probe: Probe,
    /// The steps of the process that runs the probe.
    pub program: Box<Program>,
}

/// Plans the probes that the options request. None if they request no probe and no `--ready alive:`, whose time is part
/// of the schedule.
pub fn plan_probes(options: &Options, server: &Program, change: Option<&Identity>) -> Option<Box<Probes>> {
    let ready = options.ready.unwrap_or(ReadyCondition::Exec);
    let plan = |text: StaticCStr| {
        let probe = Probe::parse(text.to_bytes())?;
        let program = match &probe {
            Probe::Exec(words) => exec_probe_program(server, words),
            Probe::Connect { .. } => helpers_without_exec::network_probe(change),
        };
        Some(PlannedProbe { text, probe, program })
    };
    let first = if let ReadyCondition::Probe(text) = ready { plan(text) } else { None };
    let later = options.health.and_then(plan);
    let health = later.as_ref().map(|_| HealthSettings {
        interval: options.health_interval.unwrap_or(Span::secs(10)),
        timeout: options.health_timeout.unwrap_or(Span::secs(2)),
        failure_threshold: options.health_retries.unwrap_or(3),
    });
    let is_timed = first.is_some() || later.is_some() || matches!(ready, ReadyCondition::Alive(_));
    is_timed.then(|| Box::new(Probes { schedule: Schedule::new(ready, health), ready: first, health: later }))
}

/// The program of an `exec:` probe. It runs like the server, but does not get the variables about the server's own
/// sockets and messages.
fn exec_probe_program(server: &Program, words: &[StaticCStr]) -> Box<Program> {
    let command = words.first().copied().unwrap_or_default();
    let steps = companion_programs::companion_steps(server, command);
    let mut env = server.env.clone();
    env.remove(&companion_programs::is_server_only_var);
    Box::new(Program { steps, exec_paths: vec![command], argv: words.to_vec(), env, personality: &VSRUN })
}
