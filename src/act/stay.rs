//! vsrun stays with the server: for good, or in the background only until it has been started.

use alloc::boxed::Box;

use crate::act::cgroup::Cgroup;
use crate::act::claims::Claims;
use crate::act::deliver;
use crate::act::detach::{Caller, Distance, Output, detach};
use crate::act::handler::Handler;
use crate::act::pidfile::{self, Pidfile};
use crate::act::prepared::Prepared;
use crate::act::ready::Ear;
use crate::act::say::{Place, Priority, Wanted, failed};
use crate::act::service::Service;
use crate::act::sink;
use crate::act::sockets::{self, Sockets};
use crate::act::watch::{Afterwards, Watch, watch};
use crate::decide::duration::Duration;
use crate::decide::error::{Error, Result};
use crate::decide::event::Ending;
use crate::decide::exit;
use crate::decide::plan::{Debug, Plan};
use crate::decide::policy::{AtExit, Role};
use crate::decide::word::Word;
use crate::sys::wait::{self, Mask, Signals};
use crate::sys::{canary, fd, identity, process, terminal};

/// One who is ready to stay: the locks are held, everything is open, and the server has not been started.
///
/// It is handed up to the entry and lives there, so that the stack which the start took can be given back.
pub struct Stayed {
    watch: Watch,
    /// The control group is the watch's.
    claims: Claims,
}

/// From the locks to the moment before the server's start.
///
/// # Errors
/// When the server cannot be started. Nothing of the start is left then.
#[inline(never)]
pub fn stay(plan: Plan, stdin: bool) -> Result<Box<Stayed>> {
    // Whatever signal comes from here on waits until the loop reads it.
    wait::mask(Mask::All).map_err(|why| failed(format_args!("cannot block the signals"), why))?;
    let numbers = sockets::set_aside(&plan.listen)?;
    fd::close_all_but(numbers).map_err(|why| failed(format_args!("cannot close inherited descriptors"), why))?;
    let mut caller = None;
    let mut claims = Claims { sockets: Sockets::default(), cgroup: None, pidfiles: claim_both(&plan)? };
    let bound = claims.bind(&plan.listen, plan.cgroup.as_ref());
    let error = match bound.and_then(|()| prepare(plan, stdin, &claims, &mut caller)) {
        Ok(mut watch) => {
            watch.caller = caller;
            watch.cgroup = claims.cgroup.take();
            return Ok(Box::new(Stayed { watch, claims }));
        }
        Err(error) => error,
    };
    claims.undo();
    match caller {
        Some(caller) => caller.fail(&error),
        None => Err(error),
    }
}

impl Stayed {
    /// Starts the server and stays to the end. Answers the exit status. A signal may have changed how the machine ends.
    ///
    /// # Errors
    /// When the first start fails. Nothing of it is left then.
    #[inline(never)]
    pub fn live(mut self: Box<Self>, at_exit: &mut Option<AtExit>) -> Result<u8> {
        let [server, _] = &self.claims.pidfiles;
        let (ending, error) = watch(&mut self.watch, server.as_ref());
        *at_exit = self.watch.traps.end().or(*at_exit);
        self.end(ending, error)
    }

    /// The server's life is over, or never began. On a stack of its own, which is none while the manager rests.
    #[inline(never)]
    fn end(self: Box<Self>, ending: Ending, error: Option<Error>) -> Result<u8> {
        let Self { watch, mut claims } = *self;
        if let Some(error) = &error {
            watch.voice.say_failure(error);
        }
        watch.say_remains();
        watch.say_ending(ending);
        if watch.has_foreground() {
            terminal::take_back();
        }
        let Watch { sink, voice, signals, cgroup, caller, .. } = watch;
        let error = error.filter(|_| matches!(ending, Ending::Failed(_)));
        claims.cgroup = cgroup;
        claims.undo();
        sink.close(voice, &signals);
        match (error, caller) {
            (None, _) => Ok(ending.status()),
            (Some(error), Some(caller)) => caller.fail(&error),
            (Some(error), None) => Err(error),
        }
    }
}

/// The paths of the pidfiles of server and manager.
///
/// # Errors
/// Wrong usage when that is the same file.
pub fn pidfiles(plan: &Plan) -> Result<[Option<Word>; 2]> {
    let paths = [plan.pidfile, plan.stay.as_ref().and_then(|stay| stay.pidfile)];
    if let [Some(server), Some(manager)] = paths
        && pidfile::is_same(server, manager)
    {
        return Err(Error::usage(format_args!("options --pidfile and --manager name the same file")));
    }
    Ok(paths)
}

