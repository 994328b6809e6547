//! Stores the values of the options in the way that `sets` in the table of options says.

use alloc::vec::Vec;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::exit::SuccessExits;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{Span, parse_number};
use crate::logic::cli::flags::Id;
use crate::logic::cli::lookup::FlagRow;
use crate::logic::cli::options::ControlCommand;
use crate::logic::cli::options::{ManagerFiles, Options, SyslogUsage};
use crate::logic::cli::value::{
    is_same_attribute, is_variable_name, leak_copy, none_if_dash, parse_assignment, parse_delay_range, parse_limit,
    parse_nice, parse_oom_score_adj, parse_size, parse_stop_signal, parse_umask, split_words,
};
use crate::logic::formats::cgroup;
use crate::logic::formats::pid1_mounts::MountSet;
use crate::logic::plan::account::UserAndGroup;
use crate::logic::plan::landlock::Confinement;
use crate::logic::plan::limits::Capabilities;
use crate::logic::plan::socket_address;
use crate::logic::supervisor::policy::{AtExit, Restart, RestartLimit};
use crate::logic::supervisor::probe::Probe;
use crate::logic::supervisor::readiness::ReadyCondition;
use crate::logic::supervisor::signal_action;

/// The values of one option, and the options to store them in.
struct GivenValues<'a> {
    options: &'a mut Options,
    row: &'a FlagRow,
    value: &'a [u8],
    second: &'a [u8],
}

/// Where and how to store a value, for the forms of `sets` that many options use. Their code exists once, in
/// `store_in_slot_if_valid`, which saves 464 bytes.
enum ValueSlot<'a> {
    /// The field for any text.
    Text(&'a mut Option<StaticCStr>),
    /// The field for a duration, and the smallest valid duration.
    Duration(&'a mut Option<Span>, Span),
    /// The fields for the values of all Landlock options.
    Confine(&'a mut Confinement),
    /// The list for control commands, each with its pidfile.
    Control(&'a mut Vec<(ControlCommand, StaticCStr)>),
}

/// The code for each form of `sets` in the table of options. It either returns from `apply_flag` (true if it has stored
/// the value, false if the value is malformed), or is a [`ValueSlot`], which says where and how to store the value.
macro_rules! set {
    // A switch: an option without a value.
    ($given:ident) => { return true };
    // An option that decides the request: `read_options` handles it, and no value is stored.
    ($given:ident request,) => { return true };
    ($given:ident confine,) => { ValueSlot::Confine(&mut $given.options.confine) };
    ($given:ident control,) => { ValueSlot::Control(&mut $given.options.control) };
    ($given:ident $field:ident = text,) => { ValueSlot::Text(&mut $given.options.$field) };
    ($given:ident $field:ident = duration,) => { ValueSlot::Duration(&mut $given.options.$field, Span::ZERO) };
    ($given:ident $field:ident = positive_duration,) => { ValueSlot::Duration(&mut $given.options.$field, Span(1)) };
    ($given:ident $field:ident = true,) => {{ $given.options.$field = true.into(); return true }};
    ($given:ident $field:ident = false,) => {{ $given.options.$field = false.into(); return true }};
    // In `FIELD = [...]`, the list says what the words after `choices=` mean, in the order of these words.
    ($given:ident $field:ident = [$($choice:expr),+],) => {
        return store_if_some(&mut $given.options.$field, $given.row.parse_choice($given.value, &[$($choice),+]))
    };
    ($given:ident $field:ident = $parser:expr,) => {{
        let parse: fn(&[u8]) -> Option<_> = $parser;
        return store_if_some(&mut $given.options.$field, parse($given.value))
    }};
    ($given:ident $field:ident += text,) => {{ $given.options.$field.push(leak_copy($given.value)); return true }};
    ($given:ident $field:ident += $parser:expr,) => {{
        let parse: fn(&[u8]) -> Option<_> = $parser;
        return append_if_some(&mut $given.options.$field, parse($given.value))
    }};
    // Any other `sets` is a function that gets the options and both values, and stores the values itself.
    ($given:ident $apply:expr,) => {{
        let apply: fn(&mut Options, &[u8], &[u8]) -> bool = $apply;
        return apply($given.options, $given.value, $given.second)
    }};
}

/// Makes `apply_flag` from the table of options.
macro_rules! set_all {
    ($(
        #[$doc:meta]
        $chapter:ident $title:literal { $(
            $id:ident $long:literal $($short:literal)? {
                line: $line:literal,
                manual: $($text:literal)+,
                $(
                    takes: $values:tt $($repeatable:ident)?,
                    $(wrong: $not:literal,)?
                    accepts: $accepted:tt,
                    rejects: $rejected:tt,
                )?
                $(sets: $($set:tt)+)?
            }
        )+ }
    )+) => {
        /// Stores the values of one option. Returns false if a value is malformed.
        #[inline(never)]
        pub fn apply_flag(options: &mut Options, row: &FlagRow, value: &[u8], second: &[u8]) -> bool {
            let given = GivenValues { options, row, value, second };
            let slot = match row.id {
                $($(Id::$id => set!(given $($($set)+)?),)+)+
            };
            store_in_slot_if_valid(slot, row.id, value, second)
        }
    };
}

all_flags!(set_all);

/// Stores a value in the way that `slot` says. Returns false if the value is malformed.
fn store_in_slot_if_valid(slot: ValueSlot<'_>, id: Id, value: &[u8], second: &[u8]) -> bool {
    match slot {
        ValueSlot::Text(slot) => store_if_some(slot, Some(leak_copy(value))),
        ValueSlot::Duration(slot, least) => store_if_some(slot, Span::parse(value).filter(|span| *span >= least)),
        ValueSlot::Confine(confinement) => confinement.add_option_value(id, value),
        ValueSlot::Control(commands) => append_if_some(commands, parse_control_command(id, value, second)),
    }
}

/// Parses a control command and its pidfile.
fn parse_control_command(id: Id, value: &[u8], second: &[u8]) -> Option<(ControlCommand, StaticCStr)> {
    if id == Id::Signal {
        return Some((ControlCommand::Signal(Signal::parse(value)?), leak_copy(second)));
    }
    let command = if id == Id::Status {
        ControlCommand::Status
    } else if id == Id::Stop {
        ControlCommand::Stop
    } else {
        ControlCommand::Replace
    };
    Some((command, leak_copy(value)))
}

/// Stores a value. Returns false for None, which means that the value is malformed.
fn store_if_some<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

/// Appends a value of an option that may be given more than once. Returns false for None, which means that the value is
/// malformed.
fn append_if_some<T>(list: &mut Vec<T>, value: Option<T>) -> bool {
    let Some(value) = value else { return false };
    list.push(value);
    true
}
