//! Programs, prepared in memory for being started.

use core::fmt::Write;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::ArrayText;
use crate::logic::plan::env::EnvRenewal;
use crate::logic::plan::personality::Personality;
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::sys::Result;
use crate::sys::exec::ExecArray;
use crate::sys::process::Pid;

/// The shell that runs a script without `#!`, as execvp(3) does.
pub const SHELL_PATH: StaticCStr = c"/bin/sh";
/// The index of the environment slot for `NOTIFY_SOCKET`. That variable differs between a server and its replacement.
pub const NOTIFY_SLOT: usize = 2;

/// A program with everything that its start needs already in memory, because nothing is allocated after a fork.
#[repr(C)] // Small and frequent fields first: shorter instructions.
pub struct ExecImage {
    /// What differs because vsrun was called by another tool's name.
    pub personality: &'static Personality,
    /// The sources of the environment, if it is read again before a restart.
    pub env_source: Option<&'static EnvRenewal>,
    /// The steps of the start, in order. The last one is the exec, or what takes its place.
    pub steps: Vec<Step>,
    /// The paths to try for the exec, in order.
    pub paths: Vec<StaticCStr>,
    /// The arguments of the program.
    pub argv: ExecArray,
    /// The environment of the program. Variables that differ between starts are filled in before each start.
    pub env: ExecArray,
    /// For each path, the arguments of the shell that runs it if the kernel cannot execute it. Empty if no shell does.
    pub shell_fallback_argvs: Vec<ExecArray>,
}

impl ExecImage {
    /// Prepares the program, with environment slots for LISTEN_PID, WATCHDOG_PID and NOTIFY_SOCKET.
    pub fn new(program: Box<Program>) -> Self {
        let mut image = Self::with_slots(program, NOTIFY_SLOT + 1, 24);
        image.reserve_pid_slots();
        image
    }

    /// Prepares a program without an environment of its own; it is executed with the environment of the server.
    pub fn without_env(program: Box<Program>) -> Self {
        Self::with_slots(program, 0, 0)
    }

    /// Puts a placeholder into the slot of each variable that will contain the program's own pid. The child
    /// overwrites it with its pid.
    pub fn reserve_pid_slots(&mut self) {
        let has = |wanted: fn(&Step) -> bool| self.steps.iter().any(wanted);
        let late = [has(|step| matches!(step, Step::PassSockets(_))), has(|step| matches!(step, Step::SetWatchdogPid))];
        for (slot, late) in late.into_iter().enumerate() {
            // The slot is not empty, so that the child can overwrite it with its pid.
            self.env.set_slot(slot, if late { b"=" } else { b"" });
        }
    }

    /// Empties the slots of all variables that differ between the runs of the server: the commands of `--before` do not
    /// get them.
    pub fn clear_env_slots(&mut self) {
        (0..=NOTIFY_SLOT).for_each(|slot| self.env.set_slot(slot, b""));
    }

    /// The steps of the start, in order. The last one is the exec, or what takes its place.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Prepares the program, with room for `slots` more variables of at most `size` bytes each.
    #[allow(clippy::boxed_local, reason = "one word is passed in place of twelve")]
    pub fn with_slots(program: Box<Program>, slots: usize, size: usize) -> Self {
        let Program { steps, exec_paths: paths, argv, env, personality } = *program;
        let mut shell_argvs = Vec::new();
        // The arguments of the shell are prepared before the fork, because nothing is allocated after it.
        for path in paths.iter().filter(|_| personality.inherits_fds_and_signals) {
            let mut words = argv.clone();
            words.insert(0, SHELL_PATH);
            if let Some(first) = words.get_mut(1) {
                *first = path;
            }
            shell_argvs.push(ExecArray::new(words, 0, 0));
        }
        let (argv, env) = (ExecArray::new(argv, 0, 0), ExecArray::new(env.0, slots, size));
        Self { steps, paths, argv, env, env_source: None, personality, shell_fallback_argvs: shell_argvs }
    }

    /// Writes a pid into the variable `name`. A child writes its own pid; for a probe, vsrun writes the pid of the
    /// server.
    ///
    /// # Errors
    /// Never: the room for the variable exists.
    pub fn set_pid(&self, name: &str, pid: Pid) -> Result<()> {
        let mut word = ArrayText::<64>::new();
        let _ = write!(word, "{name}={pid}");
        self.env.overwrite_slot(usize::from(name.starts_with('W')), word.as_bytes());
        Ok(())
    }
}
