//! Environments: lists of `NAME=VALUE`. If an inherited one has a name twice, the first entry counts, as in getenv(3).

use alloc::vec::Vec;

use super::account::Identity;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::text::split_byte;
use crate::logic::supervisor::readiness::NOTIFY_SOCKET;

/// The environment variable that names, for a probe, the pid of the server to test.
pub const SERVER_PID_VAR: &str = "VSRUN_SERVER_PID";

/// An environment: `NAME=VALUE` entries.
#[derive(Clone, Debug, Default)]
pub struct Env(pub Vec<StaticCStr>);

impl Env {
    /// The value of the variable with this name, from its first entry. None if it is unset.
    pub fn get(&self, name: &[u8]) -> Option<&'static [u8]> {
        self.0.iter().find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
    }

    /// Sets a variable, and removes all other entries with its name.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(&|known| known == name);
        self.0.push(leak_cstr([name, b"=", value].concat()));
    }

    /// Adds an entry `NAME=VALUE`, and removes all other entries with this name. An entry `NAME` removes the variable.
    pub fn apply_entry(&mut self, entry: StaticCStr) {
        let name = entry_name(entry.to_bytes());
        self.remove(&|known| known == name);
        if name.len() < entry.count_bytes() {
            self.0.push(entry);
        }
    }

    /// Removes the variables whose names satisfy `picked`.
    pub fn remove(&mut self, picked: &dyn Fn(&[u8]) -> bool) {
        self.0.retain(|entry| !picked(entry_name(entry.to_bytes())));
    }

    /// Moves the variables whose names satisfy `picked` to the beginning, and returns how many they are. The rest of
    /// the list is then an environment without these variables.
    pub fn move_to_front(&mut self, picked: &dyn Fn(&[u8]) -> bool) -> usize {
        let (mut count, mut sorted) = (0, Vec::new());
        for entry in &self.0 {
            if picked(entry_name(entry.to_bytes())) {
                sorted.insert(count, *entry);
                count += 1;
            } else {
                sorted.push(*entry);
            }
        }
        self.0 = sorted;
        count
    }

    /// Returns a copy in which `HOME`, `USER`, `LOGNAME` and `SHELL` are those of `identity`. If that is None, because
    /// `--user` does not apply, the copy is unchanged.
    pub fn with_login_vars(&self, identity: Option<&Identity>) -> Self {
        let mut env = self.clone();
        if let Some(identity) = identity {
            env.set_login_vars(identity);
        }
        env
    }

    /// Sets `HOME`, `USER`, `LOGNAME` and `SHELL`, as login(1) does.
    fn set_login_vars(&mut self, identity: &Identity) {
        self.set(b"HOME", &identity.home);
        self.set(b"USER", &identity.name);
        self.set(b"LOGNAME", &identity.name);
        self.set(b"SHELL", &identity.shell);
    }
}

/// The files and directories from which a server's environment is read.
#[derive(Clone, Debug, Default)]
pub struct EnvFiles {
    /// The files of `--env-file`, in the order of the command line.
    pub files: Vec<StaticCStr>,
    /// The directory of `--env-dir`.
    pub dir: Option<StaticCStr>,
    /// The names of the variables that `--file-env` sets, each from the file whose path is in `NAME_FILE`.
    pub file_env_names: Vec<StaticCStr>,
}

impl EnvFiles {
    /// True if one of the paths may be relative. The files of `--file-env` are not known yet, so they count as
    /// relative.
    pub fn may_be_relative(&self) -> bool {
        let is_relative = |path: &StaticCStr| !path.to_bytes().starts_with(b"/");
        !self.file_env_names.is_empty()
            || self.files.iter().any(is_relative)
            || self.dir.as_ref().is_some_and(is_relative)
    }
}

/// What is needed to make the server's environment again when the files from which it is read have changed.
#[derive(Debug)]
#[repr(C)] // Small fields first: shorter instructions.
pub struct EnvRenewal {
    /// The environment before files and `--env` set variables in it: the inherited variables, and the login variables
    /// of the server's user.
    pub base: Env,
    /// The entries that the files in `sources` had at the first start.
    pub initial_file_entries: Vec<StaticCStr>,
    /// The entries of `--env`, which override those of the files in `sources`.
    pub env_option_entries: Vec<StaticCStr>,
    /// The directory in which vsrun was called, and its device and inode. None if the manager does not leave that
    /// directory, if its path is unknown, or if all paths in `sources` are absolute.
    pub callers_dir: Option<(StaticCStr, (u64, u64))>,
    /// The files and directories to read again.
    pub sources: EnvFiles,
}

