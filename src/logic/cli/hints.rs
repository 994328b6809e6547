//! Error texts about wrong usage: the name that was probably meant, or the values that are allowed.

use alloc::vec::Vec;

use super::flags::Id;
use super::lookup::{FlagRow, long_names, unpack};
use super::suggestions::nearest;
use super::value::{RESOURCES, parse_bound, parse_limit};
use crate::logic::base::signal::{NAMES, Signal};
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{parse_number, split_number};
use crate::logic::plan::limits::{CAPABILITIES, index_of_name};
use crate::logic::supervisor::signal_action::ACTIONS;

/// Names of options in other tools, each with vsrun's own name for the same.
const FOREIGN_NAMES: &[u8] =
    b"chuid=user,setuid=user,uid=user,gid=user,chroot=root,chdir=work-dir,cwd=work-dir,pid=pidfile,\
make-pidfile=pidfile,environment=env,daemon=background,daemonize=background,detach=background,nodaemon=foreground,\
config=args,dry-run=check,test=check,ulimit=limit,cap-add=caps,kill=stop,retry=stop-timeout,respawn=restart,\
exec= COMMAND,start= COMMAND,startas= COMMAND";

/// The error text for an argument after `--status`, `--stop`, `--replace` or `--signal`.
pub const ONE_PIDFILE: &str = "--status, --stop, --replace and --signal take one PIDFILE and no COMMAND";

/// Fills a template: each `%` is replaced by the next of these texts.
fn fill_template(text: &str, with: &[&[u8]]) -> Vec<u8> {
    let (mut filled, mut with) = (Vec::new(), with.iter());
    for byte in text.bytes() {
        match byte {
            b'%' => filled.extend_from_slice(with.next().copied().unwrap_or_default()),
            byte => filled.push(byte),
        }
    }
    filled
}

/// The error text for an option whose value with the index `at` is missing.
pub fn missing_value(row: &FlagRow, at: usize) -> Vec<u8> {
    let mut names = split_byte(row.values(), b' ');
    let (first, Some(second)) = (names.next().unwrap_or_default(), names.rest) else {
        return b"a value is missing".into();
    };
    let none: &[u8] = if row.id == Id::Manager { b" ('-' for none)" } else { b"" };
    fill_template(
        "takes two values, % and %%: % is missing",
        &[first, second, none, if at == 0 { first } else { second }],
    )
}

