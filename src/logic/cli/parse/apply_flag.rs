//! Stores the values of the options.

use crate::logic::cli::value;
use alloc::vec::Vec;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::exit::Success;
use crate::logic::base::signal::Signal;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::{Span, parse_number};
use crate::logic::cli::flags::Id;
use crate::logic::cli::lookup::FlagRow;
use crate::logic::cli::options::ControlCommand;
use crate::logic::cli::options::{Managed, Options, SyslogUsage};
use crate::logic::cli::value::set_same_attribute;
use crate::logic::cli::value::{
    is_name, parse_assignment, parse_delays, parse_octal, parse_size, parse_stop_signal, path_or_dash, split_words,
    text,
};
use crate::logic::formats::cgroup;
use crate::logic::formats::mounts::Mounts;
use crate::logic::plan::account::Login;
use crate::logic::plan::limits::Capabilities;
use crate::logic::plan::socket_address;
use crate::logic::supervisor::policy::{AtExit, Limit, Restart};
use crate::logic::supervisor::probe::Probe;
use crate::logic::supervisor::readiness::Ready;
use crate::logic::supervisor::signal_action;

/// Stores the values of one option. Returns false if a value is malformed. The arms are in the order of the table.
#[inline(never)]
pub fn apply_flag(options: &mut Options, row: &FlagRow, value: &[u8], second: &[u8]) -> bool {
    if let Some(slot) = text_field(options, row.id) {
        *slot = Some(text(value));
        return true;
    }
    if let Some(slot) = duration_field(options, row.id) {
        let may_be_zero = !matches!(row.id, Id::Watchdog | Id::ProbeTimeout | Id::HealthInterval | Id::HealthTimeout);
        return store(slot, Span::parse(value).filter(|span| may_be_zero || *span > Span::ZERO));
    }
    match row.id {
        Id::User => return store(&mut options.user, Login::parse(value)),
        Id::Quiet | Id::NoQuiet => options.quiet = Some(row.id == Id::Quiet),
        Id::Background | Id::Foreground => options.background = row.id == Id::Background,
        Id::Logdir => {
            return store(&mut options.logdir, Span::parse_keep(second).map(|keep| (text(value), keep)));
        }
        Id::LogSize => return store(&mut options.log_size, parse_size(value)),
        Id::LogFiles => return store(&mut options.log_files, parse_number(value)),
        Id::Logger => return store(&mut options.logger, split_words(value)),
        Id::SyslogUsage => {
            const USAGES: [SyslogUsage; 3] = [SyslogUsage::No, SyslogUsage::Yes, SyslogUsage::Only];
            return store(&mut options.syslog_usage, row.choose(value, &USAGES));
        }
        Id::Port => return store(&mut options.port, socket_address::port(value)),
        Id::Bind => return store(&mut options.bind, socket_address::bind(value)),
        Id::Listen => {
            options.port_index += usize::from(options.port.is_none() && options.bind.is_none());
            return append(&mut options.listen, socket_address::listen(value));
        }
        Id::Env => return append(&mut options.env, parse_assignment(value)),
        Id::EnvFile => options.env_files.push(text(value)),
        Id::FileEnv => {
            for name in split_byte(value, b',') {
                if !is_name(name) || options.file_env.iter().any(|other| other.to_bytes() == name) {
                    return false;
                }
                options.file_env.push(text(name));
            }
        }
        Id::Before => return append(&mut options.before, split_words(value).map(|_| text(value))),
        Id::Umask => return store(&mut options.umask, parse_octal(value)),
        Id::Nice => return append(&mut options.attributes, value::parse_nice(value)),
        Id::OomScoreAdj => return append(&mut options.attributes, value::parse_oom_score_adj(value)),
        Id::Limit => {
            let limit = value::parse_limit(value);
            let twice =
                limit.is_some_and(|limit| options.attributes.iter().any(|other| set_same_attribute(other, &limit)));
            return !twice && append(&mut options.attributes, limit);
        }
        Id::Caps => return store(&mut options.caps, Capabilities::parse(value)),
        Id::Manager => {
            options.manager = Some(Managed { pidfile: path_or_dash(value), handler: path_or_dash(second) });
        }
        Id::Restart => {
            const ENDS: [Restart; 4] = [Restart::No, Restart::OnFailure, Restart::OnAbort, Restart::Always];
            return store(&mut options.restart, row.choose(value, &ENDS));
        }
        Id::SuccessExit => return store(&mut options.success_exit, Success::parse(value)),
        Id::RestartDelay => return store(&mut options.restart_delay, parse_delays(value)),
        Id::RestartLimit => return store(&mut options.restart_limit, Limit::parse(value)),
        Id::StopSignal => return store(&mut options.stop_signal, parse_stop_signal(value)),
        Id::OnSignal => return append(&mut options.on_signal, signal_action::parse(value)),
        Id::AtExit => {
            const ENDS: [AtExit; 3] = [AtExit::Poweroff, AtExit::Reboot, AtExit::Halt];
            return store(&mut options.at_exit, row.choose(value, &ENDS));
        }
        Id::Ready => return store(&mut options.ready, Ready::parse(value)),
        Id::Status | Id::Stop | Id::Replace | Id::Signal => {
            return append(&mut options.control, parse_control_command(row.id, value, second));
        }
        Id::HealthRetries => return store(&mut options.health_retries, parse_number(value).filter(|count| *count > 0)),
        Id::Health => return store(&mut options.health, Probe::parse(value).map(|_| text(value))),
        Id::Probe => return store(&mut options.probe, Probe::parse(value).map(|_| text(value))),
        Id::Ro | Id::Rox | Id::Rw | Id::Rwx | Id::BindTcp | Id::ConnectTcp | Id::Scope => {
            return options.confine.add_value(row.id, value);
        }
        Id::CgroupSet => return append(&mut options.cgroup_set, cgroup::parse_setting(value)),
        Id::Mount => return store(&mut options.mounts, Mounts::parse(value)),
        // Stored by `text_field` above.
        Id::Pidfile | Id::Root | Id::WorkDir | Id::Syslog | Id::EnvDir | Id::Argv0 | Id::Cgroup => {}
        Id::TerminationLog => {}
        Id::HandlerTimeout
        | Id::StopTimeout
        | Id::StopDelay
        | Id::Linger
        | Id::ReadyTimeout
        | Id::Watchdog
        | Id::ProbeTimeout => {}
        Id::HealthInterval | Id::HealthTimeout => {}
        // Switches without a value are in `options.given` only.
        Id::NoUserChecks
        | Id::Stdin
        | Id::ClearEnv
        | Id::Expand
        | Id::NoNewPrivs
        | Id::Debug
        | Id::Check
        | Id::Rc
        | Id::Init
        | Id::Group => {}
        // These options decide the request, so the reader of the options handles them.
        Id::Args | Id::Help | Id::HelpCompletion | Id::Version => {}
    }
    true
}

