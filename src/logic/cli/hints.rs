//! Errors about wrong usage. They suggest the name that was probably meant, or list the allowed values.

use alloc::vec::Vec;

use super::flags::Id;
use super::lookup::{FlagRow, long_names, unpack};
use super::suggestions::nearest;
use super::value::{RESOURCE_NAMES, parse_limit, parse_limit_value};
use crate::logic::base::error::{Error, MessageArg};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::base::signal::{NAMES, Signal};
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{parse_number, split_number};
use crate::logic::plan::limits::{CAPABILITY_NAMES, bare_capability_name, index_of_name};
use crate::logic::plan::socket_address;
use crate::logic::supervisor::signal_action::ACTION_NAMES;

/// Names of options of other programs, each with the name of vsrun's option for the same purpose, or with ` COMMAND`
/// where vsrun has `-- COMMAND` for it.
const FOREIGN_OPTIONS: &[u8] =
    b"chuid=user,setuid=user,uid=user,gid=user,chroot=root,chdir=work-dir,cwd=work-dir,pid=pidfile,\
make-pidfile=pidfile,environment=env,daemon=background,daemonize=background,detach=background,nodaemon=foreground,\
config=args,dry-run=check,test=check,ulimit=limit,cap-add=caps,kill=stop,retry=stop-timeout,respawn=restart,\
exec= COMMAND,start= COMMAND,startas= COMMAND";

/// The end of the error for an option with too few values: says which value is missing, by its index among
/// the values of the option.
pub fn missing_value(row: &FlagRow, value_index: usize) -> MessageArg<'static> {
    let mut names = split_byte(row.value_names(), b' ');
    let (first, Some(second)) = (names.next().unwrap_or_default(), names.rest) else {
        return MessageArg::Reason(Reason::ValueMissing);
    };
    let problem = if row.id == Id::Manager { Problem::TakesTwoOrDash } else { Problem::TakesTwo };
    MessageArg::Cause(Error::of(problem, first).with_name_arg(second).with_name_arg(if value_index == 0 {
        first
    } else {
        second
    }))
}

/// The error for an unknown option, such as `unknown option --pidfil: did you mean --pidfile?`
#[inline(never)]
pub fn unknown_option(name: &[u8]) -> Error {
    // A name that contains a blank comes from a line of an --args file, or a quoted word, with two arguments in it.
    let mut words = split_byte(name, b' ');
    let first = words.next().unwrap_or_default();
    if let Some(rest) = words.rest {
        return if first.is_empty() || rest.starts_with(b"-") {
            Error::of(Problem::JoinedDashes, name)
        } else {
            Error::of(Problem::JoinedValue, name).with_name_arg(first).with_name_arg(rest)
        };
    }
    let other = split_byte(FOREIGN_OPTIONS, b',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="));
    let mut known = Vec::new();
    for (name, _) in long_names() {
        known.extend_from_slice(name);
        known.push(b',');
    }
    match other.or_else(|| nearest(name, &known)) {
        Some(meant) => Error::of(Problem::MisspelledOption, name).with_name_arg(meant),
        None => Error::of(Problem::UnknownOption, name),
    }
}

/// The error for a malformed value of an option.
#[inline(never)]
#[expect(clippy::wildcard_enum_match_arm, reason = "most options have no list of names")]
pub fn malformed_value(row: &FlagRow, value: &[u8]) -> Error {
    let choices = row.choices();
    if !choices.is_empty() {
        return unknown_name(Problem::UnknownValue, value, choices, choices);
    }
    let mut words = split_byte(value, b',');
    let found = match row.id {
        Id::StopSignal | Id::Signal => unknown_signal(value),
        Id::SuccessExit => {
            words.find_map(|word| if parse_number(word).is_none() { unknown_signal(word) } else { None })
        }
        Id::OnSignal => {
            malformed_signal_action(value).map(|cause| Error::of(Problem::MalformedAction, value).with_arg(cause))
        }
        Id::Limit if parse_limit(value).is_some() => Some(Error::of(Problem::ValueGivenTwice, value)),
        Id::Limit => {
            let name = split_byte(split_byte(value, b',').next().unwrap_or_default(), b'=').next().unwrap_or_default();
            index_of_name(RESOURCE_NAMES, name)
                .is_none()
                .then(|| unknown_name(Problem::UnknownLimit, name, RESOURCE_NAMES, RESOURCE_NAMES))
        }
        Id::Caps => words
            .map(bare_capability_name)
            .find(|word| parse_number(word).is_none() && index_of_name(CAPABILITY_NAMES, word).is_none())
            .map(|word| {
                unknown_name(Problem::UnknownCapability, word, CAPABILITY_NAMES, b"none,or names of capabilities(7)")
            }),
        _ => None,
    };
    found.unwrap_or_else(|| {
        let mut not = Vec::new();
        unpack(row.packed_rejection(), &mut not);
        match rejection_reason(row, value) {
            MessageArg::None => Error::of(Problem::RejectedValue, value).with_name_arg(&not),
            reason => Error::of(Problem::RejectedBecause, value).with_name_arg(&not).with_arg(reason),
        }
    })
}

/// Makes the error for an unknown name: it suggests the most similar one of `names`. If none is similar, it
/// shows `listed_names` as the allowed names.
pub fn unknown_name(problem: Problem, word: &[u8], names: &[u8], listed_names: &[u8]) -> Error {
    let meant = nearest(word, names);
    let mut list = Vec::from(if meant.is_some() { &b""[..] } else { b"allowed are " });
    for byte in meant.unwrap_or(listed_names) {
        list.push(byte.to_ascii_lowercase());
        if *byte == b',' {
            list.push(b' ');
        }
    }
    let error = Error::of(problem, word);
    match meant {
        Some(_) => error.with_arg(MessageArg::Cause(Error::of(Problem::DidYouMean, &list))),
        None => error.with_name_arg(&list),
    }
}

/// The error for an unknown signal; None if the signal exists.
fn unknown_signal(word: &[u8]) -> Option<Error> {
    if Signal::parse(word).is_some() {
        return None;
    }
    if parse_number(word).is_some() {
        return Some(Error::of(Problem::NoSignalNumber, word));
    }
    let name = word.get(3..).filter(|_| word.to_ascii_uppercase().starts_with(b"SIG")).unwrap_or(word);
    Some(match nearest(name, NAMES) {
        Some(meant) => Error::of(Problem::MisspelledSignal, word).with_name_arg(meant),
        None => Error::of(Problem::UnknownSignal, word),
    })
}

/// What is wrong in a malformed `SIGNAL=ACTION` of `--on-signal`; None if only the general text of the option fits.
fn malformed_signal_action(value: &[u8]) -> Option<MessageArg<'static>> {
    let mut halves = split_byte(value, b'=');
    let signal = unknown_signal(halves.next()?);
    if signal.is_some() {
        return signal.map(MessageArg::Cause);
    }
    let Some(action) = halves.rest else { return Some(MessageArg::Reason(Reason::ActionMissing)) };
    match action.strip_prefix(b"forward:") {
        Some(other) => unknown_signal(other),
        None if index_of_name(ACTION_NAMES, action).is_some() && action.iter().all(u8::is_ascii_lowercase) => None,
        None => {
            let error = unknown_name(Problem::UnknownAction, action, ACTION_NAMES, ACTION_NAMES);
            // If no action has a similar name, the error lists all actions. `forward:SIGNAL` is missing in that list.
            let lists = matches!(error.message_args, [_, MessageArg::Name(_), ..]);
            Some(if lists { error.with_reason_arg(Reason::OrForward) } else { error })
        }
    }
    .map(MessageArg::Cause)
}

