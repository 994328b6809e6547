#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| vsrun_fuzz::run_in_arena(vsrun_fuzz::endpoints, data));
