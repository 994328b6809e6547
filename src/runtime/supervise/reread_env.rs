//! Reads the files of `--env-file`, `--env-dir` and `--file-env` again at a requested restart. A child does it, because
//! the supervisor must not allocate memory and must not wait for a file server. The child writes the new environment
//! into shared memory, which then replaces the old one.

use super::supervisor::Supervisor;
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::exit;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::base::signal::Signal;
use crate::logic::plan::env::EnvRenewal;
use crate::runtime::host::env_files;
use crate::runtime::report::log::{Log, Priority};
use crate::runtime::report::os_error::{errno_text, os_error_of};
use crate::runtime::start::close_inherited;
use crate::runtime::start::exec_image::ExecImage;
use crate::sys::process::{self, Forked, SignalTarget};
use crate::sys::shared_mapping::SharedMapping;
use crate::sys::{self, Errno, poll};

/// The time limit of the child that reads the files, in polls of 1 ms.
const MAX_CHILD_EXIT_POLLS: usize = 1000;

impl Supervisor<'_> {
    /// Reads the environment files again, for the server and then for the programs of its probes, until that fails.
    pub fn reread_env(&mut self) {
        let config = &mut *self.config;
        let beside = config.prober.iter_mut().flat_map(|prober| prober.programs());
        let mut programs = core::iter::once(&mut config.program).chain(beside);
        while programs.next().is_some_and(|program| reread_program_env(program, &config.log)) {}
    }
}

/// Reads the environment files of one program again, if it has any. If that fails, records the reason, keeps the
/// previous variables and returns false.
#[inline(never)]
fn reread_program_env(program: &mut ExecImage, log: &Log) -> bool {
    let Some(source) = program.env_source else { return true };
    match read_env_in_child(program, source) {
        Ok(Ok(shared)) => {
            program.env.replace_fixed_strings(shared);
            return true;
        }
        Ok(Err(shared)) => {
            log.note(Priority::Warning, Note::StaleVariables, &[MessageArg::Name(shared.text())]);
        }
        Err(why) => {
            log.note(Priority::Warning, Note::CannotReread, &[MessageArg::Errno(errno_text(why))]);
        }
    }
    false
}

/// Reads the environment files in a child. Returns, in shared memory, the new environment or the text of an error.
fn read_env_in_child(program: &ExecImage, source: &EnvRenewal) -> sys::Result<Result<SharedMapping, SharedMapping>> {
    let (shared, env) = (SharedMapping::new()?, &program.env);
    let child = match process::fork()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            let words = return_to_callers_dir(source)
                .and_then(|()| env_files::read_all(&source.sources, &source.base))
                .map(|new| source.renew(env.fixed(), &new));
            let status = match words {
                Ok(words) if shared.write_words(&words.0, env.slot_count()).is_ok() => exit::OK,
                Ok(_) => {
                    shared.write_text(Error::new(Problem::LargeEnvironment).text().as_bytes());
                    exit::VSRUN_FAILED
                }
                Err(error) => {
                    shared.write_text(error.text().as_bytes());
                    exit::VSRUN_FAILED
                }
            };
            process::exit(status)
        }
    };
    for _ in 0..MAX_CHILD_EXIT_POLLS {
        if process::has_exited(child) {
            let (status, _) = process::reap(child)?;
            return match status {
                0 => Ok(Ok(shared)),
                _ if shared.text().is_empty() => Err(Errno::CANCELED),
                _ => Ok(Err(shared)),
            };
        }
        poll::sleep_ms(1);
    }
    // Do not wait for the child: a file server that does not respond may block it for ever, even after KILL. The event
    // loop reaps it when it exits.
    let _ = process::send(Signal::KILL.number(), SignalTarget::Process(child));
    Err(Errno::TIMEDOUT)
}

/// Changes back to the directory from which relative paths of environment files start, if vsrun has left it.
fn return_to_callers_dir(source: &EnvRenewal) -> Result<(), Error> {
    match source.callers_dir.map(|(dir, which)| (dir, close_inherited::return_to_callers_dir(dir, which))) {
        None | Some((_, Ok(false))) => Ok(()),
        Some((dir, why)) => Err(os_error_of(Problem::ReturnToDir, dir.to_bytes(), why.err().unwrap_or(Errno::NOENT))),
    }
}
