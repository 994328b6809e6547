//! Finds in /proc the processes that are left after the server exited, counts them and sends them signals.
//!
//! The kernel reports which children have exited, but only /proc lists the living descendants. A server may leave any
//! number of processes, so a sweep is one pass over /proc in turns of limited length: between the turns the supervisor
//! handles signals and deadlines.

use core::ffi::CStr;
use core::fmt::Write;

use super::slot::SweepScope;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::{ArrayText, Escaped};
use crate::logic::base::time::parse_number;
use crate::logic::formats::proc::{ProcLockSupport, parent_pid};
use crate::logic::formats::process_tree::{self, DESCENDANT, FROM_OUTSIDE_NAMESPACE, UNKNOWN_ANCESTOR};
use crate::runtime::resources::pidfile_lock_holder::{proc_lock_visibility, read_proc_start};
use crate::runtime::start::deliver;
use crate::sys::dir::Dir;
use crate::sys::mapped_table::MappedTable;
use crate::sys::pidfd::Process;
use crate::sys::process::{self, Pid};

/// The maximum number of processes that one turn reads from /proc, which takes about 10 ms.
const MAX_LISTED_PROCESSES_PER_TURN: usize = 1024;
/// The maximum number of processes that one turn sends a signal to.
const MAX_SIGNALS_PER_TURN: usize = 256;
/// The maximum number of turns of a count that blocks the event loop until it is finished.
const MAX_COUNT_TURNS: usize = 8;

/// The pids of the logger or rotator, and of the two probes; 0 for each that does not run. They are children of vsrun,
/// but do not belong to the server.
pub type HelperPids = [i32; 3];
pub const NO_HELPERS: HelperPids = [0; 3];

/// One pass over the processes in /proc that counts the descendants of vsrun and can send them a signal.
pub struct ProcessSweep {
    /// The signal for each process that is found. None: the sweep only counts them.
    pub signal: Option<Signal>,
    from_outside: FromOutside,
    /// If given, only these children and their descendants count.
    scope: Option<SweepScope>,
    /// True if dying processes (killed, but not gone yet) do not count until three others have been found.
    skips_dying: bool,
    proc: Dir,
    rows: MappedTable,
    stage: Stage,
    /// The processes found. Valid only after all processes have been listed.
    pub found: FoundProcesses,
}

/// Whether processes that entered our container from outside, as with nsenter(1), count like vsrun's descendants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FromOutside {
    Included,
    Excluded,
}

enum Stage {
    /// Reading processes from /proc; `from` is the offset of the next ones.
    Listing { from: u64 },
    /// Sending the signal; `at` is the index in `rows` of the next process.
    Sending { at: usize },
}

/// The descendants of vsrun that a sweep has found.
#[derive(Clone, Copy, Default)]
pub struct FoundProcesses {
    /// The number of processes found.
    pub count: usize,
    /// The pids of the first three processes found; 0 if there are fewer.
    pub first_pids: [i32; 3],
    /// True if the list may be incomplete: a parent exited during the sweep, so it is not known whether its children
    /// descend from vsrun.
    is_incomplete: bool,
}

/// The result of one turn of a sweep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TurnResult {
    /// The sweep needs more turns.
    More,
    /// All processes are listed: the next turn sends signals.
    Listed,
    /// The sweep is over.
    Done,
}

impl ProcessSweep {
    /// Prepares a sweep. None: /proc is not readable or of another pid namespace, or there is no memory for the list.
    #[inline(never)]
    pub fn begin(signal: Option<Signal>, foreign: FromOutside, scope: Option<SweepScope>) -> Option<Self> {
        if matches!(proc_lock_visibility(), None | Some(ProcLockSupport::OtherPidNamespace)) {
            return None;
        }
        let (proc, rows) = (Dir::open(c"/proc").ok()?, MappedTable::new()?);
        Some(Self {
            signal,
            // A sweep that is limited to one of two server processes never includes processes from outside.
            from_outside: if scope.is_none() { foreign } else { FromOutside::Excluded },
            scope,
            skips_dying: false,
            proc,
            rows,
            stage: Stage::Listing { from: 0 },
            found: FoundProcesses::default(),
        })
    }

