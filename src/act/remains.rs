//! Who is left of a server that has ended: found in /proc, signalled, reaped.
//!
//! The kernel tells a parent which of its children have ended, and nobody which ones live. Without /proc, or with
//! another namespace's, only PID 1 can reach them all, as it may signal everybody.

use core::ffi::CStr;
use core::fmt::Write;

use crate::act::control::{read, sight};
use crate::act::deliver;
use crate::decide::control::{Sight, parent};
use crate::decide::signal::Signal;
use crate::decide::text::Text;
use crate::decide::time::number;
use crate::sys;
use crate::sys::caps;
use crate::sys::dir::Dir;
use crate::sys::pidfd::Process;
use crate::sys::process::{self, Pid};

/// No chain of parents is longer; one that seems to be has changed while we looked.
const DEPTH: usize = 4096;

/// Sends a signal to everybody who is left, but for the helper and its own; and behind a TERM, CONT, as one that is
/// stopped could not end.
pub fn send(signal: Signal, helper: Option<Pid>) {
    send_one(signal.number(), helper);
    if signal == Signal::TERM {
        send_one(Signal::CONT.number(), helper);
    }
}

#[inline(never)]
fn send_one(signal: u8, helper: Option<Pid>) {
    // Without CAP_KILL it would pass over processes of other users, and say nothing of it.
    let all = helper.is_none() && caps::may_kill() && process::send_all(signal);
    if all {
        return;
    }
    let listed = each(&mut |proc, pid| {
        let Ok(process) = hold(pid) else { return };
        // It is held, so it is this one that is looked at, or nobody who can get the signal.
        if is_left(proc, pid, helper) {
            let _ = deliver::to_process(process, signal);
        }
        process.close();
    });
    if !listed {
        process::send_all(signal);
    }
}

/// Whether anybody is left but the helper and its own. Where that cannot be known: yes, as long as the helper lives.
pub fn is_anybody(helper: Option<Pid>) -> bool {
    if helper.is_none() {
        return if has_visitors() { process::send_all(0) } else { process::any_child_lives(None) };
    }
    let mut anybody = false;
    let listed = each(&mut |proc, pid| anybody |= !is_zombie(proc, pid) && is_left(proc, pid, helper));
    anybody || !listed
}

/// Finds a child of ours that has ended, other than this one, which is always the first that the kernel names.
pub fn peek_behind(first: Pid) -> Option<Pid> {
    let mut found = None;
    each(&mut |proc, pid| {
        let child = Pid::new(pid);
        if found.is_none()
            && child != first
            && parent_of(proc, pid) == process::id().number()
            && process::has_ended(child)
        {
            found = Some(child);
        }
    });
    found
}

/// Calls for each process but our own. Answers whether /proc could tell. Allocates nothing.
fn each(act: &mut dyn FnMut(&Dir, i32)) -> bool {
    let Ok(proc) = Dir::open(c"/proc") else { return false };
    if matches!(sight(), None | Some(Sight::Foreign)) {
        return false;
    }
    let own = process::id().number();
    let listed = proc.each(&mut |name| {
        let pid = number(name.to_bytes()).and_then(|number| i32::try_from(number).ok());
        if let Some(pid) = pid.filter(|pid| *pid != own) {
            act(&proc, pid);
        }
    });
    listed.is_ok()
}

/// Whether it is below us, and not below the helper. Below PID 1 is everybody, also who came from elsewhere.
fn is_left(proc: &Dir, pid: i32, helper: Option<Pid>) -> bool {
    let own = process::id().number();
    let mut at = pid;
    for _ in 0..DEPTH {
        if at == own {
            return true;
        }
        if at <= 0 {
            return has_visitors();
        }
        if helper.is_some_and(|helper| helper.number() == at) {
            return false;
        }
        at = parent_of(proc, at);
    }
    false
}

/// Whether there may be processes that are nobody's here: those that came into our container from outside. A machine's
/// PID 1 sees the kernel's own threads like that, and they are never gone.
fn has_visitors() -> bool {
    process::is_first() && !process::sees_threads_of_kernel()
}

/// Its parent; 0 when that is in another namespace; 1, and so PID 1's affair, when it is gone.
fn parent_of(proc: &Dir, pid: i32) -> i32 {
    parent(stat(proc, pid, &mut [0; 512])).unwrap_or(1)
}

fn is_zombie(proc: &Dir, pid: i32) -> bool {
    // The state stands behind the name, which may hold anything.
    let mut buffer = [0; 512];
    let stat = stat(proc, pid, &mut buffer);
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
    matches!(state, None | Some(b'Z' | b'X'))
}

fn stat<'a>(proc: &Dir, pid: i32, buffer: &'a mut [u8]) -> &'a [u8] {
    let mut name = Text::<32>::new();
    let _ = write!(name, "{pid}/stat\0");
    read(proc, CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default(), buffer)
}

fn hold(pid: i32) -> sys::Result<Process> {
    let mut home = Text::<32>::new();
    let _ = write!(home, "/proc/{pid}\0");
    Process::open(pid, CStr::from_bytes_until_nul(home.as_bytes()).unwrap_or_default())
}