impl EnvRenewal {
    /// Makes the environment from the present entries of the files (`file_entries`); `first_env` is the environment of
    /// the first start. Variables that `--env` and vsrun itself set keep their values.
    pub fn renew(&self, first_env: &[StaticCStr], file_entries: &[StaticCStr]) -> Env {
        // The variables that the server's process itself sets or removes between fork and exec.
        const VARS_SET_BY_CHILD: [&[u8]; 2] = [b"LISTEN_PID", b"WATCHDOG_PID"];
        let named =
            |list: &[StaticCStr], name: &[u8]| list.iter().copied().find(|entry| entry_name(entry.to_bytes()) == name);
        let is_free = |name: &[u8]| {
            let entry = named(first_env, name);
            let is_of_file = entry == named(&self.base.0, name) || entry == named(&self.initial_file_entries, name);
            // vsrun adds NOTIFY_SOCKET, and for a probe the server's pid, to an environment after all other variables.
            let is_late = VARS_SET_BY_CHILD.contains(&name)
                || (entry.is_none() && (name == NOTIFY_SOCKET || name == SERVER_PID_VAR.as_bytes()));
            named(&self.env_option_entries, name).is_none() && (entry.is_none() || is_of_file) && !is_late
        };
        let mut env = Env(first_env.to_vec());
        for entry in &self.initial_file_entries {
            let name = entry_name(entry.to_bytes());
            if is_free(name) {
                env.apply_entry(named(&self.base.0, name).unwrap_or_else(|| leak_cstr(name.to_vec())));
            }
        }
        for entry in file_entries.iter().copied().filter(|entry| is_free(entry_name(entry.to_bytes()))) {
            env.apply_entry(entry);
        }
        env
    }
}

/// The entry for a file in the directory of `--env-dir`. The value is the file's first line without blanks at its end,
/// with newlines in place of NULs. An empty file removes the variable.
pub fn env_dir_entry(name: &[u8], file: &[u8]) -> StaticCStr {
    let mut line = split_byte(file, b'\n').next().unwrap_or_default();
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    let mut entry = name.to_vec();
    if !file.is_empty() {
        entry.push(b'=');
        entry.extend(line.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }));
    }
    leak_cstr(entry)
}

/// The name in an entry `NAME=VALUE`.
pub fn entry_name(entry: &[u8]) -> &[u8] {
    split_byte(entry, b'=').next().unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_occurs_once() {
        let mut env = Env(vec![c"A=1", c"AB=2", c"A=3", c"odd"]);
        assert_eq!(env.get(b"A"), Some(&b"1"[..]));
        env.set(b"A", b"4");
        env.apply_entry(c"AB=x=y");
        assert_eq!(env.0, [c"odd", c"A=4", c"AB=x=y"]);
        env.apply_entry(c"AB");
        env.remove(&|name| name.starts_with(b"A"));
        assert_eq!(env.0.len(), 1);
        assert_eq!(leak_cstr(b"a\0b".to_vec()), c"a");
    }

    #[test]
    fn the_names_that_come_first_are_counted_and_nothing_else_moves() {
        let mut env = Env(vec![c"A=1", c"X=1", c"B=2", c"Y=2", c"XX=3"]);
        assert_eq!(env.move_to_front(&|name| name == b"X" || name == b"Y"), 2);
        assert_eq!(env.0, [c"X=1", c"Y=2", c"A=1", c"B=2", c"XX=3"]);
        assert_eq!(env.move_to_front(&|_| false), 0);
    }

    #[test]
    fn files_that_have_changed_change_only_what_is_theirs() {
        let renewal = EnvRenewal {
            sources: EnvFiles { dir: Some(c"d"), ..EnvFiles::default() },
            base: Env(vec![c"HOME=/h", c"A=base", c"B=base", c"WATCHDOG_PID=1"]),
            initial_file_entries: vec![c"A=1", c"N=1", c"E=file", c"S=same", c"L=1", c"HOME"],
            env_option_entries: vec![c"E=given", c"S=same"],
            callers_dir: None,
        };
        let started = [c"B=base", c"A=1", c"N=1", c"E=given", c"S=same", c"L=vsrun", c"NOTIFY_SOCKET=@x"];
        let of = |now: &[StaticCStr]| {
            let mut env = renewal.renew(&started, now).0;
            env.sort_unstable();
            env
        };
        let mut expected = started.to_vec();
        expected.sort_unstable();
        assert_eq!(of(&renewal.initial_file_entries), expected, "nothing has changed");
        let now =
            [c"B=2", c"X=3", c"E=4", c"S=5", c"L=6", c"NOTIFY_SOCKET=7", c"WATCHDOG_PID=8", c"VSRUN_SERVER_PID=9"];
        assert_eq!(
            of(&now),
            [c"A=base", c"B=2", c"E=given", c"HOME=/h", c"L=vsrun", c"NOTIFY_SOCKET=@x", c"S=same", c"X=3"]
        );
    }

    #[test]
    fn a_file_is_a_variable() {
        for (file, entry) in [
            (&b""[..], "A"),
            (b"\n", "A="),
            (b" \t", "A="),
            (b"value", "A=value"),
            (b" value \t \nmore\n", "A= value"),
            (b"one\0two\0\nthree", "A=one\ntwo\n"),
            (b"x=y\r\n", "A=x=y\r"),
            (b"\nsecond", "A="),
        ] {
            assert_eq!(env_dir_entry(b"A", file).to_str().unwrap(), entry);
        }
    }
}
