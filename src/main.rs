//! placeholder
#![no_main]
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn main(_argc: i32, _argv: *const *const u8) -> i32 { 0 }
