//! What may not stand together on one command line.

use core::fmt;

use super::error::{Error, Result};
use super::options::Options;
use super::policy::Restart;
use super::ready::Ready;

/// Refuses contradictions.
///
/// # Errors
/// Wrong usage, in one line that names both options.
pub fn check(options: &Options) -> Result<()> {
    // The first six are about restarts, and an init restarts nothing.
    let stay = [
        ("success-exit", options.success_exit.is_some()),
        ("restart-delay", options.restart_delay.is_some()),
        ("restart-limit", options.restart_limit.is_some()),
        ("handler-timeout", options.handler_timeout.is_some()),
        ("restart", options.restart.is_some_and(|restart| restart != Restart::No)),
        ("manager with a handler", options.manager.is_some_and(|managed| managed.handler.is_some())),
        ("stop-signal", options.stop_signal.is_some()),
        ("stop-timeout", options.stop_timeout.is_some()),
        ("watchdog", options.watchdog.is_some()),
        ("on-signal", !options.on_signal.is_empty()),
        ("group", options.group),
        ("linger", options.linger.is_some()),
        ("at-exit", options.at_exit.is_some()),
    ];
    for (at, (name, given)) in stay.into_iter().enumerate() {
        if given && !options.stays() {
            return wrong(format_args!("option --{name} needs --manager, --init or --restart"));
        }
        if given && options.init && at < 6 {
            return wrong(format_args!("option --init excludes --{name}"));
        }
    }
    if options.at_exit.is_some() && options.background {
        return wrong(format_args!("option --at-exit excludes --background"));
    }
    for (at, (signal, _)) in options.on_signal.iter().enumerate() {
        if options.on_signal.iter().take(at).any(|(other, _)| other == signal) {
            return wrong(format_args!("option --on-signal: {signal} is given twice"));
        }
    }
    let waits = matches!(options.ready, Some(Ready::Newline(_) | Ready::Notify));
    if waits && !options.stays() && !options.background {
        return wrong(format_args!(
            "option --ready needs somebody to wait: --background, --manager, --init or --restart"
        ));
    }
    let notifies = options.ready == Some(Ready::Notify);
    for (name, given, needs, there) in [
        ("ready-timeout", options.ready_timeout.is_some(), "--ready fd:N or --ready notify", waits),
        ("watchdog", options.watchdog.is_some(), "--ready notify", notifies),
        ("log-size", options.log_size.is_some(), "--logdir", options.logdir.is_some()),
        ("log-files", options.log_files.is_some(), "--log-size", options.log_size.is_some()),
        ("logger", options.logger.is_some(), "--syslog", options.syslog.is_some()),
    ] {
        if given && !there {
            return wrong(format_args!("option --{name} needs {needs}"));
        }
    }
    if options.syslog.is_some() && options.logdir.is_some() {
        return wrong(format_args!("option --syslog excludes --logdir"));
    }
    if let Some(bind) = &options.bind
        && bind.to_bytes().starts_with(b"/") == options.port.is_some()
    {
        return wrong(format_args!("option --bind takes --port with an address, and not with a path"));
    }
    if options.handler_timeout.is_some() && options.manager.is_none_or(|managed| managed.handler.is_none()) {
        return wrong(format_args!("option --handler-timeout needs a handler: --manager has none"));
    }
    if let (Some(server), Some(managed)) = (options.pidfile, options.manager)
        && managed.pidfile == Some(server)
    {
        return wrong(format_args!("options --pidfile and --manager name the same file"));
    }
    Ok(())
}

fn wrong(text: fmt::Arguments<'_>) -> Result<()> {
    Err(Error::usage(text))
}
