//! The monotonic clock.

use crate::logic::base::time::Time;
use crate::sys::clock;

/// The monotonic clock.
pub fn now() -> Time {
    Time(clock::monotonic())
}
