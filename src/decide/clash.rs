//! What may not stand together on one command line.

use super::error::{Error, Result};
use super::options::Options;
use super::ready::Ready;

/// Refuses contradictions.
///
/// # Errors
/// Wrong usage, in one line that names both options.
pub fn check(options: &Options) -> Result<()> {
    let stay = [
        ("success-exit", options.success_exit.is_some()),
        ("restart-delay", options.restart_delay.is_some()),
        ("restart-limit", options.restart_limit.is_some()),
        ("handler-timeout", options.handler_timeout.is_some()),
        ("stop-signal", options.stop_signal.is_some()),
        ("stop-timeout", options.stop_timeout.is_some()),
        ("on-signal", !options.on_signal.is_empty()),
    ];
    for (name, given) in stay {
        if given && !options.stays() {
            return wrong(format!("option --{name} needs --manager or --restart"));
        }
    }
    for (at, (signal, _)) in options.on_signal.iter().enumerate() {
        if options.on_signal.iter().take(at).any(|(other, _)| other == signal) {
            return wrong(format!("option --on-signal: {signal} is given twice"));
        }
    }
    let waits = matches!(options.ready, Some(Ready::Newline(_) | Ready::Notify));
    if waits && !options.stays() && !options.background {
        return wrong("option --ready needs somebody to wait: --background, --manager or --restart".into());
    }
    if options.ready_timeout.is_some() && !waits {
        return wrong("option --ready-timeout needs --ready fd:N or --ready notify".into());
    }
    if options.syslog.is_some() && options.logdir.is_some() {
        return wrong("option --syslog excludes --logdir".into());
    }
    if options.logger.is_some() && options.syslog.is_none() {
        return wrong("option --logger needs --syslog".into());
    }
    if options.handler_timeout.is_some() && options.manager.as_ref().is_none_or(|managed| managed.handler.is_none()) {
        return wrong("option --handler-timeout needs a handler: --manager has none".into());
    }
    if let (Some(server), Some(managed)) = (&options.pidfile, &options.manager)
        && managed.pidfile.as_ref() == Some(server)
    {
        return wrong("options --pidfile and --manager name the same file".into());
    }
    Ok(())
}

fn wrong(text: String) -> Result<()> {
    Err(Error::usage(text))
}
