//! The clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Milliseconds of the monotonic clock: never set back or forward.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1000) + u64::from(millis(&now))
}

/// The wall clock: seconds since 1970 (UTC), and milliseconds.
pub fn wall() -> (i64, u16) {
    let now = clock_gettime(ClockId::Realtime);
    (now.tv_sec, millis(&now))
}

fn millis(time: &Timespec) -> u16 {
    u16::try_from(time.tv_nsec / 1_000_000).unwrap_or(0)
}

/// A length of milliseconds as the kernel wants it.
pub(super) fn timespec(millis: u64) -> Timespec {
    // Longer than a hundred years is for ever, and safe from overflow in the kernel.
    let millis = millis.min(3_200_000_000_000);
    let rest = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Timespec { tv_sec: i64::try_from(millis / 1000).unwrap_or(0), tv_nsec: rest.into() }
}
