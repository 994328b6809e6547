//! Programs that run as the server does, before it or beside it: the commands of `--before`, and the probes of `exec:`.

use alloc::vec::Vec;

use super::env::SERVER_PID;
use super::program::{Program, finish};
use super::socket_activation;
use super::step::Step;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::supervisor::notify::is_for_us;

/// The steps of such a program: it has the server's user, root, limits and confinement, a session of its own, so that a
/// signal reaches it with all its children, and no terminal.
pub(super) fn steps(server: &Program, command: StaticCStr) -> Vec<Step> {
    let is_cgroup = |step: &&Step| matches!(step, Step::Cgroup(_));
    // Before everything else, as the server.
    let mut steps: Vec<Step> = server.steps.iter().filter(is_cgroup).copied().collect();
    steps.extend_from_slice(&[Step::UnblockSignals, Step::Setsid, Step::Input, Step::Output]);
    steps.extend(server.steps.iter().filter(|step| is_shared(step)));
    finish(&mut steps, Step::Exec(command));
    steps
}

/// Whether only the server gets this variable: it is about descriptors or messages of the server's, or about another
/// server.
pub fn is_servers_own(name: &[u8]) -> bool {
    is_for_us(name) || socket_activation::NAMES.contains(&name) || name == SERVER_PID.as_bytes()
}

/// Whether the step is taken as the server takes it.
fn is_shared(step: &Step) -> bool {
    match step {
        Step::Nice(_)
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
        | Step::SealDescriptors
        | Step::Ruleset(_)
        | Step::Allow(..)
        | Step::Confine
        | Step::Covered(_) => true,
        // These are in front, or at the end.
        Step::Cgroup(_) | Step::UnblockSignals | Step::Setsid | Step::Input | Step::Output | Step::Exec(_) => false,
        // The server's place among sessions and terminals, and what it alone has.
        Step::ControlTerminal
        | Step::DropTerminal
        | Step::TakeForeground
        | Step::Group
        | Step::KeepPidfileLock(_)
        | Step::WriteManagedPid(_)
        | Step::PassSockets(_)
        | Step::SetWatchdogPid
        | Step::Ready(_) => false,
        // No server has these.
        Step::RunLogRotator(_) | Step::RunProbe => false,
    }
}
