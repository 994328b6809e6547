//! vsrun: starts one server process the right way, and stays to keep it alive if asked.
//!
//! Three layers. `logic` decides what shall be done, and is pure: no file, clock, pid or environment. `runtime` has
//! the effects. `sys` calls the kernel and knows nothing of vsrun. `runtime` uses the other two, which do not know
//! each other.
//!
//! `#[inline(never)]` stands where measuring says so: mostly at long functions with a single caller, and at short ones
//! with many. The compiler would put the first into their callers, whose frames grow until every access needs a longer
//! instruction: that is three thousand bytes more, and stack that a resting manager keeps.
//!
//! This is a library only so that tests and fuzz targets reach the pure layer; the program is `main.rs`.

#![cfg_attr(
    test,
    allow(
        clippy::std_instead_of_core,
        clippy::wildcard_enum_match_arm,
        clippy::write_literal,
        reason = "the unit tests are no part of the program, and may panic at what they do not expect"
    )
)]

extern crate alloc;

pub mod logic;
pub mod runtime;
pub mod sys;
