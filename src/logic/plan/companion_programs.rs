//! Programs that run like the server, before it or beside it: the commands of `--before`, and the probes of `exec:`.

use alloc::vec::Vec;

use super::env::SERVER_PID;
use super::program::{Program, push_last_steps};
use super::socket_activation;
use super::step::Step;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::supervisor::notify::is_service_manager_var;

/// The steps of a program that runs like the server. It has the server's user, root, limits and confinement, but no
/// terminal. It has a session of its own, so that a signal to its group reaches its children too.
pub(super) fn shared_steps(server: &Program, command: StaticCStr) -> Vec<Step> {
    let is_cgroup = |step: &&Step| matches!(step, Step::Cgroup(_));
    // Like the server, the program enters the control group before everything else.
    let mut steps: Vec<Step> = server.steps.iter().filter(is_cgroup).copied().collect();
    steps.extend_from_slice(&[Step::UnblockSignals, Step::Setsid, Step::RedirectInput, Step::RedirectOutput]);
    steps.extend(server.steps.iter().filter(|step| is_shared(step)));
    push_last_steps(&mut steps, Step::Exec(command));
    steps
}

/// True if only the server gets this variable, because it is about the server's own descriptors or messages, or about
/// another server.
pub fn is_only_for_server(name: &[u8]) -> bool {
    is_service_manager_var(name) || socket_activation::LISTEN_VARIABLES.contains(&name) || name == SERVER_PID.as_bytes()
}

/// True if a program that runs like the server takes this step of the server too.
fn is_shared(step: &Step) -> bool {
    match step {
        Step::Nice(_)
        | Step::OomScore(_)
        | Step::Limit(_)
        | Step::LogDir(_)
        | Step::ReturnToCallersDir(..)
        | Step::EnterReplacedDir(_)
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
        | Step::CloexecDescriptors
        | Step::CreateRuleset(_)
        | Step::AddLandlockRule(..)
        | Step::RestrictSelf
        | Step::VerifyLandlockCwd(_) => true,
        // `shared_steps` adds these steps itself, at the beginning or the end.
        Step::Cgroup(_)
        | Step::UnblockSignals
        | Step::Setsid
        | Step::RedirectInput
        | Step::RedirectOutput
        | Step::Exec(_) => false,
        // Only the server takes these steps: for its session and terminal, its pidfile, sockets and readiness.
        Step::ControlTerminal
        | Step::DropTerminal
        | Step::TakeForeground
        | Step::NewBackgroundGroup
        | Step::KeepPidfileLock(_)
        | Step::WriteManagedPid(_)
        | Step::PassSockets(_)
        | Step::SetWatchdogPid
        | Step::PassReadyPipe(_) => false,
        // Only processes of vsrun itself take these steps.
        Step::RunLogRotator(_) | Step::RunProbe => false,
    }
}