    /// Does the next turn of the sweep. The helpers and their descendants do not count.
    #[inline(never)]
    pub fn run_turn(&mut self, helpers: HelperPids) -> TurnResult {
        match self.stage {
            Stage::Listing { from } => {
                if let Some(from) = self.list_next_processes(from) {
                    self.stage = Stage::Listing { from };
                    return TurnResult::More;
                }
                process_tree::mark_descendants(self.rows.rows(), process::own_pid().number(), &helpers);
                self.count_found();
                self.stage = Stage::Sending { at: 0 };
                if self.signal.is_some() { TurnResult::Listed } else { TurnResult::Done }
            }
            Stage::Sending { at } => self.send_next_signals(at),
        }
    }

    /// Reads the next processes into `rows`. Returns the offset in /proc to go on at, or None at the end.
    fn list_next_processes(&mut self, from: u64) -> Option<u64> {
        let Self { proc, rows, scope, .. } = self;
        let own = process::own_pid().number();
        let mut count = 0;
        let next = proc.for_each_name_while(from, &mut |name| {
            if let Some(pid) = parse_pid(name)
                && pid != own
            {
                count += 1;
                let mut buffer = [0; 512];
                let stat = read_stat(proc, pid, &mut buffer);
                if let Some(parent) = process_tree::parent_unless_zombie(stat) {
                    let counts = parent != own || scope.is_none_or(|scope| scope.includes_child(stat));
                    // Parent 0 excludes a process: it is treated as one from outside the container.
                    rows.push([pid, if counts { parent } else { 0 }, 0]);
                }
            }
            count < MAX_LISTED_PROCESSES_PER_TURN
        });
        next.ok().flatten()
    }

    fn count_found(&mut self) {
        let Self { from_outside, rows, found, proc, skips_dying, .. } = self;
        for [pid, _, mark] in rows.rows() {
            if is_counted(*mark, *from_outside) {
                if let Some(place) = found.first_pids.get_mut(found.count) {
                    // Whether a process is dying is read only for the first three, because many would take long.
                    if *skips_dying && process_tree::is_dying(read_stat(proc, *pid, &mut [0; 512])) {
                        continue;
                    }
                    *place = *pid;
                }
                found.count += 1;
            }
            found.is_incomplete |= *mark == UNKNOWN_ANCESTOR;
        }
    }

    fn send_next_signals(&mut self, mut at: usize) -> TurnResult {
        let Self { signal: Some(signal), from_outside, proc, rows, stage, .. } = self else {
            return TurnResult::Done;
        };
        let mut sent = 0;
        while let Some([pid, parent, mark]) = rows.rows().get(at).copied() {
            if is_counted(mark, *from_outside) {
                signal_if_same_process(proc, pid, parent, *signal);
                sent += 1;
            }
            at += 1;
            if sent == MAX_SIGNALS_PER_TURN {
                *stage = Stage::Sending { at };
                return TurnResult::More;
            }
        }
        TurnResult::Done
    }
}

impl FoundProcesses {
    /// True if it is certain that no process is left.
    pub fn is_complete_and_empty(&self) -> bool {
        self.count == 0 && !self.is_incomplete
    }
}

impl core::fmt::Display for FoundProcesses {
    /// Writes the first three processes, such as `pid 12 (nginx), pid 13 (nginx)`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Ok(proc) = Dir::open(c"/proc") else { return Ok(()) };
        for (at, pid) in self.first_pids.iter().take(self.count).enumerate() {
            let mut buffer = [0; 64];
            let name =
                read_proc_start(&proc, format_path(&mut ArrayText::new(), format_args!("{pid}/comm\0")), &mut buffer);
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}pid {pid} ({})", Escaped(name.trim_ascii_end()))?;
        }
        Ok(())
    }
}

/// Counts the living descendants of vsrun, except helpers and processes that were killed but have not exited yet. The
/// result is empty if /proc is not readable, or if this needs more than `MAX_COUNT_TURNS` turns.
#[inline(never)]
pub fn count_living_descendants(helpers: HelperPids) -> FoundProcesses {
    if helpers == NO_HELPERS && !process::has_live_child(None) {
        return FoundProcesses::default();
    }
    let sweep = ProcessSweep::begin(None, FromOutside::Excluded, None);
    let Some(mut sweep) = sweep else { return FoundProcesses::default() };
    sweep.skips_dying = true;
    for _ in 0..MAX_COUNT_TURNS {
        if sweep.run_turn(helpers) == TurnResult::Done {
            return sweep.found;
        }
    }
    FoundProcesses::default()
}

