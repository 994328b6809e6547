//! The actions of `--rc`, which make a service file an init script.

use super::flags::Id;
use super::hints;
use super::options::Options;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::{Escaped, split_byte};

/// An action of an init script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the server, unless it is running.
    Start,
    /// Stop the server, if it is running.
    Stop,
    /// Stop the server, if it is running, and start it.
    Restart,
    /// Send HUP to the server or its manager. If HUP has the action `replace`, this replaces the server.
    Reload,
    /// Report whether the server is running.
    Status,
    /// Report everything that would make the start fail.
    Check,
}

/// The names of the actions, in the order of [`ACTIONS`].
const ACTION_NAMES: &[u8] = b"start,stop,restart,reload,force-reload,status,check";
const ACTIONS: [Action; 7] = [
    Action::Start,
    Action::Stop,
    Action::Restart,
    Action::Reload,
    // LSB and Debian require `force-reload` in every init script.
    Action::Restart,
    Action::Status,
    Action::Check,
];

/// Makes the error for an `--rc` that is on the command line itself, and not in a file of `--args`.
pub fn misplaced_option() -> Error {
    Error::usage(format_args!("option --rc is only for service files: the word after the file is the action"))
}

/// Removes the arguments after the service file from COMMAND, and returns the action that they name. `after` is their
/// number.
///
/// # Errors
/// Wrong usage, in one line: there is no file, the action is unknown, a further argument follows, or no pidfile shows
/// whether the server is running.
pub fn take_action(options: &mut Options, after: Option<usize>) -> Result<Action> {
    let Some(after) = after else { return Err(misplaced_option()) };
    let Some(own) = options.command.len().checked_sub(after) else {
        return Err(Error::usage(format_args!("option --rc: '-- COMMAND' is missing in the file")));
    };
    let words = options.command.split_off(own);
    let action = match words[..] {
        [] => Action::Start,
        [word] => match split_byte(ACTION_NAMES, b',').zip(ACTIONS).find(|(name, _)| *name == word.to_bytes()) {
            Some((_, action)) => action,
            None => {
                let problem = hints::unknown_name("action", word.to_bytes(), ACTION_NAMES, ACTION_NAMES);
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
