//! Questions and orders about a server that runs: `--status`, `--stop`, `--signal`. The lock tells who lives, /proc
//! who has the lock, and a descriptor of the process keeps its number from becoming a stranger's meanwhile.

use core::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use crate::act::say::{self, failed};
use crate::act::watch::now;
use crate::decide::control::{
    self, Control, Hold, Keeper, Line, Lock, Nobody, Order, Patience, Sight, Why, has_lock, judge,
};
use crate::decide::error::{Error, Result};
use crate::decide::exit;
use crate::decide::signal::Signal;
use crate::decide::text::Clean;
use crate::decide::time::Time;
use crate::decide::word::word;
use crate::sys::dir::{self, About, Dir, How};
use crate::sys::lock::{self, Kind};
use crate::sys::pidfd::Process;
use crate::sys::{self, Errno, identity, wait};

/// How often a file that is just being claimed is looked at again.
const PATIENCE: usize = 20;
/// Between two looks at what no descriptor tells, in milliseconds.
const PAUSE: u64 = 10;

/// Does what is wanted. Answers vsrun's exit status.
///
/// # Errors
/// When it cannot be done, or it cannot be known to whom.
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
            return say::out(format!("running: pid {} ({path})\n", server.named.number).as_bytes());
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
            format!("{word}: {path}: {}", sys::words(Errno::from_raw_os_error(number)))
        }
        Nobody::NotRunning | Nobody::Dead | Nobody::Restarting | Nobody::Unknown(_) => {
            format!("{word}: {path}: {why}")
        }
    };
    let code = match (control.order, nobody) {
        (Order::Status, _) => {
            text.push('\n');
            say::out(text.as_bytes())?;
            return Ok(status);
        }
        (_, Nobody::Unknown(_)) => status,
        // It has named nobody in all the time.
        (Order::Stop, Nobody::Restarting) => exit::SETUP,
        (Order::Stop, _) => return Ok(exit::OK),
        (Order::Signal(_), _) => exit::NOT_RUNNING,
    };
    Err(Error::new(code, format_args!("{text}")))
}

/// Who has the file now; for a stop, once there is somebody.
#[inline(never)]
fn find(control: &Control, file: &Pidfile) -> Found<Server> {
    let until = Patience::new(Lock::Exclusive, control.timeout, now()).until;
    loop {
        match file.see() {
            Err(Nobody::Restarting) if control.order == Order::Stop && !is_over(until) => wait::nap(PAUSE),
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

/// Whether there was somebody to get a signal.
enum Sent {
    Yes,
    Gone,
}

fn send(process: Process, signal: Signal) -> Result<Sent> {
    match process.send(signal.number()) {
        Ok(()) => Ok(Sent::Yes),
        Err(why) if is_gone(why) => Ok(Sent::Gone),
        Err(why) => Err(failed(format_args!("cannot send {signal} to pid {}", process.number), why)),
    }
}

fn is_gone(why: Errno) -> bool {
    why == Errno::SRCH
}

// ------------------------------------------------------------------------------------------------------------------
// Looking.

/// A pidfile that is somebody else's.
struct Pidfile {
    file: OwnedFd,
    /// Which file it is.
    identity: (u64, u64),
    owner: u32,
}

/// Somebody who may be signalled.
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
            Ok(About { regular: true, identity, owner, .. }) => Ok(Self { file, identity, owner }),
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
        let (named, held) = self.process(number, Some(&mut parent));
        let (above, above_held) = self.process(parent, None);
        let keeper = match judge(lock, line, held, above_held)? {
            Keeper::Named => named,
            Keeper::Parent => above,
        };
        let (Some(named), Some(keeper)) = (named, keeper) else { return Err(Nobody::Unknown(Why::Slippery)) };
        Ok(Server { lock, named, keeper })
    }

    /// The lock, and what stands in the file.
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

    /// The process of that number, if there is one, and whether it has the file open, with the lock. Asked for, its
    /// parent's number too.
    #[inline(never)]
    fn process(&self, number: i32, parent: Option<&mut i32>) -> (Option<Process>, Hold) {
        let home = word(format!("/proc/{number}").into_bytes());
        let process = match Process::open(number, home) {
            Ok(process) => process,
            Err(Errno::SRCH | Errno::INVAL) => return (None, Hold::Not),
            Err(_) => return (None, Hold::Unseen),
        };
        let hold = self.hold(home, parent);
        // As long as it was not reaped, what was asked by its number was about it.
        let reaped = process.send(0).is_err_and(is_gone);
        (Some(process), if reaped { Hold::Not } else { hold })
    }

    #[inline(never)]
    fn hold(&self, home: &CStr, parent: Option<&mut i32>) -> Hold {
        let Some(sight) = sight() else { return Hold::Unseen };
        if sight == Sight::Foreign {
            return Hold::Not;
        }
        let Ok(home) = Dir::open_path(home) else { return Hold::Unseen };
        if let Some(parent) = parent {
            *parent = control::parent(read(&home, c"stat", &mut [0; 512])).unwrap_or(0);
        }
        // A file of somebody who is neither root nor we may speak for its owner's processes only.
        let owner = self.owner;
        let stranger = || !dir::about(home.as_fd()).is_ok_and(|home| home.owner == owner);
        if owner != 0 && owner != identity::effective_uid() && stranger() {
            return Hold::Not;
        }
        let (Ok(fds), Ok(infos)) = (home.inner(c"fd"), home.inner(c"fdinfo")) else { return Hold::Unseen };
        let mut hold = Hold::Not;
        let listed = fds.each(&mut |fd| match fds.about_target(fd) {
            Ok(about) if about.identity == self.identity => {
                if sight == Sight::Open || has_lock(read(&infos, fd, &mut [0; 512])) {
                    hold = Hold::Held;
                }
            }
            Err(why) if hold == Hold::Not && why == Errno::ACCESS => hold = Hold::Unseen,
            // Another file; or one that has been closed meanwhile.
            Ok(_) | Err(_) => {}
        });
        if listed.is_ok() { hold } else { Hold::Unseen }
    }
}

/// What /proc is good for; None where there is none.
pub fn sight() -> Option<Sight> {
    let ours = Dir::open_path(c"/proc/self").ok()?;
    Some(Sight::parse(read(&ours, c"status", &mut [0; 8192])))
}

/// The beginning of a file in /proc; nothing where it cannot be read.
pub fn read<'a>(dir: &Dir, name: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    let count = dir.file(name, How::ReadOnly, 0).and_then(|file| dir::head(file.as_fd(), buffer)).unwrap_or(0);
    buffer.get(..count).unwrap_or_default()
}
