//! Refuses options that cannot be used together, and options without another one that they need.

use core::fmt;

use super::flags::Id;
use super::lookup::{self, FlagSet};
use super::options::Options;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::text::Escaped;
use crate::logic::plan::expand;
use crate::logic::supervisor::policy::Restart;
use crate::logic::supervisor::readiness::Ready;
use crate::logic::supervisor::replacement::{NEEDS, candidate_timeout};
use crate::logic::supervisor::signal_action::SignalAction;

/// The options that make vsrun a supervisor.
const SUPERVISION: FlagSet = FlagSet::of(&[Id::Manager, Id::Init, Id::Restart]);
/// The options about restarts. They are wrong with `--init`, which restarts nothing.
const RESTART_OPTIONS: FlagSet = FlagSet::of(&[Id::RestartDelay, Id::RestartLimit, Id::HandlerTimeout]);

/// Options, the other options of which they need at least one, and the name of these in the error.
const REQUIREMENTS: &[(FlagSet, FlagSet, &str)] = &[
    (RESTART_OPTIONS, SUPERVISION, SUPERVISION_NAMES),
    (
        FlagSet::of(&[
            Id::SuccessExit,
            Id::StopSignal,
            Id::StopTimeout,
            Id::StopDelay,
            Id::Watchdog,
            Id::Health,
            Id::OnSignal,
            Id::Group,
            Id::Linger,
            Id::AtExit,
        ]),
        SUPERVISION,
        SUPERVISION_NAMES,
    ),
    (FlagSet::of(&[Id::HealthInterval, Id::HealthTimeout, Id::HealthRetries]), FlagSet::of(&[Id::Health]), "--health"),
    (FlagSet::of(&[Id::CgroupSet]), FlagSet::of(&[Id::Cgroup]), "--cgroup"),
    (FlagSet::of(&[Id::LogSize]), FlagSet::of(&[Id::Logdir]), "--logdir"),
    (FlagSet::of(&[Id::LogFiles]), FlagSet::of(&[Id::LogSize]), "--log-size"),
    (FlagSet::of(&[Id::Logger]), FlagSet::of(&[Id::Syslog]), "--syslog"),
];
const SUPERVISION_NAMES: &str = "--manager, --init or --restart";

/// Checks the options for contradictions.
///
/// # Errors
/// Wrong usage, in one line that names both options.
pub fn reject_conflicts(options: &Options) -> Result<()> {
    let given = options.given;
    let waits = !matches!(options.ready, None | Some(Ready::Exec));
    for id in lookup::ids().filter(|id| given.contains(*id)) {
        for (whose, needs, words) in REQUIREMENTS {
            // With `--background` and a readiness, vsrun stops a server that is not ready in time, and both options say
            // how.
            let late = waits && options.background && matches!(id, Id::StopSignal | Id::StopTimeout);
            if whose.contains(id) && !given.intersects(*needs) && !late {
                return usage_error(format_args!("option --{} needs {words}", Escaped(lookup::long_name(id))));
            }
        }
        let restarts = RESTART_OPTIONS.contains(id) || id == Id::Restart && options.restart != Some(Restart::No);
        if options.has(Id::Init) && restarts {
            return cannot_combine("--init", format_args!("--{}", Escaped(lookup::long_name(id))));
        }
    }
    let has_handler = options.manager.is_some_and(|managed| managed.handler.is_some());
    if options.has(Id::Init) && has_handler {
        return cannot_combine("--init", format_args!("--manager with a handler"));
    }
    if options.at_exit.is_some() && options.background {
        return cannot_combine("--at-exit", format_args!("--background"));
    }
    if options.ends_machine() && options.background {
        return cannot_combine("--on-signal with poweroff, reboot or halt", format_args!("--background"));
    }
    reject_signal_conflicts(options)?;
    if waits && !options.is_supervised() && !options.background {
        return usage_error(format_args!(
            "option --ready needs a process that waits: --background, {SUPERVISION_NAMES}"
        ));
    }
    if given.contains(Id::ReadyTimeout) && !waits && options.before.is_empty() {
        return usage_error(format_args!("option --ready-timeout needs a --ready other than exec, or --before"));
    }
    if options.ready == Some(Ready::Notify) && options.confine.hides_abstract() {
        return cannot_combine("--scope abstract", format_args!("--ready notify: its socket is an abstract one"));
    }
    if given.contains(Id::Watchdog) && options.ready != Some(Ready::Notify) {
        return usage_error(format_args!("option --watchdog needs --ready notify"));
    }
    if given.contains(Id::Syslog) && given.contains(Id::Logdir) {
        return cannot_combine("--syslog", format_args!("--logdir"));
    }
    if let Some(bind) = &options.bind
        && bind.to_bytes().starts_with(b"/") == options.port.is_some()
    {
        return usage_error(format_args!("option --bind needs --port with an address, and no --port with a path"));
    }
    if given.contains(Id::Expand) {
        expand::check(&options.command)?;
    }
    if given.contains(Id::HandlerTimeout) && !has_handler {
        return usage_error(format_args!("option --handler-timeout needs a handler: --manager has none"));
    }
    if let (Some(server), Some(managed)) = (options.pidfile, options.manager)
        && managed.pidfile == Some(server)
    {
        return usage_error(format_args!("options --pidfile and --manager name the same file"));
    }
    Ok(())
}

fn reject_signal_conflicts(options: &Options) -> Result<()> {
    for (at, (signal, _)) in options.on_signal.iter().enumerate() {
        if options.on_signal.iter().take(at).any(|(other, _)| other == signal) {
            return usage_error(format_args!("option --on-signal: {signal} is given twice"));
        }
    }
    let replaces = options.on_signal.iter().any(|(_, action)| *action == SignalAction::Replace);
    if replaces && candidate_timeout(options.ready, None).is_none() {
        return usage_error(format_args!("option --on-signal with replace {NEEDS}"));
    }
    Ok(())
}

fn cannot_combine(one: &str, other: fmt::Arguments<'_>) -> Result<()> {
    usage_error(format_args!("option {one} cannot be used with {other}"))
}

fn usage_error(text: fmt::Arguments<'_>) -> Result<()> {
    Err(Error::usage(text))
}
