//! What may not stand together on one command line.

use core::fmt;

use super::cli::table::{self, Given};
use super::error::{Error, Result};
use super::expand;
use super::flags::Id;
use super::options::Options;
use super::policy::Restart;
use super::ready::Ready;
use super::text::Clean;

/// Who stays with the server.
const KEEPERS: Given = Given::of(&[Id::Manager, Id::Init, Id::Restart]);
/// What is about restarts: an init restarts nothing.
const RESTARTS: Given = Given::of(&[Id::RestartDelay, Id::RestartLimit, Id::HandlerTimeout]);

/// Options that need one of others.
const NEEDS: &[(Given, Given, &str)] = &[
    (RESTARTS, KEEPERS, STAYS),
    (
        Given::of(&[
            Id::SuccessExit,
            Id::StopSignal,
            Id::StopTimeout,
            Id::Watchdog,
            Id::OnSignal,
            Id::Group,
            Id::Linger,
            Id::AtExit,
        ]),
        KEEPERS,
        STAYS,
    ),
    (Given::of(&[Id::CgroupSet]), Given::of(&[Id::Cgroup]), "--cgroup"),
    (Given::of(&[Id::LogSize]), Given::of(&[Id::Logdir]), "--logdir"),
    (Given::of(&[Id::LogFiles]), Given::of(&[Id::LogSize]), "--log-size"),
    (Given::of(&[Id::Logger]), Given::of(&[Id::Syslog]), "--syslog"),
];
const STAYS: &str = "--manager, --init or --restart";

/// Refuses contradictions.
///
/// # Errors
/// Wrong usage, in one line that names both options.
#[inline(never)]
pub fn check(options: &Options) -> Result<()> {
    let given = options.given;
    let waits = matches!(options.ready, Some(Ready::Newline(_) | Ready::Notify));
    for (row, id) in table::named() {
        let name = Clean(row);
        for (whose, needs, words) in NEEDS {
            // In the background, these two are for a server that is not ready in time.
            let late = waits && options.background && matches!(id, Id::StopSignal | Id::StopTimeout);
            if given.has(id) && whose.has(id) && !given.meets(*needs) && !late {
                return wrong(format_args!("option --{name} needs {words}"));
            }
        }
        let restarts = RESTARTS.has(id) || id == Id::Restart && options.restart != Some(Restart::No);
        if options.has(Id::Init) && given.has(id) && restarts {
            return wrong(format_args!("option --init excludes --{name}"));
        }
    }
    let has_handler = options.manager.is_some_and(|managed| managed.handler.is_some());
    if options.has(Id::Init) && has_handler {
        return wrong(format_args!("option --init excludes --manager with a handler"));
    }
    if options.at_exit.is_some() && options.background {
        return wrong(format_args!("option --at-exit excludes --background"));
    }
    if options.ends_machine() && options.background {
        return wrong(format_args!("option --on-signal with poweroff, reboot or halt excludes --background"));
    }
    for (at, (signal, _)) in options.on_signal.iter().enumerate() {
        if options.on_signal.iter().take(at).any(|(other, _)| other == signal) {
            return wrong(format_args!("option --on-signal: {signal} is given twice"));
        }
    }
    if waits && !options.stays() && !options.background {
        return wrong(format_args!("option --ready needs somebody to wait: --background, {STAYS}"));
    }
    if given.has(Id::ReadyTimeout) && !waits {
        return wrong(format_args!("option --ready-timeout needs --ready fd:N or --ready notify"));
    }
    if options.ready == Some(Ready::Notify) && options.confine.hides_abstract() {
        return wrong(format_args!("option --scope abstract excludes --ready notify: its socket is an abstract one"));
    }
    if given.has(Id::Watchdog) && options.ready != Some(Ready::Notify) {
        return wrong(format_args!("option --watchdog needs --ready notify"));
    }
    if given.has(Id::Syslog) && given.has(Id::Logdir) {
        return wrong(format_args!("option --syslog excludes --logdir"));
    }
    if let Some(bind) = &options.bind
        && bind.to_bytes().starts_with(b"/") == options.port.is_some()
    {
        return wrong(format_args!("option --bind takes --port with an address, and not with a path"));
    }
    if given.has(Id::Expand) {
        expand::check(&options.command)?;
    }
    if given.has(Id::HandlerTimeout) && !has_handler {
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
