//! Why a file cannot be executed, as far as its first bytes show, and the error text for each cause.

use core::fmt;

pub use super::exec_failure::ExecFailure;
use crate::logic::base::error::{FilledPhrase, MessageArg};
use crate::logic::base::packed::Phrase;
use crate::logic::base::reason::Reason;
use crate::logic::base::text::{Escaped, split_byte};

/// The number of bytes to read from the start of a file: enough for the ELF header, its program headers and, in
/// practice, the loader's path.
pub const HEAD_READ_SIZE: usize = 4096;

/// The type of a file, from its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Executable<'a> {
    /// A script, with the path of its interpreter: the first word after its `#!`.
    Script(&'a [u8]),
    /// A program for this machine, with the path of its ELF loader if it needs one.
    Elf(Option<&'a [u8]>),
    /// A program for another machine.
    Foreign,
    /// Neither a program nor a script.
    Unknown,
}

/// The ELF class and the machine number of a program.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// 1 for 32 bits, 2 for 64 bits (`EI_CLASS` of elf(5)).
    pub class: u8,
    /// The number of the machine (`e_machine` of elf(5)).
    pub number: u16,
}

/// The machine that vsrun was built for. The kernel can execute programs for this machine.
pub const NATIVE_MACHINE: Machine = Machine {
    class: if cfg!(target_pointer_width = "64") { 2 } else { 1 },
    number: if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "x86") {
        3
    } else if cfg!(target_arch = "aarch64") {
        183
    } else if cfg!(target_arch = "arm") {
        40
    } else if cfg!(target_arch = "riscv64") {
        243
    } else {
        0
    },
};

/// Determines the type of a file from its first bytes; `here` is the machine whose programs the kernel can execute.
#[inline(never)]
pub fn classify(head: &[u8], here: Machine) -> Executable<'_> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = split_byte(line, b'\n').next().unwrap_or(line);
        let word = line.split(|byte| matches!(byte, b' ' | b'\t' | 0)).find(|word| !word.is_empty());
        return Executable::Script(word.unwrap_or_default());
    }
    if !head.starts_with(b"\x7fELF") {
        return Executable::Unknown;
    }
    let elf = Elf { head, is_64_bit: head.get(4) == Some(&2), is_big_endian: head.get(5) == Some(&2) };
    match (head.get(4), elf.read_number(18, 2)) {
        // The ELF type (e_type) is 2 or 3 for programs, in either byte order. Object files, core dumps and files that
        // are too short have another.
        _ if !matches!(head.get(16).max(head.get(17)), Some(2 | 3)) => Executable::Unknown,
        (Some(class), Some(machine)) if *class == here.class && machine == u64::from(here.number) => {
            Executable::Elf(elf.loader())
        }
        // A 32-bit program for a 64-bit kernel of the same family (x86, Arm). Whether the kernel can execute it depends
        // on how the kernel was built, so only an attempt shows it.
        (Some(1), Some(machine)) if matches!((here.number, machine), (62, 3) | (183, 40)) => {
            Executable::Elf(elf.loader())
        }
        _ => Executable::Foreign,
    }
}

/// The first bytes of an ELF file, with its class and byte order; see elf(5).
struct Elf<'a> {
    head: &'a [u8],
    is_64_bit: bool,
    is_big_endian: bool,
}

impl<'a> Elf<'a> {
    fn read_number(&self, at: u64, size: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.head.get(at..at.checked_add(usize::try_from(size).ok()?)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// The path of the loader, in the PT_INTERP program header.
    fn loader(&self) -> Option<&'a [u8]> {
        let (offset, entry, count, size) = if self.is_64_bit { (32, 54, 56, 8) } else { (28, 42, 44, 4) };
        let (table, entry, count) =
            (self.read_number(offset, size)?, self.read_number(entry, 2)?, self.read_number(count, 2)?);
        for index in 0..count {
            let header = table.checked_add(index.checked_mul(entry)?)?;
            const PT_INTERP: u64 = 3;
            if self.read_number(header, 4)? != PT_INTERP {
                continue;
            }
            let (offset, length) = if self.is_64_bit { (8, 32) } else { (4, 16) };
            let start = usize::try_from(self.read_number(header.checked_add(offset)?, size)?).ok()?;
            let length = usize::try_from(self.read_number(header.checked_add(length)?, size)?).ok()?;
            let path = self.head.get(start..start.checked_add(length)?)?;
            return split_byte(path, 0).next();
        }
        None
    }
}

impl ExecFailure {
    /// The cause of a failed exec with this number; `Plain`, which adds nothing to the errno, if no cause has it.
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Plain)
    }

    /// The number of the cause, which `from_number` converts back.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Displays a cause and the path that it is about, as the last part of an error message.
