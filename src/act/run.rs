//! The story of one run, top to bottom: the plan is made, and vsrun becomes the server or stays with it.

use alloc::boxed::Box;
use std::os::fd::{AsFd, OwnedFd};

use crate::act::facts::{self, World};
use crate::act::launch::{Prepared, Wires, take_over};
use crate::act::logs::Reading;
use crate::act::pidfile::Pidfile;
use crate::act::say::{Priority, Wanted, failed};
use crate::act::sink::{self, Sink};
use crate::act::stay::{Stayed, stay};
use crate::decide::error::{Error, Result};
use crate::decide::exit;
use crate::decide::options::Options;
use crate::decide::plan::{Plan, plan};
use crate::decide::text::Clean;
use crate::sys::fd;
use crate::sys::process::{self, Forked};
use crate::sys::wait::{self, Mask};

/// Does what the options say. Returns only one who stays: otherwise vsrun has become the server.
///
/// # Errors
/// When the server could not be started. Nothing of the start is left then.
pub fn run(options: Options) -> Result<Box<Stayed>> {
    let stdin = options.stdin;
    let plan = {
        let mut world = World::default();
        let facts = facts::read(&options, &mut world)?;
        plan(options, &facts)?
    };
    wait::reset_dispositions();
    if plan.stay.is_some() || plan.background { stay(plan, stdin) } else { Err(become_server(plan)) }
}

/// vsrun becomes the server: everything happens in this very process. Returns only why it did not.
fn become_server(plan: Box<Plan>) -> Error {
    let pidfile = match Pidfile::claim_if(plan.pidfile.as_ref()) {
        Ok(pidfile) => pidfile,
        Err(error) => return error,
    };
    let error = prepare_and_become(plan, pidfile.as_ref()).unwrap_or_else(|error| error);
    if let Some(pidfile) = &pidfile {
        pidfile.release();
    }
    error
}

/// Answers why the steps failed.
///
/// # Errors
/// What went wrong before.
fn prepare_and_become(plan: Box<Plan>, pidfile: Option<&Pidfile>) -> Result<Error> {
    let (sink, mut voice) = sink::open(plan.output, Reading::Unwanted)?;
    voice.wanted = Wanted::Errors;
    voice.add_syslog(plan.syslog)?;
    // The words of a failure go to the caller, wherever the server's go by then.
    let stderr = match sink {
        Sink::Same => None,
        Sink::Files(_) | Sink::Logger(_) => Some(fd::duplicate(fd::standard(2))),
    };
    let stderr = stderr.transpose().map_err(|why| failed(format_args!("cannot keep standard error"), &why))?;
    sink.start_orphan()?;
    voice.say(Priority::Info, format_args!("starting: {}", Clean(&plan.command)));
    let janitor = match pidfile {
        Some(pidfile) if plan.drops => Some(Janitor::hire(pidfile)?),
        Some(_) | None => None,
    };
    let program = Prepared::new(plan.server);
    let output = sink.server(&voice);
    let debug = plan.debug.then_some(&voice);
    let failure = take_over(&program, &Wires { output, error: output, pidfile, debug, ..Wires::default() });
    if let Some(stderr) = stderr {
        let _ = fd::install(stderr.as_fd(), 2);
    }
    if let Some(janitor) = janitor {
        janitor.clean_up();
    }
    let error = failure.error(&program);
    voice.say_failure(&error);
    Ok(error)
}

/// One who keeps the right to remove the pidfile, until the server has been started: the server's own process has lost
/// it by the time its exec fails. It is nobody's child, so that the server will not find it among its own.
struct Janitor {
    order: OwnedFd,
    done: OwnedFd,
}

impl Janitor {
    fn hire(pidfile: &Pidfile) -> Result<Self> {
        let fail = |why| failed(format_args!("cannot prepare for a failure"), &why);
        let (orders, order) = fd::pipe().map_err(fail)?;
        let (done, doing) = fd::pipe().map_err(fail)?;
        match process::fork().map_err(fail)? {
            Forked::Parent(pid) => {
                let _ = process::reap(pid);
                Ok(Self { order, done })
            }
            Forked::Child => {
                let _ = wait::mask(Mask::All);
                if let Ok(Forked::Child) = process::fork() {
                    drop(order);
                    // The end without an order: the exec has gone well.
                    if fd::read_full(orders.as_fd(), &mut [0]).is_ok_and(|count| count == 1) {
                        pidfile.release();
                    }
                    drop(doing);
                }
                process::leave(exit::OK)
            }
        }
    }

    fn clean_up(self) {
        let _ = fd::write_all(self.order.as_fd(), b"!");
        let _ = fd::read_full(self.done.as_fd(), &mut [0]);
    }
}
