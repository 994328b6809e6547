//! The story of one run, top to bottom.

use std::os::fd::AsFd;

use crate::act::detach::{Caller, Distance, Keep, detach};
use crate::act::facts::{self, World};
use crate::act::handler::Handler;
use crate::act::launch::{Prepared, Wires, spawn, take_over};
use crate::act::logs::Reading;
use crate::act::pidfile::Pidfile;
use crate::act::report::Start;
use crate::act::say::{Priority, Voice, failed};
use crate::act::sink::{self, Sink};
use crate::act::watch::{Watch, watch};
use crate::decide::error::{Error, Result};
use crate::decide::event::Ending;
use crate::decide::exit;
use crate::decide::options::Options;
use crate::decide::plan::{Plan, Stay, plan};
use crate::decide::text::Clean;
use crate::sys::fd;
use crate::sys::process::{self, Forked};
use crate::sys::wait::{self, Mask, Signals};

/// Does what the options say. Returns vsrun's exit status, where vsrun did not become the server.
///
/// # Errors
/// When the server could not be started. Nothing of the start is left then.
pub fn run(options: Options) -> Result<u8> {
    let stdin = options.stdin;
    let mut plan = {
        let mut world = World::default();
        let facts = facts::read(&options, &mut world)?;
        plan(options, &facts)?
    };
    wait::reset_dispositions();
    match plan.stay.take() {
        Some(stay) => self::stay(plan, stay, stdin),
        None => become_server(plan, stdin),
    }
}

/// What a detached process keeps of the caller.
fn keep(sink: &Sink, stdin: bool) -> Keep {
    match (sink, stdin) {
        (Sink::Same, true) => Keep::All,
        (Sink::Same, false) => Keep::Output,
        (Sink::Files(_) | Sink::Logger(_), true) => Keep::Input,
        (Sink::Files(_) | Sink::Logger(_), false) => Keep::Nothing,
    }
}

/// Claims the server's pidfile. Released by `undo` when the start fails.
fn claim(path: Option<&alloc::ffi::CString>) -> Result<Option<Pidfile>> {
    path.map(|path| Pidfile::claim(path)).transpose()
}

fn undo(pidfiles: &[Option<Pidfile>]) {
    pidfiles.iter().flatten().for_each(Pidfile::release);
}

// ------------------------------------------------------------------------------------------------------------------
// vsrun becomes the server.

fn become_server(plan: Plan, stdin: bool) -> Result<u8> {
    let pidfile = [claim(plan.pidfile.as_ref())?];
    let result = prepare_and_become(plan, stdin, &pidfile);
    if result.is_err() {
        undo(&pidfile);
    }
    result
}

fn prepare_and_become(plan: Plan, stdin: bool, pidfile: &[Option<Pidfile>; 1]) -> Result<u8> {
    let (sink, voice) = sink::open(plan.output, Reading::Unwanted)?;
    let program = Prepared::new(plan.server);
    let [own] = pidfile;
    if plan.background {
        let caller = detach(Distance::Leader, keep(&sink, stdin))?;
        guard(caller, &program, &sink, &voice, pidfile, &plan.command, plan.debug);
    }
    // The words of a failure go to the caller, wherever the server's go by then.
    let stderr = match sink {
        Sink::Same => None,
        Sink::Files(_) | Sink::Logger(_) => Some(fd::duplicate(fd::standard(2))),
    };
    let stderr = stderr.transpose().map_err(|why| failed(format_args!("cannot keep standard error"), &why))?;
    sink.start_orphan()?;
    say_start(&voice, &plan.command);
    let janitor = match own {
        Some(own) if plan.drops => Some(Janitor::hire(own)?),
        Some(_) | None => None,
    };
    let failure = take_over(&program, &wires(&sink, &voice, own.as_ref(), plan.debug));
    if let Some(stderr) = stderr {
        let _ = fd::install(stderr.as_fd(), 2);
    }
    if let Some(janitor) = janitor {
        janitor.clean_up();
    }
    let error = failure.error(&program);
    say_failure(&voice, &error);
    Err(error)
}

fn wires<'a>(sink: &'a Sink, voice: &'a Voice, pidfile: Option<&'a Pidfile>, debug: bool) -> Wires<'a> {
    let output = sink.server(voice);
    Wires { output, error: output, pidfile, debug: debug.then_some(voice), ..Wires::default() }
}

/// In the log only: on standard error, one who becomes the server says nothing but errors.
fn say_start(voice: &Voice, command: &[u8]) {
    match voice {
        Voice::Plain => {}
        Voice::Pipe(_) | Voice::File(_) => voice.say(Priority::Info, format_args!("starting: {}", Clean(command))),
    }
}