pub struct ExecFailureDisplay<'a> {
    /// Why the exec failed.
    pub cause: ExecFailure,
    /// The path as the failed process saw it, from inside its root directory.
    pub path: &'a [u8],
    /// The path of the same file on the host, outside of that root directory. Empty if it equals `path`.
    pub path_on_host: &'a [u8],
}

impl fmt::Display for ExecFailureDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = if self.path.ends_with(b"\r") { MessageArg::Reason(Reason::CrLf) } else { MessageArg::None };
        let table = include_bytes!(concat!(env!("OUT_DIR"), "/exec_failure.txt"));
        FilledPhrase(Phrase { table, index: self.cause.number() }, &[MessageArg::Name(self.path), hint]).fmt(f)?;
        if !self.path_on_host.is_empty() {
            write!(f, " (on the host '{}')", Escaped(self.path_on_host))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: Machine = Machine { class: 2, number: 62 };

    fn elf(machine: u8, loader: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 64 + 2 * 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[16] = 2;
        head[18] = machine;
        head[32] = 64;
        head[54] = 56;
        head[56] = 2;
        let interp = 64 + 56;
        head[interp] = 3;
        head[interp + 8] = u8::try_from(64 + 2 * 56).unwrap();
        head[interp + 32] = u8::try_from(loader.len()).unwrap();
        head.extend_from_slice(loader);
        head
    }

    #[test]
    fn scripts_name_their_interpreter() {
        for (head, word) in [
            (&b"#!/bin/sh\necho"[..], &b"/bin/sh"[..]),
            (b"#! /usr/bin/env python3\n", b"/usr/bin/env"),
            (b"#!\t/x -a", b"/x"),
            (b"#!\n/bin/sh", b""),
            (b"#!/bin/sh\r\n", b"/bin/sh\r"),
        ] {
            assert_eq!(classify(head, X86_64), Executable::Script(word));
        }
        assert_eq!(classify(b"echo hello\n", X86_64), Executable::Unknown);
        assert_eq!(classify(b"", X86_64), Executable::Unknown);
    }

    #[test]
    fn programs_name_their_loader() {
        let head = elf(62, b"/lib64/ld-linux.so\0");
        assert_eq!(classify(&head, X86_64), Executable::Elf(Some(b"/lib64/ld-linux.so")));
        assert_eq!(classify(&elf(183, b"/lib/ld\0"), X86_64), Executable::Foreign);
        for cut in 0..head.len() {
            classify(&head[..cut], X86_64);
        }
    }

    #[test]
    fn what_is_no_executable_is_no_program() {
        let mut object = elf(62, b"");
        object[16] = 1;
        assert_eq!(classify(&object, X86_64), Executable::Unknown);
        assert_eq!(classify(b"\x7fELF\x02\x01", X86_64), Executable::Unknown);
    }

    #[test]
    fn words_name_the_path_inside_and_outside() {
        let words = |cause, path: &str, host: &str| {
            ExecFailureDisplay { cause, path: path.as_bytes(), path_on_host: host.as_bytes() }.to_string()
        };
        assert_eq!(words(ExecFailure::Plain, "/x", ""), "");
        assert_eq!(words(ExecFailure::Plain, "/x", "/jail/x"), " (on the host '/jail/x')");
        let text = words(ExecFailure::NoLoader, "/lib/ld", "/jail/lib/ld");
        assert_eq!(text, " (the file is there, but its ELF loader '/lib/ld' is not) (on the host '/jail/lib/ld')");
        assert_eq!(words(ExecFailure::Closed, "/x", ""), " (the directory '/x' is not searchable for this user)");
        assert!(words(ExecFailure::NoInterpreter, "/bin/sh\r", "").contains("CR LF"));
        assert!(!words(ExecFailure::NoInterpreter, "/bin/sh", "").contains("CR LF"));
    }

    #[test]
    fn causes_keep_their_numbers() {
        for (cause, number) in ExecFailure::ALL.iter().copied().zip(0u8..) {
            assert_eq!((cause.number(), ExecFailure::from_number(number)), (number, cause));
        }
        assert_eq!(ExecFailure::from_number(200), ExecFailure::Plain);
    }
}
