//! The story of one run, top to bottom: the plan is made, and vsrun becomes the server or stays with it.

use alloc::boxed::Box;
use std::os::fd::AsFd;

use crate::act::claims::Claims;
use crate::act::facts::{self, World};
use crate::act::janitor::Janitor;
use crate::act::launch::{Wires, take_over};
use crate::act::pidfile::Pidfile;
use crate::act::prepared::Prepared;
use crate::act::say::{self, Priority, Wanted};
use crate::act::sink;
use crate::act::sockets::{self, Sockets};
use crate::act::stay::{Stayed, stay};
use crate::act::walk;
use crate::decide::error::{Error, Result};
use crate::decide::flags::Id;
use crate::decide::options::Options;
use crate::decide::plan::{Debug, Plan, plan};
use crate::decide::policy::AtExit;
use crate::decide::step::Step;
use crate::decide::text::Clean;
use crate::sys::power::{self, Power};
use crate::sys::{fd, process, terminal, wait};

/// Does what the options say. Returns only one who stays: otherwise vsrun has become the server.
///
/// # Errors
/// When the server could not be started. Nothing of the start is left then.
#[inline(never)]
pub fn run(options: &mut Options) -> Result<Box<Stayed>> {
    let stdin = options.has(Id::Stdin);
    wait::ignore_writes(true);
    let plan = plan_of(options)?;
    wait::reset_dispositions(plan.ignores_hangup);
    walk::check_root(options.root)?;
    if plan.hides_keys {
        // Where it cannot be, it stays as it is: --check says so.
        let _ = [1, 2].map(terminal::write_only);
    }
    if plan.stay.is_some() || plan.background { stay(plan, stdin) } else { Err(become_server(plan)) }
}

/// In place of an exit of PID 1. Returns where that is not to be had.
pub fn end_machine(at_exit: AtExit) {
    if process::is_first() {
        let why = power::end(match at_exit {
            AtExit::Poweroff => Power::Off,
            AtExit::Reboot => Power::Reboot,
            AtExit::Halt => Power::Halt,
        });
        say::complain(&say::failed(format_args!("cannot do what --at-exit says"), why));
    }
}

/// What will be done, the world being as it is.
///
/// # Errors
/// When it cannot be done in this world.
pub fn plan_of(options: &mut Options) -> Result<Plan> {
    let mut world = World::default();
    let facts = facts::read(options, &mut world)?;
    plan(options, &facts)
}

/// vsrun becomes the server: everything happens in this very process. Returns only why it did not.
#[inline(never)]
fn become_server(plan: Plan) -> Error {
    let mut claims = match claim(&plan) {
        Ok(claims) => claims,
        Err(error) => return error,
    };
    let bound = claims.bind(&plan.listen);
    let error = bound.and_then(|()| prepare_and_become(plan, &claims)).unwrap_or_else(|error| error);
    claims.undo();
    error
}

fn claim(plan: &Plan) -> Result<Claims> {
    sockets::set_aside(&plan.listen)?;
    Ok(Claims { sockets: Sockets::default(), pidfiles: [Pidfile::claim_if(plan.pidfile)?, None] })
}

/// Answers why the steps failed.
///
/// # Errors
/// What went wrong before.
#[inline(never)]
fn prepare_and_become(plan: Plan, claims: &Claims) -> Result<Error> {
    let [pidfile, _] = &claims.pidfiles;
    let (sink, mut voice) = sink::open(plan.output)?;
    voice.wanted = Wanted::Errors;
    let no_syslog = plan.syslog.is_none();
    voice.quiet = plan.quiet;
    voice.add_syslog(plan.syslog)?;
    voice.keep_apart(plan.debug)?;
    sink.start_orphan()?;
    voice.say(Priority::Info, format_args!("starting: {}", Clean(&plan.command)));
    let program = Prepared::new(plan.server);
    // Otherwise what an undo and a report need is closed by the time that a step fails.
    let keeps = program.steps().iter().any(|step| matches!(step, Step::SealDescriptors));
    let idle = claims.are_none() && sink.is_same() && no_syslog;
    let janitor = (!keeps && !idle).then(|| Janitor::hire(claims, &voice)).transpose()?;
    // The words of a failure go to the caller, wherever the server's go by then.
    let stderr = (keeps && !sink.is_same()).then(say::stderr).transpose()?;
    let output = sink.server(&voice);
    let debug = (plan.debug != Debug::Off).then_some(&voice);
    let pipes = janitor.as_ref().map(Janitor::pipes).unwrap_or_default();
    let dir = sink.dir();
    let wires = Wires { output, error: output, dir, pipes, pidfile: pidfile.as_ref(), debug, ..Wires::default() };
    let error = take_over(&program, &wires).error(&program);
    if let Some(janitor) = janitor {
        janitor.clean_up(&error);
    }
    if let Some(stderr) = stderr {
        let _ = fd::install(stderr.as_fd(), 2);
    }
    voice.say_failure(&error);
    // Their descriptors may have been closed already.
    core::mem::forget((sink, voice));
    Ok(error)
}