fn say_failure(voice: &Voice, error: &Error) {
    match voice {
        Voice::Plain => {}
        Voice::Pipe(_) | Voice::File(_) => voice.say(Priority::Err, format_args!("{}", error.text)),
    }
}

/// The process between caller and server, which stays until the server is one.
fn guard(
    caller: Caller,
    program: &Prepared,
    sink: &Sink,
    voice: &Voice,
    pidfile: &[Option<Pidfile>; 1],
    command: &[u8],
    debug: bool,
) -> ! {
    let [own] = pidfile;
    let result = sink.start_orphan().and_then(|()| {
        say_start(voice, command);
        let launched = spawn(program, &wires(sink, voice, own.as_ref(), debug))
            .map_err(|why| failed(format_args!("cannot start a process"), &why))?;
        match Start::await_end(&launched.report) {
            Start::Done | Start::WithoutPidfile => Ok(()),
            Start::Failed(failure) => {
                let _ = process::reap(launched.pid);
                Err(failure.error(program))
            }
            Start::Killed => Err(Error::refused("the server's process was killed before it could be the server")),
        }
    });
    match result {
        Ok(()) => {
            caller.ready();
            process::leave(exit::OK)
        }
        Err(error) => {
            undo(pidfile);
            say_failure(voice, &error);
            caller.fail(&error)
        }
    }
}

/// One who keeps the right to remove the pidfile, until the server has been started: the server's own process has lost
/// it by the time its exec fails. It is nobody's child, so that the server will not find it among its own.
struct Janitor {
    order: std::os::fd::OwnedFd,
    done: std::os::fd::OwnedFd,
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

// ------------------------------------------------------------------------------------------------------------------
// vsrun stays with the server.

fn stay(plan: Plan, stay: Stay, stdin: bool) -> Result<u8> {
    // Whatever signal comes from here on waits until the loop reads it.
    wait::mask(Mask::All).map_err(|why| failed(format_args!("cannot block the signals"), &why))?;
    fd::close_all_but(None).map_err(|why| failed(format_args!("cannot close inherited descriptors"), &why))?;
    let server = claim(plan.pidfile.as_ref())?;
    if let (Some(server), Some(path)) = (&server, &stay.pidfile)
        && server.is(path)
    {
        server.release();
        return Err(Error::usage("option --pidfile and --manager name the same file"));
    }
    let manager = match claim(stay.pidfile.as_ref()) {
        Ok(manager) => manager,
        Err(error) => {
            undo(&[server]);
            return Err(error);
        }
    };
    let mut caller = None;
    let mut pidfiles = [server, manager];
    let error = match manage(plan, stay, stdin, &mut pidfiles, &mut caller) {
        Ok(status) => return Ok(status),
        Err(error) => error,
    };
    undo(&pidfiles);
    match caller {
        Some(caller) => caller.fail(&error),
        None => Err(error),
    }
}

/// From the locks to the end. `caller` is left where the start fails and the caller still has to be told.
fn manage(
    plan: Plan,
    stay: Stay,
    stdin: bool,
    pidfiles: &mut [Option<Pidfile>; 2],
    caller: &mut Option<Caller>,
) -> Result<u8> {
    pidfiles.iter().flatten().try_for_each(Pidfile::reserve)?;
    let handler = stay.handler.map(Handler::new).transpose()?;
    let reading = if handler.is_some() { Reading::Wanted } else { Reading::Unwanted };
    let (mut sink, voice) = sink::open(plan.output, reading)?;
    if plan.background {
        *caller = Some(detach(Distance::Orphan, keep(&sink, stdin))?);
    }
    let [server, manager] = pidfiles;
    if let Some(manager) = manager {
        manager.write(process::id()).map_err(|why| failed(format_args!("pidfile '{}'", manager.path()), &why))?;
    }
    let signals = Signals::open().map_err(|why| failed(format_args!("cannot listen to signals"), &why))?;
    process::adopt_orphans();
    sink.start()?;

    let mut this = Watch {
        policy: stay.policy,
        program: Prepared::new(plan.server),
        command: plan.command,
        handler,
        sink,
        voice,
        debug: plan.debug,
        pidfile: server.take(),
        signals,
        caller: caller.take(),
    };
    let (ending, error) = watch(&mut this);
    if let Some(error) = &error {
        say_failure(&this.voice, error);
    }
    this.say_ending(ending);
    let Watch { sink, voice, signals, pidfile, caller: waiting, .. } = this;
    (*server, *caller) = (pidfile, waiting);
    let result = match (ending, error) {
        (Ending::Failed(_), Some(error)) => Err(error),
        (ending, _) => {
            undo(pidfiles);
            Ok(ending.status())
        }
    };
    sink.close(voice, &signals);
    result
}
