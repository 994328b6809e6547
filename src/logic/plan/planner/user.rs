//! The server's user and groups.

use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::cli::flags::Id;
use crate::logic::cli::options::Options;
use crate::logic::plan::account::{self, Identity};
use crate::logic::plan::host::{CanChangeIds, Host};
use crate::logic::plan::personality::AccountRules;

/// The user and groups of `--user`. None if the option is not given, or if `--no-user-checks` lets the server
/// keep vsrun's user, although it is another one.
pub fn identity(options: &Options, host: &Host<'_>) -> Result<Option<Identity>> {
    let Some(login) = &options.user else { return Ok(None) };
    let accounts = options.personality.account_rules;
    let identity = account::resolve_with_rules(login, accounts, host.passwd_file, host.group_file)?;
    if accounts != AccountRules::Vsrun {
        // As gosu or su-exec, vsrun always tries to change its ids: the kernel decides whether that is allowed.
        return Ok(Some(identity));
    }
    let other_group = login.group.is_some() && host.egid != identity.gid;
    if host.euid != 0 && host.euid == identity.uid && other_group {
        return Err(Error::new(Problem::BecomeGroup).with_number_arg(identity.gid.into()));
    }
    if host.euid == 0 || host.euid == identity.uid {
        return match host.can_change_ids {
            CanChangeIds::No if host.euid != identity.uid => {
                Err(Error::new(Problem::BecomeUser).with_number_arg(identity.uid.into()))
            }
            CanChangeIds::Yes | CanChangeIds::No => Ok(Some(identity)),
        };
    }
    if options.has(Id::NoUserChecks) {
        return Ok(None);
    }
    let error = Error::new(Problem::WrongUser).with_number_arg(host.euid.into()).with_number_arg(identity.uid.into());
    Err(error.with_name_arg(&identity.name))
}

/// The user and groups to which the server's process has to change. None if it has them already or may not change them.
/// If vsrun was called as gosu or su-exec, the server's process always tries to change them.
pub fn needed_change<'a>(identity: Option<&'a Identity>, options: &Options, host: &Host<'_>) -> Option<&'a Identity> {
    let may = host.euid == 0 && host.can_change_ids == CanChangeIds::Yes;
    let tries = options.personality.account_rules != AccountRules::Vsrun;
    identity.filter(|identity| tries || may && !already_has_identity(identity, host))
}

/// True if vsrun already has this user and these groups. Then no privilege is needed, as in a user namespace without
/// setgroups(2). Root may have fewer groups than these, because it needs none of them.
fn already_has_identity(identity: &Identity, host: &Host<'_>) -> bool {
    let wanted = |group: &u32| *group == identity.gid || identity.groups.contains(group);
    host.euid == identity.uid
        && host.egid == identity.gid
        && host.own_groups.as_ref().is_some_and(|groups| {
            let has = |group: &u32| *group == identity.gid || groups.contains(group);
            groups.iter().all(wanted) && (identity.uid == 0 || identity.groups.iter().all(has))
        })
}
