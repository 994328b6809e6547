//! Reads the world once, and no more of it than the options need.

use alloc::borrow::Cow;
use core::ffi::CStr;

use crate::act::say::failed;
use crate::decide::cli::Options;
use crate::decide::environ::Environ;
use crate::decide::error::Result;
use crate::decide::plan::{Facts, Ids};
use crate::decide::account::Name;
use crate::sys::{entry, errno, fd, identity};

/// How the world is, as far as these options ask.
///
/// # Errors
/// When /etc/passwd or /etc/group is there and cannot be read: root guesses nothing.
pub fn read(options: &Options) -> Result<Facts> {
    let env = Environ(entry::environment().into_iter().map(Cow::Borrowed).collect());
    let mut facts = Facts { euid: identity::effective_uid(), env, ..Facts::default() };
    if let Some(login) = &options.user {
        facts.passwd = database(c"/etc/passwd")?;
        // A group by number, or none but it, needs no look into the list.
        if !matches!(login.group, Some(Name::Number(_))) {
            facts.group = database(c"/etc/group")?;
        }
        // Whether root is really root matters only where there may be nothing to change.
        if facts.euid == 0 && login.user == Name::Number(0) && !identity::may_change_ids() {
            facts.ids = Ids::Fixed;
        }
    }
    if options.stays() || options.syslog.is_some() {
        facts.cwd = identity::current_dir();
    }
    Ok(facts)
}

/// The bytes of a file; nothing where there is no such file.
fn database(path: &CStr) -> Result<Vec<u8>> {
    match fd::read_file(path) {
        Ok(bytes) => Ok(bytes),
        Err(why) if matches!(why.raw_os_error(), Some(errno::ENOENT | errno::ENOTDIR)) => Ok(Vec::new()),
        Err(why) => Err(failed(format_args!("cannot read {}", path.to_string_lossy()), &why)),
    }
}
