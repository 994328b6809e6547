//! `--rc`: what the word after a service file asks for.

use super::flags::Id;
use super::hints;
use super::options::Options;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::{Escaped, split_byte};

/// What an rc script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the server, unless it runs.
    Start,
    /// Stop it, if it runs.
    Stop,
    /// Stop it, if it runs, and start it.
    Restart,
    /// Send HUP to it, or to its manager; or replace it, where HUP does that.
    Reload,
    /// Report whether it runs.
    Status,
    /// Check what would make the start fail.
    Check,
}

/// The words, in the order of [`ACTIONS`].
const WORDS: &[u8] = b"start,stop,restart,reload,force-reload,status,check";
const ACTIONS: [Action; 7] = [
    Action::Start,
    Action::Stop,
    Action::Restart,
    Action::Reload,
    // LSB and Debian require this one of every script.
    Action::Restart,
    Action::Status,
    Action::Check,
];

/// Wrong usage: the option is on the command line itself.
pub fn outside() -> Error {
    Error::usage(format_args!("option --rc is for a file of --args: the words after the file are the action"))
}

/// Takes the words after the file, of which there are `after`, away from COMMAND, and returns the action.
///
/// # Errors
/// Wrong usage, in one line: there is no file, the action is unknown, a further word follows, or no pidfile shows
/// whether the server runs.
#[inline(never)]
pub fn take_action(options: &mut Options, after: Option<usize>) -> Result<Action> {
    let Some(after) = after else { return Err(outside()) };
    let Some(own) = options.command.len().checked_sub(after) else {
        return Err(Error::usage(format_args!("option --rc: '-- COMMAND' is missing in the file")));
    };
    let words = options.command.split_off(own);
    let action = match words[..] {
        [] => Action::Start,
        [word] => match split_byte(WORDS, b',').zip(ACTIONS).find(|(name, _)| *name == word.to_bytes()) {
            Some((_, action)) => action,
            None => {
                let problem = hints::unknown("action", word.to_bytes(), WORDS, WORDS);
                return Err(Error::usage(format_args!("option --rc: {}", Escaped(&problem))));
            }
        },
        [_, word, ..] => {
            let word = Escaped(word.to_bytes());
            return Err(Error::usage(format_args!("option --rc: unexpected argument '{word}' after the action")));
        }
    };
    if options.control_file().is_none() {
        return Err(Error::usage(format_args!("option --rc needs a pidfile: --pidfile or --manager PIDFILE")));
    }
    Ok(if options.has(Id::Check) { Action::Check } else { action })
}
