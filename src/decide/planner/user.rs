//! The user and groups that the server is to have.

use crate::decide::account::{self, Identity};
use crate::decide::error::{Error, Result};
use crate::decide::host::{Host, CanChangeIds};
use crate::decide::flags::Id;
use crate::decide::options::Options;
use crate::decide::text::Escaped;

/// Who the server will be. None: who we are.
#[inline(never)]
pub fn identity(options: &Options, facts: &Host<'_>) -> Result<Option<Identity>> {
    let Some(login) = &options.user else { return Ok(None) };
    let identity = account::resolve(login, facts.passwd, facts.group)?;
    let other_group = login.group.is_some() && facts.egid != identity.gid;
    if facts.euid != 0 && facts.euid == identity.uid && other_group {
        return Err(Error::setup(format_args!("cannot become group {}: only root can", identity.gid)));
    }
    if facts.euid == 0 || facts.euid == identity.uid {
        return match facts.can_change_ids {
            CanChangeIds::No if facts.euid != identity.uid => Err(Error::setup(format_args!(
                "cannot become user {}: root has no capability for it here",
                identity.uid
            ))),
            CanChangeIds::Yes | CanChangeIds::No => Ok(Some(identity)),
        };
    }
    if options.has(Id::NoUserChecks) {
        return Ok(None);
    }
    let (is, expected, name) = (facts.euid, identity.uid, Escaped(&identity.name));
    Err(Error::setup(format_args!(
        "started using wrong user ID ({is}), expected {expected} (only root can become '{name}')"
    )))
}

/// Whether there is nothing to change: then no privilege is needed, as in a user namespace without setgroups(2). Root
/// needs no group that it does not have.
pub fn is_same(identity: &Identity, facts: &Host<'_>) -> bool {
    let wanted = |group: &u32| *group == identity.gid || identity.groups.contains(group);
    facts.euid == identity.uid
        && facts.egid == identity.gid
        && facts.groups.as_ref().is_some_and(|groups| {
            let has = |group: &u32| *group == identity.gid || groups.contains(group);
            groups.iter().all(wanted) && (identity.uid == 0 || identity.groups.iter().all(has))
        })
}
