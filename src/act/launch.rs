//! Starts a program: performs the steps of the plan blindly, one arm each, and tells the parent which one failed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::act::cgroup::Cgroup;
use crate::act::pidfile::Pidfile;
use crate::act::prepared::Prepared;
use crate::act::report::{Aim, EXEC_IS_NEXT, EXEC_WITHOUT_PIDFILE, FORK, Failure};
use crate::act::say::{Place, Priority, Voice};
use crate::act::{confine, confinement, explain, walk, writer};
use crate::decide::exit;
use crate::decide::step::{Rights, Step};
use crate::sys::child::Memory;
use crate::sys::process::Pid;
use crate::sys::wait::Mask;
use crate::sys::{self, Errno, attributes, canary, caps, child, fd, identity, keyring, process, terminal, wait};

/// What a process is connected to.
#[derive(Clone, Copy, Default)]
pub struct Wires<'a> {
    /// Standard input. None: `/dev/null`.
    pub input: Option<BorrowedFd<'a>>,
    /// Standard output. None: as it is.
    pub output: Option<BorrowedFd<'a>>,
    /// Standard error. None: as it is.
    pub error: Option<BorrowedFd<'a>>,
    /// The logdir.
    pub dir: Option<BorrowedFd<'a>>,
    /// Pipes of our own that stay open until the exec.
    pub pipes: [Option<BorrowedFd<'a>>; 2],
    /// The pidfile that the process writes.
    pub pidfile: Option<&'a Pidfile>,
    /// The control group that the process enters.
    pub cgroup: Option<&'a Cgroup>,
    /// What the way is gone for.
    pub aim: Aim,
    /// Whether a pidfile that cannot be written ends the start.
    pub attempt: Attempt,
    /// Where the program says that it is ready, and under which number it has that.
    pub ready: Option<(BorrowedFd<'a>, RawFd)>,
    /// Where each step is told.
    pub debug: Option<&'a Voice>,
    /// Where the parent is told that the exec is next, and which step failed; `spawn` fills it in.
    pub report: Option<BorrowedFd<'a>>,
}

impl Wires<'_> {
    /// Those of a manager, whose own standard input is `/dev/null`, or the server's by `--stdin`.
    pub fn resting() -> Self {
        Self { input: Some(fd::standard(0)), ..Self::default() }
    }
}

/// Which start of the server it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Attempt {
    /// The first one, which may fail.
    #[default]
    First,
    /// A restart, which nothing that can be done without holds up.
    Later,
}

/// A process on its way to be the program.
pub struct Launched {
    /// Our child.
    pub pid: Pid,
    /// Where it tells which step failed; closed when the exec went well.
    pub report: OwnedFd,
}

/// Starts a program as our child.
///
/// # Errors
/// When the kernel has no process or no descriptor to give.
#[inline(never)]
pub fn spawn(program: &Prepared, wires: &Wires<'_>) -> sys::Result<Launched> {
    let mut memory = if program.steps.iter().any(needs_memory) { Memory::Own } else { Memory::Ours };
    loop {
        let (report, write) = fd::pipe()?;
        if let Some(pid) = child::start(memory, &|| fail(program, wires, &write))? {
            return Ok(Launched { pid, report });
        }
        // Something lets it wait: another one goes the same way, for which we need not wait.
        memory = Memory::Own;
    }
}

/// Whether a process must have memory of its own for a step. It becomes somebody else, or gives up rights that we keep:
/// whoever may trace it then would get at our memory, and at root (which is why vfork(2) and setuid(2) do not go
/// together). Or it takes the terminal, which no second one shall do, or becomes no other program. All other steps
/// write to nothing of ours but the words that are written anew for each start, and allocate nothing.
#[inline(never)]
fn needs_memory(step: &Step) -> bool {
    matches!(
        step,
        Step::Foreground
            | Step::BlockSignals
            | Step::Keyring
            | Step::Root(_)
            | Step::Inside(_)
            | Step::Groups(_)
            | Step::Gid(_)
            | Step::Uid(..)
            | Step::Rights(_)
            | Step::Proof { .. }
            | Step::Capabilities(_)
            | Step::Write(_)
    )
}

