//! Simulates a kernel that refuses system calls, as the seccomp(2) filters of container hosts do: a filter that is
//! older than a call answers EPERM (on hosts with a libseccomp from before 2020) or ENOSYS.

use super::{Call, sys};
use std::fs;

/// The processor architecture that a program is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    X86,
    X86_64,
    Aarch64,
}

/// What is refused, and with which errno.
#[derive(Clone, Copy)]
pub struct Refusal {
    what: What,
    error: i32,
}

#[derive(Clone, Copy)]
enum What {
    /// One system call, by its number on each architecture.
    Call(Numbers),
    /// All system calls since Linux 5.1, from number 403: they have the same numbers on all architectures. On 32 bits
    /// these include the calls for times after 2038.
    SinceLinux5_1,
    /// The fcntl(2) commands for open file description locks.
    FileLocks,
}

#[derive(Clone, Copy)]
struct Numbers {
    x86: u32,
    x86_64: u32,
    aarch64: u32,
}

const STATX: Numbers = Numbers { x86: 383, x86_64: 332, aarch64: 291 };
const RENAMEAT2: Numbers = Numbers { x86: 353, x86_64: 316, aarch64: 276 };
const PWRITEV2: Numbers = Numbers { x86: 379, x86_64: 328, aarch64: 287 };
const FCNTL: Numbers = Numbers { x86: 221, x86_64: 72, aarch64: 25 };
const PIDFD_OPEN: Numbers = Numbers { x86: 434, x86_64: 434, aarch64: 434 };
const LANDLOCK_CREATE_RULESET: Numbers = Numbers { x86: 444, x86_64: 444, aarch64: 444 };
const CLOSE_RANGE: Numbers = Numbers { x86: 436, x86_64: 436, aarch64: 436 };

/// Refuses statx, renameat2, pwritev2 and all system calls since Linux 5.1 with this errno.
pub fn old_host(error: i32) -> Vec<Refusal> {
    let calls = [STATX, RENAMEAT2, PWRITEV2].map(What::Call);
    calls.into_iter().chain([What::SinceLinux5_1]).map(|what| Refusal { what, error }).collect()
}

/// Refuses open file description locks, like a kernel before Linux 3.15.
pub fn no_file_locks() -> Vec<Refusal> {
    vec![Refusal { what: What::FileLocks, error: libc::EINVAL }]
}

/// Refuses close_range(2) with EINVAL, as Linux 5.9 and 5.10 do if its flag is CLOSE_RANGE_CLOEXEC.
pub fn no_close_range_flags() -> Vec<Refusal> {
    vec![Refusal { what: What::Call(CLOSE_RANGE), error: libc::EINVAL }]
}

/// Refuses pidfd_open(2) with this errno.
pub fn no_pidfd(error: i32) -> Vec<Refusal> {
    vec![Refusal { what: What::Call(PIDFD_OPEN), error }]
}

/// Refuses Landlock: ENOSYS is for a kernel without it, EOPNOTSUPP for one where it was not enabled at boot.
pub fn no_landlock(error: i32) -> Vec<Refusal> {
    vec![Refusal { what: What::Call(LANDLOCK_CREATE_RULESET), error }]
}

impl Call<'_> {
    /// Runs the program with these refusals; needs root. They also apply to the programs of the same architecture that
    /// it starts.
    pub fn refused(self, refusals: &[Refusal]) -> Self {
        let mut filter = program(machine(&super::sandbox::built("vsrun")), refusals);
        self.before(move || sys::filter_calls(&mut filter))
    }
}

/// `None` for a script that runs vsrun in an emulator: the filter would apply to the system calls of the emulator.
fn machine(path: &std::path::Path) -> Option<Machine> {
    let bytes = fs::read(path).unwrap();
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    match bytes[18] {
        3 => Some(Machine::X86),
        62 => Some(Machine::X86_64),
        183 => Some(Machine::Aarch64),
        _ => None,
    }
}

/// True if the vsrun under test can be run with a filter.
pub fn can_filter_calls() -> bool {
    super::available(machine(&super::sandbox::built("vsrun")).is_some(), "a vsrun that is not emulated, for x86 or ARM")
}

fn program(machine: Option<Machine>, refusals: &[Refusal]) -> Vec<libc::sock_filter> {
    let machine = machine.unwrap();
    // The offsets in struct seccomp_data, in bytes, and the numbers of the architectures (AUDIT_ARCH_*).
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const SECOND: u32 = 24;
    let arch = match machine {
        Machine::X86 => 0x4000_0003,
        Machine::X86_64 => 0xc000_003e,
        Machine::Aarch64 => 0xc000_00b7,
    };
    let number = |numbers: Numbers| match machine {
        Machine::X86 => numbers.x86,
        Machine::X86_64 => numbers.x86_64,
        Machine::Aarch64 => numbers.aarch64,
    };
    let load = |at| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let give = |value| statement(libc::BPF_RET | libc::BPF_K, value);
    // A conditional jump: it skips `is` statements if the comparison holds, and `is_not` statements otherwise.
    let jump =
        |kind, value, is, is_not| libc::sock_filter { jt: is, jf: is_not, ..statement(libc::BPF_JMP | kind, value) };
    let mut filter = vec![load(ARCH), jump(libc::BPF_JEQ, arch, 1, 0), give(libc::SECCOMP_RET_ALLOW)];
    for refusal in refusals {
        let refuse = give(libc::SECCOMP_RET_ERRNO | refusal.error.cast_unsigned());
        filter.push(load(NUMBER));
        match refusal.what {
            What::Call(numbers) => filter.push(jump(libc::BPF_JEQ, number(numbers), 0, 1)),
            What::SinceLinux5_1 => filter.push(jump(libc::BPF_JGE, 403, 0, 1)),
            What::FileLocks => filter.extend([
                jump(libc::BPF_JEQ, number(FCNTL), 0, 4),
                load(SECOND),
                jump(libc::BPF_JGE, libc::F_OFD_GETLK.cast_unsigned(), 0, 2),
                jump(libc::BPF_JGT, libc::F_OFD_SETLKW.cast_unsigned(), 1, 0),
            ]),
        }
        filter.push(refuse);
    }
    filter.push(give(libc::SECCOMP_RET_ALLOW));
    filter
}

fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: 0, k: value }
}
