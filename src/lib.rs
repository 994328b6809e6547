//! vsrun: starts one server process correctly, and supervises it if requested.
//!
//! It has three layers. `logic` decides what to do, and is pure: it uses no file, clock, pid or environment. `sys`
//! calls the kernel, and knows nothing of vsrun. `runtime` asks `logic` and acts through `sys`. `logic` and `sys` do
//! not import each other.
//!
//! `#[inline(never)]` is used where measuring has shown a gain: mostly for long functions with a single caller, and for
//! short functions with many callers. An inlined long function enlarges its caller's stack frame until every access to
//! the frame needs a longer instruction. To inline all long functions would cost 3000 bytes of code, and stack that an
//! idle manager keeps.
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
