//! Helper processes of vsrun that execute no program: the rotator and the network probe.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::account::Identity;
use super::env::Env;
use super::personality::VSRUN;
use super::program::{Program, push_privilege_steps};
use super::step::{KeepPermitted, Step};
use crate::logic::formats::log_name::LogPolicy;

/// The steps of the rotator, which writes the server's output to the log files. The signals that vsrun has blocked stay
/// blocked in the rotator.
pub fn rotator(policy: LogPolicy, change: Option<&Identity>) -> Box<Program> {
    let steps = vec![Step::Setsid, Step::RedirectInput, Step::RedirectOutput, Step::Chdir(c"/")];
    program_without_exec(steps, change, Step::RunLogRotator(policy))
}

/// The steps of a helper process that probes the server through the network, with the server's user.
pub fn network_probe(change: Option<&Identity>) -> Box<Program> {
    program_without_exec(vec![Step::Setsid, Step::CloseDescriptors, Step::Chdir(c"/")], change, Step::RunNetworkProbe)
}

/// The steps of a helper process that executes no program. Without an exec it remains undumpable (PR_SET_DUMPABLE), so
/// the server's user cannot trace it.
fn program_without_exec(mut steps: Vec<Step>, change: Option<&Identity>, last: Step) -> Box<Program> {
    push_privilege_steps(&mut steps, change, change, KeepPermitted::Nothing);
    steps.push(last);
    let (exec_paths, argv) = (Vec::new(), Vec::new());
    Box::new(Program { steps, exec_paths, argv, env: Env::default(), personality: &VSRUN })
}
