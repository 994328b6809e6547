//! Environments: lists of `NAME=VALUE`, in which a name stands once.

use alloc::borrow::Cow;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;

use super::account::Identity;

/// A word of an argument list or environment: the caller's own, or one that we made.
pub type Word = Cow<'static, CStr>;

/// An environment.
#[derive(Clone, Debug, Default)]
pub struct Environ(pub Vec<Word>);

impl Environ {
    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
    }

    /// Gives a name its value, in place of every one it had.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(&|known| known == name);
        self.0.push(Cow::Owned(word([name, b"=", value].concat())));
    }

    /// Takes an entry `NAME=VALUE`, in place of every one that its name had.
    pub fn put(&mut self, entry: &CStr) {
        let name = name_of(entry.to_bytes());
        self.remove(&|known| known == name);
        self.0.push(Cow::Owned(entry.into()));
    }

    /// Removes the names that the question picks.
    pub fn remove(&mut self, picked: &dyn Fn(&[u8]) -> bool) {
        self.0.retain(|entry| !picked(name_of(entry.to_bytes())));
    }

    /// A copy for somebody: the environment of who he is. None: of who we are.
    pub fn of(&self, identity: Option<&Identity>) -> Self {
        let mut env = self.clone();
        if let Some(identity) = identity {
            env.log_in(identity);
        }
        env
    }

    /// Sets `HOME`, `USER`, `LOGNAME` and `SHELL`, as login(1) does.
    fn log_in(&mut self, identity: &Identity) {
        self.set(b"HOME", &identity.home);
        self.set(b"USER", &identity.name);
        self.set(b"LOGNAME", &identity.name);
        self.set(b"SHELL", &identity.shell);
    }
}

fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or(entry)
}

/// Bytes as a C string; from the first NUL on they are cut off, since nothing that reads them would see more.
pub fn word(mut bytes: Vec<u8>) -> CString {
    if let Some(nul) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(nul);
    }
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_once() {
        let mut env =
            Environ(vec![Cow::Borrowed(c"A=1"), Cow::Borrowed(c"AB=2"), Cow::Borrowed(c"A=3"), Cow::Borrowed(c"odd")]);
        assert_eq!(env.get(b"A"), Some(&b"1"[..]));
        env.set(b"A", b"4");
        env.put(c"AB=x=y");
        let all: Vec<&CStr> = env.0.iter().map(AsRef::as_ref).collect();
        assert_eq!(all, [c"odd", c"A=4", c"AB=x=y"]);
        env.remove(&|name| name.starts_with(b"A"));
        assert_eq!(env.0.len(), 1);
        assert_eq!(word(b"a\0b".to_vec()).as_c_str(), c"a");
    }
}
