//! Questions and orders about a server that runs: `--status`, `--stop`, `--signal`. The lock shows whether it runs, /proc
//! which process has the lock, and a descriptor of the process keeps its number from becoming another process's.

use core::ffi::CStr;
use core::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};

use crate::act::deliver;
use crate::act::lookup::{Locked, of_process};
use crate::act::say::{self, failed};
use crate::act::watch::now;
use crate::decide::control::{self, Control, Hold, Keeper, Line, Lock, Nobody, Order, Patience, Uptime, Why, judge};
use crate::decide::error::{Error, Result};
use crate::decide::exit;
use crate::decide::signal::Signal;
use crate::decide::text::Clean;
use crate::decide::time::Time;
use crate::sys::dir::{self, About};
use crate::sys::lock::{self, Kind};
use crate::sys::pidfd::Process;
use crate::sys::{self, Errno, clock, wait};

pub use crate::act::lookup::{read, sight};

/// How often a file that is just being claimed is looked at again.
const PATIENCE: usize = 20;
/// Between two looks at what no descriptor tells, in milliseconds.
const PAUSE: u64 = 10;

/// Does what is wanted. Answers vsrun's exit status.
///
/// # Errors
/// When it cannot be done, or it cannot be known to which process.
#[inline(never)]
pub fn control(control: &Control) -> Result<u8> {
    let path = Clean(control.pidfile.to_bytes());
    let file = Pidfile::open(control.pidfile);
    let found = match &file {
        Ok(file) => find(control, file).map(|server| (file, server)),
        Err(nobody) => Err(*nobody),
    };
    let nobody = match (control.order, found) {
        (Order::Status, Ok((_, server))) => {
            let number = server.named.number;
            let up = of_process(number, c"stat", control::started_at).map(|start| Uptime::since(start, clock::boot()));
            let up: &dyn Display = up.as_ref().map_or(&"", |up| up);
            return say::out(format!("running: pid {number} ({path}){up}\n").as_bytes());
        }
        (Order::Signal(signal), Ok((_, server))) => match send(server.named, signal)? {
            Sent::Yes => return Ok(exit::OK),
            Sent::Gone => Nobody::Dead,
        },
        (Order::Stop, Ok((file, server))) => {
            return stop(control, file, server)?.map_or(Ok(exit::OK), |why| {
                Err(Error::refused(format_args!("cannot stop {path}: pid {} {why}", server.keeper.number)))
            });
        }
        (_, Err(nobody)) => nobody,
    };
    let (status, word, why) = nobody.words();
    let mut text = match nobody {
        Nobody::Unknown(Why::Kernel(number)) => {
            let why = Errno::from_raw_os_error(number);
            // It is readable for its owner alone, see `act::pidfile`.
            let hint = if why == Errno::ACCESS { " (only its owner and root can read it)" } else { "" };
            format!("{word}: {path}: {}{hint}", sys::words(why))
        }
        Nobody::NotRunning | Nobody::Dead | Nobody::Restarting | Nobody::Unknown(_) => {
            format!("{word}: {path}: {why}")
        }
    };
    if let (Nobody::Unknown(Why::Stranger), Ok(file)) = (nobody, &file)
        && let Some(holder) = file.locked.search()
    {
        text = format!("{text}: by pid {holder}");
    }
    let code = match (control.order, nobody) {
        (Order::Status, _) => {
            text.push('\n');
            say::out(text.as_bytes())?;
            return Ok(status);
        }
        (_, Nobody::Unknown(_)) => status,
        // It has named no process in all the time.
        (Order::Stop, Nobody::Restarting) => exit::SETUP,
        (Order::Stop, _) => {
            // That is what was wanted; but a mistyped name looks the same.
            say::complain(&Error::new(exit::OK, format_args!("not running: {path}")));
            return Ok(exit::OK);
        }
        (Order::Signal(_), _) => exit::NOT_RUNNING,
    };
    Err(Error::new(code, format_args!("{text}")))
}

/// Who has the file now. For a stop between two runs: the process that has it locked or, where /proc cannot show that, the
/// next one that the file names.
#[inline(never)]
fn find(control: &Control, file: &Pidfile) -> Found<Server> {
    let until = Patience::new(Lock::Exclusive, control.timeout, now()).until;
    loop {
        match file.see() {
            Err(Nobody::Restarting) if control.order == Order::Stop => match file.holder() {
                Some(server) => return Ok(server),
                None if is_over(until) => return Err(Nobody::Restarting),
                None => wait::nap(PAUSE),
            },
            seen => return seen,
        }
    }
}

// Apart from the above, since each way out of a function takes the code to give up all that it has.

