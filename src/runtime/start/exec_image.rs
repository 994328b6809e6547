//! A program, laid out in memory for its starts.

use core::fmt::Write;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::ArrayText;
use crate::logic::plan::env::Source;
use crate::logic::plan::program::Program;
use crate::logic::plan::step::Step;
use crate::sys::Result;
use crate::sys::exec::ExecArray;
use crate::sys::process;

/// A program with everything that its start needs in memory: after a fork nothing is allocated.
pub struct ExecImage {
    /// What is done on the way, in order.
    pub steps: Vec<Step>,
    /// Where it may be.
    pub paths: Vec<StaticCStr>,
    /// Its arguments.
    pub argv: ExecArray,
    /// Its environment; the words that change from start to start are filled in before each.
    pub env: ExecArray,
    /// Where that came from, if it is made again.
    pub source: Option<Source>,
}

impl ExecImage {
    /// Lays the program out.
    pub fn new(program: Box<Program>) -> Self {
        let has = |wanted: fn(&Step) -> bool| program.steps.iter().any(wanted);
        let late = [has(|step| matches!(step, Step::PassSockets(_))), has(|step| matches!(step, Step::SetWatchdogPid))];
        let mut image = Self::with_slots(program, late.len(), 24);
        for (slot, late) in late.into_iter().enumerate() {
            // Not empty, so that the process on its way can write its pid over it.
            image.env.fill(slot, if late { b"=" } else { b"" });
        }
        image
    }

    /// What is done on the way, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The same, with room for so many variables of that size.
    #[allow(clippy::boxed_local, reason = "one word is passed in place of twelve")]
    pub fn with_slots(program: Box<Program>, slots: usize, size: usize) -> Self {
        let Program { steps, paths, argv, env } = *program;
        Self { steps, paths, argv: ExecArray::new(argv, 0, 0), env: ExecArray::new(env.0, slots, size), source: None }
    }

    /// A process on its way writes its own pid into its variable for it.
    ///
    /// # Errors
    /// None: the room for the word is there.
    pub fn set_own_pid(&self, name: &str) -> Result<()> {
        let mut word = ArrayText::<64>::new();
        let _ = write!(word, "{name}={}", process::id());
        self.env.rewrite(usize::from(name.starts_with('W')), word.as_bytes());
        Ok(())
    }
}
