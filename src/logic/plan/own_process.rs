//! Processes of vsrun's own beside the server, which execute nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::account::Identity;
use super::env::Env;
use super::personality::VSRUN;
use super::program::{Program, privileges};
use super::step::{KeepPermitted, Step};
use crate::logic::formats::log_name::LogPolicy;

/// vsrun's own rotator, beside the server and with the same signals blocked as vsrun.
pub fn rotator(rules: LogPolicy, change: Option<&Identity>) -> Box<Program> {
    let steps = vec![Step::Setsid, Step::Input, Step::Output, Step::Chdir(c"/")];
    of_our_own(steps, change, Step::RunLogRotator(rules))
}

/// A process of vsrun's own that probes the server through the network, as the server's user.
pub fn network_probe(change: Option<&Identity>) -> Box<Program> {
    of_our_own(vec![Step::Setsid, Step::CloseDescriptors, Step::Chdir(c"/")], change, Step::RunProbe)
}

/// A process that executes nothing, so it stays one that the user cannot trace.
fn of_our_own(mut steps: Vec<Step>, change: Option<&Identity>, last: Step) -> Box<Program> {
    privileges(&mut steps, change, change, KeepPermitted::No);
    steps.push(last);
    let (paths, argv) = (Vec::new(), Vec::new());
    Box::new(Program { steps, paths, argv, env: Env::default(), personality: &VSRUN })
}
