//! The commands of `--before`: programs that run as the server would, and without what is the server's alone.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::command_path::search;
use super::env::Env;
use super::personality::VSRUN;
use super::program::{Program, finish};
use super::socket_activation;
use super::step::Step;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::cli::value::split_words;
use crate::logic::supervisor::notify::is_for_us;

/// A command that runs before the server.
#[derive(Debug)]
pub struct Before {
    /// The option's value, for messages.
    pub text: StaticCStr,
    /// Its steps and words. Its environment is the server's, see [`Env::put_first`].
    pub program: Box<Program>,
}

/// Whether only the server gets this variable: it is about descriptors or messages of the server's.
pub fn is_servers_own(name: &[u8]) -> bool {
    is_for_us(name) || socket_activation::NAMES.contains(&name)
}

/// The commands, with the server's steps.
pub fn commands(texts: &[StaticCStr], server: &Program) -> Vec<Before> {
    texts.iter().map(|text| Before { text, program: program(text, server) }).collect()
}

#[inline(never)]
fn program(text: StaticCStr, server: &Program) -> Box<Program> {
    let argv = split_words(text.to_bytes()).unwrap_or_default();
    let command = argv.first().copied().unwrap_or_default();
    let is_cgroup = |step: &&Step| matches!(step, Step::Cgroup(_));
    let mut steps: Vec<Step> = server.steps.iter().filter(is_cgroup).copied().collect();
    // A session of its own, so that a signal reaches the command with all its children, and no terminal does.
    steps.extend_from_slice(&[Step::UnblockSignals, Step::Setsid, Step::Input]);
    steps.extend(server.steps.iter().filter(|step| !is_cgroup(step) && is_shared(step)));
    finish(&mut steps, Step::Exec(command));
    let paths = search(command, server.env.get(b"PATH"));
    Box::new(Program { steps, paths, argv, env: Env::default(), personality: &VSRUN })
}

/// Whether the step is for the commands too. What is not: the server's place among sessions, its standard input, its
/// pidfile, sockets and readiness.
fn is_shared(step: &Step) -> bool {
    match step {
        Step::UnblockSignals
        | Step::Setsid
        | Step::ControlTerminal
        | Step::DropTerminal
        | Step::TakeForeground
        | Step::Group
        | Step::Input
        | Step::KeepPidfileLock(_)
        | Step::WriteManagedPid(_)
        | Step::PassSockets(_)
        | Step::SetWatchdogPid
        | Step::Ready(_)
        | Step::RunLogRotator(_)
        | Step::RunProbe
        | Step::Exec(_) => false,
        Step::Cgroup(_)
        | Step::Nice(_)
        | Step::OomScore(_)
        | Step::Limit(_)
        | Step::Output
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
        | Step::SealDescriptors
        | Step::Ruleset(_)
        | Step::Allow(..)
        | Step::Confine
        | Step::Covered(_) => true,
    }
}