/// The error text for an unknown option, such as `unknown option --pidfil: did you mean --pidfile?`
#[inline(never)]
pub fn unknown_option(name: &[u8]) -> Vec<u8> {
    // A blank in the name: the line of a file of --args, or a quoted word, was meant as two arguments.
    let mut words = split_byte(name, b' ');
    let first = words.next().unwrap_or_default();
    if let Some(rest) = words.rest {
        return if first.is_empty() {
            fill_template(
                "'--%' is one argument: '--' is an argument of its own, and so is each word of COMMAND",
                &[name],
            )
        } else {
            fill_template("'--%' is one argument: write --%=%", &[name, first, rest])
        };
    }
    let other = split_byte(FOREIGN_NAMES, b',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="));
    let mut known = Vec::new();
    for (name, _) in long_names() {
        known.extend_from_slice(name);
        known.push(b',');
    }
    match other.or_else(|| nearest(name, &known)) {
        Some(meant) => fill_template("unknown option --%: did you mean --%?", &[name, meant]),
        None => fill_template("unknown option --% (see vsrun --help)", &[name]),
    }
}

/// The error text for a malformed value.
#[inline(never)]
#[expect(clippy::wildcard_enum_match_arm, reason = "most options have no list of names")]
pub fn malformed_value(row: &FlagRow, value: &[u8]) -> Vec<u8> {
    let choices = row.choices();
    if !choices.is_empty() {
        return unknown_name("value", value, choices, choices);
    }
    let mut words = split_byte(value, b',');
    let found = match row.id {
        Id::StopSignal | Id::Signal => unknown_signal(value),
        Id::SuccessExit => {
            words.find_map(|word| if parse_number(word).is_none() { unknown_signal(word) } else { None })
        }
        Id::OnSignal => malformed_action(value).map(|text| fill_template("'%': %", &[value, &text])),
        Id::Limit if parse_limit(value).is_some() => Some(fill_template("'%' is given twice", &[value])),
        Id::Limit => {
            let name = split_byte(split_byte(value, b',').next().unwrap_or_default(), b'=').next().unwrap_or_default();
            index_of_name(RESOURCES, name).is_none().then(|| unknown_name("limit", name, RESOURCES, RESOURCES))
        }
        Id::Caps => words
            .find(|word| parse_number(word).is_none() && index_of_name(CAPABILITIES, word).is_none())
            .map(|word| unknown_name("capability", word, CAPABILITIES, b"none,or names of capabilities(7)")),
        _ => None,
    };
    found.unwrap_or_else(|| {
        let mut not = Vec::new();
        unpack(row.rejection(), &mut not);
        let reason = rejection_reason(row, value);
        fill_template(if reason.is_empty() { "'%' %" } else { "'%' %: %" }, &[value, &not, &reason])
    })
}

/// The error text for an unknown name: the name that was probably meant, or all that are allowed.
pub fn unknown_name(what: &str, word: &[u8], names: &[u8], all: &[u8]) -> Vec<u8> {
    let meant = nearest(word, names);
    let mut text = fill_template("unknown % '%': ", &[what.as_bytes(), word]);
    if meant.is_some() {
        text.extend_from_slice(b"did you mean ");
    }
    for byte in meant.unwrap_or(all) {
        text.push(byte.to_ascii_lowercase());
        if *byte == b',' {
            text.push(b' ');
        }
    }
    if meant.is_some() {
        text.push(b'?');
    }
    text
}

/// The error text for an unknown signal; None if the signal exists.
fn unknown_signal(word: &[u8]) -> Option<Vec<u8>> {
    if Signal::parse(word).is_some() {
        return None;
    }
    if parse_number(word).is_some() {
        return Some(fill_template("'%' is not a signal: their numbers are 1 to 64", &[word]));
    }
    let known = NAMES.join(",");
    let name = word.get(3..).filter(|_| word.to_ascii_uppercase().starts_with(b"SIG")).unwrap_or(word);
    Some(match nearest(name, known.as_bytes()) {
        Some(meant) => fill_template("unknown signal '%': did you mean SIG%?", &[word, meant]),
        None => fill_template("unknown signal '%' (see kill -l)", &[word]),
    })
}

/// The error text for a malformed `SIGNAL=ACTION` of `--on-signal`.
fn malformed_action(value: &[u8]) -> Option<Vec<u8>> {
    let mut halves = split_byte(value, b'=');
    let signal = unknown_signal(halves.next()?);
    if signal.is_some() {
        return signal;
    }
    let Some(action) = halves.rest else { return Some(b"'=ACTION' is missing".into()) };
    match action.strip_prefix(b"forward:") {
        Some(other) => unknown_signal(other),
        None if index_of_name(ACTIONS, action).is_some() => None,
        None => {
            let mut text = unknown_name("action", action, ACTIONS, ACTIONS);
            if !text.ends_with(b"?") {
                text.extend_from_slice(b", forward:SIGNAL");
            }
            Some(text)
        }
    }
}

/// The reason why a value is malformed; empty if there is no better one than the option's own words.
#[inline(never)]
#[expect(clippy::wildcard_enum_match_arm, reason = "the text of most options says enough")]
fn rejection_reason(row: &FlagRow, value: &[u8]) -> Vec<u8> {
    let reason: &[u8] = match row.id {
        Id::Port | Id::Bind | Id::Listen => address_reason(row.id, value),
        Id::User => match split_byte(value, b':').find(|name| name.first().is_some_and(u8::is_ascii_digit)) {
            Some(b"4294967295") => b"that number means 'unchanged' to the kernel",
            Some(_) => b"a name does not begin with a digit",
            None => b"",
        },
        Id::Limit => match split_byte(value, b'=').nth(1) {
            None | Some(b"") => b"a value is missing",
            Some(values) if split_byte(values, b':').all(|value| parse_bound(value).is_some()) => b"SOFT is above HARD",
            Some(_) => b"a value is a number or 'unlimited'",
        },
        _ if row.values() == b"DURATION" => return suggested_unit(value),
        _ => b"",
    };
    reason.into()
}

/// Suggests a duration for one with a wrong unit: `5min` for `5m`.
fn suggested_unit(value: &[u8]) -> Vec<u8> {
    let Some((_, unit)) = split_number(value) else { return Vec::new() };
    let meant: &[u8] = match unit.to_ascii_lowercase().as_slice() {
        b"m" | [b'm', b'i', ..] => b"min",
        [b's', ..] => b"s",
        [b'h', ..] => b"h",
        [b'd', ..] => b"d",
        _ => return Vec::new(),
    };
    fill_template("did you mean %%?", &[value.strip_suffix(unit).unwrap_or(value), meant])
}

/// The error text for a malformed address or port.
fn address_reason(id: Id, value: &[u8]) -> &'static [u8] {
    let value = value.strip_suffix(b"/udp").unwrap_or(value);
    let at = value.iter().rposition(|byte| *byte == b':').filter(|_| id != Id::Bind);
    let host = value.get(..at.unwrap_or(0)).unwrap_or_default();
    let port = value.get(at.map_or(0, |at| at + 1)..).unwrap_or_default();
    let host = if id == Id::Bind { value } else { host };
    if value.contains(&b'/') {
        b""
    } else if id != Id::Bind && !parse_number(port).is_some_and(|port| (1..=65535).contains(&port)) {
        b"a port is 1 to 65535"
    } else if at.is_some() && matches!(host, b"" | b"*") {
        b"for every address, write the port alone"
    } else if at.is_some() && host.contains(&b':') && !host.starts_with(b"[") {
        b"an IPv6 address needs brackets, as in [::1]:80"
    } else if host.iter().any(|byte| !byte.is_ascii_digit() && !b".:[]".contains(byte)) {
        b"an address is numeric, as in 127.0.0.1:80"
    } else {
        b""
    }
}
