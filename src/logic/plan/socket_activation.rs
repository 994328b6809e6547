//! The sockets that a server inherits, by the protocol of `sd_listen_fds(3)`.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::parse_number;
use crate::logic::plan::env::Env;
use crate::logic::plan::socket_address::Listener;
use alloc::vec::Vec;

/// The name of a socket that vsrun's parent has passed without a name.
pub const UNKNOWN_NAME: &[u8] = b"unknown";

/// All sockets that the server gets, at the descriptors from 3 on.
#[derive(Debug, Default)]
pub struct ServerSockets {
    /// The number of sockets that vsrun's parent has passed; they come first.
    pub inherited_count: u16,
    /// The sockets that vsrun opens, each in the format of `--listen`.
    pub listen_options: Vec<StaticCStr>,
    /// The user and group that will own the files of Unix sockets. None means vsrun's own user and group.
    pub unix_socket_owner: Option<(u32, u32)>,
}

/// The number of all sockets: passed ones and vsrun's own.
pub fn total_socket_count(inherited: u16, own: &[StaticCStr]) -> u16 {
    inherited.saturating_add(u16::try_from(own.len()).unwrap_or(u16::MAX))
}

/// The sockets that vsrun's parent has passed.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// The number of sockets, from descriptor 3 on.
    pub count: u16,
    /// The names of the sockets, each followed by a colon.
    names: Vec<u8>,
}

impl InheritedSockets {
    /// Removes the `LISTEN_*` variables from an environment. Returns the sockets that they announce, or none if they
    /// are meant for another process than `pid`.
    pub fn take_from_env(env: &mut Env, pid: &[u8]) -> Self {
        let mut inherited = Self::default();
        if env.get(b"LISTEN_PID") == Some(pid) {
            let count = env.get(b"LISTEN_FDS").and_then(parse_number).and_then(|count| u16::try_from(count).ok());
            inherited.count = count.unwrap_or(0);
            let given = env.get(b"LISTEN_FDNAMES").unwrap_or_default();
            let mut given = split_byte(given, b':');
            for _ in 0..inherited.count {
                push_name(&mut inherited.names, given.next().filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_NAME));
            }
        }
        unset_listen_vars(env);
        inherited
    }

    /// Announces the inherited sockets and vsrun's own ones in a server's environment. The server's process sets
    /// `LISTEN_PID` itself, because no other process knows its pid in time.
    pub fn set_listen_vars(&self, own: &[StaticCStr], env: &mut Env) {
        let mut names = self.names.clone();
        let own = own.iter().filter_map(|text| Listener::parse(text.to_bytes()));
        own.for_each(|listener| push_name(&mut names, listener.name));
        let count = names.iter().filter(|byte| **byte == b':').count();
        if count > 0 {
            names.pop();
            unset_listen_vars(env);
            env.set(b"LISTEN_FDS", format!("{count}").as_bytes());
            env.set(b"LISTEN_FDNAMES", &names);
        }
    }
}

/// The variables of the protocol of sd_listen_fds(3). `LISTEN_PIDFDID`, of systemd 258, would need a pidfd of the
/// server's process, so vsrun never sets it.
pub const LISTEN_VARIABLES: [&[u8]; 4] = [b"LISTEN_PID", b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PIDFDID"];

pub fn unset_listen_vars(env: &mut Env) {
    env.remove(&|name| LISTEN_VARIABLES.contains(&name));
}

pub fn push_name(names: &mut Vec<u8>, name: &[u8]) {
    names.extend_from_slice(name);
    names.push(b':');
}
