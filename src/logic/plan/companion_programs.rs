//! Programs that run like the server, before it or beside it: the commands of `--before`, and the probes of `exec:`.

use alloc::vec::Vec;

use super::env::SERVER_PID_VAR;
use super::program::{Program, unblock_and_push_last};
use super::socket_activation;
use super::step::Step;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::supervisor::notify::is_service_manager_var;

/// The steps of a program that runs before or beside the server. It has the server's user, root, limits and
/// confinement, but no terminal. It has a session of its own, so that a signal to its group reaches its children too.
pub(super) fn companion_steps(server: &Program, command: StaticCStr) -> Vec<Step> {
    let is_cgroup = |step: &&Step| matches!(step, Step::EnterCgroup(_));
    // A program before or beside the server also enters the server's control group before all other steps.
    let mut steps: Vec<Step> = server.steps.iter().filter(is_cgroup).copied().collect();
    steps.extend_from_slice(&[Step::UnblockSignals, Step::Setsid, Step::RedirectInput, Step::RedirectOutput]);
    steps.extend(server.steps.iter().filter(|step| is_shared_with_companions(step)));
    unblock_and_push_last(&mut steps, Step::Exec(command));
    steps
}

/// True if only the server gets the variable with this name, and not the programs that run before or beside it. Such a
/// variable announces the server's sockets, configures its messages to vsrun, or has the pid of another server.
pub fn is_server_only_var(name: &[u8]) -> bool {
    is_service_manager_var(name)
        || socket_activation::LISTEN_VARIABLES.contains(&name)
        || name == SERVER_PID_VAR.as_bytes()
}

/// True if a program that runs before or beside the server also takes this step of the server.
fn is_shared_with_companions(step: &Step) -> bool {
    match step {
        Step::Nice(_)
        | Step::OomScoreAdj(_)
        | Step::Limit(_)
        | Step::EnterLogDir(_)
        | Step::ReturnToCallersDir(..)
        | Step::EnterCallersPathIfReplaced(_)
        | Step::Chroot(_)
        | Step::Chdir(_)
        | Step::VerifyCwdInsideRoot(_)
        | Step::BlockSignals
        | Step::JoinNewKeyring
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
        | Step::CreateLandlockRuleset(_)
        | Step::AddLandlockRule(..)
        | Step::LandlockRestrictSelf
        | Step::VerifyLandlockCwd(_) => true,
        // The steps that `companion_steps` itself adds at the beginning or the end are not taken from the server.
        Step::EnterCgroup(_)
        | Step::UnblockSignals
        | Step::Setsid
        | Step::RedirectInput
        | Step::RedirectOutput
        | Step::Exec(_) => false,
        // Only the server takes the steps for its session and terminal, its pidfile, its sockets and its readiness.
        Step::SetControllingTerminal
        | Step::DropControllingTerminal
        | Step::TakeForeground
        | Step::NewBackgroundGroup
        | Step::WritePidAndKeepLock(_)
        | Step::WriteManagedPid(_)
        | Step::PassSockets(_)
        | Step::SetWatchdogPid
        | Step::PassReadyPipe(_) => false,
        // The rotator and network probes are no programs, so no companion program has these steps.
        Step::RunLogRotator(_) | Step::RunNetworkProbe => false,
    }
}