/// Ends it. Answers why it is not gone, if it is not.
#[inline(never)]
fn stop(control: &Control, file: &Pidfile, server: Server) -> Result<Option<&'static str>> {
    let keeper = server.keeper;
    let mut patience = Patience::new(server.lock, control.timeout, now());
    // One that has ended meanwhile needs no signal; its lock may still be somebody's.
    send(keeper, Signal::TERM)?;
    send(keeper, Signal::CONT)?;
    let mut ended = false;
    loop {
        if ended {
            wait::nap(PAUSE);
        } else {
            let until = patience.kill.or(patience.until);
            [ended, ..] = wait::next([keeper.end(), None, None, None], until.map(|until| until.since(now()).0));
        }
        // Its children may have inherited the lock, and nobody can start before they are gone.
        let (lock, line) = file.state();
        let another = server.lock == Lock::Shared && line != Line::Pid(keeper.number);
        if (ended || keeper.end().is_none()) && (lock == Lock::None || another) {
            return Ok(None);
        }
        if ended && lock == Lock::Exclusive && line != Line::Pid(server.named.number) {
            // It was believed, and was no manager: that takes its number out of the file.
            return Ok(Some("has ended, and its manager, which cannot be seen here, goes on"));
        }
        if is_over(patience.kill) {
            patience.kill = None;
            send(keeper, Signal::KILL)?;
        } else if is_over(patience.until) {
            return Ok(Some(if ended { "has ended, but the file is still locked" } else { "has not ended in time" }));
        }
    }
}

/// Whether that point in time has come.
fn is_over(until: Option<Time>) -> bool {
    until.is_some_and(|until| until <= now())
}

/// Whether there was a process to get a signal.
enum Sent {
    Yes,
    Gone,
}

fn send(process: Process, signal: Signal) -> Result<Sent> {
    match deliver::to_process(process, signal.number()) {
        Ok(()) => Ok(Sent::Yes),
        Err(Errno::SRCH) => Ok(Sent::Gone),
        Err(why) => {
            let (number, missing) = (process.number, deliver::MISSING);
            Err(failed(format_args!("cannot send {signal} to pid {number} ({missing})"), why))
        }
    }
}

// ------------------------------------------------------------------------------------------------------------------
// Looking.

/// A pidfile that is another process's.
struct Pidfile {
    file: OwnedFd,
    locked: Locked,
}

/// A process that may be signalled.
#[derive(Clone, Copy)]
struct Server {
    lock: Lock,
    /// The process that the file names.
    named: Process,
    /// The one whose end is the end of it all: the same, or its parent.
    keeper: Process,
}

type Found<T> = core::result::Result<T, Nobody>;

impl Pidfile {
    /// Opens the file. It is not changed, and no lock is taken.
    #[inline(never)]
    fn open(path: &CStr) -> Found<Self> {
        let file = dir::look(path).map_err(|why| match why {
            Errno::NOENT => Nobody::NotRunning,
            Errno::LOOP => Nobody::Unknown(Why::Link),
            other => Nobody::Unknown(Why::Kernel(other.raw_os_error())),
        })?;
        match dir::about(file.as_fd()) {
            Ok(about @ About { regular: true, .. }) => Ok(Self { file, locked: Locked::new(&about) }),
            Ok(_) | Err(_) => Err(Nobody::Unknown(Why::Kind)),
        }
    }

    /// Who has it. A vsrun that is about to start the server has the lock before it writes a number, and one that ends
    /// is gone before its file is: that is given some time.
    #[inline(never)]
    fn see(&self) -> Found<Server> {
        let mut looks = 0;
        loop {
            let state = self.state();
            let seen = self.look(state);
            looks += 1;
            let clear = state.0 != Lock::Exclusive || !matches!(seen, Err(Nobody::Unknown(_)));
            // Had the number become another's in between, it would have been taken out of the file before.
            if clear && self.state() == state {
                return seen;
            }
            if looks == PATIENCE {
                return Err(seen.err().unwrap_or(Nobody::Unknown(Why::Stranger)));
            }
            wait::nap(PAUSE);
        }
    }

    #[inline(never)]
    fn look(&self, (lock, line): (Lock, Line)) -> Found<Server> {
        let number = if let Line::Pid(number) = line { number } else { 0 };
        let mut parent = 0;
        let (named, held) = self.locked.process(number, Some(&mut parent));
        let (above, above_held) = self.locked.process(parent, None);
        let keeper = match judge(lock, line, held, above_held)? {
            Keeper::Named => named,
            Keeper::Parent => above,
        };
        if held == Hold::Unseen && above_held != Hold::Held && !self.locked.trusted {
            // Its owner could have written any number, and have locked it.
            return Err(Nobody::Unknown(Why::Untrusted));
        }
        let (Some(named), Some(keeper)) = (named, keeper) else { return Err(Nobody::Unknown(Why::Slippery)) };
        Ok(Server { lock, named, keeper })
    }

    /// The manager whose server does not run now. None: /proc does not show it, or it has gone.
    #[inline(never)]
    fn holder(&self) -> Option<Server> {
        let (process, hold) = self.locked.process(self.locked.search()?, None);
        let keeper = process.filter(|_| hold == Hold::Held)?;
        Some(Server { lock: Lock::Exclusive, named: keeper, keeper })
    }

    /// The lock, and what the file says.
    #[inline(never)]
    fn state(&self) -> (Lock, Line) {
        let lock = match lock::holder(self.file.as_fd()) {
            Ok(None) => Lock::None,
            Ok(Some(Kind::Shared)) => Lock::Shared,
            Ok(Some(Kind::Exclusive)) => Lock::Exclusive,
            Err(_) => Lock::Hidden,
        };
        let mut line = [0; 16];
        let count = dir::head(self.file.as_fd(), &mut line).unwrap_or(0);
        (lock, Line::parse(line.get(..count).unwrap_or_default()))
    }
}
