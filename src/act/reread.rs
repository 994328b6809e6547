//! `--env-file`, `--env-dir` and `--file-env` again, at a restart by request: read by a child, since the manager neither allocates nor waits for a file
//! server. What the child makes is in memory that both share, and takes the place of what was there before.

use crate::act::env_files;
use crate::act::say::Priority;
use crate::act::watch::Watch;
use crate::decide::environ::Source;
use crate::decide::exit;
use crate::decide::signal::Signal;
use crate::decide::text::Clean;
use crate::sys::process::{self, Forked, Target};
use crate::sys::shared::Shared;
use crate::sys::{self, Errno, identity, wait};

/// How many times 1 ms the child may take.
const LOOKS: usize = 1000;

/// Reads the directory again. What cannot be read is recorded, and the previous variables stay.
#[inline(never)]
pub fn reread(watch: &mut Watch) {
    let Some(source) = &watch.program.source else { return };
    match read(watch, source) {
        Ok(Ok(shared)) => watch.program.env.replace(shared),
        Ok(Err(shared)) => {
            let why = Clean(shared.text());
            watch.voice.say(Priority::Warning, format_args!("{why}; the previous variables stay"));
        }
        Err(why) => {
            let why = sys::words(why);
            let words =
                format_args!("cannot read the files of the environment again: {why}; the previous variables stay");
            watch.voice.say(Priority::Warning, words);
        }
    }
}

/// The new environment, or why there is none in words.
fn read(watch: &Watch, source: &Source) -> sys::Result<Result<Shared, Shared>> {
    let (shared, env) = (Shared::new()?, &watch.program.env);
    let child = match process::fork()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            // The manager itself is in `/` by now.
            if source.dir.is_some_and(|dir| identity::change_dir(dir).is_err()) {
                shared.write_text(
                    b"cannot read the files of the environment again: the caller's directory cannot be entered",
                );
                process::leave(exit::SETUP)
            }
            let words = env_files::read_all(&source.sources, &source.base).map(|new| source.renew(env.fixed(), &new));
            let status = match words {
                Ok(words) if shared.write_words(&words.0, env.spare()).is_ok() => exit::OK,
                Ok(_) => {
                    shared.write_text(
                        b"cannot use the files of the environment: they are larger than an environment can be",
                    );
                    exit::SETUP
                }
                Err(error) => {
                    shared.write_text(error.text.as_bytes());
                    exit::SETUP
                }
            };
            process::leave(status)
        }
    };
    for _ in 0..LOOKS {
        if process::has_ended(child) {
            let (status, _) = process::reap(child)?;
            return match status {
                0 => Ok(Ok(shared)),
                _ if shared.text().is_empty() => Err(Errno::CANCELED),
                _ => Ok(Err(shared)),
            };
        }
        wait::nap(1);
    }
    // A file server that has gone may hold it for ever; the loop reaps it when it ends.
    let _ = process::send(Signal::KILL.number(), Target::Process(child));
    Err(Errno::TIMEDOUT)
}
