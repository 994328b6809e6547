//! Reads the state of the system once, and only what the options need.

use core::ffi::CStr;

use super::env_files;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::reason::Reason;
use crate::logic::cli::args_file::{Args, PendingArgsFile};
use crate::logic::cli::emulated_tools::{self, InheritedAttributes};
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::Options;
use crate::logic::plan::account::NameOrId;
use crate::logic::plan::env::Env;
use crate::logic::plan::host::{CanChangeIds, Host, StdinTerminal};
use crate::logic::plan::landlock::LandlockSupport;
use crate::logic::plan::personality::{AccountRules, CallerSignals};
use crate::logic::plan::planner;
use crate::logic::plan::socket_activation::InheritedSockets;
use crate::logic::supervisor::notify;
use crate::runtime::report::os_error::os_error_of;
use crate::sys::file_contents::FileContents;
use crate::sys::{Errno, caps, credentials, dir, entry, landlock, poll, process, terminal};

/// Reads the file of `--args`, and inserts its lines among the arguments.
///
/// # Errors
/// When the file cannot be read (125), or has contents that an argument cannot have (2).
pub fn read_args_file(unread: Box<PendingArgsFile>) -> Result<Args> {
    let contents = FileContents::read(unread.file)
        .map_err(|why| os_error_of(Problem::ReadArgsFile, unread.file.to_bytes(), why))?;
    unread.insert_lines(&contents)
}

/// Reads what the translation of another tool's command line needs: the ids, the environment, and the signals that
/// vsrun inherited as blocked or ignored.
pub fn inherited_attributes() -> InheritedAttributes {
    let (blocked, ignored) = poll::blocked_and_ignored_signals();
    InheritedAttributes {
        uid: credentials::effective_uid(),
        gid: credentials::effective_gid(),
        env: Env(entry::environment()),
        signals: CallerSignals { blocked, ignored },
    }
}

/// The contents of /etc/passwd and /etc/group, kept while the plan is made.
#[derive(Default)]
pub struct AccountFiles {
    passwd: FileContents,
    group: FileContents,
}

/// Reads the state of the system, as far as the plan depends on it with these options.
///
/// # Errors
/// When a file that sets variables of the server cannot be read, or /etc/passwd or /etc/group exists and cannot be
/// read: as root, a guess would be dangerous.
pub fn read<'a>(options: &Options, account_files: &'a mut AccountFiles) -> Result<Host<'a>> {
    let mut env = Env(entry::environment());
    let personality = options.personality;
    if personality.inherits_fds_and_signals && personality.account_rules == AccountRules::Vsrun {
        env.remove(&|name| name == emulated_tools::ARGS_VARIABLE);
    }
    let mut inherited = InheritedSockets::default();
    let mut must_update_listen_pid = false;
    // The pid is formatted only if the environment announces sockets to a pid (LISTEN_PID).
    let named = env.get(b"LISTEN_PID").is_some();
    let pid = if named { format!("{}", process::own_pid()) } else { String::new() };
    if !options.passes_inherited_fds() {
        inherited = InheritedSockets::take_from_env(&mut env, pid.as_bytes());
    } else if personality.changes_listen_pid && named && env.get(b"LISTEN_PID") == Some(pid.as_bytes()) {
        must_update_listen_pid = true;
        env.remove(&|name| name == b"LISTEN_PID");
    }
    let watchdog_interval = env
        .get(b"WATCHDOG_USEC")
        .and_then(|usec| notify::heartbeat_interval(usec, env.get(b"WATCHDOG_PID"), process::own_pid().number()));
    let (euid, egid) = (credentials::effective_uid(), credentials::effective_gid());
    let mut host = Host { euid, egid, env, inherited, watchdog_interval, must_update_listen_pid, ..Host::default() };
    if let Some(login) = &options.user {
        // If USER and GROUP are both numbers, /etc/passwd is needed only for the home directory.
        let numbers = matches!((&login.user, &login.group), (NameOrId::Id(_), Some(NameOrId::Id(_))));
        match read_account_file(c"/etc/passwd", &mut account_files.passwd) {
            Err(_) if numbers => account_files.passwd = FileContents::default(),
            result => result?,
        }
        host.own_groups = credentials::groups_if_saved_ids_equal();
        // A numeric group needs no lookup in /etc/group.
        if !matches!(login.group, Some(NameOrId::Id(_))) {
            read_account_file(c"/etc/group", &mut account_files.group)?;
        }
        // uid 0 may be without CAP_SETUID and CAP_SETGID, for example in a container. That matters only if USER may be
        // root too: then there may be nothing to change, and the start must not fail.
        let unprivileged = matches!(login.user, NameOrId::Id(uid) if uid != 0);
        if host.euid == 0 && !unprivileged && !caps::may_change_ids() {
            host.can_change_ids = CanChangeIds::No;
        }
    }
    if options.is_supervised() && options.has(Id::Stdin) {
        host.terminal = match terminal::has_terminal_foreground() {
            Some(true) => StdinTerminal::Foreground,
            Some(false) => StdinTerminal::Background,
            None => StdinTerminal::NotControlling,
        };
    }
    host.hangup_ignored = !options.background && !personality.inherits_fds_and_signals && poll::is_sighup_ignored();
    if options.is_supervised() || options.syslog.is_some() {
        host.cwd = credentials::current_dir();
        host.cwd_dev_and_inode = dir::stat_path(c".").map(|about| about.id).unwrap_or_default();
    }
    if options.confine.is_requested() {
        host.landlock = match landlock::abi() {
            Ok(abi) => LandlockSupport::Abi(abi),
            Err(Errno::NOSYS) => LandlockSupport::Missing,
            Err(Errno::OPNOTSUPP) => LandlockSupport::Disabled,
            Err(_) => LandlockSupport::Refused,
        };
    }
    (host.passwd_file, host.group_file) = (&account_files.passwd, &account_files.group);
    if let Some(sources) = options.env_sources() {
        let base =
            if sources.file_env_names.is_empty() { Env::default() } else { planner::resolve_base_env(options, &host)? };
        host.env_entries_from_files = env_files::read_all(&sources, &base)?;
    }
    Ok(host)
}

/// Reads /etc/passwd or /etc/group; empty if the file does not exist. Refuses a FIFO without waiting for its writer.
fn read_account_file(path: &CStr, contents: &mut FileContents) -> Result<()> {
    match env_files::read(path, u64::MAX, contents) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(Errno::INVAL) => {
            Err(Error::of(Problem::ReadAccounts, path.to_bytes()).with_reason_arg(Reason::ItIsNotRegular))
        }
        Err(why) => Err(os_error_of(Problem::ReadAccounts, path.to_bytes(), why)),
    }
}
