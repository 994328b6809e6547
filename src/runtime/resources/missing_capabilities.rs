//! Finds capabilities that root is missing to give files to the server's user, or to write where that user may write.
//! They are the reasons of errors, and findings of `--check`.

use crate::logic::base::error::Error;
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::plan::planner::{Output, Plan};
use crate::logic::plan::socket_address::Listener;
use crate::runtime::report::os_error::os_error;
use crate::sys::{Errno, caps, credentials, dir};

/// The numbers of CAP_CHOWN and CAP_DAC_OVERRIDE.
const CHOWN: u32 = 0;
const DAC_OVERRIDE: u32 = 1;

/// The reason for an error about a file, if root is missing a capability that it usually has; otherwise None.
pub fn missing_capability(why: Errno) -> Option<Reason> {
    let lost = |capability| credentials::effective_uid() == 0 && !caps::is_permitted(capability);
    match why {
        Errno::PERM if lost(CHOWN) => Some(Reason::NeedsChown),
        Errno::ACCESS if lost(DAC_OVERRIDE) => Some(Reason::NeedsDacOverride),
        _ => None,
    }
}

/// For `--check`: reports each action on another user's files that the start would need, and that the kernel
/// would refuse because root is missing a capability.
pub fn check(plan: &Plan, on_error: &mut dyn FnMut(Error)) {
    let mut add = |why| {
        if let Some(reason) = missing_capability(why) {
            on_error(os_error(Problem::GiveFiles, why).with_reason_arg(reason));
        }
    };
    let other = |owner: Option<(u32, u32)>| owner.is_some_and(|(uid, _)| uid != credentials::effective_uid());
    let is_path = |text: &[u8]| Listener::parse(text).is_some_and(|listener| listener.is_path());
    let socket = other(plan.sockets.unix_socket_owner)
        && plan.sockets.listen_options.iter().any(|text| is_path(text.to_bytes()));
    let logs = matches!(&plan.output, Output::Files { log_policy, .. } if other(log_policy.output_owner));
    if socket || logs {
        add(Errno::PERM);
    }
    // An existing log directory is checked by `logdir::check`. A log directory that the start creates belongs to the
    // server's user, so root needs CAP_DAC_OVERRIDE to write to it.
    if let Output::Files { dir, .. } = &plan.output
        && logs
        && dir::stat_path(dir).is_err()
    {
        add(Errno::ACCESS);
    }
}
