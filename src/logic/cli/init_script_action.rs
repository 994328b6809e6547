//! The actions of `--rc`, which make a service file an init script.

use super::flags::Id;
use super::hints;
use super::options::Options;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::text::split_byte;

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

/// Makes the error for an `--rc` that is on the command line itself, instead of in a file of `--args`.
pub fn misplaced_rc_option_error() -> Error {
    Error::new(Problem::MisplacedRc)
}

/// Removes the arguments after the service file from COMMAND, and returns the action that they name: `Start` if there
/// are none, and always `Check` with `--check`. The number of these arguments is None if there is no service file.
///
/// # Errors
/// Wrong usage, in one line: there is no file, the file has no `--`, the action is unknown, a further argument follows,
/// or no pidfile shows whether the server is running.
pub fn extract_action(options: &mut Options, count_after_file: Option<usize>) -> Result<Action> {
    let Some(after) = count_after_file else { return Err(misplaced_rc_option_error()) };
    let Some(own) = options.command.len().checked_sub(after) else {
        return Err(Error::new(Problem::RcNoCommand));
    };
    let words = options.command.split_off(own);
    let action = match words[..] {
        [] => Action::Start,
        [word] => match split_byte(ACTION_NAMES, b',').zip(ACTIONS).find(|(name, _)| *name == word.to_bytes()) {
            Some((_, action)) => action,
            None => {
                let cause = hints::unknown_name(Problem::UnknownAction, word.to_bytes(), ACTION_NAMES, ACTION_NAMES);
                return Err(Error::of(Problem::WrongOption, b"rc").with_arg(MessageArg::Cause(cause)));
            }
        },
        [_, word, ..] => {
            return Err(Error::of(Problem::RcArgument, word.to_bytes()));
        }
    };
    if options.control_pidfile().is_none() {
        return Err(Error::new(Problem::RcNeeds));
    }
    Ok(if options.has(Id::Check) { Action::Check } else { action })
}
