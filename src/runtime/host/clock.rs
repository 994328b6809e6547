//! The monotonic clock, as a type of `logic`.

use crate::logic::base::time::Time;
use crate::sys::clock;

/// The present time of the monotonic clock.
pub fn now() -> Time {
    Time(clock::monotonic_millis())
}
