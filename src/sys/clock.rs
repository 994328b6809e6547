//! Reads the kernel's clocks.

use rustix::event::Timespec;

/// The kernel's struct timespec with 64 bits for the seconds, on every machine.
#[repr(C)]
#[derive(Default)]
struct Timespec64 {
    seconds: i64,
    nanos: i64,
}

/// Reads a clock with a real system call. The vDSO is faster for each call, but finding its function costs more than
/// the few calls of a launcher.
#[cfg(target_pointer_width = "64")]
fn read_clock(clock: libc::clockid_t) -> Timespec64 {
    let mut spec = Timespec64::default();
    // SAFETY: the structure is the one that this call writes.
    let _ = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut spec) };
    spec
}

/// Reads a clock with 64 bits for the seconds, which works after 2038. Before Linux 5.1, and under a seccomp filter
/// that does not know clock_gettime64(2), it uses clock_gettime(2).
#[cfg(not(target_pointer_width = "64"))]
fn read_clock(clock: libc::clockid_t) -> Timespec64 {
    /// The number of clock_gettime64(2), the same on every 32-bit machine.
    const CLOCK_GETTIME64: libc::c_long = 403;
    let mut spec = Timespec64::default();
    // SAFETY: the structure is the one that this call writes.
    if unsafe { libc::syscall(CLOCK_GETTIME64, clock, &raw mut spec) } == 0 {
        return spec;
    }
    let mut old = [0i32; 2];
    // SAFETY: the old structure has two words.
    let _ = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, old.as_mut_ptr()) };
    let [seconds, nanos] = old.map(i64::from);
    Timespec64 { seconds, nanos }
}

/// The monotonic clock, in milliseconds. Setting the wall clock does not change it.
pub fn monotonic_millis() -> u64 {
    in_millis(&read_clock(libc::CLOCK_MONOTONIC))
}

/// The time since the boot in milliseconds, including the time that the machine was suspended. The kernel uses this
/// clock for the start times of processes.
pub fn millis_since_boot() -> u64 {
    in_millis(&read_clock(libc::CLOCK_BOOTTIME))
}

fn in_millis(spec: &Timespec64) -> u64 {
    u64::try_from(spec.seconds).unwrap_or(0).saturating_mul(1000) + u64::from(subsec_millis(spec))
}

/// The monotonic clock, in microseconds, rounded up.
pub fn monotonic_micros() -> u64 {
    let now = read_clock(libc::CLOCK_MONOTONIC);
    u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1_000_000) + u64::try_from(now.nanos / 1000).unwrap_or(0) + 1
}

/// The wall clock: the seconds since 1970 (UTC), and the milliseconds within the second.
pub fn wall_secs_and_millis() -> (i64, u16) {
    let now = read_clock(libc::CLOCK_REALTIME);
    (now.seconds, subsec_millis(&now))
}

fn subsec_millis(spec: &Timespec64) -> u16 {
    u16::try_from(spec.nanos / 1_000_000).unwrap_or(0)
}

/// Converts milliseconds to a struct timespec, for a timeout.
pub(super) fn timespec(millis: u64) -> Timespec {
    // A timeout of more than a hundred years could overflow in the kernel.
    let millis = millis.min(3_200_000_000_000);
    let rest = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Timespec { tv_sec: i64::try_from(millis / 1000).unwrap_or(0), tv_nsec: rest.into() }
}