/// Parses a control command and its pidfile.
fn parse_control_command(id: Id, value: &[u8], second: &[u8]) -> Option<(ControlCommand, StaticCStr)> {
    if id == Id::Signal {
        return Some((ControlCommand::Signal(Signal::parse(value)?), text(second)));
    }
    let command = if id == Id::Status {
        ControlCommand::Status
    } else if id == Id::Stop {
        ControlCommand::Stop
    } else {
        ControlCommand::Replace
    };
    Some((command, text(value)))
}

/// The field of an option whose value is any text.
#[expect(clippy::wildcard_enum_match_arm, reason = "most options have another kind of value")]
fn text_field(options: &mut Options, id: Id) -> Option<&mut Option<StaticCStr>> {
    Some(match id {
        Id::Pidfile => &mut options.pidfile,
        Id::Root => &mut options.root,
        Id::WorkDir => &mut options.work_dir,
        Id::Syslog => &mut options.syslog,
        Id::EnvDir => &mut options.env_dir,
        Id::Argv0 => &mut options.argv0,
        Id::Cgroup => &mut options.cgroup,
        Id::TerminationLog => &mut options.termination_log,
        _ => return None,
    })
}

/// The field of an option whose value is a duration.
#[expect(clippy::wildcard_enum_match_arm, reason = "most options have another kind of value")]
fn duration_field(options: &mut Options, id: Id) -> Option<&mut Option<Span>> {
    Some(match id {
        Id::HandlerTimeout => &mut options.handler_timeout,
        Id::StopTimeout => &mut options.stop_timeout,
        Id::StopDelay => &mut options.stop_delay,
        Id::Linger => &mut options.linger,
        Id::ReadyTimeout => &mut options.ready_timeout,
        Id::Watchdog => &mut options.watchdog,
        Id::ProbeTimeout => &mut options.probe_timeout,
        Id::HealthInterval => &mut options.health_interval,
        Id::HealthTimeout => &mut options.health_timeout,
        _ => return None,
    })
}

/// Stores a value. Returns false if it is None, that is malformed.
fn store<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

/// Appends a value of an option that may be given more than once. Returns false if it is None, that is malformed.
fn append<T>(list: &mut Vec<T>, value: Option<T>) -> bool {
    let Some(value) = value else { return false };
    list.push(value);
    true
}
