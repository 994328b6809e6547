//! The sockets that a server inherits, by the protocol of `sd_listen_fds(3)`.

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::text::split_byte;
use crate::logic::base::time::number;
use crate::logic::plan::env::Env;
use crate::logic::plan::socket_address::Listener;
use alloc::vec::Vec;

/// What one is called that vsrun's parent handed in without a name.
pub const UNKNOWN_NAME: &[u8] = b"unknown";

/// All sockets that the server gets, from descriptor 3 on.
#[derive(Debug, Default)]
pub struct ServerSockets {
    /// How many of them vsrun's parent has handed in; they come first.
    pub inherited: u16,
    /// Those that vsrun opens, each to be read by [`Listener::parse`].
    pub own: Vec<StaticCStr>,
    /// User and group that a socket at a path belongs to.
    pub owner: Option<(u32, u32)>,
}

/// How many sockets that are.
pub fn count(handed: u16, own: &[StaticCStr]) -> u16 {
    handed.saturating_add(u16::try_from(own.len()).unwrap_or(u16::MAX))
}

/// The sockets that vsrun's parent has handed in.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// How many, from descriptor 3 on.
    pub count: u16,
    /// Their names, with a colon behind each.
    names: Vec<u8>,
}

impl InheritedSockets {
    /// Takes `LISTEN_*` out of an environment. What was meant for another pid than this one is nothing for us.
    pub fn take(env: &mut Env, pid: &[u8]) -> Self {
        let mut handed = Self::default();
        if env.get(b"LISTEN_PID") == Some(pid) {
            let count = env.get(b"LISTEN_FDS").and_then(number).and_then(|count| u16::try_from(count).ok());
            handed.count = count.unwrap_or(0);
            let given = env.get(b"LISTEN_FDNAMES").unwrap_or_default();
            let mut given = split_byte(given, b':');
            for _ in 0..handed.count {
                push_name(&mut handed.names, given.next().filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_NAME));
            }
        }
        unset(env);
        handed
    }

    /// Tells a server's environment of these sockets and of vsrun's own. `LISTEN_PID` is left to the server's
    /// process: no other process knows it in time.
    pub fn announce(&self, own: &[StaticCStr], env: &mut Env) {
        let mut names = self.names.clone();
        let own = own.iter().filter_map(|text| Listener::parse(text.to_bytes()));
        own.for_each(|listener| push_name(&mut names, listener.name));
        let count = names.iter().filter(|byte| **byte == b':').count();
        if count > 0 {
            names.pop();
            unset(env);
            env.set(b"LISTEN_FDS", format!("{count}").as_bytes());
            env.set(b"LISTEN_FDNAMES", &names);
        }
    }
}

/// The variables of the protocol; the last one, of systemd 258, would need a descriptor of the server's process.
pub const NAMES: [&[u8]; 4] = [b"LISTEN_PID", b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PIDFDID"];

pub fn unset(env: &mut Env) {
    env.remove(&|name| NAMES.contains(&name));
}

pub fn push_name(names: &mut Vec<u8>, name: &[u8]) {
    names.extend_from_slice(name);
    names.push(b':');
}
