//! Refuses options that cannot be used together, and options that need another option which was not given.

use super::flags::Id;
use super::lookup::{self, FlagSet};
use super::options::Options;
use crate::logic::base::error::{Error, MessageArg, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::plan::expand;
use crate::logic::supervisor::policy::Restart;
use crate::logic::supervisor::readiness::ReadyCondition;
use crate::logic::supervisor::replacement::candidate_ready_timeout;
use crate::logic::supervisor::signal_action::SignalAction;

/// The options that make vsrun a supervisor.
const SUPERVISOR_OPTIONS: FlagSet = FlagSet::of(&[Id::Manager, Id::Init, Id::Restart]);
/// The options about restarts. They are refused with `--init`, which restarts nothing.
const RESTART_OPTIONS: FlagSet = FlagSet::of(&[Id::RestartDelay, Id::RestartLimit, Id::HandlerTimeout]);

/// The options that need another one. In each row: the options that need one; the options of which at
/// least one must be given with each of them; and how the error names the needed options.
const REQUIREMENTS: &[(FlagSet, FlagSet, Reason)] = &[
    (RESTART_OPTIONS, SUPERVISOR_OPTIONS, Reason::Supervision),
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
        SUPERVISOR_OPTIONS,
        Reason::Supervision,
    ),
    (
        FlagSet::of(&[Id::HealthInterval, Id::HealthTimeout, Id::HealthRetries]),
        FlagSet::of(&[Id::Health]),
        Reason::Health,
    ),
    (FlagSet::of(&[Id::CgroupSet]), FlagSet::of(&[Id::Cgroup]), Reason::Cgroup),
    (FlagSet::of(&[Id::LogSize]), FlagSet::of(&[Id::Logdir]), Reason::Logdir),
    (FlagSet::of(&[Id::LogFiles]), FlagSet::of(&[Id::LogSize]), Reason::LogSize),
    (FlagSet::of(&[Id::Logger]), FlagSet::of(&[Id::Syslog]), Reason::Syslog),
];

/// Refuses options that contradict each other, options without another one that they need, and with `--expand` a
/// COMMAND with malformed variables.
///
/// # Errors
/// Wrong usage, in one line.
pub fn reject_conflicts(options: &Options) -> Result<()> {
    let given = options.given;
    let waits = !matches!(options.ready, None | Some(ReadyCondition::Exec));
    for id in lookup::ids().filter(|id| given.contains(*id)) {
        for (whose, needs, words) in REQUIREMENTS {
            // With `--background` and `--ready`, vsrun itself stops a server that is not ready in time. Then
            // `--stop-signal` and `--stop-timeout` need no supervisor.
            let late = waits && options.background && matches!(id, Id::StopSignal | Id::StopTimeout);
            if whose.contains(id) && !given.intersects(*needs) && !late {
                return Err(Error::of(Problem::Needs, lookup::long_name(id)).with_reason_arg(*words));
            }
        }
        let restarts = RESTART_OPTIONS.contains(id) || id == Id::Restart && options.restart != Some(Restart::No);
        if options.has(Id::Init) && restarts {
            return Err(Error::of(Problem::NotWithInit, lookup::long_name(id)));
        }
    }
    let has_handler = options.manager.is_some_and(|managed| managed.crash_handler.is_some());
    if options.has(Id::Init) && has_handler {
        return Err(Error::new(Problem::InitWithHandler));
    }
    if options.at_exit.is_some() && options.background {
        return Err(Error::new(Problem::AtExitInBackground));
    }
    if options.on_signal_ends_machine() && options.background {
        return Err(Error::new(Problem::PoweroffInBackground));
    }
    reject_signal_conflicts(options)?;
    if waits && !options.is_supervised() && !options.background {
        return Err(Error::new(Problem::ReadyNeeds));
    }
    if given.contains(Id::ReadyTimeout) && !waits && options.before.is_empty() {
        return Err(Error::new(Problem::ReadyTimeoutNeeds));
    }
    if options.ready == Some(ReadyCondition::Notify) && options.confine.hides_abstract_sockets() {
        return Err(Error::new(Problem::ScopeWithNotify));
    }
    if given.contains(Id::Watchdog) && options.ready != Some(ReadyCondition::Notify) {
        return Err(Error::new(Problem::WatchdogNeeds));
    }
    if given.contains(Id::Syslog) && given.contains(Id::Logdir) {
        return Err(Error::new(Problem::SyslogWithLogdir));
    }
    if let Some(bind) = &options.bind
        && bind.to_bytes().starts_with(b"/") == options.port.is_some()
    {
        return Err(Error::new(Problem::BindNeeds));
    }
    if given.contains(Id::Expand) {
        expand::check_syntax(&options.command)?;
    }
    if given.contains(Id::HandlerTimeout) && !has_handler {
        return Err(Error::new(Problem::HandlerTimeoutNeeds));
    }
    if let (Some(server), Some(managed)) = (options.pidfile, options.manager)
        && managed.pidfile == Some(server)
    {
        return Err(Error::new(Problem::SamePidfile));
    }
    Ok(())
}

fn reject_signal_conflicts(options: &Options) -> Result<()> {
    for (at, (signal, _)) in options.on_signal.iter().enumerate() {
        if options.on_signal.iter().take(at).any(|(other, _)| other == signal) {
            return Err(Error::new(Problem::SignalGivenTwice).with_arg(MessageArg::Signal(*signal)));
        }
    }
    let replaces = options.on_signal.iter().any(|(_, action)| *action == SignalAction::Replace);
    if replaces && candidate_ready_timeout(options.ready, None).is_none() {
        return Err(Error::new(Problem::ReplaceNeeds).with_reason_arg(Reason::ReplaceNeeds));
    }
    Ok(())
}
