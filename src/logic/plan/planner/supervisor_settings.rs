//! The policy of the supervisor and the sources of the server's environment, from the options and their defaults.

use crate::logic::base::cstr::leak_cstr;
use crate::logic::base::signal::Signal;
use crate::logic::base::time::Span;
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::Options;
use crate::logic::plan::account::Identity;
use crate::logic::plan::env::EnvRenewal;
use crate::logic::plan::host::Host;
use crate::logic::plan::program;
use crate::logic::supervisor::event::Recipient;
use crate::logic::supervisor::policy::{CrashHandlerPolicy, Policy, Restart, Role};
use crate::logic::supervisor::replacement::candidate_ready_timeout;

/// Makes the supervisor's policy from the options. Zero for `--linger`, `--stop-delay` or `--stop-timeout` becomes
/// None.
#[inline(never)]
pub fn policy(options: &Options) -> Policy {
    let handler = match (options.manager, options.handler_timeout) {
        (Some(managed), timeout) if managed.crash_handler.is_some() => {
            timeout.map_or(CrashHandlerPolicy::NoTimeout, CrashHandlerPolicy::MustExitWithin)
        }
        _ => CrashHandlerPolicy::Absent,
    };
    let default = if options.is_supervised() && !options.has(Id::Init) { Restart::OnFailure } else { Restart::No };
    let given = |span: Option<Span>| span.filter(|span| *span > Span::ZERO);
    Policy {
        role: match given(options.stop_timeout) {
            _ if !options.has(Id::Init) => Role::Manager,
            Some(_) => Role::InitWithTimeout,
            None => Role::Init,
        },
        signal_scope: if options.has(Id::Group) { Recipient::Group } else { Recipient::Server },
        forwards_to_group: options.personality.forwards_to_group,
        linger_timeout: given(options.linger),
        restart: options.restart.unwrap_or(default),
        success: options.success_exit.unwrap_or_default(),
        restart_delay_range: options.restart_delay.unwrap_or((Span::millis(100), Span::secs(30))),
        limit: options.restart_limit,
        ready_timeout: options.ready_timeout,
        candidate_ready_timeout: candidate_ready_timeout(options.ready, options.ready_timeout),
        watchdog: options.watchdog,
        handler,
        stop_signal: options.stop_signal.unwrap_or(Signal::TERM),
        stop_delay: given(options.stop_delay),
        stop_timeout: given(Some(options.stop_timeout.unwrap_or(Span::secs(30)))),
    }
}

/// The sources of the server's environment, for a supervisor that reads them again. None if no option names one.
pub fn env_renewal(options: &Options, host: &Host<'_>, identity: Option<&Identity>) -> Option<EnvRenewal> {
    options.env_sources().map(|sources| EnvRenewal {
        callers_dir: host
            .cwd
            .as_ref()
            .filter(|_| options.is_supervised() && sources.may_be_relative())
            .map(|dir| (leak_cstr(dir.clone()), host.cwd_dev_and_inode)),
        sources,
        base: program::base_env(options, host, identity),
        initial_file_entries: host.env_entries_from_files.clone(),
        env_option_entries: options.env.clone(),
    })
}
