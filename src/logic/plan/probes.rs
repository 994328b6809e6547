//! The probes of a server, ready to be tried: what each asks, and the steps of its process.

use alloc::boxed::Box;

use super::account::Identity;
use super::own_process;
use super::personality::VSRUN;
use super::program::Program;
use super::socket_activation;
use super::step::Step;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::time::Span;
use crate::logic::cli::options::Options;
use crate::logic::supervisor::notify::is_for_us;
use crate::logic::supervisor::probe::Probe;
use crate::logic::supervisor::readiness::Ready;
use crate::logic::supervisor::schedule::{Health, Schedule};

/// All probes of a server, and when they are tried.
#[derive(Debug)]
pub struct Probes {
    /// When they are tried.
    pub schedule: Schedule,
    /// That of `--ready probe:`.
    pub ready: Option<PlannedProbe>,
    /// That of `--health`.
    pub health: Option<PlannedProbe>,
}

/// A probe.
#[derive(Debug)]
pub struct PlannedProbe {
    /// As the caller wrote it.
    pub text: StaticCStr,
    /// What it asks.
    pub probe: Probe,
    /// Its process.
    pub program: Box<Program>,
}

/// The probes that the options ask for. None if there is nothing to do for them.
pub fn probes(options: &Options, server: &Program, change: Option<&Identity>) -> Option<Box<Probes>> {
    let ready = options.ready.unwrap_or(Ready::Exec);
    let plan = |text: StaticCStr| {
        let probe = Probe::parse(text.to_bytes())?;
        let program = match &probe {
            Probe::Exec(words) => beside(server, words),
            Probe::Connect { .. } => own_process::network_probe(change),
        };
        Some(PlannedProbe { text, probe, program })
    };
    let first = if let Ready::Probe(text) = ready { plan(text) } else { None };
    let later = options.health.and_then(plan);
    let health = later.as_ref().map(|_| Health {
        interval: options.health_interval.unwrap_or(Span::secs(10)),
        timeout: options.health_timeout.unwrap_or(Span::secs(2)),
        retries: options.health_retries.unwrap_or(3),
    });
    let is_timed = first.is_some() || later.is_some() || matches!(ready, Ready::Alive(_));
    is_timed.then(|| Box::new(Probes { schedule: Schedule::new(ready, health), ready: first, health: later }))
}

/// A program that runs as the server does: as its user, in its root, with its environment and confinement, but without
/// its sockets and pidfile, and in a session of its own.
fn beside(server: &Program, words: &[StaticCStr]) -> Box<Program> {
    let command = words.first().copied().unwrap_or_default();
    let mut steps = vec![Step::Setsid, Step::Input, Step::Output];
    steps.extend(server.steps.iter().filter(|step| is_shared(step)));
    if let Some(cgroup) = steps.iter().position(|step| matches!(step, Step::Cgroup(_))) {
        // Before everything else, as the server.
        steps.swap(0, cgroup);
    }
    steps.push(Step::Exec(command));
    let mut env = server.env.clone();
    env.remove(&|name| is_for_us(name) || socket_activation::NAMES.contains(&name));
    Box::new(Program { steps, paths: vec![command], argv: words.to_vec(), env, personality: &VSRUN })
}

/// Whether a program beside the server takes this step as the server does.
fn is_shared(step: &Step) -> bool {
    match step {
        Step::Cgroup(_)
        | Step::UnblockSignals
        | Step::Nice(_)
        | Step::OomScore(_)
        | Step::Limit(_)
        | Step::LogDir(_)
        | Step::CallersDir(..)
        | Step::ReplacedDir(_)
        | Step::Chroot(_)
        | Step::Chdir(_)
        | Step::VerifyCwdInsideRoot(_)
        | Step::BlockSignals
        | Step::Keyring
        | Step::Groups(_)
        | Step::Gid(_)
        | Step::Uid(..)
        | Step::DropCapabilities(_)
        | Step::VerifyCredentials { .. }
        | Step::Capabilities(_)
        | Step::NoNewPrivileges
        | Step::Umask(_)
        | Step::CloseDescriptors
        | Step::Ruleset(_)
        | Step::Allow(..)
        | Step::Confine
        | Step::Covered(_) => true,
        // It has these of its own.
        Step::Setsid
        | Step::ControlTerminal
        | Step::DropTerminal
        | Step::TakeForeground
        | Step::Group
        | Step::Input
        | Step::Output => false,
        // These are the server's alone.
        Step::KeepPidfileLock(_)
        | Step::WriteManagedPid(_)
        | Step::PassSockets(_)
        | Step::SetWatchdogPid
        | Step::Ready(_)
        | Step::Exec(_) => false,
        // A server beside which there is another process has none of these.
        Step::SealDescriptors | Step::RunLogRotator(_) | Step::RunProbe => false,
    }
}