/// The reason why a value is malformed, for the end of the error; `MessageArg::None` if the option's `rejection` says
/// enough.
#[inline(never)]
#[expect(clippy::wildcard_enum_match_arm, reason = "the text of most options says enough")]
fn rejection_reason(row: &FlagRow, value: &[u8]) -> MessageArg<'static> {
    let reason = match row.id {
        Id::Port | Id::Bind | Id::Listen => malformed_address_reason(row.id, value),
        Id::User => match split_byte(value, b':').find(|name| name.first().is_some_and(u8::is_ascii_digit)) {
            Some(b"4294967295") => Some(Reason::UnchangedId),
            Some(number) if number.iter().all(u8::is_ascii_digit) => None,
            Some(_) => Some(Reason::DigitFirst),
            None => None,
        },
        Id::Limit => match split_byte(value, b'=').nth(1) {
            None | Some(b"") => Some(Reason::ValueMissing),
            Some(values) if split_byte(values, b':').all(|value| parse_limit_value(value).is_some()) => {
                Some(Reason::SoftAboveHard)
            }
            Some(_) => Some(Reason::NumberOrUnlimited),
        },
        _ if row.value_names() == b"DURATION" => return suggested_duration(value),
        _ => None,
    };
    reason.map_or(MessageArg::None, MessageArg::Reason)
}

/// Suggests a duration in place of one with an unknown unit: `5min` for `5m`. `MessageArg::None` if none is similar.
fn suggested_duration(value: &[u8]) -> MessageArg<'static> {
    let Some((_, unit)) = split_number(value) else { return MessageArg::None };
    let meant: &[u8] = match unit.to_ascii_lowercase().as_slice() {
        b"m" | [b'm', b'i', ..] => b"min",
        [b's', ..] => b"s",
        [b'h', ..] => b"h",
        [b'd', ..] => b"d",
        _ => return MessageArg::None,
    };
    if unit == meant {
        // The unit of the duration is right, so its number is too large, or zero.
        return MessageArg::None;
    }
    let number = value.strip_suffix(unit).unwrap_or(value);
    MessageArg::Cause(Error::of(Problem::DidYouMean, number).with_name_arg(meant))
}

/// The reason why an address or a port is malformed; None if no particular mistake is recognized.
fn malformed_address_reason(id: Id, value: &[u8]) -> Option<Reason> {
    let mut value = value.strip_suffix(b"/udp").unwrap_or(value);
    if let Some(at) =
        value.iter().position(|byte| *byte == b'=').filter(|_| id == Id::Listen && !value.starts_with(b"/"))
    {
        if socket_address::valid_name(value.get(..at).unwrap_or_default()).is_none() {
            return Some(Reason::SocketName);
        }
        value = value.get(at + 1..).unwrap_or_default();
    }
    let at = value.iter().rposition(|byte| *byte == b':').filter(|_| id != Id::Bind);
    let host = value.get(..at.unwrap_or(0)).unwrap_or_default();
    let port = value.get(at.map_or(0, |at| at + 1)..).unwrap_or_default();
    let host = if id == Id::Bind { value } else { host };
    if value.contains(&b'/') {
        None
    } else if id != Id::Bind && !parse_number(port).is_some_and(|port| (1..=65535).contains(&port)) {
        Some(Reason::PortRange)
    } else if at.is_some() && matches!(host, b"" | b"*") {
        Some(Reason::EveryAddress)
    } else if at.is_some() && host.contains(&b':') && !host.starts_with(b"[") {
        Some(Reason::Brackets)
    } else if host.first() != Some(&b'[') && host.iter().any(|byte| !byte.is_ascii_digit() && !b".:".contains(byte)) {
        Some(Reason::NumericAddress)
    } else {
        None
    }
}