/// The pidfiles of server and manager.
fn claim_both(plan: &Plan) -> Result<[Option<Pidfile>; 2]> {
    let [server, manager] = pidfiles(plan)?;
    let server = Pidfile::claim_if(server)?;
    match Pidfile::claim_if(manager) {
        Ok(manager) => Ok([server, manager]),
        Err(error) => {
            server.iter().for_each(Pidfile::release);
            Err(error)
        }
    }
}

/// All but the locks and sockets. `caller` is who has to be told, as soon as there is one.
#[inline(never)]
fn prepare(mut plan: Plan, stdin: bool, claims: &Claims, caller: &mut Option<Caller>) -> Result<Watch> {
    claims.pidfiles.iter().flatten().try_for_each(Pidfile::reserve)?;
    let (handler, notify, afterwards) = match plan.stay {
        Some(stay) => (stay.handler, stay.notify, Afterwards::Stay),
        None => (None, None, Afterwards::Leave),
    };
    let mut handler = handler.map(Handler::new).transpose()?.map(Box::new);
    if let (Some(handler), Some(events)) = (&mut handler, claims.cgroup.as_ref().and_then(Cgroup::memory_events)) {
        handler.count_in(events);
    }
    let (mut sink, mut voice) = sink::open(plan.output)?;
    voice.add_syslog(plan.syslog)?;
    if plan.background {
        let distance = if afterwards == Afterwards::Stay { Distance::Orphan } else { Distance::Leader };
        let output = if sink.is_same() { Output::Kept } else { Output::Null };
        detach(distance, output, caller)?;
    }
    if !stdin {
        // Once, and not for each life of the server; and whoever writes to our caller's pipe is not kept waiting.
        canary::install_null().map_err(|why| failed(format_args!("cannot open standard descriptors"), why))?;
    }
    voice.keep_apart(plan.debug)?;
    voice.reopen_terminal();
    voice.quiet = plan.quiet;
    if let [_, Some(manager)] = &claims.pidfiles {
        manager.write(process::id()).map_err(|why| failed(format_args!("pidfile '{}'", manager.path()), why))?;
    }
    let signals = Signals::open().map_err(|why| failed(format_args!("cannot listen to signals"), why))?;
    // Also one that leaves when the server is ready: then it can tell why a server that daemonizes itself is not.
    process::adopt_orphans();
    if afterwards == Afterwards::Stay {
        if deliver::is_unreachable(&plan.server.steps, &plan.server.paths) {
            voice.say(Priority::Warning, format_args!("{}", deliver::UNREACHABLE));
        }
        sink.start()?;
    } else {
        voice.wanted = Wanted::Errors;
        sink.start_orphan()?;
    }
    let user = plan.listen.owner.map_or_else(identity::effective_uid, |(uid, _)| uid);
    let ear = Ear::open(plan.ready, user, &mut plan.server.env)?;

    Ok(Watch {
        policy: plan.policy,
        program: Prepared { source: plan.env_source, ..Prepared::new(plan.server) },
        command: plan.command,
        handler,
        sink,
        voice,
        debug: plan.debug != Debug::Off,
        cgroup: None,
        signals,
        traps: plan.traps,
        ear,
        service: notify.and_then(|(address, ping)| Service::new(&address, ping)),
        caller: None,
        afterwards,
        moves: plan.moves,
    })
}

impl Watch {
    /// The words at the end.
    fn say_ending(&self, ending: Ending) {
        let status = ending.status();
        let why = match ending {
            Ending::Server(_) => "with the server",
            Ending::GaveUp(_) => {
                if let Some(limit) = self.policy.limit {
                    let (restarts, within) = (limit.restarts, Duration(limit.within));
                    let words = format_args!("giving up: --restart-limit allows {restarts} restarts within {within}");
                    self.voice.say(Priority::Err, words);
                }
                "after too many restarts"
            }
            Ending::Stopped => "on request",
            // On standard error, the error itself says it all.
            Ending::Failed(_) if matches!(self.voice.place, Place::Plain) => return,
            Ending::Failed(_) => "without a server",
        };
        let priority = match ending {
            _ if status == exit::OK => Priority::Info,
            // The server's own end is no error of an init's, whatever its status.
            Ending::Server(_) if self.policy.role != Role::Manager => Priority::Notice,
            Ending::Server(_) | Ending::Stopped | Ending::GaveUp(_) | Ending::Failed(_) => Priority::Err,
        };
        self.voice.say(priority, format_args!("shutdown: {why}, status {status}"));
    }
}