/// The child: becomes the program, or tells why not and is gone.
#[inline(never)]
fn fail(program: &Prepared, wires: &Wires<'_>, report: &OwnedFd) -> ! {
    match out_of_the_way(report.as_fd(), wires) {
        Ok(moved) => {
            let report = moved.as_ref().unwrap_or(report).as_fd();
            give_up(program, &take_over(program, &Wires { report: Some(report), ..*wires }), report)
        }
        Err(why) => give_up(program, &Failure::new(usize::from(FORK), why), report.as_fd()),
    }
}

/// Tells why not, and is gone.
pub fn give_up(program: &Prepared, failure: &Failure, report: BorrowedFd<'_>) -> ! {
    failure.send(report);
    process::leave(failure.code(program))
}

/// A descriptor of ours that has the number which the program is to have, moved above it.
pub fn out_of_the_way(fd: BorrowedFd<'_>, wires: &Wires<'_>) -> sys::Result<Option<OwnedFd>> {
    match wires.ready {
        Some((_, number)) if fd.as_raw_fd() == number => fd::duplicate_from(fd, number + 1).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Becomes the program in this very process. Returns only when a step failed.
#[inline(never)]
pub fn take_over(program: &Prepared, wires: &Wires<'_>) -> Failure {
    let mut way = Way { marker: EXEC_IS_NEXT, ..Way::default() };
    let (mut voice, stderr) = (wires.debug, Voice::new(Place::Plain));
    for (place, step) in program.steps.iter().enumerate() {
        if let Aim::Look { passed } = wires.aim
            && (passed.has(place) || matches!(step, Step::Foreground | Step::Cgroup(_)))
        {
            // The terminal is not the process's own, and the control group is not there yet.
            continue;
        }
        let say = |voice: &Voice, step| voice.say(Priority::Debug, format_args!("{}: {step}", process::id()));
        if let Some(open) = voice {
            say(open, step);
            if matches!(step, Step::Descriptors) {
                voice = open.is_standard_error().then_some(&stderr);
                if voice.is_none() {
                    // It is closed now, so what follows is recorded in advance.
                    program.steps.iter().skip(place + 1).for_each(|step| say(open, step));
                }
            }
        }
        if let Err(why) = perform(step, program, wires, &mut way) {
            wait::ignore_writes(true);
            let mut failure = Failure::new(place, why);
            failure.cause = explain::explain(step, program, why, &mut failure.detail);
            return failure;
        }
    }
    // A plan ends with an exec, and an exec that returns has failed.
    Failure::new(program.steps.len(), Errno::INVAL)
}

/// What one step leaves for a later one.
#[derive(Default)]
pub struct Way {
    /// The descriptor that the program is to keep.
    pub kept: Option<OwnedFd>,
    /// A descriptor that is open in vain, to see whether such are closed.
    pub canary: Option<OwnedFd>,
    /// The rule set of Landlock that is being made.
    ruleset: Option<OwnedFd>,
    /// How many sockets it is to find from descriptor 3 on.
    pub sockets: u16,
    /// What the parent is told before the exec.
    marker: u8,
    /// Whether the caller's directory is not the one that has its path.
    pub replaced: bool,
}

/// One step.
#[inline(never)]
fn perform(step: &Step, program: &Prepared, wires: &Wires<'_>, way: &mut Way) -> sys::Result<()> {
    match step {
        Step::Cgroup(_) => wires.cgroup.map_or(Ok(()), Cgroup::enter),
        Step::Signals => wait::mask(Mask::None),
        Step::Session => process::new_session(),
        Step::BlockSignals => wait::mask(Mask::All),
        Step::Foreground => terminal::take_foreground(),
        Step::Group => terminal::lead_group(),
        Step::Terminal => terminal::leave_terminal(),
        Step::Pidfile(_) => match wires.pidfile {
            Some(pidfile) => {
                pidfile.write(process::id())?;
                pidfile.hand_over().map(|kept| way.kept = Some(kept))
            }
            None => Ok(()),
        },
        Step::Number(_) => match wires.pidfile.map_or(Ok(()), |pidfile| pidfile.write(process::id())) {
            Err(_) if wires.attempt == Attempt::Later => {
                way.marker = EXEC_WITHOUT_PIDFILE;
                Ok(())
            }
            result => result,
        },
        Step::Nice(value) => attributes::set_nice(*value),
        Step::OomScore(value) => attributes::set_oom_score(value.to_bytes()),
        Step::Limit(limit) => attributes::set_limit(limit.resource, limit.soft, limit.hard),
        Step::Input => {
            let opened = wires.input.map_or_else(canary::install_null, canary::install);
            opened.map(|opened| way.canary = Some(opened))
        }
        Step::Output => [(wires.output, 1), (wires.error, 2)]
            .into_iter()
            .try_for_each(|(wire, number)| wire.map_or(Ok(()), |wire| fd::install(wire, number))),
        Step::Sockets(count) => {
            way.sockets = *count;
            program.name_itself("LISTEN_PID")
        }
        Step::Watchdog => program.name_itself("WATCHDOG_PID"),
        Step::LogDir(dir) => wires.dir.map_or_else(|| identity::change_dir(dir), identity::enter),
        Step::CallersDir(dir, which) => confine::return_to(dir, *which).map(|is| way.replaced = is),
        Step::ReplacedDir(dir) if way.replaced => identity::change_dir(dir),
        Step::ReplacedDir(_) => Ok(()),
        Step::Root(dir) => walk::change_root(dir),
        Step::Dir(dir) => identity::change_dir(dir),
        Step::Inside(_) => identity::prove_inside(),
        Step::Keyring => keyring::join_own(),
        Step::Groups(groups) => identity::set_groups(groups),
        Step::Gid(gid) => identity::set_gid(*gid),
        Step::Uid(uid, rights) => identity::set_uid(*uid, *rights != Rights::Gone),
        Step::Rights(Rights::Spare(not_these)) => caps::keep_spare(*not_these),
        Step::Rights(rights) => caps::give_up(*rights == Rights::Stay),
        Step::Proof { uid, gid, groups } => identity::prove(*uid, *gid, groups),
        Step::Capabilities(chosen) => caps::keep_only(chosen.set),
        Step::NoNewPrivileges => caps::forbid_new_privileges(),
        Step::Umask(mask) => process::fix_umask(*mask),
        Step::Descriptors => confine::close_descriptors(program, wires, way),
        Step::SealDescriptors => confine::seal_descriptors(way),
        Step::Ruleset(_) | Step::Allow(..) | Step::Confine | Step::Covered(_) => {
            confinement::perform(step, &mut way.ruleset, wires.aim == Aim::Start)
        }
        Step::Ready(_) => wires.ready.map_or(Ok(()), confine::place_ready),
        Step::Write(_) | Step::Exec(_) => {
            if let Some(report) = wires.report {
                fd::write_all(report, &[way.marker])?;
            }
            Err(execute(step, program, wires.aim))
        }
    }
}

/// Tries the paths as execvp(3) does: what is missing or forbidden is passed over, anything else ends the search. The
/// writer is this program.
#[inline(never)]
fn execute(step: &Step, program: &Prepared, aim: Aim) -> Errno {
    if let Step::Write(rules) = step {
        writer::write(*rules);
    }
    wait::ignore_writes(false);
    let mut worst = Errno::NOENT;
    for path in &program.paths {
        let why = match aim {
            Aim::Start => process::exec(path, &program.argv, &program.env),
            Aim::Look { .. } => match explain::examine(path) {
                Ok(()) => process::leave(exit::OK),
                Err(why) => why,
            },
        };
        match why {
            Errno::NOENT | Errno::NOTDIR if program.paths.len() > 1 => {}
            Errno::ACCESS => worst = why,
            _ => return why,
        }
    }
    worst
}
