//! The texts of the kernel's errors that vsrun meets. The C library's own table is twice as long.

use core::fmt;

use super::Errno;

/// The texts, each after a NUL and the errno, which is the same on every machine that vsrun is built for
/// (asm-generic/errno.h). EAGAIN is reported only for fork, exec and setuid, whose text it has; other calls are
/// repeated instead.
const TEXTS: &str = "\
\0\x01Operation not permitted\0\x02No such file or directory\0\x03No such process\
\0\x05I/O error\0\x06No such device or address\0\x07Argument list too long\0\x08Exec format error\
\0\x09Bad file descriptor\0\x0bResource temporarily unavailable (too many processes)\
\0\x0cOut of memory\0\x0dPermission denied\0\x10Resource busy\0\x11File exists\0\x13No such device\
\0\x14Not a directory\0\x15Is a directory\0\x16Invalid argument\0\x17Too many open files in system\
\0\x18No file descriptors available\0\x1aText file busy (a process has it open for writing)\
\0\x1bFile too large\0\x1cNo space left on device\0\x1eRead-only file system\0\x20Broken pipe\
\0\x24Filename too long\0\x25No locks available\0\x26Function not implemented\0\x28Symbolic link loop\
\0\x5aMessage too large\0\x5fNot supported\
\0\x61Address family not supported by protocol\0\x62Address in use\0\x63Address not available\
\0\x69No buffer space available\0\x6fConnection refused\0\x74Stale file handle\0\x7aQuota exceeded";

/// Displays an errno: its text, or its number if the text is not known.
#[derive(Clone, Copy)]
pub struct ErrnoText(pub Errno);

impl fmt::Display for ErrnoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.raw_os_error();
        let is_it = |text: &&str| text.bytes().next().map(i32::from) == Some(number);
        match TEXTS.split('\0').find(is_it).and_then(|text| text.get(1..)) {
            Some(words) => f.write_str(words),
            None => write!(f, "error {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_numbers() {
        for (error, words) in [
            (Errno::PERM, "Operation not permitted"),
            (Errno::NOENT, "No such file or directory"),
            (Errno::NOSPC, "No space left on device"),
            (Errno::NAMETOOLONG, "Filename too long"),
            (Errno::DQUOT, "Quota exceeded"),
            (Errno::OWNERDEAD, "error 130"),
        ] {
            assert_eq!(ErrnoText(error).to_string(), words);
        }
    }
}