/// Finds children that have exited, except those in `except`. waitid(2) cannot be used, because it always reports one
/// of `except` first. Returns how many were stored in `found`, and the offset in /proc to go on at; None at the end.
#[inline(never)]
pub fn find_exited_children(except: [Option<Pid>; 2], from: u64, found: &mut [i32]) -> (usize, Option<u64>) {
    let Ok(proc) = Dir::open(c"/proc") else { return (0, None) };
    let own = process::own_pid().number();
    let (mut looked_at, mut count) = (0, 0);
    let next = proc.for_each_name_while(from, &mut |name| {
        let Some(pid) = parse_pid(name).filter(|pid| !except.contains(&Some(Pid::new(*pid)))) else { return true };
        let mut buffer = [0; 512];
        let stat = read_stat(&proc, pid, &mut buffer);
        let ended = parent_pid(stat) == Some(own)
            && process_tree::parent_unless_zombie(stat).is_none()
            && process::has_exited(Pid::new(pid));
        if let Some(place) = found.get_mut(count).filter(|_| ended) {
            *place = pid;
            count += 1;
        }
        looked_at += 1;
        count < found.len() && looked_at < MAX_LISTED_PROCESSES_PER_TURN
    });
    (count, next.ok().flatten())
}

/// True if vsrun is the PID 1 of a container, which processes can enter from outside, as with nsenter(1). False for the
/// PID 1 of a machine: there, the kernel's threads look like such processes, and they never exit.
pub fn is_pid1_of_container() -> bool {
    process::is_pid1() && !process::in_initial_pid_ns()
}

/// True if a child has exited, as far as /proc shows it. A child for which this stays true is held by a tracer.
pub fn is_zombie(pid: Pid) -> bool {
    Dir::open(c"/proc")
        .is_ok_and(|proc| process_tree::parent_unless_zombie(read_stat(&proc, pid.number(), &mut [0; 512])).is_none())
}

/// The wait(2) status of a child that a tracer keeps from being reaped. None if /proc shows no status, or shows 0.
pub fn zombie_status(pid: Pid) -> Option<i32> {
    process_tree::nonzero_wait_status(read_stat(&Dir::open(c"/proc").ok()?, pid.number(), &mut [0; 1024]))
}

fn is_counted(mark: i32, foreign: FromOutside) -> bool {
    mark == DESCENDANT || (foreign == FromOutside::Included && mark == FROM_OUTSIDE_NAMESPACE)
}

/// Sends a signal to a process, then CONT, if its parent still is the listed one or, after that has exited, vsrun. The
/// process is opened before its parent is compared, so that a new process with a reused pid never gets the signal.
fn signal_if_same_process(proc: &Dir, pid: i32, listed_parent: i32, signal: Signal) {
    let Ok(process) = Process::open(pid, format_path(&mut ArrayText::new(), format_args!("/proc/{pid}\0"))) else {
        return;
    };
    let parent = process_tree::parent_unless_zombie(read_stat(proc, pid, &mut [0; 512]));
    if parent.is_some_and(|parent| parent == listed_parent || parent == process::own_pid().number()) {
        let _ = deliver::to_process(process, signal.number());
        if signal != Signal::KILL {
            // A stopped process handles the signal only after SIGCONT.
            let _ = deliver::to_process(process, Signal::CONT.number());
        }
    }
    process.close();
}

fn parse_pid(name: &CStr) -> Option<i32> {
    i32::try_from(parse_number(name.to_bytes())?).ok()
}

fn read_stat<'a>(proc: &Dir, pid: i32, buffer: &'a mut [u8]) -> &'a [u8] {
    read_proc_start(proc, format_path(&mut ArrayText::new(), format_args!("{pid}/stat\0")), buffer)
}

fn format_path<'a>(text: &'a mut ArrayText<32>, words: core::fmt::Arguments<'_>) -> &'a CStr {
    let _ = text.write_fmt(words);
    CStr::from_bytes_until_nul(text.as_bytes()).unwrap_or_default()
}
