//! Environments: lists of `NAME=VALUE`, in which a name stands once.

use alloc::vec::Vec;

use super::account::Identity;
use super::text::parts;
use super::word::{Word, word};

/// An environment.
#[derive(Clone, Debug, Default)]
pub struct Environ(pub Vec<Word>);

impl Environ {
    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&'static [u8]> {
        self.0.iter().find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
    }

    /// Gives a name its value, in place of every one it had.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(&|known| known == name);
        self.0.push(word([name, b"=", value].concat()));
    }

    /// Takes an entry `NAME=VALUE`, in place of every one that its name had; `NAME` alone only unsets it.
    pub fn put(&mut self, entry: Word) {
        let name = name_of(entry.to_bytes());
        self.remove(&|known| known == name);
        if name.len() < entry.count_bytes() {
            self.0.push(entry);
        }
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

/// The entry that a file of an `--env-dir` stands for: its first line without the blanks at its end, each NUL in it a
/// newline; an empty file unsets the name.
pub fn from_file(name: &[u8], file: &[u8]) -> Word {
    let mut line = parts(file, b'\n').next().unwrap_or_default();
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    let mut entry = name.to_vec();
    if !file.is_empty() {
        entry.push(b'=');
        entry.extend(line.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }));
    }
    word(entry)
}

fn name_of(entry: &[u8]) -> &[u8] {
    parts(entry, b'=').next().unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_once() {
        let mut env = Environ(vec![c"A=1", c"AB=2", c"A=3", c"odd"]);
        assert_eq!(env.get(b"A"), Some(&b"1"[..]));
        env.set(b"A", b"4");
        env.put(c"AB=x=y");
        assert_eq!(env.0, [c"odd", c"A=4", c"AB=x=y"]);
        env.put(c"AB");
        env.remove(&|name| name.starts_with(b"A"));
        assert_eq!(env.0.len(), 1);
        assert_eq!(word(b"a\0b".to_vec()), c"a");
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
            assert_eq!(from_file(b"A", file).to_str().unwrap(), entry);
        }
    }
}
